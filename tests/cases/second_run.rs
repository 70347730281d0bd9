//! A second run changes nothing, costs next to nothing, and mends exactly what has drifted.

use anyhow::{Context, Result, ensure};
use lab::{Digest, Host, Suite, Told, installed};
use std::time::Duration;

/// Every service's start: a restart is no difference between two digests.
const STARTS: &str = "systemctl show -p InvocationID,MainPID redis-server nginx";

/// One more run finds everything in place and does nothing to the host.
fn changes_nothing(host: &Host, blueprint: &str) -> Result<()> {
    let (before, starts) = (Digest::of(host)?, host.sh(STARTS)?);
    let told = host.install(blueprint)?;
    ensure!(told.touched.is_empty() && told.changed == 0 && told.restarted == 0 && told.in_place > 0, "{told:?}");
    let differences = Digest::diff(&before, &Digest::of(host)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(host.sh(STARTS)?, starts, "a service was restarted");
    let said = host.surefoot(&format!("install --yes {blueprint}"))?.ok()?;
    ensure!((said.stdout + &said.stderr).contains(" in place, 0 changed, 0 failed"));
    Ok(())
}

/// It does so with few programs and in no time, on a host that has been up for a while.
fn costs_nothing(host: &Host, blueprint: &str) -> Result<()> {
    let execs = host.count_execs(["surefoot", "install", "--yes", blueprint])?;
    ensure!(execs < 10, "it and its descendants were {} programs", execs + 1);
    let best = host.quickest(&["surefoot", "install", "--yes", blueprint])?;
    ensure!(best <= Duration::from_millis(250), "it took {best:?}");
    Ok(())
}

/// `status` and `plan` say of the host what a run says of it.
fn is_as_installed(host: &Host, blueprint: &str) -> Result<()> {
    host.surefoot("status --exit-code")?.ok()?;
    host.surefoot(&format!("plan {blueprint} --exit-code"))?.ok().map(drop)
}

fn second_run(suite: Suite, name: &str) -> Result<()> {
    let host = installed(suite, name)?.host().boot()?;
    let blueprint = format!("/root/{name}");
    // The host was rebooted since it was installed.
    is_as_installed(&host, &blueprint)?;
    changes_nothing(&host, &blueprint)?;
    costs_nothing(&host, &blueprint)
}

/// All memory of the installation is gone: everything is found, the generated password too, and it is what the journal has from
/// then on.
fn without_state(suite: Suite) -> Result<()> {
    let host = installed(suite, "web")?.host().boot()?;
    let password = "grep ^requirepass /etc/redis/surefoot.conf";
    let before = host.sh(password)?;
    host.sh("rm -r /var/lib/surefoot")?;
    changes_nothing(&host, "/root/web")?;
    is_as_installed(&host, "/root/web")?;
    host.sh("rm -r /var/lib/surefoot /var/log/surefoot")?;
    costs_nothing(&host, "/root/web")?;
    is_as_installed(&host, "/root/web")?;
    assert_eq!(host.sh(password)?, before);
    // What was found is not taken away.
    let before = Digest::of(&host)?;
    host.surefoot("uninstall web --purge --yes")?.ok()?;
    let differences = Digest::diff(&before, &Digest::of(&host)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

#[test]
fn second_run_on_bookworm() -> Result<()> {
    second_run(Suite::Bookworm, "web")
}

#[test]
fn second_run_on_trixie() -> Result<()> {
    second_run(Suite::Trixie, "web")
}

#[test]
fn second_run_on_the_ubuntu_stand_in() -> Result<()> {
    second_run(Suite::Ubuntu, "web")
}

#[test]
fn second_run_of_a_site_with_tls() -> Result<()> {
    second_run(Suite::Bookworm, "site")
}

#[test]
fn second_run_without_state_on_bookworm() -> Result<()> {
    without_state(Suite::Bookworm)
}

#[test]
#[ignore = "a twin on another release: make everything"]
fn second_run_without_state_on_trixie() -> Result<()> {
    without_state(Suite::Trixie)
}

#[test]
#[ignore = "a twin on another release: make everything"]
fn second_run_without_state_on_the_ubuntu_stand_in() -> Result<()> {
    without_state(Suite::Ubuntu)
}

/// A drift, what a run names after it, and how many services take that up: none where what is put back is what they run with.
type Drift = (&'static str, &'static str, u64);

const WEB: &[Drift] = &[
    ("chmod 0600 /var/www/web-site/index.html", "site/file:/var/www/web-site/index.html", 0),
    ("chown www-data /var/www/web-site/index.html", "site/file:/var/www/web-site/index.html", 0),
    ("sed -i s/is.up/is.UP/ /var/www/web-site/index.html", "site/file:/var/www/web-site/index.html", 0),
    ("rm /var/www/web-site/index.html", "site/file:/var/www/web-site/index.html", 0),
    ("chmod 0700 /var/www/web-site", "site/directory:/var/www/web-site", 0),
    ("printf '#' >>/etc/nginx/sites-available/web-site.conf", "site/file:/etc/nginx/sites-available/web-site.conf", 0),
    ("rm /etc/nginx/sites-enabled/zz-web-site.conf", "site/symlink:/etc/nginx/sites-enabled/zz-web-site.conf", 0),
    (
        "ln -sfn /dev/null /etc/nginx/sites-enabled/zz-web-site.conf",
        "site/symlink:/etc/nginx/sites-enabled/zz-web-site.conf",
        0,
    ),
    (
        "ln -s /etc/nginx/sites-available/default /etc/nginx/sites-enabled/default",
        "site/absent:/etc/nginx/sites-enabled/default",
        0,
    ),
    (
        "sed -i 's/^include /#&/' /etc/redis/redis.conf",
        "redis/key_value:/etc/redis/redis.conf include /etc/redis/surefoot.conf",
        1,
    ),
    ("chmod 0644 /etc/redis/surefoot.conf", "redis/file:/etc/redis/surefoot.conf", 0),
    ("chgrp root /etc/redis/surefoot.conf", "redis/file:/etc/redis/surefoot.conf", 0),
    ("sed -i 's/^maxmemory .*/maxmemory 9mb/' /etc/redis/surefoot.conf", "redis/file:/etc/redis/surefoot.conf", 0),
    (
        "sed -i 's/^maxmemory .*/maxmemory 9mb/' /etc/redis/surefoot.conf && systemctl restart redis-server",
        "redis/file:/etc/redis/surefoot.conf",
        1,
    ),
    (
        "printf '#' >>/etc/nginx/sites-available/web-site.conf && systemctl reload nginx",
        "site/file:/etc/nginx/sites-available/web-site.conf",
        1,
    ),
    ("rm /etc/redis/surefoot.conf", "redis/file:/etc/redis/surefoot.conf", 0),
    ("chmod 0755 /var/lib/redis", "redis/directory:/var/lib/redis", 0),
    ("systemctl stop redis-server", "redis/service:redis-server.service", 0),
    ("systemctl disable redis-server", "redis/service:redis-server.service", 0),
    ("systemctl disable --now redis-server", "redis/service:redis-server.service", 0),
    ("systemctl mask --runtime redis-server", "redis/service:redis-server.service", 0),
    (
        "REDISCLI_AUTH=$(sed -n 's/^requirepass \"\\(.*\\)\"/\\1/p' /etc/redis/surefoot.conf) \
         redis-cli config set requirepass other",
        "redis/service:redis-server.service",
        0,
    ),
    ("echo 'maxclients 77' >>/etc/redis/redis.conf", "redis/service:redis-server.service", 0),
    (
        "mkdir -p /etc/systemd/system/redis-server.service.d && \
         printf '[Service]\\nNice=1\\n' >/etc/systemd/system/redis-server.service.d/nice.conf",
        "redis/service:redis-server.service",
        0,
    ),
    ("systemctl stop nginx", "site/service:nginx.service", 0),
    (
        "kill -9 $(cat /run/nginx.pid) && until systemctl is-failed nginx; do sleep 0.1; done",
        "site/service:nginx.service",
        0,
    ),
    ("systemctl disable nginx", "site/service:nginx.service", 0),
    ("apt-get remove --yes redis-server", "redis/packages:all", 1),
    ("apt-get remove --yes nginx nginx-common", "site/packages:all", 1),
];

const PARTS: &[Drift] = &[
    ("userdel --force parts", "account/user:parts", 0),
    ("gpasswd --delete parts parts-operators", "account/user:parts", 0),
    ("apt-get purge --yes hello", "hello/packages:all", 0),
    ("chgrp daemon /etc/parts", "etc/directory:/etc/parts", 0),
    ("printf 'b = 2' >>/etc/parts/parts.ini", "settings/file:/etc/parts/parts.ini", 0),
    ("sed -i s/N=./N=0/ /etc/parts/parts.env && systemctl restart parts", "token/file:/etc/parts/parts.env", 1),
    ("ln -sfn /bin/true /usr/local/bin/parts", "link/symlink:/usr/local/bin/parts", 0),
    ("echo hello >/etc/issue.net", "old/absent:/etc/issue.net", 0),
    ("sed -i s/^LOGIN_RETRIES/#LOGIN_RETRIES/ /etc/login.defs", "login/key_value:/etc/login.defs LOGIN_RETRIES", 0),
    ("sed -i s/77%/78%/ /etc/systemd/system.conf", "tasks/ini:/etc/systemd/system.conf [Manager] DefaultTasksMax", 0),
    ("sed -i s/infinity/1000/ /etc/systemd/system/parts.service", "unit/file:/etc/systemd/system/parts.service", 1),
    ("rm /var/lib/parts/mark", "mark/command:touch", 0),
];

const SITE: &[Drift] = &[
    ("sed -i /^admin:/d /etc/surefoot/site-users.htpasswd", "users/htpasswd:/etc/surefoot/site-users.htpasswd", 0),
    (
        "sed -i s/^admin:./admin:X/ /etc/surefoot/site-users.htpasswd",
        "users/htpasswd:/etc/surefoot/site-users.htpasswd",
        0,
    ),
    ("chmod 0600 /etc/surefoot/site-users.htpasswd", "users/htpasswd:/etc/surefoot/site-users.htpasswd", 0),
    (
        "chmod 0644 /etc/surefoot/site-certificate.key",
        "certificate/tls_certificate:/etc/surefoot/site-certificate.crt",
        0,
    ),
    ("rm /etc/surefoot/site-certificate.crt", "certificate/tls_certificate:/etc/surefoot/site-certificate.crt", 1),
    ("rm /etc/surefoot/site-certificate.key", "certificate/tls_certificate:/etc/surefoot/site-certificate.crt", 1),
    ("rm /etc/surefoot/site-users.htpasswd", "users/htpasswd:/etc/surefoot/site-users.htpasswd", 0),
    ("systemctl stop nginx", "site/service:nginx.service", 0),
];

/// Each drift is mended by the next run, which says `1 changed` and names it.
fn drifts(host: &Host, blueprint: &str, drifts: &[Drift]) -> Result<()> {
    let mut wrong = Vec::new();
    for (drift, resource, restarted) in drifts {
        host.sh(drift)?;
        host.surefoot("status --exit-code")?.code_is(2).with_context(|| format!("after {drift}"))?;
        let Told { touched, changed, restarted: took_up, .. } = host.install(blueprint)?;
        // A service takes up its packages before these are told to be there.
        let is_packages = resource.contains("/packages:");
        let named = if is_packages { touched.last() } else { touched.first() };
        if (named.map(String::as_str), changed, took_up) != (Some(resource), 1, *restarted) {
            wrong.push(format!("{drift}\n  is {resource}, and {changed} changed, {took_up} restarted: {touched:?}"));
        }
        let told = host.install(blueprint)?;
        if told.changed + told.restarted > 0 {
            wrong.push(format!("{drift}\n  is not mended by one run: {told:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    is_as_installed(host, blueprint)
}

#[test]
fn each_drift_of_a_product_is_one_change() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    drifts(&host, "/root/web", WEB)?;
    // What somebody added is left alone.
    host.sh("sed -i '/^maxclients 77/d; /^#include .*surefoot/d' /etc/redis/redis.conf")?;
    host.sh("rm -r /etc/systemd/system/redis-server.service.d")?;
    host.install("/root/web")?;
    let fresh = installed(Suite::Bookworm, "web")?.host().boot()?;
    // The password is generated.
    let copy = "sed -i s/^requirepass.*/requirepass.x/ /etc/redis/surefoot.conf";
    host.sh(copy)?;
    fresh.sh(copy)?;
    let differences = Digest::diff(&Digest::of(&fresh)?, &Digest::of(&host)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

#[test]
fn each_drift_of_the_other_kinds_is_one_change() -> Result<()> {
    let host = installed(Suite::Trixie, "parts")?.host().boot()?;
    drifts(&host, "/root/parts", PARTS)
}

#[test]
fn each_drift_of_a_site_with_tls_is_one_change() -> Result<()> {
    let host = installed(Suite::Bookworm, "site")?.host().boot()?;
    drifts(&host, "/root/site", SITE)
}

//! A changed configuration reaches the running service, whenever the run dies and whoever touches it meanwhile.

use anyhow::{Result, ensure};
use lab::{Host, KillPoint, Run, Snapshot, Suite, installed};

/// The run that changes what both services are configured with.
fn change(host: &Host) -> Run<'_> {
    let args = ["surefoot", "install", "--yes", "/root/web", "--set", "http_port=8081"];
    host.run(args).env("SUREFOOT_INPUT_REDIS_PASSWORD", "changed-password")
}

/// Do both run with what is to be on disk?
fn runs_with_it(host: &Host) -> Result<()> {
    let cli = "REDISCLI_AUTH=changed-password redis-cli";
    assert_eq!(host.sh(&format!("{cli} ping && {cli} config get maxmemory"))?, "PONG\nmaxmemory\n268435456");
    let open = |port: u16| -> Result<bool> {
        Ok(host.exec(["bash", "-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}")])?.success())
    };
    ensure!(open(8081)? && !open(80)?, "nginx does not listen where its configuration says");
    host.surefoot("status --exit-code")?.ok()?;
    let told = host.install("/root/web")?;
    ensure!(told.changed + told.restarted == 0, "{told:?}");
    Ok(())
}

/// The first of `points` at which a killed run has written `what` into `file`.
fn first_with(snapshot: &Snapshot, points: &[KillPoint], file: &str, what: &str) -> Result<KillPoint> {
    let (mut low, mut high) = (0, points.len() - 1);
    while low < high {
        let middle = low.midpoint(high);
        let host = snapshot.host().boot()?;
        ensure!(change(&host).killed_at(&points[middle])?.killed(), "{:?} was not met", points[middle]);
        if host.read(file)?.contains(what) { high = middle } else { low = middle + 1 }
    }
    Ok(points[low].clone())
}

/// A service whose configuration was written when the run was killed, and what somebody does to it before the resume.
fn written_just_before_the_kill(file: &str, what: &str, meanwhile: &[&str]) -> Result<()> {
    let snapshot = installed(Suite::Bookworm, "web")?;
    let (points, output) = change(&snapshot.host().boot()?).kill_points()?;
    output.ok()?;
    let point = first_with(&snapshot, &points, file, what)?;
    for script in meanwhile {
        let mut host = snapshot.host().boot()?;
        ensure!(change(&host).killed_at(&point)?.killed(), "{point:?} was not met");
        ensure!(host.read(file)?.contains(what));
        if *script == "reboot" {
            host.power_cut()?;
            host.boot_again()?;
        } else {
            host.sh(script)?;
        }
        host.surefoot("install --resume --yes")?.ok()?;
        runs_with_it(&host).map_err(|error| error.context(format!("after `{script}`")))?;
    }
    Ok(())
}

#[test]
fn redis_runs_with_what_was_written_before_a_kill() -> Result<()> {
    written_just_before_the_kill(
        "/etc/redis/surefoot.conf",
        "changed-password",
        &[
            "true",
            "reboot",
            "sed -i 's/^maxmemory .*/maxmemory 9mb/' /etc/redis/surefoot.conf && systemctl restart redis-server",
            // Started with something else, and the file put back after that, as if nobody had touched it.
            "cd /etc/redis && cp -p surefoot.conf kept && sed -i 's/^maxmemory .*/maxmemory 9mb/' surefoot.conf && \
             systemctl restart redis-server && mv kept surefoot.conf",
        ],
    )
}

#[test]
fn nginx_runs_with_what_was_written_before_a_kill() -> Result<()> {
    written_just_before_the_kill(
        "/etc/nginx/sites-available/web-site.conf",
        "8081",
        &[
            "true",
            "reboot",
            "sed -i s/8081/8082/ /etc/nginx/sites-available/web-site.conf && systemctl restart nginx",
            "cd /etc/nginx && cp -p sites-available/web-site.conf kept && sed -i s/8081/80/ sites-available/web-site.conf && \
             systemctl reload nginx && mv kept sites-available/web-site.conf",
        ],
    )
}

#[test]
fn a_service_that_was_started_with_something_else_is_restarted() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    let other = |file: &str, edit: &str, act: &str| {
        host.sh(&format!("cp -p {file} /root/kept && sed -i '{edit}' {file} && {act} && mv /root/kept {file}"))
    };
    other("/etc/redis/redis.conf", "$ a maxclients 66", "systemctl restart redis-server")?;
    let told = host.install("/root/web")?;
    assert_eq!((told.touched, told.changed), (vec!["redis/service:redis-server.service".to_owned()], 1));
    other("/etc/nginx/sites-available/web-site.conf", "s/listen 80/listen 82/", "systemctl reload nginx")?;
    let told = host.install("/root/web")?;
    assert_eq!((told.touched, told.changed), (vec!["site/service:nginx.service".to_owned()], 1));
    let listens = host.exec(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/82"])?;
    ensure!(!listens.success(), "it still listens where the edited configuration said");
    Ok(())
}

#[test]
fn a_service_that_was_started_too_often_is_restarted() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    let unit = "/etc/systemd/system/redis-server.service.d/starts.conf";
    host.write(unit, "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=3\n", 0o644)?;
    host.sh("systemctl daemon-reload && for n in 1 2 3; do systemctl restart redis-server; done")?;
    let refused = "! systemctl restart redis-server 2>/dev/null && systemctl show -p Result redis-server";
    assert_eq!(host.sh(refused)?, "Result=start-limit-hit");
    host.install("/root/web")?;
    host.sh("for n in 1 2; do systemctl restart redis-server; done")?;
    change(&host).output()?.ok()?;
    runs_with_it(&host)
}

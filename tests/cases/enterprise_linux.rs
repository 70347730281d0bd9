//! A stand-in for Enterprise Linux 9: real dnf, rpm and systemd on a Debian root, with signed repositories of its own.

use anyhow::{Result, ensure};
use lab::{Digest, Host, Suite, Watch, repo::Signature, rpm::RpmRepo, run::ensure_said, sweep::SERVICES, web::Web};

/// What rpm leaves, as on every host that had the packages, with what is below: accounts, logs, and folders that a server wrote into.
const LEFT: [&str; 12] = [
    "file /var/cache/dnf/.gpgkeyschecked.yum",
    "file /var/log/dnf.librepo.log",
    "file /var/log/dnf.log",
    "file /var/log/dnf.rpm.log",
    "file /var/log/hawkey.log",
    "file /var/lib/nginx",
    "file /var/log/nginx",
    "file /var/log/redis",
    "group nginx",
    "group redis",
    "user nginx",
    "user redis",
];

/// A host with a blueprint in /root/cache that takes Redis from `repo`, which `web` serves.
fn host_with(web: &Web, repo: &RpmRepo) -> Result<Host> {
    web.serve("/el9", repo.folder());
    let host = Host::boot(Suite::El9)?;
    host.install_binary()?;
    let blueprint = format!(
        "schema = 1\nsurefoot = \">= 0.1\"\n\n[product]\nname = \"cache\"\ntitle = \"A cache\"\nversion = \"1.0\"\n\n\
         [inputs.password]\ntype = \"secret\"\ngenerate = 24\n\n\
         [[step]]\nid = \"lab\"\nkind = \"repository\"\nuris = [\"{}/el9\"]\nkey = \"lab.asc\"\nfingerprints = [\"{}\"]\n\n\
         [[step]]\nid = \"redis\"\nkind = \"redis\"\nuser = \"app\"\npassword = \"{{{{ inputs.password }}}}\"\n",
        web.url(),
        repo.fingerprint()
    );
    host.write("/root/cache/blueprint.toml", blueprint, 0o644)?;
    host.write("/root/cache/files/lab.asc", repo.key(), 0o644)?;
    Ok(host)
}

/// A host whose distribution has a repository of its own with these packages, as all of Enterprise Linux have.
fn distribution(web: &Web, repo: &RpmRepo) -> Result<Host> {
    web.serve("/el9", repo.folder());
    let host = Host::boot(Suite::El9)?;
    host.install_binary()?;
    let key = "/etc/pki/rpm-gpg/RPM-GPG-KEY-Rocky-9";
    let definition =
        format!("[appstream]\nname=Rocky Linux 9\nbaseurl={}/el9\ngpgcheck=1\ngpgkey=file://{key}\n", web.url());
    host.write(key, repo.key(), 0o644)?;
    host.write("/etc/yum.repos.d/rocky.repo", definition, 0o644)?;
    host.sh(&format!("rpm --import {key} && dnf -q makecache"))?;
    Ok(host)
}

/// Nothing but what rpm leaves is there that was not there before.
fn nothing_is_left(before: &Digest, host: &Host) -> Result<()> {
    let is_left = |line: &String| {
        let fact = line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
        LEFT.iter().any(|left| fact.strip_prefix(left).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    };
    let more: Vec<String> =
        Digest::diff(before, &Digest::of(host)?).into_iter().filter(|line| !is_left(line)).collect();
    ensure!(more.is_empty(), "it leaves {more:#?}");
    Ok(())
}

#[test]
fn the_services_come_and_go() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis", "nginx"], Signature::Right, Signature::Right)?);
    let host = distribution(&web, &repo)?;
    host.write("/root/answers.toml", SERVICES.answers, 0o600)?;
    let install = "install services --yes --answers /root/answers.toml --set site=box.lab.test \
                   --set rabbitmq=false --set postgresql=false";
    let before = Digest::of(&host)?;
    let watch = Watch::start(&host)?;
    host.surefoot(install)?.ok()?;
    watch.end(&host)?.never_open(&[80, 6379], &[80, 443])?;
    // The server that nginx.conf has by itself makes way, and nothing else of it changes.
    assert_eq!(host.sh("rpm -V nginx nginx-core || true")?, "S.5....T.  c /etc/nginx/nginx.conf");
    assert_eq!(host.sh("sed -n 's/^#surefoot# //p' /etc/nginx/nginx.conf | grep -c .")?, "14");

    ensure_said(&host.surefoot(install)?.ok()?, " in place, 0 changed, 0 failed")?;
    // Also where the memory of it is gone.
    host.sh("mv /var/lib/surefoot /root/state")?;
    ensure_said(&host.surefoot(install)?.ok()?, " in place, 0 changed, 0 failed")?;
    host.sh("rm -r /var/lib/surefoot && mv /root/state /var/lib/surefoot")?;

    host.surefoot("uninstall --purge --yes")?.ok()?;
    nothing_is_left(&before, &host)
}

#[test]
fn redis_comes_by_dnf_and_a_second_run_changes_nothing() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    let host = host_with(&web, &repo)?;
    host.surefoot("install /root/cache --yes")?.ok()?;
    let password = r#"sed -n 's/^user app on ">\([^"]*\)".*/\1/p' /etc/redis/surefoot.conf"#;
    let login = format!("REDISCLI_AUTH=$({password}) redis-cli --no-auth-warning --user app");
    assert_eq!(host.sh(&format!("{login} set a b"))?, "OK");
    ensure!(host.sh("redis-cli ping 2>&1 || true")?.contains("NOAUTH"), "somebody gets in without a password");
    let definition = host.read("/etc/yum.repos.d/lab.repo")?;
    ensure!(definition.contains("\ngpgcheck=1\nrepo_gpgcheck=1\n"), "{definition}");

    // Also where the memory of it is gone.
    for forget in ["true", "rm -r /var/lib/surefoot"] {
        host.sh(forget)?;
        ensure_said(&host.surefoot("install /root/cache --yes")?.ok()?, " in place, 0 changed, 0 failed")?;
    }
    Ok(())
}

#[test]
fn an_uninstall_leaves_what_rpm_leaves() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
    let host = host_with(&web, &repo)?;
    let before = Digest::of(&host)?;
    host.surefoot("install /root/cache --yes")?.ok()?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    nothing_is_left(&before, &host)
}

#[test]
fn what_is_not_signed_by_the_pinned_key_is_refused() -> Result<()> {
    for (packages, index, says) in [
        (Signature::None, Signature::Right, "is not signed"),
        (Signature::Wrong, Signature::Right, "GPG check FAILED"),
        (Signature::Right, Signature::None, "the index of repository 'lab' cannot be fetched"),
        (Signature::Right, Signature::Wrong, "the index of repository 'lab' cannot be fetched"),
    ] {
        let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], packages, index)?);
        let host = host_with(&web, &repo)?;
        // What the host thinks of signatures in general is of no account.
        host.sh("sed -i 's/^gpgcheck=1/gpgcheck=0/' /etc/dnf/dnf.conf")?;
        let output = host.surefoot("install /root/cache --yes")?;
        let why = host.surefoot("why")?;
        ensure!(!output.success(), "installed with {packages:?} packages and {index:?} index");
        ensure!(why.stdout.contains(says) && why.stdout.contains("repository"), "{says}:\n{}", why.stdout);
        ensure!(!host.exists("/usr/bin/redis-server")?, "installed with {packages:?} packages and {index:?} index");
    }
    Ok(())
}

#[test]
fn a_killed_transaction_is_waited_for_or_done_once_more() -> Result<()> {
    for (killed, goes_on) in [("surefoot", true), ("surefoot dnf bash", false)] {
        let (web, repo) = (Web::start()?, RpmRepo::new(&["redis"], Signature::Right, Signature::Right)?);
        let host = host_with(&web, &repo)?;
        host.sh(&format!(
            "surefoot install /root/cache --yes >/dev/null 2>&1 & until test -e /usr/bin/redis-server; do :; done; \
             for name in {killed}; do pkill -9 -x $name || true; done"
        ))?;
        let resumed = host.surefoot("install --resume --yes")?.ok()?;
        ensure!(resumed.stderr.contains("taking back a transaction") != goes_on, "{killed}:\n{}", resumed.stderr);
        assert_eq!(host.sh("systemctl is-active redis; rpm -V --noconfig redis; find / -xdev -name '*;*'")?, "active");
        ensure_said(&host.surefoot("install /root/cache --yes")?.ok()?, " in place, 0 changed, 0 failed")?;
    }
    Ok(())
}

//! A stand-in for Enterprise Linux 9: real dnf, rpm and systemd on a Debian root, with signed repositories of its own.

use anyhow::{Result, ensure};
use lab::{Digest, Host, Suite, repo::Signature, rpm::RpmRepo, run::ensure_said, web::Web};

const REDIS: &str = include_str!("../data/el9/redis.spec");
/// What rpm leaves, as on every host that had the package: accounts and logs are never removed.
const LEFT: [&str; 9] = [
    "file /var/cache/dnf/.gpgkeyschecked.yum",
    "file /var/log/dnf.librepo.log",
    "file /var/log/dnf.log",
    "file /var/log/dnf.rpm.log",
    "file /var/log/hawkey.log",
    "file /var/log/redis",
    "file /var/log/redis/redis.log",
    "group redis",
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

#[test]
fn redis_comes_by_dnf_and_a_second_run_changes_nothing() -> Result<()> {
    let (web, repo) = (Web::start()?, RpmRepo::new(&[REDIS], Signature::Right, Signature::Right)?);
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
    let (web, repo) = (Web::start()?, RpmRepo::new(&[REDIS], Signature::Right, Signature::Right)?);
    let host = host_with(&web, &repo)?;
    let before = Digest::of(&host)?;
    host.surefoot("install /root/cache --yes")?.ok()?;
    host.surefoot("uninstall --purge --yes")?.ok()?;
    for line in Digest::diff(&before, &Digest::of(&host)?) {
        let fact = line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
        ensure!(LEFT.contains(&fact.as_str()), "it leaves {line}");
    }
    Ok(())
}

#[test]
fn what_is_not_signed_by_the_pinned_key_is_refused() -> Result<()> {
    for (packages, index, says) in [
        (Signature::None, Signature::Right, "is not signed"),
        (Signature::Wrong, Signature::Right, "GPG check FAILED"),
        (Signature::Right, Signature::None, "the index of repository 'lab' cannot be fetched"),
        (Signature::Right, Signature::Wrong, "the index of repository 'lab' cannot be fetched"),
    ] {
        let (web, repo) = (Web::start()?, RpmRepo::new(&[REDIS], packages, index)?);
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
        let (web, repo) = (Web::start()?, RpmRepo::new(&[REDIS], Signature::Right, Signature::Right)?);
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

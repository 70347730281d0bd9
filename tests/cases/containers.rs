//! Containers without systemd, where people try installers first.

use anyhow::{Result, ensure};
use lab::{Host, Suite};

const PING: &str =
    "REDISCLI_AUTH=$(sed -n 's/^requirepass \"\\(.*\\)\"/\\1/p' /etc/redis/surefoot.conf) redis-cli ping";
const GET: &str =
    "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\nHost: box.lab.test\\r\\n\\r\\n' >&3 && cat <&3";

fn answers(host: &Host) -> Result<()> {
    assert_eq!(host.sh(PING)?, "PONG");
    let page = host.exec(["bash", "-c", GET])?.ok()?.stdout;
    ensure!(page.contains("box.lab.test is up"), "{page}");
    Ok(())
}

/// Installs in a container, with a `policy-rc.d` that forbids starts if there is one, and lets a run find what was stopped.
fn container(suite: Suite, policy: Option<&str>) -> Result<()> {
    let host = Host::container(suite)?;
    host.install_binary()?;
    let web = host.install_blueprint("web")?;
    if let Some(policy) = policy {
        host.write("/usr/sbin/policy-rc.d", policy, 0o755)?;
    }
    host.install(&web)?;
    answers(&host)?;
    let told = host.install(&web)?;
    ensure!(told.changed + told.restarted == 0, "{told:?}");

    for (script, resource) in
        [("redis-server", "redis/service:redis-server.service"), ("nginx", "site/service:nginx.service")]
    {
        host.sh(&format!("service {script} stop"))?;
        let told = host.install(&web)?;
        assert_eq!((told.touched, told.changed), (vec![resource.to_owned()], 1));
        answers(&host)?;
    }
    if let Some(policy) = policy {
        assert_eq!(host.read("/usr/sbin/policy-rc.d")?, policy);
    }
    host.surefoot("uninstall --purge --yes")?.ok()?;
    let left = host.exec(["sh", "-c", "cat /proc/[0-9]*/comm"])?.stdout;
    ensure!(!left.contains("redis") && !left.contains("nginx"), "{left}");
    Ok(())
}

#[test]
fn a_container_without_systemd() -> Result<()> {
    container(Suite::Bookworm, None)
}

#[test]
fn a_container_whose_policy_forbids_starts() -> Result<()> {
    container(Suite::Bookworm, Some("#!/bin/sh\nexit 101\n"))
}

#[test]
#[ignore = "a twin on another release: make everything"]
fn a_container_of_trixie_whose_policy_forbids_starts() -> Result<()> {
    container(Suite::Trixie, Some("#!/bin/sh\nexit 101\n"))
}

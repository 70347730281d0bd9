//! The digest tried: what it sees, and what it is told not to see.

use anyhow::{Result, ensure};
use lab::{Digest, Host, Snapshot, Suite};
use std::time::{Duration, Instant};

/// A change of one thing, the fact that must differ afterwards, and what it is.
const CHANGES: &[(&str, &str)] = &[
    ("chmod 0600 /etc/issue", "file /etc/issue"),
    ("chown daemon /etc/issue", "file /etc/issue"),
    ("chgrp daemon /etc/issue", "file /etc/issue"),
    ("printf X | dd of=/etc/issue conv=notrunc status=none && touch -d @0 /etc/issue", "file /etc/issue"),
    ("mkdir /srv/empty", "file /srv/empty"),
    ("ln -s one /srv/link", "file /srv/link"),
    ("ln -sfn two /srv/link", "file /srv/link"),
    ("rm /etc/issue.net", "file /etc/issue.net"),
    ("mkfifo /srv/pipe", "file /srv/pipe"),
    ("useradd --system --shell /bin/false someone", "user someone"),
    ("usermod --shell /bin/sh someone", "user someone"),
    ("groupadd some", "group some"),
    ("gpasswd --add someone some", "group some"),
    ("dpkg --force-depends --remove strace", "package strace:amd64"),
    ("apt-mark auto procps", "package procps:amd64"),
    (
        "printf '[Service]\\nExecStart=/bin/sleep inf\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/own.service && systemctl daemon-reload",
        "unit own.service",
    ),
    ("systemctl enable own.service", "unit own.service"),
    ("systemctl start own.service", "unit own.service"),
    ("systemctl mask --now dbus.socket", "unit dbus.socket"),
];

#[test]
fn every_single_change_is_seen() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let mut before = Digest::of(&host)?;
    for (change, fact) in CHANGES {
        host.sh(change)?;
        let after = Digest::of(&host)?;
        ensure!(before.fact(fact) != after.fact(fact), "`{change}` did not change `{fact}`");
        before = after;
    }
    Ok(())
}

#[test]
fn looking_changes_nothing() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    let first = Digest::of(&host)?;
    assert_eq!(Digest::diff(&first, &Digest::of(&host)?), Vec::<String>::new());
    Ok(())
}

#[test]
fn installed_hosts_are_alike_and_need_every_exclusion() -> Result<()> {
    let servers = "redis-server nginx-light postgresql rabbitmq-server ssl-cert";
    let certificate = "mkdir /etc/surefoot && cp /etc/ssl/certs/ssl-cert-snakeoil.pem /etc/surefoot/a.crt && \
                       cp /etc/ssl/private/ssl-cert-snakeoil.key /etc/surefoot/a.key && touch /etc/surefoot/a.htpasswd";
    let snapshot = Snapshot::cached("digest-servers", &format!("{servers} {certificate}"), || {
        let host = Host::boot(Suite::Bookworm)?;
        host.sh(&format!("apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes {servers}"))?;
        host.sh("redis-cli set some thing && redis-cli save")?;
        host.sh("mkdir -p /var/lib/surefoot /var/log/surefoot")?;
        host.sh(certificate)?;
        Ok(host)
    })?;
    let (one, other) = (snapshot.host().boot()?, snapshot.host().boot()?);
    let started = Instant::now();
    let first = Digest::of(&one)?;
    let took = started.elapsed();
    let differences = Digest::diff(&first, &Digest::of(&other)?);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    let unused = first.unused_exclusions();
    ensure!(unused.is_empty(), "these exclusions match nothing:\n{}", unused.join("\n"));
    ensure!(took < Duration::from_secs(20), "a digest took {took:?}");
    Ok(())
}

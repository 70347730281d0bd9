//! Invariant 10: what becomes of a run whose journal is torn, damaged, newer or cannot be written.

use anyhow::{Context, Result, ensure};
use lab::{
    Host, Suite,
    sweep::{Subject, WEB},
};

const JOURNAL: &str = "/var/lib/surefoot/web/journal";
const INSTALL: [&str; 6] = ["surefoot", "install", "/root/web", "--yes", "--answers", lab::sweep::ANSWERS];
/// Exit codes of the classes `state` and `disk`.
const STATE: i32 = 30;
const DISK: i32 = 23;

fn installed() -> Result<Host> {
    WEB.installed()?.host().boot()
}

#[test]
fn a_torn_last_record_is_dropped_and_named() -> Result<()> {
    let host = installed()?;
    for (torn, args) in [
        (format!("truncate -s -5 {JOURNAL}"), &INSTALL[..]),
        (format!("head -c 100 /dev/zero >>{JOURNAL}"), &["surefoot", "install", "--resume", "--yes"]),
        (format!("printf 'a7 half a rec' >>{JOURNAL}"), &["surefoot", "uninstall", "web", "--yes"]),
    ] {
        host.sh(&torn)?;
        let output = host.exec(args.iter().copied())?.ok()?;
        let named = format!("the last record of {JOURNAL} was torn");
        ensure!(output.stderr.contains(&named), "after `{torn}`:\n{}", output.stderr);
        let quiet = host.exec(INSTALL)?.ok()?;
        ensure!(!quiet.stderr.contains("torn"), "{}", quiet.stderr);
    }
    Ok(())
}

#[test]
fn a_damaged_or_newer_journal_is_written_by_nobody() -> Result<()> {
    let host = installed()?;
    let sound = host.read(JOURNAL)?;
    let records = sound.lines().count();
    let damaged = sound.replacen(r#""type":"intent""#, r#""type":"intemt""#, 1);
    let newer = newer(&sound)?;
    for (text, named) in [(damaged, "the journal is damaged after record "), (newer, "surefoot 99.1")] {
        host.write(JOURNAL, &text, 0o600)?;
        let before = host.sh("cd /etc && find . /var/lib/surefoot -type f | sort | xargs -d '\\n' cksum")?;
        for args in [
            &INSTALL[..],
            &["surefoot", "install", "--resume", "--yes"],
            &["surefoot", "uninstall", "web", "--yes"],
            &["surefoot", "status", "web"],
        ] {
            let output = host.exec(args.iter().copied())?.code_is(STATE)?;
            ensure!(output.stderr.contains(named), "{args:?}:\n{}", output.stderr);
        }
        assert_eq!(host.sh("cd /etc && find . /var/lib/surefoot -type f | sort | xargs -d '\\n' cksum")?, before);
    }
    host.write(JOURNAL, &sound, 0o600)?;
    host.exec(INSTALL)?.ok()?;
    ensure!(host.read(JOURNAL)?.lines().count() > records);
    Ok(())
}

/// The journal with the format of a later version in its first record.
fn newer(journal: &str) -> Result<String> {
    let (first, rest) = journal.split_once('\n').context("an empty journal")?;
    let json = first.get(9..).context("a short record")?;
    let mut record: serde_json::Value = serde_json::from_str(json)?;
    record["format"] = 2.into();
    record["surefoot"] = "99.1".into();
    let json = record.to_string();
    Ok(format!("{:08x} {json}\n{rest}", crc32(json.as_bytes())))
}

/// CRC-32 as in ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

/// Every write from the `nth` on fails as on a full disk.
fn install_with_full_disk(host: &Host, nth: usize) -> Result<lab::Output> {
    let inject = format!("inject=fdatasync:error=ENOSPC:when={nth}+");
    let strace = ["strace", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject];
    host.exec(strace.into_iter().chain(INSTALL))
}

#[test]
fn a_journal_that_cannot_be_written_stops_before_the_next_change() -> Result<()> {
    // Which write fails, what must not be there after it, and whether there is something to resume.
    let absent = [
        (1, "/var/lib/dpkg/info/redis-server.list", "the attempt"),
        (2, "/var/lib/dpkg/info/redis-server.list", "the intent of the packages"),
        (3, "/var/lib/dpkg/info/redis-server.list", "the pid of the transaction"),
        (5, "/etc/redis/surefoot.conf", "the intent of a file"),
    ];
    for (nth, path, what) in absent {
        let host = WEB.fresh()?.host().boot()?;
        let output = install_with_full_disk(&host, nth)?.code_is(DISK)?;
        ensure!(output.stderr.contains("journal") && output.stderr.contains("No space left"), "{}", output.stderr);
        ensure!(!host.exists(path)?, "{path} is there, though {what} was not written down");
        host.exec(["surefoot", "install", "--resume", "--yes"])?.ok()?;
        logins(&host, &WEB)?;
    }
    Ok(())
}

fn logins(host: &Host, subject: &Subject) -> Result<()> {
    subject.logins.iter().try_for_each(|script| subject.login(host, script))
}

#[test]
fn the_journal_has_its_space_before_anything_begins() -> Result<()> {
    let small = Host::builder(Suite::Bookworm).tmpfs("/var/lib/surefoot", "300k").boot()?;
    small.install_binary()?;
    small.install_blueprint("web")?;
    small.write(lab::sweep::ANSWERS, WEB.answers, 0o600)?;
    let output = small.exec(INSTALL)?.code_is(DISK)?;
    ensure!(output.stderr.contains("journal"), "{}", output.stderr);
    ensure!(!small.exists("/usr/sbin/nginx")?, "something was installed");
    small.sh("mount -o remount,size=40m /var/lib/surefoot")?;
    // With its space reserved, the journal takes what there is to say though the disk is full.
    let mut running = small.run(INSTALL).spawn()?;
    running.wait_for("redis: changed packages", std::time::Duration::from_secs(120))?;
    small.sh("dd if=/dev/zero of=/var/lib/surefoot/fill bs=64k status=none || true")?;
    let blocks: u64 = small.sh(&format!("stat -c %b {JOURNAL}"))?.parse()?;
    ensure!(blocks * 512 >= 512 << 10, "the journal has {blocks} blocks");
    running.wait()?.ok()?;
    ensure!(small.read(JOURNAL)?.contains(r#""type":"end","result":"done""#), "its end is not written down");
    ensure!(
        small.exec(["dd", "if=/dev/zero", "of=/var/lib/surefoot/more", "bs=4k", "count=1"])?.code() == 1,
        "there was room"
    );
    logins(&small, &WEB)
}

#[test]
fn a_run_log_that_cannot_be_written_stops_nothing() -> Result<()> {
    let host = Host::builder(Suite::Bookworm).tmpfs("/var/log/surefoot", "8k").boot()?;
    host.install_binary()?;
    host.install_blueprint("web")?;
    host.write(lab::sweep::ANSWERS, WEB.answers, 0o600)?;
    let output = host.exec(INSTALL)?.ok()?;
    let said = output.stderr.matches("cannot be written, and is not").count();
    ensure!(said == 1, "said {said} times:\n{}", output.stderr);
    logins(&host, &WEB)
}

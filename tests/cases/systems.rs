//! Which systems are recognised, and which are refused: every os-release file of `distro/data/os-release`, put into a real host.

use anyhow::{Context, Result, ensure};
use lab::{Host, Suite};
use serde_json::Value;
use std::{fs, path::PathBuf};

/// What is supported, as a refusal has to list it.
const SUPPORTED: [&str; 7] = [
    "Debian 11 or later",
    "Ubuntu 16.04 and 20.04 or later",
    "Enterprise Linux 7 to 10",
    "Amazon Linux 2 and 2023",
    "Fedora 41 or later",
    "SUSE Linux Enterprise Server 15",
    "openSUSE Leap 15",
];

fn data(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../distro/data/os-release").join(path)
}

/// A host that can install a note, and the table `expected` of a folder: the file's name, and what is expected of it.
fn host_and_table(folder: &str) -> Result<(Host, Vec<Vec<String>>)> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.install_blueprint("note")?;
    // The table is about os-release alone; what it leaves open, Debian's own file would tell.
    host.sh("rm /etc/os-release /etc/debian_version")?;
    let text = fs::read_to_string(data(folder).join("expected"))?;
    let row = |line: &str| line.split_whitespace().map(|word| word.trim_matches('-').to_owned()).collect();
    Ok((host, text.lines().filter(|line| !line.starts_with('#')).map(row).collect()))
}

fn put(host: &Host, path: &str) -> Result<()> {
    host.write("/etc/os-release", fs::read(data(path)).with_context(|| path.to_owned())?, 0o644)
}

const INSTALL: &str = "install /root/note --yes --set words=hello";

#[test]
fn every_system_is_recognised_and_refused_or_not() -> Result<()> {
    let (host, table) = host_and_table("")?;
    for row in &table {
        put(&host, &row[0])?;
        let facts: Value = serde_json::from_str(&host.surefoot("facts --json")?.ok()?.stdout)?;
        let text = |name: &str| match &facts[name] {
            Value::String(text) => text.trim_matches('-').to_owned(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let names = ["os", "version", "major", "codename", "family", "base", "base_version", "base_codename"];
        ensure!(names.map(text) == row[1..9], "{}: {facts}", row[0]);
        // There is neither dnf nor zypper on this host.
        let supported = row[9] == "yes" && row[5] == "debian";
        let plan = host.surefoot("plan /root/note --set words=hello")?;
        ensure!(plan.code() == if supported { 0 } else { 12 }, "{}: {plan:?}", row[0]);
        if supported {
            continue;
        }
        let refused = host.surefoot(INSTALL)?.code_is(12)?;
        let card = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let listed = SUPPORTED.iter().all(|system| card.contains(system));
        ensure!(listed && card.contains("class unsupported, exit code 12"), "{}:\n{}", row[0], refused.stderr);
        ensure!(!host.exists("/var/lib/surefoot")? && !host.exists("/srv/note")?, "{}: something was touched", row[0]);
    }
    ensure!(table.len() > 40, "only {} systems", table.len());
    Ok(())
}

#[test]
fn every_malformed_file_is_told() -> Result<()> {
    let (host, table) = host_and_table("malformed")?;
    for row in &table {
        put(&host, &format!("malformed/{}", row[0]))?;
        for args in ["facts --json", "plan /root/note --set words=hello", INSTALL] {
            let told = host.surefoot(args)?.code_is(15)?;
            ensure!(told.stderr.contains("/etc/os-release"), "{}, {args}:\n{}", row[0], told.stderr);
        }
        ensure!(!host.exists("/var/lib/surefoot")? && !host.exists("/srv/note")?, "{}: something was touched", row[0]);
    }
    ensure!(table.len() >= 10, "only {} malformed files", table.len());
    Ok(())
}

//! A mirror in the place of the repository that the blueprint names, as enterprises have it: with a login, and later with a key of its own.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lab::repo::{Package, Repo};
use lab::run::ensure_said;
use lab::web::Web;
use lab::{Host, Suite};

const PASSWORD: &str = "p@ss:w/rd#?%";

/// Its own line of the mirrors file: the repository, its key, and the login that both need.
fn mirrors(url: &str, more: &str) -> String {
    format!(
        "[[mirror]]\nof = \"https://packages.vendor.test\"\nurl = \"{url}/vendor\"\nuser = \"jo\"\npassword_file = \"mirror.pw\"\n{more}"
    )
}

#[test]
fn a_mirror_stands_for_a_repository_with_its_login_and_its_key() -> Result<()> {
    let package = || Package::new("vendor-thing", "1").file("/usr/bin/vendor-thing", "#!/bin/sh\n", 0o755);
    let (repo, own, web) = (Repo::new(&[package()])?, Repo::new(&[package()])?, Web::start()?);
    let keys = tempfile::tempdir()?;
    std::fs::write(keys.path().join("key.asc"), repo.key())?;
    web.serve("/vendor", keys.path());
    web.serve("/vendor/deb", repo.folder());
    let basic = format!("Basic {}", STANDARD.encode(format!("jo:{PASSWORD}")));
    web.guard("/vendor/", &basic);
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let blueprint = host.install_blueprint("vendor")?;
    host.write("/root/answers.toml", format!("fingerprint = '{}'\n", repo.fingerprint()), 0o600)?;
    host.write("/root/mirrors.toml", mirrors(&web.url(), ""), 0o600)?;
    host.write("/root/mirror.pw", "stale\n", 0o600)?;
    let flags = ["--answers", "/root/answers.toml", "--mirrors", "/root/mirrors.toml"];
    let with = |command: &[&'static str]| -> Vec<String> {
        let words = ["surefoot"].iter().chain(command).map(ToString::to_string);
        words.chain([blueprint.clone()]).chain(flags.map(str::to_owned)).collect()
    };

    // Nothing but the mirror is listed, and nothing but it is planned.
    let listed = host.exec(with(&["endpoints"]))?.ok()?.stdout;
    ensure!(listed.contains("10.77.0.1") && !listed.contains("vendor.test"), "{listed}");
    let plan = host.exec(with(&["plan", "-v"]))?.ok()?.stdout;
    ensure!(plan.contains("auth.conf.d/repo.conf") && !plan.contains("vendor.test"), "{plan}");

    let wrong = host.exec(with(&["install", "--yes"]))?.code_is(27)?;
    ensure_said(&wrong, "refuses the login of 'jo'")?;
    host.write("/root/mirror.pw", format!("{PASSWORD}\n"), 0o600)?;
    host.exec(["surefoot", "install", "--resume", "--yes", "--mirrors", "/root/mirrors.toml"])?.ok()?;
    ensure!(host.exists("/usr/bin/vendor-thing")?);
    assert_eq!(host.sh("stat -c '%a %U' /etc/apt/auth.conf.d/repo.conf")?, "600 root");
    ensure!(host.surefoot("install /root/vendor --yes")?.stderr.contains("0 changed"));

    // apt alone gets at it, too; and the password is nowhere else.
    host.sh("apt-get -qq update && apt-get -qq install --reinstall vendor-thing >/dev/null")?;
    let told = host.sh(
        "cat /var/lib/surefoot/vendor/journal /var/log/surefoot/vendor/*.jsonl /var/log/apt/* /etc/apt/sources.list.d/*
         grep -rl . /run/surefoot || true",
    )?;
    for text in [&listed, &plan, &wrong.stderr, &told] {
        ensure!(!text.contains(PASSWORD) && !text.contains(&basic), "the password is told:\n{text}");
    }

    // The mirror signs by itself from now on: its key has to be named, by its fingerprint.
    host.exec(["surefoot", "uninstall", "vendor", "--yes", "--purge"])?.ok()?;
    ensure!(!host.exists("/etc/apt/auth.conf.d/repo.conf")? && !host.exists("/etc/apt/keyrings/repo.gpg")?);
    web.serve("/vendor/deb", own.folder());
    std::fs::write(keys.path().join("key.asc"), own.key())?;
    let stranger = host.exec(with(&["install", "--yes"]))?.code_is(21)?;
    ensure_said(&stranger, "which is not pinned")?;
    let key = format!("key = \"own.asc\"\nfingerprints = [\"{}\"]\n", own.fingerprint());
    host.write("/root/own.asc", own.key(), 0o644)?;
    host.write("/root/mirrors.toml", mirrors(&web.url(), &key), 0o600)?;
    host.exec(["surefoot", "install", "--resume", "--yes", "--mirrors", "/root/mirrors.toml"])?.ok()?;
    ensure!(host.exists("/usr/bin/vendor-thing")?);

    // That key as it is on the host, binary: in a file, and from a URL.
    host.sh("cp /etc/apt/keyrings/repo.gpg /root/own.gpg")?;
    std::fs::write(
        keys.path().join("own.gpg"),
        host.sh("base64 -w0 /root/own.gpg").map(|text| STANDARD.decode(text))??,
    )?;
    for key in ["own.gpg".to_owned(), format!("{}/vendor/own.gpg", web.url())] {
        host.exec(["surefoot", "uninstall", "vendor", "--yes", "--purge"])?.ok()?;
        let key = format!("key = \"{key}\"\nfingerprints = [\"{}\"]\n", own.fingerprint());
        host.write("/root/mirrors.toml", mirrors(&web.url(), &key), 0o600)?;
        host.exec(with(&["install", "--yes"]))?.ok()?;
        ensure!(host.exists("/usr/bin/vendor-thing")?);
    }
    ensure!(web.requests().iter().all(|request| !request.path.contains("vendor.test")));
    Ok(())
}

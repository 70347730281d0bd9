//! install.sh: under every shell, with either downloader, cut off anywhere, and with a wrong byte in everything that it checks.

use anyhow::{Context, Result, ensure};
use lab::gateway::{Gateway, Kind};
use lab::web::{Answer, Web};
use lab::{Host, Output, Suite, place, tool};
use std::fs;
use std::path::{Path, PathBuf};

const SHELLS: [&str; 3] = ["dash", "bash", "busybox sh"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A release of the program under test, made as `make release` does, and a server that has it.
struct Release {
    folder: tempfile::TempDir,
    web: Web,
}

impl Release {
    fn make() -> Result<Self> {
        let (folder, web) = (tempfile::tempdir()?, Web::start()?);
        let key = folder.path().join("release.key");
        let public = folder.path().join("release.pub");
        tool::tool(
            "minisign",
            ["-G".as_ref(), "-W".as_ref(), "-p".as_ref(), public.as_os_str(), "-s".as_ref(), key.as_os_str()],
        )?;
        let (program, script) = (place::surefoot()?, root().join(".ci/release"));
        let dist = folder.path().join("dist");
        let args = [program.as_os_str(), "9.9.9".as_ref(), web.url().as_ref(), key.as_os_str(), dist.as_os_str()]
            .map(ToOwned::to_owned);
        tool::tool(&script.display().to_string(), args)?;
        web.serve("/", &dist);
        Ok(Self { folder, web })
    }

    fn script(&self) -> Result<String> {
        fs::read_to_string(self.folder.path().join("dist/install.sh")).context("no install.sh in the release")
    }

    /// Changes one byte of the files of the release that end so: the one in the middle, or the 40th of a line.
    fn spoil(&self, ending: &str, line: Option<usize>) -> Result<()> {
        for entry in fs::read_dir(self.folder.path().join("dist"))? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(ending) {
                let mut bytes = fs::read(&path)?;
                let begins = |line: usize| {
                    bytes.split_inclusive(|byte| *byte == b'\n').take(line).map(<[u8]>::len).sum::<usize>()
                };
                let at = line.map_or(bytes.len() / 2, |line| begins(line) + 40);
                bytes[at] ^= 1;
                fs::write(&path, bytes)?;
            }
        }
        Ok(())
    }
}

fn host() -> Result<Host> {
    let host = Host::boot(Suite::Bookworm)?;
    host.sh("apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends curl wget busybox openssl >/dev/null")?;
    Ok(host)
}

/// Runs it as `… | sh -s -- --version`, with what an earlier one left removed.
fn run(host: &Host, shell: &str, script: &str, env: &[(&str, &str)]) -> Result<Output> {
    host.sh("rm -rf /usr/local/bin/surefoot /root/.cache/surefoot-0")?;
    let run = host.run(["sh", "-c", &format!("{shell} -s -- --version")]).stdin(script);
    env.iter().fold(run, |run, (name, value)| run.env(name, value)).output()
}

#[test]
fn install_sh_under_every_shell_and_with_either_downloader() -> Result<()> {
    let (release, host) = (Release::make()?, host()?);
    let script = release.script()?;
    for downloader in ["curl", "wget"] {
        let other = if downloader == "curl" { "wget" } else { "curl" };
        host.sh(&format!("mv /usr/bin/{other} /usr/bin/{other}.away"))?;
        for shell in SHELLS {
            let output = run(&host, shell, &script, &[])?.ok()?;
            ensure!(output.stdout.starts_with("surefoot "), "{shell}, {downloader}: {output:?}");
            ensure!(host.exists("/usr/local/bin/surefoot")?);
        }
        host.sh(&format!("mv /usr/bin/{other}.away /usr/bin/{other}"))?;
    }
    // What is there already is not fetched again.
    let before = release.web.count("/");
    host.run(["sh", "-s", "--", "--version"]).stdin(&script).output()?.ok()?;
    ensure!(release.web.count("/") == before, "it was fetched again");
    // A signature is checked by openssl above, since there is no minisign; a folder that nothing can be run from is passed over.
    host.sh("rm -rf /root/.cache; mount -t tmpfs -o noexec tmpfs /tmp; mkdir -p /root/.cache; mount -t tmpfs -o noexec tmpfs /root/.cache")?;
    let output = run(&host, "sh", &script, &[("SUREFOOT_REQUIRE_SIGNATURE", "1")])?.ok()?;
    ensure!(output.stdout.starts_with("surefoot "), "{output:?}");
    Ok(())
}

#[test]
fn install_sh_goes_on_with_half_a_download() -> Result<()> {
    let (release, host) = (Release::make()?, host()?);
    let script = release.script()?;
    for (downloader, shell) in [("curl", "dash"), ("wget", "bash"), ("busybox wget", "busybox sh")] {
        match downloader {
            "curl" => {}
            "wget" => drop(host.sh("mv /usr/bin/curl /usr/bin/curl.away")?),
            _ => drop(host.sh("ln -sf busybox /usr/bin/wget")?),
        }
        let before = release.web.requests().len();
        release.web.answer_times(1, "/surefoot-", Answer::Cut(1_000_000));
        let output = run(&host, shell, &script, &[])?.ok()?;
        ensure!(output.stdout.starts_with("surefoot "), "{downloader}: {output:?}");
        let asked: Vec<Option<String>> = release
            .web
            .requests()
            .split_off(before)
            .iter()
            .filter(|request| request.path.ends_with("-linux"))
            .map(|request| request.headers.iter().find(|header| header.0 == "Range").map(|header| header.1.clone()))
            .collect();
        assert_eq!(asked, [None, Some("bytes=1000000-".to_owned())], "{downloader}");
    }
    Ok(())
}

#[test]
fn install_sh_by_sudo_and_beside_a_folder_that_cannot_be_written_to() -> Result<()> {
    let (release, host) = (Release::make()?, host()?);
    let script = release.script()?;
    host.install_blueprint("web")?;
    host.sh(
        "apt-get -qq install --no-install-recommends sudo >/dev/null; useradd -m jo; echo 'jo ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/jo
         chmod 755 /root; mount --bind /usr/local/bin /usr/local/bin; mount -o remount,ro,bind /usr/local/bin",
    )?;
    let run = host.run(["sh", "-s", "--", "plan", "/root/web", "--output", "json"]).as_user("jo").stdin(&script);
    // What sudo would drop gets through: an input, and a proxy with everything that a shell has a meaning for.
    let run =
        run.env("HOME", "/home/jo").env("SUREFOOT_INPUT_SITE", "it's.example").env("no_proxy", "intra.test,$HOME");
    let refused = run.env("http_proxy", "http://jo:p'a$s@nosuch.corp.test:1").output()?;
    ensure!(refused.stderr.contains("cannot get") && refused.stdout.is_empty(), "{refused:?}");
    let run = host.run(["sh", "-s", "--", "plan", "/root/web", "--output", "json"]).as_user("jo").stdin(&script);
    let plan = run.env("HOME", "/home/jo").env("SUREFOOT_INPUT_SITE", "from-jo.example").output()?.ok()?;
    ensure!(plan.stdout.contains("from-jo.example"), "the environment was dropped: {plan:?}");
    ensure!(plan.stderr.contains("cannot write to /usr/local/bin"), "{plan:?}");
    let run = host.run(["sh", "-s", "--", "--version"]).as_user("jo").stdin(&script).env("HOME", "/home/jo");
    ensure!(!run.output()?.ok()?.stderr.contains("getting"), "it was fetched again");
    let left = host.sh("ls -A /home/jo/.cache/surefoot-*")?;
    ensure!(
        left.contains("surefoot") && !left.contains("environment"),
        "the settings for sudo are still there: {left}"
    );
    // Who may not use sudo leaves no password behind.
    host.sh("useradd -m kim")?;
    let run = host.run(["sh", "-s", "--", "plan", "/root/web"]).as_user("kim").stdin(&script);
    let refused = run.env("HOME", "/home/kim").env("SUREFOOT_PROXY_PASSWORD", "hunter2").output()?;
    ensure!(!refused.success() && refused.stderr.contains("sudo"), "{refused:?}");
    assert_eq!(host.sh("ls -A /home/kim/.cache/surefoot-*; grep -rl hunter2 /home/kim /tmp || true")?, "surefoot");
    Ok(())
}

#[test]
fn install_sh_by_a_proxy_whose_certificate_is_from_a_ca_of_ones_own() -> Result<()> {
    let (release, host, gateway) = (Release::make()?, host()?, Gateway::boot()?);
    gateway.start(Kind::Tls)?;
    host.write("/root/ca.pem", gateway.ca()?, 0o644)?;
    let wall = gateway.wall(&host, &[Kind::Tls.port()])?;
    let flags = ["--proxy", &Kind::Tls.url(), "--ca-file", "/root/ca.pem"];
    let run = host.run(["sh", "-s", "--", "endpoints", "services"].iter().chain(&flags).copied());
    let listed = run.stdin(release.script()?).output()?.ok()?.stdout;
    ensure!(listed.contains("connects to https://proxy.corp.test:3130 only"), "{listed}");
    wall.held()
}

#[test]
fn install_sh_refuses_what_is_not_right() -> Result<()> {
    let host = host()?;
    let refused = |script: &str, env: &[(&str, &str)], words: &str| -> Result<()> {
        let output = run(&host, "sh", script, env)?;
        ensure!(!output.success() && output.stderr.contains(words), "expected '{words}': {output:?}");
        ensure!(output.stdout.is_empty() && !host.exists("/usr/local/bin/surefoot")?, "it was run: {output:?}");
        Ok(())
    };
    let release = Release::make()?;
    let script = release.script()?;
    let sum = script.lines().find_map(|line| line.strip_prefix("SHA256_x86_64='")).context("no checksum")?;
    let other = if sum.starts_with('0') { '1' } else { '0' };
    refused(&script.replacen(&sum[..64], &format!("{other}{}", &sum[1..64]), 1), &[], "and should be")?;
    refused(&script.replacen(&sum[..64], "", 1), &[], "no checksum")?;
    for line in [1, 2, 3] {
        release.spoil(".minisig", Some(line))?;
        refused(&script, &[], "signature")?;
        release.spoil(".minisig", Some(line))?;
    }
    host.sh("mv /usr/bin/openssl /usr/bin/openssl.away")?;
    refused(&script, &[("SUREFOOT_REQUIRE_SIGNATURE", "1")], "cannot check the signature")?;
    host.sh("for name in sha256sum busybox; do mv /usr/bin/$name /usr/bin/$name.away; done; ! command -v shasum")?;
    refused(&script, &[], "cannot check the download")?;
    host.sh("for name in openssl sha256sum busybox; do mv /usr/bin/$name.away /usr/bin/$name; done")?;
    release.spoil("-linux", None)?;
    refused(&script, &[], "it is damaged, or not ours")?;
    Ok(())
}

#[test]
fn install_sh_cut_off_at_any_line_does_nothing() -> Result<()> {
    let (release, host) = (Release::make()?, host()?);
    let script = release.script()?;
    let lines: Vec<&str> = script.lines().collect();
    for shell in SHELLS {
        host.write("/root/install.sh", &script, 0o644)?;
        host.sh(&format!(
            "i=0; while [ $i -lt {} ]; do head -n $i /root/install.sh | {shell} -s -- --version >/root/said 2>/dev/null </dev/stdin || true
             [ ! -s /root/said ] && [ ! -e /usr/local/bin/surefoot ] && [ ! -e /root/.cache/surefoot-0 ]; i=$((i + 1)); done",
            lines.len()
        ))?;
    }
    ensure!(release.web.count("/") == 0, "something was fetched");
    Ok(())
}

#[test]
fn install_sh_is_portable() -> Result<()> {
    let script = root().join("install.sh");
    tool::tool("shellcheck", [&script, &root().join(".ci/release")])?;
    tool::tool("checkbashisms", ["-p".as_ref(), script.as_os_str()])?;
    Ok(())
}

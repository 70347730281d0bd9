//! The fault corpus of the network: `data/network-faults.toml`. Also what a TLS-opening proxy and faults that pass are to an install.
//!
//! `FAULT=part-of-a-name` runs the cases of that name alone; with `--no-capture` their cards are shown.

#![expect(clippy::disallowed_macros, reason = "cards are shown to whoever tries one case")]

use anyhow::{Context, Result, bail, ensure};
use lab::gateway::{Gateway, Kind, ORIGIN, PASSWORD, SERVER};
use lab::{Host, Output, Reach, Snapshot, Suite};
use serde::Deserialize;
use std::time::Duration;

const CORPUS: &str = include_str!("../data/network-faults.toml");
const FAULTY: &str = include_str!("../data/network/proxy.py");
/// The port of the proxy that does one thing wrong.
const FAULT_PORT: u16 = 3140;
/// A port of the gateway that may be reached and that nobody listens on.
const NOBODY: u16 = 3999;
/// For what a terminal has to show.
const PATIENCE: Duration = Duration::from_secs(90);
/// How many tests the corpus is split into.
const CHUNKS: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    proxy: String,
    #[serde(default)]
    fault: String,
    https: Option<(i32, i32)>,
    #[serde(default, rename = "break")]
    breaks: String,
    failure: Failure,
    #[serde(default = "yes")]
    look: bool,
    late: Option<String>,
    #[serde(default)]
    mend: String,
    fix: Option<(i32, i32)>,
    #[serde(default)]
    flags: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    class: String,
    code: i32,
    evidence: String,
    later: Option<Box<Failure>>,
}

fn yes() -> bool {
    true
}

fn corpus() -> Result<Vec<Case>> {
    Ok(toml::from_str::<Corpus>(CORPUS).context("data/network-faults.toml")?.case)
}

/// A walled host with the program and the blueprint `hello`, and the proxies that cases ask for.
struct Office {
    gateway: Gateway,
    host: Host,
    wall: lab::Wall,
}

impl Office {
    fn open() -> Result<Self> {
        let gateway = Gateway::boot()?;
        gateway.host().write("/root/proxy.py", FAULTY, 0o644)?;
        let key =
            lab::snapshot::key_of(&lab::place::surefoot()?)? + include_str!("../data/blueprints/hello/blueprint.toml");
        let ground = Snapshot::cached("hello", &key, || {
            let host = Host::boot(Suite::Bookworm)?;
            host.install_binary()?;
            host.install_blueprint("hello")?;
            host.sh("apt-get clean; rm -rf /var/lib/apt/lists/*")?;
            Ok(host)
        })?;
        let host = ground.host().reach(Reach::Bridge).boot()?;
        host.write("/root/password", PASSWORD, 0o600)?;
        let ports = [Kind::Plain, Kind::Basic, Kind::Tls, Kind::Socks, Kind::Intercepting].map(Kind::port);
        let wall = gateway.wall(&host, &[&ports[..], &[FAULT_PORT, NOBODY]].concat())?;
        Ok(Self { gateway, host, wall })
    }

    /// Lets the host ask the archive by https, from a server whose certificate is valid on these days.
    fn https(&self, days: (i32, i32)) -> Result<()> {
        self.gateway.serve_tls(days)?;
        self.host.write("/root/lab-ca.pem", self.gateway.ca()?, 0o644)?;
        self.host.sh(&format!(
            "sed -i 's|http://10.77.0.1:3142|https://{SERVER}:{ORIGIN}|' /etc/apt/sources.list.d/debian.sources"
        ))?;
        Ok(())
    }

    /// Starts the proxy that does one thing wrong, anew.
    fn faulty(&self, fault: &str, when: &str) -> Result<()> {
        self.gateway.host().sh("systemctl stop lab-fault 2>/dev/null || true")?;
        self.gateway.run("fault", &["python3", "/root/proxy.py", &FAULT_PORT.to_string(), fault, when])?;
        self.gateway.wait_for(FAULT_PORT)
    }

    fn install(&self, flags: &[&str]) -> Result<Output> {
        self.host.exec(["surefoot", "install", "/root/hello", "--yes"].iter().chain(flags).copied())
    }

    /// Installs, and sees that fail as told.
    fn fails(&self, flags: &[&str], wanted: &Failure) -> Result<()> {
        let output = self.install(flags)?;
        self.failed(output.code(), &output.stderr, wanted)
    }

    /// The same, where all is well until it is asked whether to make these changes.
    fn fails_late(&self, case: &Case, late: &str, wanted: &Failure) -> Result<()> {
        let url = if case.proxy.starts_with("socks") { Kind::Socks } else { Kind::Plain }.url();
        let mut flags = vec!["--proxy", &url];
        if let Some(days) = case.fix {
            self.gateway.serve_tls(days)?;
            flags.extend(["--ca-file", "/root/lab-ca.pem"]);
        }
        let install = ["surefoot", "install", "/root/hello"].iter().chain(&flags).copied();
        let terminal = self.host.run(install).in_terminal()?;
        terminal.wait_for("Make these changes?", PATIENCE)?;
        self.host.sh(&format!(":; {late}"))?;
        if let Some(days) = case.https {
            self.gateway.serve_tls(days)?;
        }
        terminal.text("y")?;
        let code = terminal.wait_for_end(PATIENCE)?;
        self.failed(code, &terminal.screen()?, wanted)
    }

    /// It failed as told, with its cause on the card, and nothing after it was done.
    fn failed(&self, code: i32, said: &str, wanted: &Failure) -> Result<()> {
        if std::env::var_os("FAULT").is_some() {
            println!("{said}");
        }
        let shown = said;
        let card = self.host.exec(["surefoot", "why", "hello", "--output", "json"])?.ok()?.stdout;
        let card: serde_json::Value = serde_json::from_str(&card)?;
        let said = format!("{}{}", card["message"], card["evidence"]);
        let fits = card["class"] == wanted.class.as_str() && code == wanted.code && said.contains(&wanted.evidence);
        ensure!(fits, "expected {} ({}) and '{}', got {card:#}\n{}", wanted.class, wanted.code, wanted.evidence, shown);
        ensure!(card["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "no advice: {card:#}");
        ensure!(!self.host.exists("/etc/hello-is-there")? && !self.host.exists("/usr/bin/hello")?, "a later step ran");
        Ok(())
    }
}

fn try_case(case: &Case) -> Result<()> {
    let office = Office::open()?;
    office.gateway.start(Kind::Plain)?;
    let url = match case.proxy.as_str() {
        "plain" => Kind::Plain.url(),
        "squid" => {
            office.gateway.start(Kind::Basic)?;
            Kind::Basic.url()
        }
        "intercepting" => {
            office.gateway.start(Kind::Intercepting)?;
            office.host.write("/root/mitm-ca.pem", office.gateway.intercepting_ca()?, 0o644)?;
            Kind::Intercepting.url()
        }
        "fault" => {
            office.faulty(&case.fault, "")?;
            format!("http://{}:{FAULT_PORT}", lab::gateway::NAME)
        }
        other => other.to_owned(),
    };
    if url.starts_with("socks") {
        office.gateway.start(Kind::Socks)?;
    }
    if let Some(days) = case.https {
        office.https(days)?;
    }
    office.host.sh(&format!(":; {}", case.breaks))?;
    let mut flags = vec!["--proxy", &url];
    // What the intercepting proxy shows is not from the lab's CA.
    if case.https.is_some() && case.proxy != "intercepting" {
        flags.extend(["--ca-file", "/root/lab-ca.pem"]);
    }
    let later = case.failure.later.as_deref().unwrap_or(&case.failure);

    office.fails(&flags, &case.failure).context("as it is")?;
    if case.look {
        let check = "endpoint ".to_owned() + &name_of_check(&office.host)?;
        let ignored = [&flags[..], &["--ignore", &check]].concat();
        office.fails(&ignored, later).context("with the check ignored")?;
        if case.proxy == "fault" {
            office.faulty(&case.fault, "late")?;
            office.fails(&flags, later).context("injected after the check")?;
        }
        if let Some(late) = &case.late {
            office.fails_late(case, late, later).context("injected after the check")?;
        }
    }

    if case.proxy == "fault" {
        office.faulty("none", "")?;
    }
    if let Some(days) = case.fix {
        office.gateway.serve_tls(days)?;
    }
    office.host.sh(&format!(":; {}", case.mend))?;
    let resume = ["surefoot", "install", "--resume", "--yes"].into_iter().chain(case.flags.split_whitespace());
    office.host.exec(resume)?.ok().context("after the mend")?;
    ensure!(office.host.read("/etc/hello-is-there")? == "yes\n" && office.host.exists("/usr/bin/hello")?);
    // A name that nobody knows is asked for, and then the proxy is none that could be gone past.
    if case.proxy != "none" && !case.proxy.contains("nosuch") {
        office.wall.held()?;
    }
    Ok(())
}

/// `HOST` or `HOST:PORT`, as the check of the archive calls it.
fn name_of_check(host: &Host) -> Result<String> {
    let uri =
        host.sh("sed -n 's|^URIs: *https*://\\([^/ ]*\\).*|\\1|p' /etc/apt/sources.list.d/debian.sources | head -1")?;
    ensure!(!uri.is_empty(), "no URI in the sources");
    Ok(uri)
}

fn try_chunk(number: usize) -> Result<()> {
    let only = std::env::var("FAULT").unwrap_or_default();
    let mut failed = Vec::new();
    let cases = corpus()?;
    for case in cases.iter().skip(number).step_by(CHUNKS).filter(|case| case.name.contains(&only)) {
        if let Err(error) = try_case(case) {
            failed.push(format!("== {}\n{error:#}", case.name));
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("{} failed\n{}", failed.len(), failed.join("\n")) }
}

#[test]
fn faults_of_the_network_1() -> Result<()> {
    try_chunk(0)
}

#[test]
fn faults_of_the_network_2() -> Result<()> {
    try_chunk(1)
}

#[test]
fn faults_of_the_network_3() -> Result<()> {
    try_chunk(2)
}

#[test]
fn the_corpus_is_whole() -> Result<()> {
    let cases = corpus()?;
    ensure!(cases.len() >= 14, "only {} cases", cases.len());
    for case in &cases {
        ensure!(case.failure.class != "internal" && !case.failure.evidence.is_empty(), "{}", case.name);
        let wrong = FAULTY.contains(&format!("\"{}\"", case.fault));
        ensure!(case.proxy != "fault" || wrong, "{}: the proxy knows no fault '{}'", case.name, case.fault);
    }
    Ok(())
}

#[test]
fn a_fault_that_passes_is_tried_again_visibly() -> Result<()> {
    let office = Office::open()?;
    office.faulty("unavailable", "late")?;
    let url = format!("http://{}:{FAULT_PORT}", lab::gateway::NAME);
    let lasting = office.install(&["--proxy", &url])?.code_is(20)?;
    ensure!(lasting.stderr.contains("attempt 3 of 3"), "{}", lasting.stderr);
    office.faulty("unavailable", "once")?;
    let passing = office.host.exec(["surefoot", "install", "--resume", "--yes"])?.ok()?;
    ensure!(passing.stderr.contains("attempt 2 of 3"), "{}", passing.stderr);
    Ok(())
}

#[test]
fn a_ca_of_the_users_own_is_trusted_by_everything_and_taken_back() -> Result<()> {
    let office = Office::open()?;
    office.gateway.start(Kind::Intercepting)?;
    office.host.write("/root/mitm-ca.pem", office.gateway.intercepting_ca()?, 0o644)?;
    office.https((-1, 30))?;
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    let before = office.host.sh(&format!("sha256sum {bundle}"))?;
    let flags = ["--proxy", &Kind::Intercepting.url(), "--ca-file", "/root/mitm-ca.pem"];
    office.install(&flags)?.ok()?;
    office.wall.held()?;
    office.host.sh(&format!(
        "grep -qF \"$(sed -n 2p /root/mitm-ca.pem)\" {bundle}; openssl x509 -noout -in /usr/local/share/ca-certificates/surefoot-hello-1.crt"
    ))?;
    let again = office.host.exec(["surefoot", "install", "/root/hello", "--yes"])?.ok()?;
    ensure!(again.stderr.contains("0 changed"), "{}", again.stderr);
    office.host.sh("rm /usr/local/share/ca-certificates/surefoot-hello-1.crt")?;
    let mended = office.host.exec(["surefoot", "install", "/root/hello", "--yes"])?.ok()?;
    ensure!(mended.stderr.contains("1 changed"), "{}", mended.stderr);
    office.host.exec(["surefoot", "uninstall", "hello", "--yes", "--purge"])?.ok()?;
    ensure!(office.host.sh(&format!("sha256sum {bundle}"))? == before, "the CA is still trusted");
    ensure!(!office.host.exists("/usr/local/share/ca-certificates/surefoot-hello-1.crt")?);
    Ok(())
}

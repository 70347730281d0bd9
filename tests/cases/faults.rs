//! The fault corpus: `data/faults.toml`, each case on a host of its own.
//!
//! A case breaks something, proves that it is broken, and runs surefoot. A failure must be of the right class, exit code and step, with its
//! cause on the card; once mended it must succeed by `--resume`. A success must be one in spite of the fault.
//! `FAULT=part-of-a-name` runs the cases of that name alone; with `--no-capture` their cards are shown.

#![expect(clippy::disallowed_macros, reason = "the cards are shown to whoever runs the tests")]

use anyhow::{Context, Result, bail, ensure};
use lab::{
    Host, Output, Snapshot, Suite,
    repo::{Package, Repo, Signature},
    web::{Answer, Web},
};
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, Instant};

const CORPUS: &str = include_str!("../data/faults.toml");
const EXIT_CODES: &str = include_str!("../../docs/exit-codes.md");
/// How many tests the corpus is split into: a runner of tests puts them on its processors.
const CHUNKS: usize = 4;
/// How long any script of a case may take; most take seconds.
const PATIENCE: Duration = Duration::from_secs(180);
/// Most rows of a card: a screen has 24, and a prompt.
const ROWS: usize = 22;
const COLUMNS: usize = 80;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What is broken, for people.
    broken: String,
    /// A blueprint of `data/blueprints`.
    #[serde(default = "web")]
    blueprint: String,
    /// What the vendor's repository does wrong; mended with the rest.
    repository: Option<Wrong>,
    /// A script that breaks it, in the host.
    #[serde(default, rename = "break")]
    breaks: String,
    /// A script that succeeds only where it is broken.
    #[serde(default)]
    seen: String,
    /// The script that is tried: an install, unless said.
    run: Option<String>,
    /// How it must fail; without it, it must succeed.
    failure: Option<Failure>,
    /// A script that mends it.
    #[serde(default)]
    mend: String,
    /// The script that must succeed once it is mended: a resume, unless said.
    then: Option<String>,
    /// Why `then` is no resume: nothing was begun, because …
    because: Option<String>,
    /// A script that must succeed at the end.
    #[serde(default)]
    holds: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Failure {
    class: String,
    code: i32,
    /// The step where it fails; empty where it is not in a step.
    #[serde(default)]
    step: String,
    /// What must stand in the evidence.
    evidence: String,
}

/// What a repository does wrong.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Wrong {
    NotFound,
    Unavailable,
    /// Once.
    UnavailableOnce,
    SignInPage,
    HalfAFile,
    OtherKey,
    Unsigned,
    Expired,
    HalfAPackage,
    PackageGone,
}

fn web() -> String {
    "web".to_owned()
}

fn corpus() -> Result<Vec<Case>> {
    Ok(toml::from_str::<Corpus>(CORPUS).context("data/faults.toml")?.case)
}

/// A host with the program, the blueprints, and what breaks things.
fn ground() -> Result<Snapshot> {
    let key = format!("{}{}", lab::snapshot::key_of(&lab::place::surefoot()?)?, include_str!("../data/faults/hold.pl"));
    let key = key + include_str!("../data/blueprints/thing/blueprint.toml");
    let key = key + include_str!("../data/blueprints/note/blueprint.toml");
    let key = key + include_str!("../data/blueprints/web/blueprint.toml");
    Snapshot::cached("faults", &key, || {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        for blueprint in ["web", "thing", "note"] {
            host.install_blueprint(blueprint)?;
        }
        host.write("/root/hold.pl", include_str!("../data/faults/hold.pl"), 0o755)?;
        Ok(host)
    })
}

/// The repository of the blueprint `thing`, and where it is served.
struct Vendor {
    repo: Repo,
    web: Web,
}

impl Vendor {
    fn open(wrong: Option<Wrong>) -> Result<Self> {
        let thing = Package::new("lab-thing", "1.0")
            .field("Depends", "lab-part (<< 2)")
            .field("Conflicts", "lab-rival")
            .file("/usr/bin/lab-thing", include_str!("../data/faults/thing.pl"), 0o755)
            .file("/lib/systemd/system/lab-thing.service", include_str!("../data/faults/lab-thing.service"), 0o644)
            .script("postinst", include_str!("../data/faults/postinst.sh"));
        let repo = Repo::new(&[thing, Package::new("lab-part", "1.0")])?;
        let repo = match wrong {
            Some(Wrong::OtherKey) => repo.signed(Signature::Wrong)?,
            Some(Wrong::Unsigned) => repo.signed(Signature::None)?,
            Some(Wrong::Expired) => repo.expired()?,
            _ => repo,
        };
        let web = Web::start()?;
        web.serve("/apt", repo.folder());
        match wrong {
            Some(Wrong::NotFound) => web.answer("/apt/dists/", Answer::Status(404)),
            Some(Wrong::Unavailable) => web.answer("/apt/dists/", Answer::Status(503)),
            Some(Wrong::UnavailableOnce) => web.answer_times(1, "/apt/dists/", Answer::Status(503)),
            Some(Wrong::SignInPage) => web.answer("/apt/dists/", Answer::Garbage),
            Some(Wrong::HalfAFile) => web.answer("/apt/dists/", Answer::Cut(300)),
            Some(Wrong::HalfAPackage) => web.answer("/apt/pool/", Answer::Cut(300)),
            Some(Wrong::PackageGone) => web.answer("/apt/pool/", Answer::Status(404)),
            Some(Wrong::OtherKey | Wrong::Unsigned | Wrong::Expired) | None => {}
        }
        Ok(Self { repo, web })
    }

    fn mend(self) -> Result<Self> {
        let repo = self.repo.signed(Signature::Right)?.current()?;
        self.web.serve("/apt", repo.folder());
        self.web.behave();
        Ok(Self { repo, web: self.web })
    }
}

impl Case {
    fn tried(&self, ground: &Snapshot) -> Result<()> {
        let host = ground.host().boot()?;
        let vendor = if self.blueprint == "thing" { Some(Vendor::open(self.repository)?) } else { None };
        if let Some(vendor) = &vendor {
            host.write("/root/thing/files/vendor.asc", vendor.repo.key(), 0o644)?;
            let answers =
                format!("url = \"{}/apt\"\nfingerprint = \"{}\"\n", vendor.web.url(), vendor.repo.fingerprint());
            host.write("/root/thing.toml", answers, 0o644)?;
        }
        script(&host, &self.breaks).context("breaking it")?;
        script(&host, &self.seen).context("it is not broken")?;
        let install = match self.blueprint.as_str() {
            "thing" => "surefoot install /root/thing --yes --answers /root/thing.toml",
            "note" => "surefoot install /root/note --yes --set words=hello",
            _ => "surefoot install /root/web --yes",
        };
        let run = self.run.as_deref().unwrap_or(install);
        // What a look at the network finds before anything is touched is tried by the corpus of the network.
        let output = host.run(["sh", "-c", run]).env("SUREFOOT_IGNORE", "endpoint").patience(PATIENCE).output()?;
        if let Some(failure) = &self.failure {
            failure.is_that_of(&host, run, &output)?;
            let vendor = vendor.map(Vendor::mend).transpose()?;
            script(&host, &self.mend).context("mending it")?;
            let then = self.then.as_deref().unwrap_or("surefoot install --resume --yes");
            ensure!(then.contains("--resume") != self.because.is_some(), "say why it is no resume");
            if self.because.is_some() {
                // Named, since another product may be there that can be looked at again.
                let resumed = host.exec(["surefoot", "install", &self.blueprint, "--resume", "--yes"])?;
                ensure!(resumed.code() == 30, "something was begun, and can be resumed: {resumed:?}");
            }
            host.run(["sh", "-c", then]).patience(PATIENCE).output()?.ok().context("mended")?;
            drop(vendor);
        } else {
            ensure!(self.mend.is_empty() && self.then.is_none(), "a success needs no mending");
            println!("--- {}\n{}{}", self.name, output.stdout, output.stderr);
            output.ok()?;
        }
        script(&host, &self.holds).context("at the end")?;
        host.exec(["surefoot", "status", "--exit-code"])?.ok().context("status").map(drop)
    }
}

fn script(host: &Host, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    host.run(["sh", "-euc", text]).patience(PATIENCE).output()?.ok().map(drop)
}

impl Failure {
    /// Is what `output` tells, and what is told again, this failure?
    fn is_that_of(&self, host: &Host, run: &str, output: &Output) -> Result<()> {
        let Some(at) = output.stderr.find("FAILED ") else {
            bail!("`{run}` exited {} without a card:\n{}{}", output.code(), output.stdout, output.stderr);
        };
        // What follows the card is the summary of the run.
        let card = output.stderr[at..].split("\n\n").next().unwrap_or_default();
        println!("--- {run}\n{card}");
        ensure!(self.class != "internal", "no failure is expected to be a bug");
        ensure!(output.code() == self.code, "exit code {}, not {}", output.code(), self.code);
        let row = format!("| {} | `{}` |", self.code, self.class);
        let by_signal = self.class == "interrupted" && EXIT_CODES.contains(&format!("| {} | stopped by", self.code));
        ensure!(by_signal || EXIT_CODES.contains(&row), "docs/exit-codes.md has no row {row}");
        for line in card.lines() {
            ensure!(line.chars().count() <= COLUMNS, "a line is too long: {line}");
        }
        ensure!(card.lines().count() <= ROWS, "the card does not fit a screen");

        // Who may not write a log has nobody to tell it again.
        let again = host.exec(["surefoot", "why"])?;
        if run.contains("setpriv") {
            return ensure_in(card, &self.evidence);
        }
        ensure!(
            again.stdout.trim() == card.trim(),
            "surefoot why shows another card:\n{}{}",
            again.stdout,
            again.stderr
        );
        let json: Value = serde_json::from_str(&host.exec(["surefoot", "why", "--output", "json"])?.ok()?.stdout)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        ensure!(text(&json["class"]) == self.class && json["exit_code"] == self.code, "the class is wrong: {json}");
        ensure!(text(&json["step"]) == self.step, "the step is wrong: {json}");
        ensure!(!text(&json["advice"]).is_empty(), "there is no advice: {json}");
        // The sentence of the card quotes what it can.
        let lines = json["evidence"].as_array().into_iter().flatten().map(text);
        let evidence: Vec<String> = lines.chain([text(&json["message"])]).collect();
        ensure!(evidence.iter().any(|line| line.contains(&self.evidence)), "the evidence is wrong: {evidence:#?}");
        // The card tells what the JSON tells.
        for part in [&text(&json["message"]), &text(&json["advice"]), &self.evidence, &self.class] {
            ensure_in(card, part)?;
        }
        Ok(())
    }
}

/// Is `part` on the card, wherever its lines are broken?
fn ensure_in(card: &str, part: &str) -> Result<()> {
    let plain = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace() && *c != '|').collect() };
    let body: String = card.lines().map(|line| line.get(8..).unwrap_or_default()).collect();
    ensure!(plain(&body).contains(&plain(part)), "{part:?} is not on the card:\n{card}");
    Ok(())
}

fn chunk(number: usize) -> Result<()> {
    let ground = ground()?;
    let only = std::env::var("FAULT").unwrap_or_default();
    let mut wrong = Vec::new();
    for case in corpus()?.iter().skip(number).step_by(CHUNKS).filter(|case| case.name.contains(&only)) {
        let began = Instant::now();
        if let Err(error) = case.tried(&ground) {
            let told = format!("{} ({}): {error:#}", case.name, case.broken);
            println!("{told}");
            wrong.push(told);
        }
        println!("=== {} took {:.1} s", case.name, began.elapsed().as_secs_f32());
    }
    ensure!(wrong.is_empty(), "{} cases are not as they should be:\n\n{}", wrong.len(), wrong.join("\n\n"));
    Ok(())
}

#[test]
fn faults_one() -> Result<()> {
    chunk(0)
}

#[test]
fn faults_two() -> Result<()> {
    chunk(1)
}

#[test]
fn faults_three() -> Result<()> {
    chunk(2)
}

#[test]
fn faults_four() -> Result<()> {
    chunk(3)
}

#[test]
fn the_corpus_is_whole() -> Result<()> {
    let cases = corpus()?;
    let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    ensure!(names.len() == cases.len(), "two cases have the same name");
    let failures = cases.iter().filter(|case| case.failure.is_some()).count();
    ensure!(failures >= 25 && cases.len() - failures >= 10, "{failures} of {} cases are failures", cases.len());
    let proven = |case: &Case| !case.seen.is_empty() || case.repository.is_some() || case.run.is_some();
    let unproven: Vec<&str> = cases.iter().filter(|case| !proven(case)).map(|case| case.name.as_str()).collect();
    ensure!(unproven.is_empty(), "nothing proves that these are broken: {unproven:?}");
    Ok(())
}

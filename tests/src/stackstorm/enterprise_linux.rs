//! The stand-ins for StackStorm's packages as RPM, and the vendors' repositories for Enterprise Linux.

use super::{PASSWORD, VERSION, killed::differences, packages};
use crate::{
    Digest, Suite, base, host::Host, mongodb, repo::Package, repo::Signature, rpm, rpm::RpmRepo, snapshot::Snapshot,
    sweep, sweep::Death, sweep::Moment, sweep::Point, sweep::Random, web::Web,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// What is offered besides the newest version.
const OLDER: &str = "3.8.1-2";

/// Builds `package`, a Debian one, as RPM into `folder`: the same files, where Enterprise Linux has them.
fn build(package: &Package, folder: &Path) -> Result<()> {
    let (name, version) = package.identity();
    let (number, revision) = version.split_once('-').context("a version has no revision")?;
    let tree = package.unpacked()?;
    let inside = |path: &str| tree.path().join(path);
    if inside("lib").exists() {
        fs::create_dir_all(inside("usr/lib"))?;
        fs::rename(inside("lib/systemd"), inside("usr/lib/systemd"))?;
        fs::remove_dir(inside("lib"))?;
        let mut command = Command::new("sed");
        command.args(["-i", "s|/etc/default/|/etc/sysconfig/|"]);
        for unit in fs::read_dir(inside("usr/lib/systemd/system"))? {
            command.arg(unit?.path());
        }
        crate::tool::output(&mut command)?;
    }
    let macros = [format!("package {name}"), format!("number {number}"), format!("revision {revision}")];
    let macros = macros.iter().map(String::as_str).collect::<Vec<_>>();
    rpm::build(include_str!("../../data/stackstorm/package.spec"), &macros, tree.path(), folder).map(drop)
}

/// The vendors' repositories, and the distribution's own, with a server for all of them.
#[derive(Debug)]
pub struct RpmVendors {
    /// The server.
    pub web: Web,
    suite: Suite,
    distribution: RpmRepo,
    /// Each with the name of the vendor's server.
    vendors: [(&'static str, RpmRepo); 4],
}

impl RpmVendors {
    /// Starts it.
    ///
    /// # Errors
    /// When a package cannot be made.
    pub fn start(suite: Suite) -> Result<Self> {
        let built = tempfile::tempdir()?;
        let (st2, node) = (built.path().join("st2"), built.path().join("node"));
        for folder in [&st2, &node] {
            fs::create_dir(folder)?;
        }
        for version in [OLDER, VERSION] {
            for package in packages(suite, version)? {
                build(&package, &st2)?;
            }
        }
        let program = Package::new("nodejs", "20.19.0-1nodesource").file("/usr/bin/node", "#!/bin/sh\nexit 1\n", 0o755);
        build(&program, &node)?;
        let own = |names: &[&str]| RpmRepo::new(names, Signature::Right, Signature::Right);
        let made = |folder: PathBuf| RpmRepo::of(&[folder], Signature::Right, Signature::Right);
        let vendors = [
            ("packagecloud.io", made(st2)?),
            ("repo.mongodb.org", mongodb::rpm_repository(suite)?),
            ("yum1.rabbitmq.com", own(&["rabbitmq-server"])?),
            ("rpm.nodesource.com", made(node)?),
        ];
        let (web, distribution) = (Web::start()?, own(&base::own_packages(suite))?);
        web.serve("/distribution", distribution.folder());
        // What vendors build for nobody else has to do for the others.
        let release = if suite == Suite::El8 { 8 } else { 9 };
        let of_mongodb = if suite == Suite::Amazon { "amazon/2023".to_owned() } else { format!("redhat/{release}") };
        for (server, path) in [
            ("packagecloud.io", format!("StackStorm/stable/el/{release}/x86_64")),
            ("repo.mongodb.org", format!("yum/{of_mongodb}/mongodb-org/7.0/x86_64")),
            ("yum1.rabbitmq.com", format!("erlang/el/{release}/x86_64")),
            ("yum1.rabbitmq.com", format!("rabbitmq/el/{release}/noarch")),
            ("rpm.nodesource.com", "pub_20.x/nodistro/nodejs/x86_64".to_owned()),
        ] {
            let repo = vendors.iter().find(|vendor| vendor.0 == server).map(|vendor| &vendor.1);
            web.serve(&format!("/{server}/{path}"), repo.context("no such server")?.folder());
        }
        for (server, repo) in &vendors {
            fs::write(repo.folder().join("key"), repo.key())?;
            web.serve(&format!("/keys/{server}"), repo.folder());
        }
        Ok(Self { web, suite, distribution, vendors })
    }

    /// A host with the distribution's repository and what each of its servers has; and in /root, answers with ChatOps, and a mirrors file
    /// that puts this server in the vendors' place, and changes nothing else of their addresses.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn host(&self) -> Result<Host> {
        let (host, url) = (super::fresh(self.suite)?.host().boot()?, self.web.url());
        host.install_binary()?;
        let key = "/etc/pki/rpm-gpg/RPM-GPG-KEY-appstream";
        host.write(key, self.distribution.key(), 0o644)?;
        let definition =
            format!("[appstream]\nname=appstream\nbaseurl={url}/distribution\ngpgcheck=1\ngpgkey=file://{key}\n");
        host.write("/etc/yum.repos.d/appstream.repo", definition, 0o644)?;
        host.sh(&format!("rpm --import {key}; dnf -q makecache"))?;
        let mirrors = self.vendors.iter().map(|(server, repo)| {
            format!(
                "[[mirror]]\nof = 'https://{server}'\nurl = '{url}/{server}'\nkey = '{url}/keys/{server}/key'\nfingerprints = ['{}']\n",
                repo.fingerprint()
            )
        });
        host.write("/root/mirrors.toml", mirrors.collect::<String>(), 0o600)?;
        let answers = format!(
            "st2_fingerprint = '{}'\nworkers = '2'\npassword = '''{PASSWORD}'''\nchatops = 'slack'\nslack_bot_token = 'xoxb-1'\n\
             slack_app_token = 'xapp-1'\n",
            self.vendors[0].1.fingerprint()
        );
        host.write("/root/answers.toml", answers, 0o600)?;
        Ok(host)
    }
}

/// What rpm knows of the packages, and what it says of their files.
const PACKAGES: &str = "rpm -q st2 st2web st2chatops; rpm -V st2 st2web st2chatops || true";

/// Upgrades what is installed on `snapshot` by `args`, which give events as JSON, killed at as many moments at which rpm is at work, with
/// everything that was started or with the machine: afterwards there is one version of each package, whole, the host is like one where nothing was
/// killed, and a second run changes nothing. Some are killed while going on, too. How many were killed while rpm knew a package twice.
///
/// # Errors
/// When one is not so.
pub fn upgrades_survive(snapshot: &Snapshot, args: &[&str], kills: usize) -> Result<usize> {
    let host = snapshot.host().boot()?;
    let told = host.exec(args.iter().copied())?.ok()?.stdout;
    let (whole, packages) = (Digest::but_for(&host, &sweep::generated(&host, "stackstorm")?)?, host.sh(PACKAGES)?);
    drop(host);
    let times = rpm_at_work(&told)?;
    let seed = sweep::seed()?;
    let (mut random, mut killed, mut doubled) = (Random::new(seed), 0, 0);
    let draw = |random: &mut Random| Point {
        moment: drawn(&times, random),
        death: [Death::Tree, Death::Machine][random.below(2)],
    };
    for _ in 0..2 * kills {
        let (mut host, point) = (snapshot.host().boot()?, draw(&mut random));
        if point.strike(&mut host, args.iter().map(|arg| (*arg).to_owned()).collect())?.is_none() {
            continue;
        }
        let resume = ["surefoot", "install", "--resume", "--yes", "--output", "json"].map(str::to_owned);
        let known = host.sh("rpm -q st2 st2web st2chatops | wc -l")?;
        let mut path = format!("seed {seed}, killed {point}, {known} known");
        if random.below(2) == 0 {
            let again = draw(&mut random);
            let struck = again.strike(&mut host, resume.to_vec()).with_context(|| path.clone())?;
            path += &format!(", and again {again}{}", if struck.is_some() { "" } else { ", too late" });
        }
        let resumed = host.exec(resume)?;
        // The second kill may have come too late.
        ensure!(
            resumed.success() || resumed.stderr.contains("nothing to resume"),
            "{path}: {}{}",
            resumed.stdout,
            resumed.stderr
        );
        let (different, now) = (differences(&whole, &host)?, host.sh(PACKAGES)?);
        ensure!(different.is_empty() && now == packages, "{path}: {different:#?}\n{now}\nin place of\n{packages}");
        let told = host.install("stackstorm")?;
        ensure!(told.changed + told.restarted == 0, "{path}: {told:?}");
        eprintln!("{path}: all is well");
        (killed, doubled) = (killed + 1, doubled + usize::from(known.trim() != "3"));
        if killed == kills {
            return Ok(doubled);
        }
    }
    anyhow::bail!("only {killed} of {kills} were killed in time")
}

/// When progress was told of what rpm did, by the events of an install, in milliseconds; and when it had ended. What dnf looks at afterwards is none of it.
fn rpm_at_work(events: &str) -> Result<Vec<u64>> {
    let events = events.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>()?;
    let told = events.iter().filter(|event| event["type"] == "progress");
    let (mut times, mut over) = (Vec::new(), false);
    for event in told {
        if !over {
            times.push(event["elapsed_ms"].as_u64().context("an event has no time")?);
        }
        over |= event["text"].as_str().is_some_and(|text| text.starts_with("Verifying"));
    }
    ensure!(over && times.len() > 3, "rpm's progress was not told: {times:?}");
    Ok(times)
}

/// A moment between two of `times`: each gap is as likely, or each millisecond.
fn drawn(times: &[u64], random: &mut Random) -> Moment {
    let below = |random: &mut Random, bound: u64| random.below(usize::try_from(bound).unwrap_or(1).max(1)) as u64;
    let last = times.len() - 1;
    let (nth, micros) = if random.below(2) == 0 {
        let nth = random.below(last);
        (nth, below(random, (times[nth + 1] - times[nth]) * 1000))
    } else {
        let at = times[0] * 1000 + below(random, (times[last] - times[0]) * 1000);
        let nth = times.iter().rposition(|time| time * 1000 <= at).unwrap_or_default();
        (nth, at - times[nth] * 1000)
    };
    Moment::Progress(nth + 1, Duration::from_micros(micros))
}

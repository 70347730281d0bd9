//! `lab bench --stackstorm`: how long StackStorm with every component takes to install (its stand-ins), against what no installer avoids: an index
//! update, one transaction of the very same packages with nothing started in it, and the start of the slowest server.

use crate::{host::Host, setup, snapshot::Snapshot, stackstorm, stackstorm::Vendors, suite::Suite};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Servers whose start is timed: those of StackStorm's own come up once these are there.
const SERVERS: [&str; 4] = ["redis-server", "mongod", "rabbitmq-server", "nginx"];
const COMPONENTS: &str =
    "rbac = true\nchatops = 'slack'\nslack_bot_token = 'xoxb-1-1-a'\nslack_app_token = 'xapp-1-A1-1-a'\n";
const INSTALLED: &str = "dpkg-query -W -f '${Package}\\n' | sort";

/// What cannot be avoided, in seconds.
struct Least {
    update: f64,
    transaction: f64,
    start: f64,
}

/// Runs both in turns, `rounds` times, and prints what they took as Markdown.
///
/// # Errors
/// When one does not bring what it should.
pub fn bench(rounds: usize) -> Result<()> {
    setup::setup()?;
    let vendors = Vendors::start(Suite::Ubuntu)?;
    let ground = stackstorm::fresh(Suite::Ubuntu)?;
    // Which packages they are, how their repositories are named, and all of it in the mirror's cache.
    let host = ready(&ground, &vendors)?;
    let before = host.sh(INSTALLED)?;
    install(&host)?;
    let after = host.sh(INSTALLED)?;
    let packages: Vec<&str> = after.lines().filter(|name| !before.lines().any(|had| had == *name)).collect();
    host.sh("tar -C /etc/apt -cf /root/apt.tar sources.list.d keyrings preferences.d")?;
    let sources = std::fs::read(host.disk().join("root/apt.tar"))?;
    drop(host);

    println!(
        "\n| round | surefoot, s | index, s | packages, s | slowest start, s | ratio |\n| --- | --- | --- | --- | --- | --- |"
    );
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let host = ready(&ground, &vendors)?;
        let ours = install(&host).context("surefoot")?;
        drop(host);
        let Least { update, transaction, start } = least(&ready(&ground, &vendors)?, &sources, &packages)?;
        ratios.push(ours / (update + transaction + start));
        println!("| {round} | {ours:.1} | {update:.1} | {transaction:.1} | {start:.1} | {:.2} |", ratios[round - 1]);
    }
    println!("\nMedian of the ratios: {:.2} ({} packages)", crate::bench::median(ratios.into_iter()), packages.len());
    Ok(())
}

/// A host with the program and its answers, and no index.
fn ready(ground: &Snapshot, vendors: &Vendors) -> Result<Host> {
    let host = ground.host().boot()?;
    host.install_binary()?;
    host.write("/root/answers.toml", vendors.answers() + COMPONENTS, 0o600)?;
    host.sh("rm -rf /var/lib/apt/lists/*")?;
    Ok(host)
}

fn timed(host: &Host, script: &str) -> Result<f64> {
    let began = Instant::now();
    host.run(["sh", "-euc", script]).patience(PATIENCE).output()?.ok()?;
    Ok(began.elapsed().as_secs_f64())
}

fn install(host: &Host) -> Result<f64> {
    timed(host, "surefoot install stackstorm --yes --quiet --answers /root/answers.toml")
}

fn least(host: &Host, sources: &[u8], packages: &[&str]) -> Result<Least> {
    host.run(["tar", "-C", "/etc/apt", "-x"]).stdin(sources).output()?.ok()?;
    host.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)?;
    let update = timed(host, "apt-get update -q")?;
    let get = "DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends";
    let transaction = timed(host, &format!("{get} {}", packages.join(" ")))?;
    let starts = SERVERS.map(|unit| timed(host, &format!("systemctl start {unit}")));
    let start = starts.into_iter().collect::<Result<Vec<f64>>>()?.into_iter().fold(0.0, f64::max);
    Ok(Least { update, transaction, start })
}

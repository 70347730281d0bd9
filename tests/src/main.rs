//! The lab for people: hosts to look at and to throw away.
#![expect(clippy::disallowed_macros, reason = "the lab talks to the person who runs it")]

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use lab::{Digest, Host, Suite, base, bench, bench_product, cleanup, demo, mirror, registry, setup};
use std::process::ExitCode;

/// Disposable real hosts.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the lab needs on this machine, start its mirror, make the base root file systems.
    Setup {
        /// Bases to make: bookworm, trixie, bullseye, ubuntu and el9 (stand-ins).
        #[arg(default_values = ["bookworm"])]
        suites: Vec<Suite>,
    },
    /// Boot a host that stays, and copy surefoot into it if it is built.
    Up {
        /// What to call it.
        name: String,
        /// What it runs.
        #[arg(long, default_value = "bookworm")]
        suite: Suite,
        /// Without an init.
        #[arg(long)]
        container: bool,
    },
    /// List hosts.
    List,
    /// Run a program in a host, or a shell.
    Shell {
        /// The host.
        name: String,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Pull a host's plug and boot it again.
    Reboot {
        /// The host.
        name: String,
    },
    /// Remove a host.
    Down {
        /// The host.
        name: String,
    },
    /// Print what a host looks like, for comparison.
    Digest {
        /// The host.
        name: String,
    },
    /// Remove leftovers of killed test runs.
    Clean {
        /// Everything: hosts, bases, snapshots, what the mirror has cached.
        #[arg(long)]
        all: bool,
    },
    /// Boot a host, install the backing services in it with surefoot, and show that they answer.
    Demo,
    /// Install the backing services by surefoot, by a bash script, by Ansible, in turns, and print what each took.
    Bench {
        /// How often each.
        #[arg(long, default_value = "3")]
        rounds: usize,
        /// StackStorm's stand-ins instead, by surefoot and by what no installer avoids.
        #[arg(long)]
        stackstorm: bool,
    },
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Setup { suites } => {
            setup::setup()?;
            mirror::refresh()?;
            for suite in suites {
                base::layers(suite)?;
            }
        }
        Command::Up { name, suite, container } => up(&name, suite, container)?,
        Command::List => {
            for host in registry::all()? {
                let state = if host.running() { "running" } else { "stopped" };
                println!("{:12} {:9} 10.77.0.{:<3} {state}", host.name, host.suite.name(), host.slot);
            }
        }
        Command::Shell { name, command } => return shell(&name, command),
        Command::Reboot { name } => {
            let mut host = Host::open(&name)?;
            host.power_cut()?;
            host.boot_again()?;
        }
        Command::Down { name } => {
            let host = Host::open(&name)?;
            ensure!(host.record().kept, "{name} belongs to a running test; `lab clean` removes it when that has ended");
            cleanup::remove_host(host.record())?;
        }
        Command::Digest { name } => print!("{}", Digest::of(&Host::open(&name)?)?),
        Command::Clean { all } => cleanup::clean(all)?,
        Command::Demo => return demo::demo(),
        Command::Bench { rounds, stackstorm: true } => bench_product::bench(rounds)?,
        Command::Bench { rounds, .. } => bench::bench(rounds)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn up(name: &str, suite: Suite, container: bool) -> Result<()> {
    setup::setup()?;
    let builder = Host::builder(suite).name(name);
    let mut host = if container { builder.container() } else { builder }.boot()?;
    host.keep()?;
    if let Err(reason) = host.install_binary() {
        eprintln!("without surefoot: {reason:#}");
    }
    println!("{name} is up at {}", host.address());
    Ok(())
}

fn shell(name: &str, command: Vec<String>) -> Result<ExitCode> {
    let command = if command.is_empty() { vec!["bash".to_owned(), "-l".to_owned()] } else { command };
    let status = Host::open(name)?.run(command).attached()?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

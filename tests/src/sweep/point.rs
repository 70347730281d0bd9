//! When and how something is killed.

use crate::{Host, KillPoint, run::Output, run::Running};
use anyhow::{Context, Result};
use std::{
    fmt, fs,
    time::{Duration, Instant},
};

/// What dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Our process alone: what it started lives on.
    Process,
    /// Our process and all it ever started.
    Tree,
    /// Everything in the host, which then boots again.
    Machine,
}

impl Death {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Process, Self::Tree, Self::Machine];
}

/// When.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// As our process asks the kernel for something.
    Call(KillPoint),
    /// As dpkg logs its n-th line, from 1.
    Dpkg(usize),
    /// So long after our process told the n-th time how far a command is, from 1: what dnf says that rpm does.
    Progress(usize, Duration),
    /// So long after the start.
    After(Duration),
}

/// When and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub moment: Moment,
    /// What dies.
    pub death: Death,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.moment {
            Moment::Call(point) => write!(f, "at {point}")?,
            Moment::Dpkg(line) => write!(f, "at line {line} of dpkg's log")?,
            Moment::Progress(nth, delay) => write!(f, "{} ms after progress {nth}", delay.as_millis())?,
            Moment::After(delay) => write!(f, "after {} ms", delay.as_millis())?,
        }
        write!(f, ", {}", format!("{:?}", self.death).to_lowercase())
    }
}

/// Where dpkg was when it happened, by the last line of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No transaction had begun, or it was over.
    Elsewhere,
    /// Packages were unpacked or half so, and nothing ran of them.
    Unpacking(String),
    /// A package was being configured: its postinst had been started and had not ended.
    Configuring(String),
    /// A package was being removed.
    Removing(String),
}

impl Phase {
    /// Of the lines that were logged since the action began.
    pub(super) fn of(lines: &[String]) -> Self {
        let last = lines.iter().rev().find_map(|line| line.split_once(" status ")).map(|(_, rest)| rest.to_owned());
        let Some(last) = last else { return Self::Elsewhere };
        match last.split(' ').next() {
            Some("half-configured") if removes(lines) => Self::Removing(last),
            Some("half-configured") => Self::Configuring(last),
            Some("unpacked" | "half-installed") if !removes(lines) => Self::Unpacking(last),
            Some("installed" | "not-installed") => Self::Elsewhere,
            _ if removes(lines) => Self::Removing(last),
            _ => Self::Elsewhere,
        }
    }
}

impl Phase {
    /// After an unpack?
    #[must_use]
    pub fn is_unpacking(&self) -> bool {
        matches!(self, Self::Unpacking(_))
    }

    /// Inside a postinst?
    #[must_use]
    pub fn is_configuring(&self) -> bool {
        matches!(self, Self::Configuring(_))
    }
}

fn removes(lines: &[String]) -> bool {
    lines.iter().any(|line| line.contains(" remove ") || line.contains(" purge "))
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere => f.write_str("with no package in hand"),
            Self::Unpacking(what) => write!(f, "while unpacking ({what})"),
            Self::Configuring(what) => write!(f, "inside a postinst ({what})"),
            Self::Removing(what) => write!(f, "while removing ({what})"),
        }
    }
}

/// The lines of the host's dpkg.log, without looking from inside.
pub fn dpkg_log(host: &Host) -> Vec<String> {
    let text = fs::read_to_string(host.disk().join("var/log/dpkg.log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

impl Point {
    /// Starts `args` and kills it; what it had said, and where dpkg was. None where it ended before its moment came: then
    /// everything that should have been killed is done. The host runs when this returns.
    pub fn strike(&self, host: &mut Host, args: Vec<String>) -> Result<Option<(Output, Phase)>> {
        let before = dpkg_log(host).len();
        let started = Instant::now();
        let mut running = match &self.moment {
            Moment::Call(point) => host.run(args).to_be_killed_at(point).spawn()?,
            _ => host.run(args).spawn()?,
        };
        match &self.moment {
            Moment::Call(_) => wait_until(&mut running, || false)?,
            Moment::Dpkg(line) => wait_until(&mut running, || dpkg_log(host).len() - before >= *line)?,
            Moment::Progress(nth, delay) => {
                let (words, file) = (r#""type":"progress""#, running.stdout_file());
                let told = || fs::read_to_string(&file).is_ok_and(|text| text.matches(words).count() >= *nth);
                wait_until(&mut running, told)?;
                let began = Instant::now();
                wait_until(&mut running, || began.elapsed() >= *delay)?;
            }
            Moment::After(delay) => wait_until(&mut running, || started.elapsed() >= *delay)?,
        }
        let lines = match self.death {
            Death::Process => {
                running.kill();
                dpkg_log(host)
            }
            Death::Tree => {
                running.kill_tree()?;
                dpkg_log(host)
            }
            Death::Machine => {
                host.power_cut()?;
                dpkg_log(host)
            }
        };
        let output = running.wait()?;
        if self.death == Death::Machine {
            host.boot_again()?;
        }
        if output.was_killed() {
            return Ok(Some((output, Phase::of(&lines[before..]))));
        }
        output.ok().with_context(|| format!("it was to be killed {self} and ended"))?;
        Ok(None)
    }
}

/// Waits until `done`, or the end of the program.
fn wait_until(running: &mut Running, mut done: impl FnMut() -> bool) -> Result<()> {
    while !running.ended()? && !done() {
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// What `SUREFOOT_SWEEP_SEED` says, else something new. Told on standard error.
///
/// # Errors
/// When it is not a number.
pub fn seed() -> Result<u64> {
    let seed = match std::env::var("SUREFOOT_SWEEP_SEED") {
        Ok(seed) => seed.trim().parse().with_context(|| format!("SUREFOOT_SWEEP_SEED: {seed:?} is no number"))?,
        Err(_) => u64::from(std::process::id()) << 32 | u64::from(std::time::UNIX_EPOCH.elapsed()?.subsec_nanos()),
    };
    eprintln!("SUREFOOT_SWEEP_SEED={seed}");
    Ok(seed)
}

/// Random numbers that a seed repeats (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the three.
    pub fn death(&mut self) -> Death {
        Death::ALL[self.below(Death::ALL.len())]
    }

    /// Less than `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_status_line_tells_where_dpkg_is() {
        let log = |lines: &[&str]| lines.iter().map(|line| format!("2026-01-01 00:00:00 {line}")).collect::<Vec<_>>();
        let of = |lines: &[&str]| Phase::of(&log(lines));
        assert_eq!(of(&["startup archives unpack"]), Phase::Elsewhere);
        let unpack = ["install a:all <none> 1", "status half-installed a:all 1", "status unpacked a:all 1"];
        assert_eq!(of(&unpack), Phase::Unpacking("unpacked a:all 1".into()));
        let configure = ["status unpacked a:all 1", "status half-configured a:all 1"];
        assert_eq!(of(&configure), Phase::Configuring("half-configured a:all 1".into()));
        assert_eq!(of(&["status half-configured a:all 1", "status installed a:all 1"]), Phase::Elsewhere);
        assert_eq!(of(&["status triggers-pending a:all 1"]), Phase::Elsewhere);
        let remove = ["remove a:all 1 <none>", "status half-configured a:all 1"];
        assert_eq!(of(&remove), Phase::Removing("half-configured a:all 1".into()));
    }

    #[test]
    fn a_seed_repeats_its_numbers() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| random.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert!((0..10).all(|wanted| numbers(7).contains(&wanted)));
    }
}

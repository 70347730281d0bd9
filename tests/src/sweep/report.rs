//! Many points, and what came of them.

use super::{Moment, Phase, Point, Random, Sweep};
use anyhow::{Result, bail};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// How many hosts are killed at a time in a sweep of all points: each is as often waiting as at work.
const WORKERS: usize = 2;
/// How often dpkg may be faster.
const TRIES: usize = 5;

/// What came of the points that were tried.
#[derive(Debug, Default)]
pub struct Report {
    /// How many were killed and judged.
    pub points: usize,
    /// How many had ended before their moment came.
    pub late: usize,
    /// How many died between an unpack and a configuration.
    pub unpacking: usize,
    /// How many died inside a postinst.
    pub configuring: usize,
    /// How many died while a package was removed.
    pub removing: usize,
    failures: Vec<String>,
}

impl Report {
    /// Tries all points; only those whose description has `SUREFOOT_SWEEP_ONLY` in it, where that is set.
    #[must_use]
    pub fn of_all(sweep: &Sweep) -> Self {
        let only = std::env::var("SUREFOOT_SWEEP_ONLY").unwrap_or_default();
        let mut points = sweep.all();
        let all = points.len();
        points.retain(|point| point.to_string().contains(&only));
        eprintln!("{}: {} of {all} points", sweep.action, points.len());
        let (next, report) = (AtomicUsize::new(0), Mutex::new(Self::default()));
        let work = || {
            while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                let came = sweep.kill(point);
                report.lock().unwrap_or_else(PoisonError::into_inner).count(sweep, point, came);
            }
        };
        std::thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(work))));
        report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries `count` points that are drawn from `seed`, not counting those that came too late. Where packages are installed, some
    /// of them are after an unpack, and some inside a postinst.
    #[must_use]
    pub fn of_drawn(sweep: &Sweep, seed: u64, count: usize) -> Self {
        let mut random = Random::new(seed);
        let mut report = Self::default();
        let hit: [fn(&Self) -> bool; 2] = [|report| report.unpacking > 0, |report| report.configuring > 0];
        for (of, hit) in [sweep.lines(Phase::is_unpacking), sweep.lines(Phase::is_configuring)].into_iter().zip(hit) {
            // dpkg may be through with a package before it is killed.
            for _ in 0..TRIES {
                if !of.is_empty() && !hit(&report) {
                    let point = Point { moment: Moment::Dpkg(of[random.below(of.len())]), death: random.death() };
                    report.count(sweep, &point, sweep.kill(&point));
                }
            }
        }
        while report.points < count && report.late < 2 * count {
            let point = sweep.draw(&mut random);
            report.count(sweep, &point, sweep.kill(&point));
        }
        report
    }

    fn count(&mut self, sweep: &Sweep, point: &Point, came: Result<Option<Phase>>) {
        match came {
            // A kill that finds nobody is no kill.
            Ok(None) => {
                self.late += 1;
                eprintln!("{point}: too late");
                return;
            }
            Ok(Some(phase)) => {
                eprintln!("{point}: {phase}, and all is well");
                match phase {
                    Phase::Elsewhere => {}
                    Phase::Unpacking(_) => self.unpacking += 1,
                    Phase::Configuring(_) => self.configuring += 1,
                    Phase::Removing(_) => self.removing += 1,
                }
            }
            Err(error) => {
                eprintln!("{point}: {error:#}");
                self.failures.push(format!("{}, killed {point}: {error:#}", sweep.action));
            }
        }
        self.points += 1;
    }

    /// Insists that nothing went wrong.
    ///
    /// # Errors
    /// Everything that did.
    pub fn ok(self, sweep: &Sweep, seed: Option<u64>) -> Result<Self> {
        let repeat = seed.map_or(String::new(), |seed| format!(" (SUREFOOT_SWEEP_SEED={seed} repeats them)"));
        if !self.failures.is_empty() {
            let (failed, points) = (self.failures.len(), self.points);
            bail!("{failed} of {points} points failed{repeat}:\n\n{}", self.failures.join("\n\n"));
        }
        eprintln!(
            "{}: {} points{repeat}, {} while unpacking, {} inside a postinst, {} while removing, {} too late",
            sweep.action, self.points, self.unpacking, self.configuring, self.removing, self.late
        );
        Ok(self)
    }
}

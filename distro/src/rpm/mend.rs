//! A transaction that was cut off is made whole.

use anyhow::Result;

use super::cut_off::{strike_out, take_back};
use crate::Host;
use crate::packages::{Move, Solution, Survivor};

/// What is done with packages of an upgrade that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// They are installed.
    Install,
    /// The version that is there is installed once more.
    Reinstall,
}

/// How a package manager is asked for packages.
pub struct Means<'m> {
    /// Its locks.
    pub locks: &'m [&'m str],
    /// A package in the version that it goes to.
    pub exactly: &'m dyn Fn(&Move) -> String,
    /// What installing packages would do.
    pub simulate: &'m dyn Fn(&[String]) -> Result<Solution>,
    /// Does it. What was written down stays.
    pub run: &'m dyn Fn(Again, &[String]) -> Result<()>,
}

/// Mends what a transaction left that was cut off. Does nothing where none was. New packages are taken back, to be installed again by who wants
/// them; an upgrade is done once more here, with what it brings, since the package that asked for it may be there already: to the version that was meant, or where
/// that is not offered any more to the newest. Packages of `going` are about to be removed, and are not upgraded for that. What is written down stays until
/// then: cut off, it is mended as before.
///
/// # Errors
/// Class `package` where a package cannot be taken back, or an upgrade not be done once more without removing or downgrading another; `locked` where
/// another process holds a lock; those of fetching packages.
pub fn mend(host: &Host, means: &Means<'_>, going: &[String], survivor: &Survivor<'_>) -> Result<()> {
    let Some(moves) = take_back(host, means.locks, survivor)? else { return Ok(()) };
    let is_upgraded = |one: &&Move| one.from.is_some() && !going.contains(&one.name);
    let upgraded: Vec<String> = moves.iter().filter(is_upgraded).map(|one| one.name.clone()).collect();
    if !upgraded.is_empty() {
        let before = super::query(host, &upgraded)?;
        let wanted = moves.iter().filter(|one| !going.contains(&one.name));
        let (exact, names): (Vec<String>, Vec<String>) =
            wanted.map(|one| ((means.exactly)(one), one.name.clone())).unzip();
        let (asked, solution) = match (means.simulate)(&exact) {
            Ok(solution) => (exact, solution),
            Err(_) => ((means.simulate)(&names)).map(|solution| (names, solution))?,
        };
        solution.refuse_losses(&asked)?;
        (means.run)(Again::Install, &asked)?;
        // Of one that was through, what runs at the end of a transaction may not have run; of one for which nothing newer is offered any more, files may
        // be of the newer one.
        let same = super::query(host, &upgraded)?.into_iter().filter(|(name, now)| before.get(name) == Some(now));
        let same = same.map(|(name, now)| (means.exactly)(&Move { name, from: None, to: now.version }));
        let same: Vec<String> = same.collect();
        if !same.is_empty() {
            (means.run)(Again::Reinstall, &same)?;
        }
    }
    strike_out()
}

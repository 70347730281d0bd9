//! A transaction that was cut off, and how dnf makes it whole.

use anyhow::Result;

use super::transaction::transaction;
use super::{LOCKS, said};
use crate::packages::Survivor;
use crate::{Host, rpm};

/// Mends what a transaction left that was cut off. Does nothing where none was. New packages are taken back, to be installed again by who wants
/// them; an upgrade is done once more here, with what it brings, since the package that asked for it may be there already. What is written down stays
/// until then: cut off, it is mended as before.
///
/// # Errors
/// Class `package` where a package cannot be taken back, or an upgrade not be done once more; `locked` where another process holds a lock; those of
/// fetching packages.
pub fn finish(host: &Host, survivor: &Survivor<'_>) -> Result<()> {
    let Some(cut_off) = rpm::take_back(host, &LOCKS, survivor)? else { return Ok(()) };
    if !cut_off.upgraded.is_empty() {
        let before = rpm::query(host, &cut_off.upgraded)?;
        run(host, "install", &cut_off.names, survivor)?;
        let after = rpm::query(host, &cut_off.upgraded)?;
        // Of one that was through, what runs at the end of a transaction may not have run; of one for which nothing newer is offered any more, files may
        // be of the newer one.
        let same = after.into_iter().filter(|(name, now)| before.get(name) == Some(now)).map(|(name, _)| name);
        let same: Vec<String> = same.collect();
        if !same.is_empty() {
            run(host, "reinstall", &same, survivor)?;
        }
    }
    rpm::strike_out()
}

fn run(host: &Host, action: &str, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    let output = transaction(host, action, names, rpm::heard_once_more, survivor)?;
    if output.ok() {
        return Ok(());
    }
    let message = format!("an upgrade that was cut off cannot be done once more: {}", names.join(", "));
    Err(said::fault_of_packages(host, &output, &message).into())
}

//! A transaction that was cut off is made whole.

use anyhow::Result;

use super::cut_off::{strike_out, take_back};
use crate::Host;
use crate::packages::Survivor;

/// What is done with packages of an upgrade that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// They are installed, in the newest version.
    Install,
    /// The version that is there is installed once more.
    Reinstall,
}

/// Mends what a transaction left that was cut off. Does nothing where none was. New packages are taken back, to be installed again by who wants
/// them; an upgrade is done once more here, with what it brings, since the package that asked for it may be there already. What is written down stays
/// until then: cut off, it is mended as before. `paths` are the locks of what asks rpm here, by which `run` does what it is told,
/// with [`super::heard_once_more`].
///
/// # Errors
/// Class `package` where a package cannot be taken back, or an upgrade not be done once more; `locked` where another process holds a lock; those of
/// fetching packages.
pub fn mend(
    host: &Host,
    paths: &[&str],
    survivor: &Survivor<'_>,
    run: impl Fn(Again, &[String]) -> Result<()>,
) -> Result<()> {
    let Some(cut_off) = take_back(host, paths, survivor)? else { return Ok(()) };
    if !cut_off.upgraded.is_empty() {
        let before = super::query(host, &cut_off.upgraded)?;
        run(Again::Install, &cut_off.names)?;
        let after = super::query(host, &cut_off.upgraded)?;
        // Of one that was through, what runs at the end of a transaction may not have run; of one for which nothing newer is offered any more, files may
        // be of the newer one.
        let same = after.into_iter().filter(|(name, now)| before.get(name) == Some(now)).map(|(name, _)| name);
        let same: Vec<String> = same.collect();
        if !same.is_empty() {
            run(Again::Reinstall, &same)?;
        }
    }
    strike_out()
}

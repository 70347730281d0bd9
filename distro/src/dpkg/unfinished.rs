//! An interrupted dpkg, and how it is finished.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{DATABASE, Dpkg};
use crate::guard::Guard;
use crate::{Class, Fault, Host, apt};

/// Files below `updates/` that hold changes, in the order they were made: dpkg names them with digits only.
pub(super) fn updates(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join("updates");
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.with_context(|| format!("reading {}", folder.display()))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let name = entry.file_name();
        if !name.is_empty() && name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Is there the file that every dpkg which changes something makes at its start and removes at its end?
pub(super) fn scratch(folder: &Path) -> bool {
    folder.join("updates/tmp.i").exists()
}

impl Dpkg {
    /// What an interrupted dpkg left to be done, as `package: state`, sorted; empty where it was not interrupted.
    pub fn unfinished(&self) -> Vec<String> {
        self.unfinished_but(&[])
    }

    /// The same without the packages of `going`, which are about to be removed: dpkg can remove them as they are, unless they
    /// must be unpacked again.
    fn unfinished_but(&self, going: &[String]) -> Vec<String> {
        let mut left: Vec<String> = self
            .packages
            .iter()
            .filter(|(name, package)| package.is_unfinished() && (package.broken || !going.contains(name)))
            .map(|(name, package)| {
                format!("{name}: {}{}", package.status, if package.broken { ", must be reinstalled" } else { "" })
            })
            .collect();
        left.sort();
        if left.is_empty() && self.unmerged {
            left.push("changes that dpkg has not merged into its status file".to_owned());
        }
        left
    }

    /// Names of the packages that must be unpacked again, sorted.
    fn broken(&self) -> Vec<String> {
        let broken = self.packages.iter().filter(|(_, package)| package.broken);
        let mut names: Vec<String> = broken.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }
}

/// Finishes what an interrupted dpkg left: `dpkg --configure -a`, then apt's mending, which unpacks again what has to be.
/// Packages of `going` are about to be removed and are left as they are where dpkg can remove them so.
/// Starts of `deny`'s services are refused, as in every transaction; `survivor` is told the pid. Does nothing where there is
/// nothing to finish.
///
/// # Errors
/// Class `package` where something is left after both, or mending would remove a package; `locked` as every transaction.
pub fn finish(host: &Host, going: &[String], deny: &[String], survivor: &dyn Fn(u32) -> Result<()>) -> Result<()> {
    let read = || Dpkg::read(Path::new(DATABASE));
    let left = read()?.unfinished_but(going);
    if left.is_empty() {
        return Ok(());
    }
    host.runner.note(&format!("finishing an interrupted dpkg: {}", left.join("; ")));
    let guard = Guard::set(host, deny)?;
    if !going.is_empty() {
        // Often enough, and it configures nothing of what is going.
        apt::trigger(host, &guard, survivor)?;
        if read()?.unfinished_but(going).is_empty() {
            return guard.lift();
        }
    }
    let configured = apt::configure(host, &guard, survivor)?;
    let dpkg = read()?;
    if dpkg.unfinished_but(going).is_empty() {
        return guard.lift();
    }
    let mended = apt::mend(host, &dpkg.broken(), &guard, survivor)?;
    guard.lift()?;
    let left = read()?.unfinished_but(going);
    if left.is_empty() {
        return Ok(());
    }
    let said = apt::problems(&configured).into_iter().chain(apt::problems(&mended));
    Err(Fault::new(Class::Package, "an interrupted dpkg cannot be finished")
        .evidence(left.into_iter().chain(said))
        .command(mended.ran)
        .advice("mend the packages named above (`dpkg --audit`, `apt-get -f install`), then go on with --resume")
        .into())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{STATUS, database};

    #[test]
    fn what_is_left_is_named() {
        let (_folder, dpkg) = database(STATUS, &[]);
        assert_eq!(dpkg.unfinished(), ["redis-server: half-installed, must be reinstalled"]);
        assert_eq!(dpkg.broken(), ["redis-server"]);
        assert_eq!(dpkg.unfinished_but(&dpkg.broken()).len(), 1, "what must be unpacked again cannot be removed");
        let whole = STATUS.replace("install reinstreq half-installed", "install ok installed");
        let (_folder, dpkg) = database(&whole, &[]);
        assert!(dpkg.unfinished().is_empty());
        let stanza = "Package: tar\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.34\n";
        let (_folder, dpkg) = database(&whole, &[("0000", stanza)]);
        assert_eq!(dpkg.unfinished().len(), 1);
        for state in ["unpacked", "half-configured", "triggers-pending", "triggers-awaited"] {
            let (_folder, dpkg) = database(&whole.replace("hold ok installed", &format!("hold ok {state}")), &[]);
            assert_eq!(dpkg.unfinished(), [format!("libc6:i386: {state}")]);
            assert!(dpkg.unfinished_but(&["libc6:i386".to_owned()]).is_empty());
        }
    }
}

//! Transactions: what changes packages. Never killed by us, however long they take.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{FETCH_LIMIT, LOCKS, is_locked, said, simulate, solver, when_free, words, yum};
use crate::command::Output;
use crate::packages::{Move, Solution, Survivor};
use crate::rpm::{Again, Means};
use crate::{Class, Host, locks, rpm};

/// Where yum writes down what a transaction is about to do and has done. It removes that at the end, and speaks of it for good where it was
/// cut off.
const WRITTEN: &str = "/var/lib/yum";

/// Installs `names` in one transaction.
///
/// # Errors
/// [`crate::packages::Manager::install`].
pub fn install(host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    finish(host, &[], survivor)?;
    let output = transaction(host, "install", names, Some(&simulate(host, names)?), survivor)?;
    if output.ok() {
        return Ok(());
    }
    Err(solver::fault(host, &output, &format!("installing {} failed", names.join(", ")))?.into())
}

/// [`crate::packages::Manager::download`].
///
/// # Errors
/// As there.
pub fn download(host: &Host, names: &[String]) -> Result<()> {
    let to_do =
        ["install", "--downloadonly", "--assumeyes"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    let output = when_free(host, || yum(host, to_do.clone()).limit(FETCH_LIMIT))?;
    if output.ok() {
        return Ok(());
    }
    Err(solver::fault(host, &output, &format!("fetching {} failed", names.join(", ")))?.into())
}

/// Removes `names`. A key that rpm trusts is removed as if it were a package.
///
/// # Errors
/// [`crate::packages::Manager::remove`].
pub fn remove(host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    finish(host, names, survivor)?;
    let (keys, names): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| name.starts_with(rpm::KEY));
    if !names.is_empty() {
        let output = transaction(host, "remove", &names, Some(&Solution::default()), survivor)?;
        if !output.ok() {
            return Err(said::fault(&output, Class::Package, &format!("removing {} failed", names.join(", "))).into());
        }
    }
    rpm::remove_keys(host, &LOCKS, &keys, survivor)
}

/// [`crate::packages::Manager::finish`].
///
/// # Errors
/// As there.
pub fn finish(host: &Host, going: &[String], survivor: &Survivor<'_>) -> Result<()> {
    let run = |again: Again, names: &[String]| {
        let action = if again == Again::Install { "install" } else { "reinstall" };
        let output = transaction(host, action, names, None, survivor)?;
        if output.ok() {
            return Ok(());
        }
        let message = format!("an upgrade that was cut off cannot be done once more: {}", names.join(", "));
        Err(solver::fault(host, &output, &message)?.into())
    };
    if let Some(began) = rpm::began()? {
        locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
        forget(Path::new(WRITTEN), began)?;
    }
    let means = Means { locks: &LOCKS, exactly, simulate: &|names| simulate(host, names), run: &run };
    rpm::mend(host, &means, going, survivor)
}

/// Removes what yum wrote down below `folder` at `since` or later of a transaction that was cut off.
fn forget(folder: &Path, since: std::time::SystemTime) -> Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_of = name.starts_with("transaction-all.") || name.starts_with("transaction-done.");
        let is_recent = entry.metadata().and_then(|meta| meta.modified()).is_ok_and(|modified| modified >= since);
        if is_of && is_recent {
            fs::remove_file(entry.path()).with_context(|| format!("removing {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// `redis-3.2.12-2.el7`; of a foreign architecture `glibc-2.17-326.el7.i686`. With an epoch it would have to tell every architecture.
fn exactly(one: &Move) -> String {
    let version = one.to.split_once(':').map_or(one.to.as_str(), |(_, version)| version);
    let foreign = one.name.rsplit_once('.').filter(|(_, arch)| ["i686", "x86_64", "aarch64"].contains(arch));
    match foreign {
        Some((name, arch)) => format!("{name}-{version}.{arch}"),
        None => format!("{}-{version}", one.name),
    }
}

/// yum's `action`; what it brings, where that is to be written down.
fn transaction(
    host: &Host,
    action: &str,
    names: &[String],
    solution: Option<&Solution>,
    survivor: &Survivor<'_>,
) -> Result<Output> {
    let tell = |line: &str| {
        if let Some((percent, text)) = progress(line) {
            host.runner.progress(percent, text);
        }
    };
    let to_do = [action, "--assumeyes"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    // A signal that ended it is told by a code from 128 on.
    let ended = "[0-9]|[0-9][0-9]|1[01][0-9]|12[0-7]";
    let transaction = rpm::Transaction { words: words(host, to_do), solution, ended };
    transaction.run(host, &LOCKS, is_locked, |command| Ok(command.on_start(survivor).on_status(&tell)))
}

/// `  Installing : redis-3.2.12-2.el7.x86_64                                      1/1 `
fn progress(line: &str) -> Option<(f32, &str)> {
    let (text, count) = line.trim().rsplit_once(' ').filter(|(text, _)| text.contains(" : "))?;
    let (done, all) = count.split_once('/')?;
    let (done, all): (f32, f32) = (done.parse().ok()?, all.parse().ok()?);
    (all >= 1.0).then(|| (100.0 * done / all, text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_in_one_version() {
        for (name, to, wanted) in [
            ("redis", "7-1", "redis-7-1"),
            ("nginx", "1:7-1", "nginx-7-1"),
            ("glibc.i686", "7-1", "glibc-7-1.i686"),
            ("python3.6", "1:7-1", "python3.6-7-1"),
        ] {
            assert_eq!(exactly(&Move { name: name.into(), from: None, to: to.into() }), wanted);
        }
    }

    #[test]
    fn progress_is_told_of_what_rpm_does() {
        for (line, wanted) in [
            (
                "  Installing : redis-3.2.12-2.el7.x86_64                         1/4 ",
                Some((25.0, "Installing : redis-3.2.12-2.el7.x86_64")),
            ),
            ("(1/3): redis-3.2.12-2.el7.x86_64.rpm              | 544 kB  00:00:00     ", None),
            ("Complete!", None),
        ] {
            assert_eq!(progress(line), wanted, "{line}");
        }
    }

    #[test]
    fn what_a_cut_off_transaction_wrote_down_goes() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["transaction-all.2026-11-29.20:01.07", "transaction-done.2026-11-29.20:01.07", "history"];
        for name in names {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let (now, minute) = (std::time::SystemTime::now(), std::time::Duration::from_secs(60));
        forget(dir.path(), now + minute).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        forget(dir.path(), now - minute).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["history"]);
    }
}

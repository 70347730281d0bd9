//! Transactions of rpm that were cut off.
//!
//! rpm does not remember whether it came to the end of a package: one that was cut off while its script ran is as installed as any other. So
//! the names of what a transaction brings are written down before it begins, and struck out when what asked rpm for it has ended by itself. What
//! is left after a kill is taken back and done once more.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::leftovers;
use crate::packages::Survivor;
use crate::{Class, Command, Host, locks};

/// Names of the packages that the transaction at work brings.
const BEGUN: &str = "/var/lib/surefoot/.rpm";
/// A command with a reader of its own, so that what it says goes somewhere also when we are gone: it would end in the middle of a transaction.
/// What was written down is struck out where no signal ended it, which the exit code tells.
const HEARD: &str = r#""$@" 2>&1 | tee -p /dev/null /dev/fd/{}; exit=$?
[ $exit -ge 128 ] || rm -f /var/lib/surefoot/.rpm
exit $exit"#;

/// The transaction that `words` are, with a reader that outlives us.
pub fn heard<'a>(words: Vec<String>) -> Command<'a> {
    Command::new("bash").args(["-o", "pipefail", "-c", HEARD, "bash"]).args(words).never_killed()
}

/// Writes down that a transaction begins that brings `names`.
///
/// # Errors
/// Where that cannot be written.
pub fn write_down(names: &[String]) -> Result<()> {
    let path = Path::new(BEGUN);
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        let mut file = fs::File::create(path)?;
        file.write_all(names.iter().flat_map(|name| [name.as_str(), "\n"]).collect::<String>().as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("writing {BEGUN}"))
}

/// Packages that a transaction was bringing when it was cut off; none where it was not.
///
/// # Errors
/// Where what was written down cannot be read.
pub fn interrupted() -> Result<Vec<String>> {
    match fs::read_to_string(BEGUN) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        result => Ok(result.with_context(|| format!("reading {BEGUN}"))?.lines().map(str::to_owned).collect()),
    }
}

/// Takes back what a transaction brought that was cut off: nobody knows how far it came. Does nothing where none was. `paths` are the locks of what asks rpm here.
///
/// # Errors
/// Class `package` where a package cannot be taken back; `locked` where another process holds a lock.
pub fn finish(host: &Host, paths: &[&str], survivor: &Survivor<'_>) -> Result<()> {
    let began = match fs::metadata(BEGUN).and_then(|meta| meta.modified()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.with_context(|| format!("looking at {BEGUN}"))?,
    };
    let names = interrupted()?;
    if !names.is_empty() {
        host.runner.note(&format!("taking back a transaction that was cut off: {}", names.join(", ")));
    }
    let there: Vec<String> = super::query(host, &names)?.into_keys().collect();
    if !there.is_empty() {
        erase(host, paths, &there, "packages of a transaction that was cut off cannot be taken back", survivor)?;
    }
    // What somebody else is unpacking at this moment has such names, too.
    locks::wait_free(&host.runner, paths, locks::limit())?;
    leftovers::remove(began)?;
    fs::remove_file(BEGUN).with_context(|| format!("removing {BEGUN}"))
}

/// `rpm -e`, whoever needs them.
///
/// # Errors
/// Class `package` where rpm refuses; `locked` where another process holds a lock.
pub fn erase(host: &Host, paths: &[&str], names: &[String], failed: &str, survivor: &Survivor<'_>) -> Result<()> {
    let words = ["-e", "--allmatches", "--nodeps"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    let output = locks::when_free(
        host,
        paths,
        |_| false,
        |_| Command::new("rpm").args(words.clone()).never_killed().on_start(survivor),
    )?;
    if output.ok() {
        return Ok(());
    }
    Err(output.fault(Class::Package, failed).advice("see what rpm says above, then go on with --resume").into())
}

//! Transactions: what changes packages. Never killed by us, however long they take.
//!
//! rpm does not remember whether it came to the end of a package: one that was cut off while its script ran is as installed as any other. So
//! the names of what a transaction brings are written down before it begins, and struck out when dnf has ended by itself. What is left after a
//! kill is taken back and done once more.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::{FETCH_LIMIT, LOCKS, dnf, leftovers, rpm, said, simulate, when_free, words};
use crate::command::Output;
use crate::packages::Survivor;
use crate::{Class, Command, Host, locks};

/// Names of the packages that the transaction at work brings.
const BEGUN: &str = "/var/lib/surefoot/.rpm";
/// dnf with a reader of its own, so that what dnf says goes somewhere also when we are gone: it would end in the middle of a transaction.
/// What was written down is struck out where no signal ended dnf, which the exit code tells.
const HEARD: &str = r#""$@" 2>&1 | tee -p /dev/null /dev/fd/{}; exit=$?
[ $exit -ge 128 ] || rm -f /var/lib/surefoot/.rpm
exit $exit"#;

/// Installs `names` in one transaction.
///
/// # Errors
/// [`crate::packages::Manager::install`].
pub fn install(host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    finish(host, survivor)?;
    let new = simulate(host, names)?.new.into_iter().map(|one| one.name).collect::<Vec<_>>();
    write_down(&new)?;
    let output = transaction(host, "install", names, survivor)?;
    if output.ok() {
        return Ok(());
    }
    Err(said::fault_of_packages(host, &output, &format!("installing {} failed", names.join(", "))).into())
}

/// [`crate::packages::Manager::download`].
///
/// # Errors
/// As there.
pub fn download(host: &Host, names: &[String]) -> Result<()> {
    let to_do =
        ["install", "--downloadonly", "--assumeyes"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    let output = when_free(host, || dnf(host, to_do.clone()).limit(FETCH_LIMIT))?;
    if output.ok() {
        return Ok(());
    }
    Err(said::fault_of_packages(host, &output, &format!("fetching {} failed", names.join(", "))).into())
}

/// Removes `names`. A key that rpm trusts is removed as if it were a package.
///
/// # Errors
/// [`crate::packages::Manager::remove`].
pub fn remove(host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    finish(host, survivor)?;
    let (keys, names): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| name.starts_with(rpm::KEY));
    if !names.is_empty() {
        let output = transaction(host, "remove", &names, survivor)?;
        if !output.ok() {
            return Err(said::fault(&output, Class::Package, &format!("removing {} failed", names.join(", "))).into());
        }
    }
    let known = rpm::query(host, &keys)?;
    let keys: Vec<String> = known.values().map(|key| format!("{}{}", rpm::KEY, key.version)).collect();
    if keys.is_empty() { Ok(()) } else { erase(host, &keys, "cannot take keys out of rpm's database", survivor) }
}

/// `rpm -e`, whoever needs them.
fn erase(host: &Host, names: &[String], failed: &str, survivor: &Survivor<'_>) -> Result<()> {
    let words = ["-e", "--allmatches", "--nodeps"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    let output = when_free(host, || Command::new("rpm").args(words.clone()).never_killed().on_start(survivor))?;
    if output.ok() {
        return Ok(());
    }
    Err(output.fault(Class::Package, failed).advice("see what rpm says above, then go on with --resume").into())
}

fn transaction(host: &Host, action: &str, names: &[String], survivor: &Survivor<'_>) -> Result<Output> {
    let tell = |line: &str| {
        if let Some((percent, text)) = progress(line) {
            host.runner.progress(percent, text);
        }
    };
    when_free(host, || {
        let to_do = [action, "--assumeyes"].map(str::to_owned).into_iter().chain(names.iter().cloned());
        let command = Command::new("bash").args(["-o", "pipefail", "-c", HEARD, "bash"]).args(words(host, to_do));
        command.never_killed().on_start(survivor).on_status(&tell)
    })
}

/// `  Installing       : redis-7.0.15-1.el9.x86_64                              1/1 `; with dnf 5
/// `[3/3] Installing redis-0:7.0.15-1.el9.x 100% |  11.2 MiB/s |   2.7 MiB |  00m00s`
fn progress(line: &str) -> Option<(f32, &str)> {
    let line = line.trim();
    let (text, count) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((count, rest)) => {
            let text = rest.split('|').next()?.trim_end().rsplit_once(' ')?.0;
            let verbs = ["Verify ", "Prepare ", "Installing ", "Upgrading ", "Removing "];
            (verbs.iter().any(|verb| text.starts_with(verb)).then_some(text)?, count)
        }
        None => line.rsplit_once(' ').filter(|(text, _)| text.contains(" : "))?,
    };
    let (done, all) = count.split_once('/')?;
    let (done, all): (f32, f32) = (done.parse().ok()?, all.parse().ok()?);
    (all >= 1.0).then(|| (100.0 * done / all, text.trim()))
}

fn write_down(names: &[String]) -> Result<()> {
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

/// Takes back what a transaction brought that was cut off: nobody knows how far it came. Does nothing where none was.
///
/// # Errors
/// Class `package` where a package cannot be taken back; `locked` where another process holds a lock.
pub fn finish(host: &Host, survivor: &Survivor<'_>) -> Result<()> {
    let began = match fs::metadata(BEGUN).and_then(|meta| meta.modified()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.with_context(|| format!("looking at {BEGUN}"))?,
    };
    let names = interrupted()?;
    if !names.is_empty() {
        host.runner.note(&format!("taking back a transaction that was cut off: {}", names.join(", ")));
    }
    let there: Vec<String> = rpm::query(host, &names)?.into_keys().collect();
    if !there.is_empty() {
        erase(host, &there, "packages of a transaction that was cut off cannot be taken back", survivor)?;
    }
    // What somebody else is unpacking at this moment has such names, too.
    locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
    leftovers::remove(began)?;
    fs::remove_file(BEGUN).with_context(|| format!("removing {BEGUN}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_of_what_rpm_does() {
        let cases = [
            (
                "  Installing       : redis-7.0.15-1.el9.x86_64       1/4 ",
                Some((25.0, "Installing       : redis-7.0.15-1.el9.x86_64")),
            ),
            ("(1/3): redis-7.0.15-1.el9.x86_64.rpm  1.0 MB/s | 1.1 MB  00:01", None),
            ("Complete!", None),
            (
                "[3/4] Installing redis-0:7.0.15-1.el9.x 100% |  11.2 MiB/s |   2.7 MiB |  00m00s",
                Some((75.0, "Installing redis-0:7.0.15-1.el9.x")),
            ),
            ("[1/1] redis-0:7.0.15-1.el9.x86_64      100% | 105.3 MiB/s |   1.3 MiB |  00m00s", None),
            (">>> Running %post scriptlet: redis-0:7.0.15-1.el9.x86_64", None),
        ];
        for (line, wanted) in cases {
            assert_eq!(progress(line), wanted, "{line}");
        }
    }
}

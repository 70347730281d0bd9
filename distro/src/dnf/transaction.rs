//! Transactions: what changes packages. Never killed by us, however long they take.

use anyhow::Result;

use super::{FETCH_LIMIT, LOCKS, dnf, is_locked, said, simulate, when_free, words};
use crate::command::Output;
use crate::packages::{Move, Solution, Survivor};
use crate::rpm::{Again, Means};
use crate::{Class, Host, rpm};

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
        Err(said::fault_of_packages(host, &output, &message).into())
    };
    let means = Means { locks: &LOCKS, exactly, simulate: &|names| simulate(host, names), run: &run };
    rpm::mend(host, &means, going, survivor)
}

/// `redis-7.0.15-1.el9`; of a foreign architecture `glibc-2.34-100.el9.i686`.
fn exactly(one: &Move) -> String {
    let foreign = one.name.rsplit_once('.').filter(|(_, arch)| ["i686", "x86_64", "aarch64"].contains(arch));
    match foreign {
        Some((name, arch)) => format!("{name}-{}.{arch}", one.to),
        None => format!("{}-{}", one.name, one.to),
    }
}

/// dnf's `action`; what it brings, where that is to be written down.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_in_one_version() {
        for (name, wanted) in
            [("redis", "redis-7-1"), ("python3.11", "python3.11-7-1"), ("glibc.i686", "glibc-7-1.i686")]
        {
            assert_eq!(exactly(&Move { name: name.into(), from: None, to: "7-1".into() }), wanted);
        }
    }

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

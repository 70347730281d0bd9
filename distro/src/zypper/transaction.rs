//! Transactions: what changes packages. Never killed by us, however long they take. zypper calls rpm for one package after another.

use anyhow::Result;

use super::{
    FETCH_LIMIT, LOCKS, REMOVE, SKIPPED, in_scratch, is_locked, said, scratch, simulate, when_free, words, zypper,
};
use crate::command::Output;
use crate::packages::{Move, Solution, Survivor};
use crate::rpm::{Again, Means};
use crate::{Class, Host, rpm};

/// Exit codes of what came to its end: the host should be restarted, or zypper itself, or a repository of somebody's was left out.
const DONE: [i32; 4] = [0, 102, 103, SKIPPED];
/// The same as a pattern of the shell's. Others do not tell whether rpm, of which zypper starts one for each package, was ended by a signal.
const ENDED: &str = "0|102|103|106";
/// As [`super::simulate`], with what is asked about otherwise.
const INSTALL: [&str; 4] = ["--no-refresh", "install", "--no-recommends", "--auto-agree-with-licenses"];

/// Everything is fetched before anything is installed.
const IN_ADVANCE: [&str; 2] = ["--download", "in-advance"];

/// Installs `names` in one transaction.
///
/// # Errors
/// [`crate::packages::Manager::install`].
pub fn install(host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    finish(host, &[], survivor)?;
    let solution = simulate(host, names)?;
    let output = transaction(host, &[&INSTALL[..], &IN_ADVANCE].concat(), names, Some(&solution), survivor)?;
    if is_done(&output) {
        return Ok(());
    }
    if !output.stdout.lines().any(|line| progress(line).is_some()) {
        rpm::strike_out()?;
    }
    Err(said::fault(&output, Class::Package, &format!("installing {} failed", names.join(", "))).into())
}

/// [`crate::packages::Manager::download`].
///
/// # Errors
/// As there.
pub fn download(host: &Host, names: &[String]) -> Result<()> {
    let named = names.iter().map(String::as_str);
    let words = words(INSTALL.into_iter().chain(["--download-only"]).chain(named));
    let output = when_free(host, || zypper(&words).limit(FETCH_LIMIT))?;
    if is_done(&output) {
        return Ok(());
    }
    Err(said::fault(&output, Class::Package, &format!("fetching {} failed", names.join(", "))).into())
}

/// Removes `names`. A key that rpm trusts is removed as if it were a package.
///
/// # Errors
/// [`crate::packages::Manager::remove`].
pub fn remove(host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    finish(host, names, survivor)?;
    let (keys, names): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| name.starts_with(rpm::KEY));
    let there = rpm::with_architecture(host, &names)?;
    if !there.is_empty() {
        let output = transaction(host, &REMOVE, &there, Some(&Solution::default()), survivor)?;
        if !is_done(&output) {
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
        let force = (again == Again::Reinstall).then_some("--force");
        let to_do: Vec<&str> = INSTALL.into_iter().chain(IN_ADVANCE).chain(force).collect();
        let output = transaction(host, &to_do, names, None, survivor)?;
        if is_done(&output) {
            return Ok(());
        }
        let message = format!("an upgrade that was cut off cannot be done once more: {}", names.join(", "));
        Err(said::fault(&output, Class::Package, &message).into())
    };
    let exactly = |one: &Move| format!("{}={}", one.name, one.to);
    let means = Means { locks: &LOCKS, exactly: &exactly, simulate: &|names| simulate(host, names), run: &run };
    rpm::mend(host, &means, going, survivor)
}

/// What zypper is `to_do` with `names`; what it brings, where that is to be written down.
fn transaction(
    host: &Host,
    to_do: &[&str],
    names: &[String],
    solution: Option<&Solution>,
    survivor: &Survivor<'_>,
) -> Result<Output> {
    let words = words(to_do.iter().copied().chain(names.iter().map(String::as_str)));
    let transaction = rpm::Transaction { words, solution, ended: ENDED, progress };
    in_scratch(|| transaction.run(host, &LOCKS, is_locked, survivor, scratch))
}

fn is_done(output: &Output) -> bool {
    output.ran.exit.is_some_and(|code| DONE.contains(&code))
}

/// `(1/3) Installing: redis-7.0.15-1.x86_64 [....done]`
fn progress(line: &str) -> Option<(f32, &str)> {
    let (count, rest) = line.trim().strip_prefix('(')?.split_once(") ")?;
    let text = rest.split(" [").next().filter(|text| text.contains(": "))?;
    rpm::share(count, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_of_what_rpm_does() {
        for (line, wanted) in [
            (
                "(1/4) Installing: redis-7.0.15-1.x86_64 [............done]",
                Some((25.0, "Installing: redis-7.0.15-1.x86_64")),
            ),
            ("(2/2) Removing: redis-7.0.15-1.x86_64 [..done]", Some((100.0, "Removing: redis-7.0.15-1.x86_64"))),
            ("Retrieving package redis-7.0.15-1.x86_64 (1/1),   1.3 MiB (  2.7 MiB unpacked)", None),
            ("Additional rpm output:", None),
        ] {
            assert_eq!(progress(line), wanted, "{line}");
        }
    }
}

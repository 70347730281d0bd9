//! What dnf would do.

use std::time::Duration;

use anyhow::Result;

use super::{dnf, is_five, said, table, when_free};
use crate::packages::Solution;
use crate::rpm::decisions;
use crate::{Host, rpm};

const LIMIT: Duration = Duration::from_secs(300);

/// What installing `names` would do. Changes nothing but dnf's cache.
///
/// # Errors
/// Class `package`, where dnf finds no way (its own words are the evidence).
pub fn simulate(host: &Host, names: &[String]) -> Result<Solution> {
    decisions::with_versions(host, ask(host, "install", names)?)
}

/// Names of the packages that would go if `names` went.
///
/// # Errors
/// Class `package`, where dnf finds no way, as for a package that it protects.
pub fn simulate_removal(host: &Host, names: &[String]) -> Result<Vec<String>> {
    // Keys are no packages for dnf.
    let names: Vec<String> = names.iter().filter(|name| !name.starts_with(rpm::KEY)).cloned().collect();
    if names.is_empty() {
        return Ok(names);
    }
    Ok(ask(host, "remove", &names)?.removed.into_iter().map(|gone| gone.name).collect())
}

/// What dnf says that it would do. dnf 4 is asked to tell its decisions one a line: its table is made for people, and breaks long names; that
/// of dnf 5 is all there is.
fn ask(host: &Host, action: &str, names: &[String]) -> Result<Solution> {
    let (parse, more): (fn(&str, &str) -> Solution, _) =
        if is_five() { (table::parse, None) } else { (decisions::parse, Some("--debuglevel=3")) };
    let words = || [action, "--assumeno"].into_iter().chain(more).map(str::to_owned).chain(names.iter().cloned());
    let output = when_free(host, || dnf(host, words()).limit(LIMIT).data())?;
    // It exits with 1 where it would do something and was told not to.
    let refused = output.stderr.lines().any(|line| line.starts_with("Operation aborted"));
    if refused || output.ok() {
        return Ok(parse(&output.stdout, &host.facts.arch));
    }
    Err(said::fault_of_packages(host, &output, &format!("dnf cannot {action} {}", names.join(", "))).into())
}

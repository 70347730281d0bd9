//! What yum would do.

use std::time::Duration;

use anyhow::Result;

use super::{said, when_free, yum};
use crate::command::Output;
use crate::packages::Solution;
use crate::rpm::decisions;
use crate::{Fault, Host, rpm};

const LIMIT: Duration = Duration::from_secs(300);

/// What installing `names` would do. Changes nothing but yum's cache.
///
/// # Errors
/// Class `package`, where yum finds no way (its own words are the evidence).
pub fn simulate(host: &Host, names: &[String]) -> Result<Solution> {
    decisions::with_versions(host, ask(host, "install", names)?)
}

/// Names of the packages that would go if `names` went.
///
/// # Errors
/// Class `package`, where yum finds no way, as for a package that it protects.
pub fn simulate_removal(host: &Host, names: &[String]) -> Result<Vec<String>> {
    // Keys are no packages for yum.
    let names: Vec<String> = names.iter().filter(|name| !name.starts_with(rpm::KEY)).cloned().collect();
    if names.is_empty() {
        return Ok(names);
    }
    Ok(ask(host, "remove", &names)?.removed.into_iter().map(|gone| gone.name).collect())
}

/// What yum says that it would do.
fn ask(host: &Host, action: &str, names: &[String]) -> Result<Solution> {
    let words = || [action, "--assumeno"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    let output = when_free(host, || yum(host, words()).limit(LIMIT).data())?;
    // It exits with 1 where it would do something and was told not to, and older ones with 0 where they do not know a name.
    let refused = output.stdout.lines().any(|line| line.starts_with("Exiting on user command"));
    if (refused || output.ok()) && said::unknown(&output).is_empty() {
        return Ok(decisions::parse(&output.stdout, &host.facts.arch));
    }
    Err(fault(host, &output, &format!("yum cannot {action} {}", names.join(", ")))?.into())
}

/// The failure that `output` tells of, of packages on `host`. yum says the same of packages that are excluded and of such that nobody has, so
/// it is asked without what is excluded.
///
/// # Errors
/// Where it cannot be asked.
pub(super) fn fault(host: &Host, output: &Output, message: &str) -> Result<Fault> {
    for name in said::unknown(output) {
        let words = ["list", "available", name, "--disableexcludes=all", "--noplugins", "--cacheonly"];
        if when_free(host, || yum(host, words).limit(LIMIT).data())?.ok() {
            return Ok(said::of_excluded(output, name, message));
        }
    }
    Ok(said::fault_of_packages(host, output, message))
}

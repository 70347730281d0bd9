//! What yum would do.

use anyhow::Result;

use super::{YUM, said};
use crate::command::Output;
use crate::packages::Solution;
use crate::rpm::decisions;
use crate::{Fault, Host};

/// What yum says that it would do.
pub(super) fn ask(host: &Host, action: &str, names: &[String]) -> Result<Solution> {
    let output = YUM.answer(host, &[action, "--assumeno"], names)?;
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
        if YUM.answer(host, &words, &[])?.ok() {
            return Ok(said::of_excluded(output, name, message));
        }
    }
    Ok(said::fault_of_packages(host, output, message))
}

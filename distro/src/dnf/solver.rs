//! What dnf would do.

use anyhow::Result;

use super::{DNF, is_five, said, table};
use crate::Host;
use crate::packages::Solution;
use crate::rpm::decisions;

/// What dnf says that it would do. dnf 4 is asked to tell its decisions one a line: its table is made for people, and breaks long names; that
/// of dnf 5 is all there is.
pub(super) fn ask(host: &Host, action: &str, names: &[String]) -> Result<Solution> {
    let five = is_five();
    let more = if five { &[][..] } else { &["--debuglevel=3"] };
    let output = DNF.answer(host, &[&[action, "--assumeno"], more].concat(), names)?;
    // It exits with 1 where it would do something and was told not to.
    let refused = output.stderr.lines().any(|line| line.starts_with("Operation aborted"));
    if refused || output.ok() {
        let parse = if five { table::parse } else { decisions::parse };
        return Ok(parse(&output.stdout, &host.facts.arch));
    }
    Err(said::fault_of_packages(host, &output, &format!("dnf cannot {action} {}", names.join(", "))).into())
}

//! Listeners to events: console, run log, failure card.
//!
//! The engine says what happens ([`crate::engine::event`]); everything that a user sees of it is made here. People are talked
//! to on stderr ([`console`]), programs get JSON Lines on stdout ([`json`]), and every attempt is written down ([`run_log`]).
//! Nothing here fails: a terminal that is gone or a disk that is full never stops a run.

pub mod blueprint;
pub mod card;
pub mod console;
pub mod json;
pub mod line;
pub mod plan;
pub mod plan_view;
pub mod run_log;
pub mod status;
pub mod style;

#[cfg(test)]
mod tests;

use crate::engine::event::What;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Warnings, failures and the outcome.
    Quiet,
    /// What changes.
    Normal,
    /// Also what is in place, the commands and what they say, and diffs.
    Verbose,
}

/// The sentence that ends a run; nothing of any other event. What an uninstall has none of (resources in place or changed) is
/// left out, and so is `restarted` where it is 0.
pub fn summary(ended: &What) -> String {
    let What::RunEnded { in_place, changed, failed, restarted, taken_back, kept, .. } = ended else {
        return String::new();
    };
    let mut parts = Vec::new();
    if taken_back.is_none() || in_place + changed > 0 {
        parts.extend([format!("{in_place} in place"), format!("{changed} changed")]);
    }
    parts.extend(taken_back.map(|n| format!("{n} taken back")));
    parts.extend(kept.map(|n| format!("{n} kept")));
    parts.push(format!("{failed} failed"));
    if *restarted > 0 {
        parts.push(format!("{restarted} restarted"));
    }
    parts.join(", ")
}

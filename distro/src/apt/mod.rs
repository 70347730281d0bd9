//! apt: the index, the solver's answer, and transactions.
//!
//! Options and environment are those of apt-get(8), apt.conf(5) and dpkg(1); formats of what apt prints on its status file
//! descriptor are in README.progress-reporting of its documentation.

mod ahead;
mod asked;
mod definition;
mod fetch;
mod index;
mod own_proxy;
mod said;
mod solver;
mod source;
mod sources;
mod transaction;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::command::Output;
use crate::packages::Survivor;
use crate::{Command, Fault, Host, dpkg, locks};

pub use ahead::{fetch as fetch_ahead, pays as fetching_ahead_pays};
pub use asked::asked_for;
pub use definition::{login_path, parts, rival};
pub use fetch::fetch;
pub use index::release_url;
pub use index::{has_any, update};
pub use own_proxy::own_proxy;
pub use said::problems;
pub use solver::{simulate, simulate_removal};
pub use source::{LISTS, Source, definition_path, keyring_path};
pub use sources::{Entry, entries, hidden, seen};
pub use transaction::{configure, download, install, is_stale_index, mend, remove, trigger};

/// Where apt keeps what it has read of the lists.
const CACHES: &str = "/var/cache/apt";

/// Finishes what a killed apt and its dpkg left, as [`crate::packages::Manager::finish`] has it.
///
/// # Errors
/// As there.
pub fn finish(host: &Host, going: &[String], deny: &[String], survivor: &Survivor<'_>) -> Result<()> {
    index::forget_cache_parts(Path::new(CACHES))?;
    dpkg::finish(host, going, deny, survivor)
}

/// How often a lock may be taken from under our nose between our look and apt's.
const LOST_RACES: usize = 5;

/// How apt fetches, whatever it fetches. It is tried again by [`retried`], which says so: while apt itself pauses before a retry, apt
/// 2.6 loses what it fetches from a server that it also gets something else from, and waits for ever.
const FETCHING: [&str; 3] = ["Acquire::Retries=0", "Acquire::http::Timeout=20", "Acquire::https::Timeout=20"];

/// apt-get with what every call of it needs, after what it is to do, which is seen then where a long line is cut. The languages
/// are said in every call: with others than the last one had, apt rebuilds its cache.
fn apt_get<'a, S: Into<String>>(to_do: impl IntoIterator<Item = S>) -> Command<'a> {
    let options = ["Acquire::Languages=none", "APT::Color=0", "Dpkg::Progress-Fancy=0"];
    let options = FETCHING.iter().chain(&options).flat_map(|option| ["-o", option]);
    unattended(Command::new("apt-get").args(to_do).arg("-q").args(options))
}

/// Nothing that a package or a hook of apt runs may ask a question, or start services on its own account.
fn unattended(command: Command<'_>) -> Command<'_> {
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DEBCONF_NONINTERACTIVE_SEEN", "true")
        .env("NEEDRESTART_SUSPEND", "1")
        .env("APT_LISTCHANGES_FRONTEND", "none")
        .env("APT_LISTBUGS_FRONTEND", "none")
        .env("UCF_FORCE_CONFFOLD", "1")
}

/// Runs what `command` makes when `paths` are free; again, where somebody takes a lock in between. `command` is told how many
/// seconds may still be waited for locks.
fn when_free<'a>(host: &Host, paths: &[&str], command: impl Fn(u64) -> Command<'a>) -> Result<Output> {
    let mut runs = 0;
    let lost = |output: &Output| {
        runs += 1;
        !output.ok() && runs <= LOST_RACES && said::lost_a_lock(output)
    };
    locks::when_free(host, paths, lost, |left| Ok(command(left.as_secs())))
}

/// How often something is tried that may be otherwise in a moment, and how long is waited first; then thrice as long.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// After this long nothing is tried again: whoever waited for an answer has waited enough.
const ENOUGH: Duration = Duration::from_secs(30);

/// Tries again what fails in a passing way, and says so.
fn retried(host: &Host, what: &str, mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let (began, mut pause) = (Instant::now(), PAUSE);
    for number in 2..=TRIES {
        match attempt() {
            Err(error)
                if Fault::find(&error).is_some_and(said::passes)
                    && host.runner.stops() == 0
                    && began.elapsed() < ENOUGH =>
            {
                let seconds = pause.as_secs();
                host.runner.note(&format!("{what}: {error}; it may pass: attempt {number} of {TRIES} in {seconds} s"));
                crate::patience::pause(pause);
                pause *= 3;
            }
            done => return done,
        }
    }
    attempt()
}

/// Tells what apt says on its status file descriptor.
fn tell_progress(host: &Host) -> impl Fn(&str) + '_ {
    |line| {
        if let Some((percent, text)) = progress(line) {
            host.runner.progress(percent, text);
        }
    }
}

/// Percent and text of `dlstatus:ITEM:PERCENT:TEXT` or `pmstatus:PACKAGE:PERCENT:TEXT`; a package's name may hold a colon.
fn progress(line: &str) -> Option<(f32, &str)> {
    let (kind, rest) = line.split_once(':')?;
    if !matches!(kind, "dlstatus" | "pmstatus") {
        return None;
    }
    let mut from = 0;
    while let Some(colon) = rest[from..].find(':') {
        from += colon + 1;
        let (number, text) = rest[from..].split_once(':')?;
        if let Ok(percent) = number.parse() {
            return Some((percent, text));
        }
    }
    None
}

/// How long fetching may take in all.
const FETCH_LIMIT: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines_are_read() {
        let cases = [
            (
                "dlstatus:1:20.5:Retrieving file 1 of 3 (5s remaining)",
                Some((20.5, "Retrieving file 1 of 3 (5s remaining)")),
            ),
            ("pmstatus:nginx:45.0000:Installing nginx (amd64)", Some((45.0, "Installing nginx (amd64)"))),
            ("pmstatus:libc6:i386:50:Unpacking: x", Some((50.0, "Unpacking: x"))),
            ("pmerror:nginx:50:oops", None),
            ("pmstatus:nginx", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(progress(line), expected, "{line}");
        }
    }
}

//! What a later transaction needs is fetched while dpkg is at work on an earlier one.
//!
//! It pays where the servers are far away: apt fetches everything before dpkg begins, so that one of them always waits. Near
//! servers are faster than dpkg.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{FETCH_LIMIT, apt_words, entries, unattended};
use crate::net::outside;
use crate::net::split_url;
use crate::{Command, Host, Runner};

/// An answer of a server that is near takes less: two ways there and back, or more with TLS.
const NEAR: Duration = Duration::from_millis(40);
/// How often a server is asked that seems far away: a busy host is slow to see an answer.
const TRIES: usize = 4;
/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(3);

/// [`crate::packages::Manager::fetches_ahead`].
///
/// # Errors
/// As there.
pub fn pays(host: &Host) -> Result<bool> {
    Ok(is_far(host)? && !is_cache_emptied(host)?)
}

/// Fetches what installing `names` needs. It takes none of apt's locks, which the transaction at work holds and no longer needs for its
/// own files; and it dies with us, so that nobody who goes on meets it.
pub fn fetch(runner: &Runner, names: &[String]) {
    let mut words = apt_words(["install", "--download-only", "--no-install-recommends"]);
    words.extend(names.iter().cloned());
    words.extend(runner.network().apt_options().iter().map(ToString::to_string));
    words.extend(["-y", "-o", "Debug::NoLocking=true"].map(str::to_owned));
    let command = Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "apt-get"]).args(words);
    let command = unattended(command).limit(FETCH_LIMIT);
    if !command.output(runner).is_ok_and(|output| output.ok()) {
        runner.note("packages cannot be fetched ahead; they are when it is their turn");
    }
}

/// Is any server of this host's repositories far away? Servers that do not answer say nothing.
fn is_far(host: &Host) -> Result<bool> {
    let mut asked = BTreeSet::new();
    let mut urls = Vec::new();
    for entry in entries(Path::new("/etc/apt"))? {
        let url = entry.told().url;
        if split_url(&url).is_ok_and(|place| asked.insert(place)) {
            urls.push(url);
        }
    }
    let roots = outside::roots(&host.runner.network());
    let takes_long = |url: &str| {
        let began = Instant::now();
        outside::get(&host.runner, &roots, url, LIMIT).is_ok() && began.elapsed() > NEAR
    };
    Ok(urls.iter().any(|url| (0..TRIES).all(|_| takes_long(url))))
}

/// Is there a hook that empties apt's cache after each dpkg, as images of containers have it? Then nothing can be fetched ahead.
fn is_cache_emptied(host: &Host) -> Result<bool> {
    let output = Command::new("apt-config").args(["dump", "DPkg::Post-Invoke"]).data().output(&host.runner)?;
    Ok(output.stdout.contains("/archives"))
}

//! What a later transaction needs is fetched while dpkg is at work on an earlier one.
//!
//! It pays where the servers are far away: apt fetches everything before dpkg begins, so that one of them always waits. Near
//! servers are faster than dpkg.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::fetch::HELPER;
use super::{FETCH_LIMIT, FETCHING, entries};
use crate::net::outside;
use crate::net::split_url;
use crate::packages::Archive;
use crate::{Command, Host, Runner};

/// Where apt looks for what it has fetched.
const CACHE: &str = "/var/cache/apt/archives";

/// An answer of a server that is near takes less: two ways there and back, or more with TLS.
const NEAR: Duration = Duration::from_millis(40);
/// How often a server is asked that seems far away: a busy host is slow to see an answer.
const TRIES: usize = 3;
/// Whoever takes so long is not asked again: no host is so busy.
const FAR: Duration = Duration::from_millis(400);
/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(1);

/// [`crate::packages::Manager::fetches_ahead`].
///
/// # Errors
/// As there.
pub fn pays(host: &Host) -> Result<bool> {
    Ok(is_far(host)? && !is_cache_emptied(host)? && dies_with_us(host)?)
}

/// Does the host have what ends a command with us (setpriv(1), since util-linux 2.33)?
fn dies_with_us(host: &Host) -> Result<bool> {
    let output = Command::new("setpriv").arg("--help").data().output(&host.runner)?;
    Ok(output.stdout.contains("--pdeathsig"))
}

/// Fetches those of `archives` that are not in apt's cache, by apt's own helper, which verifies them, into the folder where apt keeps what
/// is not whole: what a kill leaves there, apt goes on with and verifies itself. It takes none of apt's locks, which the transaction at
/// work holds and no longer needs for its own files; and it dies with us, so that nobody who goes on meets it.
pub fn fetch(runner: &Runner, archives: &[Archive]) {
    let (cache, partial) = (Path::new(CACHE), Path::new(CACHE).join("partial"));
    let missing: Vec<&Archive> = archives.iter().filter(|archive| !cache.join(&archive.file).exists()).collect();
    if missing.is_empty() {
        return;
    }
    let options = FETCHING.iter().flat_map(|option| ["-o", option]);
    let mut command = Command::new("setpriv").args(["--pdeathsig", "KILL", "--", HELPER]);
    command = command.args(runner.network().apt_options().iter().copied()).args(options).arg("download-file");
    for archive in &missing {
        command = command.args([
            archive.url.clone(),
            partial.join(&archive.file).display().to_string(),
            archive.hash.clone(),
        ]);
    }
    let fetched = command.limit(FETCH_LIMIT).output(runner).is_ok_and(|output| output.ok());
    let moved = |archive: &&Archive| fs::rename(partial.join(&archive.file), cache.join(&archive.file)).is_ok();
    if !fetched || !missing.iter().all(moved) {
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
    let takes = |url: &str| {
        let began = Instant::now();
        outside::get(&host.runner, &roots, url, LIMIT).is_ok().then(|| began.elapsed())
    };
    Ok(urls.iter().any(|url| is_far_by((0..TRIES).map(|_| takes(url)))))
}

/// Is a server far away whose answers took this long? None is one that did not answer.
fn is_far_by(answers: impl Iterator<Item = Option<Duration>>) -> bool {
    for answer in answers {
        match answer {
            Some(took) if took > FAR => return true,
            Some(took) if took > NEAR => {}
            _ => return false,
        }
    }
    true
}

/// Is there a hook that empties apt's cache after each dpkg, as images of containers have it? Then nothing can be fetched ahead.
fn is_cache_emptied(host: &Host) -> Result<bool> {
    let output = Command::new("apt-config").args(["dump", "DPkg::Post-Invoke"]).data().output(&host.runner)?;
    Ok(output.stdout.contains("/archives"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_server_is() {
        for (answers, far, asked) in [
            (&[Some(50), Some(60), Some(50)][..], true, 3),
            (&[Some(50), Some(8), Some(50)], false, 2),
            (&[Some(900), Some(900), Some(900)], true, 1),
            (&[None, Some(50), Some(50)], false, 1),
        ] {
            let mut count = 0;
            let told = answers.iter().map(|answer| answer.map(Duration::from_millis));
            assert_eq!(is_far_by(told.inspect(|_| count += 1)), far, "{answers:?}");
            assert_eq!(count, asked, "{answers:?}");
        }
    }
}

//! Two transactions in place of one: what the second needs is fetched while dpkg is at work on the first.
//!
//! It pays where the servers are far away: apt fetches everything before dpkg begins, so that one of them always waits. Near
//! servers are faster than dpkg, and a second transaction costs a second of computing.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::transaction::install_from;
use super::{FETCH_LIMIT, apt_words, entries, unattended};
use crate::net::outside;
use crate::net::split_url;
use crate::packages::Survivor;
use crate::{Command, Host};

/// An answer of a server that is near takes less: two ways there and back, or more with TLS.
const NEAR: Duration = Duration::from_millis(40);
/// How often a server is asked that seems far away: a busy host is slow to see an answer.
const TRIES: usize = 4;
/// How long an answer is waited for.
const LIMIT: Duration = Duration::from_secs(3);

/// [`crate::packages::Manager::install`].
///
/// # Errors
/// As there.
pub fn install(host: &Host, first: &[String], rest: &[String], deny: &[String], survivor: &Survivor<'_>) -> Result<()> {
    if !first.is_empty() && !rest.is_empty() && is_far(host)? && !is_cache_emptied(host)? {
        return install_in_turn(host, first, rest, deny, survivor);
    }
    let mut names = [first, rest].concat();
    names.sort();
    install_from(host, &names, deny, survivor, &|| ())
}

/// Installs `first` and then `rest`, each in one transaction. Packages of `rest` are fetched meanwhile; where that fails, its
/// transaction fetches them.
fn install_in_turn(
    host: &Host,
    first: &[String],
    rest: &[String],
    deny: &[String],
    survivor: &Survivor<'_>,
) -> Result<()> {
    let (begun, begins) = mpsc::channel();
    std::thread::scope(|scope| {
        // Nothing comes where the first transaction ends before dpkg was at work.
        scope.spawn(move || begins.recv().is_ok().then(|| fetch(host, rest)));
        let done = install_from(host, first, deny, survivor, &|| {
            // Where nobody waits for it any more, nothing is fetched.
            begun.send(()).ok();
        });
        drop(begun);
        done
    })?;
    install_from(host, rest, deny, survivor, &|| ())
}

/// Fetches what installing `names` needs. It takes none of apt's locks, which the transaction at work holds and no longer needs for its
/// own files; and it dies with us, so that nobody who goes on meets it.
fn fetch(host: &Host, names: &[String]) {
    let mut words = apt_words(["install", "--download-only", "--no-install-recommends"]);
    words.extend(names.iter().cloned());
    words.extend(host.runner.network().apt_options().iter().map(ToString::to_string));
    words.extend(["-y", "-o", "Debug::NoLocking=true"].map(str::to_owned));
    let command = Command::new("setpriv").args(["--pdeathsig", "KILL", "--", "apt-get"]).args(words);
    let command = unattended(command).limit(FETCH_LIMIT);
    if !command.output(&host.runner).is_ok_and(|output| output.ok()) {
        host.runner.note("packages cannot be fetched ahead; they are when it is their turn");
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

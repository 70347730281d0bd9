//! dnf 4, dnf 5 and rpm: the index, the solver's answer, and transactions.
//!
//! Options are those of dnf(8) and dnf.conf(5), queries those of rpm(8). Packages of these distributions start no service by themselves,
//! so nothing is held back while they are installed.

mod extras;
mod index;
mod said;
mod solver;
mod table;
mod transaction;

use std::path::Path;

use anyhow::Result;

use crate::command::Output;
use crate::packages::Entry;
use crate::packages::definition::{Definition, Part};
use crate::rpm::{FETCH_LIMIT, definition, repos};
use crate::{Command, Host, locks};

pub use crate::rpm::definition::{definition_path, keyring_path, rival};
pub use index::{has_any, index, remove_index, update};
pub use said::is_stale_index;
pub use solver::{simulate, simulate_removal};
pub use transaction::{download, finish, install, remove};

/// What dnf and rpm take: pid files of dnf 4, files that dnf 5 locks (Fedora has the first elsewhere), and rpm's own lock.
pub const LOCKS: [&str; 7] = [
    "/var/cache/dnf/metadata_lock.pid",
    "/var/cache/dnf/download_lock.pid",
    "/var/lib/dnf/rpmdb_lock.pid",
    "/var/lib/dnf/system-repo.lock",
    "/usr/lib/sysimage/libdnf5/system-repo.lock",
    "/run/dnf/rpmtransaction.lock",
    "/var/lib/rpm/.rpm.lock",
];

/// dnf's exit code where another process holds its lock.
const LOCKED: i32 = 200;

/// The files that define a repository. What is asked for by name is meant, whichever stream of a module the distribution has switched on; and
/// from it, not from another that has the name, too, while it fails.
pub fn parts(of: &Definition) -> Vec<Part> {
    definition::parts(of, "module_hotfixes=1\nskip_if_unavailable=0\n")
}

/// Every repository of `host` that is switched on.
///
/// # Errors
/// Where a file that defines some cannot be read.
pub fn repositories(host: &Host) -> Result<Vec<Entry>> {
    let release = host.facts.major.map_or(host.facts.version.clone(), |major| major.to_string());
    repos::repositories(&host.facts, &release, Path::new(definition::FOLDER), Path::new("/etc/dnf/vars"))
}

/// Is it dnf 5? It goes by the same name, and has other words.
fn is_five() -> bool {
    Path::new("/usr/bin/dnf").canonicalize().is_ok_and(|path| path.ends_with("dnf5"))
}

/// dnf with what every call of it needs, after what it is to do, which is seen then where a long line is cut.
fn dnf<'a, S: Into<String>>(host: &Host, to_do: impl IntoIterator<Item = S>) -> Command<'a> {
    let words = words(host, to_do);
    Command::new(words[0].as_str()).args(words[1..].iter().cloned())
}

fn words<S: Into<String>>(host: &Host, to_do: impl IntoIterator<Item = S>) -> Vec<String> {
    // A repository of somebody else's that fails harms nobody; ours say of themselves that they are needed.
    let options = [
        "install_weak_deps=False",
        "clean_requirements_on_remove=False",
        "exit_on_lock=True",
        "color=never",
        "skip_if_unavailable=True",
    ];
    // What it asks with finds proxies in the environment, and certificates nowhere but here.
    let bundle = host.runner.network().bundle();
    let trusted =
        bundle.iter().flat_map(|bundle| ["sslcacert", "proxy_sslcacert"].map(|option| format!("{option}={bundle}")));
    let options = options.map(str::to_owned).into_iter().chain(trusted).map(|option| format!("--setopt={option}"));
    ["dnf".to_owned()].into_iter().chain(to_do.into_iter().map(Into::into)).chain(options).collect()
}

fn is_locked(output: &Output) -> bool {
    output.ran.exit == Some(LOCKED)
}

/// Runs what `command` makes when nobody holds a lock; again, where somebody takes it in between.
fn when_free<'a>(host: &Host, command: impl Fn() -> Command<'a>) -> Result<Output> {
    locks::when_free(host, &LOCKS, is_locked, |_| Ok(command()))
}

//! yum 3.4 and rpm: the index, the solver's answer, and transactions, on Enterprise Linux 7 and Amazon Linux 2.
//!
//! Options are those of yum(8) and yum.conf(5). Packages of these distributions start no service by themselves, so nothing is held back while they
//! are installed.

mod extras;
mod index;
mod said;
mod solver;
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

/// Its settings.
const SETTINGS: &str = "/etc/yum.conf";

/// What yum and rpm take: a file with the pid of the yum at work, and rpm's own lock.
pub const LOCKS: [&str; 2] = ["/var/run/yum.pid", "/var/lib/rpm/.rpm.lock"];

/// What is the same in every call, whatever the host's settings are: decisions are told one a line from this level on.
const OPTIONS: [&str; 3] = ["--debuglevel=2", "--errorlevel=2", "--color=never"];

/// The same as settings: who is locked out says so and ends; nothing goes that nobody needs any more; no file is kept of what was only asked; names
/// that nobody has are an error.
const SETTING: [&str; 4] =
    ["exit_on_lock=1", "clean_requirements_on_remove=0", "autosavets=0", "skip_missing_names_on_install=0"];

/// What a repository says of itself where others may do without it.
const PASSED_OVER: &str = "skip_if_unavailable";

/// The files that define a repository. What is asked for is meant from it, and not from another that has the name, too, while it fails.
pub fn parts(of: &Definition) -> Vec<Part> {
    definition::parts(of, &format!("{PASSED_OVER}=0\n"))
}

/// Every repository of `host` that is switched on.
///
/// # Errors
/// Where a file that defines some cannot be read.
pub fn repositories(host: &Host) -> Result<Vec<Entry>> {
    let major = host.facts.major.map_or(host.facts.version.clone(), |major| major.to_string());
    // The version of the package that says which release it is.
    let release = if ["rhel", "ol"].contains(&host.facts.os.as_str()) { format!("{major}Server") } else { major };
    repos::repositories(&host.facts, &release, Path::new(definition::FOLDER), Path::new("/etc/yum/vars"))
}

/// yum with what every call of it needs, after what it is to do, which is seen then where a long line is cut.
fn yum<'a, S: Into<String>>(host: &Host, to_do: impl IntoIterator<Item = S>) -> Command<'a> {
    let words = words(host, to_do);
    Command::new(words[0].as_str()).args(words[1..].iter().cloned())
}

fn words<S: Into<String>>(host: &Host, to_do: impl IntoIterator<Item = S>) -> Vec<String> {
    // What it asks with finds proxies in the environment, and certificates nowhere but here.
    let trusted = host.runner.network().bundle().map(|bundle| format!("sslcacert={bundle}"));
    let settings = SETTING.map(str::to_owned).into_iter().chain(trusted).chain(passed_over());
    let settings = settings.map(|setting| format!("--setopt={setting}"));
    let options = OPTIONS.map(str::to_owned).into_iter().chain(settings);
    ["yum".to_owned()].into_iter().chain(to_do.into_iter().map(Into::into)).chain(options).collect()
}

/// Settings by which a repository of somebody else's that fails harms nobody. yum knows that of single repositories, by their whole names, and not
/// of all together; ours, and those that an administrator decided about, say it themselves.
fn passed_over() -> Vec<String> {
    // A folder that cannot be read is yum's to complain about.
    let names = repos::without(Path::new(definition::FOLDER), PASSED_OVER).unwrap_or_default();
    names.into_iter().map(|name| format!("{name}.{PASSED_OVER}=1")).collect()
}

/// It tells by words alone that another process holds its lock.
fn is_locked(output: &Output) -> bool {
    // Of a transaction both streams are one.
    [&output.stdout, &output.stderr].iter().any(|said| said.contains("is currently holding the yum lock"))
}

/// Runs what `command` makes when nobody holds a lock; again, where somebody takes it in between.
fn when_free<'a>(host: &Host, command: impl Fn() -> Command<'a>) -> Result<Output> {
    locks::when_free(host, &LOCKS, is_locked, |_| Ok(command()))
}

//! zypper and rpm: the index, the solver's answer, and transactions, on SUSE Linux Enterprise and openSUSE Leap.
//!
//! Options and exit codes are those of zypper(8). Packages of these distributions start no service by themselves, so nothing is held back
//! while they are installed.

mod asked;
mod definition;
mod index;
mod own_proxy;
mod said;
mod solver;
mod transaction;

use anyhow::{Context, Result};

use crate::command::Output;
use crate::rpm::{FETCH_LIMIT, LOCK};
use crate::{Command, Host, locks};

pub use asked::asked_for;
pub use definition::{FOLDER, definition_path, keyring_path, login, login_path, parts, repositories, rival};
pub use index::{has_any, index, remove_index, update};
pub use own_proxy::{PROXY, own_proxy};
pub use said::is_stale_index;
pub use solver::{simulate, simulate_removal};
pub use transaction::{download, finish, install, remove};

/// What zypper and rpm take: a file with the pid of whoever uses libzypp, and rpm's own lock.
pub const LOCKS: [&str; 2] = ["/run/zypp.pid", LOCK];

/// A folder for what libzypp needs while it works, packages before they are in its cache among it: a kill leaves it, and libzypp never removes what
/// an earlier one left.
const SCRATCH: &str = "/var/lib/surefoot/.zypp";
/// What removes packages, and nothing that nobody needs any more besides.
const REMOVE: [&str; 3] = ["--no-refresh", "remove", "--no-clean-deps"];
/// Exit code where a repository was left out, since it could not be fetched.
const SKIPPED: i32 = 106;
/// Exit code where another process holds the lock.
const LOCKED: i32 = 7;

/// What every call begins with: zypper takes these before what it is to do.
fn words<'a>(to_do: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    ["zypper", "--non-interactive", "--no-color"].into_iter().chain(to_do).map(str::to_owned).collect()
}

fn zypper<'a>(words: &[String]) -> Command<'a> {
    Command::new(words[0].as_str()).args(words[1..].iter().cloned())
}

fn is_locked(output: &Output) -> bool {
    output.ran.exit == Some(LOCKED)
}

/// Runs what `command` makes when nobody holds a lock; again, where somebody takes it in between.
fn when_free<'a>(host: &Host, command: impl Fn() -> Command<'a>) -> Result<Output> {
    in_scratch(|| locks::when_free(host, &LOCKS, is_locked, |_| scratch(command())))
}

/// `command` with an empty [`SCRATCH`]. For when the locks are free.
fn scratch(command: Command<'_>) -> Result<Command<'_>> {
    clear()?;
    std::fs::create_dir_all(SCRATCH).with_context(|| format!("making {SCRATCH}"))?;
    Ok(command.env("ZYPPTMPDIR", SCRATCH))
}

/// Runs a command in it, and leaves nothing of it. Where that fails, the next call does it.
fn in_scratch(run: impl FnOnce() -> Result<Output>) -> Result<Output> {
    let output = run()?;
    let _ = clear();
    Ok(output)
}

fn clear() -> Result<()> {
    match std::fs::remove_dir_all(SCRATCH) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("removing {SCRATCH}")),
    }
}

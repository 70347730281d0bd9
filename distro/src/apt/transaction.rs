//! Transactions: what changes packages. Never killed by us, however long they take.

use std::cell::Cell;

use anyhow::Result;

use super::{apt_get, retried, said, tell_progress, unattended, when_free};
use crate::command::Output;
use crate::guard::Guard;
use crate::packages::{Moment, Survivor};
use crate::{Class, Command, Host, dpkg, locks};

/// Configuration files of the admin stay as they are; those nobody changed follow the package.
const CONFFILES: [&str; 2] = ["--force-confdef", "--force-confold"];
const INSTALL: [&str; 3] = ["install", "--no-install-recommends", "--no-remove"];

/// [`crate::packages::Manager::install`].
///
/// The output goes by a terminal of apt's own (its default): so the transaction is whole also when nobody reads it any more,
/// which a pipe would not survive, and apt's term.log is written.
///
/// # Errors
/// As there.
pub fn install(
    host: &Host,
    names: &[String],
    deny: &[String],
    survivor: &Survivor<'_>,
    watch: &dyn Fn(Moment<'_>),
) -> Result<()> {
    dpkg::finish(host, &[], deny, survivor)?;
    let guard = Guard::set(host, deny)?;
    // What can pass is a download, before which nothing was changed.
    let done = attempt(host, "installing", || transaction(host, Some(&guard), &INSTALL, names, survivor, watch), names);
    let lifted = guard.lift();
    done.and(lifted)
}

/// [`crate::packages::Manager::download`].
///
/// # Errors
/// As there.
pub fn download(host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    let arguments = [INSTALL.as_slice(), &["--download-only"]].concat();
    attempt(host, "fetching", || transaction(host, None, &arguments, names, survivor, &|_| ()), names)
}

/// Runs `transaction`, again where a download failed that may succeed the next time.
fn attempt(host: &Host, doing: &str, transaction: impl Fn() -> Result<Output>, names: &[String]) -> Result<()> {
    retried(host, "fetching packages", || {
        let output = transaction()?;
        if output.ok() {
            return Ok(());
        }
        let fault = said::fault(&output, &format!("{doing} {} failed", culprit(&output).unwrap_or(names.join(", "))));
        Err(said::blame(fault, &host.runner.network().proxy_hosts()).into())
    })
}

/// [`crate::packages::Manager::remove`].
///
/// # Errors
/// As there.
pub fn remove(host: &Host, names: &[String], purge: bool, survivor: &Survivor<'_>) -> Result<()> {
    dpkg::finish(host, names, &[], survivor)?;
    let output = transaction(host, None, &[if purge { "purge" } else { "remove" }], names, survivor, &|_| ())?;
    if output.ok() {
        return Ok(());
    }
    Err(said::fault(&output, &format!("removing {} failed", culprit(&output).unwrap_or(names.join(", ")))).into())
}

/// `dpkg --configure -a`, whatever comes of it.
///
/// # Errors
/// Where it cannot be run; class `locked` where another process holds a lock.
pub fn configure(host: &Host, guard: &Guard<'_>, survivor: &Survivor<'_>) -> Result<Output> {
    dpkg(host, "--configure", guard, survivor)
}

/// `dpkg --triggers-only -a`, whatever comes of it: also merges what an interrupted dpkg has not merged.
///
/// # Errors
/// As [`configure`].
pub fn trigger(host: &Host, guard: &Guard<'_>, survivor: &Survivor<'_>) -> Result<Output> {
    dpkg(host, "--triggers-only", guard, survivor)
}

fn dpkg(host: &Host, action: &str, guard: &Guard<'_>, survivor: &Survivor<'_>) -> Result<Output> {
    when_free(host, &locks::TRANSACTION, |_| {
        let command = Command::new("dpkg").args(CONFFILES).args([action, "-a"]).env("PATH", guard.path());
        unattended(command).never_killed().on_start(survivor)
    })
}

/// `apt-get -f install` without removing anything, whatever comes of it. `broken` are packages that have to be unpacked again:
/// apt does so only where it is told to, by name, and tries to configure them otherwise. Who asked for them is not changed by
/// that.
///
/// # Errors
/// As [`configure`].
pub fn mend(host: &Host, broken: &[String], guard: &Guard<'_>, survivor: &Survivor<'_>) -> Result<Output> {
    transaction(host, Some(guard), &["-f", "--reinstall", "install", "--no-remove"], broken, survivor, &|_| ())
}

fn transaction(
    host: &Host,
    guard: Option<&Guard<'_>>,
    arguments: &[&str],
    names: &[String],
    survivor: &Survivor<'_>,
    watch: &dyn Fn(Moment<'_>),
) -> Result<Output> {
    // Where one package cannot be had, none is installed.
    let (tell, hopeless) = (tell_progress(host), said::hopeless(1));
    let first = Cell::new(true);
    let status = |line: &str| {
        tell(line);
        if line.starts_with("pmstatus:") && first.take() {
            watch(Moment::Fetched);
        }
        if let Some(name) = installed(line) {
            watch(Moment::Installed(name));
        }
    };
    when_free(host, &locks::TRANSACTION, |seconds| {
        let mut command = apt_get(to_do(arguments, names)).args(host.runner.network().apt_options().iter().copied());
        command = command.arg("-y").args(["-o", "APT::Status-Fd={}"]);
        command = command.args(["-o".to_owned(), format!("DPkg::Lock::Timeout={seconds}")]);
        for option in CONFFILES {
            command = command.args(["-o".to_owned(), format!("Dpkg::Options::={option}")]);
        }
        if let Some(guard) = guard {
            // An apt that does not know this hands its own on to dpkg.
            command = command.args(["-o".to_owned(), format!("DPkg::Path={}", guard.path())]).env("PATH", guard.path());
        }
        command.never_killed().on_start(survivor).on_status(&status).give_up_when(&hopeless)
    })
}

/// The package that a line of apt's status says is configured: `pmstatus:PACKAGE:PERCENT:Installed PACKAGE (ARCHITECTURE)`.
fn installed(line: &str) -> Option<&str> {
    let (of, _) = line.strip_prefix("pmstatus:")?.split_once(":Installed ")?;
    of.rsplit_once(':').map(|(name, _)| name)
}

/// What apt-get is to do: a verb with its flags, and names.
pub(super) fn to_do(arguments: &[&str], names: &[String]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).chain(names.iter().cloned()).collect()
}

/// The first package that dpkg says it cannot handle, and what it was doing with it.
fn culprit(output: &Output) -> Option<String> {
    let lines = output.stdout.lines().chain(output.stderr.lines());
    let rest = lines.filter_map(|line| line.strip_prefix("dpkg: error processing ")).next()?;
    let rest = rest.strip_prefix("package ").or(rest.strip_prefix("archive "))?;
    let name = rest.split_ascii_whitespace().next()?;
    // `/var/cache/apt/archives/NAME_VERSION_ARCH.deb`
    let name = name.rsplit('/').next()?.split('_').next()?;
    Some(format!("package {name}"))
}

/// Is `fault` about an index that is older than what the servers offer, so that fetching it anew can help?
pub fn is_stale_index(class: Class, evidence: &[String]) -> bool {
    let words =
        ["404", "Hash Sum mismatch", "unexpected size", "Unable to locate package", "no installation candidate"];
    matches!(class, Class::Repository | Class::Package | Class::Http)
        && evidence.iter().any(|line| words.iter().any(|word| line.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::super::said::tests::output;
    use super::*;

    #[test]
    fn what_is_configured_is_told() {
        for (line, name) in [
            ("pmstatus:redis-server:95.2381:Installed redis-server (amd64)", Some("redis-server")),
            ("pmstatus:libc6:i386:50:Installed libc6 (i386)", Some("libc6:i386")),
            ("pmstatus:redis-server:90.4762:Configuring redis-server (amd64)", None),
            ("pmstatus:redis-server:17.5:Installing redis-server (amd64)", None),
            ("dlstatus:1:20.5:Installed nothing", None),
        ] {
            assert_eq!(installed(line), name, "{line}");
        }
    }

    #[test]
    fn the_first_failing_package_is_named() {
        let cases = [
            ("dpkg: error processing package nginx-common (--configure):\n", Some("package nginx-common")),
            (
                "dpkg: error processing archive /var/cache/apt/archives/redis_5%3a7_amd64.deb (--unpack):\n",
                Some("package redis"),
            ),
            ("E: Unable to locate package x\n", None),
        ];
        for (said, expected) in cases {
            assert_eq!(culprit(&output(said, "")).as_deref(), expected);
        }
    }
}

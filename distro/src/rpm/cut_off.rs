//! Transactions of rpm that were cut off.
//!
//! rpm does not remember whether it came to the end of a package: one that was cut off while its script ran is as installed as any other. So
//! what a transaction brings is written down before it begins, and struck out when what asked rpm for it has ended by itself.
//!
//! What is left after a kill of a package that is new is taken back, and done once more. An upgrade cannot be taken back, since the old version
//! may be nowhere any more. rpm writes a new version's files, enters it in its database, runs its scripts, and only then removes what the old one
//! had besides, with the old one's scripts, and takes that out of the database. So where the database has both, the new one is taken out of it
//! alone, without its files: for rpm the upgrade is then still to be made, as it is where only the old one is there, and making it runs every
//! script with the arguments of an upgrade. Files that are already the new ones are no changes of somebody's to rpm, and what it put aside
//! (`.rpmsave`, `.rpmnew`) stays.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::{Installed, labels, leftovers};
use crate::command::Output;
use crate::packages::{Move, Solution, Survivor};
use crate::{Class, Command, Fault, Host, locks};

/// What the transaction at work brings: a line each, `name`, the version that comes, and in an upgrade the one that makes way.
const BEGUN: &str = "/var/lib/surefoot/.rpm";
const FOLDER: &str = "/var/lib/surefoot";

/// A transaction that brings what `solution` says, as the words of a command. It has a reader of its own, so that what it says goes somewhere also
/// when we are gone: it would end in the middle.
pub struct Transaction<'s> {
    /// The command.
    pub words: Vec<String>,
    /// What it brings, which is nothing where it only removes: that it began is written down for what a kill leaves of its scripts. None where
    /// it is written down already and stays.
    pub solution: Option<&'s Solution>,
    /// Exit codes of a transaction that came to its end, as a pattern of the shell's: what was written down is struck out.
    pub ended: &'static str,
    /// How far it is, in percent, and with what, where a line of its output tells that.
    pub progress: fn(&str) -> Option<(f32, &str)>,
}

impl Transaction<'_> {
    /// Runs it when nobody holds one of the locks `paths`, as `prepared`; again, where its output says that it was `locked` out. What it brings is
    /// written down when the locks are free, and struck out where it did not begin: nobody else's packages are taken back later.
    ///
    /// # Errors
    /// As [`locks::when_free`]; where it cannot be written down.
    pub fn run<'a>(
        &self,
        host: &Host,
        paths: &[&str],
        locked: impl Fn(&Output) -> bool,
        survivor: &Survivor<'_>,
        prepared: impl Fn(Command<'a>) -> Result<Command<'a>>,
    ) -> Result<Output> {
        let tell = |line: &str| {
            if let Some((percent, text)) = (self.progress)(line) {
                host.runner.progress(percent, text);
            }
        };
        let is_new = self.solution.is_some();
        let mut output = locks::when_free(host, paths, &locked, |_| {
            self.solution.map_or(Ok(()), write_down)?;
            Ok(prepared(self.command())?.on_start(survivor).on_status(&tell))
        })?;
        if is_new && locked(&output) {
            strike_out()?;
        }
        // Who reads what it says is nothing that somebody would run again.
        output.ran.argv.clone_from(&self.words);
        Ok(output)
    }

    fn command<'a>(&self) -> Command<'a> {
        let strike_out = match self.solution {
            Some(_) => format!("case $exit in {}) rm -f {BEGUN};; esac\n", self.ended),
            None => String::new(),
        };
        // That of Enterprise Linux 7 has no `-p`.
        let reader = "(trap '' PIPE; exec tee /dev/null /dev/fd/{})";
        let script = format!("\"$@\" 2>&1 | {reader}; exit=${{PIPESTATUS[0]}}\n{strike_out}exit $exit");
        let command = Command::new("bash").args(["-c", &script, "bash"]);
        command.args(self.words.iter().cloned()).never_killed()
    }
}

/// Writes down what a transaction is about to bring: all of it or nothing.
fn write_down(solution: &Solution) -> Result<()> {
    let (path, folder) = (Path::new(BEGUN), Path::new(FOLDER));
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create(&draft)?;
        file.write_all(text(solution).as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("writing {BEGUN}"))
}

fn text(solution: &Solution) -> String {
    let new = solution.new.iter().map(|one| format!("{} {}\n", one.name, one.to));
    let upgraded = solution.upgraded.iter().map(|one| {
        let from = one.from.as_deref().unwrap_or("?");
        format!("{} {} {from}\n", one.name, one.to)
    });
    new.chain(upgraded).collect()
}

/// A line that does not end, and one without a version, say nothing: what is not known is not taken back.
fn parse(text: &str) -> Vec<Move> {
    let one = |line: &str| {
        let mut words = line.strip_suffix('\n')?.split(' ').map(str::to_owned);
        Some(Move { name: words.next()?, to: words.next()?, from: words.next() })
    };
    text.split_inclusive('\n').filter_map(one).collect()
}

fn begun() -> Result<Vec<Move>> {
    match fs::read_to_string(BEGUN) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => Ok(parse(&result.with_context(|| format!("reading {BEGUN}"))?)),
    }
}

/// When the transaction began that was cut off; none where none was.
///
/// # Errors
/// Where that cannot be seen.
fn began() -> Result<Option<SystemTime>> {
    match fs::metadata(BEGUN).and_then(|meta| meta.modified()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some).with_context(|| format!("looking at {BEGUN}")),
    }
}

/// Names of the packages that a transaction was bringing when it was cut off; none where it was not.
///
/// # Errors
/// Where what was written down cannot be read.
pub fn interrupted() -> Result<Vec<String>> {
    match begun() {
        // Who is not root cannot see it, and will change nothing.
        Err(error) if Fault::class_of(&error) == Class::Permission => Ok(Vec::new()),
        moves => Ok(names(&moves?)),
    }
}

fn names<'m>(moves: impl IntoIterator<Item = &'m Move>) -> Vec<String> {
    moves.into_iter().map(|one| one.name.clone()).collect()
}

/// Takes back what a transaction brought that was cut off, and tells what that was: nobody knows how far it came. Of a package that is upgraded, the old version or
/// the new one is there afterwards, and no more than one. What was written down stays. None where none was cut off. `paths` are
/// the locks of what asks rpm here.
///
/// # Errors
/// Class `package` where a package cannot be taken back; `locked` where another process holds a lock.
pub fn take_back(host: &Host, paths: &[&str], survivor: &Survivor<'_>) -> Result<Option<Vec<Move>>> {
    let Some(began) = began()? else { return Ok(None) };
    let moves = begun()?;
    let (upgraded, new): (Vec<&Move>, Vec<&Move>) = moves.iter().partition(|one| one.from.is_some());
    for (what, of) in [("taking back a transaction", &new), ("doing an upgrade once more", &upgraded)] {
        if !of.is_empty() {
            host.runner.note(&format!("{what} that was cut off: {}", names(of.iter().copied()).join(", ")));
        }
    }
    let there = super::installed(host, &names(&moves))?;
    let back = brought(&new, &there);
    if !back.is_empty() {
        erase(host, paths, &back, "packages of a transaction that was cut off cannot be taken back", survivor)?;
    }
    let twice = twice(&upgraded, &there);
    if !twice.is_empty() {
        let failed = "upgrades that were cut off cannot be taken out of rpm's database";
        erase_as(host, paths, &["--justdb", "--noscripts", "--notriggers"], &twice, failed, survivor)?;
    }
    // What somebody else is unpacking at this moment has such names, too.
    locks::wait_free(&host.runner, paths, locks::limit())?;
    leftovers::remove(began)?;
    Ok(Some(moves))
}

/// Strikes out what was written down, if it was.
///
/// # Errors
/// Where that cannot be done.
pub fn strike_out() -> Result<()> {
    match fs::remove_file(BEGUN) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("removing {BEGUN}")),
    }
}

/// Takes the keys that are called so (`gpg-pubkey-…`) out of rpm's database.
///
/// # Errors
/// Class `package` where rpm refuses; `locked` where another process holds a lock.
pub fn remove_keys(host: &Host, paths: &[&str], names: &[String], survivor: &Survivor<'_>) -> Result<()> {
    let known = super::query(host, names)?;
    let keys: Vec<String> = known.values().map(|key| format!("{}{}", super::KEY, key.version)).collect();
    if keys.is_empty() { Ok(()) } else { erase(host, paths, &keys, "cannot take keys out of rpm's database", survivor) }
}

/// `rpm -e`, whoever needs them.
///
/// # Errors
/// Class `package` where rpm refuses; `locked` where another process holds a lock.
fn erase(host: &Host, paths: &[&str], names: &[String], failed: &str, survivor: &Survivor<'_>) -> Result<()> {
    erase_as(host, paths, &[], names, failed, survivor)
}

fn erase_as(
    host: &Host,
    paths: &[&str],
    more: &[&str],
    names: &[String],
    failed: &str,
    survivor: &Survivor<'_>,
) -> Result<()> {
    let words = ["-e", "--allmatches", "--nodeps"].iter().chain(more).map(|word| (*word).to_owned());
    let words = words.chain(names.iter().cloned());
    let output = locks::when_free(
        host,
        paths,
        |_| false,
        |_| Ok(Command::new("rpm").args(words.clone()).never_killed().on_start(survivor)),
    )?;
    if output.ok() {
        return Ok(());
    }
    Err(output.fault(Class::Package, failed).advice("see what rpm says above, then go on with --resume").into())
}

/// What rpm calls those of `new` that are there in the version that came.
fn brought(new: &[&Move], there: &[(String, Installed)]) -> Vec<String> {
    let is_brought =
        |(name, found): &&(String, Installed)| new.iter().any(|one| one.name == *name && is_version(&one.to, found));
    labels(there.iter().filter(is_brought))
}

/// What rpm calls the new version of those of `upgraded` of which another is there, too.
fn twice(upgraded: &[&Move], there: &[(String, Installed)]) -> Vec<String> {
    let is_twice = |(name, found): &&(String, Installed)| {
        let comes = upgraded.iter().any(|one| one.name == *name && is_version(&one.to, found));
        comes && there.iter().any(|(_, other)| other.is_version_of(found) && other.version != found.version)
    };
    labels(there.iter().filter(is_twice))
}

/// Is `found` of `version`? rpm tells an epoch of 0 where a package has one, and dnf does not.
fn is_version(version: &str, found: &Installed) -> bool {
    found.version.strip_prefix("0:").unwrap_or(&found.version) == version
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(name: &str, from: Option<&str>, to: &str) -> Move {
        Move { name: name.into(), from: from.map(str::to_owned), to: to.into() }
    }

    #[test]
    fn what_is_written_down_is_read_again() {
        let new = vec![moved("redis", None, "7.0.15-1.el9"), moved("glibc.i686", None, "2.34-100.el9")];
        let upgraded = vec![moved("st2", Some("3.8.1-2"), "3.9.0-1"), moved("old", Some("?"), "1:2-1")];
        let unknown = Move { from: None, ..upgraded[1].clone() };
        let solution =
            Solution { new: new.clone(), upgraded: vec![upgraded[0].clone(), unknown], ..Solution::default() };
        assert_eq!(parse(&text(&solution)), [new, upgraded].concat());
        assert_eq!(parse("redis\nnginx 1.2\n\nglibc-common 2.34-100 2.34-9"), [moved("nginx", None, "1.2")]);
        assert_eq!(parse(""), []);
    }

    /// Each name with what rpm says of it, what is taken back of it as new, and what is taken out of the database as upgraded.
    #[test]
    fn what_is_taken_back() {
        for (name, to, said, back, out) in [
            ("st2", "3.9.0-1", "package st2 is not installed\n", &[][..], &[][..]),
            ("st2", "3.9.0-1", "st2\tx86_64\t3.8.1-2\n", &[], &[]),
            ("st2", "3.9.0-1", "st2\tx86_64\t3.9.0-1\n", &["st2-3.9.0-1.x86_64"], &[]),
            (
                "st2",
                "3.9.0-1",
                "st2\tx86_64\t3.8.1-2\nst2\tx86_64\t3.9.0-1\n",
                &["st2-3.9.0-1.x86_64"],
                &["st2-3.9.0-1.x86_64"],
            ),
            // Of a kernel several versions are meant to be there; what was there stays.
            (
                "kernel",
                "5.14.0-2",
                "kernel\tx86_64\t5.14.0-1\nkernel\tx86_64\t5.14.0-2\n",
                &["kernel-5.14.0-2.x86_64"],
                &["kernel-5.14.0-2.x86_64"],
            ),
            // The upgrade of one architecture was done, and of the other was not.
            (
                "bind",
                "32:9.18-1",
                "bind\tx86_64\t32:9.16-1\nbind\tx86_64\t32:9.18-1\nbind\ti686\t32:9.18-1\n",
                &["bind-9.18-1.x86_64"],
                &["bind-9.18-1.x86_64"],
            ),
            (
                "bind.i686",
                "32:9.18-1",
                "bind\tx86_64\t32:9.16-1\nbind\tx86_64\t32:9.18-1\nbind\ti686\t32:9.18-1\n",
                &["bind-9.18-1.i686"],
                &[],
            ),
            ("zero", "2-1", "zero\tnoarch\t0:1-1\nzero\tnoarch\t0:2-1\n", &["zero-2-1.noarch"], &["zero-2-1.noarch"]),
            // Somebody else went on in the meantime.
            ("st2", "3.9.0-1", "st2\tx86_64\t3.9.1-1\n", &[], &[]),
        ] {
            let (there, one) = (super::super::parse(said, &[name.to_owned()], "x86_64"), moved(name, None, to));
            assert_eq!(brought(&[&one], &there), back, "{said}");
            assert_eq!(twice(&[&one], &there), out, "{said}");
        }
    }
}

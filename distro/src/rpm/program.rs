//! dnf and yum, which take the same words: what their solver would do, and transactions, which change packages and are never killed by us, however long
//! they take. What they say is theirs.

use std::time::Duration;

use anyhow::Result;

use super::{Again, FETCH_LIMIT, KEY, Means, Transaction, decisions, mend, remove_keys, share, with_architecture};
use crate::command::Output;
use crate::packages::{Move, Solution, Survivor};
use crate::{Command, Fault, Host, locks};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What somebody may have made of dnf's words (`dnf alias`) is not meant by ours: one with `--nogpgcheck` in it would leave signatures unchecked.
const NO_ALIASES: (&str, &str) = ("DNF_DISABLE_ALIASES", "1");

/// dnf or yum, by what differs between them.
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// What it and rpm take.
    pub locks: &'static [&'static str],
    /// Does its output say that another process holds its lock?
    pub is_locked: fn(&Output) -> bool,
    /// What every call of it needs.
    pub options: fn(&Host) -> Vec<String>,
    /// What it needs besides to see all that is installed, as for removing packages.
    pub to_remove: &'static [&'static str],
    /// May the version of a package have its epoch where it is asked for?
    pub takes_epochs: bool,
    /// What it says that it would do where it is told to do something (`install`, `remove`) with packages.
    pub ask: fn(&Host, &str, &[String]) -> Result<Solution>,
    /// The failure that its output tells of, of packages, with a message.
    pub fault: fn(&Host, &Output, &str) -> Result<Fault>,
}

impl Program {
    /// What installing `names` would do. Changes nothing but its cache.
    ///
    /// # Errors
    /// Class `package`, where it finds no way (its own words are the evidence).
    pub fn simulate(&self, host: &Host, names: &[String]) -> Result<Solution> {
        decisions::with_versions(host, (self.ask)(host, "install", names)?)
    }

    /// Names of the packages that would go if `names` went.
    ///
    /// # Errors
    /// Class `package`, where it finds no way, as for a package that it protects.
    pub fn simulate_removal(&self, host: &Host, names: &[String]) -> Result<Vec<String>> {
        // Keys are no packages for it.
        let names: Vec<String> = names.iter().filter(|name| !name.starts_with(KEY)).cloned().collect();
        let there = with_architecture(host, &names)?;
        if there.is_empty() {
            return Ok(there);
        }
        Ok((self.ask)(host, "remove", &there)?.removed.into_iter().map(|gone| gone.name).collect())
    }

    /// Installs `names` in one transaction.
    ///
    /// # Errors
    /// [`crate::packages::Manager::install`].
    pub fn install(&self, host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
        self.finish(host, &[], survivor)?;
        let output = self.transaction(host, "install", names, Some(&self.simulate(host, names)?), survivor)?;
        self.check(host, &output, &format!("installing {} failed", names.join(", ")))
    }

    /// [`crate::packages::Manager::download`].
    ///
    /// # Errors
    /// As there.
    pub fn download(&self, host: &Host, names: &[String]) -> Result<()> {
        let output = self.fetch(host, &["install", "--downloadonly", "--assumeyes"], names)?;
        self.check(host, &output, &format!("fetching {} failed", names.join(", ")))
    }

    /// Removes `names`. A key that rpm trusts is removed as if it were a package.
    ///
    /// # Errors
    /// [`crate::packages::Manager::remove`].
    pub fn remove(&self, host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
        self.finish(host, names, survivor)?;
        let (keys, names): (Vec<String>, Vec<String>) = names.iter().cloned().partition(|name| name.starts_with(KEY));
        let there = with_architecture(host, &names)?;
        if !there.is_empty() {
            let output = self.transaction(host, "remove", &there, Some(&Solution::default()), survivor)?;
            self.check(host, &output, &format!("removing {} failed", names.join(", ")))?;
        }
        remove_keys(host, self.locks, &keys, survivor)
    }

    /// [`crate::packages::Manager::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&self, host: &Host, going: &[String], survivor: &Survivor<'_>) -> Result<()> {
        let run = |again: Again, names: &[String]| {
            let action = if again == Again::Install { "install" } else { "reinstall" };
            let output = self.transaction(host, action, names, None, survivor)?;
            let message = format!("an upgrade that was cut off cannot be done once more: {}", names.join(", "));
            self.check(host, &output, &message)
        };
        let means = Means {
            locks: self.locks,
            exactly: &|one| self.exactly(one),
            simulate: &|names| self.simulate(host, names),
            run: &run,
        };
        mend(host, &means, going, survivor)
    }

    /// What it answers where it is only to look at something.
    ///
    /// # Errors
    /// As [`locks::when_free`].
    pub fn answer(&self, host: &Host, to_do: &[&str], names: &[String]) -> Result<Output> {
        self.when_free(host, to_do, names, |command| command.limit(LIMIT).data())
    }

    /// Has it fetch something.
    ///
    /// # Errors
    /// As [`locks::when_free`].
    pub fn fetch(&self, host: &Host, to_do: &[&str], names: &[String]) -> Result<Output> {
        self.when_free(host, to_do, names, |command| command.limit(FETCH_LIMIT))
    }

    /// Runs what `with` makes of a call when nobody holds a lock; again, where somebody takes it in between.
    fn when_free<'a>(
        &self,
        host: &Host,
        to_do: &[&str],
        names: &[String],
        with: impl Fn(Command<'a>) -> Command<'a>,
    ) -> Result<Output> {
        let words = self.words(host, to_do, names);
        let command = || Command::new(self.name).args(words[1..].iter().cloned()).env(NO_ALIASES.0, NO_ALIASES.1);
        locks::when_free(host, self.locks, self.is_locked, |_| Ok(with(command())))
    }

    /// A call, with what every one needs after what it is to do, which is seen then where a long line is cut.
    fn words(&self, host: &Host, to_do: &[&str], names: &[String]) -> Vec<String> {
        let more = if to_do.first() == Some(&"remove") { self.to_remove } else { &[] };
        let to_do = [self.name].into_iter().chain(to_do.iter().copied()).map(str::to_owned);
        let more = more.iter().map(|&word| word.to_owned());
        to_do.chain(names.iter().cloned()).chain((self.options)(host)).chain(more).collect()
    }

    /// Does `action`; what it brings, where that is to be written down.
    fn transaction(
        &self,
        host: &Host,
        action: &str,
        names: &[String],
        solution: Option<&Solution>,
        survivor: &Survivor<'_>,
    ) -> Result<Output> {
        let words = self.words(host, &[action, "--assumeyes"], names);
        // A signal that ended it is told by a code from 128 on.
        let ended = "[0-9]|[0-9][0-9]|1[01][0-9]|12[0-7]";
        Transaction { words, solution, ended, progress }
            .run(host, self.locks, self.is_locked, survivor, |command| Ok(command.env(NO_ALIASES.0, NO_ALIASES.1)))
    }

    fn check(&self, host: &Host, output: &Output, message: &str) -> Result<()> {
        if output.ok() { Ok(()) } else { Err((self.fault)(host, output, message)?.into()) }
    }

    /// `redis-7.0.15-1.el9`; of a foreign architecture `glibc-2.34-100.el9.i686`.
    fn exactly(&self, one: &Move) -> String {
        let version = one.to.split_once(':').filter(|_| !self.takes_epochs).map_or(one.to.as_str(), |(_, rest)| rest);
        let foreign = one.name.rsplit_once('.').filter(|(_, arch)| ["i686", "x86_64", "aarch64"].contains(arch));
        match foreign {
            Some((name, arch)) => format!("{name}-{version}.{arch}"),
            None => format!("{}-{version}", one.name),
        }
    }
}

/// `  Installing       : redis-7.0.15-1.el9.x86_64                              1/1 `; with dnf 5
/// `[3/3] Installing redis-0:7.0.15-1.el9.x 100% |  11.2 MiB/s |   2.7 MiB |  00m00s`
fn progress(line: &str) -> Option<(f32, &str)> {
    let line = line.trim();
    let (text, count) = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((count, rest)) => {
            let text = rest.split('|').next()?.trim_end().rsplit_once(' ')?.0;
            let verbs = ["Verify ", "Prepare ", "Installing ", "Upgrading ", "Removing "];
            (verbs.iter().any(|verb| text.starts_with(verb)).then_some(text)?, count)
        }
        None => line.rsplit_once(' ').filter(|(text, _)| text.contains(" : "))?,
    };
    share(count, text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dnf::DNF, yum::YUM};

    #[test]
    fn a_package_in_one_version() {
        for (name, to, of_dnf, of_yum) in [
            ("redis", "7-1", "redis-7-1", "redis-7-1"),
            ("nginx", "1:7-1", "nginx-1:7-1", "nginx-7-1"),
            ("glibc.i686", "7-1", "glibc-7-1.i686", "glibc-7-1.i686"),
            ("python3.11", "1:7-1", "python3.11-1:7-1", "python3.11-7-1"),
        ] {
            let one = Move { name: name.into(), from: None, to: to.into() };
            assert_eq!([DNF.exactly(&one), YUM.exactly(&one)], [of_dnf, of_yum]);
        }
    }

    #[test]
    fn progress_is_told_of_what_rpm_does() {
        for (line, wanted) in [
            (
                "  Installing       : redis-7.0.15-1.el9.x86_64       1/4 ",
                Some((25.0, "Installing       : redis-7.0.15-1.el9.x86_64")),
            ),
            (
                "  Installing : redis-3.2.12-2.el7.x86_64                         1/4 ",
                Some((25.0, "Installing : redis-3.2.12-2.el7.x86_64")),
            ),
            ("(1/3): redis-7.0.15-1.el9.x86_64.rpm  1.0 MB/s | 1.1 MB  00:01", None),
            ("(1/3): redis-3.2.12-2.el7.x86_64.rpm              | 544 kB  00:00:00     ", None),
            ("Complete!", None),
            (
                "[3/4] Installing redis-0:7.0.15-1.el9.x 100% |  11.2 MiB/s |   2.7 MiB |  00m00s",
                Some((75.0, "Installing redis-0:7.0.15-1.el9.x")),
            ),
            ("[1/1] redis-0:7.0.15-1.el9.x86_64      100% | 105.3 MiB/s |   1.3 MiB |  00m00s", None),
            (">>> Running %post scriptlet: redis-0:7.0.15-1.el9.x86_64", None),
        ] {
            assert_eq!(progress(line), wanted, "{line}");
        }
    }
}

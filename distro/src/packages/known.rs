//! What a host has of packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Manager;
use crate::dpkg::Dpkg;
use crate::{Look, layout, rpm};

/// A package that is there, or of which something is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its version; empty where only its configuration is left.
    pub version: String,
    /// How much of it is there.
    pub state: State,
}

/// How much of a package is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All of it, and configured.
    Installed,
    /// All of it, and configured; what others brought of which it wants to hear (its triggers), it has yet to be told.
    Triggered,
    /// A transaction was cut off while it was at it.
    Unfinished,
    /// Only its configuration: it was removed.
    Configuration,
    /// Nothing that would stay: its removal was cut off at the end.
    AlmostGone,
}

impl Package {
    /// Is it there, whole and configured?
    pub fn is_installed(&self) -> bool {
        self.state == State::Installed
    }

    /// Can others use it?
    pub fn is_usable(&self) -> bool {
        matches!(self.state, State::Installed | State::Triggered)
    }

    /// Was it removed, and something of it is left?
    pub fn is_only_configuration(&self) -> bool {
        matches!(self.state, State::Configuration | State::AlmostGone)
    }
}

/// Packages by the name that was asked for; those of which there is nothing are not in it.
pub type Known = BTreeMap<String, Package>;

impl Look<'_> {
    /// Which of `names` are there, as of this look.
    ///
    /// # Errors
    /// Where the package manager's database cannot be read.
    pub fn packages<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<Known> {
        match self.host.packages() {
            Manager::Apt => {
                let dpkg = self.dpkg()?;
                let one = |name: S| Some((name.as_ref().to_owned(), dpkg.known(name.as_ref())?));
                Ok(names.into_iter().filter_map(one).collect())
            }
            Manager::Dnf | Manager::Yum | Manager::Zypper => {
                let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
                let mut seen = self.rpm.borrow_mut();
                let unseen: Vec<String> = names.iter().filter(|name| !seen.contains_key(*name)).cloned().collect();
                let (keys, others): (Vec<String>, Vec<String>) =
                    unseen.iter().cloned().partition(|name| name.starts_with(rpm::KEY));
                let mut found = rpm::query(self.host, &others)?;
                found.extend(rpm::known_keys(self, &keys)?);
                seen.extend(unseen.into_iter().map(|name| {
                    let package = found.remove(&name);
                    (name, package)
                }));
                Ok(names.into_iter().filter_map(|name| Some((name.clone(), seen[&name].clone()?))).collect())
            }
        }
    }

    /// When the package manager got its copy of the key `name` ([`Manager::trusted_keys`]), as a stamp that is compared for equality; none where it
    /// has none.
    ///
    /// # Errors
    /// As [`Look::packages`].
    pub fn imported(&self, name: &str) -> Result<Option<String>> {
        match self.host.packages() {
            Manager::Apt => Ok(None),
            Manager::Dnf | Manager::Yum | Manager::Zypper => rpm::imported(self, name),
        }
    }

    /// The package `name`, if something of it is there.
    ///
    /// # Errors
    /// As [`Look::packages`].
    pub fn package(&self, name: &str) -> Result<Option<Package>> {
        Ok(self.packages([name])?.remove(name))
    }

    /// Is the package `name` there, whole and configured? One that waits for its triggers is.
    ///
    /// # Errors
    /// As [`Look::packages`].
    pub fn is_installed(&self, name: &str) -> Result<bool> {
        Ok(self.package(name)?.is_some_and(|package| package.is_usable()))
    }

    /// What an interrupted transaction left to be done, in words; empty where none was interrupted.
    ///
    /// # Errors
    /// As [`Look::packages`].
    pub fn unfinished_packages(&self) -> Result<Vec<String>> {
        match self.host.packages() {
            Manager::Apt => Ok(self.dpkg()?.unfinished()),
            Manager::Dnf | Manager::Yum | Manager::Zypper => rpm::interrupted(),
        }
    }

    /// Which of `names` cannot go because other packages need them, each with one that does.
    ///
    /// # Errors
    /// As [`Look::packages`].
    pub fn needed_packages(&self, names: &BTreeSet<String>) -> Result<BTreeMap<String, String>> {
        match self.host.packages() {
            Manager::Apt => Ok(self.dpkg()?.needed_by_others(names)),
            Manager::Dnf | Manager::Yum | Manager::Zypper => rpm::needed(self.host, names),
        }
    }

    /// The installed package that brings the configuration file `path`, which is not there: package managers do not bring one again that
    /// somebody removed. None where no package does, or (with rpm) where that is not told.
    ///
    /// # Errors
    /// Where the package manager's database cannot be read.
    pub fn package_without(&self, path: &str) -> Result<Option<String>> {
        match self.host.packages() {
            Manager::Apt => self.dpkg()?.owner_of_conffile(path),
            Manager::Dnf | Manager::Yum | Manager::Zypper => Ok(None),
        }
    }

    /// Those of `names` that are not there, and of which something is that their purge would take: configuration, clusters of PostgreSQL.
    ///
    /// # Errors
    /// As [`Look::packages`]; where a folder of clusters cannot be read.
    pub fn remaining_packages<S: AsRef<str>>(&self, names: impl IntoIterator<Item = S>) -> Result<BTreeSet<String>> {
        // With rpm there is neither a purge nor such a state.
        if self.host.packages() != Manager::Apt {
            return Ok(BTreeSet::new());
        }
        let names: Vec<String> = names.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let known = self.packages(&names)?;
        let mut remaining = BTreeSet::new();
        for name in names {
            let is_left = known.get(&name).is_some_and(|package| package.state == State::Configuration);
            if is_left || !known.contains_key(&name) && !self.clusters_of(&name)?.is_empty() {
                remaining.insert(name);
            }
        }
        Ok(remaining)
    }

    /// Clusters of PostgreSQL, `15/main`, that the purge of the package `name` would drop.
    ///
    /// # Errors
    /// Where their folder cannot be read.
    pub fn clusters_of(&self, name: &str) -> Result<Vec<String>> {
        match self.host.packages() {
            Manager::Apt => layout::clusters_of_package(Path::new("/"), name),
            Manager::Dnf | Manager::Yum | Manager::Zypper => Ok(Vec::new()),
        }
    }

    /// Files in the folders that the package `name` has in /etc and that no package brought: they may go with its configuration.
    ///
    /// # Errors
    /// Where the package manager's database or a folder cannot be read.
    pub fn foreign_etc_files(&self, name: &str) -> Result<Vec<PathBuf>> {
        match self.host.packages() {
            Manager::Apt => self.dpkg()?.foreign_etc_files(Path::new("/"), name),
            // rpm removes what it brought and nothing else.
            Manager::Dnf | Manager::Yum | Manager::Zypper => Ok(Vec::new()),
        }
    }
}

impl Dpkg {
    /// The package `name`, if something of it is there.
    fn known(&self, name: &str) -> Option<Package> {
        let package = self.package(name).filter(|package| package.status != "not-installed")?;
        let state = if package.is_installed() {
            State::Installed
        } else if package.is_triggered() {
            State::Triggered
        } else if self.is_almost_gone(name) {
            State::AlmostGone
        } else if package.is_only_configuration() {
            State::Configuration
        } else {
            State::Unfinished
        };
        Some(Package { version: package.version.clone(), state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dpkg::tests::{STATUS, database};

    #[test]
    fn how_much_of_a_package_is_there() {
        let in_state = |name: &str, status: &str| format!("\nPackage: {name}\nStatus: {status}\nVersion: 2\n");
        let more = [
            in_state("gone", "deinstall ok not-installed"),
            in_state("waiting", "install ok triggers-pending"),
            in_state("waiting-broken", "install reinstreq triggers-pending"),
            in_state("awaiting", "install ok triggers-awaited"),
        ];
        let (_folder, dpkg) = database(&[STATUS, &more.concat()].concat(), &[]);
        let known = |name: &str| dpkg.known(name).map(|package| (package.version, package.state));
        for (name, wanted) in [
            ("tar", Some(("1.34", State::Installed))),
            ("tar:amd64", Some(("1.34", State::Installed))),
            ("libc6:i386", Some(("2.36-8", State::Installed))),
            ("nginx", Some(("1.22", State::AlmostGone))),
            ("redis-server", Some(("5:7.0", State::Unfinished))),
            ("waiting", Some(("2", State::Triggered))),
            ("waiting-broken", Some(("2", State::Unfinished))),
            ("awaiting", Some(("2", State::Unfinished))),
            ("gone", None),
            ("never-seen", None),
        ] {
            let usable = wanted.is_some_and(|(_, state)| matches!(state, State::Installed | State::Triggered));
            assert_eq!(dpkg.known(name).is_some_and(|package| package.is_usable()), usable, "{name}");
            assert_eq!(known(name), wanted.map(|(version, state)| (version.to_owned(), state)), "{name}");
        }
    }
}

//! What a host looks like: a sorted list of facts that two equal hosts have in common.
//!
//! Files with type, mode, owner by name and content; packages; units; users and groups by name. Places and contents that differ between
//! equal hosts stand in `data/digest-exclusions.txt`, each with its reason. Reading changes nothing on the host.

mod accounts;
mod content;
mod files;
mod packages;
mod rules;
mod units;

use crate::host::Host;
use anyhow::Result;
use rules::Rules;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A host's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    facts: BTreeMap<String, String>,
    unused: BTreeSet<String>,
}

impl Digest {
    /// Looks at a host, running or stopped.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn of(host: &Host) -> Result<Self> {
        Self::but_for(host, &BTreeMap::new())
    }

    /// The same, with the names of `secrets` in the place of what they are: for hosts on which they were generated. Programs have none in them.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn but_for(host: &Host, secrets: &BTreeMap<String, String>) -> Result<Self> {
        let rules = Rules::read(host.record().suite)?;
        let mut facts = BTreeMap::new();
        let accounts = accounts::Accounts::of(host)?;
        let used = files::collect(host, &rules, &accounts, secrets, &mut facts)?;
        accounts.list(&mut facts);
        packages::list(host, &mut facts)?;
        units::list(host, &mut facts)?;
        Ok(Self { facts, unused: rules.others_than(&used) })
    }

    /// What stands in one and not, or differently, in the other; empty when they are equal. A line begins with `-` for `before`,
    /// `+` for `after`.
    #[must_use]
    pub fn diff(before: &Self, after: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = before.facts.keys().chain(after.facts.keys()).collect();
        let mut lines = Vec::new();
        for key in keys {
            let (old, new) = (before.facts.get(key), after.facts.get(key));
            if old != new {
                lines.extend(old.map(|value| format!("- {key} {value}")));
                lines.extend(new.map(|value| format!("+ {key} {value}")));
            }
        }
        lines
    }

    /// Lines of the exclusions file that matched nothing on this host.
    #[must_use]
    pub fn unused_exclusions(&self) -> Vec<&str> {
        self.unused.iter().map(String::as_str).collect()
    }

    /// What is known under a key such as `file /etc/passwd`, `package redis-server`, `unit nginx.service`, `user www-data`.
    #[must_use]
    pub fn fact(&self, key: &str) -> Option<&str> {
        self.facts.get(key).map(String::as_str)
    }

    /// How many facts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.iter().try_for_each(|(key, value)| writeln!(f, "{key} {value}"))
    }
}

//! Keys of a repository that the package manager keeps among its packages, and then trusts for all repositories.

use std::collections::BTreeMap;

use anyhow::Result;
use distro::files;
use distro::openpgp::{self, Keyring};
use distro::packages::Manager;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::packages;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// The keys that are in the keyring of a repository.
#[derive(Clone, Debug)]
pub struct TrustedKeys {
    /// Whose repository it is.
    pub manager: Manager,
    /// Name of the repository.
    pub repository: String,
    /// Full fingerprints of the keys that may be in its keyring.
    pub fingerprints: Vec<String>,
}

/// What was seen of a key: package managers keep the copy that they once got, also where the vendor renewed the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Keyed digest of what the keyring has of it.
    key: String,
    /// When the package manager got its copy.
    imported: Option<String>,
}

impl Seen {
    /// Has the keyring another form of the key than whenever it `was` seen, and the package manager still the copy that it had then?
    fn is_outdated(&self, was: &[Self]) -> bool {
        !was.is_empty() && was.iter().all(|was| was.key != self.key && was.imported == self.imported)
    }
}

/// What was seen of the key `name`, under other pins where nothing was under these.
fn seen_of(cx: &Cx<'_>, name: &str) -> Vec<Seen> {
    let one = |seen: &Value| serde_json::from_value(seen.get(name)?.clone()).ok();
    match cx.memory.seen(cx.id).and_then(one) {
        Some(seen) => vec![seen],
        None => cx.memory.seen_of_all("").into_iter().filter_map(one).collect(),
    }
}

impl TrustedKeys {
    /// What the keyring `bytes` has of each key, by the name of its package.
    fn keys(&self, bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut keys: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let keyring = Keyring::read(bytes)?;
        for key in openpgp::keys(&keyring.packets) {
            for name in self.manager.trusted_keys(&Keyring::read(key)?.fingerprints) {
                keys.entry(name).or_default().extend(key);
            }
        }
        Ok(keys)
    }
}

impl Resource for TrustedKeys {
    fn sort(&self) -> &'static str {
        "trusted_keys"
    }

    /// With the keys in it: what was trusted under other pins is another resource, which goes.
    fn key(&self) -> String {
        let mut key = self.repository.clone();
        for name in self.manager.trusted_keys(&self.fingerprints) {
            key.push_str(&format!(" {}", name.rsplit('-').next().unwrap_or_default()));
        }
        key
    }

    fn stage(&self) -> Stage {
        Stage::Repositories
    }

    fn claims(&self) -> Vec<Claim> {
        let names = self.manager.trusted_keys(&self.fingerprints);
        names.iter().map(|name| Claim { thing: packages::thing(name), wants: b"installed".to_vec() }).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = self.manager.keyring_path(&self.repository);
        let pinned = self.manager.trusted_keys(&self.fingerprints);
        let keys = files::read(&path)?.map(|bytes| self.keys(&bytes)).transpose()?;
        // Also where it is still that of other pins.
        let Some(keys) = keys.filter(|keys| keys.keys().all(|name| pinned.contains(name))) else {
            return Ok(Probe::Pending(format!("keyring {}", path.display())));
        };
        let known = cx.look.packages(keys.keys())?;
        let (mut seen, mut changes) = (BTreeMap::new(), Vec::new());
        for (name, key) in &keys {
            let now = Seen { key: cx.digest(key), imported: cx.look.imported(name)? };
            let summary = if !known.contains_key(name) {
                format!("trust {name} of {}", path.display())
            } else if cx.memory.installed(name) && now.is_outdated(&seen_of(cx, name)) {
                format!("trust {name} as it was renewed in {}", path.display())
            } else {
                seen.insert(name, now);
                continue;
            };
            let undo = Undo::RemovePackage { name: name.clone(), dependency: false, remains: false };
            changes.push(Change::new(format!("package {name}"), summary, undo));
        }
        Ok(if changes.is_empty() { Probe::InPlace(serde_json::to_value(seen)?) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        // What is there is not imported once more.
        let names: Vec<String> =
            changes.iter().filter_map(|change| change.item.strip_prefix("package ")).map(str::to_owned).collect();
        self.manager.distrust(cx.host, &names, cx.survivor)?;
        self.manager.trust(cx.host, &self.repository)
    }

    fn takes_the_place_of(&self, sort: &str, key: &str) -> bool {
        sort == self.sort() && key.split(' ').next() == Some(self.repository.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_imported_once_more_where_it_was_renewed_since() {
        let seen = |key: &str, imported: Option<&str>| Seen { key: key.into(), imported: imported.map(str::to_owned) };
        let (one, other) = (|| seen("a", Some("1")), || seen("c", Some("1")));
        for (now, was, outdated) in [
            (seen("a", Some("1")), vec![one()], false),
            (seen("b", Some("1")), vec![one()], true),
            // It was imported once more, by us or by somebody else.
            (seen("b", Some("2")), vec![one()], false),
            (seen("a", Some("2")), vec![one()], false),
            (seen("b", Some("1")), Vec::new(), false),
            // Two repositories have it.
            (seen("b", Some("1")), vec![one(), other()], true),
            (seen("a", Some("1")), vec![one(), other()], false),
        ] {
            assert_eq!(now.is_outdated(&was), outdated, "{now:?} {was:?}");
        }
    }

    #[test]
    fn other_pins_are_other_resources_of_the_same_repository() {
        let keys = |fingerprints: &[&str]| TrustedKeys {
            manager: Manager::Dnf,
            repository: "lab".into(),
            fingerprints: fingerprints.iter().map(|text| (*text).to_owned()).collect(),
        };
        let now = keys(&["73DABFA4777D4D7032376F409320E5A9E7C22CE8", "707D3DD21C718B3F53059D79237CAABE4E375A02"]);
        assert_eq!(now.key(), "lab e7c22ce8 4e375a02");
        for (sort, key, goes) in [
            ("trusted_keys", "lab e7c22ce8", true),
            // As an older version called it.
            ("trusted_keys", "lab", true),
            ("trusted_keys", "lab2 e7c22ce8", false),
            ("repository", "lab", false),
        ] {
            assert_eq!(now.takes_the_place_of(sort, key), goes, "{sort}:{key}");
        }
    }
}

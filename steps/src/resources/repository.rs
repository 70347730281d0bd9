//! A package repository: its keyring and the files that define it.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use distro::openpgp::{self, Keyring};
use distro::packages::Manager;
use distro::packages::definition::{Definition, Part, Rival};
use distro::{Class, Fault};
use serde_json::Value;

use super::directory::Directory;
use super::file::File;
use super::paths;
use crate::undo::Undo;
use crate::{Change, Claim, Cx, Endpoint, Probe, Resource, Stage};

/// A repository. Its packages are trusted by its own keyring only, in which every primary key is pinned.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Whose repository it is.
    manager: Manager,
    definition: Definition,
    /// Its keys, as they are written; none where they are fetched ([`super::fetched_keyring`]).
    keyring: Option<Vec<u8>>,
}

impl Repository {
    /// Checks `key`, its keyring, ASCII-armored or binary; none where it is fetched. `fingerprints` are the full ones of the keys that may
    /// be in it.
    ///
    /// # Errors
    /// Class `repository`, where the key is none, or holds a primary key that is not pinned; class `blueprint`, where a
    /// fingerprint is not a full one.
    pub fn new(
        manager: Manager,
        definition: Definition,
        key: Option<&[u8]>,
        fingerprints: &[String],
    ) -> Result<Self, Fault> {
        let what = format!("repository '{}'", definition.name);
        let pinned = pinned(&what, fingerprints)?;
        let keyring = key.map(|key| checked(&what, key, &pinned)).transpose()?;
        Ok(Self { manager, definition, keyring: keyring.map(|packets| manager.keyring(packets)) })
    }

    /// What is written where: the keyring first, since a definition without it makes package managers complain.
    fn parts(&self) -> Vec<(&'static str, File)> {
        let keyring = self
            .keyring
            .iter()
            .map(|packets| ("keyring", part(&self.manager.keyring_path(&self.definition.name), packets)));
        let parts = self.manager.parts(&self.definition).into_iter();
        let secret = |file: File| File { meta: Meta::root(0o600), sensitive: true, ..file };
        let of_part = |of: Part| {
            let file = part(&of.path, of.text.as_bytes());
            (of.name, if of.is_secret { secret(file) } else { file })
        };
        keyring.chain(parts.map(of_part)).collect()
    }

    fn refuse_rival(&self, rival: Option<Rival>) -> Result<(), Fault> {
        let Some(rival) = rival else { return Ok(()) };
        let (name, manager, file) = (&self.definition.name, self.manager.name(), rival.file.display());
        Err(Fault::new(
            Class::Conflict,
            format!("repository '{name}' is in {manager}'s sources already, with another key"),
        )
        .evidence([format!("{file}: {}", rival.says)])
        .advice(format!("remove {file} if nobody needs it, then run again")))
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        self.refuse_rival(self.manager.rival(&self.definition)?)?;
        let mut changes = Vec::new();
        let keyrings = self.keyrings();
        if files::stat(cx.look, Path::new(&keyrings.path))?.is_none() {
            match keyrings.probe(cx)? {
                Probe::Changes(folder) => changes.extend(folder),
                other => return Ok(other),
            }
        }
        for (item, file) in self.parts() {
            match file.probe(cx)? {
                Probe::InPlace(_) => {}
                Probe::Changes(parts) => changes.extend(parts.into_iter().map(|change| Change {
                    item: format!("{item} {}", change.item),
                    summary: format!("{item}: {}", change.summary),
                    ..change
                })),
                // The folder is among the changes.
                Probe::Pending(_) if !changes.is_empty() => {
                    let undo = Undo::RemoveFile { path: file.path.clone() };
                    let change = Change::new(format!("{item} content"), format!("{item}: create"), undo);
                    changes.push(Change { wrote: Some(file.content), ..change });
                }
                other => return Ok(other),
            }
        }
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    /// The folder for keyrings, which hosts as old as Debian 11 do not have.
    fn keyrings(&self) -> Directory {
        let path = self.manager.keyring_path(&self.definition.name);
        let folder = path.parent().unwrap_or(Path::new("/")).display().to_string();
        Directory { stage: Stage::Repositories, ..Directory::new(folder) }
    }
}

/// `fingerprints` as full ones.
///
/// # Errors
/// Class `blueprint`, where one is not full.
pub(crate) fn pinned(what: &str, fingerprints: &[String]) -> Result<Vec<String>, Fault> {
    let pinned = fingerprints.iter().map(|text| openpgp::fingerprint(text)).collect::<Result<Vec<_>, _>>();
    pinned.map_err(|why| {
        Fault::new(Class::Blueprint, format!("{what}: {why}"))
            .advice("write the whole fingerprint, as the vendor publishes it")
    })
}

/// The packets of the keyring `bytes`, of which every primary key has to be pinned.
///
/// # Errors
/// Class `repository`, where it is no keyring, or has a key that is not pinned.
pub(crate) fn checked(what: &str, bytes: &[u8], pinned: &[String]) -> Result<Vec<u8>, Fault> {
    let keyring = Keyring::read(bytes).map_err(|mut fault| {
        fault.message = format!("the key of {what}: {}", fault.message);
        fault
    })?;
    if let Some(stranger) = keyring.fingerprints.iter().find(|key| !pinned.contains(key)) {
        return Err(Fault::new(
            Class::Repository,
            format!("the keyring of {what} holds key {stranger}, which is not pinned"),
        )
        .evidence(keyring.fingerprints.iter().map(|key| format!("in the keyring: {key}")))
        .evidence(pinned.iter().map(|key| format!("pinned: {key}")))
        .advice("compare the fingerprints with those that the vendor publishes; pin a key only when they agree"));
    }
    Ok(keyring.packets)
}

fn part(path: &Path, bytes: &[u8]) -> File {
    File { stage: Stage::Repositories, ..File::new(path.display().to_string(), bytes) }
}

impl Resource for Repository {
    fn sort(&self) -> &'static str {
        "repository"
    }

    fn key(&self) -> String {
        self.definition.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Repositories
    }

    fn claims(&self) -> Vec<Claim> {
        self.parts().iter().flat_map(|(_, file)| file.claims()).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let what = format!("the repositories of {}", self.manager.name());
        paths::unless_hidden(cx, &what, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        if changes.iter().any(|change| change.item == "folder") {
            self.keyrings().apply(cx, changes)?;
        }
        for (item, file) in self.parts() {
            let of_part = |change: &Change| {
                let item = change.item.strip_prefix(item)?.strip_prefix(' ')?.to_owned();
                Some(Change { item, ..change.clone() })
            };
            let parts: Vec<Change> = changes.iter().filter_map(of_part).collect();
            if !parts.is_empty() {
                file.apply(cx, &parts)?;
            }
        }
        Ok(())
    }

    fn repository(&self) -> Option<String> {
        Some(self.definition.name.clone())
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let purpose = format!("package repository {}", self.definition.name);
        let urls = self.manager.urls(&self.definition).into_iter();
        urls.map(|url| Endpoint { url, purpose: purpose.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key packet that is one only for the eye: version 4 and six bytes.
    const KEY: [u8; 8] = [0xc6, 6, 4, 0, 0, 0, 0, 1];

    /// The repository with `key`, of which [`KEY`] is pinned.
    fn with(key: &[u8], fingerprints: &[String]) -> Result<Repository, Fault> {
        let definition = Definition { name: "redis".into(), ..Definition::default() };
        Repository::new(Manager::Apt, definition, Some(key), fingerprints)
    }

    #[test]
    fn the_keyring_comes_first() {
        let fingerprints = Keyring::read(&KEY).unwrap().fingerprints;
        let repository = with(&KEY, &fingerprints).unwrap();
        let parts = repository.parts();
        assert_eq!((parts[0].1.path.as_str(), &parts[0].1.content[..]), ("/etc/apt/keyrings/redis.gpg", &KEY[..]));
        assert_eq!(parts[1].1.path, "/etc/apt/sources.list.d/redis.sources");
        assert_eq!(repository.claims().len(), 2);
    }

    #[test]
    fn every_key_must_be_pinned() {
        let fingerprints = Keyring::read(&KEY).unwrap().fingerprints;
        let two = [&KEY[..], &[0xc6, 6, 4, 0, 0, 0, 0, 2]].concat();
        let fault = with(&two, &fingerprints).unwrap_err();
        assert_eq!(fault.class, Class::Repository);
        let stranger = &Keyring::read(&[0xc6, 6, 4, 0, 0, 0, 0, 2]).unwrap().fingerprints[0];
        assert!(fault.message.contains(stranger.as_str()), "{fault}");

        let fault = with(b"<html>", &fingerprints).unwrap_err();
        assert_eq!(fault.class, Class::Repository);
        assert!(fault.message.starts_with("the key of repository 'redis': "), "{fault}");
        let fault = with(&KEY, &["0EBFCD88".into()]).unwrap_err();
        assert_eq!(fault.class, Class::Blueprint);
    }

    #[test]
    fn a_rival_is_a_conflict() {
        let repository = with(&KEY, &Keyring::read(&KEY).unwrap().fingerprints).unwrap();
        assert!(repository.refuse_rival(None).is_ok());
        let list = "/etc/apt/sources.list.d/redis.list";
        let fault = repository.refuse_rival(Some(Rival { file: list.into(), says: "https://x y".into() })).unwrap_err();
        assert_eq!(fault.class, Class::Conflict);
        assert_eq!(fault.message, "repository 'redis' is in apt's sources already, with another key");
        assert_eq!(fault.evidence, [format!("{list}: https://x y")]);
    }
}

//! The keyring of a package repository, fetched from where the vendor offers it. What is in it is told by the pinned fingerprints alone, so
//! that it is the same whenever it is fetched.

use std::path::Path;

use anyhow::Result;
use distro::packages::Manager;
use distro::{Class, Fault, files};
use serde_json::Value;

use super::file::File;
use super::{paths, repository};
use crate::{Change, Claim, Cx, Endpoint, Probe, Resource, Stage, Undo, Undone};

/// A keyring that holds pinned keys and no other.
#[derive(Clone, Debug)]
pub struct FetchedKeyring {
    /// Whose repository it is.
    manager: Manager,
    /// Absolute path.
    path: String,
    /// Where it is fetched from.
    url: String,
    /// Full fingerprints of the keys that may be in it.
    fingerprints: Vec<String>,
}

impl FetchedKeyring {
    /// The keyring of the repository `name`.
    ///
    /// # Errors
    /// Class `blueprint`, where a fingerprint is not a full one.
    pub fn new(manager: Manager, name: &str, url: String, fingerprints: &[String]) -> Result<Self, Fault> {
        let fingerprints = repository::pinned(&format!("repository '{name}'"), fingerprints)?;
        Ok(Self { manager, path: manager.keyring_path(name).display().to_string(), url, fingerprints })
    }

    fn file(&self, content: &[u8]) -> File {
        File { stage: Stage::Repositories, ..File::new(&self.path, content) }
    }
}

/// Does the file at `path` hold keys that are all among `fingerprints`? None where there is no file.
fn is_ours(path: &str, fingerprints: &[String]) -> Result<Option<bool>> {
    let found = files::read(Path::new(path))?;
    Ok(found.map(|bytes| repository::checked(path, &bytes, fingerprints).is_ok()))
}

impl Resource for FetchedKeyring {
    fn sort(&self) -> &'static str {
        "keyring"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        vec![Endpoint { url: self.url.clone(), purpose: "key of a package repository".into() }]
    }

    fn stage(&self) -> Stage {
        Stage::Repositories
    }

    fn claims(&self) -> Vec<Claim> {
        vec![paths::claim(&self.path, self.fingerprints.join(" "))]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let pinned = self.fingerprints.join(" ");
        // What was begun before may have been with other pins. A part of its own: whatever keys it is found with at the end, one of the undos
        // knows them.
        let begun = cx.memory.intended(&format!("file:{}", self.path));
        let item = if begun { format!("keyring {pinned}") } else { "keyring".to_owned() };
        let summary = match is_ours(&self.path, &self.fingerprints)? {
            Some(true) => return Ok(Probe::InPlace(Value::Null)),
            Some(false) if begun => format!("replace with the keys that are pinned now, from {}", self.url),
            Some(false) => {
                return Err(Fault::new(
                    Class::Conflict,
                    format!("{} holds other keys than those that are pinned", self.path),
                )
                .evidence(self.fingerprints.iter().map(|key| format!("pinned: {key}")))
                .advice(format!("remove {} if nobody needs it, then run again", self.path))
                .into());
            }
            None => format!("fetch from {}", self.url),
        };
        let undo = Undo::RemoveKeyring { path: self.path.clone(), fingerprints: self.fingerprints.clone() };
        Ok(Probe::Changes(vec![Change::new(item, summary, undo)]))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        let bytes = cx.host.packages().fetch(cx.host, &self.url)?;
        let packets = repository::checked(&self.url, &bytes, &self.fingerprints)?;
        let file = self.file(&self.manager.keyring(packets));
        match file.probe(cx)? {
            Probe::Changes(changes) => file.apply(cx, &changes),
            _ => Ok(()),
        }
    }
}

/// A keyring was fetched: it is removed, unless somebody put other keys there since.
pub(crate) fn undo(path: &str, fingerprints: &[String]) -> Result<Undone> {
    match is_ours(path, fingerprints)? {
        None => Ok(Undone::Gone),
        Some(false) => Ok(paths::changed(path)),
        Some(true) => {
            files::remove(Path::new(path))?;
            Ok(Undone::Done(format!("removed {path}")))
        }
    }
}

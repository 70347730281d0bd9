//! The package index: what the repositories offer, fetched so that packages can be installed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use distro::files;
use distro::packages::{Index as Kept, Manager, Package};
use serde::{Deserialize, Serialize};

use crate::undo::{Undo, UndoCx, Undone};
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// The index. It is looked after only while a package is missing: with everything installed nobody reads it.
#[derive(Clone, Debug)]
pub struct Index {
    /// Whose index it is.
    pub manager: Manager,
    /// Names of our repositories.
    pub repositories: Vec<String>,
    /// Names of the packages that are wanted.
    pub packages: Vec<String>,
}

/// What is remembered: per repository the digest of the definition and keyring for which its index was there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    #[serde(default)]
    fetched: BTreeMap<String, String>,
}

impl Index {
    /// What was remembered when it was last in place; nothing, where another version wrote it down otherwise.
    fn remembered(cx: &Cx<'_>) -> Seen {
        cx.memory.seen(cx.id).and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
    }

    /// Why the index of a repository has to be fetched; or the digest of what it was fetched for.
    fn look_at(cx: &Cx<'_>, name: &str, seen: &Seen) -> Result<Result<String, String>> {
        let Some(index) = cx.host.packages().index(name)? else {
            return Ok(Err("its definition is not there yet".to_owned()));
        };
        if let Some(missing) = index.missing {
            return Ok(Err(format!("that of {missing} is not there")));
        }
        let mut bytes = Vec::new();
        for path in &index.definition {
            bytes.extend(files::read(path)?.unwrap_or_default());
        }
        let digest = cx.digest(&bytes);
        let same = seen.fetched.get(name) == Some(&digest);
        if same || is_newer(&index)? {
            return Ok(Ok(digest));
        }
        Ok(Err("its definition has changed since".to_owned()))
    }
}

/// Was it fetched after its definition was written? Times of modification are those of the server for what is fetched, so the time
/// of the last change of the inode is looked at, for both. Only asked where nothing is remembered of this definition: right
/// after the fetch, and on a host whose state was lost.
fn is_newer(index: &Kept) -> Result<bool> {
    let changed = |path: &Path| -> Result<(i64, i64)> {
        let meta = std::fs::symlink_metadata(path).with_context(|| format!("looking at {}", path.display()))?;
        Ok((meta.ctime(), meta.ctime_nsec()))
    };
    let mut newest = (i64::MIN, 0);
    for file in &index.definition {
        newest = newest.max(changed(file)?);
    }
    for file in &index.fetched {
        if changed(file)? < newest {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Resource for Index {
    fn sort(&self) -> &'static str {
        "index"
    }

    fn key(&self) -> String {
        self.manager.name().to_owned()
    }

    fn stage(&self) -> Stage {
        Stage::Repositories
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let mut seen = Self::remembered(cx);
        let known = cx.look.packages(&self.packages)?;
        if self.packages.iter().all(|name| known.get(name).is_some_and(Package::is_installed)) {
            return Ok(Probe::InPlace(serde_json::to_value(seen)?));
        }
        seen.fetched.retain(|name, _| self.repositories.contains(name));
        let mut changes = Vec::new();
        for name in &self.repositories {
            match Self::look_at(cx, name, &seen)? {
                Ok(digest) => drop(seen.fetched.insert(name.clone(), digest)),
                Err(why) => changes.push(Change::new(
                    format!("index {name}"),
                    format!("fetch the index of {name}: {why}"),
                    Undo::RemoveLists { repository: name.clone() },
                )),
            }
        }
        if changes.is_empty() && !cx.host.packages().has_any_index() {
            let why = "the distribution's own package index is of use to everybody".to_owned();
            changes.push(Change::new("index", "fetch the package index: there is none", Undo::Kept { why }));
        }
        Ok(if changes.is_empty() { Probe::InPlace(serde_json::to_value(seen)?) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        cx.host.packages().update(cx.host, &self.repositories)
    }
}

/// Removes the index of a repository whose definition is still there.
///
/// # Errors
/// Class `locked` where another process holds its lock; where a file cannot be removed.
pub fn undo_lists(cx: &UndoCx<'_>, repository: &str) -> Result<Undone> {
    Ok(match cx.host.packages().remove_index(cx.host, repository)? {
        0 => Undone::Gone,
        _ => Undone::Done(format!("removed the index of {repository}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_fetched_after_the_definition_was_written_is_newer() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let pause = || std::fs::File::open(folder.path()).unwrap().sync_all().unwrap();
        // The kernel's clock for files has steps of a few milliseconds.
        let later_than = |name: &str, other: &str| loop {
            std::fs::write(path(name), "x").unwrap();
            let changed = |name: &str| {
                let meta = std::fs::metadata(path(name)).unwrap();
                (meta.ctime(), meta.ctime_nsec())
            };
            if changed(name) > changed(other) {
                break;
            }
            pause();
        };
        let index = Kept {
            definition: vec![path("definition"), path("keyring")],
            missing: None,
            fetched: vec![path("Release")],
        };
        std::fs::write(path("definition"), "").unwrap();
        std::fs::write(path("keyring"), "").unwrap();
        later_than("Release", "keyring");
        assert!(is_newer(&index).unwrap());
        later_than("definition", "Release");
        assert!(!is_newer(&index).unwrap());
    }

    #[test]
    fn what_another_version_remembered_is_no_failure() {
        let seen: Seen = serde_json::from_str(r#"{"fetched": {"redis": "ab"}, "later": 1}"#).unwrap();
        assert_eq!(seen.fetched["redis"], "ab");
        assert_eq!(serde_json::from_str::<Seen>("{}").unwrap(), Seen::default());
    }
}

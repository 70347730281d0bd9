//! The package index: what the repositories offer, fetched so that packages can be installed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use distro::apt::{self, LISTS, Source};
use distro::{Host, files, locks};
use serde::{Deserialize, Serialize};

use crate::undo::{Undo, UndoCx, Undone};
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// The index. It is looked after only while a package is missing: with everything installed nobody reads it.
#[derive(Clone, Debug)]
pub struct Index {
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

    fn sources(&self) -> Result<Vec<Source>> {
        self.repositories.iter().filter_map(|name| definition(name).transpose()).collect()
    }

    /// Why the index of a repository has to be fetched; or the digest of what it was fetched for.
    fn look_at(cx: &Cx<'_>, lists: &Path, name: &str, seen: &Seen) -> Result<Result<String, String>> {
        let Some(source) = definition(name)? else { return Ok(Err("its definition is not there yet".to_owned())) };
        if let Some((uri, suite)) = source.missing(lists).first() {
            return Ok(Err(format!("that of {uri} {suite} is not there")));
        }
        let path = source.definition();
        let keyring = Path::new("/etc/apt/keyrings").join(format!("{name}.gpg"));
        let mut bytes = files::read(&path)?.unwrap_or_default();
        bytes.extend(files::read(&keyring)?.unwrap_or_default());
        let digest = cx.digest(&bytes);
        let same = seen.fetched.get(name) == Some(&digest);
        if same || is_newer(&source, lists, &[&path, &keyring])? {
            return Ok(Ok(digest));
        }
        Ok(Err("its definition has changed since".to_owned()))
    }
}

/// The repository as its definition on disk says.
fn definition(name: &str) -> Result<Option<Source>> {
    let path = Source { name: name.to_owned(), ..Source::default() }.definition();
    Ok(files::read(&path)?.map(|bytes| Source::parse(name, &String::from_utf8_lossy(&bytes))))
}

/// Was every list of `source` written after `files` were? Times of modification are those of the server for lists, so the time
/// of the last change of the inode is looked at, for both. Only asked where nothing is remembered of this definition: right
/// after the fetch, and on a host whose state was lost.
fn is_newer(source: &Source, lists: &Path, files: &[&Path]) -> Result<bool> {
    let changed = |path: &Path| -> Result<(i64, i64)> {
        let meta = std::fs::symlink_metadata(path).with_context(|| format!("looking at {}", path.display()))?;
        Ok((meta.ctime(), meta.ctime_nsec()))
    };
    let mut newest = (i64::MIN, 0);
    for file in files {
        newest = newest.max(changed(file)?);
    }
    for list in source.list_files(lists)?.iter().filter(|list| list.to_string_lossy().ends_with("Release")) {
        if changed(list)? < newest {
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
        "apt".to_owned()
    }

    fn stage(&self) -> Stage {
        Stage::Repositories
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let lists = Path::new(LISTS);
        let mut seen = Self::remembered(cx);
        let dpkg = cx.look.dpkg()?;
        if self.packages.iter().all(|name| dpkg.is_installed(name)) {
            return Ok(Probe::InPlace(serde_json::to_value(seen)?));
        }
        seen.fetched.retain(|name, _| self.repositories.contains(name));
        let mut changes = Vec::new();
        for name in &self.repositories {
            match Self::look_at(cx, lists, name, &seen)? {
                Ok(digest) => drop(seen.fetched.insert(name.clone(), digest)),
                Err(why) => changes.push(Change::new(
                    format!("index {name}"),
                    format!("fetch the index of {name}: {why}"),
                    Undo::RemoveLists { repository: name.clone() },
                )),
            }
        }
        if changes.is_empty() && !apt::has_any(lists) {
            let why = "the distribution's own package index is of use to everybody".to_owned();
            changes.push(Change::new("index", "fetch the package index: there is none", Undo::Kept { why }));
        }
        Ok(if changes.is_empty() { Probe::InPlace(serde_json::to_value(seen)?) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        apt::update(cx.host, &self.sources()?)
    }
}

/// Removes the index of a repository whose definition is still there.
///
/// # Errors
/// Class `locked` where another process holds apt's lists; where a file cannot be removed.
pub fn undo_lists(cx: &UndoCx<'_>, repository: &str) -> Result<Undone> {
    match definition(repository)? {
        Some(source) => remove_lists(cx.host, &source),
        // apt removes what nobody defines at its next update.
        None => Ok(Undone::Gone),
    }
}

fn remove_lists(host: &Host, source: &Source) -> Result<Undone> {
    locks::wait_free(&host.runner, &locks::INDEX, locks::limit())?;
    Ok(match source.remove_lists(Path::new(LISTS))? {
        0 => Undone::Gone,
        _ => Undone::Done(format!("removed the index of {}", source.name)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_written_after_the_definition_are_newer() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source {
            name: "x".into(),
            uris: vec!["http://h/r".into()],
            suites: vec!["a".into()],
            components: vec!["main".into()],
        };
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
        std::fs::write(path("x.sources"), "").unwrap();
        later_than("h_r_dists_a_InRelease", "x.sources");
        let (lists, definition) = (folder.path(), path("x.sources"));
        assert!(is_newer(&source, lists, &[&definition]).unwrap());
        later_than("x.sources", "h_r_dists_a_InRelease");
        assert!(!is_newer(&source, lists, &[&definition]).unwrap());
    }

    #[test]
    fn what_another_version_remembered_is_no_failure() {
        let seen: Seen = serde_json::from_str(r#"{"fetched": {"redis": "ab"}, "later": 1}"#).unwrap();
        assert_eq!(seen.fetched["redis"], "ab");
        assert_eq!(serde_json::from_str::<Seen>("{}").unwrap(), Seen::default());
    }
}

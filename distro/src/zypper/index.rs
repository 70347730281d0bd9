//! The index: what zypper calls the metadata of its repositories.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{FETCH_LIMIT, LOCKS, definition_path, keyring_path, said, when_free, words, zypper};
use crate::packages::Index;
use crate::{Class, Host, locks, rpm};

/// Where libzypp keeps what it fetched, and what it made of it: a folder a repository in each, by its alias. What was fetched is put into the
/// first only when its signature was found right.
const CACHE: &str = "/var/cache/zypp";
const FETCHED: &str = "raw";

/// Fetches the index of all repositories, and makes sure that it did for `ours`: what is there of these is removed first, and must be
/// there afterwards. The exit code does not tell, since others may fail.
///
/// # Errors
/// Of the class that zypper's words tell (`dns`, `http`, `proxy`, `tls`, `repository`, `disk`); class `locked` where another process holds a
/// lock.
pub fn update(host: &Host, ours: &[String]) -> Result<()> {
    locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
    for name in ours {
        remove(Path::new(CACHE), name)?;
    }
    let words = words(["refresh"].into_iter().chain(ours.is_empty().then_some("--force")));
    let output = when_free(host, || zypper(&words).limit(FETCH_LIMIT))?;
    let is_missing = |name: &&str| fetched(Path::new(CACHE), name).is_none();
    let missing: Vec<&str> = ours.iter().map(String::as_str).filter(is_missing).collect();
    if missing.is_empty() && output.ok() {
        return Ok(());
    }
    let what = match missing.as_slice() {
        [] if !has_any() => "the index of the repositories cannot be fetched".to_owned(),
        [] => {
            host.runner.note(&format!("a repository that is not ours fails: {}", said::complaints(&output).join("; ")));
            return Ok(());
        }
        names => format!("the index of repository '{}' cannot be fetched", names.join("', '")),
    };
    Err(said::fault(&output, Class::Repository, &what).into())
}

/// Is there the index of any repository?
pub fn has_any() -> bool {
    let entries = std::fs::read_dir(Path::new(CACHE).join(FETCHED)).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().join("repodata/repomd.xml").exists())
}

/// The index of our repository `name`; none where it is not defined.
pub fn index(name: &str) -> Option<Index> {
    rpm::index(name, [definition_path(name), keyring_path(name)], fetched(Path::new(CACHE), name))
}

/// Removes the index of our repository `name`, and the packages that were fetched from it; says how many folders that were.
///
/// # Errors
/// Class `locked` where another process holds a lock; where something cannot be removed.
pub fn remove_index(host: &Host, name: &str) -> Result<usize> {
    locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
    remove(Path::new(CACHE), name)
}

fn fetched(cache: &Path, name: &str) -> Option<PathBuf> {
    let path = cache.join(FETCHED).join(name).join("repodata/repomd.xml");
    path.exists().then_some(path)
}

fn remove(cache: &Path, name: &str) -> Result<usize> {
    let mut removed = 0;
    for kept in [FETCHED, "solv", "packages"].map(|kind| cache.join(kind).join(name)) {
        if kept.is_dir() {
            std::fs::remove_dir_all(&kept).with_context(|| format!("removing {}", kept.display()))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_folders_and_no_others() {
        let cache = tempfile::tempdir().unwrap();
        for folder in ["raw/redis/repodata", "solv/redis", "packages/redis/x86_64", "raw/redis-tools", "solv/@System"] {
            std::fs::create_dir_all(cache.path().join(folder)).unwrap();
        }
        assert_eq!(fetched(cache.path(), "redis"), None);
        let index = cache.path().join("raw/redis/repodata/repomd.xml");
        std::fs::write(&index, "").unwrap();
        assert_eq!(fetched(cache.path(), "redis"), Some(index));
        assert_eq!(remove(cache.path(), "redis").unwrap(), 3);
        assert_eq!(remove(cache.path(), "redis").unwrap(), 0);
        assert!(cache.path().join("raw/redis-tools").exists() && cache.path().join("solv/@System").exists());
    }
}

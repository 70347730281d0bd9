//! The index: what yum calls the metadata of its repositories.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{LOCKS, SETTINGS, YUM, definition_path, keyring_path, said};
use crate::packages::Index;
use crate::rpm::{definition, repos};
use crate::{Host, locks, rpm};

/// Where yum keeps what it fetched, by itself and as the distributions set it: a folder a repository below that.
const CACHE: &str = "/var/cache/yum/$basearch/$releasever";
/// Where it keeps the keys that it checked signatures of indexes with, in the same way.
const KEYS: &str = "/var/lib/yum/repos/$basearch/$releasever";

/// Fetches the index of all repositories, and makes sure that it did for `ours`: what is there of these is removed first, and must be
/// there afterwards. Ours are fetched by themselves, so that what fails is theirs.
///
/// # Errors
/// Of the class that yum's words tell (`dns`, `http`, `proxy`, `tls`, `repository`, `disk`); class `locked` where another process holds a
/// lock.
pub fn update(host: &Host, ours: &[String]) -> Result<()> {
    locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
    for name in ours {
        remove(&folders(), name)?;
    }
    // Nobody is asked about the keys of an index: those of our repositories are pinned, and the host's own are its own.
    let fetch = |which: &[String]| YUM.fetch(host, &["makecache", "fast", "--assumeyes"], which);
    if !ours.is_empty() {
        let only = ["--disablerepo=*".to_owned()].into_iter();
        let output = fetch(&only.chain(ours.iter().map(|name| format!("--enablerepo={name}"))).collect::<Vec<_>>())?;
        let is_missing = |name: &&str| fetched(&folders(), name).is_none();
        let missing: Vec<&str> = ours.iter().map(String::as_str).filter(is_missing).collect();
        if !output.ok() || !missing.is_empty() {
            let failed = if missing.is_empty() { ours.join("', '") } else { missing.join("', '") };
            // What is looked for is there before the files that it names, and would be taken for all of it.
            for name in ours {
                remove(&folders(), name)?;
            }
            let what = format!("the index of repository '{failed}' cannot be fetched");
            return Err(said::fault_of_index(&output, &what).into());
        }
    }
    let mut others = repos::names(Path::new(definition::FOLDER), &[])?;
    others.retain(|name| !ours.contains(name));
    if others.is_empty() && !ours.is_empty() {
        return Ok(());
    }
    let output = fetch(&ours.iter().map(|name| format!("--disablerepo={name}")).collect::<Vec<_>>())?;
    if !has_any() || (ours.is_empty() && !output.ok()) {
        let what = "the index of the repositories cannot be fetched";
        return Err(said::fault_of_index(&output, what).into());
    }
    others.retain(|name| fetched(&folders(), name).is_none());
    let complaints = said::SAID.complaints(&said::heard(&output)).join("; ");
    // One that is passed over is not named, and may have an index of before.
    if !others.is_empty() {
        host.runner.note(&format!("a repository that is not ours fails: '{}': {complaints}", others.join("', '")));
    } else if !output.ok() {
        host.runner.note(&format!("a repository that is not ours fails: {complaints}"));
    } else if complaints.contains("[Errno ") {
        host.runner.note(&format!("a mirror of a repository that is not ours fails: {complaints}"));
    }
    Ok(())
}

/// Is there the index of any repository?
pub fn has_any() -> bool {
    let below = matching(&cache());
    let entries = below.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    entries.into_iter().any(|entry| entry.path().join("repomd.xml").exists())
}

/// The index of our repository `name`; none where it is not defined.
pub fn index(name: &str) -> Option<Index> {
    rpm::index(name, [definition_path(name), keyring_path(name)], fetched(&folders(), name))
}

/// Removes the index of our repository `name`, with the keys that it was checked with; says how many folders that were.
///
/// # Errors
/// Class `locked` where another process holds a lock; where something cannot be removed.
pub fn remove_index(host: &Host, name: &str) -> Result<usize> {
    locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
    remove(&folders(), name)
}

/// `cachedir` of its settings.
fn cache() -> String {
    let text = std::fs::read_to_string(SETTINGS).unwrap_or_default();
    let mut set = text.lines().filter_map(|line| line.strip_prefix("cachedir")?.trim_start().strip_prefix('='));
    set.next_back().map_or(CACHE, str::trim).trim_end_matches('/').to_owned()
}

/// The folders that have a folder for each repository.
fn folders() -> Vec<PathBuf> {
    [matching(&cache()), matching(KEYS)].concat()
}

/// Folders of `pattern`, where a component with a variable stands for any.
fn matching(pattern: &str) -> Vec<PathBuf> {
    pattern.split('/').fold(vec![PathBuf::from("/")], |found, part| {
        if !part.contains('$') {
            return found.into_iter().map(|folder| folder.join(part)).filter(|folder| folder.is_dir()).collect();
        }
        let below = found.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        below.map(|entry| entry.path()).filter(|folder| folder.is_dir()).collect()
    })
}

/// What is there of the index of `name`: it is put there only when its signature was found right.
fn fetched(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name).join("repomd.xml")).find(|path| path.exists())
}

/// Keys go, too: one that was pinned once would be as good as those that are now.
fn remove(folders: &[PathBuf], name: &str) -> Result<usize> {
    let kept: Vec<PathBuf> = folders.iter().map(|folder| folder.join(name)).filter(|folder| folder.is_dir()).collect();
    for folder in &kept {
        std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_folders_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        let pattern = |what: &str| format!("{}/{what}/$basearch/$releasever", root.path().display());
        for folder in ["cache/x86_64/7/redis/gen", "cache/x86_64/7/redis-tools", "keys/x86_64/7/redis/gpgdir"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let folders = [matching(&pattern("cache")), matching(&pattern("keys")), matching(&pattern("none"))].concat();
        assert_eq!(folders, ["cache/x86_64/7", "keys/x86_64/7"].map(|folder| root.path().join(folder)));
        assert_eq!(fetched(&folders, "redis"), None);
        let index = root.path().join("cache/x86_64/7/redis/repomd.xml");
        std::fs::write(&index, "").unwrap();
        assert_eq!(fetched(&folders, "redis"), Some(index));
        assert_eq!(remove(&folders, "redis").unwrap(), 2);
        assert_eq!(remove(&folders, "redis").unwrap(), 0);
        assert!(root.path().join("cache/x86_64/7/redis-tools").exists());
    }
}

//! The index: what dnf calls the metadata of its repositories.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{DNF, LOCKS, definition_path, is_five, keyring_path, overrides, said};
use crate::packages::Index;
use crate::rpm::{self, definition, repos};
use crate::{Class, Fault, Host, locks};

/// Where dnf keeps what it fetched: a folder a repository, which is put there only when its signature was found right.
pub(super) fn cache() -> &'static Path {
    Path::new(if is_five() { "/var/cache/libdnf5" } else { "/var/cache/dnf" })
}

/// Fetches the index of all repositories, and makes sure that it did for `ours`: what is there of these is removed first, and must be
/// there afterwards. The exit code does not tell, since a host may skip what is not to be had.
///
/// # Errors
/// Of the class that dnf's words tell (`dns`, `http`, `proxy`, `tls`, `repository`, `disk`); class `conflict` where one of ours is switched off;
/// class `locked` where another process holds a lock.
pub fn update(host: &Host, ours: &[String]) -> Result<()> {
    for name in ours {
        if let Some(by) = repos::switched_off(name, &overrides())? {
            return Err(switched_off(name, by).into());
        }
    }
    locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
    for name in ours {
        remove(cache(), name)?;
    }
    // Nobody is asked about the keys of an index: those of our repositories are pinned, and the host's own are its own.
    let mut words = vec!["makecache", "--assumeyes"];
    words.extend(ours.is_empty().then_some("--refresh"));
    let output = DNF.fetch(host, &words, &[])?;
    let missing: Vec<&str> = ours.iter().map(String::as_str).filter(|name| fetched(cache(), name).is_none()).collect();
    let what = match missing.as_slice() {
        [] if !has_any() || (ours.is_empty() && !output.ok()) => {
            "the index of the repositories cannot be fetched".to_owned()
        }
        [] => {
            let complaints = said::SAID.complaints(&said::heard(&output)).join("; ");
            if !complaints.is_empty() && (!output.ok() || !said::ignored(&output).is_empty() || lacks_one()) {
                host.runner.note(&format!("a repository that is not ours fails: {complaints}"));
            }
            return Ok(());
        }
        names => format!("the index of repository '{}' cannot be fetched", names.join("', '")),
    };
    Err(said::fault_of_index(host, &output, &what).into())
}

/// Our repository `name` is switched off, `by` what somebody told dnf elsewhere.
fn switched_off(name: &str, by: String) -> Fault {
    Fault::new(Class::Conflict, format!("the repository '{name}' is switched off by a setting of the host's")).evidence([by]).advice(
        format!(
            "take that setting out (`dnf config-manager unsetopt {name}.enabled`, where dnf wrote it), then go on with --resume"
        ),
    )
}

/// Is a repository switched on of which there is no index? dnf 5 does not say which ones it left out.
fn lacks_one() -> bool {
    // A folder that cannot be read is dnf's to complain about.
    let names = repos::names(Path::new(definition::FOLDER), &overrides()).unwrap_or_default();
    names.iter().any(|name| fetched(cache(), name).is_none())
}

/// Is there the index of any repository?
pub fn has_any() -> bool {
    let entries = std::fs::read_dir(cache()).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().join("repodata/repomd.xml").exists())
}

/// The index of our repository `name`; none where it is not defined.
pub fn index(name: &str) -> Option<Index> {
    rpm::index(name, [definition_path(name), keyring_path(name)], fetched(cache(), name))
}

/// Removes the index of our repository `name`; says how many files and folders that were.
///
/// # Errors
/// Class `locked` where another process holds a lock; where something cannot be removed.
pub fn remove_index(host: &Host, name: &str) -> Result<usize> {
    locks::wait_free(&host.runner, &LOCKS, locks::limit())?;
    remove(cache(), name)
}

/// What is in `cache` of repository `name`: a folder with a digest of its address in its name, and files made from what is in it.
fn kept(cache: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
    let is_of = |file: &str| match file.strip_prefix(name) {
        Some(".solv" | "-filenames.solvx" | "-updateinfo.solvx" | "-presto.solvx" | "-other.solvx") => true,
        Some(rest) => rest
            .strip_prefix('-')
            .is_some_and(|digest| digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())),
        None => false,
    };
    let paths = entries.into_iter().filter(|entry| entry.file_name().to_str().is_some_and(is_of));
    paths.map(|entry| entry.path()).collect()
}

fn fetched(cache: &Path, name: &str) -> Option<PathBuf> {
    kept(cache, name).into_iter().map(|path| path.join("repodata/repomd.xml")).find(|path| path.exists())
}

fn remove(cache: &Path, name: &str) -> Result<usize> {
    let kept = kept(cache, name);
    for path in &kept {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(kept.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_files_and_no_others() {
        let cache = tempfile::tempdir().unwrap();
        let ours = ["redis-73071d1c37cf1c7b/repodata", "redis-73071d1c37cf1c7b/pubring"];
        let others = ["redis-tools-73071d1c37cf1c7b/repodata", "redis2-73071d1c37cf1c7b", "redis-73071d1c37cf1c7"];
        for folder in ours.iter().chain(&others) {
            std::fs::create_dir_all(cache.path().join(folder)).unwrap();
        }
        for file in ["redis.solv", "redis-filenames.solvx", "redis-tools.solv", "expired_repos.json"] {
            std::fs::write(cache.path().join(file), "").unwrap();
        }
        assert_eq!(fetched(cache.path(), "redis"), None);
        let index = cache.path().join("redis-73071d1c37cf1c7b/repodata/repomd.xml");
        std::fs::write(&index, "").unwrap();
        assert_eq!(fetched(cache.path(), "redis"), Some(index));
        assert_eq!(remove(cache.path(), "redis").unwrap(), 3);
        assert_eq!(remove(cache.path(), "redis").unwrap(), 0);
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), others.len() + 2);
    }
}

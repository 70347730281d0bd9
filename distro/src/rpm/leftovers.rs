//! What is left of a transaction that was cut off, of a package that rpm was unpacking: files with `;` and the time of the transaction (eight hexadecimal
//! digits of seconds since 1970, rpm's `tid`) behind their names; the script that it was running; and what yum wrote down. Nothing removes them
//! later.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::files;

/// Folders that packages have files in.
const ROOTS: [&str; 5] = ["/etc", "/opt", "/srv", "/usr", "/var"];
/// Folders of other systems, with packages of their own: containers, chroots.
const OTHERS: [&str; 4] = ["/var/lib/containers", "/var/lib/docker", "/var/lib/machines", "/var/lib/mock"];
/// Folders with files that are left, and what the names of these begin with: scripts in rpm's `_tmppath`; and what a transaction of yum is about to do
/// and has done, of which it speaks at each call for good.
const LEFT: [(&str, &[&str]); 2] =
    [("/var/tmp", &["rpm-tmp."]), ("/var/lib/yum", &["transaction-all.", "transaction-done."])];

/// Removes what transactions left that began at `since` or later. Folders that cannot be read are left alone.
///
/// # Errors
/// Where a file cannot be removed.
pub(super) fn remove(since: SystemTime) -> Result<()> {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    let (from, to) = (seconds(since), seconds(SystemTime::now()));
    let mut found = Vec::new();
    for root in ROOTS.map(Path::new) {
        if let Ok(meta) = fs::symlink_metadata(root) {
            find(root, meta.dev(), &|name| time_of(name).is_some_and(|time| (from..=to).contains(&time)), &mut found);
        }
    }
    found.extend(LEFT.iter().flat_map(|(folder, heads)| written(Path::new(folder), heads, since)));
    found.iter().try_for_each(|path| files::remove(path).map(drop))
}

/// Files of root's in `folder` that were written at `since` or later and whose names begin with one of `heads`.
fn written(folder: &Path, heads: &[&str], since: SystemTime) -> Vec<PathBuf> {
    let is_left = |entry: &DirEntry| {
        let is_recent = |meta: Metadata| meta.uid() == 0 && meta.modified().is_ok_and(|modified| modified >= since);
        heads.iter().any(|head| entry.file_name().as_bytes().starts_with(head.as_bytes()))
            && entry.metadata().is_ok_and(|meta| meta.is_file() && is_recent(meta))
    };
    fs::read_dir(folder).into_iter().flatten().flatten().filter(is_left).map(|entry| entry.path()).collect()
}

/// When the transaction began that a file of this name is left of.
fn time_of(name: &OsStr) -> Option<u64> {
    let (_, time) = name.as_bytes().split_at_checked(name.len().checked_sub(9)?)?;
    let digits = time.strip_prefix(b";")?;
    let are_lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    are_lower.then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())?
}

/// Looks for files below `folder`, in its file system only.
fn find(folder: &Path, device: u64, is_left: &dyn Fn(&OsStr) -> bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, is_folder) = (entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir()));
        if !is_folder && is_left(&entry.file_name()) {
            found.push(path);
        } else if is_folder && is_on(&entry, device) && !OTHERS.iter().any(|other| path == Path::new(other)) {
            find(&path, device, is_left, found);
        }
    }
}

fn is_on(entry: &DirEntry, device: u64) -> bool {
    entry.metadata().is_ok_and(|meta| meta.dev() == device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_is_left() {
        for (name, time) in [
            ("postgres;6b0c05fd", Some(0x6b0c_05fd)),
            (";6b0c05fd", Some(0x6b0c_05fd)),
            ("postgres", None),
            ("a;6B0C05FD", None),
            ("a;6b0c05f", None),
            ("a;b0c05fd;6b0c05fd0", None),
            ("ä6b0c05fd", None),
        ] {
            assert_eq!(time_of(OsStr::new(name)), time, "{name}");
        }
    }

    #[test]
    fn what_a_transaction_wrote() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (now, minute) = (SystemTime::now(), std::time::Duration::from_secs(60));
        for (name, (_, heads)) in ["rpm-tmp.Blaf94", "transaction-done.2026-11-29.20:01.07"].into_iter().zip(LEFT) {
            for name in [name, "rpm-tmp", "history"] {
                fs::write(dir.path().join(name), "")?;
            }
            let is_roots = fs::metadata(dir.path())?.uid() == 0;
            let theirs: Vec<_> = is_roots.then(|| dir.path().join(name)).into_iter().collect();
            assert_eq!(written(dir.path(), heads, now - minute), theirs);
            assert_eq!(written(dir.path(), heads, now + minute), Vec::<PathBuf>::new());
        }
        Ok(())
    }

    #[test]
    fn files_below_a_folder_are_found() -> Result<()> {
        let dir = tempfile::tempdir()?;
        for name in ["a/b/one;6b0c05fd", "two;6b0c05fd", "a/three", "c;6b0c05fd/four"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap_or(dir.path()))?;
            fs::write(path, "")?;
        }
        let mut found = Vec::new();
        find(dir.path(), fs::metadata(dir.path())?.dev(), &|name| time_of(name).is_some(), &mut found);
        found.sort();
        assert_eq!(found, ["a/b/one;6b0c05fd", "two;6b0c05fd"].map(|name| dir.path().join(name)));
        Ok(())
    }
}

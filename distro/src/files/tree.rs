//! Folders that are removed with everything in them.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

use super::Removal;
use super::keep::{is_mount, refused};
use super::place::{Place, fault};
use crate::failure::{Class, Fault};

/// Deepest tree that is removed. Each level costs an open folder; somebody who nests deeper wants to see us fail.
const DEPTH: usize = 256;

/// Removes a folder with everything in it. Symlinks are removed, never followed. Where something is mounted in it, nothing is
/// removed at all.
///
/// # Errors
/// Class `conflict` where it is something else than a folder; `host` where it is nested deeper than 256 levels.
pub fn remove_tree(path: &Path) -> Result<Removal> {
    let Ok(place) = Place::find(path)? else { return Ok(Removal::Gone) };
    let Some(stat) = place.stat()? else { return Ok(Removal::Gone) };
    place.expect(&stat, FileType::Directory)?;
    if is_mount(&place.dir, &place.name) {
        return Ok(Removal::Mounted(path.to_owned()));
    }
    let top = place.open_at(OFlags::RDONLY | OFlags::DIRECTORY)?;
    let device = fstat(&top).map_err(|error| fault(error, "look at", path))?.st_dev;
    if let Some(mounted) = find_mount(&top, path, device, 0)? {
        return Ok(Removal::Mounted(mounted));
    }
    empty(&top, path, device, 0)?;
    match unlinkat(&place.dir, &place.name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => place.sync().map(|()| Removal::Done),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Removal::NotEmpty),
        Err(error) => Err(refused(error, "remove the folder", &place)),
    }
}

/// The first thing in `folder` that belongs to another mount.
fn find_mount(folder: &OwnedFd, path: &Path, device: u64, depth: usize) -> Result<Option<PathBuf>> {
    for name in names(folder, path, depth)? {
        let path = path.join(&name);
        let Some(inner) = enter(folder, &name, &path, device)? else {
            if is_foreign(folder, &name, device) {
                return Ok(Some(path));
            }
            continue;
        };
        if let Some(found) = find_mount(&inner, &path, device, depth + 1)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Removes everything in `folder`.
fn empty(folder: &OwnedFd, path: &Path, device: u64, depth: usize) -> Result<()> {
    for name in names(folder, path, depth)? {
        let path = path.join(&name);
        let flags = match enter(folder, &name, &path, device)? {
            Some(inner) => {
                empty(&inner, &path, device, depth + 1)?;
                AtFlags::REMOVEDIR
            }
            None => AtFlags::empty(),
        };
        match unlinkat(folder, &name, flags) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(fault(error, "remove", &path)),
        }
    }
    Ok(())
}

/// Opens `name` where it is a folder of the same mount.
fn enter(folder: &OwnedFd, name: &OsStr, path: &Path, device: u64) -> Result<Option<OwnedFd>> {
    if is_foreign(folder, name, device) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(folder, name, flags, Mode::empty()) {
        Ok(inner) => Ok(Some(inner)),
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => Ok(None),
        Err(error) => Err(fault(error, "open", path)),
    }
}

/// Does `name` belong to another mount or file system?
fn is_foreign(folder: &OwnedFd, name: &OsStr, device: u64) -> bool {
    is_mount(folder, name)
        || statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| stat.st_dev != device && FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// What is in `folder`.
fn names(folder: &OwnedFd, path: &Path, depth: usize) -> Result<Vec<OsString>> {
    if depth == DEPTH {
        return Err(Fault::new(Class::Host, format!("{} is nested deeper than {DEPTH} folders", path.display()))
            .advice("remove it by hand, then run again with --resume")
            .into());
    }
    let mut names = Vec::new();
    for entry in Dir::read_from(folder).map_err(|error| fault(error, "list", path))? {
        let entry = entry.map_err(|error| fault(error, "list", path))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

//! Files, symlinks and folders that come into being, or get another content, in one go.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{
    AtFlags, Dir, FallocateFlags, FileType, Mode, OFlags, XattrFlags, fallocate, fsetxattr, fstat, ftruncate, mkdirat,
    openat, renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::keep::{carry_over, is_mount, refused};
use super::place::{Place, fault};
use super::{Ids, Meta, not_planted, set_attributes};
use crate::failure::io_fault;
use crate::{Look, selinux};

/// Gives the file at `path` this content, mode and owner, or makes it. After a crash either the old or the new file is there,
/// whole; only a file that is a mount point, or whose label the kernel does not let us copy, is written in place.
///
/// # Errors
/// Class `conflict` where something else than a file is there or it is locked with chattr; `disk` where the file system is full or
/// read-only; `host` where the folder is missing or the owner does not exist.
pub fn replace(look: &Look<'_>, path: &Path, bytes: &[u8], meta: &Meta) -> Result<()> {
    let ids = Ids::of(look, meta)?;
    let place = Place::need(path)?;
    let old = place.regular()?;
    // Not even tried: the folder around a mounted file may be read-only.
    if old.is_some() && is_mount(&place.dir, &place.name) {
        return write_in_place(&place, bytes, &ids, meta.mode);
    }
    let label = if old.is_none() { selinux::label(look.host, path, false)? } else { None };
    remove_leftovers(&place)?;
    let mut temp = None;
    for name in temp_names() {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&place.dir, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => {
                temp = Some((Temp { place: &place, name }, file));
                break;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(refused(error, "make a file beside", &place)),
        }
    }
    let Some((temp, file)) = temp else { return Err(fault(Errno::EXIST, "make a file beside", path)) };
    match &old {
        Some(old) if !carry_over(&place, old, &file)? => return write_in_place(&place, bytes, &ids, meta.mode),
        Some(_) => {}
        None => give_label(&file, label),
    }
    let mut file = File::from(file);
    file.write_all(bytes).map_err(|error| io_fault(&error, "write", path))?;
    ids.give(&file, meta.mode).map_err(|error| refused(error, "set mode and owner of", &place))?;
    file.sync_all().map_err(|error| io_fault(&error, "write", path))?;
    match renameat(&place.dir, &temp.name, &place.dir, &place.name) {
        Ok(()) => place.sync(),
        Err(Errno::BUSY | Errno::XDEV) if old.is_some() => write_in_place(&place, bytes, &ids, meta.mode),
        Err(error) => Err(refused(error, "replace", &place)),
    }
}

/// Makes a symlink, or lets the one that is there point elsewhere, in one go.
///
/// # Errors
/// Class `conflict` where something else than a symlink is there; `host` where the folder is missing.
pub fn symlink(path: &Path, target: &str) -> Result<()> {
    let place = Place::need(path)?;
    if let Some(stat) = place.stat()? {
        place.expect(&stat, FileType::Symlink)?;
    }
    remove_leftovers(&place)?;
    for name in temp_names() {
        match symlinkat(target, &place.dir, &name) {
            Ok(()) => {
                let temp = Temp { place: &place, name };
                return match renameat(&place.dir, &temp.name, &place.dir, &place.name) {
                    Ok(()) => place.sync(),
                    Err(error) => Err(refused(error, "replace", &place)),
                };
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(refused(error, "make a symlink beside", &place)),
        }
    }
    Err(fault(Errno::EXIST, "make a symlink beside", path))
}

/// Makes a folder (none above it); one that is there gets mode and owner. A new one has them before it has its name.
///
/// # Errors
/// Class `conflict` where something else is there; `host` where the folder above is missing or the owner does not exist.
pub fn make_dir(look: &Look<'_>, path: &Path, meta: &Meta) -> Result<()> {
    let ids = Ids::of(look, meta)?;
    let place = Place::need(path)?;
    if let Some(stat) = place.stat()? {
        place.expect(&stat, FileType::Directory)?;
        return set_attributes(look, path, meta);
    }
    let label = selinux::label(look.host, path, true)?;
    remove_leftovers(&place)?;
    for name in temp_names() {
        match mkdirat(&place.dir, &name, Mode::RWXU) {
            Ok(()) => {
                let temp = Temp { place: &place, name };
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = openat(&place.dir, &temp.name, flags, Mode::empty());
                let given = folder.and_then(|folder| {
                    give_label(&folder, label);
                    ids.give(folder, meta.mode)
                });
                given.map_err(|error| refused(error, "set mode and owner of", &place))?;
                return match renameat(&place.dir, &temp.name, &place.dir, &place.name) {
                    Ok(()) => place.sync(),
                    Err(error) => Err(refused(error, "make the folder", &place)),
                };
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(refused(error, "make the folder", &place)),
        }
    }
    Err(fault(Errno::EXIST, "make the folder", path))
}

/// Gives what is new the label that the policy has for its name, before it has that name. What the kernel refuses keeps the label of its
/// folder.
fn give_label(file: &OwnedFd, label: Option<CString>) {
    if let Some(label) = label {
        fsetxattr(file, selinux::LABEL, label.as_bytes_with_nul(), XattrFlags::empty()).ok();
    }
}

/// Writes over the bytes of the file that is there.
pub(super) fn write_in_place(place: &Place, bytes: &[u8], ids: &Ids, mode: u32) -> Result<()> {
    let path = &place.path;
    let file: OwnedFd = place.open_at(OFlags::WRONLY)?;
    let stat = fstat(&file).map_err(|error| fault(error, "look at", path))?;
    place.expect(&stat, FileType::RegularFile)?;
    not_planted(place, &stat)?;
    let length = bytes.len() as u64;
    // A full disk must be noticed before the first byte is gone. Not every file system can tell.
    if let Err(error @ (Errno::NOSPC | Errno::DQUOT)) = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, length.max(1)) {
        return Err(fault(error, "write", path));
    }
    // Given away first: what is secret must not stand in a file that everybody can still read.
    ids.give(&file, mode).map_err(|error| refused(error, "set mode and owner of", place))?;
    let mut file = File::from(file);
    file.write_all(bytes).map_err(|error| io_fault(&error, "write", path))?;
    ftruncate(&file, length).map_err(|error| fault(error, "write", path))?;
    file.sync_all().map_err(|error| io_fault(&error, "write", path).into())
}

/// Removes what a killed run left in the folder.
fn remove_leftovers(place: &Place) -> Result<()> {
    let folder = Dir::read_from(place.folder()?).map_err(|error| fault(error, "list the folder of", &place.path))?;
    for entry in folder {
        let entry = entry.map_err(|error| fault(error, "list the folder of", &place.path))?;
        if !is_temp(OsStr::from_bytes(entry.file_name().to_bytes())) {
            continue;
        }
        let removed = match unlinkat(&place.dir, entry.file_name(), AtFlags::empty()) {
            Err(Errno::ISDIR) => unlinkat(&place.dir, entry.file_name(), AtFlags::REMOVEDIR),
            removed => removed,
        };
        match removed {
            // A folder with something in it is not ours.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(refused(error, "remove a leftover beside", place)),
        }
    }
    Ok(())
}

fn is_temp(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".surefoot-") && name.as_bytes().ends_with(b".tmp")
}

/// Names for a temporary file. Nobody has to be kept from guessing them: a file that is there is never opened.
fn temp_names() -> impl Iterator<Item = OsString> {
    let pid = std::process::id();
    (0..100).map(move |attempt| format!(".surefoot-{pid:x}{attempt:02}.tmp").into())
}

/// A temporary name in the folder of `place`; gone when this is dropped, unless it was renamed.
struct Temp<'a> {
    place: &'a Place,
    name: OsString,
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        // Renamed is what is hoped for; what cannot be removed now goes at the next replacement.
        if unlinkat(&self.place.dir, &self.name, AtFlags::empty()) == Err(Errno::ISDIR) {
            unlinkat(&self.place.dir, &self.name, AtFlags::REMOVEDIR).ok();
        }
    }
}

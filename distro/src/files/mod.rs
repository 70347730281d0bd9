//! Files, folders and symlinks that are looked at and changed on a host that may be hostile.
//!
//! - Every operation takes place relative to the open folder that holds the path (`place`), so nobody can lead it elsewhere
//!   between a look and a change. Folders above are followed as they are; symlinks among them only where root made them and nobody
//!   else can replace them. A symlink as last component is somebody's decision: class `conflict`.
//! - A file is replaced by rename, with mode and owner set before it gets its name and the label, access lists and flags of the
//!   old one kept (`keep`); a file that is a mount point, as containers have them, is written in place. Both are fsynced.
//! - A temporary file is called `.surefoot-….tmp`; what a killed run left behind goes at the next replacement in that folder.
//! - Modes are set, never asked for, so the umask does not matter.
//!
//! For what belongs to somebody else and is only read (`/proc`, `/etc/resolv.conf`), `std::fs` is the right tool.

mod access;
mod keep;
mod place;
mod replace;
mod tree;

use std::fmt;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid, fchmod, fchown, fstat, fsync, unlinkat};
use rustix::io::Errno;

use crate::Look;
use crate::failure::{Class, Fault, io_fault};
use keep::refused;
use place::{Place, fault};

pub use access::barred;
pub use replace::{make_dir, replace, symlink};
pub use tree::remove_tree;

/// Permission bits and owner of a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits, with set-id and sticky: `0o644`.
    pub mode: u32,
    /// Owner's name, or the number of one that has no name.
    pub owner: String,
    /// Group's name, or the number of one that has no name.
    pub group: String,
}

impl Meta {
    /// `mode` and the names of owner and group.
    pub fn new(mode: u32, owner: impl Into<String>, group: impl Into<String>) -> Self {
        Self { mode, owner: owner.into(), group: group.into() }
    }

    /// `mode`, owned by root.
    pub fn root(mode: u32) -> Self {
        Self::new(mode, "root", "root")
    }
}

impl fmt::Display for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o} {}:{}", self.mode, self.owner, self.group)
    }
}

/// What sort of thing is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they say it")]
pub enum Kind {
    File,
    Folder,
    Symlink,
    /// A device, a pipe or a socket.
    Other,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What sort of thing.
    pub kind: Kind,
    /// Its mode and owner.
    pub meta: Meta,
}

/// What came of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is removed.
    Done,
    /// It was gone already.
    Gone,
    /// A folder that is not empty, or that is in use as a mount point.
    NotEmpty,
    /// Something is mounted there or below, at the given path: nothing was removed.
    Mounted(PathBuf),
}

/// What is at `path`; a symlink there is not followed. None where nothing is, or a folder above is missing.
///
/// # Errors
/// Class `permission` where it cannot be seen, `conflict` where somebody else controls the way.
pub fn stat(look: &Look<'_>, path: &Path) -> Result<Option<Seen>> {
    let Ok(place) = Place::find(path)? else { return Ok(None) };
    let Some(stat) = place.stat()? else { return Ok(None) };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    };
    Ok(Some(Seen { kind, meta: meta_of(look, &stat)? }))
}

/// The first folder above `path` that is not there.
///
/// # Errors
/// As [`stat`].
pub fn missing_folder(path: &Path) -> Result<Option<PathBuf>> {
    Ok(Place::find(path)?.err())
}

/// Content of the regular file at `path`; none where it, or a folder above, is missing.
///
/// # Errors
/// Class `conflict` where something else than a file is there, `permission` where it cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| io_fault(&error, "read", path))?;
    Ok(Some(bytes))
}

/// The first `most` bytes of the regular file at `path`, and how many it has; none where it, or a folder above, is missing.
///
/// # Errors
/// As [`read`].
pub fn head(path: &Path, most: u64) -> Result<Option<(Vec<u8>, u64)>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let length = file.metadata().map_err(|error| io_fault(&error, "look at", path))?.len();
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(|error| io_fault(&error, "read", path))?;
    Ok(Some((bytes, length)))
}

/// The regular file at `path`, to be read; none where it, or a folder above, is missing. In a folder that belongs to a service it is never
/// another file in disguise, of which that service would learn what only root may read.
///
/// # Errors
/// As [`read`].
pub(crate) fn open(path: &Path) -> Result<Option<std::fs::File>> {
    let Ok(place) = Place::find(path)? else { return Ok(None) };
    let Some(file) = place.regular()? else { return Ok(None) };
    let stat = fstat(&file).map_err(|error| fault(error, "look at", path))?;
    not_planted(&place, &stat)?;
    Ok(Some(file.into()))
}

/// Where the symlink at `path` points to; none where nothing is.
///
/// # Errors
/// Class `conflict` where something else than a symlink is there.
pub fn read_link(path: &Path) -> Result<Option<String>> {
    let Ok(place) = Place::find(path)? else { return Ok(None) };
    let Some(stat) = place.stat()? else { return Ok(None) };
    place.expect(&stat, FileType::Symlink)?;
    place.target().map(Some)
}

/// Sets mode and owner of a file or folder.
///
/// # Errors
/// Class `conflict` where it is something else, or a file that somebody else may have linked there; `host` where it is gone or
/// the owner does not exist.
pub fn set_attributes(look: &Look<'_>, path: &Path, meta: &Meta) -> Result<()> {
    let ids = Ids::of(look, meta)?;
    let place = Place::need(path)?;
    let stat = place.stat()?.ok_or_else(|| fault(Errno::NOENT, "set mode and owner of", path))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        place.expect(&stat, FileType::RegularFile)?;
    }
    let file = place.open_at(OFlags::RDONLY)?;
    let stat = fstat(&file).map_err(|error| fault(error, "look at", path))?;
    not_planted(&place, &stat)?;
    ids.give(&file, meta.mode).map_err(|error| refused(error, "set mode and owner of", &place))?;
    fsync(&file).map_err(|error| fault(error, "write", path))
}

/// Removes a file or symlink (never what it points to). False where it was gone already.
///
/// # Errors
/// Class `conflict` where it is a folder or is locked with chattr.
pub fn remove(path: &Path) -> Result<bool> {
    let Ok(place) = Place::find(path)? else { return Ok(false) };
    match unlinkat(&place.dir, &place.name, AtFlags::empty()) {
        Ok(()) => place.sync().map(|()| true),
        Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR) => Err(Fault::new(Class::Conflict, format!("{} is a folder, not a file", path.display()))
            .advice("move it away, then run again with --resume")
            .into()),
        Err(error) => Err(refused(error, "remove", &place)),
    }
}

/// Removes a folder where it is empty.
///
/// # Errors
/// Class `conflict` where it is something else than a folder.
pub fn remove_dir_if_empty(path: &Path) -> Result<Removal> {
    let Ok(place) = Place::find(path)? else { return Ok(Removal::Gone) };
    let Some(stat) = place.stat()? else { return Ok(Removal::Gone) };
    place.expect(&stat, FileType::Directory)?;
    match unlinkat(&place.dir, &place.name, AtFlags::REMOVEDIR) {
        Ok(()) => place.sync().map(|()| Removal::Done),
        Err(Errno::NOENT) => Ok(Removal::Gone),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Removal::NotEmpty),
        Err(Errno::BUSY) => Ok(Removal::Mounted(path.to_owned())),
        Err(error) => Err(refused(error, "remove the folder", &place)),
    }
}

fn meta_of(look: &Look<'_>, stat: &Stat) -> Result<Meta> {
    Ok(Meta::new(stat.st_mode & 0o7777, look.user_name(stat.st_uid)?, look.group_name(stat.st_gid)?))
}

/// A user who owns the folder could have linked another file there, one that root's hands must stay off
/// (`fs.protected_hardlinks` is off on some hosts).
fn not_planted(place: &Place, stat: &Stat) -> Result<()> {
    let holder = fstat(&place.dir).map_err(|error| fault(error, "look at the folder of", &place.path))?;
    let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !file || stat.st_nlink < 2 || holder.st_uid == 0 || holder.st_uid == stat.st_uid {
        return Ok(());
    }
    Err(Fault::new(
        Class::Conflict,
        format!(
            "{} has {} hard links and its folder belongs to user id {}: it may be another file in disguise",
            place.path.display(),
            stat.st_nlink,
            holder.st_uid
        ),
    )
    .advice("replace it by a copy of its own, then run again with --resume")
    .into())
}

/// Numbers of an owner and a group.
struct Ids(Uid, Gid);

impl Ids {
    /// # Errors
    /// Class `host` where one does not exist.
    fn of(look: &Look<'_>, meta: &Meta) -> Result<Self> {
        let missing = |what: &str, name: &str| {
            Fault::new(Class::Host, format!("there is no {what} '{name}'"))
                .advice(format!("a `{what}` step or a package before this one has to make it"))
        };
        let uid = look.uid(&meta.owner)?.ok_or_else(|| missing("user", &meta.owner))?;
        let gid = look.gid(&meta.group)?.ok_or_else(|| missing("group", &meta.group))?;
        Ok(Self(Uid::from_raw(uid), Gid::from_raw(gid)))
    }

    /// Gives an open file to them. The owner comes first: a change of owner clears the set-id bits.
    fn give(&self, file: impl AsFd, mode: u32) -> Result<(), Errno> {
        fchown(&file, Some(self.0), Some(self.1))?;
        fchmod(&file, Mode::from_raw_mode(mode))
    }
}

#[cfg(test)]
pub(crate) mod tests;

//! Where a path leads, without a gap in which somebody could lead it elsewhere.
//!
//! The folders above the last component are opened one by one, never following a symlink by accident, and everything that is
//! done happens relative to the last of them. A real folder is safe to go through whoever owns it: its owner can put another
//! folder there, which we then either hold open already or never see. What must not happen is that an unprivileged user sends
//! us to a place that is not his, so a symlink is followed only where root made it and nobody else can replace it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::failure::{Class, Fault, io_fault};

/// Most symlinks on one path; the kernel's own limit.
const LINKS: usize = 40;

/// The last component of a path, in its open folder.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder (`O_PATH`).
    pub dir: OwnedFd,
    /// Name in it.
    pub name: OsString,
    /// The path as it was asked for.
    pub path: PathBuf,
}

impl Place {
    /// The place of `path`, or else the first folder above it that is not there.
    ///
    /// # Errors
    /// Where a component is not what it should be (class `conflict`) or cannot be looked at.
    pub fn find(path: &Path) -> Result<Result<Self, PathBuf>> {
        let (mut todo, name) = components(path)?;
        let mut shown = PathBuf::from("/");
        let mut above: Vec<OwnedFd> = Vec::new();
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut here = open("/", flags, Mode::empty()).map_err(|error| fault(error, "open", &shown))?;
        let mut links = 0;
        while let Some(part) = todo.pop_front() {
            if part == ".." {
                if let Some(fd) = above.pop() {
                    here = fd;
                    shown.pop();
                }
                continue;
            }
            shown.push(&part);
            let there = match openat(&here, &part, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(Err(shown)),
                Err(error) => return Err(fault(error, "look at", &shown)),
            };
            let stat = fstat(&there).map_err(|error| fault(error, "look at", &shown))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => above.push(std::mem::replace(&mut here, there)),
                FileType::Symlink => {
                    links += 1;
                    let holder = fstat(&here).map_err(|error| fault(error, "look at", &shown))?;
                    let target = readlinkat(&there, "", Vec::new()).map_err(|error| fault(error, "read", &shown))?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    trusted(&shown, &target, &stat, &holder)?;
                    if links > LINKS {
                        return Err(Fault::new(
                            Class::Host,
                            format!("{} leads through more than {LINKS} symlinks", path.display()),
                        )
                        .evidence([format!("{} is a symlink to {}", shown.display(), target.display())])
                        .advice("find the loop with `namei -l` and remove it")
                        .into());
                    }
                    if target.is_absolute() {
                        if !above.is_empty() {
                            here = above.swap_remove(0);
                            above.clear();
                        }
                        shown = PathBuf::from("/");
                    } else {
                        shown.pop();
                    }
                    for component in target.components().rev() {
                        match component {
                            Component::Normal(part) => todo.push_front(part.to_owned()),
                            Component::ParentDir => todo.push_front("..".into()),
                            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
                        }
                    }
                }
                _ => {
                    return Err(Fault::new(
                        Class::Conflict,
                        format!("{} is not a folder, so there can be no {}", shown.display(), path.display()),
                    )
                    .advice("move it away, then run again with --resume")
                    .into());
                }
            }
        }
        Ok(Ok(Self { dir: here, name, path: path.to_owned() }))
    }

    /// As [`Place::find`]; a folder that is not there is an error.
    pub fn need(path: &Path) -> Result<Self> {
        Self::find(path)?.map_err(|missing| {
            Fault::new(
                Class::Host,
                format!("there is no folder {}, where {} belongs", missing.display(), path.display()),
            )
            .advice("a `directory` step or a package before this one has to make it")
            .into()
        })
    }

    /// What is there; a symlink is not followed.
    pub fn stat(&self) -> Result<Option<Stat>> {
        match statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(fault(error, "look at", &self.path)),
        }
    }

    /// The regular file that is there, opened for reading.
    ///
    /// # Errors
    /// Class `conflict`, where something else is there.
    pub fn regular(&self) -> Result<Option<OwnedFd>> {
        let Some(stat) = self.stat()? else { return Ok(None) };
        // Looked at before it is opened: opening a device can do things.
        self.expect(&stat, FileType::RegularFile)?;
        let file = self.open_at(OFlags::RDONLY)?;
        let stat = fstat(&file).map_err(|error| fault(error, "look at", &self.path))?;
        self.expect(&stat, FileType::RegularFile)?;
        Ok(Some(file))
    }

    /// Opens what is there; never a symlink, and never waits for the other end of a pipe.
    pub fn open_at(&self, access: OFlags) -> Result<OwnedFd> {
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        openat(&self.dir, &self.name, flags, Mode::empty()).map_err(|error| fault(error, "open", &self.path))
    }

    /// The folder, opened so that it can be listed and fsynced.
    pub fn folder(&self) -> Result<OwnedFd> {
        openat(&self.dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| fault(error, "open the folder of", &self.path))
    }

    /// # Errors
    /// Class `conflict`, where `stat` (of this place) is not of type `wanted`.
    pub fn expect(&self, stat: &Stat, wanted: FileType) -> Result<()> {
        let found = FileType::from_raw_mode(stat.st_mode);
        if found == wanted {
            return Ok(());
        }
        let path = self.path.display();
        if found == FileType::Symlink {
            let target = self.target()?;
            return Err(Fault::new(Class::Conflict, format!("{path} is a symlink to {target}; somebody decided that"))
                .advice(format!("remove the symlink, or let the blueprint name {target}"))
                .into());
        }
        Err(Fault::new(Class::Conflict, format!("{path} is a {}, not a {}", name_of(found), name_of(wanted)))
            .advice("move it away, then run again with --resume")
            .into())
    }

    /// Where the symlink points to.
    pub fn target(&self) -> Result<String> {
        let target = readlinkat(&self.dir, &self.name, Vec::new()).map_err(|error| fault(error, "read", &self.path))?;
        target.into_string().map_err(|error| {
            let shown = error.into_cstring().to_string_lossy().into_owned();
            Fault::new(
                Class::Host,
                format!("{} is a symlink to '{shown}', which is not valid UTF-8", self.path.display()),
            )
            .advice("replace or remove the symlink, then run again with --resume")
            .into()
        })
    }

    /// Makes what was done to the folder's entries last.
    pub fn sync(&self) -> Result<()> {
        rustix::fs::fsync(self.folder()?).map_err(|error| fault(error, "write the folder of", &self.path))
    }
}

/// The folders of `path` and its last component.
fn components(path: &Path) -> Result<(VecDeque<OsString>, OsString)> {
    let mut parts = VecDeque::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push_back(part.to_owned()),
            Component::RootDir => {}
            Component::CurDir | Component::ParentDir | Component::Prefix(_) => parts.clear(),
        }
    }
    let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    match parts.pop_back() {
        Some(name) if plain => Ok((parts, name)),
        _ => Err(Fault::new(Class::Internal, format!("'{}' is not an absolute path without '..'", path.display()))
            .advice("a step kind let it through: report it")
            .into()),
    }
}

/// May the symlink `link` (with `stat`, in a folder with `holder`) be followed?
fn trusted(link: &Path, target: &Path, stat: &Stat, holder: &Stat) -> Result<()> {
    let why = if stat.st_uid != 0 {
        format!("the symlink belongs to user id {}", stat.st_uid)
    } else if holder.st_uid != 0 {
        format!("its folder belongs to user id {}", holder.st_uid)
    } else if open_to_others(holder) {
        format!("its folder has mode {:04o}, so others than root can replace it", holder.st_mode & 0o7777)
    } else {
        return Ok(());
    };
    Err(Fault::new(
        Class::Conflict,
        format!("{} is a symlink to {} that root does not control: {why}", link.display(), target.display()),
    )
    .advice("replace the symlink by a folder or a bind mount, or make root own it and its folder")
    .into())
}

/// Can others than root rename what is in this folder of root's? Group 0 is root's own.
fn open_to_others(folder: &Stat) -> bool {
    let writable = folder.st_mode & 0o002 != 0 || (folder.st_mode & 0o020 != 0 && folder.st_gid != 0);
    writable && folder.st_mode & 0o1000 == 0
}

/// What users call a type of file.
fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "folder",
        FileType::Symlink => "symlink",
        FileType::Fifo => "named pipe",
        FileType::Socket => "socket",
        FileType::BlockDevice | FileType::CharacterDevice => "device",
        FileType::Unknown => "thing of unknown type",
    }
}

/// The fault of an I/O error.
pub(super) fn fault(error: Errno, doing: &str, path: &Path) -> anyhow::Error {
    io_fault(&std::io::Error::from(error), doing, path).into()
}

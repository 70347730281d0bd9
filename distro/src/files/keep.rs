//! What an existing file has besides content, mode and owner, and what a replacement must have too: the security label, access
//! control lists and other extended attributes, and inode flags.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::fs::{
    AtFlags, IFlags, StatxAttributes, StatxFlags, XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr,
    ioctl_getflags, ioctl_setflags, statx,
};
use rustix::io::Errno;

use super::place::{Place, fault};
use crate::failure::{Class, Fault};

/// Flags that people set with chattr and that say how a file is kept. What else is in there describes how the file system stores
/// it, and is its own business.
const KEPT: IFlags = IFlags::COMPRESSED
    .union(IFlags::JOURNALING)
    .union(IFlags::NOATIME)
    .union(IFlags::NOCOW)
    .union(IFlags::NODUMP)
    .union(IFlags::NOTAIL)
    .union(IFlags::SYNC);

/// Attributes that speak of the very bytes of the old file: signatures, and the rights of a program (which the kernel drops at
/// any write, too).
const OF_THE_CONTENT: [&CStr; 3] = [c"security.ima", c"security.evm", c"security.capability"];

/// Gives `new`, still empty, the label, lists and flags of `old`. False where the kernel does not let us: then the file has to be
/// written in place to keep them.
///
/// # Errors
/// Class `conflict`, where `old` is locked with chattr; where it cannot be looked at.
pub(super) fn carry_over(place: &Place, old: &OwnedFd, new: &OwnedFd) -> Result<bool> {
    let names = names(old).map_err(|error| fault(error, "read the attributes of", &place.path))?;
    for name in names.iter().filter(|name| !OF_THE_CONTENT.contains(&name.as_c_str())) {
        let value = value(old, name).map_err(|error| fault(error, "read the attributes of", &place.path))?;
        if let Some(value) = value
            && fsetxattr(new, name, &value, XattrFlags::empty()).is_err()
        {
            return Ok(false);
        }
    }
    // What the folder's default list gave to the new file, and the old one did not have.
    let access = c"system.posix_acl_access";
    if !names.iter().any(|name| name.as_c_str() == access) {
        match fremovexattr(new, access) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(_) => return Ok(false),
        }
    }
    let flags = flags(old);
    if let Some(lock) = lock_of(flags) {
        return Err(locked(place.path.display(), lock));
    }
    let fresh = self::flags(new);
    let wanted = (fresh - KEPT) | (flags & KEPT);
    Ok(wanted == fresh || ioctl_setflags(new, wanted).is_ok())
}

/// Is a file system, or a single file of one, mounted at this very place? False where the kernel (before 5.8) does not tell.
pub(super) fn is_mount(dir: &OwnedFd, name: &std::ffi::OsStr) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    statx(dir, name, flags, StatxFlags::empty())
        .is_ok_and(|seen| (seen.stx_attributes & seen.stx_attributes_mask).contains(StatxAttributes::MOUNT_ROOT))
}

/// The error of a change that the kernel refused: where chattr is the cause, it is named.
pub(super) fn refused(error: Errno, doing: &str, place: &Place) -> anyhow::Error {
    if matches!(error, Errno::PERM | Errno::ACCESS) {
        let file = place.regular().ok().flatten();
        if let Some(lock) = file.and_then(|file| lock_of(flags(&file))) {
            return locked(place.path.display(), lock);
        }
        if let Some(lock) = place.folder().ok().and_then(|folder| lock_of(flags(&folder))) {
            return locked(format_args!("the folder of {}", place.path.display()), lock);
        }
    }
    fault(error, doing, &place.path)
}

/// Inode flags; none where the file system has no such thing.
fn flags(file: &OwnedFd) -> IFlags {
    ioctl_getflags(file).unwrap_or(IFlags::empty())
}

fn lock_of(flags: IFlags) -> Option<&'static str> {
    if flags.contains(IFlags::IMMUTABLE) {
        Some("immutable (chattr +i)")
    } else if flags.contains(IFlags::APPEND) {
        Some("append-only (chattr +a)")
    } else {
        None
    }
}

fn locked(what: impl std::fmt::Display, lock: &str) -> anyhow::Error {
    Fault::new(Class::Conflict, format!("{what} is {lock}; somebody decided that"))
        .advice("find out why; `chattr -i -a` unlocks it, then run again with --resume")
        .into()
}

/// Names of the extended attributes of `file`; none where the file system has no such thing.
fn names(file: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut bytes = vec![0; 65536];
    let length = match flistxattr(file, &mut bytes[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        answer => answer?,
    };
    let names = bytes[..length].split_inclusive(|byte| *byte == 0);
    Ok(names.filter_map(|name| CStr::from_bytes_with_nul(name).ok().map(CStr::to_owned)).collect())
}

/// An extended attribute; none where it is gone.
fn value(file: &OwnedFd, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    let mut bytes = vec![0; 65536];
    match fgetxattr(file, name, &mut bytes[..]) {
        Ok(length) => {
            bytes.truncate(length);
            Ok(Some(bytes))
        }
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error),
    }
}

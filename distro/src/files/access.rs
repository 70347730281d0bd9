//! Who can read a file, by its mode and those of the folders above it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;

use crate::accounts::User;
use crate::failure::io_fault;
use crate::{Look, files};

/// What keeps `user` from reading the file at `path`, in words: `/root has mode 0700, root:root`. None where nothing does, or where an access
/// list may let the user in. A user whom the host does not know yet has the rights that everybody has.
///
/// # Errors
/// Where the file is not there or cannot be looked at.
pub fn barred(look: &Look<'_>, path: &Path, user: &str) -> Result<Option<String>> {
    let real = std::fs::canonicalize(path).map_err(|error| io_fault(&error, "look at", path))?;
    let user = look.user(user)?;
    let mut above: Vec<&Path> = real.ancestors().collect();
    above.reverse();
    for part in above {
        let meta = std::fs::metadata(part).map_err(|error| io_fault(&error, "look at", part))?;
        let right = if part == real { 0o4 } else { 0o1 };
        if rights(look, &meta, user.as_ref())? & right == 0 && !has_access_list(part) {
            let (owner, group) = (look.user_name(meta.uid())?, look.group_name(meta.gid())?);
            let meta = files::Meta::new(meta.mode() & 0o7777, owner, group);
            return Ok(Some(format!("{} has mode {meta}", part.display())));
        }
    }
    Ok(None)
}

/// The three bits that count for `user`.
fn rights(look: &Look<'_>, meta: &std::fs::Metadata, user: Option<&User>) -> Result<u32> {
    let mode = meta.mode();
    let Some(user) = user else { return Ok(mode & 0o7) };
    if user.uid == 0 {
        return Ok(0o7);
    }
    if user.uid == meta.uid() {
        return Ok(mode >> 6 & 0o7);
    }
    let group = look.group(&look.group_name(meta.gid())?)?;
    Ok(if group.is_some_and(|group| user.is_in(&group)) { mode >> 3 & 0o7 } else { mode & 0o7 })
}

fn has_access_list(path: &Path) -> bool {
    rustix::fs::getxattr_query(path, "system.posix_acl_access").is_ok()
}

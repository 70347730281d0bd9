//! What all resources at a path have in common: mode and owner, what they wait for, and how files are taken back.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind, Meta, Seen};
use distro::{Class, Fault, Look};
use similar::TextDiff;

use crate::{Change, Claim, Cx, Probe, Undo, UndoCx, Undone};

/// Largest text that a diff is made of, in bytes.
const DIFF_BYTES: usize = 1 << 20;

/// What a resource at `path` wants for itself. All of them share one namespace, so that a file and a symlink at the same place are
/// found to be in conflict.
pub(crate) fn claim(path: &str, wants: impl Into<Vec<u8>>) -> Claim {
    Claim { thing: format!("file:{path}"), wants: wants.into() }
}

/// `probed`, unless what it needed to see is only for root.
pub(super) fn unless_hidden(cx: &Cx<'_>, what: &str, probed: Result<Probe>) -> Result<Probe> {
    match probed {
        Err(error) if !cx.host.root && Fault::class_of(&error) == Class::Permission => {
            Ok(Probe::Hidden(what.to_owned()))
        }
        probed => probed,
    }
}

/// Something that must be there first: the folder above `path`, the owner.
pub(super) fn awaited(cx: &Cx<'_>, path: &Path, meta: Option<&Meta>) -> Result<Option<Probe>> {
    let pending = |what: String| Ok(Some(Probe::Pending(what)));
    if let Some(folder) = files::missing_folder(path)? {
        return pending(format!("folder {}", folder.display()));
    }
    let Some(meta) = meta else { return Ok(None) };
    if cx.look.uid(&meta.owner)?.is_none() {
        return pending(format!("user {}", meta.owner));
    }
    if cx.look.gid(&meta.group)?.is_none() {
        return pending(format!("group {}", meta.group));
    }
    Ok(None)
}

/// The file at `path`, which a package has to bring, is not there.
///
/// # Errors
/// Class `package`, where that package is there: it does not bring the file again.
pub(super) fn missing(cx: &Cx<'_>, path: &str) -> Result<Probe> {
    let Some(package) = cx.look.package_without(path)? else { return Ok(Probe::Pending(format!("file {path}"))) };
    Err(Fault::new(Class::Package, format!("{path} is missing, although its package {package} is installed"))
        .evidence(["somebody removed it, and an upgrade or a second install of the package leaves it away".to_owned()])
        .advice(format!(
            "put it back from a backup, or as the package has it: `{}`",
            cx.host.packages().bring_again(&package)
        ))
        .into())
}

/// The change `attributes`, where mode or owner are not as wanted.
pub(super) fn attributes(path: &str, found: &Meta, wanted: &Meta) -> Option<Change> {
    if found == wanted {
        return None;
    }
    let mut parts = Vec::new();
    if found.mode != wanted.mode {
        parts.push(format!("mode {:04o} -> {:04o}", found.mode, wanted.mode));
    }
    if (&found.owner, &found.group) != (&wanted.owner, &wanted.group) {
        parts.push(format!("owner {}:{} -> {}:{}", found.owner, found.group, wanted.owner, wanted.group));
    }
    let Meta { mode, owner, group } = found.clone();
    let undo = Undo::RestoreAttributes { path: path.to_owned(), mode, owner, group };
    let wrote = Some(wanted.to_string().into_bytes());
    Some(Change { wrote, ..Change::new("attributes", parts.join(", "), undo) })
}

/// Unified diff with `context` lines around each change; none where it is no text.
pub(super) fn diff(path: &str, old: &[u8], new: &[u8], context: usize) -> Option<String> {
    let text = |bytes: &[u8]| bytes.len() <= DIFF_BYTES && !bytes.contains(&0);
    if !text(old) || !text(new) {
        return None;
    }
    let (old, new) = (std::str::from_utf8(old).ok()?, std::str::from_utf8(new).ok()?);
    Some(TextDiff::from_lines(old, new).unified_diff().context_radius(context).header(path, path).to_string())
}

/// A file or symlink was made: removed, unless somebody changed it since; with `--purge` in any case.
pub(crate) fn undo_remove(cx: &UndoCx<'_>, path: &str) -> Result<Undone> {
    let at = Path::new(path);
    let bytes = match files::stat(cx.look, at)?.map(|seen| seen.kind) {
        None => return Ok(Undone::Gone),
        Some(Kind::File) => files::read(at)?,
        Some(Kind::Symlink) => files::read_link(at)?.map(String::into_bytes),
        Some(Kind::Folder | Kind::Other) => return Ok(changed(path)),
    };
    match bytes {
        Some(bytes) if !cx.purge && !cx.is_ours(&bytes) => Ok(changed(path)),
        Some(_) if files::remove(at)? => Ok(Undone::Done(format!("removed {path}"))),
        _ => Ok(Undone::Gone),
    }
}

/// A file was changed or removed: its content, mode and owner are put back, unless somebody changed it since.
pub(crate) fn undo_restore(cx: &UndoCx<'_>, path: &str, original: &str, meta: &Meta) -> Result<Undone> {
    let at = Path::new(path);
    match files::stat(cx.look, at)? {
        // Where nothing was ever written, it was us who removed it; else somebody did since.
        None if !cx.wrote.is_empty() => return Ok(Undone::Gone),
        None => {
            if let Some(folder) = files::missing_folder(at)? {
                return Ok(Undone::Kept(format!("{path} is not put back: {} is gone", folder.display())));
            }
            files::replace(cx.look, at, &(cx.original)(original)?, &known(cx.look, meta, &Meta::root(meta.mode))?)?;
        }
        Some(Seen { kind: Kind::File, meta: found }) => {
            let original = (cx.original)(original)?;
            let current = files::read(at)?.unwrap_or_default();
            let meta = known(cx.look, meta, &found)?;
            if current == original && found == meta {
                return Ok(Undone::Gone);
            }
            if current != original && !cx.is_ours(&current) {
                return Ok(changed(path));
            }
            files::replace(cx.look, at, &original, &meta)?;
        }
        Some(_) => return Ok(changed(path)),
    }
    Ok(Undone::Done(format!("put the original of {path} back")))
}

/// Mode or owner was changed: they are put back, unless somebody changed them since, or they would open to others what stays in the file.
pub(crate) fn undo_attributes(cx: &UndoCx<'_>, path: &str, meta: &Meta) -> Result<Undone> {
    let at = Path::new(path);
    let Some(seen) = files::stat(cx.look, at)? else { return Ok(Undone::Gone) };
    let meta = known(cx.look, meta, &seen.meta)?;
    if seen.meta == meta {
        return Ok(Undone::Gone);
    }
    if !matches!(seen.kind, Kind::File | Kind::Folder) || !cx.is_ours(seen.meta.to_string().as_bytes()) {
        return Ok(Undone::Kept(format!("mode and owner of {path} were changed since; left as they are")));
    }
    if cx.content_stays && seen.kind == Kind::File && opens(&seen.meta, &meta) {
        return Ok(Undone::Kept(format!(
            "mode and owner of {path} stay: it goes on to hold what was put there, and {meta} would open that to others"
        )));
    }
    files::set_attributes(cx.look, at, &meta)?;
    Ok(Undone::Done(format!("set {path} back to {meta}")))
}

/// May others do with a file of `wanted` what they may not with one of `found`?
fn opens(found: &Meta, wanted: &Meta) -> bool {
    let of_group = if found.group == wanted.group { found.mode & 0o070 } else { 0 };
    found.owner != wanted.owner || wanted.mode & !(found.mode & 0o007 | of_group) & 0o077 != 0
}

/// What is kept because it is not as we left it.
pub(super) fn changed(what: impl std::fmt::Display) -> Undone {
    Undone::Kept(format!("{what} was changed since; left as it is"))
}

/// `meta`, with the owner or group of `other` in place of one that is gone.
fn known(look: &Look<'_>, meta: &Meta, other: &Meta) -> Result<Meta> {
    let owner = if look.uid(&meta.owner)?.is_some() { &meta.owner } else { &other.owner };
    let group = if look.gid(&meta.group)?.is_some() { &meta.group } else { &other.group };
    Ok(Meta::new(meta.mode, owner, group))
}

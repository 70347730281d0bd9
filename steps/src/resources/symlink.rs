//! A symlink.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind};
use serde_json::json;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// A symlink. What it points to need not be there.
#[derive(Clone, Debug)]
pub struct Symlink {
    /// Absolute path.
    pub path: String,
    /// What it points to: an absolute path, or one from its own folder.
    pub target: String,
    /// When it is its turn.
    pub stage: Stage,
}

impl Symlink {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = Path::new(&self.path);
        if let Some(pending) = paths::awaited(cx, path, None)? {
            return Ok(pending);
        }
        let wrote = Some(self.target.clone().into_bytes());
        let change = match files::read_link(path)? {
            Some(found) if found == self.target => return Ok(Probe::InPlace(json!({ "target": found }))),
            Some(found) => {
                let summary = format!("point to {} (was {found})", self.target);
                let undo = Undo::RestoreSymlink { path: self.path.clone(), target: found };
                Change { wrote, ..Change::new("target", summary, undo) }
            }
            None => {
                let undo = Undo::RemoveFile { path: self.path.clone() };
                Change { wrote, ..Change::new("target", format!("create, to {}", self.target), undo) }
            }
        };
        Ok(Probe::Changes(vec![change]))
    }
}

impl Resource for Symlink {
    fn sort(&self) -> &'static str {
        "symlink"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        vec![paths::claim(&self.path, format!("symlink {}", self.target))]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        files::symlink(Path::new(&self.path), &self.target)
    }
}

/// A symlink was changed or removed: it points again to what it did, unless somebody changed it since.
pub(crate) fn undo_restore(cx: &UndoCx<'_>, path: &str, target: &str) -> Result<Undone> {
    let at = Path::new(path);
    match files::stat(cx.look, at)?.map(|seen| seen.kind) {
        // Where nothing was ever written, it was us who removed it; else somebody did since.
        None if !cx.wrote.is_empty() => return Ok(Undone::Gone),
        None => {
            if let Some(folder) = files::missing_folder(at)? {
                return Ok(Undone::Kept(format!("{path} is not put back: {} is gone", folder.display())));
            }
        }
        Some(Kind::Symlink) => {
            let found = files::read_link(at)?.unwrap_or_default();
            if found == target {
                return Ok(Undone::Gone);
            }
            if !cx.is_ours(found.as_bytes()) {
                return Ok(paths::changed(path));
            }
        }
        Some(_) => return Ok(paths::changed(path)),
    }
    files::symlink(at, target)?;
    Ok(Undone::Done(format!("{path} points to {target} again")))
}

//! A folder with mode and owner.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind, Meta, Removal};
use distro::{Class, Fault};
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// A folder. The one above must be there.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Absolute path.
    pub path: String,
    /// Mode and owner.
    pub meta: Meta,
    /// Will it hold data of the user, kept at uninstall unless `--purge`?
    pub data: bool,
    /// When it is its turn.
    pub stage: Stage,
}

impl Directory {
    /// A folder of root's that everybody may list, in stage configure.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), meta: Meta::root(0o755), data: false, stage: Stage::Configure }
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = Path::new(&self.path);
        if let Some(pending) = paths::awaited(cx, path, Some(&self.meta))? {
            return Ok(pending);
        }
        let Some(seen) = files::stat(cx.look, path)? else {
            let undo = Undo::RemoveFolder { path: self.path.clone() };
            let create = Change::new("folder", format!("create, {}", self.meta), undo);
            return Ok(Probe::Changes(vec![Change { data: self.data, ..create }]));
        };
        match seen.kind {
            Kind::Folder => {}
            Kind::Symlink => {
                let target = files::read_link(path)?.unwrap_or_default();
                let message = format!("{} is a symlink to {target}; somebody decided that", self.path);
                return Err(Fault::new(Class::Conflict, message)
                    .advice(format!("remove the symlink (a bind mount can stay), or let the blueprint name {target}"))
                    .into());
            }
            Kind::File | Kind::Other => {
                return Err(Fault::new(Class::Conflict, format!("{} is not a folder", self.path))
                    .advice("move it away, then run again with --resume")
                    .into());
            }
        }
        Ok(match paths::attributes(&self.path, &seen.meta, &self.meta) {
            Some(change) => Probe::Changes(vec![change]),
            None => Probe::InPlace(Value::Null),
        })
    }
}

impl Resource for Directory {
    fn sort(&self) -> &'static str {
        "directory"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        vec![paths::claim(&self.path, format!("folder {}", self.meta))]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        files::make_dir(cx.look, Path::new(&self.path), &self.meta)
    }
}

/// A folder was made: removed where it is empty, and with everything in it where it is data and `--purge` was given.
pub(crate) fn undo_remove(cx: &UndoCx<'_>, path: &str) -> Result<Undone> {
    let at = Path::new(path);
    if files::stat(cx.look, at)?.is_some_and(|seen| seen.kind != Kind::Folder) {
        return Ok(paths::changed(path));
    }
    let removal = if cx.purge_data { files::remove_tree(at)? } else { files::remove_dir_if_empty(at)? };
    Ok(match removal {
        Removal::Done => Undone::Done(format!("removed {path}")),
        Removal::Gone => Undone::Gone,
        Removal::NotEmpty => Undone::Kept(format!("{path} is not empty")),
        Removal::Mounted(mounted) => Undone::Kept(format!("{path}: something is mounted at {}", mounted.display())),
    })
}

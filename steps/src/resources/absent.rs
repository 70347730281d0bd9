//! A file, folder or symlink that must not be there.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind, Meta, Removal, Seen};
use distro::{Class, Fault};
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// Nothing at a path. A folder is removed where it is empty, else it is a conflict.
#[derive(Clone, Debug)]
pub struct Absent {
    /// Absolute path.
    pub path: String,
    /// When it is its turn.
    pub stage: Stage,
}

impl Absent {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let at = Path::new(&self.path);
        let path = self.path.clone();
        let Some(Seen { kind, meta }) = files::stat(cx.look, at)? else { return Ok(Probe::InPlace(Value::Null)) };
        let change = match kind {
            Kind::File => {
                let Meta { mode, owner, group } = meta;
                let undo = Undo::RestoreFile { path, original: String::new(), mode, owner, group };
                Change { original: files::read(at)?, ..Change::new("absent", "remove", undo) }
            }
            Kind::Symlink => {
                let target = files::read_link(at)?.unwrap_or_default();
                let summary = format!("remove the symlink to {target}");
                Change::new("absent", summary, Undo::RestoreSymlink { path, target })
            }
            Kind::Folder => {
                let why = format!("{path} was an empty folder, {meta}");
                Change::new("absent", "remove, where it is empty", Undo::Kept { why })
            }
            Kind::Other => {
                return Err(Fault::new(Class::Conflict, format!("{path} is a device, a pipe or a socket"))
                    .advice("find out who uses it, remove it, then run again with --resume")
                    .into());
            }
        };
        Ok(Probe::Changes(vec![change]))
    }
}

impl Resource for Absent {
    fn sort(&self) -> &'static str {
        "absent"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        vec![paths::claim(&self.path, "absent")]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        let path = Path::new(&self.path);
        if files::stat(cx.look, path)?.is_none_or(|seen| seen.kind != Kind::Folder) {
            return files::remove(path).map(drop);
        }
        let why = match files::remove_dir_if_empty(path)? {
            Removal::Done | Removal::Gone => return Ok(()),
            Removal::NotEmpty => "is not empty",
            Removal::Mounted(_) => "is a mount point",
        };
        Err(Fault::new(Class::Conflict, format!("the folder {} {why}, and what is in it is not ours", self.path))
            .advice("move away what is in it, then run again with --resume")
            .into())
    }
}

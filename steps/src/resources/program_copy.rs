//! This program at a path where units find it, wherever the one that runs was started from.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use distro::{Class, Fault};

use super::file::File;
use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A copy of the program that runs.
#[derive(Clone, Debug)]
pub struct ProgramCopy {
    /// Absolute path.
    pub path: String,
}

impl ProgramCopy {
    fn file(&self) -> Result<File> {
        // Also there where the file was removed or replaced since it was started.
        let content = std::fs::read("/proc/self/exe").map_err(|error| {
            Fault::new(Class::Host, format!("the program that runs cannot be read: {error}"))
                .advice("see that /proc is mounted")
        })?;
        let meta = Meta::root(0o755);
        Ok(File { meta, sensitive: true, ..File::new(self.path.clone(), content) })
    }
}

impl Resource for ProgramCopy {
    fn sort(&self) -> &'static str {
        "program"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        // Products that different versions installed are in no conflict: the last is the one that stays.
        vec![paths::claim(&self.path, "this program")]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let (file, path) = (self.file()?, Path::new(&self.path));
        // The digest of so large a file takes longer than comparing it.
        if files::stat(cx.look, path)?.is_some_and(|seen| seen.meta == file.meta)
            && files::read(path)?.as_ref() == Some(&file.content)
        {
            return Ok(Probe::InPlace(serde_json::Value::Null));
        }
        file.probe(cx)
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.file()?.apply(cx, changes)
    }
}

//! Who may read a file that somebody else brings, and who owns it.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// Mode and owner of a file that is there; what it holds is nobody's business here.
#[derive(Debug)]
pub struct FileAttributes {
    /// Absolute path.
    pub path: String,
    /// Mode and owner.
    pub meta: Meta,
    /// When it is its turn.
    pub stage: Stage,
}

impl FileAttributes {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = Path::new(&self.path);
        if let Some(pending) = paths::awaited(cx, path, Some(&self.meta))? {
            return Ok(pending);
        }
        let Some(seen) = files::stat(cx.look, path)? else {
            return paths::missing(cx, &self.path);
        };
        Ok(match paths::attributes(&self.path, &seen.meta, &self.meta) {
            None => Probe::InPlace(Value::Null),
            Some(change) => Probe::Changes(vec![change]),
        })
    }
}

impl Resource for FileAttributes {
    fn sort(&self) -> &'static str {
        "attributes"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        vec![Claim { thing: format!("attributes:{}", self.path), wants: self.meta.to_string().into_bytes() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        files::set_attributes(cx.look, Path::new(&self.path), &self.meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn a_file_of_somebodys_is_closed_and_opened_again() {
        let trial = Trial::new();
        let wanted = || FileAttributes { path: trial.at("a"), meta: trial.meta(0o640), stage: Stage::Configure };
        assert!(matches!(trial.probe(&wanted()).unwrap(), Probe::Pending(what) if what.ends_with("/a")));
        trial.with(|cx| trial.file("a", "somebody's", 0o644).apply(cx, &[])).unwrap();
        let changes = trial.bring(&wanted());
        assert_eq!(changes[0].summary, "mode 0644 -> 0640");
        assert_eq!((trial.mode("a"), trial.read("a")), (0o640, "somebody's".to_owned()));
        trial.undo(&changes, false);
        assert_eq!(trial.mode("a"), 0o644);
    }
}

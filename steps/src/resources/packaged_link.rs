//! A symlink that a package makes to a configuration file of its own, as a default that is in the way.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind};
use serde_json::Value;

use super::absent::Absent;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A symlink that must not be there as long as it is the package's own. Where somebody put something else there, or changed the file
/// that it points to, it is somebody's, and stays.
#[derive(Clone, Debug)]
pub struct PackagedLink {
    /// Absolute path.
    pub path: String,
    /// What the package lets it point to: a configuration file of a package.
    pub target: String,
    /// Package whose file that is.
    pub owner: String,
}

impl PackagedLink {
    fn absent(&self) -> Absent {
        Absent { path: self.path.clone(), stage: Stage::Configure }
    }

    /// Is there the symlink that the package made, to the file that the package brought?
    fn is_the_packages(&self, cx: &Cx<'_>) -> Result<bool> {
        let path = Path::new(&self.path);
        let is_link = files::stat(cx.look, path)?.is_some_and(|seen| seen.kind == Kind::Symlink);
        if !is_link || files::read_link(path)?.as_deref() != Some(&self.target) {
            return Ok(false);
        }
        // Only asked while the link is there: it costs the digest of each file of the package.
        Ok(!cx.host.packages().is_changed(cx.host, &self.owner, &self.target)?)
    }
}

impl Resource for PackagedLink {
    fn sort(&self) -> &'static str {
        "absent"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        self.absent().claims()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.look.is_installed(&self.owner)? {
            return Ok(Probe::Pending(format!("package {}", self.owner)));
        }
        if self.is_the_packages(cx)? { self.absent().probe(cx) } else { Ok(Probe::InPlace(Value::Null)) }
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.absent().apply(cx, changes)
    }
}

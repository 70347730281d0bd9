//! A default that a package brings, and that is in the way.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind, Seen};
use serde_json::Value;

use super::absent::Absent;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A configuration file that must not be there as long as it is the package's own, or the symlink to one. Where somebody put something
/// else there, or changed the file, it is somebody's, and stays.
#[derive(Clone, Debug)]
pub struct PackagedDefault {
    /// Absolute path.
    pub path: String,
    /// The configuration file of a package that it is, or that it points to.
    pub file: String,
    /// Package that is there by the time that it is.
    pub package: String,
}

impl PackagedDefault {
    fn absent(&self) -> Absent {
        Absent { path: self.path.clone(), stage: Stage::Configure }
    }

    fn is_the_packages(&self, cx: &Cx<'_>) -> Result<bool> {
        let path = Path::new(&self.path);
        let is_it = match files::stat(cx.look, path)? {
            Some(Seen { kind: Kind::Symlink, .. }) => files::read_link(path)?.as_deref() == Some(&self.file),
            Some(Seen { kind: Kind::File, .. }) => self.path == self.file,
            _ => false,
        };
        // Only asked while it is there: it costs the digest of each file of the package.
        Ok(is_it && cx.host.packages().is_as_packaged(cx.host, &self.file)?)
    }
}

impl Resource for PackagedDefault {
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
        if !cx.look.is_installed(&self.package)? {
            return Ok(Probe::Pending(format!("package {}", self.package)));
        }
        if self.is_the_packages(cx)? { self.absent().probe(cx) } else { Ok(Probe::InPlace(Value::Null)) }
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.absent().apply(cx, changes)
    }
}

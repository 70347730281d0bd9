//! A default that a package brings, and that is in the way.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind, Seen};
use distro::nginx::{Config, Server};
use serde_json::{Value, json};

use super::absent::Absent;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A site that must not be there as long as its file is the package's own, or the symlink to that. Where somebody put something
/// else there, or changed the file, it is somebody's, and stays; and so does one that is served already, on other ports than ours.
#[derive(Clone, Debug)]
pub struct PackagedDefault {
    /// Absolute path.
    pub path: String,
    /// The configuration file of a package that it is, or that it points to.
    pub file: String,
    /// Package that is there by the time that it is.
    pub package: String,
    /// Unit that serves it.
    pub unit: String,
    /// Ports of the site that it makes way for.
    pub ports: Vec<u16>,
}

/// Do `servers` of a package's own stay, since `unit` serves them and none is on one of `ports`? One that was never served goes: its port may be that of
/// another program. What was found to stay does so, too, while the unit is stopped.
pub(super) fn stays(cx: &Cx<'_>, unit: &str, servers: &[Server], ports: &[u16]) -> Result<bool> {
    if servers.iter().any(|server| server.ports.iter().any(|port| ports.contains(port))) {
        return Ok(false);
    }
    let found = cx.memory.seen(cx.id).is_some_and(|seen| seen["stays"] == true);
    Ok(found || cx.look.unit(unit)?.active)
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

    fn units(&self) -> Vec<String> {
        vec![self.unit.clone()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.look.is_installed(&self.package)? {
            return Ok(Probe::Pending(format!("package {}", self.package)));
        }
        if !self.is_the_packages(cx)? {
            return Ok(Probe::InPlace(Value::Null));
        }
        let text = files::read(Path::new(&self.file))?.unwrap_or_default();
        let servers = Config::read(&String::from_utf8_lossy(&text)).servers;
        if stays(cx, &self.unit, &servers, &self.ports)? {
            return Ok(Probe::InPlace(json!({ "stays": true })));
        }
        self.absent().probe(cx)
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.absent().apply(cx, changes)
    }
}

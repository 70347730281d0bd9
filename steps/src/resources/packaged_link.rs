//! A symlink that a package makes to a configuration file of its own, as a default that is in the way.

use std::path::Path;

use anyhow::Result;
use distro::files::{self, Kind};
use distro::{Class, Command};
use serde_json::Value;

use super::absent::Absent;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A symlink that must not be there as long as it is the package's own. Where somebody put something else there, or changed the file
/// that it points to, it is somebody's, and stays.
#[derive(Clone, Debug)]
pub struct PackagedLink {
    /// Absolute path.
    pub path: String,
    /// What the package lets it point to: a configuration file that dpkg knows.
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
        // Only asked while the link is there: dpkg compares the digest that it keeps of each of its files.
        let output = Command::new("dpkg").args(["--verify", &self.owner]).output(&cx.host.runner)?;
        // Exits with 1 where it found a difference.
        if !matches!(output.ran.exit, Some(0 | 1)) {
            return Err(output
                .fault(Class::Package, format!("dpkg does not say whether files of {} were changed", self.owner))
                .advice(format!("see what `dpkg --verify {}` says", self.owner))
                .into());
        }
        Ok(!is_changed(&output.stdout, &self.target))
    }
}

/// Does a line of `dpkg --verify` name `path`? (`??5?????? c /etc/x`, or `missing   c /etc/x`)
fn is_changed(verified: &str, path: &str) -> bool {
    verified.lines().any(|line| line.split_once(" c ").is_some_and(|(_, named)| named.trim_start() == path))
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
        if !cx.look.dpkg()?.is_installed(&self.owner) {
            return Ok(Probe::Pending(format!("package {}", self.owner)));
        }
        if self.is_the_packages(cx)? { self.absent().probe(cx) } else { Ok(Probe::InPlace(Value::Null)) }
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.absent().apply(cx, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dpkg_says_of_changed_files() {
        let path = "/etc/nginx/sites-available/default";
        for (said, changed) in [
            ("", false),
            ("??5?????? c /etc/nginx/sites-available/default\n", true),
            ("missing   c /etc/nginx/sites-available/default\n", true),
            ("??5?????? c /etc/nginx/nginx.conf\n", false),
            ("??5?????? c /etc/nginx/sites-available/default.old\n", false),
        ] {
            assert_eq!(is_changed(said, path), changed, "{said}");
        }
    }
}

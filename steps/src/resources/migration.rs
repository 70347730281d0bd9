//! What data and configuration need when a package comes from an older version.
//!
//! After the upgrade the package does not tell any more which version it came from. So that is written down before, in a file that is removed
//! when the migration is done: whatever is killed in between, the file is there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use distro::files::{self, Meta};
use distro::{Class, Fault};
use serde_json::Value;

use super::edit::{self, Spot};
use super::packages::is_older;
use super::paths;
use crate::{Change, Claim, Cx, KeyFormat, Probe, Resource, Stage, Undo};

/// Where surefoot keeps what it remembers.
const FOLDER: &str = "/var/lib/surefoot";

/// The first version of a package that needs something of who comes from an older one.
#[derive(Clone, Debug)]
pub struct Since {
    /// Name of the package.
    pub package: String,
    /// That version.
    pub version: String,
}

impl Since {
    /// Is `version` before it?
    pub fn is_before(&self, version: &str) -> bool {
        is_older(version, &self.version)
    }

    /// The version that is there, where it is an older one.
    fn older(&self, cx: &Cx<'_>) -> Result<Option<String>> {
        let found = cx.look.package(&self.package)?.filter(distro::packages::Package::is_installed);
        Ok(found.map(|package| package.version).filter(|version| self.is_before(version)))
    }

    fn mark(&self) -> PathBuf {
        Path::new(FOLDER).join(format!(".upgrade-{}-{}", self.package, self.version))
    }

    fn key(&self) -> String {
        format!("{} {}", self.package, self.version)
    }
}

/// The note that an older version was there, made before the package is upgraded.
#[derive(Debug)]
pub struct UpgradeMark {
    /// Which upgrade.
    pub since: Since,
}

impl Resource for UpgradeMark {
    fn sort(&self) -> &'static str {
        "upgrade_mark"
    }

    fn key(&self) -> String {
        self.since.key()
    }

    fn stage(&self) -> Stage {
        Stage::Prepare
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = self.since.mark();
        let look = || {
            let Some(found) = self.since.older(cx)? else { return Ok(Probe::InPlace(Value::Null)) };
            if files::stat(cx.look, &path)?.is_some() {
                return Ok(Probe::InPlace(Value::Null));
            }
            let Since { package, version } = &self.since;
            let summary = format!("write down that {package} {found} is older than {version}");
            let change = Change::new("mark", summary, Undo::RemoveFile { path: path.display().to_string() });
            Ok(Probe::Changes(vec![Change { wrote: Some(Vec::new()), ..change }]))
        };
        paths::unless_hidden(cx, &path.display().to_string(), look())
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        files::replace(cx.look, &self.since.mark(), b"", &Meta::root(0o600))
    }
}

/// A command that is run once after an upgrade.
#[derive(Debug)]
pub struct Migration {
    /// Which upgrade.
    pub since: Since,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How long it may take.
    pub limit: Duration,
}

impl Resource for Migration {
    fn sort(&self) -> &'static str {
        "migration"
    }

    fn key(&self) -> String {
        self.since.key()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = self.since.mark();
        let look = || {
            if self.since.older(cx)?.is_none() && files::stat(cx.look, &path)?.is_none() {
                return Ok(Probe::InPlace(Value::Null));
            }
            let (what, Since { package, version }) = (self.command.join(" "), &self.since);
            let why = format!("'{what}' was run, and nothing is known that takes it back");
            let summary = format!("run '{what}', which {package} wants from {version} on");
            Ok(Probe::Changes(vec![Change::new("run", summary, Undo::Kept { why })]))
        };
        paths::unless_hidden(cx, &path.display().to_string(), look())
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        if let Some((program, args)) = self.command.split_first() {
            let command = distro::Command::new(program).args(args.iter().cloned()).limit(self.limit);
            command.run(&cx.host.runner, Class::Host, &format!("running '{}'", self.command.join(" ")))?;
        }
        files::remove(&self.since.mark()).map(drop)
    }
}

/// Keys of an INI file that a newer version does not read any more.
#[derive(Debug)]
pub struct OutdatedKeys {
    /// Which upgrade.
    pub since: Since,
    /// Absolute path of the file.
    pub path: String,
    /// Section.
    pub section: String,
    /// Names of the keys.
    pub names: Vec<String>,
    /// What to write in their place.
    pub instead: String,
}

impl OutdatedKeys {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(found) = self.since.older(cx)? else { return Ok(Probe::InPlace(Value::Null)) };
        let text = files::read(Path::new(&self.path))?.unwrap_or_default();
        let spot = |key| Spot { format: KeyFormat::Ini, section: &self.section, key, repeat: false };
        let set: Vec<&str> =
            self.names.iter().map(String::as_str).filter(|key| edit::value(&text, spot(key)).is_some()).collect();
        if set.is_empty() {
            return Ok(Probe::InPlace(Value::Null));
        }
        let (keys, Since { package, version }) = (set.join(", "), &self.since);
        let message = format!("{package} {version} does not read [{}] {keys} of {} any more", self.section, self.path);
        Err(Fault::new(Class::Conflict, message)
            .evidence([format!("{package} {found} is installed")])
            .advice(format!("{}, then run it again", self.instead))
            .into())
    }
}

impl Resource for OutdatedKeys {
    fn sort(&self) -> &'static str {
        "outdated_keys"
    }

    fn key(&self) -> String {
        format!("{} [{}] {}", self.path, self.section, self.names.join(" "))
    }

    fn stage(&self) -> Stage {
        Stage::Prepare
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn keys_that_a_newer_version_does_not_read_are_told_to_who_comes_from_an_older_one() {
        let trial = Trial::new();
        trial.write("a.conf", "[database]\n# ssl_certfile = /c\nssl_keyfile = /k\n[other]\nssl_certfile = /c\n");
        // The lab's machines are Debian's.
        let keys = |version: &str, names: &[&str]| OutdatedKeys {
            since: Since { package: "dpkg".to_owned(), version: version.to_owned() },
            path: trial.at("a.conf"),
            section: "database".to_owned(),
            names: names.iter().map(ToString::to_string).collect(),
            instead: "set new".to_owned(),
        };
        let error = trial.probe(&keys("999", &["ssl_keyfile", "ssl_certfile"])).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!((fault.class, fault.advice.as_str()), (Class::Conflict, "set new, then run it again"));
        assert!(fault.message.starts_with("dpkg 999 does not read [database] ssl_keyfile of /"), "{}", fault.message);
        for fine in [keys("999", &["ssl_certfile"]), keys("0.1", &["ssl_keyfile"])] {
            assert!(matches!(trial.probe(&fine), Ok(Probe::InPlace(_))), "{fine:?}");
        }
    }
}

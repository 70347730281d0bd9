//! `migration`: what data and configuration need when a package comes from an older version.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;
use super::value::{AbsolutePath, refused};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::migration::{Migration, OutdatedKeys, Since, UpgradeMark};

/// What has to be done when a package comes from a version before `version` to it or a later one: a command that is run once, keys that have to
/// be replaced by hand. With a new installation there is nothing to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Package whose version counts.
    package: String,
    /// First version that needs it: `3.8`.
    version: String,
    /// Version or series that is installed. Where that is an older one than `version`, there is nothing to do.
    to: String,
    /// Program and arguments, run once when the package is upgraded and before what follows in the blueprint. One that was interrupted is run
    /// again, and has to come to the same then.
    #[serde(default)]
    command: Vec<String>,
    /// How long the command may take, 1 h where it is not given.
    limit: Option<Span>,
    /// Keys that the version does not read any more. Where they are set, nothing is touched before they are replaced.
    keys: Option<Keys>,
}

/// Keys of an INI file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Keys {
    /// Absolute path of the file.
    path: AbsolutePath,
    /// Section.
    section: String,
    /// Names of the keys.
    names: Vec<String>,
    /// What to write in their place, for people.
    instead: String,
}

impl Kind for Settings {
    const NAME: &'static str = "migration";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if self.command.is_empty() == self.keys.is_none() {
            return Err(refused(cx, "give one of 'command' and 'keys'").into());
        }
        if !self.version.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(refused(cx, format!("'version' is '{}', which is no version", self.version)).into());
        }
        let since = Since { package: self.package, version: self.version };
        if since.is_before(&self.to) {
            return Ok(Vec::new());
        }
        Ok(match self.keys {
            Some(Keys { path, section, names, instead }) => {
                vec![Box::new(OutdatedKeys { since, path: path.0, section, names, instead })]
            }
            None => {
                let limit = self.limit.map_or(std::time::Duration::from_secs(3600), |span| span.0);
                vec![
                    Box::new(UpgradeMark { since: since.clone() }),
                    Box::new(Migration { since, command: self.command, limit }),
                ]
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names};

    #[test]
    fn what_a_step_expands_to() {
        let expand = |to: &str, more: serde_json::Value| {
            let mut settings = json!({"package": "st2", "version": "3.8", "to": to});
            settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Step::new("m").expand::<Settings>(settings)
        };
        let command = || json!({"command": ["/opt/migrate", "--yes"]});
        let keys = json!({"keys": {"path": "/etc/a.conf", "section": "s", "names": ["old"], "instead": "new"}});
        assert_eq!(names(&expand("3.9", command()).unwrap()), ["upgrade_mark st2 3.8", "migration st2 3.8"]);
        assert_eq!(names(&expand("3.8.1", keys).unwrap()), ["outdated_keys /etc/a.conf [s] old"]);
        assert!(expand("3.7", command()).unwrap().is_empty());
        assert!(expand("3.10", command()).is_ok_and(|resources| resources.len() == 2));
        for (settings, wanted) in [
            (json!({}), "give one of 'command' and 'keys'"),
            (json!({"version": "x", "command": ["a"]}), "'version' is 'x', which is no version"),
        ] {
            assert_eq!(expand("3.9", settings).unwrap_err().to_string(), format!("step 'm': {wanted}"));
        }
    }
}

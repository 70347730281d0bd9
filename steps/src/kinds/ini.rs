//! `ini`: keys in sections of an INI file.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::attributes::{Attributes, with_keys};
use super::value::{AbsolutePath, Line, Turn, refused};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::ini::Ini;

/// Keys of an INI file that is there, or that a package brings. Comments, order and everything else in it stay as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path of the file.
    path: AbsolutePath,
    /// Values by section and key. The section "" is what comes before the first one.
    set: BTreeMap<String, BTreeMap<String, Line>>,
    /// Keys, as `section.key`, that are left as they are where their value comes out empty.
    #[serde(default)]
    optional: Vec<String>,
    /// Permission bits, owner and group that the file is given before anything is written into it. Without them: as they are; no secret is put into a file that
    /// everybody can read then.
    attributes: Option<Attributes>,
    /// Must the values not be shown, although none of the inputs' secrets is in them?
    #[serde(default)]
    sensitive: bool,
    /// When they are set.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "ini";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let mut resources: Vec<(Box<dyn Resource>, bool)> = Vec::new();
        let (path, stage) = (&self.path.0, self.stage.into());
        if self.set.values().all(BTreeMap::is_empty) {
            return Err(refused(cx, "'set' names no key").into());
        }
        let has = |name: &String| {
            self.set.iter().any(|(section, keys)| keys.keys().any(|key| format!("{section}.{key}") == *name))
        };
        if let Some(wrong) = self.optional.iter().find(|name| !has(name)) {
            return Err(refused(cx, format!("'optional': 'set' has no key '{wrong}'")).into());
        }
        for (section, keys) in self.set {
            if section.trim() != section || section.contains(['[', ']']) || section.contains(char::is_control) {
                return Err(refused(cx, format!("'{}' cannot be a section", section.escape_debug())).into());
            }
            for (key, Line(value)) in keys {
                if key.is_empty()
                    || key.trim() != key
                    || key.starts_with(['#', ';', '['])
                    || key.contains(['=', ':'])
                    || key.contains(char::is_control)
                {
                    return Err(refused(cx, format!("'{}' cannot be a key", key.escape_debug())).into());
                }
                if value.is_empty() && self.optional.contains(&format!("{section}.{key}")) {
                    continue;
                }
                let (path, section, secret) = (path.clone(), section.clone(), cx.is_secret(&value));
                let sensitive = self.sensitive || secret;
                resources.push((Box::new(Ini { path, section, key, value, sensitive, stage }), secret));
            }
        }
        with_keys(cx, path, self.attributes, resources, stage)
    }
}

//! `ini`: keys in sections of an INI file.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::file::owned;
use super::value::{AbsolutePath, Line, Mode, Owner, Turn, refused};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::file_attributes::FileAttributes;
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
    /// Permission bits, owner and group that the file is given before anything is written into it. Without them: as they are.
    attributes: Option<Attributes>,
    /// Must the values not be shown, although none of the inputs' secrets is in them?
    #[serde(default)]
    sensitive: bool,
    /// When they are set.
    #[serde(default)]
    stage: Turn,
}

/// Who may read a file, and who owns it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Attributes {
    /// Permission bits.
    mode: Mode,
    /// Owner, root where it is not given.
    owner: Option<Owner>,
    /// Group, the one with the owner's name where it is not given.
    group: Option<Owner>,
}

impl Kind for Settings {
    const NAME: &'static str = "ini";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let mut resources: Vec<Box<dyn Resource>> = Vec::new();
        let (path, stage) = (&self.path.0, self.stage.into());
        if let Some(Attributes { mode, owner, group }) = self.attributes {
            resources.push(Box::new(FileAttributes { path: path.clone(), meta: owned(mode, owner, group), stage }));
        }
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
                resources.push(Box::new(Ini {
                    path: path.clone(),
                    section: section.clone(),
                    key,
                    sensitive: self.sensitive || cx.is_secret(&value),
                    value,
                    stage,
                }));
            }
        }
        Ok(resources)
    }
}

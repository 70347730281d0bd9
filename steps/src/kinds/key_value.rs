//! `key_value`: keys of a configuration file without sections.

use std::collections::BTreeMap;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::attributes::{Attributes, with_keys};
use super::value::{AbsolutePath, Line, Turn, refused};
use super::{Context, Kind};
use crate::resources::key_value::KeyValue;
use crate::{KeyFormat, Resource};

/// Keys of a configuration file without sections that is there, or that a package brings. A key that is new to it comes last.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path of the file.
    path: AbsolutePath,
    /// How the file is written.
    format: Written,
    /// Values by key; of several lines for one key the last is changed.
    #[serde(default)]
    set: BTreeMap<String, Line>,
    /// Lines that have to be there besides others with the same key: values by key (`include`).
    #[serde(default)]
    add: BTreeMap<String, Vec<Line>>,
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

/// How a file without sections is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Written {
    /// `KEY=value`, quoted for a shell, as in /etc/default.
    Env,
    /// `key value`, taken as it is, as in redis.conf.
    Space,
    /// Nested `key: value` lines, as in mongod.conf; a key is named by its whole path, such as `net.bindIp`.
    Yaml,
}

impl Settings {
    fn one(&self, key: String, Line(value): Line, repeat: bool, cx: &dyn Context) -> Result<(Box<dyn Resource>, bool)> {
        let (format, valid) = match self.format {
            Written::Env => {
                let word = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                (KeyFormat::Env, word && !key.starts_with(|first: char| first.is_ascii_digit()))
            }
            Written::Space => {
                let word = !key.contains(|c: char| c.is_whitespace() || c.is_control());
                (KeyFormat::Space, word && !key.starts_with('#'))
            }
            Written::Yaml => {
                let plain = |part: &str| {
                    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
                };
                (KeyFormat::Yaml, key.split('.').all(plain))
            }
        };
        if key.is_empty() || !valid {
            return Err(refused(cx, format!("'{}' cannot be a key", key.escape_debug())).into());
        }
        if repeat && format == KeyFormat::Yaml {
            return Err(refused(cx, format!("'add' has '{key}', and no key of a yaml file can be there twice"))
                .advice("use 'set'")
                .into());
        }
        let secret = cx.is_secret(&value);
        let sensitive = self.sensitive || secret;
        if repeat && sensitive {
            return Err(refused(cx, format!("'add' has a secret for '{key}'"))
                .advice("a value below 'add' is shown as part of the step's name: use 'set'")
                .into());
        }
        let path = self.path.0.clone();
        Ok((Box::new(KeyValue { path, format, key, value, repeat, sensitive, stage: self.stage.into() }), secret))
    }
}

impl Kind for Settings {
    const NAME: &'static str = "key_value";

    fn expand(mut self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let (set, add) = (std::mem::take(&mut self.set), std::mem::take(&mut self.add));
        let attributes = self.attributes.take();
        if set.is_empty() && add.is_empty() {
            return Err(refused(cx, "neither 'set' nor 'add' names a key").into());
        }
        if let Some(key) = add.keys().find(|key| set.contains_key(*key)) {
            return Err(refused(cx, format!("'{key}' is in both 'set' and 'add'")).into());
        }
        let set = set.into_iter().map(|(key, value)| self.one(key, value, false, cx));
        let lines = add.into_iter().flat_map(|(key, values)| values.into_iter().map(move |value| (key.clone(), value)));
        let keys: Result<Vec<_>> = set.chain(lines.map(|(key, value)| self.one(key, value, true, cx))).collect();
        with_keys(cx, &self.path.0, attributes, keys?, self.stage.into())
    }
}

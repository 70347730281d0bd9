//! `readable`: a file that somebody else brings and that a user has to be able to read.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{Owner, refused};
use super::{Context, Kind};
use crate::Resource;
use crate::resources::readable::Readable;

/// A file that is there already and that a user has to be able to read. It is only looked at, before anything is touched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path. Empty: none.
    path: String,
    /// User. One whom a package is still to make has the rights that everybody has.
    user: Owner,
}

impl Kind for Settings {
    const NAME: &'static str = "readable";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if self.path.is_empty() {
            return Ok(Vec::new());
        }
        if !self.path.starts_with('/') {
            return Err(refused(cx, format!("'path' is not an absolute path: '{}'", self.path)).into());
        }
        Ok(vec![Box::new(Readable { path: self.path, user: self.user.0 })])
    }
}

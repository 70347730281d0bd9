//! Who may read a file that is edited by key, and who owns it.

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Context;
use super::file::{is_closed, owned};
use super::value::{Mode, Owner};
use crate::resources::file_attributes::FileAttributes;
use crate::resources::private::Private;
use crate::{Resource, Stage};

/// Who may read a file, and who owns it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Attributes {
    /// Permission bits.
    mode: Mode,
    /// Owner, root where it is not given.
    owner: Option<Owner>,
    /// Group, the one with the owner's name where it is not given.
    group: Option<Owner>,
}

/// The keys of the file at `path`, each with whether its value is a secret, after what closes the file.
///
/// # Errors
/// Class `blueprint`, where `attributes` let everybody read a secret.
pub(super) fn with_keys(
    cx: &dyn Context,
    path: &str,
    attributes: Option<Attributes>,
    keys: Vec<(Box<dyn Resource>, bool)>,
    stage: Stage,
) -> Result<Vec<Box<dyn Resource>>> {
    let Some(Attributes { mode, owner, group }) = attributes else {
        // Whether others can read it, the host alone knows.
        let private = |key| -> Box<dyn Resource> { Box::new(Private { inner: key, path: path.to_owned() }) };
        return Ok(keys.into_iter().map(|(key, secret)| if secret { private(key) } else { key }).collect());
    };
    if keys.iter().any(|(_, secret)| *secret) {
        is_closed(cx, path, mode)?;
    }
    let first: Box<dyn Resource> =
        Box::new(FileAttributes { path: path.to_owned(), meta: owned(mode, owner, group), stage });
    Ok([first].into_iter().chain(keys.into_iter().map(|(key, _)| key)).collect())
}

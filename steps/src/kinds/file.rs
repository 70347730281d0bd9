//! `file`: a file with its content, mode and owner.

use anyhow::Result;
use distro::files::Meta;
use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{AbsolutePath, Mode, Owner, Turn, refused};
use super::{Context, Format, Kind};
use crate::Resource;
use crate::resources::checked::Checked;
use crate::resources::file::File;

/// A file, from one of `content`, `source` and `template`. The folder that it belongs in must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Absolute path.
    path: AbsolutePath,
    /// What the file holds.
    content: Option<String>,
    /// Name of a file below the blueprint's `files/`, taken as it is.
    source: Option<String>,
    /// Name of a template below the blueprint's `files/`.
    template: Option<String>,
    /// What the template is written in, which decides how values in it are quoted. Needed with `template`.
    format: Option<Format>,
    /// Permission bits: "0644" where they are not given, "0600" for a file that holds a secret.
    mode: Option<Mode>,
    /// Owner, root where it is not given.
    owner: Option<Owner>,
    /// Group, the one with the owner's name where it is not given.
    group: Option<Owner>,
    /// Must its content not be shown, although none of the inputs' secrets is in it?
    #[serde(default)]
    sensitive: bool,
    /// Is it made where it is missing or empty, and whatever it holds left alone after that? For keys that are generated once.
    #[serde(default)]
    once: bool,
    /// Is it data of the user? Then it is kept at uninstall, unless `--purge` is given.
    #[serde(default)]
    data: bool,
    /// Program and arguments of a command that exits 0 where the file is good: where it is not, the one before is put back.
    #[serde(default)]
    check: Vec<String>,
    /// When it is made.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "file";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        if self.format.is_some() != self.template.is_some() {
            return Err(refused(cx, "'template' and 'format' go together")
                .advice("say how the template is written: format = \"ini\"")
                .into());
        }
        let content = match (self.content, self.source, self.template.zip(self.format)) {
            (Some(content), None, None) => content.into_bytes(),
            (None, Some(name), None) => cx.file(&name)?,
            (None, None, Some((name, format))) => cx.render(&name, format)?.into_bytes(),
            _ => return Err(refused(cx, "give one of 'content', 'source' and 'template'").into()),
        };
        let secret = cx.is_secret(&String::from_utf8_lossy(&content));
        let path = self.path.0;
        if let Some(mode) = self.mode.filter(|_| secret) {
            is_closed(cx, &path, mode)?;
        }
        let sensitive = self.sensitive || secret;
        let mode = self.mode.unwrap_or(Mode(if sensitive { 0o600 } else { 0o644 }));
        let meta = owned(mode, self.owner, self.group);
        let (once, data, stage) = (self.once, self.data, self.stage.into());
        let file = Box::new(File { path: path.clone(), content, meta, sensitive, once, data, stage });
        Ok(vec![if self.check.is_empty() {
            file
        } else {
            Box::new(Checked { inner: file, unit: path.clone(), path, check: self.check })
        }])
    }
}

/// Insists that not everybody may read the file at `path`, which gets a secret and `mode`.
///
/// # Errors
/// Class `blueprint`.
pub(super) fn is_closed(cx: &dyn Context, path: &str, mode: Mode) -> Result<()> {
    if !mode.is_public() {
        return Ok(());
    }
    Err(refused(cx, format!("mode {:04o} lets everybody read the secret in {path}", mode.0))
        .advice("take a mode such as \"0640\" and the group of the service")
        .into())
}

/// Root's where no owner is given; in the group with the owner's name where no group is.
pub(super) fn owned(mode: Mode, owner: Option<Owner>, group: Option<Owner>) -> Meta {
    let owner = owner.map_or_else(|| "root".to_owned(), |owner| owner.0);
    let group = group.map_or_else(|| owner.clone(), |group| group.0);
    Meta::new(mode.0, owner, group)
}

//! One key of a configuration file: what [`super::ini`] and [`super::key_value`] have in common.

use std::path::Path;

use anyhow::Result;
use distro::files;
use distro::{Class, Fault};
use serde_json::json;

pub(crate) use super::edit::Spot;
use super::edit::{self, Back, Garbled};
use super::paths;
use crate::{Change, Claim, Cx, KeyFormat, Probe, Undo, UndoCx, Undone};

/// A key with the value that it is to have.
pub(super) struct Setting<'a> {
    /// Absolute path of the file, which must be there.
    pub path: &'a str,
    /// Which key.
    pub spot: Spot<'a>,
    /// Its value.
    pub value: &'a str,
    /// Must the value not be shown?
    pub sensitive: bool,
}

impl Setting<'_> {
    /// The file as one that is edited by key (so that a resource for all of it is in conflict), and the key.
    pub fn claims(&self) -> Vec<Claim> {
        let mut thing = format!("key:{}#{}", self.path, name(self.spot));
        if self.spot.repeat && !self.sensitive {
            thing = format!("{thing} {}", self.value);
        }
        vec![paths::claim(self.path, "keys"), Claim { thing, wants: self.value.as_bytes().to_vec() }]
    }

    pub fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, self.path, self.look(cx))
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(text) = files::read(Path::new(self.path))? else {
            return paths::missing(cx, self.path);
        };
        let Some(edit) = self.set(&text)? else {
            return Ok(Probe::InPlace(json!({ "digest": cx.digest(self.value.as_bytes()) })));
        };
        let mut summary = format!("set {}", name(self.spot));
        if !self.sensitive {
            summary = format!("{summary} to '{}'", self.value);
        }
        if edit.lines > 1 && !self.spot.repeat {
            summary = format!("{summary} (the last of {} lines, which is the one that counts)", edit.lines);
        }
        // A line that goes may hold somebody's secret, where not everybody may read it.
        let is_open = files::stat(cx.look, Path::new(self.path))?.is_some_and(|seen| seen.meta.mode & 0o004 != 0);
        let is_shown = !self.sensitive && (is_open || edit.old.is_none());
        let diff = if is_shown { paths::diff(self.path, &text, &edit.text, 0) } else { None };
        let undo = Undo::RestoreKey {
            path: self.path.to_owned(),
            format: self.spot.format,
            section: self.spot.section.to_owned(),
            key: self.spot.key.to_owned(),
            original: None,
            made_section: edit.made_section,
            repeat: self.spot.repeat,
        };
        let (original, wrote) = (edit.old, Some(edit.new));
        Ok(Probe::Changes(vec![Change { diff, original, wrote, ..Change::new("key", summary, undo) }]))
    }

    pub fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        let path = Path::new(self.path);
        let (Some(text), Some(seen)) = (files::read(path)?, files::stat(cx.look, path)?) else {
            return Err(Fault::new(Class::Host, format!("there is no {} to set {} in", self.path, name(self.spot)))
                .advice("a `file` step or a package before this one has to bring it")
                .into());
        };
        match self.set(&text)? {
            Some(edit) => files::replace(cx.look, path, &edit.text, &seen.meta),
            None => Ok(()),
        }
    }

    fn set(&self, text: &[u8]) -> Result<Option<edit::Edit>> {
        edit::set(text, self.spot, self.value.as_bytes()).map_err(|Garbled| {
            let what = name(self.spot);
            Fault::new(
                Class::Conflict,
                format!("{what} cannot be set in {}: the text around it does not parse", self.path),
            )
            .advice("look for a quote that is not closed, or set the key by hand, then run again with --resume")
            .into()
        })
    }
}

/// What users call the key.
fn name(spot: Spot<'_>) -> String {
    match spot.format {
        KeyFormat::Ini if !spot.section.is_empty() => format!("[{}] {}", spot.section, spot.key),
        _ => spot.key.to_owned(),
    }
}

/// A key was set: its line is put back or taken out, unless somebody changed it since.
pub(crate) fn undo_restore(
    cx: &UndoCx<'_>,
    path: &str,
    spot: Spot<'_>,
    original: Option<&str>,
    made_section: bool,
) -> Result<Undone> {
    let at = Path::new(path);
    let (Some(text), Some(seen)) = (files::read(at)?, files::stat(cx.look, at)?) else { return Ok(Undone::Gone) };
    let original = original.map(|name| (cx.original)(name)).transpose()?;
    match edit::take_back(&text, spot, |line| cx.is_ours(line), original.as_deref(), made_section) {
        Back::Text(text) => {
            files::replace(cx.look, at, &text, &seen.meta)?;
            let did = if original.is_some() { "set back" } else { "took out" };
            Ok(Undone::Done(format!("{did} {} in {path}", name(spot))))
        }
        Back::Gone => Ok(Undone::Gone),
        Back::Changed => Ok(paths::changed(format!("{} in {path}", name(spot)))),
    }
}

//! A file with its content, mode and owner.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use distro::files::{self, Meta};
use serde_json::json;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// A regular file. The folder that it belongs in must be there.
#[derive(Clone)]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// What it holds.
    pub content: Vec<u8>,
    /// Mode and owner.
    pub meta: Meta,
    /// Does it hold something that must not be shown?
    pub sensitive: bool,
    /// Is it made where it is missing or empty, and its content anybody's after that?
    pub once: bool,
    /// Is it kept at uninstall, unless `--purge` is given?
    pub data: bool,
    /// When it is its turn.
    pub stage: Stage,
}

impl File {
    /// A file of root's that everybody may read, in stage configure.
    pub fn new(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            content: content.into(),
            meta: Meta::root(0o644),
            sensitive: false,
            once: false,
            data: false,
            stage: Stage::Configure,
        }
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = Path::new(&self.path);
        if let Some(pending) = paths::awaited(cx, path, Some(&self.meta))? {
            return Ok(pending);
        }
        let (Some(found), Some(seen)) = (files::read(path)?, files::stat(cx.look, path)?) else {
            let undo = Undo::RemoveFile { path: self.path.clone() };
            let diff = self.diff(b"");
            let wrote = Some(self.content.clone());
            let create = Change::new("content", format!("create, {}", self.meta), undo);
            return Ok(Probe::Changes(vec![Change { diff, wrote, data: self.data, ..create }]));
        };
        let mut changes = Vec::new();
        let kept = self.once && !found.is_empty();
        if found != self.content && !kept {
            let Meta { mode, owner, group } = seen.meta.clone();
            let undo = Undo::RestoreFile { path: self.path.clone(), original: String::new(), mode, owner, group };
            // What not everybody may read may hold somebody's secret.
            let diff = if mode & 0o004 == 0 { None } else { self.diff(&found) };
            let wrote = Some(self.content.clone());
            let original = Some(found.clone());
            changes.push(Change { diff, wrote, original, ..Change::new("content", "change content", undo) });
        }
        changes.extend(paths::attributes(&self.path, &seen.meta, &self.meta));
        if changes.is_empty() {
            return Ok(Probe::InPlace(json!({ "digest": cx.digest(&found) })));
        }
        Ok(Probe::Changes(changes))
    }

    fn diff(&self, old: &[u8]) -> Option<String> {
        if self.sensitive { None } else { paths::diff(&self.path, old, &self.content, 3) }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("path", &self.path).field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl Resource for File {
    fn recall(&self, marker: &str) -> Result<Option<(String, String)>> {
        let Ok(wanted) = std::str::from_utf8(&self.content) else { return Ok(None) };
        if self.once || !wanted.contains(marker) {
            return Ok(None);
        }
        let found = files::read(Path::new(&self.path))?.and_then(|bytes| String::from_utf8(bytes).ok());
        let secret = found.and_then(|found| recalled(wanted, marker, &found).map(str::to_owned));
        Ok(secret.map(|secret| (secret, self.path.clone())))
    }

    fn sort(&self) -> &'static str {
        "file"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        let content: &[u8] = if self.once { b"made once" } else { &self.content };
        vec![paths::claim(&self.path, [format!("file {}\n", self.meta).as_bytes(), content].concat())]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let path = Path::new(&self.path);
        if !changes.is_empty() && changes.iter().all(|change| change.item == "attributes") {
            return files::set_attributes(cx.look, path, &self.meta);
        }
        files::replace(cx.look, path, &self.content, &self.meta)
    }
}

/// What stands in `found` where `marker` stands in `wanted`, if the two are alike in everything else. Generated secrets are
/// letters and digits of a fixed length, so nothing is taken for one that cannot be one.
fn recalled<'f>(wanted: &str, marker: &str, found: &'f str) -> Option<&'f str> {
    let at = wanted.find(marker)?;
    let secret = found.get(at..at + marker.len())?;
    let fits = secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) && wanted.replace(marker, secret) == found;
    fits.then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::recalled;

    #[test]
    fn a_secret_is_recalled_only_from_a_file_that_is_alike_in_everything_else() {
        let wanted = "a\npass \"MARKERMARKER\"\nagain MARKERMARKER\n";
        let cases = [
            ("a\npass \"abcdef012345\"\nagain abcdef012345\n", Some("abcdef012345")),
            ("a\npass \"abcdef012345\"\nagain abcdef012346\n", None),
            ("b\npass \"abcdef012345\"\nagain abcdef012345\n", None),
            ("a\npass \"abcdef\\\"2345\"\nagain abcdef\\\"2345\n", None),
            ("a\npass \"abc\"\n", None),
            ("", None),
        ];
        for (found, secret) in cases {
            assert_eq!(recalled(wanted, "MARKERMARKER", found), secret, "{found}");
        }
    }
}

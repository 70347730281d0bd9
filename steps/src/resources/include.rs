//! A line that includes a file of ours, and that has to come after what somebody else sets.

use std::path::Path;

use anyhow::Result;
use distro::files;
use distro::{Class, Fault};

use super::around::Around;
use super::key_value::KeyValue;
use super::paths;
use crate::{Change, Cx, Probe, Resource, Undo};

/// The line. Of several lines for one key the last counts: where one for a key of ours comes after it, it is moved to the end.
/// (`CONFIG REWRITE` writes there, and so do people.)
#[derive(Debug)]
pub struct Include {
    /// The line, in a file of `key value` lines.
    pub include: KeyValue,
    /// What is set in the file that it includes.
    pub keys: Vec<String>,
}

impl Include {
    fn line(&self) -> String {
        format!("{} {}", self.include.key, self.include.value)
    }

    fn is_ours(&self, line: &str) -> bool {
        line.split_ascii_whitespace().eq([self.include.key.as_str(), self.include.value.as_str()])
    }

    /// The text with the line at its end, where another one wins over it, and the key of that one.
    fn moved(&self, text: &str) -> Option<(String, String)> {
        let later: Vec<&str> = text.lines().rev().take_while(|line| !self.is_ours(line)).collect();
        let key_of = |line: &&str| line.split_ascii_whitespace().next().map(str::to_ascii_lowercase);
        let over = later.iter().filter_map(key_of).find(|key| self.keys.contains(key))?;
        let mut rest: String = text.split_inclusive('\n').filter(|line| !self.is_ours(line)).collect();
        if !rest.ends_with('\n') {
            rest.push('\n');
        }
        Some((format!("{rest}{}\n", self.line()), over))
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let path = &self.include.path;
        let text = files::read(Path::new(path))?.unwrap_or_default();
        let seen = self.include.probe(cx)?;
        let moved = if matches!(seen, Probe::InPlace(_)) { self.moved(&String::from_utf8_lossy(&text)) } else { None };
        let Some((new, over)) = moved else { return Ok(seen) };
        let undo = Undo::RestoreKey {
            path: path.clone(),
            format: self.include.format,
            section: String::new(),
            key: self.include.key.clone(),
            original: None,
            made_section: false,
            repeat: self.include.repeat,
        };
        let summary = format!("move {} to the end: a line for {over} comes after it", self.include.key);
        // Others of these lines may hold secrets, where not everybody may read the file.
        let is_open = files::stat(cx.look, Path::new(path))?.is_some_and(|seen| seen.meta.mode & 0o004 != 0);
        let diff = if is_open { paths::diff(path, &text, new.as_bytes(), 0) } else { None };
        let wrote = Some(self.line().into_bytes());
        Ok(Probe::Changes(vec![Change { diff, wrote, ..Change::new("key", summary, undo) }]))
    }
}

impl Around for Include {
    fn inner(&self) -> &dyn Resource {
        &self.include
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.include.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let path = Path::new(&self.include.path);
        let (Some(text), Some(seen)) = (files::read(path)?, files::stat(cx.look, path)?) else {
            return self.include.apply(cx, changes);
        };
        let text = String::from_utf8(text).map_err(|_| {
            Fault::new(Class::Conflict, format!("{} is not in UTF-8", self.include.path))
                .advice("mend the lines that are not, then run again with --resume")
        })?;
        match self.moved(&text) {
            Some((new, _)) if text.lines().any(|line| self.is_ours(line)) => {
                files::replace(cx.look, path, new.as_bytes(), &seen.meta)
            }
            _ => self.include.apply(cx, changes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;
    use crate::{KeyFormat, Stage};

    fn include(trial: &Trial) -> Include {
        let include = KeyValue {
            path: trial.at("main"),
            format: KeyFormat::Space,
            key: "include".into(),
            value: "/own".into(),
            repeat: true,
            sensitive: false,
            stage: Stage::Configure,
        };
        Include { include, keys: vec!["bind".into(), "maxmemory".into()] }
    }

    #[test]
    fn it_comes_after_what_would_win_over_it() {
        for (text, after, undone) in [
            ("bind *\n", "bind *\ninclude /own\n", "bind *\n"),
            ("include /own\nBIND *\n", "BIND *\ninclude /own\n", "BIND *\n"),
            (
                "a\ninclude /own\ninclude /other\nmaxmemory 1",
                "a\ninclude /other\nmaxmemory 1\ninclude /own\n",
                "a\ninclude /other\nmaxmemory 1\n",
            ),
            ("include /own\nbind *\ninclude  /own\nbind *\n", "bind *\nbind *\ninclude /own\n", "bind *\nbind *\n"),
        ] {
            let trial = Trial::new();
            trial.write("main", text);
            let changes = trial.bring(&include(&trial));
            assert_eq!(trial.read("main"), after);
            trial.undo(&changes, false);
            assert_eq!(trial.read("main"), undone);
        }
    }

    #[test]
    fn it_stays_where_nothing_wins_over_it() {
        for text in
            ["bind *\ninclude /own\n", "include /own\n#bind *\nmaxclients 7\n", "include /own\nbind *\ninclude /own\n"]
        {
            let trial = Trial::new();
            trial.write("main", text);
            assert!(trial.changes(&include(&trial)).is_empty(), "{text}");
        }
    }
}

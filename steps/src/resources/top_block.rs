//! Lines at the top of a file of which the first that fits counts.

use std::path::Path;

use anyhow::Result;
use distro::files;
use distro::{Class, Fault};
use serde_json::json;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// Lines between two marks, before every other line that counts. The rest of the file stays as it is.
#[derive(Clone, Debug)]
pub struct TopBlock {
    /// Absolute path of the file, which must be there.
    pub path: String,
    /// Tells it from other blocks of the file.
    pub name: String,
    /// The lines.
    pub lines: Vec<String>,
}

fn marks(name: &str) -> (String, String) {
    (format!("# surefoot {name}: begin\n"), format!("# surefoot {name}: end\n"))
}

/// A letter for each byte, so that lines of other people's in whatever encoding stay as they are.
pub(super) fn letters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of [`letters`].
pub(super) fn bytes(letters: &str) -> Vec<u8> {
    letters.chars().filter_map(|letter| u8::try_from(letter).ok()).collect()
}

/// The letters of the block `name`.
fn find(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let (begin, end) = marks(name);
    let start = text.match_indices(&begin).map(|(at, _)| at).find(|at| *at == 0 || text[..*at].ends_with('\n'))?;
    let length = text[start..].find(&end)? + end.len();
    Some(start..start + length)
}

/// Does no line before the block count, other than those of blocks like it?
fn is_on_top(text: &str, start: usize) -> bool {
    let mut inside = false;
    for line in text[..start].lines() {
        let line = line.trim();
        if line.starts_with("# surefoot ") {
            inside = line.ends_with(": begin");
        } else if !inside && !line.is_empty() && !line.starts_with('#') {
            return false;
        }
    }
    true
}

impl TopBlock {
    fn block(&self) -> String {
        let (begin, end) = marks(&self.name);
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        format!("{begin}{lines}{end}")
    }

    /// `text` with the block; none where it has it.
    fn set(&self, text: &[u8]) -> Option<Vec<u8>> {
        let (text, block) = (letters(text), letters(self.block().as_bytes()));
        let text = text.as_str();
        let new = match find(text, &self.name) {
            Some(found) if text[found.clone()] == block && is_on_top(text, found.start) => None,
            Some(found) => Some(format!("{block}{}{}", &text[..found.start], &text[found.end..])),
            None => Some(format!("{block}{text}")),
        };
        new.as_deref().map(bytes)
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(text) = files::read(Path::new(&self.path))? else {
            return paths::missing(cx, &self.path);
        };
        let Some(new) = self.set(&text) else {
            return Ok(Probe::InPlace(json!({ "digest": cx.digest(self.block().as_bytes()) })));
        };
        let undo = Undo::RemoveBlock { path: self.path.clone(), name: self.name.clone() };
        let diff = paths::diff(&self.path, &text, &new, 1);
        let wrote = Some(self.block().into_bytes());
        let summary = format!("{} lines at the top", self.lines.len());
        Ok(Probe::Changes(vec![Change { diff, wrote, ..Change::new("lines", summary, undo) }]))
    }
}

impl Resource for TopBlock {
    fn sort(&self) -> &'static str {
        "lines"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let thing = format!("lines:{}#{}", self.path, self.name);
        vec![paths::claim(&self.path, "lines"), Claim { thing, wants: self.block().into_bytes() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        let path = Path::new(&self.path);
        let (Some(text), Some(seen)) = (files::read(path)?, files::stat(cx.look, path)?) else {
            return Err(Fault::new(Class::Host, format!("there is no {} to put lines into", self.path))
                .advice("a package before this step has to bring it")
                .into());
        };
        match self.set(&text) {
            Some(new) => files::replace(cx.look, path, &new, &seen.meta),
            None => Ok(()),
        }
    }
}

/// Lines were put into a file: taken out, unless somebody changed them since.
pub(crate) fn undo_remove(cx: &UndoCx<'_>, path: &str, name: &str) -> Result<Undone> {
    let at = Path::new(path);
    let (Some(text), Some(seen)) = (files::read(at)?, files::stat(cx.look, at)?) else { return Ok(Undone::Gone) };
    let text = letters(&text);
    let Some(found) = find(&text, name) else { return Ok(Undone::Gone) };
    if !cx.is_ours(&bytes(&text[found.clone()])) {
        return Ok(paths::changed(format!("the lines of {name} in {path}")));
    }
    let rest = format!("{}{}", &text[..found.start], &text[found.end..]);
    files::replace(cx.look, at, &bytes(&rest), &seen.meta)?;
    Ok(Undone::Done(format!("took the lines of {name} out of {path}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn other_peoples_lines_stay_in_their_encoding() {
        let trial = Trial::new();
        let before = b"# f\xfcr alle\nlocal all all peer\n# \xc3\xbc\n";
        std::fs::write(trial.at("pg_hba.conf"), before).unwrap();
        let changes = trial.bring(&block(trial.at("pg_hba.conf"), "a/b", &["local \"x\" all md5"]));
        let after = std::fs::read(trial.at("pg_hba.conf")).unwrap();
        assert!(after.starts_with(b"# surefoot a/b: begin\n") && after.ends_with(before));
        trial.undo(&changes, false);
        assert_eq!(std::fs::read(trial.at("pg_hba.conf")).unwrap(), before);
    }

    fn block(path: String, name: &str, lines: &[&str]) -> TopBlock {
        TopBlock { path, name: name.to_owned(), lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[test]
    fn they_come_first_and_go_without_a_trace() {
        let trial = Trial::new();
        let found = "# comment\nlocal all all peer\n";
        trial.write("hba", found);
        let one = block(trial.at("hba"), "a/b", &["host x", "host y"]);
        let changes = trial.bring(&one);
        let set = "# surefoot a/b: begin\nhost x\nhost y\n# surefoot a/b: end\n# comment\nlocal all all peer\n";
        assert_eq!(trial.read("hba"), set);

        // Another product's block before it is none of its business; a line of somebody else is.
        let other = block(trial.at("hba"), "c/d", &["host z"]);
        let others = trial.bring(&other);
        assert!(trial.changes(&one).is_empty());
        trial.write("hba", &format!("local all all trust\n{}", trial.read("hba")));
        trial.bring(&one);
        assert!(trial.read("hba").starts_with("# surefoot a/b: begin\nhost x\n"));

        trial.undo(&changes, false);
        trial.undo(&others, false);
        assert_eq!(trial.read("hba"), format!("local all all trust\n{found}"));
    }

    #[test]
    fn lines_that_somebody_changed_stay() {
        let trial = Trial::new();
        trial.write("hba", "local all all peer\n");
        let changes = trial.bring(&block(trial.at("hba"), "a/b", &["host x"]));
        trial.write("hba", &trial.read("hba").replace("host x", "host mine"));
        assert!(matches!(&trial.undo(&changes, false)[0], Undone::Kept(why) if why.contains("was changed since")));
        assert!(trial.read("hba").contains("host mine"));
    }
}

//! The server that a package of nginx has in its nginx.conf, which is in the way.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use distro::files;
use distro::nginx::Config;
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// What its lines begin with while they do not count.
const MARK: &str = "#surefoot# ";

/// The blocks `server` of nginx.conf must not count as long as the file is the package's own: their lines are made comments. Where
/// somebody changed the file, they are somebody's, and stay.
#[derive(Clone, Debug)]
pub struct PackagedServer {
    /// Absolute path of nginx.conf.
    pub path: String,
}

/// `text` with the lines of its servers as comments; none where it has no server, or one that shares a line with something else.
fn without_servers(text: &str) -> Option<String> {
    let places: Vec<Range<usize>> = Config::read(text).servers.into_iter().map(|server| server.place).collect();
    let shares = |place: &Range<usize>| {
        let before = text[..place.start].lines().next_back().unwrap_or_default();
        let after = text[place.end..].lines().next().unwrap_or_default();
        (!text[..place.start].ends_with('\n') && !before.trim().is_empty()) || !after.trim().is_empty()
    };
    if places.is_empty() || places.iter().any(shares) {
        return None;
    }
    let (mut at, mut marked) = (0, String::new());
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        if places.iter().any(|place| place.start < end && at < place.end) {
            marked.push_str(MARK);
        }
        marked.push_str(line);
        at = end;
    }
    Some(marked)
}

impl PackagedServer {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(text) = files::read(Path::new(&self.path))? else {
            return Ok(Probe::Pending(format!("file {}", self.path)));
        };
        let Some(new) = without_servers(&String::from_utf8_lossy(&text)) else {
            return Ok(Probe::InPlace(Value::Null));
        };
        // Only asked while a server is there: it costs the digest of each file of the package.
        if !cx.host.packages().is_as_packaged(cx.host, &self.path)? {
            return Ok(Probe::InPlace(Value::Null));
        }
        let undo = Undo::RestoreLines { path: self.path.clone(), mark: MARK.to_owned() };
        let diff = paths::diff(&self.path, &text, new.as_bytes(), 1);
        Ok(Probe::Changes(vec![Change { diff, ..Change::new("server", "comment its own server out", undo) }]))
    }
}

impl Resource for PackagedServer {
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
        vec![
            Claim { thing: format!("lines:{}#server", self.path), wants: b"absent".to_vec() },
            paths::claim(&self.path, "lines"),
        ]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        let path = Path::new(&self.path);
        let (Some(text), Some(seen)) = (files::read(path)?, files::stat(cx.look, path)?) else { return Ok(()) };
        match without_servers(&String::from_utf8_lossy(&text)) {
            Some(new) => files::replace(cx.look, path, new.as_bytes(), &seen.meta),
            None => Ok(()),
        }
    }
}

/// Lines were made comments: they count again. What else somebody changed in the file since stays.
pub(crate) fn undo_restore(cx: &UndoCx<'_>, path: &str, mark: &str) -> Result<Undone> {
    let at = Path::new(path);
    let (Some(text), Some(seen)) = (files::read(at)?, files::stat(cx.look, at)?) else { return Ok(Undone::Gone) };
    let text = String::from_utf8_lossy(&text);
    let lines = text.split_inclusive('\n').map(|line| line.strip_prefix(mark).unwrap_or(line));
    let restored: String = lines.collect();
    if restored == text {
        return Ok(Undone::Gone);
    }
    files::replace(cx.look, at, restored.as_bytes(), &seen.meta)?;
    Ok(Undone::Done(format!("lines of {path} that were comments count again")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn lines_of_servers_become_comments_and_count_again() {
        let packaged = "http {\n    include /etc/nginx/conf.d/*.conf;\n\n    server {\n        listen 80;\n\n        \
                        location / { }\n    }\n\n# server {\n}\n";
        let marked = "http {\n    include /etc/nginx/conf.d/*.conf;\n\n#surefoot#     server {\n#surefoot#         listen 80;\n\
                      #surefoot# \n#surefoot#         location / { }\n#surefoot#     }\n\n# server {\n}\n";
        assert_eq!(without_servers(packaged).as_deref(), Some(marked));
        assert_eq!(without_servers(marked), None);
        for one_line in ["http { server { listen 80; } }", "http {\n server { listen 80; } }\n", "http { }"] {
            assert_eq!(without_servers(one_line), None, "{one_line}");
        }

        let trial = Trial::new();
        trial.write("nginx.conf", &marked.replace("listen 80", "listen 81"));
        let undo = Undo::RestoreLines { path: trial.at("nginx.conf"), mark: MARK.to_owned() };
        trial.undo(&[Change::new("server", "", undo)], false);
        assert_eq!(trial.read("nginx.conf"), packaged.replace("listen 80", "listen 81"));
    }

    #[test]
    fn a_file_of_no_package_is_somebodys() {
        let trial = Trial::new();
        trial.write("nginx.conf", "http {\n server { }\n}\n");
        assert!(trial.changes(&PackagedServer { path: trial.at("nginx.conf") }).is_empty());
    }
}

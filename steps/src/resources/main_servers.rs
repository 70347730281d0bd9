//! The servers that stand in nginx.conf itself: the package's own, which is in the way, or somebody's.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::files;
use distro::nginx::{Config, Server};
use serde_json::{Value, json};

use super::{beside, packaged_default, paths, top_block};
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// What its lines begin with while they do not count.
const MARK: &str = "#surefoot# ";

/// What makes a server the one that answers where no name fits.
const DEFAULT: &str = " default_server";

/// Where packages have pages of their own.
const PACKAGED: [&str; 3] = ["/usr/share/nginx/html", "/srv/www/htdocs", "html"];

/// The blocks `server` of nginx.conf must not count as long as the file is the package's own: their lines are made comments, but for those that
/// are served already, on other ports than ours. Where
/// somebody changed the file, they are somebody's, and stay; and one that answers where no name fits, as the first that nginx reads, goes on to do
/// so, also where a site is read before it.
#[derive(Clone, Debug)]
pub struct MainServers {
    /// Absolute path of nginx.conf.
    pub path: String,
    /// Unit that serves them.
    pub unit: String,
    /// Ports of the site.
    pub ports: Vec<u16>,
    /// Folders whose files nginx reads besides.
    pub folders: Vec<PathBuf>,
    /// Files below them that are none of somebody else's: the site's own, and what makes way for it.
    pub own: Vec<PathBuf>,
    /// What nginx.conf says, where it is there.
    pub config: Option<Config>,
}

/// A text; where it is not in UTF-8, a letter for each of its bytes.
fn text_of(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| top_block::letters(bytes), str::to_owned)
}

/// What [`text_of`] has made of `before` and became `text`, so that the lines of other people's stay in their encoding.
fn bytes_of(text: &str, before: &[u8]) -> Vec<u8> {
    if std::str::from_utf8(before).is_ok() { text.as_bytes().to_vec() } else { top_block::bytes(text) }
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

/// `text` with a server as the one that answers where no name fits, where it is that on one of `ports` by being the first, and shows pages of somebody's;
/// none where there is none. Those of `others` are read before it.
fn with_defaults(text: &str, others: &[Server], ports: &[u16]) -> Option<String> {
    let mut servers = Config::read(text).servers;
    servers.retain(|server| !server.stream);
    let listens = |servers: &[Server]| servers.iter().flat_map(|server| server.listens.clone()).collect::<Vec<_>>();
    let said = listens(&servers).into_iter().filter(|listen| listen.is_default);
    let mut taken: BTreeSet<_> = said.chain(listens(others)).filter_map(|listen| listen.everywhere).collect();
    let mut ends = Vec::new();
    for server in &servers {
        let is_packaged = server.root.as_deref().is_some_and(|root| PACKAGED.contains(&root.trim_end_matches('/')));
        for listen in &server.listens {
            let Some(everywhere) = listen.everywhere else { continue };
            if taken.insert(everywhere) && ports.contains(&everywhere.1) && !is_packaged {
                ends.push(listen.end);
            }
        }
    }
    let mut marked = text.to_owned();
    for end in ends.iter().rev() {
        marked.insert_str(*end, DEFAULT);
    }
    (!ends.is_empty()).then_some(marked)
}

impl MainServers {
    /// What `text` has to become, and each change of it.
    fn wanted(&self, cx: &Cx<'_>, text: &str) -> Result<Option<(String, Vec<Change>)>> {
        let servers = Config::read(text).servers;
        if servers.is_empty() {
            return Ok(None);
        }
        // Only asked while a server is there: it costs the digest of each file of the package.
        if cx.host.packages().is_as_packaged(cx.host, &self.path)? {
            if packaged_default::stays(cx, &self.unit, &servers, &self.ports)? {
                return Ok(None);
            }
            let undo = Undo::RestoreLines { path: self.path.clone(), mark: MARK.to_owned() };
            let change = Change::new("server", "comment its own server out", undo);
            return Ok(without_servers(text).map(|without| (without, vec![change])));
        }
        let others = beside::others(&self.folders, &self.own, self.config.as_ref())?.into_values().flatten();
        let others = others.filter(|server| !server.stream);
        let Some(marked) = with_defaults(text, &others.collect::<Vec<_>>(), &self.ports) else { return Ok(None) };
        let lines = text.lines().zip(marked.lines()).filter(|(line, new)| line != new);
        let changes = lines.map(|(line, new)| {
            let undo = Undo::RestoreLine { path: self.path.clone(), line: new.to_owned(), original: line.to_owned() };
            let item = line.split_whitespace().collect::<Vec<_>>().join(" ");
            Change::new(item, "let its server go on to answer where no name fits", undo)
        });
        let changes = changes.collect();
        Ok(Some((marked, changes)))
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(text) = files::read(Path::new(&self.path))? else {
            return Ok(Probe::Pending(format!("file {}", self.path)));
        };
        let said = text_of(&text);
        let Some((new, mut changes)) = self.wanted(cx, &said)? else {
            let has_servers = !Config::read(&said).servers.is_empty();
            return Ok(Probe::InPlace(if has_servers { json!({ "stays": true }) } else { Value::Null }));
        };
        if let Some(first) = changes.first_mut() {
            first.diff = paths::diff(&self.path, &text, &bytes_of(&new, &text), 1);
        }
        Ok(Probe::Changes(changes))
    }
}

impl Resource for MainServers {
    fn sort(&self) -> &'static str {
        "lines"
    }

    fn key(&self) -> String {
        self.path.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn units(&self) -> Vec<String> {
        vec![self.unit.clone()]
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
        match self.wanted(cx, &text_of(&text))? {
            Some((new, _)) => files::replace(cx.look, path, &bytes_of(&new, &text), &seen.meta),
            None => Ok(()),
        }
    }
}

/// Lines were made comments: they count again. What else somebody changed in the file since stays.
pub(crate) fn undo_restore(cx: &UndoCx<'_>, path: &str, mark: &str) -> Result<Undone> {
    let at = Path::new(path);
    let (Some(before), Some(seen)) = (files::read(at)?, files::stat(cx.look, at)?) else { return Ok(Undone::Gone) };
    let text = text_of(&before);
    let lines = text.split_inclusive('\n').map(|line| line.strip_prefix(mark).unwrap_or(line));
    let restored: String = lines.collect();
    if restored == text {
        return Ok(Undone::Gone);
    }
    files::replace(cx.look, at, &bytes_of(&restored, &before), &seen.meta)?;
    Ok(Undone::Done(format!("lines of {path} that were comments count again")))
}

/// A line was changed: what was there comes back, unless somebody changed it since.
pub(crate) fn undo_line(cx: &UndoCx<'_>, path: &str, line: &str, original: &str) -> Result<Undone> {
    let at = Path::new(path);
    let (Some(before), Some(seen)) = (files::read(at)?, files::stat(cx.look, at)?) else { return Ok(Undone::Gone) };
    let text = text_of(&before);
    let is_it = |one: &str| one.strip_suffix('\n').unwrap_or(one) == line;
    if !text.split_inclusive('\n').any(is_it) {
        return Ok(Undone::Gone);
    }
    let lines =
        text.split_inclusive('\n').map(|one| if is_it(one) { one.replace(line, original) } else { one.to_owned() });
    files::replace(cx.look, at, &bytes_of(&lines.collect::<String>(), &before), &seen.meta)?;
    Ok(Undone::Done(format!("put '{}' back in {path}", original.trim())))
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
        std::fs::create_dir(trial.at("conf.d")).unwrap();
        let servers = MainServers {
            path: trial.at("nginx.conf"),
            unit: "none.service".into(),
            ports: vec![80, 443],
            folders: vec![trial.at("conf.d").into()],
            own: vec![trial.at("conf.d/zz-site.conf").into()],
            config: None,
        };
        trial.write("nginx.conf", "http {\n server { }\n}\n");
        assert!(trial.changes(&servers).is_empty());

        let found = "http {\n  server {\n    listen       80;\n    listen       [::]:80;\n    root /srv/w;\n  }\n}\n";
        trial.write("nginx.conf", found);
        trial.write("conf.d/zz-site.conf", "server { listen 80; }\n");
        let changes = trial.changes(&servers);
        let items: Vec<&str> = changes.iter().map(|change| change.item.as_str()).collect();
        assert_eq!(items, ["listen 80;", "listen [::]:80;"]);
        trial.bring(&servers);
        let marked = found.replace(":80;", ":80 default_server;").replace(" 80;", " 80 default_server;");
        assert_eq!(trial.read("nginx.conf"), marked);
        assert!(trial.changes(&servers).is_empty());
        trial.write("nginx.conf", &marked.replace("/srv/w", "/srv/x"));
        trial.undo(&changes, false);
        assert_eq!(trial.read("nginx.conf"), found.replace("/srv/w", "/srv/x"));

        // Somebody else's site is read before it, and answers there already.
        trial.write("conf.d/wiki.conf", "server { listen *:80; listen [::]:80; }\n");
        assert!(trial.changes(&servers).is_empty());
    }

    #[test]
    fn other_peoples_lines_stay_in_their_encoding() {
        let trial = Trial::new();
        let servers = MainServers {
            path: trial.at("nginx.conf"),
            unit: "none.service".into(),
            ports: vec![80],
            folders: Vec::new(),
            own: Vec::new(),
            config: None,
        };
        for word in [&b"f\xfcr"[..], b"f\xc3\xbcr"] {
            let found = [b"http { server {\n listen 80; # ", word, b"\n # ", word, b"\n} }\n"].concat();
            std::fs::write(trial.at("nginx.conf"), &found).unwrap();
            let changes = trial.bring(&servers);
            let marked = [b"http { server {\n listen 80 default_server; # ", word, b"\n # ", word, b"\n} }\n"].concat();
            assert_eq!(std::fs::read(trial.at("nginx.conf")).unwrap(), marked);
            trial.undo(&changes, false);
            assert_eq!(std::fs::read(trial.at("nginx.conf")).unwrap(), found);
        }
    }

    #[test]
    fn who_answers_where_no_name_fits() {
        let other = |text: &str| Config::read(text).servers;
        for (text, others, wanted) in [
            ("server { listen 80; }", "", Some("server { listen 80 default_server; }")),
            (
                "server { listen 80; } server { listen 80; }",
                "",
                Some("server { listen 80 default_server; } server { listen 80; }"),
            ),
            ("server { listen 80; } server { listen 80 default_server; }", "", None),
            ("server { listen 8080; }", "", None),
            ("server { listen 127.0.0.1:80; }", "", None),
            ("server { listen 80; }", "server { listen 80; }", None),
            ("stream { server { listen 80; } }", "", None),
            ("server { listen 80; }", "server { listen 443 ssl; }", Some("server { listen 80 default_server; }")),
            ("server { listen 80; root /usr/share/nginx/html; } server { listen 80; root /srv/w; }", "", None),
        ] {
            assert_eq!(with_defaults(text, &other(others), &[80]).as_deref(), wanted, "{text}");
        }
    }
}

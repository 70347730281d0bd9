//! The file of a site of nginx, beside those of somebody else's sites.

use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault};

use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A site's file. Where it has to be written, the other sites on the same ports are named, and one of the same name is a conflict: nginx
/// would leave out one of the two without a word.
#[derive(Debug)]
pub struct Beside {
    /// The file.
    pub inner: Box<dyn Resource>,
    /// The site's names.
    pub names: Vec<String>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// nginx's main file, and folders whose files it reads.
    pub files: Vec<PathBuf>,
    /// Files below them that are none of somebody else's: the site's own, and what makes way for it.
    pub own: Vec<PathBuf>,
}

/// A site that somebody else has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Server {
    names: Vec<String>,
    ports: Vec<u16>,
}

impl Beside {
    /// The other sites on the same ports, with the files that they stand in.
    fn neighbours(&self) -> Result<Vec<(PathBuf, Server)>> {
        let mut found = Vec::new();
        for path in self.read_files()? {
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_fault(&error, "read", &path).into()),
            };
            let servers = servers(&String::from_utf8_lossy(&text)).into_iter();
            let near = servers.filter(|server| server.ports.iter().any(|port| self.ports.contains(port)));
            found.extend(near.map(|server| (path.clone(), server)));
        }
        Ok(found)
    }

    fn read_files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for path in &self.files {
            if !path.is_dir() {
                files.push(path.clone());
                continue;
            }
            for entry in path.read_dir().map_err(|error| io_fault(&error, "read", path))? {
                files.push(entry.map_err(|error| io_fault(&error, "read", path))?.path());
            }
        }
        files.retain(|path| path.is_file() && !self.own.contains(path));
        files.sort();
        Ok(files)
    }

    /// What to say of the neighbours.
    fn told(&self) -> Result<String> {
        let neighbours = self.neighbours()?;
        let name_of = |server: &Server| server.names.iter().find(|name| self.names.contains(name)).cloned();
        if let Some((path, name)) = neighbours.iter().find_map(|(path, server)| Some((path, name_of(server)?))) {
            return Err(self.conflict(path, &name).into());
        }
        // In a line of the plan there is no room for whole paths.
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files: Vec<String> = neighbours.iter().map(|(path, _)| name(path)).collect();
        files.dedup();
        Ok(if files.is_empty() { String::new() } else { format!(", beside {}", files.join(", ")) })
    }

    fn conflict(&self, path: &Path, name: &str) -> Fault {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let message = format!("nginx has a site '{name}' on port {} already", ports.join(" or "));
        Fault::new(Class::Conflict, message)
            .evidence([format!("{}: server_name {name}", path.display())])
            .advice("give this site another name or other ports, or take that one out of nginx, then run it again")
    }
}

/// The servers of a configuration.
fn servers(text: &str) -> Vec<Server> {
    let mut found = Vec::new();
    // For each block that is open: the server that it is.
    let mut blocks: Vec<Option<Server>> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for token in tokens(text) {
        match token.as_str() {
            "{" => {
                let is_server = words.len() == 1 && words[0] == "server";
                blocks.push(is_server.then(Server::default));
                words.clear();
            }
            "}" => {
                if let Some(Some(mut server)) = blocks.pop() {
                    if server.ports.is_empty() {
                        server.ports.push(80);
                    }
                    found.push(server);
                }
                words.clear();
            }
            ";" => {
                if let (Some(Some(server)), [directive, values @ ..]) = (blocks.last_mut(), words.as_slice()) {
                    match (directive.as_str(), values) {
                        ("server_name", names) => server.names.extend(names.iter().cloned()),
                        ("listen", [to, ..]) => server.ports.extend(port(to)),
                        _ => {}
                    }
                }
                words.clear();
            }
            _ => words.push(token),
        }
    }
    found
}

/// `443`, `*:443`, `[::]:443`, `127.0.0.1`; none for a socket file.
fn port(listen: &str) -> Option<u16> {
    if listen.starts_with("unix:") {
        return None;
    }
    let last = listen.rsplit(':').next().unwrap_or(listen);
    Some(last.parse().unwrap_or(80))
}

/// Words, `{`, `}` and `;`, without comments and quotes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut comment = false;
    for c in text.chars() {
        match (comment, quote) {
            (true, _) => comment = c != '\n',
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => word.push(c),
            _ => match c {
                '#' if word.is_empty() => comment = true,
                '"' | '\'' => quote = Some(c),
                '{' | '}' | ';' => {
                    tokens.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
                    tokens.push(c.to_string());
                }
                c if c.is_whitespace() => {
                    tokens.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
                }
                c => word.push(c),
            },
        }
    }
    tokens
}

impl Resource for Beside {
    fn sort(&self) -> &'static str {
        self.inner.sort()
    }

    fn key(&self) -> String {
        self.inner.key()
    }

    fn stage(&self) -> Stage {
        self.inner.stage()
    }

    fn claims(&self) -> Vec<Claim> {
        self.inner.claims()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let mut probe = self.inner.probe(cx)?;
        if let Probe::Changes(changes) = &mut probe
            && let Some(content) = changes.iter_mut().find(|change| change.item == "content")
        {
            content.summary.push_str(&self.told()?);
        }
        Ok(probe)
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        self.inner.apply(cx, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn servers_of_a_configuration() {
        let text = "http { # server { listen 1; }\n\
                    upstream x { server 127.0.0.1:81; }\n\
                    server { listen 80 default_server; listen [::]:8080 ssl; server_name a.example \"b;c\";\n\
                    location / { return 301 https://$host$request_uri; } }\n\
                    server { listen 127.0.0.1; listen unix:/run/x; server_name '*.d'; }\n\
                    server { server_name e; } }\n";
        let server = |names: &[&str], ports: &[u16]| Server {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ports: ports.to_vec(),
        };
        let wanted = [server(&["a.example", "b;c"], &[80, 8080]), server(&["*.d"], &[80]), server(&["e"], &[80])];
        assert_eq!(servers(text), wanted);
        for text in ["", "}", "server", "server {", "server { listen"] {
            assert!(servers(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn neighbours_are_named_and_namesakes_are_a_conflict() {
        let trial = Trial::new();
        std::fs::create_dir(trial.at("sites")).unwrap();
        let beside = |name: &str, port: u16| Beside {
            inner: Box::new(trial.file("sites/own", "own", 0o644)),
            names: vec![name.to_owned()],
            ports: vec![port],
            files: vec![trial.at("nginx.conf").into(), trial.at("sites").into(), trial.at("none").into()],
            own: vec![trial.at("sites/own").into()],
        };
        let summary = |name, port| trial.changes(&beside(name, port))[0].summary.clone();
        assert!(!summary("a", 80).contains("beside"));
        trial.write("sites/own", "server { listen 80; server_name a; }");
        trial.write("sites/wiki", "server { listen 80; server_name wiki; }");
        trial.write("nginx.conf", "http { server { listen 81; server_name b; } }");
        let wiki = trial.at("sites/wiki");
        assert!(summary("a", 80).ends_with(", beside wiki"), "{}", summary("a", 80));
        assert!(summary("a", 81).ends_with(", beside nginx.conf"), "{}", summary("a", 81));
        assert!(!summary("a", 443).contains("beside"));
        assert!(!summary("wiki", 443).contains("beside"));
        let error = trial.probe(&beside("wiki", 80)).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!(fault.class, Class::Conflict);
        assert_eq!(fault.evidence, [format!("{wiki}: server_name wiki")]);
    }
}

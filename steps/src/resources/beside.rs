//! The file of a site of nginx, beside those of somebody else's sites.

use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::nginx::{Config, Server};
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
            let servers = Config::read(&String::from_utf8_lossy(&text)).servers.into_iter();
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
        // nginx's patterns pass over hidden files, of which one may be a draft of ours that a kill left.
        let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        files.retain(|path| path.is_file() && !is_hidden(path) && !self.own.contains(path));
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
        trial.write("sites/.surefoot-1a00.tmp", "server { listen 80; server_name a; }");
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

//! Files that nginx reads besides its main one, and those that these include.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Config, Server, absolute};
use crate::failure::io_fault;
use crate::pattern::is_like;

/// What makes a name a pattern.
const WILD: [char; 2] = ['*', '?'];

impl Config {
    /// What it includes, by the block that it stands in.
    fn patterns(&self) -> [(&'static str, &Vec<String>); 3] {
        [("", &self.outside), ("http", &self.includes), ("stream", &self.streams)]
    }

    /// The same with what those of its files say that it names one by one, as an administrator parts a long one; `read` gives the text of a file. Files that
    /// patterns stand for are sites.
    pub fn with_parts(mut self, read: &dyn Fn(&str) -> String) -> Self {
        let mut known = BTreeSet::new();
        loop {
            let all = self.patterns().map(|(block, patterns)| patterns.iter().map(move |one| (block, absolute(one))));
            let is_part = |(_, path): &(&str, String)| !path.contains(WILD) && !known.contains(path);
            let Some((block, path)) = all.into_iter().flatten().find(is_part) else { return self };
            let part = Self::read_in(&read(&path), block);
            known.insert(path);
            self.outside.extend(part.outside);
            self.includes.extend(part.includes);
            self.streams.extend(part.streams);
            self.group = self.group.or(part.group);
        }
    }

    /// Reads a file; none where it is not there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of_file(path: &Path) -> Result<Option<Self>> {
        Self::of_file_in(path, "")
    }

    /// The same of one that is included in a `block`.
    fn of_file_in(path: &Path, block: &str) -> Result<Option<Self>> {
        match std::fs::read(path) {
            Ok(text) => Ok(Some(Self::read_in(&String::from_utf8_lossy(&text), block))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_fault(&error, "read", path).into()),
        }
    }

    /// The servers of every file that it includes, and of those that these include, but for the files `own`.
    ///
    /// # Errors
    /// Where one of the files, or a folder of some, cannot be read.
    pub fn included(&self, own: &[PathBuf]) -> Result<BTreeMap<PathBuf, Vec<Server>>> {
        let mut found = BTreeMap::new();
        self.follow(own, &mut found)?;
        Ok(found)
    }

    fn follow(&self, own: &[PathBuf], found: &mut BTreeMap<PathBuf, Vec<Server>>) -> Result<()> {
        for (block, patterns) in self.patterns() {
            for pattern in patterns {
                for path in files_like(&absolute(pattern))? {
                    if own.contains(&path) || found.contains_key(&path) || !path.is_file() {
                        continue;
                    }
                    let Some(mut config) = Self::of_file_in(&path, block)? else { continue };
                    // Known before its own are followed: they may lead back to it.
                    found.insert(path, std::mem::take(&mut config.servers));
                    config.follow(own, found)?;
                }
            }
        }
        Ok(())
    }
}

/// The files that an absolute pattern stands for.
fn files_like(pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in found {
            if part.contains(WILD) {
                next.extend(entries_like(&folder, part)?);
            } else {
                next.push(folder.join(part));
            }
        }
        found = next;
    }
    Ok(found)
}

/// As glob(3) has it, which passes over hidden files where none is meant: one may be a draft of ours that a kill left.
fn entries_like(folder: &Path, part: &str) -> Result<Vec<PathBuf>> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(error) => return Err(io_fault(&error, "read", folder).into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_fault(&error, "read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_like(&name, part) && (!name.starts_with('.') || part.starts_with('.')) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_it_includes_and_those_that_these_do() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name).display().to_string();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("ROOT", &at(""))).unwrap();
        };
        let config = Config::read(&format!(
            "include {0}/tops/*.conf; stream {{ include {0}/streams/*; }} http {{ include {0}/http.conf; include {0}/none; include {0}/sites/*/*.conf; }}",
            root.path().display()
        ));
        write("tops/a.conf", "mail { server { listen 25; } } http { include ROOT/deep/*.conf; }");
        write("deep/a.conf", "server { listen 82; } include ROOT/deep/*.conf;");
        write("streams/a", "server { listen 83; }");
        write("http.conf", "include ROOT/vhosts/*.conf; server { listen 84; include ROOT/never; }");
        write("vhosts/a.conf", "server { listen 85; }");
        for name in ["vhosts/a.conf.rpmsave", "vhosts/.a.conf", "never", "sites/a.conf", "vhosts/own.conf"] {
            write(name, "server { listen 86; }");
        }
        write("sites/a/a.conf", "server { listen 87; }");
        std::fs::create_dir(root.path().join("vhosts/folder.conf")).unwrap();
        let found = config.included(&[root.path().join("vhosts/own.conf")]).unwrap();
        let told: Vec<(String, u16, bool)> = found
            .iter()
            .flat_map(|(path, servers)| servers.iter().map(move |server| (path, server)))
            .map(|(path, server)| {
                let name = path.strip_prefix(root.path()).unwrap().display().to_string();
                (name, server.ports[0], server.stream)
            })
            .collect();
        let wanted = [
            ("deep/a.conf", 82, false),
            ("http.conf", 84, false),
            ("sites/a/a.conf", 87, false),
            ("streams/a", 83, true),
            ("tops/a.conf", 25, true),
            ("vhosts/a.conf", 85, false),
        ];
        assert_eq!(told, wanted.map(|(name, port, stream)| (name.to_owned(), port, stream)));
    }

    #[test]
    fn its_parts_are_of_it() {
        let read = |path: &str| {
            let text = match path {
                "/etc/nginx/top.conf" => "user web; http { include http.conf; }",
                "/etc/nginx/http.conf" => {
                    "include /etc/nginx/sites-enabled/*; include http.conf; server { listen 80; }"
                }
                _ => "",
            };
            text.to_owned()
        };
        let config = Config::read("include top.conf; include modules-enabled/*.conf;").with_parts(&read);
        assert!(config.includes("/etc/nginx/sites-enabled", "a") && !config.includes("/etc/nginx/conf.d", "a.conf"));
        assert_eq!((config.group.as_deref(), config.servers.len()), (Some("web"), 0));
    }
}

//! A package repository as apt's sources name it, and the files in which apt keeps its index.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files;
use crate::packages::Index;

/// Where apt keeps the index of all repositories. A `Release` is moved there only when its signature, its dates and every index
/// named in it were found right; until then it is in `partial/` below.
pub const LISTS: &str = "/var/lib/apt/lists";

/// One entry of apt's sources (sources.list(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Name of its file below `/etc/apt/sources.list.d`, without `.sources`.
    pub name: String,
    /// `URIs`.
    pub uris: Vec<String>,
    /// `Suites`; one that ends in `/` is a path below the URI, for a repository without `dists`.
    pub suites: Vec<String>,
    /// `Components`, empty where suites are paths.
    pub components: Vec<String>,
}

impl Source {
    /// Our repository `name` as its definition on disk says; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn defined(name: &str) -> Result<Option<Self>> {
        let path = definition_path(name);
        Ok(files::read(&path)?.map(|bytes| Self::parse(name, &String::from_utf8_lossy(&bytes))))
    }

    /// Its index below `lists` (normally [`LISTS`]).
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn index(&self, lists: &Path) -> Result<Index> {
        let is_release = |path: &PathBuf| path.to_string_lossy().ends_with("Release");
        Ok(Index {
            definition: vec![definition_path(&self.name), keyring_path(&self.name)],
            missing: self.missing(lists).first().map(|(uri, suite)| format!("{uri} {suite}")),
            fetched: self.list_files(lists)?.into_iter().filter(is_release).collect(),
        })
    }

    /// Every pair of URI and suite whose verified index is not below `lists` (normally [`LISTS`]).
    pub fn missing(&self, lists: &Path) -> Vec<(&str, &str)> {
        let fetched =
            |prefix: &str| ["InRelease", "Release"].iter().any(|name| lists.join(format!("{prefix}{name}")).exists());
        let pairs =
            self.uris.iter().flat_map(|uri| self.suites.iter().map(move |suite| (uri.as_str(), suite.as_str())));
        pairs.filter(|(uri, suite)| !fetched(&list_prefix(uri, suite))).collect()
    }

    /// The files of its index below `lists`.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn list_files(&self, lists: &Path) -> Result<Vec<PathBuf>> {
        let entries = match std::fs::read_dir(lists) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.with_context(|| format!("reading {}", lists.display()))?,
        };
        let prefixes: Vec<String> =
            self.uris.iter().flat_map(|uri| self.suites.iter().map(|suite| list_prefix(uri, suite))).collect();
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", lists.display()))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            // Suite `a` must not take the files of suite `a/b` with it.
            let ours = prefixes.iter().filter_map(|prefix| name.strip_prefix(prefix.as_str())).any(|rest| {
                matches!(rest, "InRelease" | "Release" | "Release.gpg")
                    || self.components.iter().any(|component| rest.starts_with(&format!("{}_", quoted(component))))
                    || self.components.is_empty() && ["Packages", "Sources"].iter().any(|start| rest.starts_with(start))
            });
            if ours {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    /// Removes the files of its index below `lists`; says how many there were.
    ///
    /// # Errors
    /// Where one cannot be removed.
    pub fn remove_lists(&self, lists: &Path) -> Result<usize> {
        let files = self.list_files(lists)?;
        for file in &files {
            std::fs::remove_file(file).with_context(|| format!("removing {}", file.display()))?;
        }
        Ok(files.len())
    }
}

/// Where our repository `name` is defined.
pub fn definition_path(name: &str) -> PathBuf {
    Path::new("/etc/apt/sources.list.d").join(format!("{name}.sources"))
}

/// Where the keyring of our repository `name` is.
pub fn keyring_path(name: &str) -> PathBuf {
    Path::new("/etc/apt/keyrings").join(format!("{name}.gpg"))
}

/// What the names of a repository's files in apt's lists begin with: its URI without scheme and login, `/` as `_`, and a few
/// characters as `%xx`.
fn list_prefix(uri: &str, suite: &str) -> String {
    let site = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    let site = site.strip_prefix("//").unwrap_or(site);
    let (host, path) = site.split_at(site.find('/').unwrap_or(site.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = path.trim_end_matches('/');
    let below = match suite {
        "/" => String::new(),
        path if path.ends_with('/') => path.to_owned(),
        suite => format!("dists/{suite}/"),
    };
    quoted(&format!("{host}{path}/{below}"))
}

fn quoted(text: &str) -> String {
    text.bytes().fold(String::new(), |mut quoted, byte| {
        match byte {
            b'/' => quoted.push('_'),
            _ if byte <= b' ' || byte >= 0x7f || b"\\|{}[]<>\"^~_=!@#$%^&*".contains(&byte) => {
                quoted.push_str(&format!("%{byte:02x}"));
            }
            _ => quoted.push(char::from(byte)),
        }
        quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_files_are_named_as_apt_names_them() {
        let cases = [
            ("http://deb.example.net/debian", "bookworm", "deb.example.net_debian_dists_bookworm_"),
            ("https://u:p@deb.example.net:8443/a_b/", "x/updates", "deb.example.net:8443_a%5fb_dists_x_updates_"),
            ("http://[::1]:80/r", "s", "%5b::1%5d:80_r_dists_s_"),
            ("file:/srv/repo", "./", "_srv_repo_._"),
            ("http://deb.example.net", "/", "deb.example.net_"),
            ("file:///srv/a b~c", "/", "_srv_a%20b%7ec_"),
        ];
        for (uri, suite, expected) in cases {
            assert_eq!(list_prefix(uri, suite), expected, "{uri} {suite}");
        }
    }

    #[test]
    fn its_files_and_no_others() {
        let lists = tempfile::tempdir().unwrap();
        let source = Source {
            name: "x".into(),
            uris: vec!["http://h/r".into()],
            suites: vec!["a".into(), "b".into()],
            components: vec!["main".into()],
        };
        let ours = ["h_r_dists_a_InRelease", "h_r_dists_a_main_binary-amd64_Packages.lz4"];
        let others = ["h_r_dists_a_updates_InRelease", "h_r_dists_a_mainline_x", "h_rr_dists_a_InRelease", "lock"];
        for name in ours.iter().chain(&others) {
            std::fs::write(lists.path().join(name), "").unwrap();
        }
        assert_eq!(source.missing(lists.path()), [("http://h/r", "b")]);
        assert_eq!(source.list_files(lists.path()).unwrap(), ours.map(|name| lists.path().join(name)));
        assert_eq!(source.remove_lists(lists.path()).unwrap(), 2);
        assert_eq!(source.missing(lists.path()).len(), 2);
        assert_eq!(std::fs::read_dir(lists.path()).unwrap().count(), others.len());
    }
}

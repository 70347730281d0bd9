//! What apt's sources name: both formats of sources.list(5).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Source, release_url};
use crate::packages;

/// One pair of URI and suite that apt is told to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file that says so.
    pub file: PathBuf,
    /// URI without a slash at its end.
    pub uri: String,
    /// Suite.
    pub suite: String,
    /// `Signed-By`, empty where it is not said.
    pub signed_by: String,
}

impl Entry {
    /// As it is told of every package manager.
    pub fn told(&self) -> packages::Entry {
        // A list of mirrors (apt-transport-mirror(1)) leads to hosts that nobody knows before.
        let list = self.uri.strip_prefix("mirror").map(|rest| rest.trim_start_matches('+'));
        let url = match list {
            Some(rest) => rest.strip_prefix("://").map_or(rest.to_owned(), |rest| format!("http://{rest}")),
            None => release_url(&self.uri, &self.suite),
        };
        packages::Entry { file: self.file.clone(), url, is_list: list.is_some(), own_way: false }
    }
}

/// Every entry below `folder` (normally `/etc/apt`) that is not switched off. What cannot be understood is left to apt.
///
/// # Errors
/// Where a file that is there cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<Entry>> {
    entries_of(files(folder)?)
}

/// The same without those in files that are [`hidden`].
///
/// # Errors
/// As there.
pub fn seen(folder: &Path) -> Result<Vec<Entry>> {
    let hidden = hidden(folder);
    let mut files = if hidden.contains(&folder.join(PARTS)) { vec![folder.join(MAIN)] } else { files(folder)? };
    files.retain(|file| !hidden.contains(file));
    entries_of(files)
}

/// Files below `folder` that name some and that only root may read, or their folder; none for root.
pub fn hidden(folder: &Path) -> Vec<PathBuf> {
    let mut hidden = files(folder).unwrap_or_else(|_| vec![folder.join(MAIN), folder.join(PARTS)]);
    hidden.retain(|path| is_hidden(path));
    hidden
}

fn is_hidden(path: &Path) -> bool {
    std::fs::File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

const MAIN: &str = "sources.list";
const PARTS: &str = "sources.list.d";

/// Those below `folder` that name some.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![folder.join(MAIN)];
    let parts = folder.join(PARTS);
    match std::fs::read_dir(&parts) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        listing => {
            for entry in listing.with_context(|| format!("reading {}", parts.display()))? {
                files.push(entry.with_context(|| format!("reading {}", parts.display()))?.path());
            }
        }
    }
    files.retain(|file| file.extension().is_some_and(|end| end == "list" || end == "sources"));
    files.sort();
    Ok(files)
}

fn entries_of(files: Vec<PathBuf>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in files {
        let read = if file.extension().is_some_and(|end| end == "list") { lines } else { stanzas };
        let text = match std::fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            result => result.with_context(|| format!("reading {}", file.display()))?,
        };
        for stanza in read(&String::from_utf8_lossy(&text)) {
            entries.extend(stanza.entries(&file));
        }
    }
    Ok(entries)
}

impl Source {
    /// Reads a definition in the format of `.sources` files.
    pub fn parse(name: &str, text: &str) -> Self {
        let mut source = Self { name: name.to_owned(), uris: Vec::new(), suites: Vec::new(), components: Vec::new() };
        for stanza in stanzas(text) {
            source.uris.extend(stanza.uris);
            source.suites.extend(stanza.suites);
            source.components.extend(stanza.components);
        }
        source
    }
}

#[derive(Default)]
struct Stanza {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: String,
    off: bool,
}

impl Stanza {
    fn entries(&self, file: &Path) -> Vec<Entry> {
        let entry = |uri: &String, suite: &String| Entry {
            file: file.to_owned(),
            uri: uri.trim_end_matches('/').to_owned(),
            suite: suite.clone(),
            signed_by: self.signed_by.clone(),
        };
        self.uris.iter().flat_map(|uri| self.suites.iter().map(move |suite| entry(uri, suite))).collect()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(ToOwned::to_owned).collect()
}

/// `deb [OPTION=VALUE…] URI SUITE [COMPONENT…]`, one a line.
fn lines(text: &str) -> Vec<Stanza> {
    let mut stanzas = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else { continue };
        let (options, rest) = match rest.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let signed_by = options.split_ascii_whitespace().find_map(|option| option.strip_prefix("signed-by="));
        let mut rest = words(rest).into_iter();
        stanzas.push(Stanza {
            uris: rest.next().into_iter().collect(),
            suites: rest.next().into_iter().collect(),
            components: rest.collect(),
            signed_by: signed_by.unwrap_or_default().to_owned(),
            off: false,
        });
    }
    stanzas
}

/// Stanzas of `Field: value`, values going on in lines that begin with a space.
fn stanzas(text: &str) -> Vec<Stanza> {
    let mut stanzas = Vec::new();
    let mut stanza = Stanza::default();
    let mut field = String::new();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            let done = std::mem::take(&mut stanza);
            if !done.off && !done.uris.is_empty() {
                stanzas.push(done);
            }
            field.clear();
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let value = match line.split_once(':').filter(|_| !line.starts_with([' ', '\t'])) {
            Some((name, value)) => {
                field = name.to_ascii_lowercase();
                value
            }
            None => line,
        };
        match field.as_str() {
            "uris" => stanza.uris.extend(words(value)),
            "suites" => stanza.suites.extend(words(value)),
            "components" => stanza.components.extend(words(value)),
            "signed-by" => {
                let separator = if stanza.signed_by.is_empty() { "" } else { "\n" };
                stanza.signed_by = format!("{}{separator}{}", stanza.signed_by, value.trim());
            }
            "enabled" => stanza.off |= value.trim().eq_ignore_ascii_case("no"),
            "types" => stanza.off |= !words(value).iter().any(|word| word == "deb"),
            _ => {}
        }
    }
    stanzas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sources.list.d")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "sources.list",
            "# deb http://no x main\ndeb http://a/debian/ bookworm main contrib # note\ndeb-src http://no x main\n\
             deb\t[arch=amd64 signed-by=/k.gpg]   https://b stable ./\ndebug x\n",
        );
        write(
            "sources.list.d/c.sources",
            "# c\nTypes: deb\nURIs: http://c/1\n http://c/2/\nSuites: x y\nComponents: main\nSigned-By:\n -----BEGIN\n .\n\n\
             Enabled: no\nTypes: deb\nURIs: http://no\nSuites: x\n\nTypes: deb-src\nURIs: http://no\nSuites: x\n",
        );
        write("sources.list.d/d.list.disabled", "deb http://no x main\n");
        let entries = entries(folder.path()).unwrap();
        let told: Vec<String> = entries
            .iter()
            .map(|entry| {
                let file = entry.file.file_name().unwrap().to_str().unwrap();
                format!("{file} {} {} {:?}", entry.uri, entry.suite, entry.signed_by)
            })
            .collect();
        let expected = [
            "sources.list http://a/debian bookworm \"\"",
            "sources.list https://b stable \"/k.gpg\"",
            "c.sources http://c/1 x \"-----BEGIN\\n.\"",
            "c.sources http://c/1 y \"-----BEGIN\\n.\"",
            "c.sources http://c/2 x \"-----BEGIN\\n.\"",
            "c.sources http://c/2 y \"-----BEGIN\\n.\"",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_definition_is_read() {
        let text = "Types: deb\nURIs: http://h/r\nSuites: a b\nComponents: main extra\nSigned-By: /k\n";
        let source = Source::parse("x", text);
        assert_eq!(
            (source.uris, source.suites.len(), source.components),
            (vec!["http://h/r".into()], 2, words("main extra"))
        );
    }
}

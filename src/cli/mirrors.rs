//! The file that says what stands for a blueprint's repositories in a network of one's own.

use std::path::Path;

use anyhow::Result;
use distro::net::split_url;
use distro::network::{Key, KeyFrom, Login, Mirror};
use distro::{Class, Fault, openpgp};
use serde::Deserialize;
use steps::kinds::settings::{Data, Fit, Node};

use super::network::line_of;
use crate::blueprint::{Source, read_given};

/// One `[[mirror]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// URL that it stands for, as the blueprint has it, or the beginning of several.
    of: String,
    /// URL of the mirror.
    url: String,
    /// Key of the mirror, where it signs by itself: a file beside this one, or a URL.
    key: Option<String>,
    /// Fingerprints of that key.
    #[serde(default)]
    fingerprints: Vec<String>,
    /// Who we are to it.
    user: Option<String>,
    /// Password of that user, or the file that it stands in.
    password: Option<String>,
    password_file: Option<String>,
}

/// Reads the file at `path`.
///
/// # Errors
/// Class `usage` with the line of what is wrong.
pub fn load(path: &Path) -> Result<Vec<Mirror>> {
    let name = path.display().to_string();
    let text = String::from_utf8(read_given(path, "--mirrors")?)
        .map_err(|_| Fault::new(Class::Usage, format!("{name} is no text")).advice("save it as UTF-8"))?;
    let file = Source { name, text, class: Class::Usage };
    let root = file.parse()?;
    let mut mirrors = Vec::new();
    for field in root.fields() {
        let (true, Data::List(entries)) = (field.key == "mirror", &field.node.data) else {
            let message = format!("'{}' is nothing that a mirrors file has; write [[mirror]] tables", field.key);
            return Err(file.fault(field.span.clone(), &message).into());
        };
        for node in entries {
            mirrors.push(mirror(&file, path.parent().unwrap_or(Path::new("")), node)?);
        }
    }
    Ok(mirrors)
}

fn mirror(file: &Source, folder: &Path, node: &Node) -> Result<Mirror> {
    let entry: Entry = node.read().map_err(|mut misfit| {
        if misfit.place().contains("password") {
            misfit.fit = Fit::Other("not a text; put it in quotes".into());
        }
        file.misfit(&misfit, "mirror")
    })?;
    let at = |key: &str| node.field(key).map_or(node.span.clone(), |field| field.node.span.clone());
    let wrong = |key: &str, message: String| file.fault(at(key), &message);
    let url = |key: &str, url: &str| -> Result<(), Fault> {
        // It has the reason in it, and no login.
        split_url(url).map(drop).map_err(|error| wrong(key, format!("'{key}': {error}; a login stands in 'user'")))
    };
    url("of", &entry.of)?;
    url("url", &entry.url)?;
    let login = match (&entry.user, password(folder, &entry)?) {
        (None, None) => None,
        (Some(user), Some(password)) => Some(Login { user: user.clone(), password }),
        (Some(_), None) => return Err(wrong("user", "'user' without 'password' or 'password_file'".into()).into()),
        (None, Some(_)) => return Err(wrong("url", "a password without 'user'".into()).into()),
    };
    if login.as_ref().is_some_and(|login| !login.fits_apt()) {
        let message = "apt takes no login with white space in it, and no empty one (apt_auth.conf(5))";
        return Err(wrong("user", message.to_owned()).into());
    }
    let key = match (&entry.key, entry.fingerprints.as_slice()) {
        (None, []) => None,
        (Some(_), []) => return Err(wrong("key", "'key' without 'fingerprints': which key is meant?".into()).into()),
        (None, _) => {
            return Err(wrong("fingerprints", "'fingerprints' without 'key': where is that key?".into()).into());
        }
        (Some(key), fingerprints) => {
            let full = fingerprints.iter().map(|text| openpgp::fingerprint(text)).collect::<Result<Vec<_>, _>>();
            let from = if key.contains("://") {
                url("key", key)?;
                KeyFrom::Url(key.clone())
            } else {
                let bytes = read_given(&folder.join(key), "'key' in the mirrors file")?;
                KeyFrom::Text(armored(bytes).map_err(|fault| wrong("key", format!("'{key}': {fault}")))?)
            };
            Some(Key { fingerprints: full.map_err(|why| wrong("fingerprints", why.to_string()))?, from })
        }
    };
    Ok(Mirror { of: entry.of, url: entry.url, key, login })
}

/// A keyring as text, which is how it is kept.
fn armored(bytes: Vec<u8>) -> Result<String, Fault> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => Ok(openpgp::armor(&openpgp::dearmor(error.as_bytes())?)),
    }
}

fn password(folder: &Path, entry: &Entry) -> Result<Option<String>> {
    match &entry.password_file {
        Some(path) => Ok(Some(line_of(read_given(&folder.join(path), "'password_file' in the mirrors file")?)?)),
        None => Ok(entry.password.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Result<Vec<Mirror>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [("mirrors.toml", text), ("pw", "p@ss:w/rd#?%\n"), ("key.asc", "-----BEGIN")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        std::fs::write(folder.path().join("key.gpg"), b"\x98\x33\x04 a packet").unwrap();
        load(&folder.path().join("mirrors.toml"))
    }

    #[test]
    fn a_mirror_with_everything() {
        let fingerprint = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
        let text = format!(
            "[[mirror]]\nof = \"https://a/deb\"\nurl = \"http://m:8081/a\"\nuser = 'CORP\\jo'\npassword_file = \"pw\"\n\
             key = \"key.asc\"\nfingerprints = [\"{fingerprint}\"]\n[[mirror]]\nof = \"https://b\"\nurl = \"https://m/b\"\n"
        );
        let mirrors = loaded(&text).unwrap();
        let login = mirrors[0].login.as_ref().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("CORP\\jo", "p@ss:w/rd#?%"));
        let key = mirrors[0].key.as_ref().unwrap();
        assert_eq!(key.fingerprints, [fingerprint.replace(' ', "")]);
        assert_eq!(key.from, KeyFrom::Text("-----BEGIN".into()));
        assert!(mirrors[1].login.is_none() && mirrors[1].key.is_none());
        let binary = loaded(&text.replace("key.asc", "key.gpg")).unwrap();
        let KeyFrom::Text(key) = &binary[0].key.as_ref().unwrap().from else { panic!("no text") };
        assert_eq!(openpgp::dearmor(key.as_bytes()).unwrap(), b"\x98\x33\x04 a packet");
        assert!(loaded("").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_no_password() {
        let mirror = "[[mirror]]\nof = \"https://a\"\nurl = \"https://m\"\n";
        for (more, line, wanted) in [
            ("user = \"jo\"", 4, "'user' without 'password' or 'password_file'"),
            ("password = \"hunter2\"", 3, "a password without 'user'"),
            ("user = \"jo\"\npassword = \"hunter2 x\"", 4, "no login with white space"),
            ("user = \"jo\"\npassword = 20230117", 5, "password of mirror: not a text"),
            ("key = \"key.asc\"", 4, "'key' without 'fingerprints'"),
            ("fingerprints = [\"00\"]", 4, "'fingerprints' without 'key'"),
            ("key = \"key.asc\"\nfingerprints = [\"00\"]", 5, "'00' is not a full fingerprint"),
            ("key = \"ftp://m/key\"\nfingerprints = [\"00\"]", 4, "'ftp://m/key' is not an http or https URL"),
            ("uri = \"https://m\"", 4, "unknown key 'uri' in mirror; did you mean 'url'?"),
            ("[mirrors]", 4, "'mirrors' is nothing that a mirrors file has"),
        ] {
            let error = loaded(&format!("{mirror}{more}\n")).err().unwrap();
            let fault = Fault::find(&error).unwrap();
            assert_eq!(fault.class, Class::Usage);
            assert!(
                fault.message.contains(&format!("mirrors.toml:{line}: ")) && fault.message.contains(wanted),
                "{fault}"
            );
            assert!(!format!("{fault:?}").contains("hunter2") && !format!("{fault:?}").contains("20230117"));
        }
        let error = loaded("[[mirror]]\nof = \"https://a\"\nurl = \"https://jo:hunter2@m\"\n").err().unwrap();
        assert!(error.to_string().contains("has a user or a password in it; a login stands in 'user'"), "{error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

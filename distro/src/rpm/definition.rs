//! Our repositories as dnf and yum read them (dnf.conf(5), yum.conf(5)). Packages and the index have to be signed, whatever the host's own
//! settings are: what stands in a repository's section counts more than these.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::repos::{self, MANAGED};
use crate::packages::definition::{Definition, Part, Pin, Rival};

/// Where repositories are defined.
pub const FOLDER: &str = "/etc/yum.repos.d";

/// Where our repository `name` is defined.
pub fn definition_path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.repo"))
}

/// Where the keyring of our repository `name` is.
pub fn keyring_path(name: &str) -> PathBuf {
    Path::new("/etc/pki/rpm-gpg").join(format!("RPM-GPG-KEY-{name}"))
}

/// The definition. `more` are lines that only one of them knows.
pub fn parts(of: &Definition, more: &str) -> Vec<Part> {
    let name = &of.name;
    let login = of.login.as_ref().map(|login| format!("username={}\npassword={}\n", login.user, login.password));
    let only: Vec<String> = of.pins.iter().flat_map(included).collect();
    let only = if only.is_empty() { String::new() } else { format!("includepkgs={}\n", only.join(",")) };
    // Further addresses of the same repository stand in lines of their own, which begin with a space.
    let text = format!(
        "{MANAGED}\n[{name}]\nname={name}\nbaseurl={}\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\nsslverify=1\n\
         {more}gpgkey=file://{}\n{only}{}",
        of.uris.join("\n "),
        keyring_path(name).display(),
        login.unwrap_or_default()
    );
    vec![Part { name: "definition", path: definition_path(name), text, is_secret: of.login.is_some() }]
}

/// `version 3.9.*` of `st2` as they select it.
fn included(pin: &Pin) -> Vec<String> {
    let version = pin.pin.strip_prefix("version ").unwrap_or("*");
    pin.packages.iter().map(|package| format!("{package}-{version}")).collect()
}

/// Of two repositories with the same id one is taken, whichever.
///
/// # Errors
/// Where a file that defines repositories cannot be read.
pub fn rival(of: &Definition) -> Result<Option<Rival>> {
    repos::rival(Path::new(FOLDER), &definition_path(&of.name), of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Login;

    const MORE: &str = "module_hotfixes=1\n";

    #[test]
    fn the_file_is_what_is_read() {
        let of = Definition {
            name: "redis".into(),
            uris: vec!["https://a.example.net/el9".into(), "https://b.example.net/el9".into()],
            ..Definition::default()
        };
        let text = "\
# Managed by surefoot.
[redis]
name=redis
baseurl=https://a.example.net/el9
 https://b.example.net/el9
enabled=1
gpgcheck=1
repo_gpgcheck=1
sslverify=1
module_hotfixes=1
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-redis
";
        let part = |text: String, is_secret| {
            [Part { name: "definition", path: "/etc/yum.repos.d/redis.repo".into(), text, is_secret }]
        };
        assert_eq!(parts(&of, MORE), part(text.into(), false));
        assert_eq!(parts(&of, ""), part(text.replace(MORE, ""), false));
        let pin = |packages: &[&str], pin: &str| Pin {
            packages: packages.iter().map(|name| (*name).to_owned()).collect(),
            pin: pin.to_owned(),
            priority: 1001,
        };
        let pins = vec![pin(&["st2", "st2web"], "version 3.9.*"), pin(&["st2"], "version 3.9-*")];
        let pinned = format!("{text}includepkgs=st2-3.9.*,st2web-3.9.*,st2-3.9-*\n");
        assert_eq!(parts(&Definition { pins, ..of.clone() }, MORE), part(pinned, false));
        let login = Some(Login { user: "jo".into(), password: "p@ss:w/rd#?%".into() });
        let with = format!("{text}username=jo\npassword=p@ss:w/rd#?%\n");
        assert_eq!(parts(&Definition { login, ..of }, MORE), part(with, true));
    }
}

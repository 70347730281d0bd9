//! Our repositories as libzypp reads them. Packages and the index have to be signed, whatever the host's own settings are: what stands in a
//! repository's section counts more than /etc/zypp/zypp.conf.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::Host;
use crate::network::Login;
use crate::packages::Entry;
use crate::packages::definition::{Definition, Part, Rival};
use crate::rpm::repos;

/// Where repositories are defined.
pub const FOLDER: &str = "/etc/zypp/repos.d";

/// Where our repository `name` is defined.
pub fn definition_path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.repo"))
}

/// Where the keyring of our repository `name` is.
pub fn keyring_path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.asc"))
}

/// The file that says who we are to our repository `name`.
pub fn login_path(name: &str) -> PathBuf {
    Path::new("/etc/zypp/credentials.d").join(format!("surefoot-{name}"))
}

/// The definition. Where there is a login, the address names the file that has it, and says that servers need not ask for it first.
pub fn parts(of: &Definition) -> Vec<Part> {
    let (name, login) = (&of.name, login_path(&of.name));
    let named = of
        .login
        .as_ref()
        .map(|_| format!("?credentials={}&auth=basic", login.file_name().unwrap_or_default().display()));
    let urls: Vec<String> =
        of.uris.iter().map(|uri| format!("{uri}{}", named.as_deref().unwrap_or_default())).collect();
    let text = format!(
        "# Managed by surefoot.\n[{name}]\nname={name}\nenabled=1\nautorefresh=1\nbaseurl={}\ntype=rpm-md\ngpgcheck=1\n\
         repo_gpgcheck=1\npkg_gpgcheck=1\ngpgkey=file://{}\n",
        urls.join("\n "),
        keyring_path(name).display(),
    );
    vec![Part { name: "definition", path: definition_path(name), text, is_secret: false }]
}

/// What stands in the file that says who we are.
pub fn login(of: &Login) -> String {
    format!("username={}\npassword={}\n", of.user, of.password)
}

/// Of two repositories with the same alias libzypp takes one, whichever.
///
/// # Errors
/// Where a file that defines repositories cannot be read.
pub fn rival(of: &Definition) -> Result<Option<Rival>> {
    repos::rival(Path::new(FOLDER), &definition_path(&of.name), of)
}

/// Every repository of `host` that is switched on and fetched over the network.
///
/// # Errors
/// Where a file that defines some cannot be read.
pub fn repositories(host: &Host) -> Result<Vec<Entry>> {
    let mut entries =
        repos::repositories(&host.facts, &host.facts.version, Path::new(FOLDER), &[], Path::new("/etc/zypp/vars.d"))?;
    // `dir:`, `hd:` and `cd:` are this host's own.
    entries.retain(|entry| entry.url.starts_with("http"));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_libzypp_reads() {
        let of = Definition {
            name: "redis".into(),
            uris: vec!["https://a.example.net/leap".into(), "https://b.example.net/leap".into()],
            ..Definition::default()
        };
        let text = "\
# Managed by surefoot.
[redis]
name=redis
enabled=1
autorefresh=1
baseurl=https://a.example.net/leap
 https://b.example.net/leap
type=rpm-md
gpgcheck=1
repo_gpgcheck=1
pkg_gpgcheck=1
gpgkey=file:///etc/zypp/repos.d/redis.asc
";
        let part = |text: &str| Part {
            name: "definition",
            path: "/etc/zypp/repos.d/redis.repo".into(),
            text: text.to_owned(),
            is_secret: false,
        };
        assert_eq!(parts(&of), [part(text)]);
        let jo = Login { user: "jo".into(), password: "p@ss:w/rd#?%".into() };
        assert_eq!(login(&jo), "username=jo\npassword=p@ss:w/rd#?%\n");
        let named = text.replace("/leap\n", "/leap?credentials=surefoot-redis&auth=basic\n");
        assert_eq!(parts(&Definition { login: Some(jo), ..of }), [part(&named)]);
    }
}

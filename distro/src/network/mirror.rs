//! Mirrors: what stands in a network of one's own for the package repositories that a blueprint names.

use serde::{Deserialize, Serialize};

use super::Login;

/// A mirror of one repository, or of all that have the beginning of their URLs in common.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The URL that it stands for: that one, and all below it.
    pub of: String,
    /// The URL that is asked instead.
    pub url: String,
    /// Keys of the mirror, where it signs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// Login to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

/// Whose signature a mirror's packages have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Full fingerprints of all its primary keys.
    pub fingerprints: Vec<String>,
    /// Where it is.
    pub from: KeyFrom,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFrom {
    /// It is fetched from this URL.
    Url(String),
    /// A keyring, ASCII-armored.
    Text(String),
}

impl Mirror {
    /// What is asked in place of `url`; none where this is no mirror of it.
    pub fn of(&self, url: &str) -> Option<String> {
        below(&self.of, url).map(|rest| format!("{}{rest}", self.url.trim_end_matches('/')))
    }

    /// The login that a request for `url` needs here: the mirror itself, and the key that it offers.
    fn login_for(&self, url: &str) -> Option<&Login> {
        let key = match self.key.as_ref().map(|key| &key.from) {
            Some(KeyFrom::Url(key)) if same_server(key, &self.url) => key == url,
            _ => false,
        };
        self.login.as_ref().filter(|_| key || below(&self.url, url).is_some())
    }

    /// Entries of apt_auth.conf(5) for it; empty where there is no login.
    pub fn apt_login(&self) -> String {
        let Some(Login { user, password }) = &self.login else { return String::new() };
        let key = match self.key.as_ref().map(|key| &key.from) {
            Some(KeyFrom::Url(key)) if same_server(key, &self.url) => Some(key),
            _ => None,
        };
        // With its scheme: without it, apt sends no login over http.
        let entry = |url: &String| format!("machine {} login {user} password {password}\n", url.trim_end_matches('/'));
        std::iter::once(&self.url).chain(key).map(entry).collect()
    }
}

/// What `url` has after `beginning`, where it begins so and the next part of its path begins there.
fn below<'u>(beginning: &str, url: &'u str) -> Option<&'u str> {
    let rest = url.strip_prefix(beginning.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Have two URLs scheme, host and port in common? Nobody else is sent a login.
fn same_server(one: &str, other: &str) -> bool {
    let server = |url: &str| -> String { url.split('/').take(3).collect::<Vec<_>>().join("/").to_ascii_lowercase() };
    server(one) == server(other)
}

/// The mirror of `url` among `mirrors`, and what is asked there: of several, the one that stands for the least.
pub(super) fn mirror_of<'m>(mirrors: &'m [Mirror], url: &str) -> Option<(&'m Mirror, String)> {
    let fitting = mirrors.iter().filter_map(|mirror| Some((mirror, mirror.of(url)?)));
    fitting.max_by_key(|(mirror, _)| mirror.of.trim_end_matches('/').len())
}

/// The login that a request for `url` needs: of several mirrors above it, that of the nearest.
pub(super) fn login_for<'m>(mirrors: &'m [Mirror], url: &str) -> Option<&'m Login> {
    let fitting = mirrors.iter().filter_map(|mirror| Some((mirror.url.len(), mirror.login_for(url)?)));
    fitting.max_by_key(|(length, _)| *length).map(|(_, login)| login)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(of: &str, url: &str) -> Mirror {
        let login = Login { user: "jo".into(), password: "p@ss:w/rd#?%".into() };
        Mirror { of: of.into(), url: url.into(), key: None, login: Some(login) }
    }

    #[test]
    fn urls_below_the_one_that_it_stands_for() {
        let one = mirror("https://repo.example/apt/", "http://mirror.corp:8081/example/");
        for (url, wanted) in [
            ("https://repo.example/apt", Some("http://mirror.corp:8081/example")),
            ("https://repo.example/apt/", Some("http://mirror.corp:8081/example/")),
            ("https://repo.example/apt/debian", Some("http://mirror.corp:8081/example/debian")),
            ("https://repo.example/aptly", None),
            ("http://repo.example/apt", None),
            ("https://repo.example", None),
        ] {
            assert_eq!(one.of(url).as_deref(), wanted, "{url}");
        }
        let all = [mirror("https://repo.example", "http://all.corp"), one];
        let asked = |url: &str| mirror_of(&all, url).map(|(_, url)| url);
        assert_eq!(asked("https://repo.example/apt/x").as_deref(), Some("http://mirror.corp:8081/example/x"));
        assert_eq!(asked("https://repo.example/key.asc").as_deref(), Some("http://all.corp/key.asc"));
        assert_eq!(asked("https://repo.example.net/"), None);
    }

    #[test]
    fn a_login_is_sent_to_the_mirror_and_to_nobody_else() {
        let key = |url: &str| Some(Key { fingerprints: Vec::new(), from: KeyFrom::Url(url.into()) });
        let with = Mirror { key: key("http://mirror.corp/keys/a.asc"), ..mirror("https://a", "http://mirror.corp/a") };
        let without = Mirror { login: None, ..mirror("https://b", "http://mirror.corp/b") };
        let all = [with.clone(), without];
        for (url, sent) in [
            ("http://mirror.corp/a/dists/x/InRelease", true),
            ("http://mirror.corp/keys/a.asc", true),
            ("http://mirror.corp/keys/b.asc", false),
            ("http://mirror.corp/b/dists/x/InRelease", false),
            ("https://mirror.corp/a/dists/x/InRelease", false),
            ("http://mirror.corp:8080/a/dists/x/InRelease", false),
        ] {
            assert_eq!(login_for(&all, url).is_some(), sent, "{url}");
        }
        let entry = "login jo password p@ss:w/rd#?%\n";
        let two = format!("machine http://mirror.corp/a {entry}machine http://mirror.corp/keys/a.asc {entry}");
        assert_eq!(with.apt_login(), two);
        let elsewhere = Mirror { key: key("http://keys.corp/a.asc"), ..with };
        assert_eq!(elsewhere.apt_login(), format!("machine http://mirror.corp/a {entry}"));
        assert!(login_for(&[elsewhere], "http://keys.corp/a.asc").is_none());
    }
}

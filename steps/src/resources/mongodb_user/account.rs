//! Who logs in to a MongoDB, and the URL that says so.

use std::path::Path;

use anyhow::Result;
use distro::files;

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// Database that the user is of.
    pub database: String,
    /// Name.
    pub name: String,
    /// Password, ASCII.
    pub password: String,
}

impl Account {
    /// As drivers take it.
    pub fn url(&self, addr: &str) -> String {
        let Self { database, name, password } = self;
        format!("mongodb://{}:{}@{addr}/{database}?authSource={database}", encoded(name), encoded(password))
    }

    /// The account that a file with such a URL holds; none where there is no such file.
    pub(super) fn in_file(path: &str) -> Result<Option<Self>> {
        let text = files::read(Path::new(path))?.unwrap_or_default();
        Ok(Self::of_url(String::from_utf8_lossy(&text).trim()))
    }

    fn of_url(url: &str) -> Option<Self> {
        let (login, rest) = url.strip_prefix("mongodb://")?.split_once('@')?;
        let (name, password) = login.split_once(':')?;
        let (_, database) = rest.rsplit_once("authSource=")?;
        Some(Self { database: database.to_owned(), name: decoded(name)?, password: decoded(password)? })
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_back() {
        for password in ["abc123", "a:b@c/d?e=f%g #&", "%", "ü"] {
            let account = Account { database: "shop".into(), name: "a@b".into(), password: password.into() };
            let url = account.url("127.0.0.1:27017");
            assert!(Account::of_url(&url) == Some(account), "{url}");
        }
        assert_eq!(
            Account { database: "admin".into(), name: "admin".into(), password: "x/y".into() }.url("127.0.0.1:1"),
            "mongodb://admin:x%2Fy@127.0.0.1:1/admin?authSource=admin"
        );
        for text in
            ["", "mongodb://a@b/c?authSource=c", "mongodb://a:%@b/c?authSource=c", "mongodb://a:%zz@b/c?authSource=c"]
        {
            assert!(Account::of_url(text).is_none(), "{text}");
        }
    }
}

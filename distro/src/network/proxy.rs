//! The address of a proxy.
//!
//! Programs take an address that they cannot parse for none and go direct, each for other values. So it is parsed here, strictly, and
//! everybody is given the same form of it: scheme, percent-encoded login, host, port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// What stays as it is in a login: RFC 3986 calls these unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a proxy is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP.
    Http,
    /// HTTP in TLS.
    Https,
    /// SOCKS 5; names are looked up by the proxy (`socks5h`): behind a firewall nobody else can.
    Socks,
}

impl Scheme {
    /// Name in URLs, and the port that is meant where none is given.
    const ALL: [(&str, Self, u16); 4] = [
        ("http", Self::Http, 80),
        ("https", Self::Https, 443),
        ("socks5h", Self::Socks, 1080),
        ("socks5", Self::Socks, 1080),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|row| row.1 == self).map_or("http", |row| row.0)
    }
}

/// Who we are to a proxy or a mirror.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// User name, as it is: `CORP\user`.
    pub user: String,
    /// Password, as it is.
    pub password: String,
}

impl Login {
    /// Can apt be told it? apt_auth.conf(5) has words between white space.
    pub fn fits_apt(&self) -> bool {
        let unfit = |c: char| c.is_whitespace() || c.is_control();
        [&self.user, &self.password].iter().all(|text| !text.is_empty() && !text.contains(unfit))
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.user)
    }
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is talked to.
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Who we are to it.
    pub login: Option<Login>,
}

impl Proxy {
    /// Reads `http://user:password@proxy.corp:3128`; without a scheme it is HTTP.
    ///
    /// # Errors
    /// Says what is wrong with it, in words that hold nothing of the login.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
            return Err("it has quotes around it".into());
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => ("http".to_owned(), text),
        };
        let Some((_, scheme, default)) = Scheme::ALL.into_iter().find(|row| row.0 == scheme) else {
            // Where there is no `://`, what stands before it may be anything.
            return Err(format!("'{}' is no kind of proxy that is known", shown(&scheme)));
        };
        if rest.to_ascii_lowercase().split(['?', '#']).next().is_some_and(|path| path.ends_with(".pac")) {
            return Err(
                "it is a proxy auto-configuration (PAC) file, which command line programs cannot read; open it in a \
                        browser and give the address that stands after 'PROXY' in it"
                    .into(),
            );
        }
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(self::login(login)?), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if let Some(odd) = place.chars().find(|c| "/?#".contains(*c)) {
            return Err(format!("'{odd}' and what follows it does not belong into the address of a proxy"));
        }
        let (host, port) = host_and_port(place)?;
        Ok(Self { scheme, host, port: port.unwrap_or(default), login })
    }

    /// The form that every program understands, login included: a secret.
    pub fn url(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
        let login = self.login.as_ref();
        let login = login.map(|login| format!("{}:{}@", encoded(&login.user), encoded(&login.password)));
        format!("{}://{}{}", self.scheme.name(), login.unwrap_or_default(), self.authority())
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        let open = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{}{}{}:{}", open.0, self.host, open.1, self.port)
    }
}

/// The proxy without its login.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value that may hold a login, without it.
pub fn shown(value: &str) -> String {
    let Some((before, after)) = value.rsplit_once('@') else { return value.to_owned() };
    let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
    if scheme.is_empty() { format!("…@{after}") } else { format!("{scheme}://…@{after}") }
}

fn login(text: &str) -> Result<Login, String> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |what: &str, text: &str| {
        let how = "write it as % and two hexadecimal digits, or give the login apart from the address (--proxy-user)";
        if let Some(odd) = text.chars().find(|c| "/?#[]\"'".contains(*c) || c.is_whitespace() || c.is_control()) {
            return Err(format!("the {what} in it has {odd:?} as it is: {how}"));
        }
        let bytes = text.as_bytes();
        let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        let bare = (0..bytes.len()).any(|at| bytes[at] == b'%' && !(hex(at + 1) && hex(at + 2)));
        let text = percent_decode_str(text).decode_utf8();
        match text {
            Ok(text) if !bare && !text.chars().any(char::is_control) => Ok(text.into_owned()),
            _ => Err(format!("the {what} in it has '%' as it is, or encodes no text: {how}")),
        }
    };
    let login = Login { user: decoded("user", user)?, password: decoded("password", password)? };
    if login.user.is_empty() { Err("it has a password and no user".into()) } else { Ok(login) }
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().map_err(|_| format!("'{address}' is no IPv6 address"))?;
            match (port.strip_prefix(':'), port) {
                (Some(port), _) => (address, Some(port)),
                (None, "") => (address, None),
                (None, odd) => return Err(format!("'{odd}' stands after the address")),
            }
        }
        None => match place.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(format!("'{place}' is not clear: put an IPv6 address into [brackets]"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if !is_host(host) {
        return Err(format!("'{host}' is not the name or address of a host"));
    }
    let number = |port: &str| port.parse().ok().filter(|number| *number > 0 && !port.starts_with('+'));
    let port = match port {
        Some(port) => Some(number(port).ok_or_else(|| format!("'{port}' is no port (1 to 65535)"))?),
        None => None,
    };
    Ok((host.to_owned(), port))
}

/// Is `text` the name of a host, or an address?
pub(super) fn is_host(text: &str) -> bool {
    let name = |text: &str| {
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        text.len() <= 253 && !text.starts_with('-') && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
    };
    let digits =
        text.split('.').next_back().is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    // What ends in a number is an address or a mistake (10.77.0, 10.0.0.256).
    text.parse::<Ipv6Addr>().is_ok() || text.parse::<Ipv4Addr>().is_ok() || !digits && name(text)
}

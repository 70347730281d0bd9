//! What a configuration of nginx says: which files it reads besides, as whom it works, which servers it has.

use std::ops::Range;

/// Longest name that nginx has room for in its table, where nobody made that larger.
pub const IN_TABLE: usize = 46;

/// A name of a site as nginx takes it beside other sites. It refuses a plain one that is too long for its table of names; the size of that is a setting for
/// all sites, which one of them cannot make without a clash with another. An expression is in no table.
pub fn server_name(name: &str) -> String {
    if name.len() <= IN_TABLE {
        return name.to_owned();
    }
    let name = name.to_lowercase().replace('.', "\\.");
    format!("~^{}$", name.strip_prefix("*\\.").map_or(name.clone(), |rest| format!(".+\\.{rest}")))
}

/// Does a site that says `other` answer in place of one whose `name` is written as [`server_name`] has it? Of two that say the same, the one does that nginx
/// reads first, and so `is_first`; expressions come after all exact names and after all with a wildcard.
pub fn answers_for(other: &str, name: &str, is_first: bool) -> bool {
    let (other, name) = (other.to_lowercase(), name.to_lowercase());
    let written = server_name(&name);
    if other == written {
        return is_first;
    }
    if other == name {
        return true;
    }
    if name == written {
        return false;
    }
    if let Some(rest) = other.strip_prefix("*.").or(other.strip_prefix('.')) {
        let is_itself = other.starts_with('.') && name == rest;
        return is_itself || name.strip_suffix(rest).is_some_and(|begin| begin.ends_with('.'));
    }
    // `www.*` fits some of the names that `*.example` does.
    other
        .strip_suffix('*')
        .is_some_and(|begin| begin.ends_with('.') && (name.starts_with(begin) || name.starts_with("*.")))
}

/// A block `server`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its names.
    pub names: Vec<String>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// What it says that it listens on.
    pub listens: Vec<Listen>,
    /// Folder of its pages.
    pub root: Option<String>,
    /// Where it stands in the text.
    pub place: Range<usize>,
}

/// A directive `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port of all addresses of the host, and whether of those of IPv6; none for a single address and a socket file.
    pub everywhere: Option<(bool, u16)>,
    /// Does it say that its server answers there where no name fits? Else the first one does that nginx reads.
    pub is_default: bool,
    /// Where it ends in the text: before the `;`.
    pub end: usize,
}

/// What a file says by itself, without those that it includes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// What it includes for all sites, as it is written: `/etc/nginx/conf.d/*.conf`.
    pub includes: Vec<String>,
    /// Group of the processes that read what sites need.
    pub group: Option<String>,
    /// Servers, in order.
    pub servers: Vec<Server>,
}

impl Config {
    /// Reads a text.
    pub fn read(text: &str) -> Self {
        let mut config = Self::default();
        // For each block that is open: its first word, and the server that it is.
        let mut blocks: Vec<(String, Option<Server>)> = Vec::new();
        let mut words: Vec<(String, usize)> = Vec::new();
        for (token, at) in tokens(text) {
            match token.as_str() {
                "{" => {
                    let (first, begin) = words.first().cloned().unwrap_or_default();
                    let server = Server { place: begin..begin, ..Server::default() };
                    let is_server = words.len() == 1 && first == "server";
                    blocks.push((first, is_server.then_some(server)));
                    words.clear();
                }
                "}" => {
                    if let Some((_, Some(mut server))) = blocks.pop() {
                        if server.ports.is_empty() {
                            server.ports.push(80);
                        }
                        server.place.end = at + 1;
                        config.servers.push(server);
                    }
                    words.clear();
                }
                ";" => {
                    let values: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
                    config.directive(&mut blocks, &values, at);
                    words.clear();
                }
                _ => words.push((token, at)),
            }
        }
        config
    }

    /// Takes up the directive that ends `at`.
    fn directive(&mut self, blocks: &mut [(String, Option<Server>)], words: &[&str], at: usize) {
        match (blocks, words) {
            ([.., (_, Some(server))], ["server_name", names @ ..]) => {
                server.names.extend(names.iter().map(|name| (*name).to_owned()));
            }
            ([.., (_, Some(server))], ["listen", to, how @ ..]) => {
                server.ports.extend(port(to));
                let is_default = how.iter().any(|word| ["default_server", "default"].contains(word));
                server.listens.push(Listen { everywhere: everywhere(to), is_default, end: at });
            }
            ([.., (_, Some(server))], ["root", folder]) => server.root = Some((*folder).to_owned()),
            ([(block, None)], ["include", pattern]) if block == "http" => self.includes.push((*pattern).to_owned()),
            // Without a group of its own it is that of the same name.
            ([], ["user", .., group]) => self.group = Some((*group).to_owned()),
            _ => {}
        }
    }

    /// Does it include, for all sites, what is named `name` in the folder `folder`?
    pub fn includes(&self, folder: &str, name: &str) -> bool {
        let fits = |pattern: &String| {
            let (within, names) = pattern.rsplit_once('/').unwrap_or(("", pattern));
            // A path that is not absolute is one from the folder of nginx.conf.
            let is_folder = within == folder || folder.strip_prefix("/etc/nginx/") == Some(within);
            let is_named = match names.split_once('*') {
                Some((begin, end)) => name.starts_with(begin) && name.ends_with(end),
                None => names == name,
            };
            is_folder && is_named
        };
        self.includes.iter().any(fits)
    }
}

/// `443`, `*:443`, `[::]:443`, `127.0.0.1`; none for a socket file.
fn port(listen: &str) -> Option<u16> {
    if listen.starts_with("unix:") {
        return None;
    }
    let last = listen.rsplit(':').next().unwrap_or(listen);
    Some(last.parse().unwrap_or(80))
}

/// `443`, `*:443`, `0.0.0.0:443` and `[::]:443`, which is of IPv6.
fn everywhere(listen: &str) -> Option<(bool, u16)> {
    let (address, port) = match listen.rsplit_once(':') {
        Some((address, port)) if !port.contains(']') => (address, port),
        _ if listen.bytes().all(|byte| byte.is_ascii_digit()) => ("*", listen),
        _ => (listen, "80"),
    };
    match address {
        "*" | "0.0.0.0" => Some((false, port.parse().ok()?)),
        "[::]" => Some((true, port.parse().ok()?)),
        _ => None,
    }
}

/// Words, `{`, `}` and `;`, without comments and quotes, each with where it begins.
fn tokens(text: &str) -> Vec<(String, usize)> {
    let mut tokens = Vec::new();
    let (mut word, mut begin) = (String::new(), 0);
    let mut quote = None;
    let mut comment = false;
    for (at, c) in text.char_indices() {
        if word.is_empty() && quote.is_none() {
            begin = at;
        }
        match (comment, quote) {
            (true, _) => comment = c != '\n',
            (_, Some(open)) if c == open => quote = None,
            (_, Some(_)) => word.push(c),
            _ => match c {
                '#' if word.is_empty() => comment = true,
                '"' | '\'' => quote = Some(c),
                c if "{};".contains(c) || c.is_whitespace() => {
                    if !word.is_empty() {
                        tokens.push((std::mem::take(&mut word), begin));
                    }
                    if !c.is_whitespace() {
                        tokens.push((c.to_string(), at));
                    }
                }
                c => word.push(c),
            },
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_for_a_name() {
        let (short, long) = ("wiki.lab.test", format!("{}.Lab.test", "a".repeat(40)));
        let (a, any) = ("a".repeat(40), format!("*.{long}"));
        for (other, name, answers) in [
            // First, and later.
            ("wiki.lab.test", short, [true, false]),
            ("Wiki.lab.test", short, [true, false]),
            ("*.lab.test", short, [false, false]),
            ("~^wiki\\.lab\\.test$", short, [false, false]),
            ("b", &long, [false, false]),
            (&long, &long, [true, true]),
            (&format!("~^{a}\\.lab\\.test$"), &long, [true, false]),
            (&format!("~^{a}\\.lab\\.test"), &long, [false, false]),
            ("*.lab.test", &long, [true, true]),
            ("*.LAB.test", &long, [true, true]),
            (".lab.test", &long, [true, true]),
            ("*.test", &long, [true, true]),
            ("*.ab.test", &long, [false, false]),
            (&format!(".{long}"), &long, [true, true]),
            (&format!("*.{long}"), &long, [false, false]),
            (&format!("{a}.*"), &long, [true, true]),
            (&format!("{a}.lab.*"), &long, [true, true]),
            ("aa.*", &long, [false, false]),
            ("*", &long, [false, false]),
            ("", &long, [false, false]),
            (&any, &any, [true, true]),
            (&format!("~^.+\\.{a}\\.lab\\.test$"), &any, [true, false]),
            (&format!(".{long}"), &any, [true, true]),
            ("*.lab.test", &any, [true, true]),
            ("www.*", &any, [true, true]),
            (&long, &any, [false, false]),
        ] {
            assert_eq!([true, false].map(|is_first| answers_for(other, name, is_first)), answers, "{other} {name}");
        }
    }

    #[test]
    fn servers_of_a_configuration() {
        let text = "http { # server { listen 1; }\n\
                    upstream x { server 127.0.0.1:81; }\n\
                    server { listen 80 default_server; listen [::]:8080 ssl; server_name a.example \"b;c\";\n\
                    location / { return 301 https://$host$request_uri; } }\n\
                    server { listen 127.0.0.1; listen unix:/run/x; server_name '*.d'; }\n\
                    server { server_name e; } }\n";
        let found = Config::read(text).servers;
        let told: Vec<(String, &[u16])> =
            found.iter().map(|server| (server.names.join(" "), &server.ports[..])).collect();
        let wanted: [(&str, &[u16]); 3] = [("a.example b;c", &[80, 8080]), ("*.d", &[80]), ("e", &[80])];
        assert_eq!(told, wanted.map(|(names, ports)| (names.to_owned(), ports)));
        assert_eq!(&text[found[2].place.clone()], "server { server_name e; }");
        assert!(text[found[0].place.clone()].starts_with("server { listen 80 default_server;"));
        for text in ["", "}", "server", "server {", "server { listen"] {
            assert!(Config::read(text).servers.is_empty(), "{text}");
        }
    }

    #[test]
    fn what_a_server_listens_on() {
        let text = "server { listen 80 default_server; listen [::]:80 ipv6only=on; listen *:81; listen 0.0.0.0 ; root /srv/w; \
                    location / { root /srv/x; } }\nserver { listen 127.0.0.1:80; listen unix:/run/x; listen [::1]:80; listen [::]; }\n";
        let servers = Config::read(text).servers;
        let told = |server: &Server| -> Vec<(Option<(bool, u16)>, bool)> {
            server.listens.iter().map(|listen| (listen.everywhere, listen.is_default)).collect()
        };
        let first = [
            (Some((false, 80)), true),
            (Some((true, 80)), false),
            (Some((false, 81)), false),
            (Some((false, 80)), false),
        ];
        assert_eq!(told(&servers[0]), first);
        assert_eq!(told(&servers[1]), [(None, false), (None, false), (None, false), (Some((true, 80)), false)]);
        assert!(servers[0].listens.iter().all(|listen| text[listen.end..].starts_with(';')));
        assert_eq!((servers[0].root.as_deref(), servers[1].root.as_deref()), (Some("/srv/w"), None));
    }

    #[test]
    fn what_it_includes_and_who_it_is() {
        let config = Config::read(
            "user nginx;\ninclude /usr/share/nginx/modules/*.conf;\nhttp {\n include /etc/nginx/mime.types;\n \
             include conf.d/*.conf;\n # include /etc/nginx/sites-enabled/*;\n server { include /etc/nginx/default.d/*.conf; }\n}\n",
        );
        assert_eq!(config.group.as_deref(), Some("nginx"));
        assert_eq!(config.includes, ["/etc/nginx/mime.types", "conf.d/*.conf"]);
        for (folder, name, included) in [
            ("/etc/nginx/conf.d", "a.conf", true),
            ("/etc/nginx/conf.d", "a", false),
            ("/etc/nginx/sites-enabled", "a.conf", false),
            ("/etc/nginx/default.d", "a.conf", false),
        ] {
            assert_eq!(config.includes(folder, name), included, "{folder}/{name}");
        }
        let debian = Config::read("user www-data web;\nhttp { include /etc/nginx/sites-enabled/*; }");
        assert!(debian.includes("/etc/nginx/sites-enabled", "a"));
        assert_eq!(debian.group.as_deref(), Some("web"));
    }
}

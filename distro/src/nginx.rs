//! What a configuration of nginx says: which files it reads besides, as whom it works, which servers it has.

mod included;
mod tokens;

use std::net::IpAddr;
use std::ops::Range;

use self::tokens::tokens;
use crate::net::SITES_AT;
use crate::pattern::is_like;

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
        // `.example` stands in the table as `example`, and beside it as `*.example`.
        let rest = name.strip_prefix("*.").unwrap_or(&name);
        return is_first && other.strip_prefix('.') == Some(rest);
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
    /// Does it pass connections on (`stream`, `mail`), rather than speak HTTP?
    pub stream: bool,
}

/// A directive `listen`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Port of all addresses of the host, and whether of those of IPv6; none for a single address and a socket file.
    pub everywhere: Option<(bool, u16)>,
    /// Its only address, with the port.
    pub single: Option<(IpAddr, u16)>,
    /// Does it take the addresses of IPv4 with those of IPv6 (`ipv6only=off`)?
    pub both: bool,
    /// As it is written.
    pub said: String,
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
    /// What it includes for connections that it passes on.
    pub streams: Vec<String>,
    /// What it includes outside of all blocks.
    pub outside: Vec<String>,
    /// Group of the processes that read what sites need.
    pub group: Option<String>,
    /// Servers, in order.
    pub servers: Vec<Server>,
}

impl Config {
    /// Reads a text.
    pub fn read(text: &str) -> Self {
        Self::read_in(text, "")
    }

    /// Reads a text that is included in a `block`; outside of all, where that is empty.
    fn read_in(text: &str, block: &str) -> Self {
        let mut config = Self::default();
        // For each block that is open: its first word, and the server that it is.
        let mut blocks: Vec<(String, Option<Server>)> = Vec::new();
        blocks.extend((!block.is_empty()).then(|| (block.to_owned(), None)));
        let mut words: Vec<(String, usize)> = Vec::new();
        for (token, at) in tokens(text) {
            match token.as_str() {
                "{" => {
                    let (first, begin) = words.first().cloned().unwrap_or_default();
                    let stream = blocks.iter().any(|(word, _)| passes_on(word));
                    let server = Server { place: begin..begin, stream, ..Server::default() };
                    let is_server = words.len() == 1 && first == "server";
                    blocks.push((first, is_server.then_some(server)));
                    words.clear();
                }
                "}" => {
                    if let Some((_, Some(mut server))) = blocks.pop() {
                        if server.listens.is_empty() {
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
                let has = |one: &[&str]| how.iter().any(|word| one.contains(word));
                let is_udp = has(&["udp", "quic"]);
                server.ports.extend(ports(to).into_iter().flatten().filter(|_| !is_udp));
                server.listens.push(Listen {
                    everywhere: everywhere(to).filter(|_| !is_udp),
                    single: single(to).filter(|_| !is_udp),
                    both: has(&["ipv6only=off"]),
                    said: words.join(" "),
                    is_default: has(&["default_server", "default"]),
                    end: at,
                });
            }
            ([.., (_, Some(server))], ["root", folder]) => server.root = Some((*folder).to_owned()),
            ([(block, None)], ["include", pattern]) if block == "http" => self.includes.push((*pattern).to_owned()),
            ([(block, None)], ["include", pattern]) if passes_on(block) => self.streams.push((*pattern).to_owned()),
            ([], ["include", pattern]) => self.outside.push((*pattern).to_owned()),
            // Without a group of its own it is that of the same name.
            ([], ["user", .., group]) => self.group = Some((*group).to_owned()),
            _ => {}
        }
    }

    /// Does it include, for all sites, what is named `name` in the folder `folder`?
    pub fn includes(&self, folder: &str, name: &str) -> bool {
        let fits = |pattern: &String| {
            let pattern = absolute(pattern);
            pattern.rsplit_once('/').is_some_and(|(within, names)| within == folder && is_like(name, names))
        };
        self.includes.iter().any(fits)
    }
}

/// Is it a block whose servers pass connections on?
fn passes_on(block: &str) -> bool {
    ["stream", "mail"].contains(&block)
}

/// A path that is not absolute is one from the folder of nginx.conf.
fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/etc/nginx/{path}") }
}

/// What keeps a site from its ports that listens on all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Connections there are passed on.
    Stream,
    /// Those of IPv4 are taken along with those of IPv6.
    Both,
    /// A single address is taken: nginx takes all of them after a restart only, and asks the other site there.
    Single,
}

/// The first of `servers` that keeps a site from `ports` of all addresses, of IPv6 too with `ipv6`: where it stands among them, and what it says. nginx finds
/// that out when it is to listen, not when its configuration is tested.
pub fn obstacle(servers: &[&Server], ports: &[u16], ipv6: bool) -> Option<(usize, String, Obstacle)> {
    let sites = || servers.iter().filter(|server| !server.stream);
    let is_taken = |of_all: (bool, u16)| {
        let takes = |server: &&&Server| {
            let says = server.listens.iter().any(|listen| listen.everywhere == Some(of_all));
            says || (server.listens.is_empty() && of_all == (false, 80))
        };
        sites().any(|server| takes(&server))
    };
    let of = |server: &Server, listen: &Listen| {
        let port = listen.everywhere.map(|(_, port)| port).or(listen.single.map(|(_, port)| port))?;
        if !ports.contains(&port) {
            return None;
        }
        if server.stream {
            return Some(Obstacle::Stream);
        }
        if listen.both {
            return Some(Obstacle::Both);
        }
        let (address, _) = listen.single.filter(|(address, _)| ipv6 || address.is_ipv4())?;
        // Ours is asked there, too.
        let is_ours = address == SITES_AT;
        (is_ours || !is_taken((address.is_ipv6(), port))).then_some(Obstacle::Single)
    };
    let found = |(n, server): (usize, &&Server)| {
        server.listens.iter().find_map(|listen| Some((n, listen.said.clone(), of(server, listen)?)))
    };
    servers.iter().enumerate().find_map(found)
}

/// `443`, `*:443`, `[::]:443`, `127.0.0.1`, and from `8000-8010` all of these; none for a socket file.
fn ports(listen: &str) -> Option<std::ops::RangeInclusive<u16>> {
    if listen.starts_with("unix:") {
        return None;
    }
    let last = listen.rsplit(':').next().unwrap_or(listen);
    let range = last.split_once('-').and_then(|(first, last)| Some(first.parse().ok()?..=last.parse().ok()?));
    let port = last.parse().unwrap_or(80);
    Some(range.unwrap_or(port..=port))
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

/// `127.0.0.1`, `10.0.0.1:443` and `[::1]:443`.
fn single(listen: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = match listen.rsplit_once(':') {
        Some((address, port)) if !port.contains(']') => (address, port),
        _ => (listen, "80"),
    };
    let address: IpAddr = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some((address, port.parse().ok()?)).filter(|(address, _)| !address.is_unspecified())
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
            (".wiki.lab.test", short, [true, false]),
            (".WIKI.lab.test", "*.wiki.lab.test", [true, false]),
            (".lab.test", short, [false, false]),
            (".iki.lab.test", short, [false, false]),
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
        let range = Config::read("server { listen 8080-8082; listen [::]:90; listen 443 quic; }").servers;
        assert_eq!(range[0].ports, [8080, 8081, 8082, 90]);
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
    fn what_keeps_a_site_from_its_ports() {
        for (text, wanted) in [
            ("server { listen 80; listen [::]:80; }", None),
            ("server { }", None),
            ("server { listen 10.0.0.5:80; }", Some((0, "listen 10.0.0.5:80", Obstacle::Single))),
            ("server { } server { listen 10.0.0.5; }", None),
            ("server { listen 80; } server { listen 10.0.0.5:80; }", None),
            ("server { listen 81; } server { listen 10.0.0.5:80; }", Some((1, "listen 10.0.0.5:80", Obstacle::Single))),
            ("server { listen 10.0.0.5:81; listen unix:/run/x; listen localhost:80; }", None),
            // Of ours, those who ask there get the other: we ask it elsewhere.
            ("server { listen 127.0.0.1; listen 80; }", None),
            ("server { listen 127.0.0.1; }", Some((0, "listen 127.0.0.1", Obstacle::Single))),
            ("server { listen 127.0.0.2; listen 80; }", Some((0, "listen 127.0.0.2", Obstacle::Single))),
            ("server { listen 8080-8090; listen 10.0.0.5:443 quic; }", None),
            ("server { listen 80; listen [::1]:80; }", Some((0, "listen [::1]:80", Obstacle::Single))),
            ("server { listen 80; listen [::]:80; listen [::1]:80; }", None),
            (
                "server { listen [::]:80 ipv6only=off ssl; }",
                Some((0, "listen [::]:80 ipv6only=off ssl", Obstacle::Both)),
            ),
            ("server { listen [::]:8080 ipv6only=off; }", None),
            ("stream { server { listen 80; } }", Some((0, "listen 80", Obstacle::Stream))),
            ("stream { server { listen 127.0.0.1:80; } }", Some((0, "listen 127.0.0.1:80", Obstacle::Stream))),
            ("stream { server { listen 80 udp; } } http { server { listen 80; } }", None),
        ] {
            let servers = Config::read(text).servers;
            let found = obstacle(&servers.iter().collect::<Vec<_>>(), &[80, 443], true);
            let wanted = wanted.map(|(n, said, what): (usize, &str, Obstacle)| (n, said.to_owned(), what));
            assert_eq!(found, wanted, "{text}");
        }
        let servers = Config::read("server { listen 80; listen [::1]:80; }").servers;
        assert_eq!(obstacle(&[&servers[0]], &[80], false), None);
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

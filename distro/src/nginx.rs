//! What a configuration of nginx says: which files it reads besides, as whom it works, which servers it has.

use std::ops::Range;

/// A block `server`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its names.
    pub names: Vec<String>,
    /// Its ports.
    pub ports: Vec<u16>,
    /// Where it stands in the text.
    pub place: Range<usize>,
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
                    config.directive(&mut blocks, &values);
                    words.clear();
                }
                _ => words.push((token, at)),
            }
        }
        config
    }

    fn directive(&mut self, blocks: &mut [(String, Option<Server>)], words: &[&str]) {
        match (blocks, words) {
            ([.., (_, Some(server))], ["server_name", names @ ..]) => {
                server.names.extend(names.iter().map(|name| (*name).to_owned()));
            }
            ([.., (_, Some(server))], ["listen", to, ..]) => server.ports.extend(port(to)),
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

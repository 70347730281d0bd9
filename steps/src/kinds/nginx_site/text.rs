//! The file that describes a site to nginx.

use std::time::Duration;

use distro::nginx::server_name;

use crate::kinds::offer::{Certificate, Users};

/// Mozilla's intermediate list (version 5.7): what browsers of the last ten years have, and nothing that is known to be weak.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                       ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
                       DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305";
/// Those of them that use no shared prime.
const CURVES_ONLY: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
                           ECDHE-RSA-AES256-GCM-SHA384";
/// How long a server that sends events may be silent.
const EVENTS: Duration = Duration::from_secs(3600);

/// Where the answers come from.
pub(super) enum Source {
    Folder(String),
    Server(String),
}

/// What a site has that is served by TLS.
pub(super) struct Tls {
    pub files: Certificate,
    /// Port whose requests are sent to that of the site.
    pub http_port: u16,
}

/// A part of the site.
pub(super) struct Location {
    pub path: String,
    pub source: Source,
    /// May everybody see it?
    pub open: bool,
    pub events: bool,
    pub timeout: Option<Duration>,
    /// In place of the server's answer, while it does not run.
    pub down: Option<Answer>,
}

/// An answer of nginx's own.
pub(super) struct Answer {
    pub status: u16,
    pub sort: String,
    pub body: String,
}

/// A site.
pub(super) struct Site<'a> {
    pub names: &'a [String],
    pub port: u16,
    pub tls: Option<&'a Tls>,
    pub users: Option<&'a Users>,
    pub source: &'a Source,
    pub locations: &'a [Location],
    /// Does the host speak IPv6?
    pub ipv6: bool,
    /// Is HTTP/2 a directive of its own?
    pub http2_directive: bool,
    /// Is it an nginx of before TLS 1.3?
    pub before_tls13: bool,
    /// Are NIST's curves all that OpenSSL has there, or may use?
    pub only_nist: bool,
}

/// Lines with their indent.
#[derive(Default)]
struct Text {
    text: String,
    depth: usize,
}

impl Text {
    fn line(&mut self, line: impl AsRef<str>) {
        let line = line.as_ref();
        if !line.is_empty() {
            self.text.push_str(&"    ".repeat(self.depth));
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    fn block(&mut self, head: &str, inside: impl FnOnce(&mut Self)) {
        self.line(format!("{head} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line("}");
    }
}

impl Site<'_> {
    /// Text of the file.
    pub fn text(&self) -> String {
        let mut text = Text::default();
        text.line("# Written by surefoot: what is changed here is put back at its next run.");
        if let Some(tls) = self.tls {
            text.block("server", |text| {
                self.listen(text, tls.http_port, "");
                text.line(format!("server_name {};", self.server_names()));
                text.line("server_tokens off;");
                text.line("");
                let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
                // Both keep the method of the request.
                let status = if self.before_tls13 { 307 } else { 308 };
                let redirect = format!("return {status} https://$host{port}$request_uri;");
                let Some(webroot) = &tls.files.webroot else { return text.line(redirect) };
                // Outside of a location it would come before all of them.
                text.block("location /", |text| text.line(redirect));
                text.line("");
                text.line("# Where an authority gives the certificate, it looks here for what it asked for.");
                text.block("location ^~ /.well-known/acme-challenge/", |text| {
                    text.line(format!("alias {webroot}/;"));
                    text.line("types { }");
                    text.line("default_type application/octet-stream;");
                });
            });
            text.line("");
        }
        text.block("server", |text| {
            self.head(text);
            self.body(text);
        });
        text.text
    }

    fn server_names(&self) -> String {
        self.names.iter().map(|name| server_name(name)).collect::<Vec<_>>().join(" ")
    }

    fn head(&self, text: &mut Text) {
        match self.tls {
            None => self.listen(text, self.port, ""),
            Some(_) if self.http2_directive => {
                self.listen(text, self.port, " ssl");
                text.line("http2 on;");
            }
            Some(_) => self.listen(text, self.port, " ssl http2"),
        }
        text.line(format!("server_name {};", self.server_names()));
        text.line("server_tokens off;");
        text.line("");
        if let Some(tls) = self.tls {
            text.line(format!("ssl_certificate {};", tls.files.certificate));
            text.line(format!("ssl_certificate_key {};", tls.files.key));
            text.line("ssl_session_timeout 1d;");
            text.line("ssl_session_cache shared:surefoot:10m;");
            text.line("ssl_session_tickets off;");
            // nginx refuses a list with a curve that OpenSSL does not have.
            let (protocols, curves, ciphers) = match (self.before_tls13, self.only_nist) {
                (true, _) => ("TLSv1.2", "prime256v1", CURVES_ONLY),
                (false, true) => ("TLSv1.2 TLSv1.3", "prime256v1:secp384r1", CIPHERS),
                (false, false) => ("TLSv1.2 TLSv1.3", "X25519:prime256v1:secp384r1", CIPHERS),
            };
            text.line(format!("ssl_protocols {protocols};"));
            text.line(format!("ssl_ecdh_curve {curves};"));
            text.line(format!("ssl_ciphers {ciphers};"));
            text.line("ssl_prefer_server_ciphers on;");
            text.line("# Compressed, a page would tell what is secret in it by its length (BREACH).");
            text.line("gzip off;");
            text.line("add_header Strict-Transport-Security \"max-age=63072000\" always;");
        }
        text.line("add_header X-Content-Type-Options nosniff always;");
        text.line("add_header X-Frame-Options SAMEORIGIN always;");
        text.line("add_header Referrer-Policy same-origin always;");
        text.line("");
        if let (Some(users), Some(name)) = (self.users, self.names.first()) {
            text.line(format!("auth_basic \"{name}\";"));
            text.line(format!("auth_basic_user_file {};", users.path));
            text.line("");
        }
    }

    fn listen(&self, text: &mut Text, port: u16, how: &str) {
        text.line(format!("listen {port}{how};"));
        if self.ipv6 {
            text.line(format!("listen [::]:{port}{how};"));
        }
    }

    fn body(&self, text: &mut Text) {
        if let Source::Folder(root) = self.source {
            text.line(format!("root {root};"));
            text.line("index index.html;");
            text.line("");
        }
        for (n, location) in self.locations.iter().enumerate() {
            text.block(&format!("location {}", location.path), |text| {
                if location.open && self.users.is_some() {
                    text.line("auth_basic off;");
                }
                match &location.source {
                    Source::Folder(root) => {
                        // What is taken off the path is put in front of the folder, so both end in a slash or neither does.
                        let end = if location.path.ends_with('/') { "/" } else { "" };
                        text.line(format!("alias {}{end};", root.trim_end_matches('/')));
                    }
                    Source::Server(url) => {
                        proxy(text, url, self.users.is_some() && !location.open);
                        if location.events {
                            text.line("proxy_buffering off;");
                            text.line("proxy_cache off;");
                        }
                        if let Some(down) = &location.down {
                            text.line(format!("error_page 502 ={} @down{n};", down.status));
                        }
                        if let Some(timeout) = location.timeout.or(location.events.then_some(EVENTS)) {
                            text.line(format!("proxy_read_timeout {}ms;", timeout.as_millis()));
                        }
                    }
                }
            });
            text.line("");
            if let Some(Answer { status, sort, body }) = &location.down {
                text.block(&format!("location @down{n}"), |text| {
                    text.line(format!("default_type {sort};"));
                    text.line(format!("return {status} '{body}';"));
                });
                text.line("");
            }
        }
        text.block("location /", |text| match self.source {
            Source::Folder(_) => text.line("try_files $uri $uri/ =404;"),
            Source::Server(url) => proxy(text, url, self.users.is_some()),
        });
    }
}

/// Hands requests on; `guarded`, they come from somebody who gave a password.
fn proxy(text: &mut Text, url: &str, guarded: bool) {
    text.line(format!("proxy_pass {url};"));
    text.line("proxy_http_version 1.1;");
    for (header, value) in [
        ("Host", "$host"),
        ("X-Real-IP", "$remote_addr"),
        ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
        ("X-Forwarded-Proto", "$scheme"),
        ("Connection", "\"\""),
        // Nginx takes any name for that of the user where it does not ask for passwords.
        ("X-Forwarded-User", if guarded { "$remote_user" } else { "\"\"" }),
    ] {
        text.line(format!("proxy_set_header {header} {value};"));
    }
    if guarded {
        text.line("proxy_set_header Authorization \"\";");
    }
}

//! `nginx_site`: a site of the web server nginx.

mod text;

use std::net::IpAddr;

use anyhow::Result;
use distro::layout::{Nginx, Sites};
use schemars::JsonSchema;
use serde::Deserialize;

use self::text::{Location, Source, Tls};
use super::offer::{Certificate, Users};
use super::units::Span;
use super::value::StepRef;
use super::{Context, Format, Kind, refused, unsupported};
use crate::Resource;
use crate::Stage;
use crate::resources::beside::Beside;
use crate::resources::checked::Checked;
use crate::resources::directory::Directory;
use crate::resources::file::File;
use crate::resources::packaged_default::PackagedDefault;
use crate::resources::packaged_server::PackagedServer;
use crate::resources::packages::Packages;
use crate::resources::service::{Ready, Service};
use crate::resources::site_login::SiteLogin;
use crate::resources::symlink::Symlink;

/// A site of nginx from the distribution: files of a folder, or what other servers answer. The site that the package brings makes way,
/// unless somebody uses it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Names that users type into their browser.
    #[schemars(length(min = 1))]
    names: Vec<String>,
    /// The step whose certificate the site shows: it is then served by TLS, and requests without are sent there.
    certificate: Option<StepRef>,
    /// TCP port: 443 with a certificate and 80 without one, where it is not given.
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// TCP port of requests without TLS, which are sent to `port`: 80 where it is not given. With `certificate` only.
    #[schemars(range(min = 1))]
    http_port: Option<u16>,
    /// Folder whose files are the site. Without it and `upstream`: a folder of its own.
    root: Option<String>,
    /// Template below the blueprint's `files/` that becomes the site's `index.html`.
    index: Option<String>,
    /// URL of the server whose answers are the site, such as `http://127.0.0.1:8080`.
    upstream: Option<String>,
    /// The step with the users who may see the site: each is asked for name and password.
    users: Option<StepRef>,
    /// Parts of the site that come from elsewhere.
    #[serde(default)]
    locations: Vec<Part>,
}

/// A part of a site: one of `root` and `upstream`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    /// What the part's paths begin with, such as `/api/`.
    path: String,
    /// Folder that has its files, below the same path: `/api/x` is `x` in it.
    root: Option<String>,
    /// URL of the server that answers. With a path, even a bare `/`, that takes the place of `path`.
    upstream: Option<String>,
    /// May everybody see it, although the site has `users`? The server that answers can then ask for passwords of its own.
    #[serde(default)]
    open: bool,
    /// Does it send events (server-sent events)? They are handed on at once, and may be an hour apart.
    #[serde(default)]
    events: bool,
    /// How long the server may be silent: 1 min where it is not given.
    timeout: Option<Span>,
    /// What is answered while the server does not run: nginx's own page, where it is not given.
    down: Option<Down>,
}

/// An answer in place of a server's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Down {
    /// Status code.
    status: u16,
    /// Sort of the text (`Content-Type`): `application/json`.
    #[serde(rename = "type")]
    sort: String,
    /// The text.
    body: String,
}

impl Kind for Settings {
    const NAME: &'static str = "nginx_site";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let layout = Nginx::of(cx.facts())?.ok_or_else(|| unsupported(Self::NAME, cx))?;
        let name = format!("{}-{}", cx.product(), cx.step());
        let tls = self.tls(cx)?;
        let port = self.port(cx, tls.as_ref())?;
        let source = self.source(cx, &format!("{}/{name}", layout.roots))?;
        let locations = self.locations.iter().map(|part| part.location(cx)).collect::<Result<Vec<_>>>()?;
        let users = self.users.as_ref().map(|step| Users::of(cx, step)).transpose()?;
        let site = text::Site {
            names: &self.names,
            port,
            tls: tls.as_ref(),
            users: users.as_ref(),
            source: &source,
            locations: &locations,
            ipv6: cx.facts().ipv6,
            http2_directive: layout.http2_directive,
        };
        let content = site.text();
        let index = self.index.as_deref().map(|index| cx.render(index, Format::Text)).transpose()?;
        let ports: Vec<u16> = [port].into_iter().chain(tls.as_ref().map(|tls| tls.http_port)).collect();

        let mut resources: Vec<Box<dyn Resource>> =
            vec![Box::new(Packages::new(vec![layout.package.to_owned()], vec![layout.unit.to_owned()]))];
        if let Source::Folder(root) = &source
            && self.root.is_none()
        {
            if !layout.has_roots() {
                resources.push(Box::new(Directory::new(layout.roots)));
            }
            resources.push(Box::new(Directory::new(root.clone())));
        }
        if let (Source::Folder(root), Some(index)) = (&source, index) {
            resources.push(Box::new(File::new(format!("{root}/index.html"), index)));
        }
        let files = self.files(&layout, &name, content, &ports);
        let mut config = vec![layout.main.into()];
        config.extend(files.iter().filter(|file| file.key() != layout.main).map(|file| file.key().into()));
        resources.extend(files);
        config.extend(tls.iter().flat_map(|tls| [&tls.files.certificate, &tls.files.key]).map(Into::into));
        // Renewed without us, it is taken up without us, which the site's answers show.
        let renewed = tls.iter().filter(|tls| tls.files.webroot.is_some() && self.host().is_some());
        let proven = renewed.map(|tls| tls.files.certificate.clone().into()).collect();
        resources.push(Box::new(Service {
            reload: true,
            config,
            proven,
            package: Some(layout.package.to_owned()),
            ready: Some(self.ready(port, tls.as_ref(), users.is_some())),
            ports,
            outside: true,
            check: check(),
            logs: vec![layout.log.into()],
            independent: true,
            ..Service::new(layout.unit)
        }));
        if let Some(users) = users {
            resources.push(Box::new(SiteLogin { url: self.url(port, tls.is_some()), users }));
        }
        Ok(resources)
    }
}

/// What refuses bad configuration.
fn check() -> Vec<String> {
    ["nginx", "-t", "-q"].map(str::to_owned).to_vec()
}

impl Settings {
    /// The file of the site where nginx reads it, and the site that its package brings out of the way.
    fn files(&self, layout: &Nginx, name: &str, content: String, ports: &[u16]) -> Vec<Box<dyn Resource>> {
        let checked = |inner: Box<dyn Resource>| Checked {
            path: inner.key(),
            inner,
            check: check(),
            unit: layout.unit.to_owned(),
        };
        let default = |path: &str, file: &str| PackagedDefault {
            path: path.to_owned(),
            file: file.to_owned(),
            package: layout.package.to_owned(),
        };
        let beside = |file: String, own: [&str; 2]| Beside {
            inner: Box::new(checked(Box::new(File::new(file, content)))),
            names: self.names.clone(),
            ports: ports.to_vec(),
            files: layout.read.map(Into::into).to_vec(),
            own: own.map(Into::into).to_vec(),
        };
        // Read after everybody else's: the first site of a port is the one that answers where no name fits, and stays it.
        match layout.sites {
            Sites::Linked { available, enabled, default: (link, target) } => {
                let (file, enabled) = (format!("{available}/{name}.conf"), format!("{enabled}/zz-{name}.conf"));
                let symlink = Symlink { path: enabled.clone(), target: file.clone(), stage: Stage::Configure };
                vec![
                    Box::new(default(link, target)),
                    Box::new(beside(file, [&enabled, link])),
                    Box::new(checked(Box::new(symlink))),
                ]
            }
            Sites::Folder { folder, default: packaged } => {
                let file = format!("{folder}/zz-{name}.conf");
                let server = PackagedServer { path: layout.main.to_owned() };
                vec![
                    Box::new(default(packaged, packaged)),
                    Box::new(checked(Box::new(server))),
                    Box::new(beside(file.clone(), [&file, packaged])),
                ]
            }
        }
    }

    fn tls(&self, cx: &dyn Context) -> Result<Option<Tls>> {
        let Some(step) = &self.certificate else {
            return match self.http_port {
                None => Ok(None),
                Some(_) => Err(refused(cx, "'http_port' goes with 'certificate' only", "write 'port' in its place")),
            };
        };
        Ok(Some(Tls { files: Certificate::of(cx, step)?, http_port: self.http_port.unwrap_or(80) }))
    }

    fn port(&self, cx: &dyn Context, tls: Option<&Tls>) -> Result<u16> {
        let port = self.port.unwrap_or(if tls.is_some() { 443 } else { 80 });
        if port == 0 || self.http_port == Some(0) {
            return Err(refused(cx, "there is no port 0", "leave the port out for the usual one"));
        }
        if tls.is_some_and(|tls| tls.http_port == port) {
            let message = format!("port {port} cannot take requests with TLS and without");
            return Err(refused(cx, &message, "give 'port' and 'http_port' different numbers"));
        }
        Ok(port)
    }

    /// A name of a host, where there is one among its names.
    fn host(&self) -> Option<&String> {
        let is_host = |name: &&String| name.parse::<IpAddr>().is_err() && !name.contains(['*', '_', '[', ':']);
        self.names.iter().find(is_host)
    }

    fn url(&self, port: u16, tls: bool) -> String {
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}:{port}/", self.host().map_or("localhost", String::as_str))
    }

    /// What shows that the site is there: asked for by a name of its own, it answers, with its certificate, and refuses who has no
    /// password.
    fn ready(&self, port: u16, tls: Option<&Tls>, guarded: bool) -> Ready {
        Ready::Site {
            url: self.url(port, tls.is_some()),
            // A server that is asked for an address shows the certificate of whichever site is its first.
            certificate: tls.filter(|_| self.host().is_some()).map(|tls| tls.files.certificate.clone().into()),
            guarded,
        }
    }

    fn source(&self, cx: &dyn Context, own: &str) -> Result<Source> {
        if self.names.is_empty() {
            return Err(refused(cx, "'names' is empty", "give the name that users type into their browser"));
        }
        if let Some(name) = self.names.iter().find(|name| !is_server_name(name)) {
            return Err(refused(cx, &format!("'{name}' is not the name of a site"), "write it as www.example.org"));
        }
        if self.upstream.is_some() && self.index.is_some() {
            let advice = "the other server answers everything: leave one out";
            return Err(refused(cx, "'index' does not go with 'upstream'", advice));
        }
        let source = source(cx, self.root.as_deref(), self.upstream.as_deref())?;
        Ok(source.unwrap_or_else(|| Source::Folder(own.to_owned())))
    }
}

impl Part {
    fn location(&self, cx: &dyn Context) -> Result<Location> {
        let Self { path, root, upstream, open, events, timeout, down } = self;
        if !path.starts_with('/') || !is_plain(path) {
            let message = format!("the 'path' of a location cannot be '{path}'");
            return Err(refused(cx, &message, "give what its paths begin with, such as /api/"));
        }
        let Some(source) = source(cx, root.as_deref(), upstream.as_deref())? else {
            let message = format!("location '{path}' has neither 'root' nor 'upstream'");
            return Err(refused(cx, &message, "say where its answers come from"));
        };
        if root.is_some() && (*events || timeout.is_some() || down.is_some()) {
            let message = format!("location '{path}': 'events', 'timeout' and 'down' go with 'upstream' only");
            return Err(refused(cx, &message, "leave them out"));
        }
        if path == "/" {
            return Err(refused(cx, "'/' is the whole site, and no location", "give 'root' or 'upstream' of the step"));
        }
        let timeout = timeout.as_ref().map(|span| span.0);
        let down = down.as_ref().map(|down| down.answer(cx, path)).transpose()?;
        Ok(Location { path: path.clone(), source, open: *open, events: *events, timeout, down })
    }
}

impl Down {
    fn answer(&self, cx: &dyn Context, path: &str) -> Result<text::Answer> {
        let Self { status, sort, body } = self;
        let sorted =
            sort.split_once('/').is_some_and(|(one, two)| !one.is_empty() && !two.is_empty()) && is_plain(sort);
        // A quote ends the text for nginx, a dollar sign begins a variable.
        if !(200..600).contains(status) || !sorted || body.contains(['\'', '\\', '$']) || cx.has_secret(body) {
            let message = format!("location '{path}': 'down' cannot be written there");
            return Err(refused(cx, &message, "give status, type and a body without ', \\ and $"));
        }
        Ok(text::Answer { status: *status, sort: sort.clone(), body: body.clone() })
    }
}

fn source(cx: &dyn Context, root: Option<&str>, upstream: Option<&str>) -> Result<Option<Source>> {
    match (root, upstream) {
        (None, None) => Ok(None),
        (Some(root), None) if root.starts_with('/') && is_plain(root) => Ok(Some(Source::Folder(root.to_owned()))),
        (Some(root), None) => {
            let advice = "give an absolute path without spaces, quotes, '$' and ';'";
            Err(refused(cx, &format!("'root' is not a path that can be written there: '{root}'"), advice))
        }
        (None, Some(url)) => {
            // A URL with a user in it is refused by `split_url`, so that it can be shown.
            distro::net::split_url(url)
                .map_err(|error| refused(cx, &format!("'upstream': {error}"), "write it as http://127.0.0.1:8080"))?;
            if is_plain(url) && !cx.has_secret(url) {
                return Ok(Some(Source::Server(url.to_owned())));
            }
            let message = "'upstream' has a character in it that nginx takes for its own, or a secret";
            Err(refused(cx, message, "write it as http://127.0.0.1:8080"))
        }
        (Some(_), Some(_)) => Err(refused(cx, "'root' and 'upstream' do not go together", "leave one of them out")),
    }
}

/// A host name, also one that begins with `*.`, or an address.
fn is_server_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let good = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    !rest.is_empty() && !rest.starts_with('-') && rest.chars().all(good)
}

/// Nothing in it means anything to nginx, or could not be shown.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"\"'$;{}\\#".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    const SITE: &str = "file /etc/nginx/sites-available/demo-site.conf";

    #[test]
    fn a_site_of_files() {
        let resources =
            Step::new("site").expand::<Settings>(json!({"names": ["a.example", "b"], "index": "i.html"})).unwrap();
        let expected = [
            "packages all",
            "directory /var/www/demo-site",
            "file /var/www/demo-site/index.html",
            "absent /etc/nginx/sites-enabled/default",
            SITE,
            "symlink /etc/nginx/sites-enabled/zz-demo-site.conf",
            "service nginx.service",
        ];
        assert_eq!(names(&resources), expected);
        assert_eq!(wants(&resources, "file /var/www/demo-site/index.html"), "file 0644 root:root\nrendered i.html\n");
        assert_eq!(
            wants(&resources, SITE),
            "file 0644 root:root\n\
             # Written by surefoot: what is changed here is put back at its next run.\n\
             server {\n    listen 80;\n    listen [::]:80;\n    server_name a.example b;\n    server_tokens off;\n\n    \
             add_header X-Content-Type-Options nosniff always;\n    add_header X-Frame-Options SAMEORIGIN always;\n    \
             add_header Referrer-Policy same-origin always;\n\n    \
             root /var/www/demo-site;\n    index index.html;\n\n    \
             location / {\n        try_files $uri $uri/ =404;\n    }\n}\n"
        );
    }

    #[test]
    fn a_site_where_nginx_reads_them_from_one_folder() {
        let mut step = Step::new("site");
        step.facts.nginx = Some(distro::nginx::Config::read("user nginx; http { include /etc/nginx/conf.d/*.conf; }"));
        let resources = step.expand::<Settings>(json!({"names": ["a"], "certificate": "step:certificate"})).unwrap();
        let expected = [
            "packages all",
            "directory /var/www",
            "directory /var/www/demo-site",
            "absent /etc/nginx/conf.d/default.conf",
            "lines /etc/nginx/nginx.conf",
            "file /etc/nginx/conf.d/zz-demo-site.conf",
            "service nginx.service",
        ];
        assert_eq!(names(&resources), expected);
        let config = "config: [\"/etc/nginx/nginx.conf\", \"/etc/nginx/conf.d/default.conf\", \
                      \"/etc/nginx/conf.d/zz-demo-site.conf\", \"/c.crt\", \"/c.key\"]";
        let service = format!("{:?}", resources.last().unwrap());
        assert!(service.contains(config), "{service}");
    }

    #[test]
    fn a_site_of_another_server() {
        let mut step = Step::new("site");
        step.facts.ipv6 = false;
        let settings = json!({"names": ["a"], "port": 8080, "upstream": "http://127.0.0.1:9101"});
        let resources = step.expand::<Settings>(settings).unwrap();
        let text = wants(&resources, SITE);
        assert!(text.contains("    listen 8080;\n    server_name a;\n"), "{text}");
        assert!(text.contains("        proxy_pass http://127.0.0.1:9101;\n"), "{text}");
        assert_eq!(names(&resources).len(), 5);
    }

    #[test]
    fn a_site_with_tls() {
        let expand = |settings, debian: &str| {
            let mut step = Step::new("site");
            step.facts.base_version = debian.to_owned();
            let resources = step.expand::<Settings>(settings).unwrap();
            (wants(&resources, SITE), format!("{:?}", resources.last().unwrap()))
        };
        let (text, service) = expand(json!({"names": ["a"], "certificate": "step:certificate"}), "12");
        let begin = "server {\n    listen 80;\n    listen [::]:80;\n    server_name a;\n    server_tokens off;\n\n    \
                     return 308 https://$host$request_uri;\n}\n\n\
                     server {\n    listen 443 ssl http2;\n    listen [::]:443 ssl http2;\n    server_name a;\n";
        assert!(text.contains(begin), "{text}");
        for line in ["ssl_certificate /c.crt;", "ssl_certificate_key /c.key;", "ssl_protocols TLSv1.2 TLSv1.3;"] {
            assert!(text.contains(&format!("\n    {line}\n")), "{line} in {text}");
        }
        for part in ["a request for https://a:443/", "ports: [443, 80]", "\"/c.crt\", \"/c.key\"]"] {
            assert!(service.contains(part), "{part} in {service}");
        }
        let other = json!({"names": ["a"], "certificate": "step:certificate", "port": 8443, "http_port": 8080});
        let (text, _) = expand(other, "13");
        assert!(text.contains("    listen [::]:8443 ssl;\n    http2 on;\n"), "{text}");
        assert!(text.contains("    return 308 https://$host:8443$request_uri;\n"), "{text}");
    }

    #[test]
    fn a_site_whose_certificate_is_renewed_without_us() {
        let settings = json!({"names": ["a"], "certificate": "step:renewed"});
        let resources = Step::new("site").expand::<Settings>(settings).unwrap();
        let begin = "server {\n    listen 80;\n    listen [::]:80;\n    server_name a;\n    server_tokens off;\n\n    \
                     location / {\n        return 308 https://$host$request_uri;\n    }\n\n    \
                     # The authority of the certificate looks here for what it gave.\n    \
                     location ^~ /.well-known/acme-challenge/ {\n        alias /webroot/;\n        types { }\n        \
                     default_type application/octet-stream;\n    }\n}\n";
        let text = wants(&resources, SITE);
        assert!(text.contains(begin), "{text}");
        let service = format!("{:?}", resources.last().unwrap());
        assert!(service.contains("proven: [\"/c.crt\"]"), "{service}");
    }

    #[test]
    fn parts_of_a_site() {
        let locations = json!([
            {"path": "/api/", "upstream": "http://127.0.0.1:9101/", "timeout": "90 s",
             "down": {"status": 503, "type": "application/json", "body": "{\"a\": 1}"}},
            {"path": "/stream/", "upstream": "http://127.0.0.1:9102/", "events": true},
            {"path": "/docs/", "root": "/usr/share/doc"},
        ]);
        let resources = Step::new("site").expand::<Settings>(json!({"names": ["a"], "locations": locations})).unwrap();
        let text = wants(&resources, SITE);
        let proxied = |path: &str, port: u16, more: &str| {
            format!(
                "    location {path} {{\n        proxy_pass http://127.0.0.1:{port}/;\n        proxy_http_version 1.1;\n        \
                 proxy_set_header Host $host;\n        proxy_set_header X-Real-IP $remote_addr;\n        \
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n        \
                 proxy_set_header X-Forwarded-Proto $scheme;\n        proxy_set_header Connection \"\";\n        \
                 proxy_set_header X-Forwarded-User \"\";\n{more}    }}\n"
            )
        };
        for part in [
            proxied("/api/", 9101, "        error_page 502 =503 @down0;\n        proxy_read_timeout 90000ms;\n"),
            "    location @down0 {\n        default_type application/json;\n        return 503 '{\"a\": 1}';\n    }\n"
                .to_owned(),
            proxied(
                "/stream/",
                9102,
                "        proxy_buffering off;\n        proxy_cache off;\n        proxy_read_timeout 3600000ms;\n",
            ),
            "    location /docs/ {\n        alias /usr/share/doc/;\n    }\n".to_owned(),
            "    location / {\n        try_files".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }

    #[test]
    fn a_site_with_users() {
        let locations = json!([
            {"path": "/api/", "upstream": "http://127.0.0.1:9101/"},
            {"path": "/open/", "upstream": "http://127.0.0.1:9102/", "open": true},
        ]);
        let settings = json!({"names": ["a"], "users": "step:users", "locations": locations});
        let resources = Step::new("site").expand::<Settings>(settings).unwrap();
        assert_eq!(names(&resources).last().unwrap(), "login http://a:80/");
        assert!(!format!("{resources:?}").contains("hunter2"));
        let text = wants(&resources, SITE);
        assert!(text.contains("    auth_basic \"a\";\n    auth_basic_user_file /users;\n"), "{text}");
        // The password of the site is none of the server's business, and nobody can say that he is somebody.
        let of = |path: &str| text.split(&format!("location {path} {{")).nth(1).unwrap().split('}').next().unwrap();
        let user = "X-Forwarded-User $remote_user;";
        assert!(of("/api/").contains(user) && of("/api/").contains("proxy_set_header Authorization \"\";"), "{text}");
        assert!(of("/open/").contains("auth_basic off;") && of("/open/").contains("X-Forwarded-User \"\";"), "{text}");
        assert!(!of("/open/").contains("Authorization"), "{text}");
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let step = Step::new("site");
        for (settings, wanted) in [
            (json!({"names": []}), "'names' is empty"),
            (json!({"names": ["a;b"]}), "'a;b' is not the name of a site"),
            (json!({"names": ["a"], "port": 0}), "there is no port 0"),
            (json!({"names": ["a"], "http_port": 80}), "'http_port' goes with 'certificate' only"),
            (json!({"names": ["a"], "certificate": "step:redis"}), "step 'redis' has no certificate"),
            (
                json!({"names": ["a"], "certificate": "step:certificate", "port": 80}),
                "port 80 cannot take requests with TLS and without",
            ),
            (json!({"names": ["a"], "locations": [{"path": "a"}]}), "the 'path' of a location cannot be 'a'"),
            (json!({"names": ["a"], "users": "step:certificate"}), "step 'certificate' has no users"),
            (
                json!({"names": ["a"], "locations": [{"path": "/", "root": "/a"}]}),
                "'/' is the whole site, and no location",
            ),
            (json!({"names": ["a"], "locations": [{"path": "/a"}]}), "location '/a' has neither 'root' nor 'upstream'"),
            (
                json!({"names": ["a"], "locations": [{"path": "/a", "root": "/a", "events": true}]}),
                "location '/a': 'events', 'timeout' and 'down' go with 'upstream' only",
            ),
            (
                json!({"names": ["a"], "locations": [{"path": "/a", "upstream": "http://x/", "down": {"status": 503, "type": "a/b", "body": "$x"}}]}),
                "location '/a': 'down' cannot be written there",
            ),
            (json!({"names": ["a"], "root": "www"}), "'root' is not a path that can be written there: 'www'"),
            (json!({"names": ["a"], "root": "/w w"}), "'root' is not a path that can be written there: '/w w'"),
            (
                json!({"names": ["a"], "root": "/w", "upstream": "http://x/"}),
                "'root' and 'upstream' do not go together",
            ),
            (json!({"names": ["a"], "index": "i", "upstream": "http://x/"}), "'index' does not go with 'upstream'"),
            (json!({"names": ["a"], "upstream": "x"}), "'upstream': the URL is not valid: relative URL without a base"),
            (
                json!({"names": ["a"], "upstream": "http://x/$y"}),
                "'upstream' has a character in it that nginx takes for its own, or a secret",
            ),
            (
                json!({"names": ["a"], "upstream": "http://x/hunter2"}),
                "'upstream' has a character in it that nginx takes for its own, or a secret",
            ),
        ] {
            let error = step.expand::<Settings>(settings).unwrap_err();
            assert_eq!(distro::Fault::class_of(&error), distro::Class::Blueprint);
            assert_eq!(error.to_string(), format!("step 'site': {wanted}"));
        }
    }

    #[test]
    fn names_of_sites() {
        for (name, good) in [
            ("a.example", true),
            ("*.a.example", true),
            ("127.0.0.1", true),
            ("_", true),
            ("-a", false),
            ("", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(is_server_name(name), good, "{name}");
        }
    }
}

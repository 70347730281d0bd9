//! `nginx_site`: a site of the web server nginx.

mod text;

use std::net::{IpAddr, Ipv6Addr};

use anyhow::Result;
use distro::layout::{Nginx, Sites};
use distro::{Facts, selinux};
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
use crate::resources::main_servers::MainServers;
use crate::resources::packaged_default::PackagedDefault;
use crate::resources::packages::Packages;
use crate::resources::selinux::{Boolean, Content};
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
    /// Folder whose files are the site. Without it and `upstream`: a folder of its own, `/var/www/PRODUCT-STEP`.
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
    /// How long the server may be silent: 1 min where it is not given, 1 h with `events`.
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
    /// Its files have the step's name, and are in each other's way: of two sites of one name nginx serves one.
    const OUTLIVES_STEP: bool = false;

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
            before_tls13: layout.before_tls13,
            only_nist: cx.facts().fips || layout.before_x25519,
        };
        let text = site.text();
        let index = self.index.as_deref().map(|index| cx.render(index, Format::Text)).transpose()?;
        let ports: Vec<u16> = [port].into_iter().chain(tls.as_ref().map(|tls| tls.http_port)).collect();

        let sources = [&source].into_iter().chain(locations.iter().map(|location| &location.source));
        let folders = sources.filter_map(|source| match source {
            Source::Folder(folder) => Some(folder),
            Source::Server(_) => None,
        });
        let folders = folders.chain(tls.iter().filter_map(|tls| tls.files.webroot.as_ref()));
        let mut content: Vec<Content> = folders.filter_map(|folder| Content::of(folder, cx.facts())).collect();
        content.sort_by(|one, other| one.folder.cmp(&other.folder));
        content.dedup_by(|one, other| one.folder == other.folder);
        let packages = Packages::new(vec![layout.package.to_owned()], vec![layout.unit.to_owned()]);
        let mut resources: Vec<Box<dyn Resource>> = vec![Box::new(Packages { light: true, ..packages })];
        resources.extend(content.into_iter().map(|content| Box::new(content) as Box<dyn Resource>));
        if let Source::Folder(root) = &source
            && self.root.is_none()
        {
            if !layout.brings_roots {
                resources.push(Box::new(Directory::new(layout.roots)));
            }
            resources.push(Box::new(Directory::new(root.clone())));
        }
        if let (Source::Folder(root), Some(index)) = (&source, index) {
            resources.push(Box::new(File::new(format!("{root}/index.html"), index)));
        }
        let files = self.files(cx.facts(), &layout, &name, text, &ports);
        let mut config = vec![layout.main.into()];
        config.extend(files.iter().filter(|file| file.key() != layout.main).map(|file| file.key().into()));
        resources.extend(files);
        config.extend(tls.iter().flat_map(|tls| [&tls.files.certificate, &tls.files.key]).map(Into::into));
        // Renewed without us, it is taken up without us, which the site's answers show.
        let renewed = tls.iter().filter(|tls| tls.files.renewed && self.host().is_some());
        let proven = renewed.map(|tls| tls.files.certificate.clone().into()).collect();
        let asks_others = |source: &Source| matches!(source, Source::Server(_));
        if selinux::is_on(cx.facts())
            && (asks_others(&source) || locations.iter().any(|location| asks_others(&location.source)))
        {
            resources.push(Box::new(Boolean { name: "httpd_can_network_connect" }));
        }
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
            resources.push(Box::new(SiteLogin { url: self.url(port, tls.is_some()), site: self.site(), users }));
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
    fn files(
        &self,
        facts: &Facts,
        layout: &Nginx,
        name: &str,
        content: String,
        ports: &[u16],
    ) -> Vec<Box<dyn Resource>> {
        let (config, ipv6) = (&facts.nginx, facts.ipv6);
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
            unit: layout.unit.to_owned(),
            ports: ports.to_vec(),
        };
        let beside = |file: String, own: &[&str]| Beside {
            inner: Box::new(checked(Box::new(File::new(file, content)))),
            names: self.names.clone(),
            ports: ports.to_vec(),
            files: layout.read.iter().map(Into::into).collect(),
            own: own.iter().map(Into::into).collect(),
            config: config.clone(),
            ipv6,
        };
        // What makes way for it does so later: as long as it is there it tells which ports nginx has already.
        // Read after everybody else's: the first site of a port is the one that answers where no name fits, and stays it.
        match layout.sites {
            Sites::Linked { available, enabled, folder, default: (link, target) } => {
                // Where it was as long as nginx read that folder alone.
                let before = format!("{folder}/zz-{name}.conf");
                let (file, enabled) = (format!("{available}/{name}.conf"), format!("{enabled}/zz-{name}.conf"));
                let symlink = Symlink { path: enabled.clone(), target: file.clone(), stage: Stage::Configure };
                vec![
                    Box::new(beside(file, &[&enabled, link, &before])),
                    Box::new(default(link, target)),
                    Box::new(checked(Box::new(symlink))),
                ]
            }
            Sites::Folder { folder, default: packaged } => {
                let file = format!("{folder}/zz-{name}.conf");
                let server = MainServers {
                    path: layout.main.to_owned(),
                    unit: layout.unit.to_owned(),
                    ports: ports.to_vec(),
                    folders: layout.read.iter().filter(|path| **path != layout.main).map(Into::into).collect(),
                    own: vec![file.clone().into(), packaged.into()],
                    config: config.clone(),
                };
                vec![
                    Box::new(beside(file.clone(), &[&file, packaged])),
                    Box::new(default(packaged, packaged)),
                    Box::new(checked(Box::new(server))),
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

    /// What is asked for at `localhost`, where no name is one of a host: an address, or a name that a wildcard fits.
    fn site(&self) -> Option<String> {
        let name = self.names.first().filter(|_| self.host().is_none())?;
        Some(match (name.strip_prefix("*."), name.parse::<Ipv6Addr>()) {
            (Some(rest), _) => format!("surefoot.{rest}"),
            (_, Ok(address)) => format!("[{address}]"),
            _ => name.clone(),
        })
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
            site: self.site(),
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
mod tests;

//! HTTP to what runs on this host.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use reqwest::blocking::{Client, ClientBuilder, RequestBuilder};
use reqwest::redirect::Policy;
use reqwest::tls::TlsInfo;

use super::{Silence, resolve};
use crate::{Class, Fault, Runner};

/// How much of an answer's body is kept.
const BODY_BYTES: u64 = 4096;
/// The same of an answer that is read for what it says.
const DOCUMENT_BYTES: u64 = 1 << 20;

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, or the first part of it.
    pub body: Vec<u8>,
    /// The certificate that the server showed (DER), where it was asked for.
    pub certificate: Option<Vec<u8>>,
}

impl HttpAnswer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1.as_str())
    }
}

/// Host and port of an `http` or `https` URL.
///
/// # Errors
/// Class `usage`, where it is none, or has a user or password in it: it is shown and stored.
pub fn split_url(url: &str) -> Result<(String, u16)> {
    let refused = |why: String| Fault::new(Class::Usage, why).advice("give a URL such as http://127.0.0.1:8080/health");
    // What cannot be parsed may have a password in it, so it is not quoted.
    let parsed = reqwest::Url::parse(url).map_err(|error| refused(format!("the URL is not valid: {error}")))?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(refused("the URL has a user or a password in it".into()).into());
    }
    match (parsed.scheme(), parsed.host_str(), parsed.port_or_known_default()) {
        ("http" | "https", Some(host), Some(port)) => Ok((host.to_owned(), port)),
        _ => Err(refused(format!("'{url}' is not an http or https URL")).into()),
    }
}

/// Asks for `url`, within `limit` in all. Goes through no proxy and follows no redirect. With `any_certificate`, every certificate is
/// good: for services of this host, whose certificate is often made for a name that only users type.
///
/// # Errors
/// Outside, where the URL is none (class `usage`) or its name does not resolve (class `dns`); inside, where nobody answers.
pub fn http_probe(
    runner: &Runner,
    url: &str,
    any_certificate: bool,
    limit: Duration,
) -> Result<std::result::Result<HttpAnswer, Silence>> {
    let (host, port) = split_url(url)?;
    let addresses: Vec<SocketAddr> =
        resolve(runner, &host)?.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    // Certificates are loaded when the client is made, which takes milliseconds that plain HTTP needs not wait for.
    let trusting = any_certificate || url.starts_with("http:");
    let mut builder = client(trusting, limit).resolve_to_addrs(&host, &addresses);
    if !trusting {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        builder = builder.tls_certs_merge(roots.filter_map(|der| reqwest::Certificate::from_der(der).ok()));
    }
    Ok(ask(builder.build()?.get(url), limit, BODY_BYTES))
}

/// Where sites of nginx are asked, which listen on all addresses: a page with its state has 127.0.0.1 for itself on many hosts.
pub const SITES_AT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Asks for `url` of a site on this host, whatever address its name has elsewhere, with user and password where they are given; every certificate
/// is good. With `site` it is the site of that name that is asked, whatever the URL's: an address or a wildcard cannot be looked up here.
///
/// # Errors
/// Outside, where the URL is none (class `usage`); inside, where nobody answers.
pub fn http_here(
    url: &str,
    site: Option<&str>,
    login: Option<(&str, &str)>,
    limit: Duration,
) -> Result<std::result::Result<HttpAnswer, Silence>> {
    let (host, port) = split_url(url)?;
    let here = SocketAddr::new(SITES_AT.into(), port);
    let client = client(true, limit).resolve(&host, here).tls_info(true).build()?;
    let request = client.get(url);
    let request = match site {
        Some(site) => request.header("Host", site),
        None => request,
    };
    let request = match login {
        Some((user, password)) => request.basic_auth(user, Some(password)),
        None => request,
    };
    Ok(ask(request, limit, BODY_BYTES))
}

/// What a server of this host is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `GET`, `POST` …
    pub method: &'a str,
    /// URL, without a login in it.
    pub url: &'a str,
    /// User and password (Basic).
    pub login: Option<(&'a str, &'a str)>,
    /// Headers, by name.
    pub headers: &'a [(String, String)],
    /// A document to send.
    pub json: Option<&'a serde_json::Value>,
    /// Does the answer go on and on, so that only its status and headers are read?
    pub endless: bool,
}

/// Asks a server of this host, which may listen on loopback alone, whatever address its name has elsewhere; of the body 1 MiB is read.
///
/// # Errors
/// Outside, where the URL, the method or a header is none (class `usage`); inside, where nobody answers.
pub fn http_question(question: &Question<'_>, limit: Duration) -> Result<std::result::Result<HttpAnswer, Silence>> {
    let (host, port) = split_url(question.url)?;
    let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let client = client(true, limit).resolve(&host, here).build()?;
    let bad = |what: &str| Fault::new(Class::Usage, format!("the {what} of a request cannot be sent"));
    let method = Method::from_bytes(question.method.as_bytes()).map_err(|_| bad("method"))?;
    let mut request = client.request(method, question.url);
    if let Some((user, password)) = question.login {
        request = request.basic_auth(user, Some(password));
    }
    for (name, value) in question.headers {
        request = request.header(name, value);
    }
    if let Some(json) = question.json {
        request = request.header("Content-Type", "application/json").body(json.to_string());
    }
    Ok(ask(request, limit, if question.endless { 0 } else { DOCUMENT_BYTES }))
}

fn client(trusting: bool, limit: Duration) -> ClientBuilder {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .timeout(limit)
        .tls_danger_accept_invalid_certs(trusting)
        .user_agent(concat!("surefoot/", env!("CARGO_PKG_VERSION")))
}

fn ask(request: RequestBuilder, limit: Duration, most: u64) -> std::result::Result<HttpAnswer, Silence> {
    let response = request.send().map_err(|error| silence(&error, limit))?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let shown = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
    let certificate = shown.map(<[u8]>::to_vec);
    let mut body = Vec::new();
    // The status is the answer; a body that breaks off is what was there of it.
    response.take(most).read_to_end(&mut body).ok();
    Ok(HttpAnswer { status, headers, body, certificate })
}

/// Why a request had no answer: the innermost cause that says it.
pub(super) fn silence(error: &reqwest::Error, limit: Duration) -> Silence {
    if error.is_timeout() {
        return Silence::Timeout(limit);
    }
    let mut cause: &dyn std::error::Error = error;
    loop {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return match tls {
                rustls::Error::InvalidMessage(_) => Silence::Garbled("no TLS".into()),
                other => Silence::Tls(other.to_string()),
            };
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            // An I/O error wraps what TLS says, and then has no code of the kernel.
            match io.get_ref() {
                Some(inner) => {
                    cause = inner;
                    continue;
                }
                None => return Silence::of(io, limit),
            }
        }
        match cause.source() {
            Some(inner) => cause = inner,
            None if error.is_request() && cause.to_string().contains("closed before") => return Silence::Closed,
            None => return Silence::Garbled(cause.to_string()),
        }
    }
}

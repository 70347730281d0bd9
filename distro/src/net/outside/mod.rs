//! HTTP to others, by the way that this host reaches them: proxies, TLS, redirects. Says exactly where on the way it ends.

mod exchange;
mod wire;
pub(crate) mod x509;

pub(super) use exchange::exchange;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Url;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use self::wire::{Head, Way, Wire, authority, broken, login_line, proxy_login, refused_by_proxy};
use crate::network::{Login, Network, Proxy, system_bundle};
use crate::{Class, Fault, Runner};

/// How much of a body is read.
const BODY: u64 = 4096;
/// How many redirects are followed.
const REDIRECTS: usize = 5;

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The URL that answered in the end.
    pub url: String,
    /// Where we were sent in between: hosts that have to be reached, too.
    pub sent_to: Vec<String>,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The first 4 KiB of the body.
    pub body: Vec<u8>,
}

/// Why there is no answer that could be used.
#[derive(Clone, Debug)]
pub struct Unreached {
    /// What it is, with evidence and advice.
    pub fault: Box<Fault>,
    /// May it be otherwise in a moment?
    pub passing: bool,
}

impl Unreached {
    fn passing(fault: Fault) -> Self {
        Self { fault: Box::new(fault), passing: true }
    }

    /// What stays as it is until somebody mends it.
    pub fn lasting(fault: Fault) -> Self {
        Self { fault: Box::new(fault), passing: false }
    }
}

/// Whose certificates are trusted: those that this program brings, the system's, and the user's own.
pub fn roots(network: &Network) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    for pem in [system_bundle(), network.ca.clone()].into_iter().flatten() {
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
    }
    Arc::new(roots)
}

/// Asks for `url`, and follows where it is sent to, within `limit` in all. An answer is one of status 200.
///
/// # Errors
/// Of class `proxy`, `dns`, `tls` or `http`, by who did not do what was asked; of class `repository` for 404 and 410.
pub fn get(runner: &Runner, roots: &Arc<RootCertStore>, url: &str, limit: Duration) -> Result<Answer, Unreached> {
    let until = Instant::now() + limit;
    let network = runner.network();
    let mut at = parse(url)?;
    let mut sent_to = Vec::new();
    loop {
        let login = network.login_for(if sent_to.is_empty() { url } else { at.as_str() });
        let request = Request { method: "GET", headers: &[("Accept", "*/*")], login, body: &[] };
        let (head, wire, proxy) = ask(runner, roots, &at, &request, until)?;
        let body = exchange::beginning_of(&head, wire, BODY);
        match head.status {
            200 => return Ok(Answer { url: at.to_string(), sent_to, headers: head.headers, body }),
            301 | 302 | 303 | 307 | 308 if sent_to.len() < REDIRECTS => {
                let to = head.all("location").next().and_then(|to| at.join(to).ok()).filter(|to| {
                    // Nobody is led from a signed door to an open one unnoticed.
                    matches!(to.scheme(), "http" | "https") && (to.scheme() == "https" || at.scheme() == "http")
                });
                let Some(to) = to else { return Err(odd(&at, &head, &body)) };
                sent_to.push(to.to_string());
                at = to;
            }
            _ => {
                if let (401, Some(login)) = (head.status, login) {
                    return Err(refused_login(&at, &login.user, &head));
                }
                let says_it = |_: &Proxy| head.status == 407 || speaks_for_itself(&head);
                return Err(match proxy.filter(says_it) {
                    Some(proxy) => refused_by_proxy(&proxy, at.as_str(), &head, &body),
                    None => odd(&at, &head, &body),
                });
            }
        }
    }
}

/// What is asked.
pub(super) struct Request<'r> {
    pub method: &'r str,
    pub headers: &'r [(&'r str, &'r str)],
    /// Who we are to the server.
    pub login: Option<&'r Login>,
    pub body: &'r [u8],
}

/// The head of an answer, where the rest of it comes from, and the proxy that was asked for the whole URL.
type Asked = (Head, Box<dyn Wire>, Option<Proxy>);

/// Sends one request and reads the head of its answer, whatever its status is.
fn ask(
    runner: &Runner,
    roots: &Arc<RootCertStore>,
    at: &Url,
    request: &Request<'_>,
    until: Instant,
) -> Result<Asked, Unreached> {
    let network = runner.network();
    let (host, port) = (host_of(at), at.port_or_known_default().unwrap_or_default());
    let proxy = network.proxy_for(at.scheme(), host);
    let (mut wire, whole_url) = Way { runner, roots, proxy, tls: at.scheme() == "https", host, port, until }.go()?;
    let path = at.query().map_or_else(|| at.path().to_owned(), |query| format!("{}?{query}", at.path()));
    let target = authority(host, port);
    let asked = proxy.filter(|_| whole_url);
    let (login, line) = match asked {
        Some(proxy) => (proxy_login(proxy), format!("http://{target}{path}")),
        None => (String::new(), path),
    };
    let mut text = format!(
        "{} {line} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: surefoot/{}\r\nConnection: close\r\n{login}",
        request.method,
        env!("CARGO_PKG_VERSION")
    );
    text.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
    text.extend(request.login.map(|login| login_line("Authorization", login)));
    if !request.body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", request.body.len()));
    }
    let who = asked.map_or_else(|| target.clone(), |proxy| format!("{target}, asked for by proxy {proxy},"));
    let class = if whole_url { Class::Proxy } else { Class::Http };
    let bytes = [text.as_bytes(), b"\r\n", request.body].concat();
    let head = wire.write_all(&bytes).and_then(|()| Head::read(&mut wire));
    Ok((head.map_err(|error| broken(&who, class, &error))?, wire, asked.cloned()))
}

fn host_of(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

fn parse(url: &str) -> Result<Url, Unreached> {
    let refused = |why: String| {
        let advice = "correct the address, in the blueprint or in the mirrors file";
        Unreached::lasting(Fault::new(Class::Repository, why).advice(advice))
    };
    let parsed = Url::parse(url).map_err(|error| refused(format!("an address is not valid: {error}")))?;
    match parsed.scheme() {
        "http" | "https" if parsed.host_str().is_some() => Ok(parsed),
        other => Err(refused(format!("'{other}' is no kind of address that can be looked at"))),
    }
}

/// Does a proxy say this, not the server behind it? Nothing marks it for certain; these are headers of proxies that answer
/// themselves.
fn speaks_for_itself(head: &Head) -> bool {
    let from = |name: &str, words: &[&str]| {
        head.all(name).any(|value| words.iter().any(|word| value.to_ascii_lowercase().contains(word)))
    };
    head.headers.iter().any(|(name, _)| name == "x-squid-error" || name.starts_with("proxy-"))
        || from("server", &["squid", "tinyproxy", "mitmproxy", "bluecoat", "zscaler", "mcafee", "privoxy", "mwg"])
        || matches!(head.status, 502 | 504)
}

/// A mirror that does not take the login.
fn refused_login(at: &Url, user: &str, head: &Head) -> Unreached {
    let fault = Fault::new(Class::Login, format!("{at} refuses the login of '{user}'"))
        .evidence([format!("{at}: {}", head.line)])
        .evidence(head.all("www-authenticate").map(|offer| format!("WWW-Authenticate: {offer}")))
        .advice("correct user and password of this mirror in the mirrors file (--mirrors)");
    Unreached::lasting(fault)
}

/// An answer that is not the one that was asked for.
fn odd(at: &Url, head: &Head, body: &[u8]) -> Unreached {
    let line = &head.line;
    let mut evidence = vec![format!("{at}: {line}")];
    evidence.extend(head.all("location").map(|to| format!("Location: {to}")));
    let said = page(body);
    if !said.is_empty() {
        evidence.push(format!("it says: {said}"));
    }
    let fault =
        |class, advice: &str| Fault::new(class, format!("{at} answers '{line}'")).evidence(evidence).advice(advice);
    match head.status {
        404 | 410 => Unreached::lasting(fault(
            Class::Repository,
            "check the address of the repository and whether it has this release of the distribution",
        )),
        429 | 500.. => Unreached::passing(fault(Class::Http, "try again later: the server could not do it now")),
        _ => Unreached::lasting(fault(
            Class::Http,
            "check whether this host may reach that address: a firewall, a proxy or a sign-in page may answer in its place",
        )),
    }
}

/// The words of a page for people: its title, and the beginning of its text.
pub fn page(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut words = String::new();
    let mut rest = text.as_ref();
    while let Some((before, after)) = rest.split_once('<') {
        words.push_str(before);
        words.push(' ');
        let lower = after.get(..6).unwrap_or_default().to_ascii_lowercase();
        // Style and script are no words.
        let end = if lower.starts_with("style") {
            "</style>"
        } else if lower.starts_with("script") {
            "</script>"
        } else {
            ">"
        };
        rest = after.split_once(end).map_or("", |(_, rest)| rest);
    }
    words.push_str(rest);
    let words: Vec<&str> = words.split_whitespace().collect();
    let words: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    let cut: String = words.chars().take(200).collect();
    if cut.len() < words.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests;

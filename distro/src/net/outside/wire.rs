//! A connection to somebody, straight or by a proxy, with TLS where it is wanted. Every part of the way is gone by hand, since
//! what goes wrong on it is what the user has to know: libraries say "unsuccessful".

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, StreamOwned};

use super::{Unreached, x509};
use crate::network::{Login, Proxy, Scheme};
use crate::{Class, Fault, Runner};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(4);
/// Most bytes of the head of an answer.
const HEAD: usize = 16 << 10;

/// Bytes to and fro.
pub(super) trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

/// A socket on which everything has to be over by a time.
struct Timed {
    socket: TcpStream,
    until: Instant,
}

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// Where a request goes.
pub(super) struct Way<'a> {
    pub runner: &'a Runner,
    pub roots: &'a Arc<RootCertStore>,
    pub proxy: Option<&'a Proxy>,
    /// Wanted of the other end.
    pub tls: bool,
    pub host: &'a str,
    pub port: u16,
    pub until: Instant,
}

impl Way<'_> {
    /// Goes it. The second: does the proxy speak HTTP with us, so that it wants whole URLs?
    pub fn go(&self) -> Result<(Box<dyn Wire>, bool), Unreached> {
        let Some(proxy) = self.proxy else {
            let wire = self.connect(self.host, self.port, None)?;
            return Ok((self.secured(wire, self.tls, self.host)?, false));
        };
        let wire = self.connect(&proxy.host, proxy.port, Some(proxy))?;
        let mut wire = self.secured(wire, proxy.scheme == Scheme::Https, &proxy.host).map_err(|mut unreached| {
            unreached.fault.message = format!("proxy {proxy}: {}", unreached.fault.message);
            unreached
        })?;
        match (proxy.scheme, self.tls) {
            (Scheme::Socks, _) => self.socks(&mut wire, proxy)?,
            (_, true) => self.tunnel(&mut wire, proxy)?,
            (_, false) => return Ok((wire, true)),
        }
        Ok((self.secured(wire, self.tls, self.host)?, false))
    }

    fn connect(&self, host: &str, port: u16, proxy: Option<&Proxy>) -> Result<Box<dyn Wire>, Unreached> {
        let limit = CONNECT.min(self.until.saturating_duration_since(Instant::now()));
        let addresses = crate::net::resolve_within(self.runner, host, limit).map_err(|error| {
            let fault = Fault::find(&error).cloned().unwrap_or_else(|| Fault::new(Class::Dns, error.to_string()));
            Unreached::lasting(match proxy {
                Some(proxy) => Fault {
                    class: Class::Proxy,
                    message: format!("the name of proxy {proxy}: {}", fault.message),
                    advice: "correct the name of the proxy (--proxy), or add it to /etc/hosts".into(),
                    ..fault
                },
                None => Fault {
                    advice: format!(
                        "check the name servers of this host; where it reaches others by a proxy only, give it with --proxy{}",
                        sudo()
                    ),
                    ..fault
                },
            })
        })?;
        let mut first = None;
        for address in addresses {
            let limit = CONNECT.min(self.until.saturating_duration_since(Instant::now()));
            match crate::net::tcp(&SocketAddr::new(address, port), limit.max(Duration::from_millis(1))) {
                Ok(socket) => return Ok(Box::new(Timed { socket, until: self.until })),
                Err(error) => first = first.or(Some((address, error))),
            }
        }
        let (address, error) = first.map_or((None, io::ErrorKind::NotFound.into()), |(at, error)| (Some(at), error));
        let at = address.map(|at| format!("{} (port {port})", at)).unwrap_or_default();
        let why = words(&error);
        Err(Unreached::passing(match proxy {
            Some(proxy) => Fault::new(Class::Proxy, format!("proxy {proxy} cannot be reached: {why}"))
                .evidence([format!("{at}: {why}")])
                .advice("check the proxy's address and port (--proxy), and whether this host may connect to it"),
            None => Fault::new(Class::Http, format!("{host}:{port} cannot be reached: {why}"))
                .evidence([format!("{at}: {why}")])
                .advice(format!(
                    "have the firewall let this host connect to {host}:{port}, or give the proxy with --proxy{}",
                    sudo()
                )),
        }))
    }

    /// TLS over `wire`, where it is `wanted`, with somebody who has to be `name`.
    fn secured(&self, wire: Box<dyn Wire>, wanted: bool, name: &str) -> Result<Box<dyn Wire>, Unreached> {
        if !wanted {
            return Ok(wire);
        }
        let internal = |error: String| Unreached::lasting(Fault::new(Class::Tls, format!("{name}: TLS: {error}")));
        let inner =
            WebPkiServerVerifier::builder(self.roots.clone()).build().map_err(|error| internal(error.to_string()))?;
        let noting = Arc::new(Noting { inner, seen: Mutex::default() });
        let config =
            ClientConfig::builder().dangerous().with_custom_certificate_verifier(noting.clone()).with_no_client_auth();
        let server = ServerName::try_from(name.to_owned()).map_err(|error| internal(error.to_string()))?;
        let client = ClientConnection::new(Arc::new(config), server).map_err(|error| internal(error.to_string()))?;
        let mut stream = StreamOwned::new(client, wire);
        while stream.conn.is_handshaking() {
            if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
                let chain = noting.seen.lock().unwrap_or_else(PoisonError::into_inner);
                return Err(distrusted(name, &error, &chain));
            }
        }
        Ok(Box::new(stream))
    }

    /// `CONNECT`, see RFC 9110, 9.3.6.
    fn tunnel(&self, wire: &mut Box<dyn Wire>, proxy: &Proxy) -> Result<(), Unreached> {
        let target = authority(self.host, self.port);
        let login = proxy_login(proxy);
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n");
        let failed =
            |error: &io::Error| broken(&format!("proxy {proxy}, asked to connect to {target},"), Class::Proxy, error);
        wire.write_all(request.as_bytes()).map_err(|error| failed(&error))?;
        let head = Head::read(wire).map_err(|error| failed(&error))?;
        if (200..300).contains(&head.status) {
            return Ok(());
        }
        let mut body = vec![0; 4096];
        let length = wire.read(&mut body).unwrap_or(0);
        body.truncate(length);
        Err(refused_by_proxy(proxy, &format!("the connection to {target}"), &head, &body))
    }

    /// SOCKS 5, see RFC 1928 and 1929. The name is looked up by the proxy.
    fn socks(&self, wire: &mut Box<dyn Wire>, proxy: &Proxy) -> Result<(), Unreached> {
        let failed = |error: &io::Error| broken(&format!("proxy {proxy}"), Class::Proxy, error);
        let refuse =
            |message: String, advice: &str| Unreached::lasting(Fault::new(Class::Proxy, message).advice(advice));
        let mut ask = |bytes: &[u8], answer: &mut [u8]| -> io::Result<()> {
            wire.write_all(bytes)?;
            wire.flush()?;
            wire.read_exact(answer)
        };
        let methods: &[u8] = if proxy.login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
        let mut chosen = [0; 2];
        ask(methods, &mut chosen).map_err(|error| failed(&error))?;
        match (chosen, &proxy.login) {
            ([5, 0], _) => {}
            ([5, 2], Some(login)) => {
                let mut bytes = vec![1];
                for part in [&login.user, &login.password] {
                    bytes.push(u8::try_from(part.len()).map_err(|_| {
                        refuse(format!("proxy {proxy}: the login is longer than SOCKS allows"), "use a shorter one")
                    })?);
                    bytes.extend(part.as_bytes());
                }
                let mut answer = [0; 2];
                ask(&bytes, &mut answer).map_err(|error| failed(&error))?;
                if answer[1] != 0 {
                    return Err(refuse(
                        format!("proxy {proxy} refuses the login"),
                        "correct --proxy-user and the password",
                    ));
                }
            }
            ([5, 0xff], None) => {
                return Err(refuse(
                    format!("proxy {proxy} wants a login"),
                    "give one: --proxy-user, --proxy-password-file",
                ));
            }
            _ => {
                return Err(refuse(
                    format!("proxy {proxy} does not speak SOCKS 5"),
                    "check its address and kind (--proxy)",
                ));
            }
        }
        let name = u8::try_from(self.host.len()).map_err(|_| refuse("the name is too long".into(), ""))?;
        let mut request = vec![5, 1, 0, 3, name];
        request.extend(self.host.as_bytes());
        request.extend(self.port.to_be_bytes());
        let mut answer = [0; 4];
        ask(&request, &mut answer).map_err(|error| failed(&error))?;
        if answer[1] != 0 {
            let why = match answer[1] {
                2 => "its rules do not allow it",
                3 => "network unreachable",
                4 => "host unreachable, or its name is not known there",
                5 => "connection refused",
                6 => "time to live expired",
                _ => "general failure",
            };
            let target = authority(self.host, self.port);
            return Err(refuse(
                format!("proxy {proxy} does not connect to {target}: {why} (SOCKS {})", answer[1]),
                "have the proxy's administrator allow that address (surefoot endpoints lists all that are needed)",
            ));
        }
        let mut length = [0; 1];
        let rest = match answer[3] {
            1 => 4 + 2,
            4 => 16 + 2,
            _ => {
                wire.read_exact(&mut length).map_err(|error| failed(&error))?;
                usize::from(length[0]) + 2
            }
        };
        wire.read_exact(&mut vec![0; rest]).map_err(|error| failed(&error))
    }
}

/// The header by which we log in to an HTTP proxy, with its line end.
pub(super) fn proxy_login(proxy: &Proxy) -> String {
    proxy.login.as_ref().map(|login| login_line("Proxy-Authorization", login)).unwrap_or_default()
}

/// The header line of a login by Basic (RFC 7617).
pub(super) fn login_line(header: &str, Login { user, password }: &Login) -> String {
    format!("{header}: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Variables of the environment do not get through sudo.
fn sudo() -> &'static str {
    if std::env::var_os("SUDO_UID").is_some() { " (sudo does not pass http_proxy on)" } else { "" }
}

/// Status line and headers of an answer.
#[derive(Clone, Debug, Default)]
pub(in crate::net) struct Head {
    pub status: u16,
    pub line: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn read(wire: &mut impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\r\n\r\n") && !bytes.ends_with(b"\n\n") {
            match wire.read(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => bytes.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if bytes.len() >= HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the head of the answer has no end"));
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let line = lines.next().unwrap_or_default().trim().to_owned();
        let status = line.strip_prefix("HTTP/").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        let Some(status) = status else {
            let said: String = line.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP: '{said}'")));
        };
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Ok(Self { status, headers: lines.filter_map(header).collect(), line })
    }

    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h str> {
        self.headers.iter().filter(move |header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// What a proxy says that does not do what it was asked to.
pub(super) fn refused_by_proxy(proxy: &Proxy, what: &str, head: &Head, body: &[u8]) -> Unreached {
    let line = &head.line;
    let mut evidence = vec![format!("proxy {proxy}: {line}")];
    let said = super::page(body);
    if head.status == 407 {
        let schemes: Vec<&str> =
            head.all("proxy-authenticate").map(|value| value.split_whitespace().next().unwrap_or(value)).collect();
        evidence.extend(head.all("proxy-authenticate").map(|value| format!("Proxy-Authenticate: {value}")));
        let offers = |scheme: &str| schemes.iter().any(|offered| offered.eq_ignore_ascii_case(scheme));
        let offered = if schemes.is_empty() { "nothing".to_owned() } else { schemes.join(", ") };
        let (message, advice) = match (&proxy.login, offers("basic")) {
            (None, true) => (
                format!("proxy {proxy} wants a login (407; it offers {offered})"),
                "give one: --proxy-user USER, and the password by --proxy-password-file or SUREFOOT_PROXY_PASSWORD",
            ),
            (Some(_), true) => (
                format!("proxy {proxy} refuses the login (407; it offers {offered})"),
                "correct --proxy-user and the password; a user of a domain is written DOMAIN\\user",
            ),
            (_, false) => (
                format!("proxy {proxy} wants a login that package managers cannot do (407; it offers {offered})"),
                "run a local bridge that logs in for them, such as cntlm (NTLM) or px (NTLM and Kerberos), and give that: --proxy \
                 http://127.0.0.1:3128",
            ),
        };
        return Unreached::lasting(Fault::new(Class::Proxy, message).evidence(evidence).advice(advice));
    }
    if !said.is_empty() {
        evidence.push(format!("it says: {said}"));
    }
    let fault = Fault::new(Class::Proxy, format!("proxy {proxy} refuses {what}: {line}")).evidence(evidence);
    match head.status {
        500.. => Unreached::passing(
            fault.advice("the proxy could not do it: try again, and ask its administrator when that does not help"),
        ),
        _ => Unreached::lasting(fault.advice(
            "have the proxy's administrator allow that address (surefoot endpoints lists all that are needed)",
        )),
    }
}

/// A connection that broke.
pub(super) fn broken(who: &str, class: Class, error: &io::Error) -> Unreached {
    let why = words(error);
    let fault = Fault::new(class, format!("{who} does not answer: {why}")).evidence([why]);
    Unreached::passing(fault.advice("try again; when that does not help, ask whoever runs it"))
}

fn words(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => "connection refused: nothing listens there".into(),
        Kind::TimedOut | Kind::WouldBlock => "no answer in time".into(),
        Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => {
            "the connection was closed without an answer".into()
        }
        _ => error.to_string(),
    }
}

/// TLS that failed, with what is known of the certificate.
fn distrusted(name: &str, error: &io::Error, chain: &[Vec<u8>]) -> Unreached {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let Some(tls) = tls else { return broken(&format!("{name}, asked for TLS,"), Class::Tls, error) };
    let told = chain.first().and_then(|der| x509::read(der));
    let mut evidence = vec![format!("TLS: {tls}")];
    if let Some(told) = &told {
        evidence.push(format!("certificate of {}", told.subject));
        evidence.push(format!("issued by {}", told.issuer));
        evidence.push(format!("valid from {} to {}", told.valid.0, told.valid.1));
    }
    if let Some(ca) = chain.get(1..).and_then(<[_]>::last) {
        evidence.push(format!("SHA-256 of its CA: {}", x509::fingerprint(ca)));
    }
    let issuer = told.as_ref().map_or("somebody unknown", |told| told.issuer.as_str());
    use CertificateError as Flaw;
    let (message, advice) = match tls {
        rustls::Error::InvalidCertificate(Flaw::UnknownIssuer) => (
            format!("{name}: its certificate is issued by '{issuer}', which this host does not trust"),
            "where that is your company's proxy, which opens TLS, give its CA certificate with --ca-file; else somebody listens in: do \
             not go on"
                .to_owned(),
        ),
        rustls::Error::InvalidCertificate(Flaw::Expired | Flaw::ExpiredContext { .. }) => (
            format!("{name}: its certificate has expired"),
            "check this host's clock (`date`); where it is right, whoever runs that server has to renew its certificate".to_owned(),
        ),
        rustls::Error::InvalidCertificate(Flaw::NotValidYet | Flaw::NotValidYetContext { .. }) => (
            format!("{name}: its certificate is not valid yet"),
            "set this host's clock: `timedatectl set-ntp true`, or `date -s`".to_owned(),
        ),
        rustls::Error::InvalidCertificate(Flaw::NotValidForName | Flaw::NotValidForNameContext { .. }) => (
            format!("{name}: its certificate is for another name"),
            "check the address; behind a proxy, the proxy answers in its place".to_owned(),
        ),
        rustls::Error::InvalidCertificate(_) => (
            format!("{name}: its certificate cannot be used: {tls}"),
            "curl may accept it all the same; ask whoever made it for one of version 3 with a subject alternative name".to_owned(),
        ),
        _ => (format!("{name}: TLS fails: {tls}"), "check the address and the port: no TLS may be spoken there".to_owned()),
    };
    Unreached::lasting(Fault::new(Class::Tls, message).evidence(evidence).advice(advice))
}

/// Judges as usual, and keeps what was shown.
#[derive(Debug)]
struct Noting {
    inner: Arc<WebPkiServerVerifier>,
    seen: Mutex<Vec<Vec<u8>>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) =
            std::iter::once(end_entity).chain(intermediates).map(|der| der.to_vec()).collect();
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

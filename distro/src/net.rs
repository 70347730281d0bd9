//! Sockets, HTTP and small protocol clients. The only place that opens a socket.
//!
//! Probes of what runs on this host never go through a proxy, and say what they saw by a type: whether silence is a failure, and
//! of which class, is for the caller to judge.

pub mod acme;
mod amqp;
pub mod bson;
mod http;
mod management;
mod mongodb;
pub mod outside;
mod postgres;
mod redis;
mod scram;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{Class, Command, Fault, Runner};

pub use amqp::{Amqp, AmqpLogin, amqp_login};
pub use http::{HttpAnswer, Question, SITES_AT, http_here, http_probe, http_question, split_url};
pub use management::Management;
pub use mongodb::{Mongodb, Refusal, SERIES, Said};
pub use postgres::{PgAnswer, PgLogin, Row, md5_verifier, postgres_ask, scram_verifier};
pub use redis::{Login, Ping, RedisData, RedisQuestion, State as RedisState, redis_data, redis_hash, redis_ping};

/// How long a name may take to be looked up: the resolver tries two name servers twice, 5 s each.
const LOOKUP_LIMIT: Duration = Duration::from_secs(25);

/// Installs the provider of TLS algorithms for the whole process: the first line of `main`, before any client is made.
pub fn install_tls_provider() {
    // Fails only where one is installed already, which is then the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing listens there.
    Refused,
    /// No answer within the limit.
    Timeout(Duration),
    /// There is no such socket file.
    Absent,
    /// We may not connect to that socket file.
    Denied,
    /// It was connected, and closed without an answer.
    Closed,
    /// TLS failed; says how.
    Tls(String),
    /// It answers in another protocol; quotes what it said.
    Garbled(String),
    /// Anything else, in the kernel's words.
    Other(String),
}

impl Silence {
    /// What an I/O error stands for; `limit` is the time that was given.
    fn of(error: &io::Error, limit: Duration) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            // A socket's timeout is told as EAGAIN.
            Kind::TimedOut | Kind::WouldBlock => Self::Timeout(limit),
            Kind::NotFound => Self::Absent,
            Kind::PermissionDenied => Self::Denied,
            Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Self::Closed,
            _ => Self::Other(error.to_string()),
        }
    }

    /// The class of a failure that this silence is the cause of.
    pub fn class(&self) -> Class {
        match self {
            Self::Timeout(_) => Class::Timeout,
            Self::Denied => Class::Permission,
            Self::Tls(_) => Class::Tls,
            _ => Class::Service,
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused: nothing listens there"),
            Self::Timeout(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Self::Absent => f.write_str("there is no such socket"),
            Self::Denied => f.write_str("permission denied"),
            Self::Closed => f.write_str("the connection was closed without an answer"),
            Self::Tls(why) => write!(f, "TLS failed: {why}"),
            Self::Garbled(said) => write!(f, "not the expected protocol: '{said}'"),
            Self::Other(why) => f.write_str(why),
        }
    }
}

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A connection with a time by which everything on it has to be over.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    limit: Duration,
    until: Instant,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Connects to `to`; connecting and everything said afterwards may take `limit` in all.
///
/// # Errors
/// Where nobody answers.
pub fn connect(to: &Endpoint, limit: Duration) -> Result<Connection, Silence> {
    let until = Instant::now() + limit;
    let socket = match to {
        Endpoint::Tcp(address) => tcp(address, limit).map(Socket::Tcp),
        Endpoint::Unix(path) => unix(path.clone(), limit).map(Socket::Unix),
    };
    let socket = socket.map_err(|error| Silence::of(&error, limit))?;
    Ok(Connection { socket, limit, until })
}

#[expect(clippy::disallowed_methods, reason = "the one place that opens sockets")]
fn tcp(address: &SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(address, limit)?;
    // What is said in two goes would otherwise wait for the other side to acknowledge the first, which takes 40 ms.
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Connecting to a socket file has no time limit of its own, and waits for ever where the queue of a hanging service is full: it
/// is done on a thread that is left behind.
#[expect(clippy::disallowed_methods, reason = "the one place that opens sockets")]
fn unix(path: PathBuf, limit: Duration) -> io::Result<UnixStream> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || drop(send.send(UnixStream::connect(path))));
    receive.recv_timeout(limit).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

impl Connection {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// Where that fails or the time is over.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Silence> {
        let left = self.left()?;
        let sent = match &mut self.socket {
            Socket::Tcp(socket) => socket.set_write_timeout(Some(left)).and_then(|()| socket.write_all(bytes)),
            Socket::Unix(socket) => socket.set_write_timeout(Some(left)).and_then(|()| socket.write_all(bytes)),
        };
        sent.map_err(|error| Silence::of(&error, self.limit))
    }

    /// The next line, at most `most` bytes of it, without its end.
    ///
    /// # Errors
    /// Where none comes before the time is over or the connection ends.
    pub fn line(&mut self, most: usize) -> Result<String, Silence> {
        let mut line = Vec::new();
        let mut byte = [0];
        while line.len() < most {
            match self.read(&mut byte)? {
                0 if line.is_empty() => return Err(Silence::Closed),
                0 => break,
                _ if byte[0] == b'\n' => break,
                _ => line.push(byte[0]),
            }
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
    }

    /// Waits for bytes and adds what is there to `buffer`.
    ///
    /// # Errors
    /// Where none come before the time is over or the connection ends.
    pub fn more(&mut self, buffer: &mut impl Extend<u8>) -> Result<(), Silence> {
        let mut chunk = [0; 4096];
        match self.read(&mut chunk)? {
            0 => Err(Silence::Closed),
            count => {
                buffer.extend(chunk[..count].iter().copied());
                Ok(())
            }
        }
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Where fewer come before the time is over or the connection ends.
    pub fn exactly(&mut self, count: usize) -> Result<Vec<u8>, Silence> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.read(&mut bytes[filled..])? {
                0 => return Err(Silence::Closed),
                read => filled += read,
            }
        }
        Ok(bytes)
    }

    /// What comes next, into `bytes`; says how much.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Silence> {
        loop {
            let left = self.left()?;
            let read = match &mut self.socket {
                Socket::Tcp(socket) => socket.set_read_timeout(Some(left)).and_then(|()| socket.read(bytes)),
                Socket::Unix(socket) => socket.set_read_timeout(Some(left)).and_then(|()| socket.read(bytes)),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| Silence::of(&error, self.limit)),
            }
        }
    }

    fn left(&self) -> Result<Duration, Silence> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Silence::Timeout(self.limit)) } else { Ok(left) }
    }
}

/// The addresses of `name`, as every child sees them. Literal addresses and `localhost` need no process.
///
/// # Errors
/// Class `dns`, where it has none.
pub fn resolve(runner: &Runner, name: &str) -> Result<Vec<IpAddr>> {
    resolve_within(runner, name, LOOKUP_LIMIT)
}

/// The same, within `limit`.
///
/// # Errors
/// As [`resolve`].
fn resolve_within(runner: &Runner, name: &str, limit: Duration) -> Result<Vec<IpAddr>> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    if name.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    if name.is_empty()
        || name.starts_with('-')
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    {
        return Err(Fault::new(Class::Dns, format!("'{name}' is not the name of a host"))
            .advice("give a host name or an IP address")
            .into());
    }
    let advice = "check the name, and the name servers of this host (/etc/resolv.conf, /etc/nsswitch.conf)";
    let output = match Command::new("getent").args(["ahosts", name]).limit(limit).output(runner) {
        Err(error) if Fault::class_of(&error) == Class::Timeout => {
            let message = format!("'{name}' was looked up for {} s without an answer", limit.as_secs());
            return Err(Fault::new(Class::Dns, message).evidence(resolver()).advice(advice).into());
        }
        result => result?,
    };
    let addresses = addresses(&output.stdout);
    if addresses.is_empty() {
        let fault = output.fault(Class::Dns, format!("'{name}' does not resolve"));
        return Err(fault.evidence(resolver()).advice(advice).into());
    }
    Ok(addresses)
}

/// The addresses in what `getent ahosts` says, each once: it has a line for each type of socket.
fn addresses(text: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Addresses that this host has: those of loopback, and those that others can reach it at, the ones of a link alone left out.
///
/// # Errors
/// Where the kernel does not tell them.
pub fn own_addresses() -> Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let Some(address) = interface.address else { continue };
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        let of_a_link = |address: &IpAddr| match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        addresses.extend(v4.or(v6).filter(|address| !of_a_link(address) && !addresses.contains(address)));
    }
    Ok(addresses)
}

/// Lines that say how names are looked up on this host.
fn resolver() -> Vec<String> {
    [("/etc/resolv.conf", "nameserver"), ("/etc/nsswitch.conf", "hosts:")]
        .into_iter()
        .flat_map(|(path, start)| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<String> = text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect();
            let none = lines.is_empty().then(|| format!("{path}: no line '{start} …'"));
            lines.into_iter().map(move |line| format!("{path}: {line}")).chain(none).collect::<Vec<_>>()
        })
        .collect()
}

/// Tries each address of `host` in turn until `port` accepts a connection.
///
/// # Errors
/// Outside, where the name does not resolve (class `dns`); inside, where nobody answers on any address: the first one's reason.
pub fn connect_host(
    runner: &Runner,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<std::result::Result<Connection, Silence>> {
    let mut first = None;
    for address in resolve(runner, host)? {
        match connect(&Endpoint::Tcp(SocketAddr::new(address, port)), limit) {
            Ok(connection) => return Ok(Ok(connection)),
            Err(silence) => first = first.or(Some(silence)),
        }
    }
    Ok(Err(first.unwrap_or(Silence::Refused)))
}

#[cfg(test)]
mod tests;

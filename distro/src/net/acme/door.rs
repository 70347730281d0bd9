//! Port 80 of this host, where an authority looks for what it gave (RFC 8555, 8.3).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::failure::io_fault;
use crate::files::{self, Meta};
use crate::listeners::listeners;
use crate::net::{http_here, tcp};
use crate::patience::wait_until;
use crate::{Class, Fault, Host, Look};

/// Where an authority looks.
const PORT: u16 = 80;
/// Path below which it does.
pub(super) const BELOW: &str = "/.well-known/acme-challenge/";
/// How long somebody may take for a request.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a web server may take until it answers as its configuration says.
const RELOAD: Duration = Duration::from_secs(1);
/// Most bytes of a request that are read.
const REQUEST: usize = 8 << 10;
/// How many requests are kept for evidence.
const KEPT: usize = 6;

/// Who answers.
pub(super) enum Door {
    /// We do: nobody else listened there.
    Own { stop: Arc<AtomicBool>, came: Arc<Mutex<Vec<String>>> },
    /// A web server, out of a folder.
    Webroot { folder: PathBuf, tokens: Vec<String> },
}

impl Door {
    /// Lets `answers` (by their tokens) be found under each of `names`.
    ///
    /// # Errors
    /// Class `port`, where somebody has the port who does not serve `webroot`.
    pub fn open(host: &Host, names: &[String], answers: BTreeMap<String, String>, webroot: &Path) -> Result<Self> {
        match bind() {
            Ok(listener) => return Ok(Self::listen(listener, answers)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => {
                let fault = Fault::new(Class::Port, format!("nothing can listen on port {PORT}: {error}"));
                return Err(fault.advice("run it as root, on a host whose port 80 is its own").into());
            }
        }
        clear(webroot)?;
        for (token, answer) in &answers {
            files::replace(&Look::new(host), &webroot.join(token), answer.as_bytes(), &Meta::root(0o644))?;
        }
        let door = Self::Webroot { folder: webroot.to_owned(), tokens: answers.keys().cloned().collect() };
        for name in names {
            for (token, answer) in answers.iter().take(1) {
                let url = format!("http://{name}{BELOW}{token}");
                let mut said = String::new();
                // A server that was just reloaded still has its old workers for a moment.
                let answered = wait_until(RELOAD, Duration::from_millis(50), |_| {
                    said = match http_here(&url, None, None, LIMIT)? {
                        Ok(got) if got.status == 200 && got.body == answer.as_bytes() => return Ok(Some(())),
                        Ok(got) => format!("status {}", got.status),
                        Err(silence) => silence.to_string(),
                    };
                    Ok(None)
                })?;
                if answered.is_none() {
                    return Err(taken(&url, &said, webroot).into());
                }
            }
        }
        Ok(door)
    }

    fn listen(listener: TcpListener, answers: BTreeMap<String, String>) -> Self {
        let (stop, came) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, noted, answers) = (stop.clone(), came.clone(), Arc::new(answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (noted, answers) = (noted.clone(), answers.clone());
                std::thread::spawn(move || {
                    // Who goes away in the middle has asked for nothing.
                    if let Ok(line) = answer(stream, &answers) {
                        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                        if noted.len() < KEPT && !noted.contains(&line) {
                            noted.push(line);
                        }
                    }
                });
            }
        });
        Self::Own { stop, came }
    }

    /// What came in so far, for evidence.
    pub fn seen(&self) -> Vec<String> {
        match self {
            Self::Own { came, .. } => {
                let came = came.lock().unwrap_or_else(PoisonError::into_inner);
                match came.as_slice() {
                    [] => vec![format!("nothing came in on port {PORT} of this host meanwhile")],
                    lines => lines.iter().map(|line| format!("on port {PORT} of this host: {line}")).collect(),
                }
            }
            Self::Webroot { folder, .. } => {
                vec![format!("the web server of this host answers below {BELOW} from {}", folder.display())]
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        match self {
            Self::Own { stop, .. } => {
                stop.store(true, Ordering::SeqCst);
                // Wakes the thread that accepts, so that the port is free for the web server.
                tcp(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT), LIMIT).ok();
            }
            Self::Webroot { folder, tokens } => {
                for token in tokens {
                    files::remove(&folder.join(token)).ok();
                }
            }
        }
    }
}

/// Both kinds of addresses, or IPv4 alone where the host has no other.
#[expect(clippy::disallowed_methods, reason = "this folder opens sockets")]
fn bind() -> io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), PORT)) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT))
        }
        bound => bound,
    }
}

/// Answers one request, and says what it was.
fn answer(mut stream: TcpStream, answers: &BTreeMap<String, String>) -> io::Result<String> {
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&chunk[..read]),
        }
    }
    let line: String = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let found = line.split_whitespace().nth(1).and_then(|path| answers.get(path.strip_prefix(BELOW)?));
    let (status, body) = found.map_or(("404 Not Found", ""), |answer| ("200 OK", answer.as_str()));
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.shutdown(Shutdown::Write)?;
    let line: String = line.chars().filter(|c| !c.is_control()).take(120).collect();
    Ok(format!("{line}, from {}: {status}", stream.peer_addr()?.ip().to_canonical()))
}

/// Removes what a killed run left in `webroot`.
///
/// # Errors
/// Where it cannot be read.
pub fn clear(webroot: &Path) -> Result<()> {
    let entries = match webroot.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| io_fault(&error, "read", webroot))?,
    };
    for entry in entries {
        files::remove(&entry.map_err(|error| io_fault(&error, "read", webroot))?.path())?;
    }
    Ok(())
}

/// Somebody has the port, and does not answer as he has to.
fn taken(url: &str, said: &str, webroot: &Path) -> Fault {
    let holders: Vec<String> =
        listeners(Path::new("/")).iter().filter(|one| one.port == PORT).map(|one| format!("{one} listens")).collect();
    let who = holders.first().map_or("another program", String::as_str);
    let who = who.split(" (").next().unwrap_or(who);
    let message = format!("port {PORT} is held by {who}, which does not answer for the authority");
    let mut evidence = holders.clone();
    evidence.push(format!("{url}: {said}"));
    Fault::new(Class::Port, message).evidence(evidence).advice(format!(
        "let it serve {} below http://…{BELOW} (nginx: `location ^~ {BELOW} {{ alias {}/; }}`), or stop it for this once; then run \
         it again",
        webroot.display(),
        webroot.display()
    ))
}

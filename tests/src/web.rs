//! A web server on the lab bridge that behaves as a test says: it serves folders, and fails in chosen ways.

use crate::network;
use anyhow::{Context, Result};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What a request gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A file of this folder, or 404.
    Folder(PathBuf),
    /// This status with a short text.
    Status(u16),
    /// 200 with a page that has nothing to do with the question, as captive portals and deny pages are.
    Garbage,
    /// The right headers, this many bytes of the body, and a closed connection.
    Cut(usize),
    /// The right headers, this many bytes of the body, and then nothing for an hour.
    Stall(usize),
    /// 302 to this address.
    Redirect(String),
    /// A connection closed without a word.
    Close,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `HEAD`, `CONNECT` …
    pub method: String,
    /// The path, or whatever stood in its place.
    pub path: String,
    /// Header lines, names as they were sent.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug)]
struct Rule {
    prefix: String,
    answer: Answer,
    left: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    folders: Vec<(String, PathBuf)>,
    rules: Vec<Rule>,
    guarded: Vec<(String, String)>,
    requests: Vec<Request>,
}

/// The server. It stops when dropped.
#[derive(Debug)]
pub struct Web {
    port: u16,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

impl Web {
    /// Starts a server on a free port of the lab's address. Until told otherwise it answers 404.
    ///
    /// # Errors
    /// When the network cannot be made, or the port not be taken.
    pub fn start() -> Result<Self> {
        Self::start_on(0)
    }

    /// Starts it on a chosen port.
    ///
    /// # Errors
    /// When the network cannot be made, or the port not be taken.
    pub fn start_on(port: u16) -> Result<Self> {
        network::ensure()?;
        let listener = TcpListener::bind((network::GATEWAY, port)).context("cannot listen on the lab's address")?;
        let port = listener.local_addr()?.port();
        let (state, stop) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (shared, stopped) = (Arc::clone(&shared), Arc::clone(&stopped));
                // A client that goes away in the middle is the client's business.
                std::thread::spawn(move || drop(converse(stream, &shared, &stopped)));
            }
        });
        Ok(Self { port, state, stop })
    }

    /// Where hosts find it: scheme, address and port.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{}", network::GATEWAY, self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Serves a folder's files below `prefix`.
    pub fn serve(&self, prefix: &str, folder: impl Into<PathBuf>) {
        self.state().folders.push((prefix.to_owned(), folder.into()));
    }

    /// Answers paths that begin with `prefix` in another way, until told otherwise. The newest rule counts.
    pub fn answer(&self, prefix: &str, answer: Answer) {
        self.state().rules.push(Rule { prefix: prefix.to_owned(), answer, left: None });
    }

    /// The same for the next `times` requests only.
    pub fn answer_times(&self, times: usize, prefix: &str, answer: Answer) {
        self.state().rules.push(Rule { prefix: prefix.to_owned(), answer, left: Some(times) });
    }

    /// Wants this `Authorization` of requests below `prefix`, and answers 401 to others.
    pub fn guard(&self, prefix: &str, authorization: &str) {
        self.state().guarded.push((prefix.to_owned(), authorization.to_owned()));
    }

    /// Behaves again.
    pub fn behave(&self) {
        self.state().rules.clear();
    }

    /// Everything it was asked, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// How often it was asked for paths that begin with `prefix`.
    #[must_use]
    pub fn count(&self, prefix: &str) -> usize {
        self.state().requests.iter().filter(|request| request.path.starts_with(prefix)).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((network::GATEWAY, self.port));
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One connection, request after request.
fn converse(mut stream: TcpStream, state: &Mutex<State>, stop: &AtomicBool) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let (answer, file) = decide(&mut locked(state), &request);
        let body = file.and_then(|path| fs::read(path).ok());
        let head_only = request.method == "HEAD";
        let whole = |stream: &mut TcpStream, status: u16, more: &str, body: &[u8]| -> Result<()> {
            write!(stream, "HTTP/1.1 {status} {}\r\nContent-Length: {}\r\n{more}\r\n", reason(status), body.len())?;
            Ok(stream.write_all(if head_only { b"" } else { body })?)
        };
        match (answer, body) {
            (None | Some(Answer::Folder(_)), Some(body)) => match rest(&request).filter(|from| *from < body.len()) {
                Some(from) => {
                    let range = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
                    whole(&mut stream, 206, &range, &body[from..])?;
                }
                None => whole(&mut stream, 200, "", &body)?,
            },
            (None | Some(Answer::Folder(_)), None) => whole(&mut stream, 404, "", b"not found\n")?,
            (Some(Answer::Status(status)), _) => {
                // Without it a client that waits to be asked has nothing to answer.
                let asks = if status == 401 { "WWW-Authenticate: Basic realm=\"lab\"\r\n" } else { "" };
                whole(&mut stream, status, asks, reason(status).as_bytes())?;
            }
            (Some(Answer::Garbage), _) => whole(&mut stream, 200, "Content-Type: text/html\r\n", GARBAGE)?,
            (Some(Answer::Redirect(to)), _) => whole(&mut stream, 302, &format!("Location: {to}\r\n"), b"")?,
            (Some(Answer::Close), _) => return Ok(()),
            (Some(Answer::Cut(bytes)), body) => return part(&mut stream, &body.unwrap_or_default(), bytes),
            (Some(Answer::Stall(bytes)), body) => {
                part(&mut stream, &body.unwrap_or_default(), bytes)?;
                let end = Instant::now() + Duration::from_secs(3600);
                while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

const GARBAGE: &[u8] =
    b"<html><head><title>Sign in</title></head><body>Please sign in to use this network.</body></html>\n";

/// Headers that promise all of the body (or something), and the beginning of it.
fn part(stream: &mut TcpStream, body: &[u8], bytes: usize) -> Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len().max(bytes + 1))?;
    Ok(stream.write_all(&body[..bytes.min(body.len())])?)
}

/// Notes the request and picks what it gets, and the file it asked for.
fn decide(state: &mut State, request: &Request) -> (Option<Answer>, Option<PathBuf>) {
    state.requests.push(request.clone());
    let path = request.path.split(['?', '#']).next().unwrap_or_default();
    let shown = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
    let wanted = state.guarded.iter().find(|(prefix, _)| path.starts_with(prefix));
    if wanted.is_some_and(|(_, wanted)| shown.is_none_or(|(_, shown)| shown != wanted)) {
        return (Some(Answer::Status(401)), None);
    }
    let rule = state.rules.iter_mut().rev().find(|rule| path.starts_with(&rule.prefix) && rule.left != Some(0));
    let answer = rule.map(|rule| {
        rule.left = rule.left.map(|left| left - 1);
        rule.answer.clone()
    });
    let found =
        state.folders.iter().rev().find_map(|(prefix, folder)| below(folder, path.strip_prefix(prefix.as_str())?));
    let found = match &answer {
        Some(Answer::Folder(folder)) => below(folder, path),
        _ => found,
    };
    (answer, found)
}

/// From which byte on the rest of a file is asked for.
fn rest(request: &Request) -> Option<usize> {
    let range = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Range"))?;
    range.1.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// A file below a folder; nothing for paths that lead out of it.
fn below(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = decoded(path);
    let path = Path::new(path.trim_start_matches('/')).to_owned();
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = folder.join(path);
    (plain && file.is_file()).then_some(file)
}

/// Percent signs resolved.
fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 3;
            }
            (byte, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn read_request(reader: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(Some(Request { method, path, headers }))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("a+b"), "x").expect("written");
        assert_eq!(below(dir.path(), "/a%2bb"), Some(dir.path().join("a+b")));
        assert_eq!(below(dir.path(), "/../../etc/passwd"), None);
        assert_eq!(below(dir.path(), "/%2e%2e/etc/passwd"), None);
        assert_eq!(decoded("%zz%4"), "%zz%4");
    }
}

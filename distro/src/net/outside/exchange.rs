//! A request with its whole answer, for protocols over HTTP.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;

use super::wire::{Head, broken, refused_by_proxy};
use super::{Request, Unreached, ask, host_of, parse};
use crate::{Class, Runner};

/// Most bytes of a body.
const BODY: u64 = 1 << 20;

/// A whole answer.
pub(in crate::net) struct Whole {
    pub head: Head,
    pub body: Vec<u8>,
}

/// Sends `body` with `headers` to `url` by `method`, and reads the whole answer, of whatever status, within `limit`.
///
/// # Errors
/// As [`super::get`], but for what the server itself answers.
pub(in crate::net) fn exchange(
    runner: &Runner,
    roots: &Arc<RootCertStore>,
    (method, url): (&str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
    limit: Duration,
) -> Result<Whole, Unreached> {
    let at = parse(url)?;
    let request = Request { method, headers, login: None, body };
    let (head, wire, proxy) = ask(runner, roots, &at, &request, Instant::now() + limit)?;
    let read = if method == "HEAD" { Ok(Vec::new()) } else { body_of(&head, wire) };
    let body = read.map_err(|error| broken(host_of(&at), Class::Http, &error))?;
    match proxy.filter(|_| head.status == 407) {
        Some(proxy) => Err(refused_by_proxy(&proxy, url, &head, &body)),
        None => Ok(Whole { head, body }),
    }
}

/// RFC 9112, 6.3.
fn body_of(head: &Head, wire: impl Read) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if is_chunked(head) {
        chunks(BufReader::new(wire.take(2 * BODY)), &mut body)?;
        return Ok(body);
    }
    let length = length_of(head);
    match wire.take(length.unwrap_or(BODY).min(BODY)).read_to_end(&mut body) {
        // Who ends TLS without a word has ended the body all the same, where nothing said how long it is.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length.is_none() => {}
        Err(error) => return Err(error),
        Ok(read) if length.is_some_and(|length| (read as u64) < length.min(BODY)) => {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(_) => {}
    }
    Ok(body)
}

/// What comes of a body's first `most` bytes, also of one that breaks off. A server may leave the connection open after it, whatever it was
/// asked for.
pub(super) fn beginning_of(head: &Head, wire: impl Read, most: u64) -> Vec<u8> {
    let mut body = Vec::new();
    if is_chunked(head) {
        chunks(BufReader::new(wire.take(most)), &mut body).ok();
    } else {
        wire.take(length_of(head).unwrap_or(most).min(most)).read_to_end(&mut body).ok();
    }
    body
}

fn is_chunked(head: &Head) -> bool {
    head.all("transfer-encoding").any(|coding| coding.eq_ignore_ascii_case("chunked"))
}

fn length_of(head: &Head) -> Option<u64> {
    head.all("content-length").next().and_then(|length| length.parse().ok())
}

/// RFC 9112, 7.1. What comes after the last chunk is of no interest.
fn chunks(mut from: impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = line.split(';').next().map(str::trim).and_then(|size| u64::from_str_radix(size, 16).ok());
        let size = size.filter(|size| *size <= BODY).ok_or(io::ErrorKind::InvalidData)?;
        if size == 0 {
            return Ok(());
        }
        if from.by_ref().take(size).read_to_end(body)? as u64 != size || body.len() as u64 > BODY {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        from.read_line(&mut line)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        for (headers, wire, body) in [
            ("", "abc", Some("abc")),
            ("Content-Length: 2\r\n", "abc", Some("ab")),
            ("Content-Length: 4\r\n", "abc", None),
            ("Transfer-Encoding: chunked\r\n", "2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", Some("abc")),
            ("Transfer-Encoding: chunked\r\n", "3\r\nab", None),
            ("Transfer-Encoding: chunked\r\n", "", None),
            ("Transfer-Encoding: chunked\r\n", "ffffffffff\r\nab", None),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            let head = Head::read(&mut text.as_bytes()).unwrap();
            let read = body_of(&head, wire.as_bytes()).ok();
            assert_eq!(read.as_deref(), body.map(str::as_bytes), "{headers} {wire}");
        }
    }
}

use std::io::Read;
use std::net::{SocketAddr, TcpListener};

use super::*;
use crate::net::install_tls_provider;
use crate::network::{Given, Setting};

/// A port of this host that answers each part of `reply` (between `|`) to what is sent to it.
#[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
fn server(reply: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            for part in reply.split(|byte| *byte == b'|') {
                if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    stream.write_all(part).ok();
                }
            }
        }
    });
    address
}

fn ask(url: &str, proxy: Option<&str>, login: bool) -> Result<Answer, Unreached> {
    install_tls_provider();
    let given = Given {
        proxy: proxy.map(str::to_owned),
        user: login.then(|| "CORP\\jo".to_owned()),
        password: login.then(|| "hunter2".to_owned()),
        ..Given::default()
    };
    let (setting, _) = Setting::settle(&given, None, false, &|_| None).unwrap();
    let runner = Runner::quiet();
    runner.use_network(Network::new(&setting, &[]).unwrap());
    get(&runner, &roots(&runner.network()), url, Duration::from_secs(2))
}

#[test]
fn what_a_proxy_refuses_is_told_in_its_own_words() {
    let http = "http://repo.corp.test/x";
    let https = "https://repo.corp.test/x";
    for (url, login, reply, message, evidence, passing) in [
        (
            https,
            false,
            &b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n\r\n"[..],
            "wants a login (407; it offers Basic)",
            "Proxy-Authenticate: Basic realm=\"corp\"",
            false,
        ),
        (https, true, b"HTTP/1.0 407 No\r\nProxy-Authenticate: BASIC realm=x\r\n\r\n", "refuses the login (407", "407 No", false),
        (
            https,
            true,
            b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n",
            "package managers cannot do (407; it offers Negotiate, NTLM)",
            "NTLM",
            false,
        ),
        (http, false, b"HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\n\r\n", "package managers cannot do", "NTLM", false),
        (
            https,
            false,
            b"HTTP/1.1 403 Forbidden\r\n\r\n<html><head><title>Blocked</title><style>b{}</style></head><b>Ask IT</b></html>",
            "refuses the connection to repo.corp.test:443: HTTP/1.1 403 Forbidden",
            "it says: Blocked Ask IT",
            false,
        ),
        (https, false, b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "502 Bad Gateway", "502", true),
        (http, false, b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", "refuses http://repo.corp.test/x: HTTP/1.1 504", "504", true),
        (http, false, b"HTTP/1.1 403 No\r\nX-Squid-Error: ERR_ACCESS_DENIED 0\r\n\r\nno", "refuses http://repo", "it says: no", false),
        (https, false, b"SSH-2.0-OpenSSH\r\n\r\n", "does not answer: no HTTP: 'SSH-2.0-OpenSSH'", "no HTTP", true),
        (https, false, b"", "does not answer: ", "closed without an answer", true),
    ] {
        let proxy = format!("http://{}", server(reply));
        let unreached = ask(url, Some(&proxy), login).unwrap_err();
        let said = String::from_utf8_lossy(reply);
        assert_eq!(unreached.fault.class, Class::Proxy, "{said}: {unreached:?}");
        assert!(unreached.fault.message.contains(message), "{said}: {}", unreached.fault.message);
        let lines = unreached.fault.evidence.join("\n");
        assert!(lines.contains(evidence), "{said}: {lines}");
        assert_eq!(unreached.passing, passing, "{said}");
        assert!(!unreached.fault.advice.is_empty() && !format!("{unreached:?}").contains("hunter2"));
        if lines.contains("NTLM") {
            assert!(unreached.fault.advice.contains("cntlm"), "{}", unreached.fault.advice);
        }
    }
}

#[test]
fn what_a_server_answers() {
    for (reply, class, words) in [
        (&b"HTTP/1.1 404 Not Found\r\n\r\n"[..], Class::Repository, "answers 'HTTP/1.1 404 Not Found'"),
        (b"HTTP/1.1 503 Busy\r\n\r\n", Class::Http, "503 Busy"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n<p>no", Class::Http, "403"),
        (b"HTTP/1.1 407 Odd\r\n\r\n", Class::Http, "407"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n", Class::Http, "302"),
        (b"HTTP/1.1 302 Found\r\n\r\n", Class::Http, "302"),
    ] {
        let unreached = ask(&format!("http://{}/x", server(reply)), None, false).unwrap_err();
        assert_eq!(unreached.fault.class, class, "{unreached:?}");
        assert!(unreached.fault.message.contains(words), "{unreached:?}");
    }
    let answer =
        ask(&format!("http://{}/x?y", server(b"HTTP/1.1 200 OK\r\nDate: x\r\n\r\nbody")), None, false).unwrap();
    assert_eq!((answer.body.as_slice(), answer.sent_to.len()), (&b"body"[..], 0));
    assert_eq!(answer.headers, [("date".to_owned(), "x".to_owned())]);
}

#[test]
fn redirects_are_followed_and_told_but_not_for_ever() {
    let end = server(b"HTTP/1.1 200 OK\r\n\r\nx");
    let reply: &'static str = format!("HTTP/1.1 302 Found\r\nLocation: http://{end}/there\r\n\r\n").leak();
    let answer = ask(&format!("http://{}/", server(reply.as_bytes())), None, false).unwrap();
    assert_eq!((answer.url.clone(), answer.sent_to), (format!("http://{end}/there"), vec![answer.url]));
    let loops = ask(&format!("http://{}/", server(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")), None, false);
    assert!(loops.unwrap_err().fault.message.contains("302"));
}

#[test]
fn nobody_there() {
    let refused = ask("http://127.0.0.1:1/", None, false).unwrap_err();
    assert!(refused.passing && refused.fault.class == Class::Http);
    assert!(refused.fault.message.contains("connection refused"), "{refused:?}");
    let proxy = ask("https://repo.corp.test/", Some("http://127.0.0.1:1"), false).unwrap_err();
    assert_eq!((proxy.fault.class, proxy.passing), (Class::Proxy, true));
    let unknown = ask("http://repo.corp.invalid/", None, false).unwrap_err();
    assert_eq!((unknown.fault.class, unknown.passing), (Class::Dns, false));
    let unknown = ask("http://repo.corp.test/", Some("http://proxy.corp.invalid:3128"), false).unwrap_err();
    assert_eq!(unknown.fault.class, Class::Proxy);
    assert!(unknown.fault.message.contains("'proxy.corp.invalid' does not resolve"), "{unknown:?}");
}

#[test]
fn tls_that_is_none() {
    for reply in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let unreached = ask(&format!("https://{}/", server(reply)), None, false).unwrap_err();
        assert_eq!(unreached.fault.class, Class::Tls, "{unreached:?}");
    }
}

#[test]
fn socks() {
    let good = b"\x05\x02|\x01\x00|\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50|HTTP/1.1 200 OK\r\n\r\nx";
    let url = "http://repo.corp.test/x";
    let through = |reply: &'static [u8], login| ask(url, Some(&format!("socks5://{}", server(reply))), login);
    assert_eq!(through(good, true).unwrap().body, b"x");
    for (reply, login, words) in [
        (&b"\x05\xff"[..], false, "wants a login"),
        (b"\x05\x02|\x01\x01", true, "refuses the login"),
        (b"\x05\x00|\x05\x02\x00\x01", false, "its rules do not allow it (SOCKS 2)"),
        (b"\x05\x00|\x05\x05\x00\x01", false, "does not connect to repo.corp.test:80: connection refused"),
        (b"HT", false, "does not speak SOCKS 5"),
    ] {
        let unreached = through(reply, login).unwrap_err();
        assert_eq!(unreached.fault.class, Class::Proxy);
        assert!(unreached.fault.message.contains(words), "{unreached:?}");
    }
}

#[test]
fn pages_have_words() {
    for (body, words) in [
        (
            "<html><head><title>Access  denied</title>\n<script>x<y</script></head><body>by <b>IT</b>",
            "Access denied by IT",
        ),
        ("plain \x1b[31m text", "plain [31m text"),
        ("", ""),
        ("a < b", "a"),
    ] {
        assert_eq!(page(body.as_bytes()), words);
    }
    assert_eq!(page("x".repeat(500).as_bytes()).chars().count(), 201);
}

#[test]
fn who_keeps_the_connection_open_is_not_waited_for() {
    for (headers, body) in [("Content-Length: 2", "ab"), ("Transfer-Encoding: chunked", "2\r\nab\r\n0\r\n\r\n")] {
        // After the bar it waits for another request.
        let reply = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}|").leak();
        let began = Instant::now();
        let answer = ask(&format!("http://{}/x", server(reply.as_bytes())), None, false).unwrap();
        assert_eq!(answer.body, b"ab");
        assert!(began.elapsed() < Duration::from_secs(1), "{headers}: {:?}", began.elapsed());
    }
}

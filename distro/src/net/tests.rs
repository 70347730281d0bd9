use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A port of this host that says `reply` to whoever connects and sends something, and then closes.
#[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
fn server(reply: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            for part in reply.split('|') {
                if stream.read(&mut request).is_ok_and(|read| read > 0) {
                    stream.write_all(part.as_bytes()).ok();
                }
            }
        }
    });
    address
}

/// A port that nobody listens on.
#[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn probe(url: &str, limit: Duration) -> Result<HttpAnswer, Silence> {
    install_tls_provider();
    http_probe(&Runner::quiet(), url, false, limit).unwrap()
}

#[test]
fn literal_addresses_and_localhost() {
    for (name, wanted) in [
        ("127.0.0.1", vec!["127.0.0.1"]),
        ("::1", vec!["::1"]),
        ("[::1]", vec!["::1"]),
        ("localhost", vec!["127.0.0.1", "::1"]),
    ] {
        let wanted: Vec<IpAddr> = wanted.into_iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!(resolve(&Runner::quiet(), name).unwrap(), wanted, "{name}");
    }
}

#[test]
fn own_addresses_have_those_of_loopback() {
    let addresses = own_addresses().unwrap();
    assert_eq!(addresses.iter().filter(|address| **address == IpAddr::from(Ipv4Addr::LOCALHOST)).count(), 1);
    assert!(!addresses.iter().any(|address| address.to_string().starts_with("fe80")), "{addresses:?}");
}

#[test]
fn what_getent_says() {
    let text = "10.0.0.7        STREAM box.corp.test\n10.0.0.7        DGRAM\n10.0.0.7        RAW\nfd00::7 STREAM\n\
                fe80::1%eth0 STREAM\n";
    assert_eq!(addresses(text), ["10.0.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()]);
    assert_eq!(addresses(""), Vec::<IpAddr>::new());
}

#[test]
fn what_is_no_name_is_not_looked_up() {
    for name in ["", "-h", "a b", "a;b", "ä", "a/b"] {
        let error = resolve(&Runner::quiet(), name).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Dns);
        assert!(error.to_string().ends_with("is not the name of a host"), "{error}");
    }
}

#[test]
fn a_name_that_does_not_resolve_is_class_dns() {
    // Names below `invalid` exist nowhere (RFC 6761).
    let error = resolve(&Runner::quiet(), "no-such-host.invalid").unwrap_err();
    let fault = Fault::find(&error).unwrap();
    assert_eq!(fault.class, Class::Dns);
    assert!(fault.message.contains("'no-such-host.invalid'"), "{}", fault.message);
    assert!(fault.evidence.iter().any(|line| line.starts_with("/etc/nsswitch.conf: ")), "{:?}", fault.evidence);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
fn a_site_is_asked_by_its_name() {
    install_tls_provider();
    let listener = TcpListener::bind((SITES_AT, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        String::from_utf8_lossy(&request[..read]).to_lowercase()
    });
    let answer = http_here(&format!("http://localhost:{port}/"), Some("192.0.2.10"), None, SECOND).unwrap();
    assert_eq!(answer.unwrap().status, 204);
    let request = thread.join().unwrap();
    assert!(request.contains("\r\nhost: 192.0.2.10\r\n") && !request.contains("localhost"), "{request}");
}

#[test]
fn nobody_listens() {
    let address = free();
    assert_eq!(connect(&Endpoint::Tcp(address), SECOND).unwrap_err(), Silence::Refused);
    assert_eq!(probe(&format!("http://{address}/"), SECOND), Err(Silence::Refused));
    let host = connect_host(&Runner::quiet(), "localhost", address.port(), SECOND).unwrap();
    assert_eq!(host.unwrap_err(), Silence::Refused);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
fn who_listens_and_never_answers_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let limit = Duration::from_millis(200);
    let began = Instant::now();
    let redis = redis_ping(&Endpoint::Tcp(address), Login::default(), RedisState::default(), limit);
    assert_eq!(redis, Err(Silence::Timeout(limit)));
    assert_eq!(probe(&format!("http://{address}/"), limit), Err(Silence::Timeout(limit)));
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(connect_host(&Runner::quiet(), "localhost", address.port(), SECOND).unwrap().is_ok());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
fn socket_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let to = Endpoint::Unix(path.clone());
    assert_eq!(connect(&to, SECOND).unwrap_err(), Silence::Absent);
    std::fs::write(&path, "").unwrap();
    assert_eq!(connect(&to, SECOND).unwrap_err(), Silence::Refused);
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 64];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"+PONG\r\n").unwrap();
    });
    assert_eq!(redis_ping(&to, Login::default(), RedisState::default(), SECOND), Ok(Ping::Pong));
}

#[test]
fn logins() {
    let login = Login { user: None, password: Some("secret") };
    for (reply, login, wanted) in [
        ("+OK\r\n|+PONG\r\n", login, Ok(Ping::Pong)),
        ("+OK\r\n|-LOADING x\r\n", Login { user: Some("app"), ..login }, Ok(Ping::Loading)),
        ("-WRONGPASS x\r\n", login, Ok(Ping::WrongPass)),
        ("-NOAUTH x\r\n", Login::default(), Ok(Ping::NoAuth)),
        ("", Login::default(), Err(Silence::Closed)),
        ("HTTP/1.1 400 Bad Request\r\n", Login::default(), Err(Silence::Garbled("HTTP/1.1 400 Bad Request".into()))),
    ] {
        assert_eq!(redis_ping(&Endpoint::Tcp(server(reply)), login, RedisState::default(), SECOND), wanted, "{reply}");
    }
}

#[test]
fn an_answer_has_status_headers_and_the_start_of_its_body() {
    let reply = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nRetry-After: 5\r\n\r\nbusy";
    let answer = probe(&format!("http://{}/health", server(reply)), SECOND).unwrap();
    assert_eq!((answer.status, answer.header("retry-after"), answer.body.as_slice()), (503, Some("5"), &b"busy"[..]));
}

#[test]
fn redirects_are_answers() {
    let reply = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(probe(&format!("http://{}/", server(reply)), SECOND).unwrap().status, 302);
}

#[test]
fn what_does_not_speak_http_or_tls() {
    let address = server("+PONG\r\n");
    assert!(matches!(probe(&format!("http://{address}/"), SECOND), Err(Silence::Garbled(_))));
    assert_eq!(probe(&format!("https://{address}/"), SECOND), Err(Silence::Garbled("no TLS".into())));
    assert_eq!(probe(&format!("http://{}/", server("")), SECOND), Err(Silence::Closed));
}

#[test]
fn urls() {
    for (url, wanted) in [
        ("http://127.0.0.1:8080/x", Some(("127.0.0.1", 8080))),
        ("https://localhost/", Some(("localhost", 443))),
        ("http://[::1]/", Some(("[::1]", 80))),
        ("ftp://localhost/", None),
        ("localhost:80", None),
        ("http://user:hunter2@localhost/", None),
        ("http://user:hunter2@local host/", None),
    ] {
        match (split_url(url), wanted) {
            (Ok((host, port)), Some(wanted)) => assert_eq!((host.as_str(), port), wanted, "{url}"),
            (Err(error), None) => assert!(!error.to_string().contains("hunter2"), "{error}"),
            (found, _) => panic!("{url}: {found:?}"),
        }
    }
}

#[test]
fn a_connection_sends_at_once_what_it_is_given() {
    assert!(tcp(&server(""), SECOND).unwrap().nodelay().unwrap());
}

/// Messages of PostgreSQL's protocol 3.0: a letter, the length, the rest.
fn postgres(letter: u8, rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(rest.len() + 4).unwrap();
    [&[letter], &length.to_be_bytes()[..], rest].concat()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
fn a_postgresql_of_before_scram_is_logged_in_to_by_md5() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            // A password of MD5 is wanted, with this salt.
            stream.write_all(&postgres(b'R', &[0, 0, 0, 5, 1, 2, 3, 4])).unwrap();
            let read = stream.read(&mut request).unwrap();
            let wanted = postgres(b'p', b"md5b1ea4566d7b3f87a515342d021cfa69f\0");
            let answer = match request[..read] == wanted[..] {
                true => [postgres(b'R', &[0; 4]), postgres(b'Z', b"I")].concat(),
                false => postgres(b'E', b"C28P01\0Mpassword authentication failed\0\0"),
            };
            stream.write_all(&answer).unwrap();
        }
    });
    let login = |password: Option<&str>| {
        let connection = connect(&Endpoint::Tcp(address), SECOND).unwrap();
        postgres_ask(connection, PgLogin { user: "shop", password, database: "shop" }, "").unwrap()
    };
    assert_eq!(login(Some("hunter2")), PgAnswer::Rows(Vec::new()));
    assert_eq!(login(None), PgAnswer::WantsPassword);
    let PgAnswer::Error { code, .. } = login(Some("wrong")) else { panic!("a wrong password is taken") };
    assert_eq!(code, "28P01");
    assert_eq!(md5_verifier("shop", "hunter2"), "md5c3129178c547296abec043d3f0ba0ef7");
}

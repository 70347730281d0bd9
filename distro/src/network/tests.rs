use std::collections::HashMap;

use super::*;

fn settle(
    given: &Given,
    stored: Option<&Setting>,
    resume: bool,
    env: &[(&str, &str)],
) -> Result<(Network, Vec<String>, Setting), Fault> {
    let env: HashMap<&str, &str> = env.iter().copied().collect();
    let (setting, notes) =
        Setting::settle(given, stored, resume, &|name| env.get(name).map(|value| (*value).to_owned()))?;
    Ok((Network::new(&setting, &["box".into(), "10.0.0.5".into()])?, notes, setting))
}

#[test]
fn addresses_of_proxies_that_everybody_reads_in_the_same_way() {
    let password = "p%40ss%3Aw%2Frd%23%3F%25";
    for (text, url) in [
        ("http://proxy.corp:3128", "http://proxy.corp:3128"),
        ("proxy.corp:3128", "http://proxy.corp:3128"),
        ("  http://proxy.corp:3128/ \n", "http://proxy.corp:3128"),
        ("HTTP://proxy.corp", "http://proxy.corp:80"),
        ("https://proxy.corp", "https://proxy.corp:443"),
        ("socks5://10.0.0.1", "socks5h://10.0.0.1:1080"),
        ("socks5h://proxy:9050/", "socks5h://proxy:9050"),
        ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("http://u@proxy:1", "http://u:@proxy:1"),
        ("http://CORP\\jo:x@proxy:1", "http://CORP%5Cjo:x@proxy:1"),
        ("http://CORP%5cjo:x@proxy:1", "http://CORP%5Cjo:x@proxy:1"),
        ("http://u:p%40ss%3Aw%2frd%23%3F%25@proxy:1", &format!("http://u:{password}@proxy:1")),
        ("http://u:p@ss@proxy:1", "http://u:p%40ss@proxy:1"),
        ("http://u:a:b@proxy:1", "http://u:a%3Ab@proxy:1"),
        ("http://u:%C3%A9@proxy:1", "http://u:%C3%A9@proxy:1"),
        ("http://u:é!$&@proxy:1", "http://u:%C3%A9%21%24%26@proxy:1"),
        ("u:p@proxy:1", "http://u:p@proxy:1"),
    ] {
        let proxy = Proxy::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(proxy.url(), url, "{text}");
        assert_eq!(Proxy::parse(url).unwrap(), proxy, "{text}");
    }
}

#[test]
fn values_that_others_would_silently_ignore_are_refused() {
    for (text, why) in [
        ("http://u:p s@proxy:1", "has ' ' as it is"),
        ("http://u:pa[ss@proxy:1", "has '[' as it is"),
        ("http://u:pa/ss@proxy:1", "has '/' as it is"),
        ("http://u:pa#ss@proxy:1", "has '#' as it is"),
        ("http://u:pa?ss@proxy:1", "has '?' as it is"),
        ("http://u:pa%ss@proxy:1", "has '%' as it is"),
        ("http://u:pa%0ass@proxy:1", "encodes no text"),
        ("http://u:pa%ff@proxy:1", "encodes no text"),
        ("http://:pass@proxy:1", "a password and no user"),
        ("\"http://proxy:1\"", "quotes"),
        ("http://proxy:1'", "quotes"),
        ("ftp://proxy:1", "'ftp' is no kind"),
        ("socks4://proxy:1", "'socks4' is no kind"),
        ("http://proxy.corp/wpad.PAC", "PAC"),
        ("http://proxy:1/path", "'/' and what follows"),
        ("http://proxy:1?x", "'?' and what follows"),
        ("http://proxy:70000", "'70000' is no port"),
        ("http://proxy:", "'' is no port"),
        ("http://proxy:0", "'0' is no port"),
        ("http://pro xy:1", "'pro xy' is not the name"),
        ("http://10.0.0.256:1", "'10.0.0.256' is not the name"),
        ("http://fd00::1", "brackets"),
        ("http://[fd00::x]:1", "no IPv6 address"),
        ("http://", "'' is not the name"),
        ("", "'' is not the name"),
        ("http://u:p@", "'' is not the name"),
    ] {
        let said = Proxy::parse(text).map(|proxy| proxy.url()).expect_err(text);
        assert!(said.contains(why), "{text}: {said}");
    }
}

#[test]
fn an_error_holds_nothing_of_the_login() {
    for value in [
        "http://jo:hunter2@pro xy:1",
        "http://jo:hun ter2@proxy:1",
        "jo:hunter2@ftp://x",
        "ftp://jo:hunter2@x",
        "jo:hunter2@",
    ] {
        let given = Given { proxy: Some(value.into()), ..Given::default() };
        let fault = settle(&given, None, false, &[]).unwrap_err();
        let said = format!("{fault} {:?} {}", fault.evidence, fault.advice);
        assert!(!said.contains("hun") && !said.contains("ter2"), "{said}");
        assert_eq!(fault.class, Class::Usage);
    }
}

#[test]
fn what_is_reached_directly_is_in_the_form_that_all_programs_share() {
    for (text, entries, note) in [
        ("corp.test, .a.test b.test", "corp.test,a.test,b.test", None),
        ("*.corp.test", "corp.test", None),
        ("10.1.2.3,CORP.test,corp.TEST", "10.1.2.3,CORP.test", None),
        ("[fd00::1],fd00::1", "fd00::1,[fd00::1]", None),
        ("*", "*", Some("wget, apt and npm")),
        ("10.0.0.0/8", "10.0.0.0/8", Some("wget, apt, pip and npm")),
        ("corp.test:443", "corp.test:443", Some("curl, git, wget, apt, pip and npm")),
        ("10.*", "10.*", Some("every program")),
        ("192.168.", "192.168.", Some("every program")),
        (" ,, ", "", None),
    ] {
        let exempt = Exempt::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!(exempt.text(), entries, "{text}");
        match note {
            None => assert!(exempt.notes.is_empty(), "{text}: {:?}", exempt.notes),
            Some(note) => {
                assert!(exempt.notes.len() == 1 && exempt.notes[0].contains(note), "{text}: {:?}", exempt.notes)
            }
        }
    }
    for text in ["http://corp.test", "\"corp.test\"", "a;b", "10.0.0.0/33", "corp.test:x", "10.0.0.300"] {
        assert!(Exempt::parse(text).unwrap_err().contains("no_proxy"), "{text}");
    }
}

#[test]
fn hosts_are_matched_as_other_programs_do() {
    let exempt = Exempt::parse("corp.test,10.1.2.3,10.8.0.0/13,fd00::/8,port.test:443").unwrap();
    for (host, covered) in [
        ("corp.test", true),
        ("CORP.test.", true),
        ("a.b.corp.test", true),
        ("acorp.test", false),
        ("corp.test.evil", false),
        ("10.1.2.3", true),
        ("10.1.2.33", false),
        ("110.1.2.3", false),
        ("10.15.255.255", true),
        ("10.16.0.0", false),
        ("fd12::1", true),
        ("fe80::1", false),
        ("port.test", false),
    ] {
        assert_eq!(exempt.covers(host), covered, "{host}");
    }
    assert!(Exempt::parse("*").unwrap().covers("anything") && Exempt::parse("0.0.0.0/0").unwrap().covers("1.2.3.4"));
}

#[test]
fn the_environment_in_either_case() {
    let proxies = |env: &[(&str, &str)]| {
        let (network, notes, _) = settle(&Given::default(), None, false, env).unwrap();
        let url = |proxy: &Option<Proxy>| proxy.as_ref().map(Proxy::url).unwrap_or_default();
        (url(&network.http), url(&network.https), notes.len())
    };
    let (a, b) = ("http://a:1".to_owned(), "http://b:1".to_owned());
    for (env, http, https, notes) in [
        (&[][..], "", "", 0),
        (&[("http_proxy", "a:1"), ("https_proxy", "http://b:1")], &a, &b, 0),
        (&[("HTTP_PROXY", "a:1"), ("HTTPS_PROXY", "b:1")], &a, &b, 0),
        (&[("http_proxy", "a:1"), ("HTTP_PROXY", "b:1"), ("https_proxy", "b:1")], &a, &b, 1),
        (&[("https_proxy", "a:1"), ("HTTPS_PROXY", ""), ("http_proxy", "a:1")], &a, &a, 0),
        (&[("https_proxy", " "), ("HTTPS_PROXY", "b:1"), ("HTTP_PROXY", "a:1")], &a, &b, 0),
        (&[("all_proxy", "b:1"), ("http_proxy", "a:1")], &a, &b, 0),
        (&[("ALL_PROXY", "b:1")], &b, &b, 0),
        (&[("http_proxy", "a:1")], &a, "", 1),
        (&[("http_proxy", "a:1"), ("https_proxy", "b:1"), ("no_proxy", "x, 10.0.0.0/8")], &a, &b, 1),
    ] {
        assert_eq!(proxies(env), (http.to_owned(), https.to_owned(), notes), "{env:?}");
    }
    let fault = settle(&Given::default(), None, false, &[("HTTPS_PROXY", "http://proxy.corp/proxy.pac")]).unwrap_err();
    assert!(fault.message.starts_with("HTTPS_PROXY 'http://proxy.corp/proxy.pac'"), "{fault}");
}

#[test]
fn flags_then_what_was_stored_then_the_environment() {
    let flag = |proxy: &str| Given { proxy: Some(proxy.into()), ..Given::default() };
    let url = |result: Result<(Network, Vec<String>, Setting), Fault>| {
        result.unwrap().0.http.map(|proxy| proxy.url()).unwrap_or_default()
    };
    let (_, _, stored) = settle(&flag("stored:1"), None, false, &[]).unwrap();
    let stored = Setting::parse(&stored.stored_form().unwrap()).unwrap();
    let env = [("http_proxy", "env:1"), ("https_proxy", "env:1")];
    let none = Given::default();
    assert_eq!(url(settle(&flag("flag:1"), Some(&stored), true, &env)), "http://flag:1");
    assert_eq!(url(settle(&none, Some(&stored), true, &env)), "http://stored:1");
    assert_eq!(url(settle(&none, Some(&stored), false, &env)), "http://env:1");
    assert_eq!(url(settle(&none, Some(&stored), false, &[])), "http://stored:1");
    assert_eq!(url(settle(&flag("none"), Some(&stored), true, &env)), "");
    assert_eq!(Setting::parse(b"{").map(drop).unwrap_err().class, Class::State);
}

#[test]
fn a_login_of_any_characters() {
    for password in ["p@ss:w/rd#?%", "", " ", "\"';\\", "é\u{1F600}", "%41", "a\u{7f}b"] {
        let given = Given {
            proxy: Some("http://proxy:3128".into()),
            user: Some("CORP\\jo".into()),
            password: Some(password.into()),
            ..Given::default()
        };
        // A control character can be sent by no header.
        if password.chars().any(char::is_control) {
            assert!(settle(&given, None, false, &[]).is_err());
            continue;
        }
        let (network, _, _) = settle(&given, None, false, &[]).unwrap();
        let login = network.https.as_ref().and_then(|proxy| proxy.login.clone()).unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("CORP\\jo", password));
        assert!(network.secrets().contains(&password.to_owned()));
        assert!(!format!("{network:?} {}", network.https.as_ref().unwrap()).contains("CORP"));
    }
    let with = |user: Option<&str>, password: Option<&str>, env: &[(&str, &str)]| {
        let given = Given { user: user.map(str::to_owned), password: password.map(str::to_owned), ..Given::default() };
        settle(&given, None, false, env).map(|(network, ..)| network.https.map(|proxy| proxy.url()).unwrap_or_default())
    };
    let env = [("https_proxy", "http://jo:old@proxy:1"), ("http_proxy", "proxy:1")];
    assert_eq!(with(Some("al"), Some("new"), &env).unwrap(), "http://al:new@proxy:1");
    assert_eq!(with(None, Some("new"), &env[..1]).unwrap(), "http://jo:new@proxy:1");
    assert_eq!(with(Some("jo"), None, &env[..1]).unwrap(), "http://jo:old@proxy:1");
    for (user, password, env) in [
        (Some("jo"), Some("x"), &[][..]),
        (Some("jo:x"), None, &env[..]),
        (Some("al"), None, &env[..]),
        (None, Some("x"), &env[..]),
    ] {
        assert_eq!(with(user, password, env).unwrap_err().class, Class::Usage, "{user:?} {password:?}");
    }
}

#[test]
fn every_child_gets_both_cases_and_itself_directly() {
    let (network, _, _) = settle(
        &Given { proxy: Some("http://proxy:3128".into()), no_proxy: Some(".corp.test".into()), ..Given::default() },
        None,
        false,
        &[],
    )
    .unwrap();
    let environment: HashMap<String, String> = network.environment().into_iter().collect();
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"] {
        assert_eq!(environment[name], "http://proxy:3128");
    }
    for name in ["no_proxy", "NO_PROXY"] {
        assert_eq!(environment[name], "corp.test,localhost,127.0.0.1,::1,[::1],box,10.0.0.5");
    }
    assert_eq!(environment.len(), 6);
    assert!(network.proxy_for("https", "box").is_none() && network.proxy_for("https", "10.0.0.5").is_none());
    assert!(network.proxy_for("http", "deb.debian.org").is_some());
    assert!(settle(&Given::default(), None, false, &[("no_proxy", "x")]).unwrap().0.environment().is_empty());
}

#[test]
fn a_ca_is_certificates_and_nothing_else() {
    let of = |bytes: &[u8]| {
        let given = Given { ca: Some(("/root/ca.pem".into(), bytes.to_vec())), ..Given::default() };
        settle(&given, None, false, &[]).map(|(network, _, setting)| (network.ca, setting))
    };
    let root = &webpki_root_certs::TLS_SERVER_ROOT_CERTS[0];
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, root)
    );
    let (ca, setting) = of(pem.as_bytes()).unwrap();
    assert_eq!(ca.as_deref(), Some(pem.as_str()));
    // A run that is gone on with has it still, and so has a later one.
    for resume in [true, false] {
        assert_eq!(settle(&Given::default(), Some(&setting), resume, &[]).unwrap().0.ca, ca);
    }
    let broken = pem.replace("-----END", "x-----END");
    let cut = pem.replacen("MII", "MIX", 1);
    let key = format!("{pem}-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n");
    for bytes in [root.as_ref(), b"", b"text", broken.as_bytes(), cut.as_bytes(), key.as_bytes()] {
        let fault = of(bytes).map(drop).unwrap_err();
        assert!(fault.class == Class::Usage && fault.message.starts_with("/root/ca.pem "), "{fault}");
    }
}

#[test]
fn who_speaks_tls_to_proxies() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("etc")).unwrap();
    for (os_release, wanted) in [
        ("ID=centos\nID_LIKE=\"rhel fedora\"\nVERSION_ID=7\n", false),
        ("ID=rhel\nVERSION_ID=7.9\n", false),
        ("ID=amzn\nID_LIKE=\"centos rhel fedora\"\nVERSION_ID=2\n", true),
        ("ID=rocky\nID_LIKE=rhel\nVERSION_ID=8.9\n", true),
        ("ID=ubuntu\nVERSION_ID=\"7.04\"\n", true),
    ] {
        std::fs::write(root.path().join("etc/os-release"), os_release).unwrap();
        assert_eq!(speaks_tls_to_proxies(&Facts::gather(root.path()).unwrap()), wanted, "{os_release}");
    }
}

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

/// What must be encoded in the user part of a URL, and no more.
const RESERVED: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%').add(b'/').add(b':').add(b'@').add(b'?').add(b'#');

const LONG_ONE: &str = "Zr8'kQ\"v%2Fw\\p$L!x&y;z|<m>(n)[o]{t}~u^*+=,.?:@/ é-_0123456789ab";

fn knows(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    for secret in secrets {
        redactor.learn(secret);
    }
    redactor
}

/// Every way to write `secret` that has to be recognised.
fn written(secret: &str) -> Vec<String> {
    let mut ways = vec![
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC)
            .to_string()
            .to_lowercase()
            .replace(&secret.to_lowercase(), secret),
        utf8_percent_encode(secret, &RESERVED).to_string(),
        serde_json::to_string(secret).unwrap(),
        format!("{secret:?}"),
        format!("'{}'", secret.replace('\'', "'\"'\"'")),
        format!("'{}'", secret.replace('\'', r"'\''")),
    ];
    // Lower-case digits, letters as they are.
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    ways[2] = percent.split('%').enumerate().fold(String::new(), |text, (n, part)| {
        if n == 0 { part.to_owned() } else { format!("{text}%{}{}", part[..2].to_lowercase(), &part[2..]) }
    });
    let backslashed = secret.chars().map(|c| if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() });
    ways.push(backslashed.collect());
    for before in ["", "u:", "me:", "root:"] {
        for after in ["", "@", "@h", "\n--"] {
            let text = format!("{before}{secret}{after}");
            ways.extend([STANDARD.encode(&text), STANDARD_NO_PAD.encode(&text)]);
            ways.extend([URL_SAFE.encode(&text), URL_SAFE_NO_PAD.encode(&text)]);
        }
    }
    ways
}

#[test]
fn a_secret_is_found_however_it_is_written() {
    let eight = ["k3yK3yk3", "pa'ss\"wd", "100%2541", "a b c d!", "\\n\\x41\\u", "é😀ü日本語ab"];
    let short = ["k", "7", "a'", "é", "x%4", "\"", "'", "%", "$", "\"\"\""];
    let other = ["1234", "'a'b", "\"ab\"", "%%%%", LONG_ONE];
    for secret in eight.into_iter().chain(short).chain(other) {
        let redactor = knows(&[secret]);
        for way in written(secret) {
            for (before, after) in [("password = ", ""), ("", ""), ("x=", " y"), ("[", "]")] {
                let told = redactor.text(&format!("{before}{way}{after}"));
                assert!(
                    told.contains(SECRET),
                    "secret {secret:?} written {way:?} between {before:?} and {after:?}: {told}"
                );
                let rest = told.replacen(SECRET, "", 1);
                let left = rest.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
                assert!(!left.contains(secret) || left.is_empty(), "{secret:?} is left of {way:?}: {told}");
            }
        }
    }
}

#[test]
fn the_rest_of_a_line_stays() {
    let table = [
        ("hunter22", "login hunter22 failed", "login [secret] failed"),
        ("hunter22", "'hunter22', \"hunter22\"", "'[secret]', \"[secret]\""),
        ("hunter22", "hunter2 hunter222", "hunter2 [secret]2"),
        ("p@ss/wd", "http://me:p%40ss%2fwd@proxy:3128/", "http://me:[secret]@proxy:3128/"),
        ("p@ss/wd", "http://me:p%40ss/wd@proxy:3128/", "http://me:[secret]@proxy:3128/"),
        ("pa'ss", r#"redis-cli -a 'pa'"'"'ss' ping"#, r#"redis-cli -a '[secret]' ping"#),
        ("pa'ss", r"redis-cli -a pa\'ss ping", "redis-cli -a [secret] ping"),
        ("pa\"ss", r#"{"password":"pa\"ss"}"#, r#"{"password":"[secret]"}"#),
        ("a b c", "q=a+b+c&r=1", "q=[secret]&r=1"),
        ("passw", "Authorization: Basic dXNlcjpwYXNzdw==", "Authorization: Basic [secret]"),
        ("pass", "Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [secret]"),
        ("k", "a key k, k: ok", "a key [secret], [secret]: ok"),
        ("k", "Authorization: Basic dXNlcjpr", "Authorization: Basic [secret]"),
        ("\"", "say \"no\" to \"this\"", "say \"no\" to \"this\""),
        ("\"", "requirepass \"\\\"\"", "requirepass [secret]"),
        ("\"", "http://me:%22@proxy/", "http://me:[secret]@proxy/"),
        ("%", "50% of 100 %d", "50% of 100 %d"),
        ("%", "password=%", "password=[secret]"),
        ("日本語日本語", "は日本語日本語です", "は[secret]です"),
        ("longsecret", "a line that was cut in longsec […cut]", "a line that was cut in [secret] […cut]"),
    ];
    for (secret, text, expected) in table {
        assert_eq!(knows(&[secret]).text(text), expected, "secret {secret:?}");
    }
}

#[test]
fn the_longest_of_several_secrets_goes_as_one() {
    let redactor = knows(&["abcd", "abcdefgh", "efghijkl"]);
    assert_eq!(redactor.text("x abcdefgh abcdefghijkl abcd."), "x [secret] [secret] [secret].");
    assert_eq!(redactor.text("abcdabcd"), "[secret][secret]");
}

#[test]
fn each_line_of_a_private_key_is_a_secret() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n";
    let redactor = knows(&[key]);
    assert_eq!(redactor.text("+hkiG9w0BAQEF"), "+[secret]");
    assert_eq!(redactor.text("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    assert_eq!(redactor.text(key.trim_end()), SECRET);
}

#[test]
fn blank_secrets_are_none() {
    let redactor = knows(&["", " ", "\n"]);
    assert_eq!(redactor.text("a b\nc"), "a b\nc");
    assert!(!redactor.holds("a b"));
}

#[test]
fn what_is_learned_later_is_found() {
    let redactor = knows(&["first-one"]);
    assert!(!redactor.holds("second-one"));
    redactor.learn("second-one");
    assert!(redactor.holds("second-one") && redactor.holds("Zmlyc3Qtb25l"));
}

#[test]
fn every_string_of_an_event_is_cleaned() {
    let secret = "s3cr3t-value";
    let text = || format!("x {secret} y");
    let failure = Failure {
        class: distro::Class::Service,
        exit_code: 26,
        message: text(),
        place: Place { stage: None, step: None, resource: Some(text()) },
        position: Some((1, 2)),
        command: Some(distro::failure::Ran { argv: vec![text()], exit: Some(1), signal: None }),
        while_doing: vec![text()],
        evidence: vec![text()],
        advice: text(),
        go_on: Some(text()),
        log: Some(text()),
    };
    let changes = vec![ChangeTold { item: text(), summary: text(), diff: Some(text()) }];
    let told = [
        What::RunStarted {
            action: "install".into(),
            version: "1".into(),
            title: text(),
            log: text(),
            steps: 1,
            resources: 1,
        },
        What::ResourceChanging { n: 1, of: 2, changes },
        What::ResourceUndone { summary: text() },
        What::ResourceKept { why: text() },
        What::CommandStarted { argv: vec!["a".into(), text()] },
        What::CommandLine { stream: "out".into(), text: text() },
        What::Progress { percent: 1.0, text: text() },
        What::Warning { text: text() },
        What::Failed { failure: Box::new(failure) },
        What::RunEnded {
            result: "done".into(),
            in_place: 0,
            changed: 0,
            failed: 0,
            restarted: 0,
            taken_back: None,
            kept: None,
            forgotten: false,
            took_ms: 0,
            next: vec![text()],
        },
    ];
    let redactor = knows(&[secret]);
    for what in told {
        let before = serde_json::to_string(&what).unwrap();
        let after = serde_json::to_string(&redactor.event(what)).unwrap();
        assert!(!after.contains(secret), "{after}");
        assert_eq!(after, before.replace(secret, SECRET));
    }
}

#[test]
fn thousands_of_lines_take_no_time() {
    let secrets: Vec<String> = (0..20).map(|n| format!("{n}{LONG_ONE}")).collect();
    let redactor = knows(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
    let line = "Unpacking redis-server (5:7.0.15-1~deb12u1) over \"/usr/lib/x86_64-linux-gnu/libjemalloc.so.2\" … 42%";
    let began = std::time::Instant::now();
    for _ in 0..3_000 {
        assert!(!redactor.holds(line));
    }
    // Without optimisation, on a busy machine.
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

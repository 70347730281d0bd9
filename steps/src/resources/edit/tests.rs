use proptest::prelude::*;

use super::*;

const fn ini<'a>(section: &'a str, key: &'a str) -> Spot<'a> {
    Spot { format: KeyFormat::Ini, section, key, repeat: false }
}

const fn env(key: &str) -> Spot<'_> {
    Spot { format: KeyFormat::Env, section: "", key, repeat: false }
}

const fn space(key: &str) -> Spot<'_> {
    Spot { format: KeyFormat::Space, section: "", key, repeat: false }
}

const fn yaml(key: &str) -> Spot<'_> {
    Spot { format: KeyFormat::Yaml, section: "", key, repeat: false }
}

const fn repeated(key: &str) -> Spot<'_> {
    Spot { format: KeyFormat::Space, section: "", key, repeat: true }
}

/// Sets, checks that a second time changes nothing, takes back, checks that everything is as it was.
fn round(text: &[u8], spot: Spot<'_>, value: &[u8]) -> Option<Edit> {
    let edit = set(text, spot, value).ok()??;
    assert_eq!(set(&edit.text, spot, value), Ok(None));
    let is_ours = |line: &[u8]| line == edit.new;
    let back = take_back(&edit.text, spot, is_ours, edit.old.as_deref(), edit.made_section);
    assert_eq!(back, Back::Text(text.to_vec()), "taken back from {:?}", String::from_utf8_lossy(&edit.text));
    Some(edit)
}

#[test]
fn keys_are_set() {
    let cases: &[(&str, Spot<'_>, &str, &str)] = &[
        // Replaced, with the spacing that is there.
        ("[a]\nk = 1\n", ini("a", "k"), "2", "[a]\nk = 2\n"),
        ("[a]\n  k=1\nl = 1\n", ini("a", "k"), "2", "[a]\n  k=2\nl = 1\n"),
        ("[a]\r\nk\t: 1\r\n", ini("a", "k"), "2", "[a]\r\nk\t: 2\r\n"),
        ("[a]\nk =\n", ini("a", "k"), "2", "[a]\nk = 2\n"),
        ("[a]\nk=\n", ini("a", "k"), "2", "[a]\nk=2\n"),
        ("[a]\nk = 1\n", ini("a", "k"), "", "[a]\nk =\n"),
        ("[a]\nskip-networking\n", ini("a", "skip-networking"), "1", "[a]\nskip-networking = 1\n"),
        ("[a]\nk = 1", ini("a", "k"), "2", "[a]\nk = 2"),
        ("[ a ] # x\nk = 1\n", ini("a", "k"), "2", "[ a ] # x\nk = 2\n"),
        // Only the right section and the whole key.
        ("k = 0\n[b]\nk = 1\n[a]\nkk = 3\nk = 1\n", ini("a", "k"), "2", "k = 0\n[b]\nk = 1\n[a]\nkk = 3\nk = 2\n"),
        ("k = 0\n[b]\nk = 1\n", ini("", "k"), "2", "k = 2\n[b]\nk = 1\n"),
        // The last one wins, also in the second part of a section.
        ("[a]\nk = 1\nk = 2\n", ini("a", "k"), "3", "[a]\nk = 1\nk = 3\n"),
        ("[a]\nk = 3\nk = 2\n", ini("a", "k"), "3", "[a]\nk = 3\nk = 3\n"),
        ("[a]\nk = 1\n[b]\n[a]\nk = 2\n", ini("a", "k"), "3", "[a]\nk = 1\n[b]\n[a]\nk = 3\n"),
        // A value over several lines goes as a whole; an assignment below it stays.
        ("[a]\nk = 1\n  2\n\t3\nl = 4\n", ini("a", "k"), "5", "[a]\nk = 5\nl = 4\n"),
        ("[a]\nk = 1\n  l = 4\n", ini("a", "k"), "5", "[a]\nk = 5\n  l = 4\n"),
        // New: after the one commented out, else after the last key, in the style of its neighbour.
        ("[a]\n# k = 1\n#l = 1\nm=1\n", ini("a", "k"), "2", "[a]\n# k = 1\nk=2\n#l = 1\nm=1\n"),
        ("[a]\n;k=1\n", ini("a", "k"), "2", "[a]\n;k=1\nk = 2\n"),
        ("[a]\n# k is a key\n", ini("a", "k"), "2", "[a]\nk = 2\n# k is a key\n"),
        ("[a]\nl=1\n\n# about b\n[b]\nl = 1\n", ini("a", "k"), "2", "[a]\nl=1\nk=2\n\n# about b\n[b]\nl = 1\n"),
        ("[a]\n  l = 1\n[b]\n", ini("a", "k"), "2", "[a]\n  l = 1\n  k = 2\n[b]\n"),
        ("[a]\nl = 1", ini("a", "k"), "2", "[a]\nl = 1\nk = 2"),
        ("[a]\r\nl = 1", ini("a", "k"), "2", "[a]\r\nl = 1\r\nk = 2"),
        ("[a]\n[b]\n", ini("a", "k"), "2", "[a]\nk = 2\n[b]\n"),
        ("[a]", ini("a", "k"), "2", "[a]\nk = 2"),
        ("# title\n[a]\n", ini("", "k"), "2", "k = 2\n# title\n[a]\n"),
        ("# title\n", ini("", "k"), "2", "# title\nk = 2\n"),
        // New section.
        ("", ini("a", "k"), "2", "[a]\nk = 2\n"),
        ("[b]\nl=1\n", ini("a", "k"), "2", "[b]\nl=1\n\n[a]\nk=2\n"),
        ("[b]\nl=1", ini("a", "k"), "2", "[b]\nl=1\n\n[a]\nk=2"),
        ("[b]\r\n", ini("a", "k"), "2", "[b]\r\n\r\n[a]\r\nk = 2\r\n"),
        ("\n\n", ini("a", "k"), "2", "\n\n\n[a]\nk = 2\n"),
        // A commented line that something deeper follows is no good place.
        ("[a]\n#k = 1\n  x\ny = 1\n", ini("a", "k"), "2", "[a]\n#k = 1\n  x\ny = 1\nk = 2\n"),
        // Shell.
        ("# K=0\nexport K=1\n", env("K"), "a b", "# K=0\nexport K='a b'\n"),
        ("K=1\n", env("L"), "$x", "K=1\nL='$x'\n"),
        ("K=1\nJ=2\nK=3\n", env("K"), "4", "K=1\nJ=2\nK=4\n"),
        ("K=\"a\n  b\"\nL=1\n", env("K"), "c", "K=c\nL=1\n"),
        ("A=\"\nK=1\n\"\n", env("K"), "2", "A=\"\nK=1\n\"\nK=2\n"),
        ("K=a$b\n", env("K"), "a$b", "K='a$b'\n"),
        ("KK=1", env("K"), "2", "KK=1\nK=2"),
        // Words.
        ("port 1\nport\t2\n# port 3\n", space("port"), "4", "port 1\nport\t4\n# port 3\n"),
        ("ports 1\n", space("port"), "4", "ports 1\nport 4\n"),
        ("port\n", space("port"), "4", "port 4\n"),
        ("save 60 1\n", space("save"), "\"\"", "save \"\"\n"),
        ("include /a\n", repeated("include"), "/b", "include /a\ninclude /b\n"),
    ];
    for (text, spot, value, expected) in cases {
        let edit = round(text.as_bytes(), *spot, value.as_bytes()).unwrap_or_else(|| panic!("not set: {text:?}"));
        assert_eq!(String::from_utf8(edit.text).unwrap(), *expected, "from {text:?}");
    }
}

#[test]
fn what_is_set_is_left_alone() {
    let cases: &[(&str, Spot<'_>, &str)] = &[
        ("[a]\nk=2\n", ini("a", "k"), "2"),
        ("[a]\n\tk  :   2  \r\n", ini("a", "k"), "2"),
        ("[a]\nk = 1\nk = 2\n", ini("a", "k"), "2"),
        ("[a]\nk =\n", ini("a", "k"), ""),
        ("K=2\n", env("K"), "2"),
        ("export K=\"a b\"  \n", env("K"), "a b"),
        ("K=\"it's \\$5\"\n", env("K"), "it's $5"),
        ("port   2 \n", space("port"), "2"),
        ("include /b\ninclude /a\n", repeated("include"), "/b"),
    ];
    for (text, spot, value) in cases {
        assert_eq!(set(text.as_bytes(), *spot, value.as_bytes()), Ok(None), "{text:?}");
        assert!(is_set(text.as_bytes(), *spot, value.as_bytes()), "{text:?}");
    }
}

#[test]
fn a_file_that_swallows_the_line_is_refused() {
    assert_eq!(set(b"", ini("a]b", "k"), b"1"), Err(Garbled));
}

#[test]
fn duplicates_and_sections_are_told() {
    assert_eq!(set(b"[a]\nk = 1\nk = 2\n", ini("a", "k"), b"3").unwrap().unwrap().lines, 2);
    assert!(set(b"[a]\n", ini("b", "k"), b"3").unwrap().unwrap().made_section);
    assert!(!set(b"[a]\n", ini("a", "k"), b"3").unwrap().unwrap().made_section);
}

#[test]
fn what_is_taken_back_after_somebody_was_there() {
    let ours = |line: &[u8]| line == b"k = 2";
    let cases: &[(&str, Option<&str>, bool, Back)] = &[
        ("[a]\nk = 3\n", None, false, Back::Changed),
        ("[a]\nk = 3\n", Some("k = 1"), false, Back::Changed),
        ("[a]\n", Some("k = 1"), false, Back::Changed),
        ("[a]\n", None, false, Back::Gone),
        ("[a]\nk = 1\n", Some("k = 1"), false, Back::Gone),
        // Moved, and with more around it.
        ("[a]\nl = 1\nk = 2\nm = 1", None, false, Back::Text(b"[a]\nl = 1\nm = 1".to_vec())),
        ("[a]\nl = 1\nk = 2\nm = 1", Some("k=1\r"), false, Back::Text(b"[a]\nl = 1\nk=1\r\nm = 1".to_vec())),
        // Not the last one any more.
        ("[a]\nk = 2\nk = 3\n", None, false, Back::Text(b"[a]\nk = 3\n".to_vec())),
        // A section that is ours, and one that has got more.
        ("x\n\n[a]\nk = 2\n", None, true, Back::Text(b"x\n".to_vec())),
        ("x\n\n[a]\nk = 2\n\n[b]\n", None, true, Back::Text(b"x\n\n[b]\n".to_vec())),
        ("x\n\n[a]\nk = 2\nl = 1\n", None, true, Back::Text(b"x\n\n[a]\nl = 1\n".to_vec())),
        ("x\n\n[a]\nk = 2\n# why\n", None, true, Back::Text(b"x\n\n[a]\n# why\n".to_vec())),
    ];
    for (text, original, made, expected) in cases {
        let back = take_back(text.as_bytes(), ini("a", "k"), ours, original.map(str::as_bytes), *made);
        assert_eq!(back, *expected, "{text:?}");
    }
    let other = take_back(b"include /a\n", repeated("include"), |_| false, None, false);
    assert_eq!(other, Back::Gone);
}

/// Text that is likely to hold what these functions look for.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "\n", "\n", "\n", "\r\n", "\r", " ", "  ", "\t", "[a]", "[b]", "[]", "k", "kk", "K", "=", " = ", ":", "#", ";", "1",
            "v", "v w", "'", "\"", "\\", "$", "export ", "k = 1\n", "k 1\n", "K=1\n", "#k = 1\n", "[a]\n", "  more\n", "é",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn spot() -> impl Strategy<Value = Spot<'static>> {
    prop::sample::select(vec![
        ini("a", "k"),
        ini("b", "kk"),
        ini("c", "k"),
        ini("", "k"),
        ini("a", "K"),
        env("K"),
        env("k"),
        space("k"),
        space("kk"),
        repeated("k"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twice_is_once_and_back_is_back(
        text in text(),
        spot in spot(),
        value in prop::sample::select(vec!["", "1", "v", "v w", "'", "\"$x\"", "a=b", "#1", "é"]),
    ) {
        round(&text, spot, value.as_bytes());
    }
}

#[test]
fn keys_of_nested_files_are_set() {
    const CONF: &str = "# mongod.conf\nstorage:\n  dbPath: /var/lib/mongodb\n#  engine:\nnet:\n  port: 27017\n  bindIp: 127.0.0.1  # all: 0.0.0.0\n\n#security:\n";
    for (text, key, value, wanted) in [
        // Replaced where it stands.
        (CONF, "net.bindIp", "::1", CONF.replace("127.0.0.1  # all: 0.0.0.0", "\"::1\"")),
        ("net.bindIp: a\n", "net.bindIp", "b", "net.bindIp: b\n".into()),
        ("a:\n    b:\n        c: 'x'\n    d: 1\n", "a.b.c", "y", "a:\n    b:\n        c: y\n    d: 1\n".into()),
        // Another key of the same name is another key.
        ("a:\n  c: 1\nb:\n  c: 1\n", "b.c", "2", "a:\n  c: 1\nb:\n  c: 2\n".into()),
        ("a:\n  - c: 1\n    b: 2\nb: 1\n", "b", "2", "a:\n  - c: 1\n    b: 2\nb: 2\n".into()),
        // New: below what is there, or at the end by its whole path.
        (
            CONF,
            "storage.wiredTiger.engineConfig.cacheSizeGB",
            "0.25",
            CONF.replace("storage:\n", "storage:\n  wiredTiger.engineConfig.cacheSizeGB: 0.25\n"),
        ),
        (CONF, "security.authorization", "enabled", format!("{CONF}security.authorization: enabled\n")),
        ("security:\n", "security.authorization", "enabled", "security:\nsecurity.authorization: enabled\n".into()),
        ("", "a.b", "x y", "a.b: \"x y\"\n".into()),
    ] {
        let edit = round(text.as_bytes(), yaml(key), value.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(edit.text).unwrap(), wanted, "{key}");
    }
    for (text, key, value) in [
        (CONF, "net.bindIp", "127.0.0.1"),
        (CONF, "storage.dbPath", "/var/lib/mongodb"),
        ("a: \"x # y\" # z\n", "a", "x # y"),
        ("a: 'x'\n", "a", "x"),
    ] {
        assert!(is_set(text.as_bytes(), yaml(key), value.as_bytes()), "{text}");
    }
    for (text, wanted) in [
        ("a: {b: 1}\n", Some("1")),
        ("a: { c: 'x', \"b\": \"2\" } # z\n", Some("2")),
        ("a: {\n  c: 1,\n  b: 3\n}\nd: 1\n", Some("3")),
        ("a: { c: 1 }\nd: { b: 1 }\n", None),
    ] {
        assert_eq!(value(text.as_bytes(), yaml("a.b")), wanted.map(|value| value.as_bytes().to_vec()), "{text}");
    }
    for (text, key) in
        [("a: { c: 1 }\n", "a.b"), ("{ \"a\": {} }\n", "a.b"), ("a: &x\n  c: 1\n", "a.b"), ("a:\n  - 1\n", "a.b")]
    {
        assert_eq!(set(text.as_bytes(), yaml(key), b"1"), Err(Garbled), "{text}");
    }
}

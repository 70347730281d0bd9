//! Kinds for files, keys, accounts and commands: what their settings come to.

use serde_json::{Value, json};

use super::*;

fn expand<K: Kind>(settings: Value) -> Result<Vec<Box<dyn Resource>>> {
    testing::Step::new("one").expand::<K>(settings)
}

fn as_kind(kind: &str, settings: Value) -> Result<Vec<Box<dyn Resource>>> {
    match kind {
        "absent" => expand::<absent::Settings>(settings),
        "command" => expand::<command::Settings>(settings),
        "directory" => expand::<directory::Settings>(settings),
        "file" => expand::<file::Settings>(settings),
        "group" => expand::<group::Settings>(settings),
        "ini" => expand::<ini::Settings>(settings),
        "key_value" => expand::<key_value::Settings>(settings),
        "symlink" => expand::<symlink::Settings>(settings),
        _ => expand::<user::Settings>(settings),
    }
}

#[test]
fn settings_become_resources() {
    let cases = [
        ("file", json!({"path": "/a", "content": "x"}), vec!["file:/a | file 0644 root:root\nx"]),
        (
            "file",
            json!({"path": "/a", "source": "b", "mode": "0750", "owner": "redis"}),
            vec!["file:/a | file 0750 redis:redis\nfile b"],
        ),
        (
            "file",
            json!({"path": "/a", "template": "b", "format": "ini", "group": "adm"}),
            vec!["file:/a | file 0644 root:adm\nrendered b\n"],
        ),
        ("file", json!({"path": "/a", "content": "hunter2"}), vec!["file:/a | file 0600 root:root\nhunter2"]),
        ("file", json!({"path": "/a", "content": "x", "sensitive": true}), vec!["file:/a | file 0600 root:root\nx"]),
        ("directory", json!({"path": "/a", "owner": "x", "group": "y"}), vec!["file:/a | folder 0755 x:y"]),
        ("symlink", json!({"path": "/a", "target": "../b"}), vec!["file:/a | symlink ../b"]),
        ("absent", json!({"path": "/a"}), vec!["file:/a | absent"]),
        (
            "ini",
            json!({"path": "/a", "set": {"s": {"l": 1, "k": "v"}, "": {"debug": true}}}),
            vec!["file:/a | keys", "key:/a#debug | true", "key:/a#[s] k | v", "key:/a#[s] l | 1"],
        ),
        (
            "ini",
            json!({"path": "/a", "set": {"s": {"k": "", "l": ""}, "t": {"k": ""}}, "optional": ["s.k"]}),
            vec!["file:/a | keys", "key:/a#[s] l | ", "key:/a#[t] k | "],
        ),
        (
            "ini",
            json!({"path": "/a", "set": {"s": {"k": "v"}}, "attributes": {"mode": "0644"}}),
            vec!["attributes:/a | 0644 root:root", "file:/a | keys", "key:/a#[s] k | v"],
        ),
        (
            "key_value",
            json!({"path": "/a", "format": "env", "set": {"K": "hunter2"}, "attributes": {"mode": "0640", "group": "g"}}),
            vec!["attributes:/a | 0640 root:g", "file:/a | keys", "key:/a#K | hunter2"],
        ),
        (
            "key_value",
            json!({"path": "/a", "format": "space", "set": {"k": "v"}, "add": {"include": ["x", "y"]}}),
            vec!["file:/a | keys", "key:/a#k | v", "key:/a#include x | x", "key:/a#include y | y"],
        ),
        ("group", json!({"name": "g"}), vec!["group:g | group"]),
        (
            "user",
            json!({"name": "u", "groups": ["g"], "home": "/h"}),
            vec!["user:u | Some(\"/h\") None", "group:u | group", "member:u:g | member"],
        ),
        ("command", json!({"argv": ["x"], "creates": "/a"}), vec!["file:/a | made by [\"x\"]"]),
        ("command", json!({"argv": ["x"], "unless": ["y"], "undo": ["z"], "limit": "5 s"}), vec![]),
    ];
    for (kind, settings, expected) in cases {
        let resources = as_kind(kind, settings.clone()).unwrap();
        assert!(resources.iter().all(|resource| resource.stage() == crate::Stage::Configure), "{settings}");
        let mut claims: Vec<String> = resources
            .iter()
            .flat_map(|resource| resource.claims())
            .map(|claim| format!("{} | {}", claim.thing, String::from_utf8_lossy(&claim.wants)))
            .collect();
        let mut seen = std::collections::HashSet::new();
        claims.retain(|claim| seen.insert(claim.clone()));
        assert_eq!(claims, expected, "{kind} {settings}");
    }
    let early = as_kind("file", json!({"path": "/a", "content": "x", "stage": "prepare"})).unwrap();
    assert_eq!(early[0].stage(), crate::Stage::Prepare);
}

#[test]
fn settings_that_are_refused() {
    let cases = [
        ("file", json!({"path": "/a"}), "give one of 'content', 'source' and 'template'"),
        ("file", json!({"path": "/a", "content": "x", "source": "y"}), "give one of 'content'"),
        ("file", json!({"path": "/a", "template": "x"}), "'template' and 'format' go together"),
        ("file", json!({"path": "/a", "content": "x", "format": "ini"}), "'template' and 'format' go together"),
        ("file", json!({"path": "/a", "content": "hunter2", "mode": "0644"}), "lets everybody read the secret in /a"),
        ("file", json!({"path": "a", "content": "x"}), "expected an absolute path"),
        ("file", json!({"path": "/a", "content": "x", "mode": 644}), "expected permission bits as a text"),
        ("file", json!({"path": "/a", "content": "x", "owner": "-d"}), "expected the name of a user"),
        ("file", json!({"path": "/a", "content": "x", "stage": "verify"}), "unknown variant `verify`"),
        ("file", json!({"path": "/a", "contents": "x"}), "unknown field `contents`"),
        ("symlink", json!({"path": "/a", "target": ""}), "'target' is not a path"),
        ("symlink", json!({"path": "/a", "target": "/hunter2"}), "'target' has a secret in it"),
        ("ini", json!({"path": "/a", "set": {}}), "'set' names no key"),
        (
            "ini",
            json!({"path": "/a", "set": {"s": {"k": "hunter2"}}, "attributes": {"mode": "0644"}}),
            "mode 0644 lets everybody read the secret in /a",
        ),
        (
            "key_value",
            json!({"path": "/a", "format": "env", "set": {"K": "hunter2"}, "attributes": {"mode": "0604"}}),
            "mode 0604 lets everybody read the secret in /a",
        ),
        ("ini", json!({"path": "/a", "set": {"a]": {"k": 1}}}), "'a]' cannot be a section"),
        ("ini", json!({"path": "/a", "set": {"a": {"k=": 1}}}), "'k=' cannot be a key"),
        ("ini", json!({"path": "/a", "set": {"a": {"#k": 1}}}), "'#k' cannot be a key"),
        ("ini", json!({"path": "/a", "set": {"a": {"k": "1\n[b]"}}}), "expected one line of text"),
        ("ini", json!({"path": "/a", "set": {"a": {"k": 1}}, "optional": ["k"]}), "'optional': 'set' has no key 'k'"),
        ("key_value", json!({"path": "/a", "format": "env"}), "neither 'set' nor 'add' names a key"),
        ("key_value", json!({"path": "/a", "format": "env", "set": {"A-B": 1}}), "'A-B' cannot be a key"),
        ("key_value", json!({"path": "/a", "format": "env", "set": {"1A": 1}}), "'1A' cannot be a key"),
        ("key_value", json!({"path": "/a", "format": "space", "set": {"a b": 1}}), "'a b' cannot be a key"),
        ("key_value", json!({"path": "/a", "format": "ini", "set": {"a": 1}}), "unknown variant `ini`"),
        (
            "key_value",
            json!({"path": "/a", "format": "space", "set": {"a": 1}, "add": {"a": [2]}}),
            "'a' is in both 'set' and 'add'",
        ),
        (
            "key_value",
            json!({"path": "/a", "format": "space", "add": {"user": ["hunter2"]}}),
            "'add' has a secret for 'user'",
        ),
        ("user", json!({"name": "u", "create_home": true}), "'create_home' needs 'home'"),
        ("command", json!({"argv": ["x"]}), "give one of 'creates' and 'unless'"),
        ("command", json!({"argv": ["x"], "creates": "/a", "unless": ["y"]}), "give one of 'creates' and 'unless'"),
        ("command", json!({"argv": [], "creates": "/a"}), "'argv' is not a program with its arguments"),
        ("command", json!({"argv": ["x"], "unless": []}), "'unless' is not a program with its arguments"),
        ("command", json!({"argv": ["x", "-phunter2"], "creates": "/a"}), "'argv' has a secret in it"),
        ("command", json!({"argv": ["x"], "undo": ["hunter2"], "creates": "/a"}), "'undo' has a secret in it"),
    ];
    for (kind, settings, expected) in cases {
        let error = as_kind(kind, settings.clone()).unwrap_err().to_string();
        assert!(error.contains(expected), "{kind} {settings}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// What differs between distributions stands in `distro`. Words for people, such as an advice, may name one.
#[test]
fn no_kind_asks_which_distribution_it_is_on() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kinds");
    let mut files: Vec<std::path::PathBuf> = vec![folder];
    let mut asked = Vec::new();
    let mut read = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        // Tests are on hosts that they make up.
        if ["tests.rs", "testing.rs"].iter().any(|name| path.ends_with(name)) {
            continue;
        }
        read += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let asks = ["Family::", "facts().base", "facts().os ", "facts().family", "facts().version", "facts().major"];
        asked.extend(asks.iter().filter(|word| code.contains(*word)).map(|word| format!("{}: {word}", path.display())));
    }
    assert!(read > 25, "{read}");
    assert!(asked.is_empty(), "{asked:#?}");
}

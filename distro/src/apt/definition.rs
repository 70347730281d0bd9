//! Our repositories as apt reads them: `.sources` files (sources.list(5)) and preferences (apt_preferences(5)).

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Entry, definition_path, entries, keyring_path};
use crate::packages::definition::{Definition, Part, Pin, Rival};

/// Where apt is told who we are to our repository `name` (apt_auth.conf(5)).
pub fn login_path(name: &str) -> PathBuf {
    PathBuf::from(format!("/etc/apt/auth.conf.d/{name}.conf"))
}

/// The definition, and the pins where there are some.
pub fn parts(of: &Definition) -> Vec<Part> {
    let mut parts =
        vec![Part { name: "definition", path: definition_path(&of.name), text: definition(of), is_secret: false }];
    if !of.pins.is_empty() {
        let path = Path::new("/etc/apt/preferences.d").join(format!("{}.pref", of.name));
        parts.push(Part { name: "pins", path, text: pins(&of.pins), is_secret: false });
    }
    parts
}

fn definition(of: &Definition) -> String {
    let mut text = "# Managed by surefoot.\nTypes: deb\n".to_owned();
    let fields = [
        ("URIs", &of.uris),
        ("Suites", &of.suites),
        ("Components", &of.components),
        ("Architectures", &of.architectures),
    ];
    for (field, values) in fields {
        if !values.is_empty() {
            text.push_str(&format!("{field}: {}\n", values.join(" ")));
        }
    }
    text.push_str(&format!("Signed-By: {}\n", keyring_path(&of.name).display()));
    text
}

fn pins(pins: &[Pin]) -> String {
    let stanza =
        |pin: &Pin| format!("Package: {}\nPin: {}\nPin-Priority: {}\n", pin.packages.join(" "), pin.pin, pin.priority);
    format!("# Managed by surefoot.\n{}", pins.iter().map(stanza).collect::<Vec<_>>().join("\n"))
}

/// apt refuses all of its sources where two name the same repository with different keys.
///
/// # Errors
/// As [`entries`].
pub fn rival(of: &Definition) -> Result<Option<Rival>> {
    Ok(rival_among(of, &entries(Path::new("/etc/apt"))?))
}

fn rival_among(of: &Definition, entries: &[Entry]) -> Option<Rival> {
    let (own, keyring) = (definition_path(&of.name), keyring_path(&of.name));
    let rival = entries.iter().find(|entry| {
        entry.file != own
            && !of.replaces.contains(&entry.file)
            && Path::new(&entry.signed_by) != keyring
            && of.suites.contains(&entry.suite)
            && of.uris.iter().any(|uri| uri.trim_end_matches('/') == entry.uri)
    })?;
    Some(Rival { file: rival.file.clone(), says: format!("{} {}", rival.uri, rival.suite) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redis() -> Definition {
        Definition {
            login: None,
            name: "redis".into(),
            uris: vec!["https://packages.example.net/deb".into()],
            suites: vec!["bookworm".into()],
            components: vec!["main".into()],
            architectures: vec!["amd64".into(), "arm64".into()],
            pins: vec![Pin { packages: vec!["redis*".into()], pin: "version 5:7.*".into(), priority: 1001 }],
            replaces: vec!["/etc/apt/sources.list.d/vendor.list".into()],
        }
    }

    #[test]
    fn the_files_are_what_apt_reads() {
        let part = |name, path: &str, text: &str| Part { name, path: path.into(), text: text.into(), is_secret: false };
        let definition = part(
            "definition",
            "/etc/apt/sources.list.d/redis.sources",
            "\
# Managed by surefoot.
Types: deb
URIs: https://packages.example.net/deb
Suites: bookworm
Components: main
Architectures: amd64 arm64
Signed-By: /etc/apt/keyrings/redis.gpg
",
        );
        let pins = part(
            "pins",
            "/etc/apt/preferences.d/redis.pref",
            "# Managed by surefoot.\nPackage: redis*\nPin: version 5:7.*\nPin-Priority: 1001\n",
        );
        assert_eq!(parts(&redis()), [definition.clone(), pins]);
        assert_eq!(parts(&Definition { pins: Vec::new(), ..redis() }), [definition]);
    }

    #[test]
    fn the_same_repository_with_another_key_is_a_rival() {
        let list = "/etc/apt/sources.list.d/redis.list";
        for (file, suite, signed_by, is_rival) in [
            ("/etc/apt/sources.list.d/redis.sources", "bookworm", "/k", false),
            (list, "trixie", "/k", false),
            ("/etc/apt/sources.list.d/vendor.list", "bookworm", "", false),
            (list, "bookworm", "/etc/apt/keyrings/redis.gpg", false),
            (list, "bookworm", "", true),
        ] {
            let entry = Entry {
                file: file.into(),
                uri: "https://packages.example.net/deb".into(),
                suite: suite.into(),
                signed_by: signed_by.into(),
            };
            let wanted = Rival { file: list.into(), says: "https://packages.example.net/deb bookworm".into() };
            assert_eq!(rival_among(&redis(), &[entry]), is_rival.then_some(wanted), "{file} {suite} '{signed_by}'");
        }
    }
}

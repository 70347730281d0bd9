//! Names of systems, as blueprints have them: a family (`debian`), a system (`ubuntu`), a version of one (`ubuntu-22.04`).

use distro::Facts;

/// `ubuntu-22.04` in its two parts; the version is empty where there is none.
pub fn split_version(name: &str) -> (&str, &str) {
    match name.rsplit_once('-') {
        Some((system, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => (system, version),
        _ => (name, ""),
    }
}

/// Is this host one that `name` means? A system is meant by its own name, by that of what it is derived from, and by its family; version
/// 9 is every 9.x. What means it more closely is greater: a family, what it is derived from, a version of that, itself, its own version.
pub fn closeness(name: &str, facts: &Facts) -> Option<(u8, usize)> {
    let (system, version) = split_version(name);
    let is_of = |found: &str| {
        found.strip_prefix(version).is_some_and(|rest| version.is_empty() || rest.is_empty() || rest.starts_with('.'))
    };
    let with_version = |rank: u8| (rank + u8::from(!version.is_empty()), version.len());
    if system == facts.os && is_of(&facts.version) {
        return Some(with_version(3));
    }
    if system == facts.base && is_of(&facts.base_version) {
        return Some(with_version(1));
    }
    let family = serde_json::to_value(facts.family).ok();
    (family.as_ref().and_then(serde_json::Value::as_str) == Some(name)).then_some((0, 0))
}

/// Is this host one that `name` means?
pub fn is_meant(name: &str, facts: &Facts) -> bool {
    closeness(name, facts).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(os_release: &str) -> Facts {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/os-release"), os_release).unwrap();
        Facts::gather(root.path()).unwrap()
    }

    #[test]
    fn names_of_hosts() {
        let debian = facts("ID=debian\nVERSION_ID=12\n");
        let mint = facts("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=21.3\nUBUNTU_CODENAME=jammy\n");
        let rocky = facts("ID=rocky\nID_LIKE=rhel\nVERSION_ID=9.3\n");
        let testing = facts("ID=debian\nVERSION_CODENAME=sid\n");
        let leap = facts("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\nVERSION_ID=15.6\n");
        for (name, facts, meant) in [
            ("debian", &debian, true),
            ("ubuntu", &debian, false),
            ("debian-12", &debian, true),
            ("debian-1", &debian, false),
            ("debian-12.1", &debian, false),
            ("debian", &mint, true),
            ("ubuntu", &mint, true),
            ("ubuntu-22.04", &mint, true),
            ("ubuntu-20.04", &mint, false),
            ("linuxmint-21", &mint, true),
            ("linuxmint-22", &mint, false),
            ("rocky-9", &rocky, true),
            ("rhel-9", &rocky, true),
            ("rhel-8", &rocky, false),
            ("red_hat", &rocky, true),
            ("debian", &testing, true),
            ("debian-13", &testing, false),
            ("opensuse-leap", &leap, true),
            ("opensuse-leap-15", &leap, true),
            ("suse", &leap, true),
        ] {
            assert_eq!(is_meant(name, facts), meant, "{name} on {}", facts.os);
        }
    }

    #[test]
    fn what_means_a_host_more_closely() {
        let mint = facts("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=21.3\nUBUNTU_CODENAME=jammy\n");
        let names = ["debian", "ubuntu", "ubuntu-22", "ubuntu-22.04", "linuxmint", "linuxmint-21", "linuxmint-21.3"];
        let ranks: Vec<_> = names.iter().map(|name| closeness(name, &mint)).collect();
        assert!(ranks.iter().all(Option::is_some) && ranks.is_sorted(), "{ranks:?}");
    }
}

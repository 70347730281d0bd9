//! The proxy that zypper has of its own.

use std::path::{Path, PathBuf};

/// Where SUSE's distributions keep the proxies of the whole host.
pub const PROXY: &str = "/etc/sysconfig/proxy";

/// The file `settings` of these, where they are switched on.
pub fn own_proxy(settings: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(settings).ok()?;
    let value = |name: &str| {
        let set = |line: &str| line.trim().strip_prefix(name)?.strip_prefix('=').map(|value| value.trim().to_owned());
        text.lines().filter_map(set).next_back().map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    let is_on = value("PROXY_ENABLED").is_some_and(|value| value == "yes");
    let is_named = |name: &&str| value(name).is_some_and(|value| !value.is_empty());
    (is_on && ["HTTP_PROXY", "HTTPS_PROXY"].iter().any(is_named)).then(|| settings.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_that_are_switched_on() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("proxy");
        assert_eq!(own_proxy(&file), None);
        for (text, there) in [
            ("PROXY_ENABLED=\"yes\"\nHTTP_PROXY=\"http://proxy.corp:3128\"\n", true),
            ("PROXY_ENABLED=\"no\"\nHTTP_PROXY=\"http://proxy.corp:3128\"\n", false),
            ("PROXY_ENABLED=\"yes\"\nHTTP_PROXY=\"\"\nHTTPS_PROXY=\"\"\n", false),
            ("#PROXY_ENABLED=\"yes\"\nHTTPS_PROXY=\"http://proxy.corp:3128\"\n", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(own_proxy(&file).is_some(), there, "{text}");
        }
    }
}

//! The proxy that apt has of its own.

use std::path::{Path, PathBuf};

/// The file below `folder` (`/etc/apt`) in which apt is told a proxy, if there is one.
pub fn own_proxy(folder: &Path) -> Option<PathBuf> {
    let parts = std::fs::read_dir(folder.join("apt.conf.d")).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = parts.chain([folder.join("apt.conf")]).collect();
    files.sort();
    let says = |text: &str| {
        let code = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line))
            .filter(|line| !line.trim_start().starts_with('#'));
        code.into_iter().any(|line| {
            let line = line.to_ascii_lowercase();
            line.contains("proxy") && !line.contains("direct")
        })
    };
    files.into_iter().find(|path| std::fs::read_to_string(path).is_ok_and(|text| says(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_apt_has_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("apt.conf.d");
        std::fs::create_dir(&parts).unwrap();
        for (text, there) in [
            ("Acquire::http::Proxy \"http://p:1\";", true),
            ("Acquire { http { Proxy \"http://p:1\"; } }", true),
            ("// Acquire::http::Proxy \"http://p:1\";", false),
            ("# Acquire::http::Proxy;\nx \"y\"; // Proxy", false),
            ("Acquire::http::Proxy \"DIRECT\";", false),
        ] {
            std::fs::write(parts.join("10x"), text).unwrap();
            assert_eq!(own_proxy(folder.path()).is_some(), there, "{text}");
        }
    }
}

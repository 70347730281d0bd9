//! Where the Debian archive is: taken from this machine's own apt configuration.

use crate::tool::tool;
use anyhow::{Context, Result};

/// The two halves of the Debian archive, without trailing slashes.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The archive itself.
    pub main: String,
    /// Its security half.
    pub security: String,
}

impl Archive {
    /// `LAB_MIRROR` (and that with `-security` behind it), or the repositories that apt on this machine uses.
    ///
    /// # Errors
    /// When neither names one.
    pub fn find() -> Result<Self> {
        if let Ok(main) = std::env::var("LAB_MIRROR") {
            let main = main.trim_end_matches('/').to_owned();
            let security = std::env::var("LAB_MIRROR_SECURITY").unwrap_or_else(|_| format!("{main}-security"));
            return Ok(Self { main, security });
        }
        let listed = tool("apt-get", ["indextargets", "--format", "$(REPO_URI)"])?;
        Self::from_uris(listed.lines()).context("apt on this machine names no Debian archive: set LAB_MIRROR")
    }

    fn from_uris<'a>(uris: impl Iterator<Item = &'a str>) -> Option<Self> {
        let uris: Vec<&str> = uris.map(|uri| uri.trim().trim_end_matches('/')).collect();
        let main = uris.iter().find(|uri| uri.ends_with("/debian"))?;
        let beside = format!("{main}-security");
        let security =
            uris.iter().find(|uri| uri.ends_with("/debian-security")).map_or(beside, |uri| (*uri).to_owned());
        Some(Self { main: (*main).to_owned(), security })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_archive_among_other_repositories() {
        let found = Archive::from_uris(
            ["https://vendor.test/apt/", "http://a.test/debian/", "http://b.test/debian-security/"].into_iter(),
        );
        let found = found.map(|archive| (archive.main, archive.security));
        assert_eq!(found, Some(("http://a.test/debian".into(), "http://b.test/debian-security".into())));
    }

    #[test]
    fn security_is_guessed_beside_the_archive() {
        let found = Archive::from_uris(["http://a.test/debian"].into_iter()).map(|archive| archive.security);
        assert_eq!(found, Some("http://a.test/debian-security".into()));
    }

    #[test]
    fn no_archive_is_none() {
        assert!(Archive::from_uris(["https://vendor.test/apt"].into_iter()).is_none());
    }
}

//! Which hosts surefoot installs on, and why not on others.

use anyhow::Result;

use crate::Facts;
use crate::facts::Family;
use crate::failure::{Class, Fault};
use crate::packages::Manager;

/// What is supported, with everything derived from it: base, its first version, and how that is told.
pub const SUPPORTED: [(&str, &str, &str); 7] = [
    ("debian", "11", "Debian 11 or later"),
    ("ubuntu", "20.04", "Ubuntu 16.04 and 20.04 or later"),
    ("rhel", "7", "Enterprise Linux 7 to 10"),
    ("amzn", "2", "Amazon Linux 2 and 2023"),
    ("fedora", "41", "Fedora 41 or later"),
    ("sles", "15", "SUSE Linux Enterprise Server 15"),
    ("opensuse-leap", "15", "openSUSE Leap 15"),
];
/// The last major version of those whose next one may come with another package manager.
const LAST: [(&str, u32); 4] = [("rhel", 10), ("amzn", 2023), ("sles", 15), ("opensuse-leap", 15)];

/// Older than those, and supported for products that were built for nothing later: base and version.
const FOR_OLD_PRODUCTS: [(&str, &str); 1] = [("ubuntu", "16.04")];

/// Is this host older than those, and supported for products that were built for nothing later?
pub(super) fn is_for_old_products(facts: &Facts) -> bool {
    FOR_OLD_PRODUCTS.contains(&(facts.base.as_str(), facts.base_version.as_str()))
}

/// Can surefoot install on this host?
///
/// # Errors
/// Class `unsupported`, with the reason and the list of what is supported.
pub fn supported(facts: &Facts) -> Result<()> {
    let Some(why) = reason(facts) else { return Ok(()) };
    let list = SUPPORTED.map(|row| row.2).join(", ");
    Err(Fault::new(Class::Unsupported, format!("this host runs {}, which is not supported: {why}", facts.os_name))
        .evidence([
            format!("os-release: ID={} VERSION_ID={} VERSION_CODENAME={}", facts.os, facts.version, facts.codename),
            format!("supported: {list}, and what is derived from these"),
        ])
        .advice(format!("use a host with {list}, or a distribution derived from one of these"))
        .into())
}

/// Why it is not supported; none where it is.
fn reason(facts: &Facts) -> Option<String> {
    let (base, version) = (facts.base.as_str(), facts.base_version.as_str());
    let major = numbers(version).first().copied().unwrap_or(0);
    if let Some((_, least, _)) = SUPPORTED.iter().find(|row| row.0 == base) {
        return if version.is_empty() && facts.base_codename.is_empty() {
            Some(format!("it is derived from {base}, but does not tell from which version"))
        } else if !version.is_empty() && is_before(base, version, least) && !is_for_old_products(facts) {
            Some(match (base, super::family_of(&facts.os)) {
                ("rhel", None) => {
                    format!("which Enterprise Linux it is derived from is not told by its version {version}")
                }
                _ => too_old(base, version),
            })
        } else if LAST.iter().any(|(name, last)| *name == base && major > *last) {
            Some("it is newer than all that surefoot was tried on".into())
        } else if facts.image {
            Some(
                "it runs from an image (ostree), and packages that are put on that are there after the next boot only"
                    .into(),
            )
        } else if Manager::of(facts).is_none() {
            let manager = match facts.family {
                Family::RedHat if is_before(base, version, "8") => "yum",
                Family::RedHat => "dnf",
                Family::Suse => "zypper",
                _ => "apt-get",
            };
            Some(format!("it has no {manager}"))
        } else {
            None
        };
    }
    Some(match (facts.family, base) {
        (Family::RedHat | Family::Suse, _) => {
            format!("'{}' is not a distribution that surefoot was tried on", facts.os)
        }
        (Family::Alpine, _) => "it is known by name, but installing with apk is not there yet".into(),
        (Family::Arch, _) => "it is known by name, but installing with pacman is not there yet".into(),
        (Family::Debian | Family::Unknown, _) => format!("'{}' is not a distribution that surefoot knows", facts.os),
    })
}

/// Why an old release of something supported is not.
fn too_old(base: &str, version: &str) -> String {
    match (base, numbers(version).as_slice()) {
        ("ubuntu", [..=14, ..]) => {
            format!("Ubuntu {version} starts services with Upstart, and its standard support has ended")
        }
        ("ubuntu", _) => format!("the standard support of Ubuntu {version} has ended"),
        ("debian", _) => format!("Debian {version} gets no updates any more"),
        ("fedora", _) => format!("Fedora {version} gets no updates any more"),
        ("rhel", _) => {
            format!(
                "Enterprise Linux {version} starts services with Upstart, and reached its end of life in November 2020"
            )
        }
        ("amzn", _) => {
            "Amazon Linux 1 starts services with Upstart, and reached its end of life in December 2023".into()
        }
        ("sles" | "opensuse-leap", _) => format!("{base} {version} gets no updates any more"),
        _ => format!("{base} {version} is too old"),
    }
}

/// Is `version` of `base` older than `other`? Amazon Linux counted years before its 2.
fn is_before(base: &str, version: &str, other: &str) -> bool {
    let numbers_of = |version: &str| match (base, numbers(version)) {
        ("amzn", numbers) if numbers.first().is_some_and(|year| (2010..2020).contains(year)) => vec![1],
        (_, numbers) => numbers,
    };
    numbers_of(version) < numbers_of(other)
}

/// The numbers of a version, to be compared.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

//! os-release: which distribution this is.
//!
//! The file is read as os-release(5) describes it, and only lines that were checked here reach the parser: it is read on hosts
//! that are half installed, edited by hand, or damaged.

mod lines;
mod oldest;
mod support;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Result;
use os_release::OsRelease;

use crate::facts::Family;
use crate::failure::{Class, Fault, class_of_io};

pub use oldest::oldest;
use support::is_for_old_products;
pub use support::{SUPPORTED, supported};

/// Largest file that is read: real ones have less than 1 KiB.
const MOST_BYTES: u64 = 64 << 10;
/// Where os-release is, in the order in which it is looked for.
const PATHS: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Which distribution a host runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Os {
    /// `ID` in lower case: `debian`, `linuxmint`, `rocky`.
    pub id: String,
    /// Name for people: `PRETTY_NAME`, else `NAME`, else the id.
    pub name: String,
    /// `VERSION_ID`, empty where there is none.
    pub version: String,
    /// Number before the first dot of `version`.
    pub major: Option<u32>,
    /// `VERSION_CODENAME`, empty where there is none.
    pub codename: String,
    /// Family, by `ID` and then `ID_LIKE`.
    pub family: Family,
    /// What it is made from, and shares packages and repositories with.
    pub base: Base,
}

/// The distribution that a derivative is made from; a distribution that is not a derivative is its own base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// `debian`, `ubuntu`, `rhel`, …
    pub id: String,
    /// Its version, empty where it has none (Debian testing) or it cannot be told.
    pub version: String,
    /// Its codename; for Debian and Ubuntu empty where it cannot be told.
    pub codename: String,
}

/// Reads os-release below `root`.
///
/// # Errors
/// Class `host` where there is none or it is malformed: names file and line, and quotes the line.
pub fn read(root: &Path) -> Result<Os> {
    let debian_version = std::fs::read_to_string(root.join("etc/debian_version")).unwrap_or_default();
    for relative in PATHS {
        let path = root.join(relative);
        let Ok(meta) = std::fs::metadata(&path) else { continue };
        let shown = path.display().to_string();
        if !meta.is_file() {
            return Err(Fault::new(Class::Host, format!("{shown} is not a file"))
                .advice("put the distribution's os-release file there")
                .into());
        }
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| Fault::new(class_of_io(&error), format!("cannot read {shown}: {error}")))?;
        return parse(&shown, &bytes, &debian_version);
    }
    if let Some(os) = before_os_release(root) {
        return Ok(os);
    }
    let looked = PATHS.map(|path| root.join(path).display().to_string()).join(" and ");
    Err(Fault::new(Class::Host, "cannot tell which distribution this is: there is no os-release file")
        .evidence([format!("looked for {looked}")])
        .advice("reinstall the package that brings os-release (base-files on Debian and Ubuntu)")
        .into())
}

/// Reads the content of the os-release file `path`. `debian_version` is the content of /etc/debian_version, which tells what a
/// derivative without codenames is made from.
///
/// # Errors
/// Class `host` where it is malformed.
pub fn parse(path: &str, bytes: &[u8], debian_version: &str) -> Result<Os> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Fault::new(
            Class::Host,
            format!("{path} is larger than {} KiB: not an os-release file", MOST_BYTES >> 10),
        )
        .advice("put the distribution's os-release file there")
        .into());
    }
    let values = lines::values(path, bytes)?;
    let release: OsRelease = lines::normalised(&values).collect();
    let extra = |key: &str| values.get(key).cloned().unwrap_or_default();
    let id = release.id.to_ascii_lowercase();
    let likes: Vec<String> = release.id_like.split_whitespace().map(str::to_ascii_lowercase).collect();
    let family = std::iter::once(&id).chain(&likes).find_map(|name| family_of(name)).unwrap_or(Family::Unknown);
    let name = [&release.pretty_name, &release.name, &id].into_iter().find(|name| !name.is_empty()).cloned();
    let base = base_of(&Hints {
        id: &id,
        likes: &likes,
        version: &release.version_id,
        codename: &release.version_codename,
        ubuntu_codename: &extra("UBUNTU_CODENAME"),
        debian_codename: &extra("DEBIAN_CODENAME"),
        debian_version: debian_version.trim(),
    });
    Ok(Os {
        name: name.unwrap_or_default(),
        major: release.version_id.split('.').next().and_then(|number| number.parse().ok()),
        version: release.version_id,
        codename: release.version_codename,
        family,
        base,
        id,
    })
}

/// The family of the distribution that calls itself `id`.
fn family_of(id: &str) -> Option<Family> {
    Some(match id {
        "debian" | "ubuntu" => Family::Debian,
        "rhel" | "centos" | "rocky" | "almalinux" | "ol" | "fedora" | "amzn" | "scientific" => Family::RedHat,
        "sles" | "sled" | "suse" | "opensuse" | "opensuse-leap" | "opensuse-tumbleweed" => Family::Suse,
        "alpine" => Family::Alpine,
        "arch" | "archarm" => Family::Arch,
        _ => return None,
    })
}

/// Releases of Debian and Ubuntu by codename.
const RELEASES: [(&str, &str, &str); 30] = [
    ("debian", "7", "wheezy"),
    ("debian", "8", "jessie"),
    ("debian", "9", "stretch"),
    ("debian", "10", "buster"),
    ("debian", "11", "bullseye"),
    ("debian", "12", "bookworm"),
    ("debian", "13", "trixie"),
    ("debian", "14", "forky"),
    ("debian", "15", "duke"),
    ("debian", "", "sid"),
    ("ubuntu", "12.04", "precise"),
    ("ubuntu", "14.04", "trusty"),
    ("ubuntu", "16.04", "xenial"),
    ("ubuntu", "18.04", "bionic"),
    ("ubuntu", "18.10", "cosmic"),
    ("ubuntu", "19.04", "disco"),
    ("ubuntu", "19.10", "eoan"),
    ("ubuntu", "20.04", "focal"),
    ("ubuntu", "20.10", "groovy"),
    ("ubuntu", "21.04", "hirsute"),
    ("ubuntu", "21.10", "impish"),
    ("ubuntu", "22.04", "jammy"),
    ("ubuntu", "22.10", "kinetic"),
    ("ubuntu", "23.04", "lunar"),
    ("ubuntu", "23.10", "mantic"),
    ("ubuntu", "24.04", "noble"),
    ("ubuntu", "24.10", "oracular"),
    ("ubuntu", "25.04", "plucky"),
    ("ubuntu", "25.10", "questing"),
    ("ubuntu", "26.04", "resolute"),
];

/// Releases of Debian's derivatives that have codenames of their own: id, codename, and Debian's codename.
const TWINS: [(&str, &str, &str); 7] = [
    ("devuan", "beowulf", "buster"),
    ("devuan", "chimaera", "bullseye"),
    ("devuan", "daedalus", "bookworm"),
    ("devuan", "excalibur", "trixie"),
    ("devuan", "ceres", "sid"),
    ("kali", "kali-rolling", "sid"),
    ("kali", "kali-last-snapshot", "sid"),
];

/// What a release file says about where a distribution comes from.
struct Hints<'a> {
    id: &'a str,
    likes: &'a [String],
    version: &'a str,
    codename: &'a str,
    ubuntu_codename: &'a str,
    debian_codename: &'a str,
    debian_version: &'a str,
}

fn base_of(hints: &Hints<'_>) -> Base {
    let like = |name: &str| hints.id == name || hints.likes.iter().any(|like| like == name);
    let own = |id: &str| Base { id: id.into(), version: hints.version.into(), codename: hints.codename.into() };
    match hints.id {
        // Testing has no version; its codename is enough, also one that is not known yet.
        "debian" if hints.version.is_empty() => match debian_base(hints) {
            base if base.codename.is_empty() => own("debian"),
            base => base,
        },
        // Releases of before 2017 do not say their codename.
        "debian" | "ubuntu" if hints.codename.is_empty() => {
            let known = RELEASES.iter().find(|row| row.0 == hints.id && row.1 == hints.version);
            Base { codename: known.map_or("", |row| row.2).into(), ..own(hints.id) }
        }
        "debian" | "ubuntu" => own(hints.id),
        _ if like("ubuntu") => release("ubuntu", first(hints.ubuntu_codename, hints.codename)),
        _ if like("debian") => debian_base(hints),
        "centos" | "rocky" | "almalinux" | "ol" | "scientific" => own("rhel"),
        "fedora" | "amzn" | "rhel" => own(hints.id),
        _ if like("rhel") || like("centos") => own("rhel"),
        id if family_of(id).is_some() => own(id),
        // Its versions are its own.
        id => hints.likes.iter().find(|like| family_of(like).is_some()).map_or(own(id), |like| release(like, "")),
    }
}

/// The Debian that a derivative of it is made from, by its codenames and then by /etc/debian_version.
fn debian_base(hints: &Hints<'_>) -> Base {
    let codename = first(hints.debian_codename, hints.codename);
    let twin = TWINS.iter().find(|row| row.0 == hints.id && row.1 == codename);
    let base = release("debian", twin.map_or(codename, |row| row.2));
    if !base.codename.is_empty() {
        return base;
    }
    // `12.5`, or `trixie/sid` where the release was not out when the derivative was made.
    let told = hints.debian_version.split(['.', '/']).next().unwrap_or_default();
    let row = RELEASES.iter().find(|row| row.0 == "debian" && !told.is_empty() && (row.1 == told || row.2 == told));
    row.map_or(base, |row| release("debian", row.2))
}

/// The release of `id` with that codename; version and codename empty where there is none.
fn release(id: &str, codename: &str) -> Base {
    let known = RELEASES.iter().find(|row| row.0 == id && row.2 == codename);
    let (version, codename) = known.map_or(("", ""), |row| (row.1, row.2));
    Base { id: id.into(), version: version.into(), codename: codename.into() }
}

fn first<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.is_empty() { other } else { one }
}

/// Distributions older than os-release say their name and version in a line of their own.
fn before_os_release(root: &Path) -> Option<Os> {
    let line = std::fs::read_to_string(root.join("etc/redhat-release")).ok()?;
    let name = line.lines().next()?.trim();
    let id = [("CentOS", "centos"), ("Red Hat", "rhel"), ("Oracle", "ol"), ("Scientific", "scientific")]
        .into_iter()
        .find_map(|(start, id)| name.starts_with(start).then_some(id))?;
    let version = name.split(" release ").nth(1)?.split_whitespace().next()?;
    Some(Os {
        id: id.into(),
        name: name.into(),
        version: version.into(),
        major: version.split('.').next().and_then(|number| number.parse().ok()),
        codename: String::new(),
        family: Family::RedHat,
        base: Base { id: "rhel".into(), version: version.into(), codename: String::new() },
    })
}

#[cfg(test)]
mod tests;

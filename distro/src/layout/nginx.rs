//! nginx.

use anyhow::Result;

use super::{is_ubuntu_before, since};
use crate::facts::Family;
use crate::{Class, Facts, Fault};

/// Its configuration file.
pub(crate) const MAIN: &str = "/etc/nginx/nginx.conf";
const AVAILABLE: &str = "/etc/nginx/sites-available";
const ENABLED: &str = "/etc/nginx/sites-enabled";
const FOLDER: &str = "/etc/nginx/conf.d";

/// Where a host has nginx.
#[derive(Clone, Debug)]
pub struct Nginx {
    /// Package.
    pub package: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Its configuration file.
    pub main: &'static str,
    /// Where sites are.
    pub sites: Sites,
    /// Everything that it reads sites from where its configuration is not there yet.
    pub read: [&'static str; 3],
    /// Folder for the files of sites.
    pub roots: &'static str,
    /// Does its package bring that folder? nginx.org's does not.
    pub brings_roots: bool,
    /// Its log of errors.
    pub log: &'static str,
    /// Is it 1.25.1 or later, which says of `listen … http2` at every start that it is deprecated? Before that there is nothing else.
    pub http2_directive: bool,
    /// Is it older than 1.13, with an OpenSSL older than 1.1? That one knows neither TLS 1.3 nor more than one curve, sends no address along
    /// with a status 308, and shares a prime of 1024 bits with everybody.
    pub before_tls13: bool,
    /// May its OpenSSL be 1.0.2, which has no X25519? Of EPEL's nginx it is another one, of nginx.org's it is.
    pub before_x25519: bool,
}

/// Where sites are, and which one its package brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sites {
    /// A file for each in one folder, and a symlink to it in another.
    Linked {
        /// Folder of the files.
        available: &'static str,
        /// Folder of the symlinks.
        enabled: &'static str,
        /// Folder of the files where nginx reads no symlinks.
        folder: &'static str,
        /// The package's own site: the symlink, and the file that it points to.
        default: (&'static str, &'static str),
    },
    /// A file for each.
    Folder {
        /// Their folder.
        folder: &'static str,
        /// The package's own site; others have theirs in nginx.conf itself.
        default: &'static str,
    },
}

const LINKED: Sites = Sites::Linked {
    available: AVAILABLE,
    enabled: ENABLED,
    folder: FOLDER,
    default: ("/etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default"),
};
const IN_FOLDER: Sites = Sites::Folder { folder: FOLDER, default: "/etc/nginx/conf.d/default.conf" };

impl Nginx {
    /// That of a host; none where it is not known. Where nginx is there, its own configuration says where sites are: packages of
    /// nginx.org have them elsewhere than those of Debian.
    ///
    /// # Errors
    /// Class `conflict`, where it reads sites from nowhere.
    pub fn of(facts: &Facts) -> Result<Option<Self>> {
        let usual = match facts.family {
            Family::Debian => LINKED,
            Family::RedHat | Family::Suse => IN_FOLDER,
            _ => return Ok(None),
        };
        let sites = match &facts.nginx {
            None => usual,
            Some(config) if config.includes(ENABLED, "a.conf") => LINKED,
            Some(config) if config.includes(FOLDER, "a.conf") => IN_FOLDER,
            Some(_) => {
                return Err(Fault::new(
                    Class::Conflict,
                    format!("nginx reads sites from nowhere: {MAIN} includes neither {ENABLED}/* nor {FOLDER}/*.conf"),
                )
                .advice(format!(
                    "put the line `include {FOLDER}/*.conf;` into the block `http` of {MAIN}, then run it again"
                ))
                .into());
            }
        };
        Ok(Some(Self {
            package: "nginx",
            unit: "nginx.service",
            main: MAIN,
            sites,
            read: [MAIN, FOLDER, ENABLED],
            brings_roots: facts.family == Family::Debian && sites == LINKED,
            roots: "/var/www",
            log: "/var/log/nginx/error.log",
            http2_directive: is_deprecated(facts),
            before_tls13: is_ubuntu_before(facts, 18),
            before_x25519: matches!((facts.base.as_str(), super::major(facts)), ("rhel", "7") | ("amzn", "2")),
        }))
    }
}

/// Is its nginx one that finds `listen … http2` deprecated?
fn is_deprecated(facts: &Facts) -> bool {
    let major = facts.base_version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    match facts.base.as_str() {
        "rhel" => major.is_some_and(|major| major >= 10),
        "fedora" => true,
        _ => since(facts, 13, 25),
    }
}

/// Group of the web server, which may read what nobody else may: that of nginx, where it is there.
pub fn web_group(facts: &Facts) -> String {
    let usual = match facts.family {
        Family::Debian => "www-data",
        _ => "nginx",
    };
    facts.nginx.as_ref().and_then(|config| config.group.clone()).unwrap_or_else(|| usual.to_owned())
}

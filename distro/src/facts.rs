//! What this host is, found out without starting a process.

mod machine;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::firewall::firewalld;
use crate::os::{self, Os};
use crate::{layout, nginx};

/// Families of distributions that do things the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "named as everybody names them")]
pub enum Family {
    Debian,
    RedHat,
    Suse,
    Alpine,
    Arch,
    Unknown,
}

/// The program that starts services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// systemd is PID 1.
    Systemd,
    /// OpenRC is there.
    OpenRc,
    /// Neither runs, as in a container: services are started by their init scripts.
    Scripts,
}

/// The program that installs packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are names of programs")]
pub enum PackageManager {
    Apt,
    Dnf,
    Yum,
    Zypper,
    Apk,
    Pacman,
}

/// What is told about the host in templates, conditions and `surefoot facts`.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Facts {
    /// `ID` of os-release: `debian`, `ubuntu`, `rocky`, …
    pub os: String,
    /// `PRETTY_NAME` of os-release.
    pub os_name: String,
    /// `VERSION_ID` of os-release, empty where it has none (Debian sid, Arch).
    pub version: String,
    /// Number before the first dot of `version`.
    pub major: Option<u32>,
    /// `VERSION_CODENAME`, empty where there is none.
    pub codename: String,
    /// Which family it belongs to, by `ID` and then `ID_LIKE`.
    pub family: Family,
    /// What it is made from and shares packages with, for derivatives: `debian`, `ubuntu`, `rhel`; else as `os`.
    pub base: String,
    /// Version of the base, empty where it has none or it cannot be told.
    pub base_version: String,
    /// Codename of the base, empty where it has none or it cannot be told.
    pub base_codename: String,
    /// Machine type as the kernel says it: `x86_64`, `aarch64`.
    pub arch: String,
    /// Kernel release.
    pub kernel: String,
    /// What starts services.
    pub init: Init,
    /// What installs packages, where it is known.
    pub package_manager: Option<PackageManager>,
    /// Kind of container (`docker`, `systemd-nspawn`, …), where it is one.
    pub container: Option<String>,
    /// Kind of virtual machine, where it can be told.
    pub vm: Option<String>,
    /// `enforcing`, `permissive`, `disabled`; none where the kernel has no SELinux.
    pub selinux: Option<String>,
    /// firewalld's default zone, where it is installed.
    pub firewalld_zone: Option<String>,
    /// Is AppArmor on?
    pub apparmor: bool,
    /// Does the kernel allow approved algorithms only (FIPS 140)? OpenSSL has no others then.
    pub fips: bool,
    /// `/etc/machine-id`, empty where there is none.
    pub machine_id: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// Name without domain.
    pub hostname: String,
    /// Name with domain, where the kernel's host name or /etc/hosts has it, else as `hostname`. The network is not asked: a dead
    /// name server would delay every start by seconds.
    pub fqdn: String,
    /// Bytes of memory, of which the kernel keeps some per cent to itself; in a container at most its limit.
    pub memory: u64,
    /// Processors that can be used: by affinity and quota.
    pub cpus: usize,
    /// Does the host speak IPv6 (at least on loopback)?
    pub ipv6: bool,
    /// Does the processor say that it has AVX, which some servers are compiled for? Only x86_64 has it.
    pub avx: bool,
    /// Who calls: the user who called sudo, or whose process this is; empty where that is root, nobody that the host knows, or somebody
    /// without a home folder.
    pub user: String,
    /// That user's home folder.
    pub user_home: String,
    /// That user's primary group.
    pub user_group: String,
    /// Does it run from an image (ostree, bootc), so that what is installed is there after the next boot only?
    #[serde(skip)]
    pub image: bool,
    /// What nginx.conf says, where it is there: whose package it is decides where it reads sites from.
    #[serde(skip)]
    pub nginx: Option<nginx::Config>,
}

impl Facts {
    /// Looks at the host below `root` (`/`). Reads files, starts no process and asks no network, so that the user who calls is not known.
    ///
    /// # Errors
    /// Class `host`, where os-release is missing or malformed. Whatever else cannot be read is left empty.
    pub fn gather(root: &Path) -> Result<Self> {
        let os = os::read(root)?;
        let kernel = nix::sys::utsname::uname()?;
        let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
        let release = text(kernel.release());
        let init = machine::init(root);
        let (hostname, fqdn) = machine::names(&text(kernel.nodename()), &read(root, "etc/hosts"));
        let facts = Self {
            os: String::new(),
            os_name: String::new(),
            version: String::new(),
            major: None,
            codename: String::new(),
            family: os.family,
            base: String::new(),
            base_version: String::new(),
            base_codename: String::new(),
            arch: text(kernel.machine()),
            init,
            package_manager: machine::package_manager(root, os.family, &os.base),
            container: machine::container(root, &release),
            vm: machine::vm(root),
            selinux: machine::selinux(root),
            firewalld_zone: firewalld::default_zone(root),
            apparmor: read(root, "sys/module/apparmor/parameters/enabled") == "Y",
            fips: read(root, "proc/sys/crypto/fips_enabled") == "1",
            machine_id: read(root, "etc/machine-id"),
            boot_id: read(root, "proc/sys/kernel/random/boot_id"),
            hostname,
            fqdn,
            memory: machine::memory(root),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            // Lists addresses, so it is empty where IPv6 is switched off and missing where the kernel has none.
            ipv6: !read(root, "proc/net/if_inet6").is_empty(),
            avx: machine::has_avx(root),
            user: String::new(),
            user_home: String::new(),
            user_group: String::new(),
            image: root.join("run/ostree-booted").exists(),
            nginx: nginx(root),
            kernel: release,
        };
        Ok(facts.with_os(os))
    }

    /// The same host, running `os`.
    #[must_use]
    pub fn with_os(self, os: Os) -> Self {
        Self {
            os: os.id,
            os_name: os.name,
            version: os.version,
            major: os.major,
            codename: os.codename,
            family: os.family,
            base: os.base.id,
            base_version: os.base.version,
            base_codename: os.base.codename,
            ..self
        }
    }
}

/// What nginx.conf says below `root`, with the files that it names one by one; none where it cannot be read, or says nothing.
fn nginx(root: &Path) -> Option<nginx::Config> {
    let text = read(root, layout::NGINX_CONF.trim_start_matches('/'));
    let part = |path: &str| read(root, path.trim_start_matches('/'));
    (!text.is_empty()).then(|| nginx::Config::read(&text).with_parts(&part))
}

/// The text of a small file below `root` without white space around it; empty where it cannot be read.
fn read(root: &Path, path: &str) -> String {
    let bytes = std::fs::read(root.join(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_looked_at_in_five_milliseconds() {
        let facts = Facts::gather(Path::new("/")).unwrap();
        let best = (0..10)
            .map(|_| {
                let began = std::time::Instant::now();
                Facts::gather(Path::new("/")).unwrap();
                began.elapsed()
            })
            .min()
            .unwrap();
        assert!(best < std::time::Duration::from_millis(5), "{best:?}");
        assert!(facts.memory > 64 << 20 && facts.cpus > 0 && !facts.arch.is_empty() && !facts.boot_id.is_empty());
        assert!(facts.fqdn.starts_with(&facts.hostname), "{facts:?}");
    }

    #[test]
    fn an_empty_host_has_facts_too() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/os-release"), "ID=debian\nVERSION_ID=12\n").unwrap();
        let facts = Facts::gather(root.path()).unwrap();
        assert_eq!((facts.os.as_str(), facts.major, facts.base_version.as_str()), ("debian", Some(12), "12"));
        assert_eq!((facts.init, facts.package_manager, facts.memory), (Init::Scripts, None, 0));
        assert_eq!((facts.container, facts.vm, facts.selinux, facts.apparmor), (None, None, None, false));
    }
}

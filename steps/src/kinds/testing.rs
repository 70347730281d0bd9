//! A step for the tests of kinds.

use anyhow::Result;
use distro::Facts;
use distro::facts::{Family, Init};
use distro::network::Setting;
use serde_json::Value;

use super::offer::{Certificate, Offer, Users};
use super::value::StepRef;
use super::{Context, Format, Kind};
use crate::Resource;

/// A step of product `demo` on a Debian of which little is known.
pub(crate) struct Step {
    id: &'static str,
    pub facts: Facts,
    pub network: Setting,
}

impl Step {
    pub fn new(id: &'static str) -> Self {
        let facts = Facts {
            os: "debian".into(),
            os_name: "Debian GNU/Linux 12 (bookworm)".into(),
            version: "12".into(),
            major: Some(12),
            codename: "bookworm".into(),
            base: "debian".into(),
            base_version: "12".into(),
            base_codename: "bookworm".into(),
            family: Family::Debian,
            arch: "x86_64".into(),
            kernel: String::new(),
            init: Init::Systemd,
            package_manager: Some(distro::facts::PackageManager::Apt),
            container: None,
            vm: None,
            selinux: None,
            firewalld_zone: None,
            apparmor: false,
            fips: false,
            image: false,
            machine_id: String::new(),
            boot_id: String::new(),
            hostname: "host".into(),
            fqdn: "host.example".into(),
            memory: 0,
            cpus: 1,
            ipv6: true,
            avx: true,
            user: String::new(),
            user_home: String::new(),
            user_group: String::new(),
            nginx: None,
        };
        Self { id, facts, network: Setting::default() }
    }

    /// The resources of a step with `settings`.
    pub fn expand<K: Kind>(&self, settings: Value) -> Result<Vec<Box<dyn Resource>>> {
        serde_json::from_value::<K>(settings)?.expand(self)
    }
}

impl Context for Step {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn network(&self) -> &Setting {
        &self.network
    }

    fn product(&self) -> &str {
        "demo"
    }

    fn step(&self) -> &str {
        self.id
    }

    fn file(&self, name: &str) -> Result<Vec<u8>> {
        Ok(format!("file {name}").into_bytes())
    }

    fn render(&self, name: &str, _: Format) -> Result<String> {
        Ok(format!("rendered {name}\n"))
    }

    fn is_secret(&self, text: &str) -> bool {
        text.contains("hunter2")
    }

    fn has_secret(&self, setting: &str) -> bool {
        self.is_secret(setting)
    }

    fn offer(&self, StepRef(id): &StepRef) -> Result<Option<Offer>> {
        Ok(match id.as_str() {
            "certificate" | "renewed" => Some(Offer::Certificate(Certificate {
                certificate: "/c.crt".into(),
                key: "/c.key".into(),
                webroot: (id == "renewed").then(|| "/webroot".into()),
                renewed: id == "renewed",
            })),
            "users" => Some(Offer::Users(Users { path: "/users".into(), login: ("eve".into(), "hunter2".into()) })),
            _ => None,
        })
    }
}

/// `sort key` of each.
pub(crate) fn names(resources: &[Box<dyn Resource>]) -> Vec<String> {
    resources.iter().map(|resource| format!("{} {}", resource.sort(), resource.key())).collect()
}

/// What the resource that is called `name` wants, as text.
pub(crate) fn wants(resources: &[Box<dyn Resource>], name: &str) -> String {
    let found = resources.iter().find(|resource| format!("{} {}", resource.sort(), resource.key()) == name);
    let mut claims = found.map(|resource| resource.claims()).unwrap_or_default();
    // Names only.
    claims.retain(|claim| !claim.thing.starts_with("site:"));
    claims.iter().map(|claim| String::from_utf8_lossy(&claim.wants).into_owned()).collect()
}

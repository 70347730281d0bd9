//! Hosts and inputs to try a blueprint with where there are none.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;
use distro::Facts;
use distro::facts::{Family, Init, PackageManager};

use super::check::Value;
use super::model::Blueprint;
use super::resolve::{Ask, Question};
use super::spec::{InputSpec, Scalar, Sort};
use super::system::split_version;

/// Families, then systems by the `ID` of their os-release.
pub const HOSTS: [&str; 26] = [
    "debian",
    "red_hat",
    "suse",
    "alpine",
    "arch",
    "ubuntu",
    "raspbian",
    "linuxmint",
    "pop",
    "kali",
    "devuan",
    "rhel",
    "centos",
    "rocky",
    "almalinux",
    "ol",
    "fedora",
    "amzn",
    "sles",
    "sled",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "manjaro",
    "neon",
    "elementary",
    "zorin",
];

/// A host of that family, system or system with version.
pub fn facts(name: &str) -> Facts {
    let (system, version) = split_version(name);
    let (os, family, package_manager) = match system {
        "red_hat" => ("rocky", Family::RedHat, PackageManager::Dnf),
        "suse" => ("sles", Family::Suse, PackageManager::Zypper),
        "alpine" => ("alpine", Family::Alpine, PackageManager::Apk),
        "arch" | "manjaro" => (system, Family::Arch, PackageManager::Pacman),
        "rhel" | "centos" | "ol" if version.split('.').next() == Some("7") => {
            (system, Family::RedHat, PackageManager::Yum)
        }
        "amzn" if version == "2" => (system, Family::RedHat, PackageManager::Yum),
        "rhel" | "centos" | "rocky" | "almalinux" | "ol" | "fedora" | "amzn" => {
            (system, Family::RedHat, PackageManager::Dnf)
        }
        "sles" | "sled" | "opensuse-leap" | "opensuse-tumbleweed" => (system, Family::Suse, PackageManager::Zypper),
        _ => (system, Family::Debian, PackageManager::Apt),
    };
    let version = match (os, version) {
        ("debian", "") => "12",
        ("ubuntu", "") => "24.04",
        ("fedora", "") => "43",
        ("amzn", "") => "2023",
        (_, "") => "9",
        (_, version) => version,
    };
    Facts {
        base: os.to_owned(),
        base_version: version.to_owned(),
        base_codename: "sample".to_owned(),
        os: os.to_owned(),
        os_name: format!("{os} {version}"),
        version: version.to_owned(),
        major: version.split('.').next().and_then(|major| major.parse().ok()),
        codename: "sample".to_owned(),
        family,
        arch: "x86_64".to_owned(),
        kernel: "6.1.0".to_owned(),
        init: Init::Systemd,
        package_manager: Some(package_manager),
        container: None,
        vm: None,
        selinux: None,
        firewalld_zone: None,
        apparmor: false,
        fips: false,
        image: false,
        machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
        boot_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        hostname: "host".to_owned(),
        fqdn: "host.example.com".to_owned(),
        memory: 8 << 30,
        cpus: 4,
        ipv6: true,
        avx: true,
        user: "jo".to_owned(),
        user_home: "/home/jo".to_owned(),
        user_group: "jo".to_owned(),
        nginx: None,
    }
}

/// Values for all inputs, such as a user might give; then, for each further choice or yes and no, all values with that one
/// changed.
pub fn inputs(blueprint: &Blueprint) -> Vec<BTreeMap<String, Value>> {
    let base: BTreeMap<String, Value> = blueprint.inputs.iter().map(|spec| (spec.name.clone(), likely(spec))).collect();
    let mut all = vec![base.clone()];
    for spec in &blueprint.inputs {
        let others: Vec<Value> = match (spec.input.sort, &base[&spec.name]) {
            (Sort::Bool, Value::Bool(value)) => vec![Value::Bool(!value)],
            (Sort::Choice, value) => {
                let choices = spec.input.choices.iter().cloned().map(Value::Text);
                choices.filter(|choice| choice != value).collect()
            }
            _ => Vec::new(),
        };
        for other in others {
            let mut variant = base.clone();
            variant.insert(spec.name.clone(), other);
            all.push(variant);
        }
    }
    all
}

/// A fingerprint of a key.
const FINGERPRINT: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

/// Makes up secrets and texts that nobody gave, where they name no host: for what does not depend on them.
#[derive(Default)]
pub struct MadeUp(RefCell<Vec<String>>);

impl MadeUp {
    /// The inputs that something was made up for.
    pub fn names(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

impl Ask for MadeUp {
    fn ask(&self, question: &Question<'_>) -> Result<Option<String>> {
        let (spec, input) = (question.spec, &question.spec.input);
        let is_needed = question.default.is_none() && input.generate.is_none();
        if !is_needed || !matches!(input.sort, Sort::Text | Sort::Secret) {
            return Ok(None);
        }
        let text = likely(spec).text();
        if text.contains(HOST) || (question.check)(&text).is_err() {
            return Ok(None);
        }
        self.0.borrow_mut().push(spec.name.clone());
        Ok(Some(text))
    }
}

/// The host of every sample that names one.
const HOST: &str = "example.com";

/// A value that the input takes, as far as can be told: its default where that is no template.
fn likely(spec: &InputSpec) -> Value {
    let default = spec.input.default.as_ref();
    let plain = |scalar: &&Scalar| !matches!(scalar, Scalar::Text(text) if super::template::is_template(text));
    if let Some(value) = default.filter(plain).and_then(|default| super::check::scalar(spec, default).ok()) {
        return value;
    }
    let least = spec.input.min.map_or(0, |min| min.0);
    match spec.input.sort {
        Sort::Bool => Value::Bool(true),
        Sort::Choice => Value::Text(spec.input.choices.first().cloned().unwrap_or_default()),
        Sort::Hostname => Value::Text("host.example.com".to_owned()),
        Sort::Port => Value::Text("8080".to_owned()),
        Sort::Server => Value::Text("server.example.com:8080".to_owned()),
        Sort::Path => Value::Text("/srv/sample".to_owned()),
        Sort::Size => Value::Size(least.max(64 << 20).min(spec.input.max.map_or(u64::MAX, |max| max.0))),
        Sort::Text | Sort::Secret => {
            let most = spec.input.max.map_or(u64::MAX, |max| max.0);
            const TRIED: [&str; 9] =
                ["sample", "8080", "1", "1.0", "a", "A", "sample@example.com", "https://example.com/", FINGERPRINT];
            let length = spec.input.generate.map_or(8, |length| length as u64).max(least).min(most).min(4096);
            let length = usize::try_from(length).unwrap_or(8);
            let fits = |text: &str| super::check::typed(spec, text).is_ok();
            // Each secret is another one, where its pattern lets it.
            let marker = spec.is_secret().then(|| super::secret::marker(&spec.name, length));
            if spec.pattern.is_some()
                && !marker.as_deref().is_some_and(fits)
                && let Some(text) = TRIED.iter().find(|text| fits(text))
            {
                return Value::Text((*text).to_owned());
            }
            if let Some(marker) = marker {
                return Value::Text(marker);
            }
            Value::Text("sample".chars().cycle().take(length).collect())
        }
    }
}

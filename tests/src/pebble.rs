//! An authority that speaks ACME: pebble, Debian's, on a host of its own. It looks on port 80 of every name that it is told of.

use crate::{host::Host, snapshot::Snapshot, suite::Suite};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PACKAGES: &str = "pebble openssl curl";
/// Its name.
pub const NAME: &str = "acme.lab.test";
/// URL of its directory.
pub const DIRECTORY: &str = "https://acme.lab.test:14000/dir";

/// The host with the authority.
#[derive(Debug)]
pub struct Pebble {
    host: Host,
}

impl Pebble {
    /// Boots it, with pebble as it is by default.
    ///
    /// # Errors
    /// When its packages cannot be installed, or it does not come up.
    pub fn boot() -> Result<Self> {
        let prepare = || -> Result<Host> {
            let host = Host::boot(Suite::Bookworm)?;
            host.sh(&format!(
                "apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends {PACKAGES} >/dev/null
                 mkdir /etc/pebble; cd /etc/pebble
                 openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3650 \
                   -subj '/O=Lab/CN=Lab ACME CA' -addext basicConstraints=critical,CA:TRUE 2>/dev/null
                 openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.csr -subj '/CN={NAME}' 2>/dev/null
                 echo subjectAltName=DNS:{NAME} >san
                 openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile san -out tls.pem 2>/dev/null"
            ))?;
            Ok(host)
        };
        let host = Snapshot::cached("pebble", PACKAGES, prepare)?.host().hostname("acme").boot()?;
        let pebble = Self { host };
        pebble.start(&[], json!({}))?;
        Ok(pebble)
    }

    /// The host itself.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Starts pebble, in place of the one that runs, with these variables and these settings besides. It forgets all accounts, and is
    /// another authority.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&self, environment: &[&str], settings: Value) -> Result<()> {
        let mut config = json!({
            "listenAddress": "0.0.0.0:14000", "managementListenAddress": "0.0.0.0:15000", "certificate": "/etc/pebble/tls.pem",
            "privateKey": "/etc/pebble/tls.key", "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
        });
        if let (Some(config), Some(settings)) = (config.as_object_mut(), settings.as_object()) {
            config.extend(settings.clone());
        }
        self.host.write("/etc/pebble/config.json", json!({ "pebble": config }).to_string(), 0o644)?;
        self.stop()?;
        // Unless told otherwise it looks at once, and as often as it is asked to.
        let defaults = ["PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0"];
        let variables: Vec<String> =
            defaults.iter().chain(environment).map(|variable| format!("--setenv={variable}")).collect();
        self.host.sh(&format!(
            "systemd-run --quiet --collect --unit=lab-pebble {} pebble -config /etc/pebble/config.json",
            variables.join(" ")
        ))?;
        let until = Instant::now() + Duration::from_secs(60);
        while self.host.sh("ss -Hltn sport = :14000; ss -Hltn sport = :15000")?.lines().count() < 2 {
            ensure!(Instant::now() < until, "pebble does not come up: {}", self.log()?);
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops pebble.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub fn stop(&self) -> Result<()> {
        self.host.sh("systemctl stop lab-pebble 2>/dev/null || true").map(drop)
    }

    /// What pebble said since it was last started.
    ///
    /// # Errors
    /// When the host cannot be asked.
    pub fn log(&self) -> Result<String> {
        self.host.sh("journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID lab-pebble)")
    }

    /// The root that its certificates lead to, PEM.
    ///
    /// # Errors
    /// When it does not run.
    pub fn root(&self) -> Result<String> {
        self.host.sh("curl -sSk https://localhost:15000/roots/0")
    }

    /// Lets `host` know it, and trust it by `/root/acme-ca.pem`; lets it find `host` under `name`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn introduce(&self, host: &Host, name: &str) -> Result<()> {
        host.write("/root/acme-ca.pem", self.host.read("/etc/pebble/ca.pem")?, 0o644)?;
        host.sh(&format!("grep -q {NAME} /etc/hosts || echo '{} {NAME}' >>/etc/hosts", self.host.address()))?;
        self.lead(name, &host.address())
    }

    /// Lets it find `address` under `name`; a pebble that has looked for names in the last seconds sees it when it is started anew.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn lead(&self, name: &str, address: &str) -> Result<()> {
        self.host.sh(&format!("sed -i '/ {name}$/d' /etc/hosts; echo '{address} {name}' >>/etc/hosts")).map(drop)
    }
}

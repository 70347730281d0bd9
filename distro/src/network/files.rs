//! What has to be in a file for the time of a run: apt's settings, since a command line is no place for a password, and the
//! certificates that children trust. Both are in /run, and gone when the run ends.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Login, Network, Proxy};
use crate::failure::io_fault;
use crate::{Facts, Host};

/// Folder of both. Everybody may go through it, since apt's methods run as a user of their own; nobody may list it.
const FOLDER: &str = "/run/surefoot";
/// What apt is told, besides the host's own settings and before them.
pub(super) const APT: &str = "/run/surefoot/apt.conf";
/// Every certificate that children trust: the system's, and the user's own.
pub const BUNDLE: &str = "/run/surefoot/ca-bundle.pem";
/// Where distributions keep all certificates that they trust in one file.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The files, as long as a run goes on. Dropped, they are removed; what a kill leaves is removed by [`clean`].
#[derive(Debug)]
pub struct Files;

impl Files {
    /// Writes what `host`'s network needs, and lets children and apt use it.
    ///
    /// # Errors
    /// Class `disk` or `permission`, where /run cannot be written to.
    pub fn write(host: &Host) -> Result<Self> {
        let files = Self;
        let mut network = Network::clone(&host.runner.network());
        let system = system_bundle();
        if network.ca.is_some() || system.is_none() {
            let mut pem = system.unwrap_or_else(built_in);
            pem.push_str(network.ca.as_deref().unwrap_or_default());
            write(Path::new(BUNDLE), &pem, 0o644)?;
            network.bundle = true;
        }
        if network.has_proxy() || network.bundle {
            write(Path::new(APT), &network.apt_settings(), 0o600)?;
            network.apt = true;
        }
        host.runner.use_network(network);
        Ok(files)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed now is by the next run, or by a reboot.
        clean().ok();
    }
}

/// Removes what a killed run left.
///
/// # Errors
/// Where it cannot be removed.
pub fn clean() -> Result<()> {
    for path in [APT, BUNDLE] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_fault(&error, "remove", Path::new(path)).into());
            }
            _ => {}
        }
    }
    Ok(())
}

impl Network {
    /// The options that let apt reach its repositories.
    pub fn apt_options(&self) -> &'static [&'static str] {
        // A file given by this option counts more than the host's own; one named by APT_CONFIG would count less.
        if self.apt { &["-c", APT] } else { &[] }
    }

    /// The certificates of the user's own CA, PEM, one by one.
    pub fn ca_certificates(&self) -> Vec<String> {
        let bytes = self.ca.as_deref().unwrap_or_default().as_bytes();
        CertificateDer::pem_slice_iter(bytes).flatten().map(|der| pem(&der)).collect()
    }

    /// apt.conf(5).
    fn apt_settings(&self) -> String {
        let mut text = "// Written by surefoot for one run.\n".to_owned();
        for (scheme, proxy) in [("http", &self.http), ("https", &self.https)] {
            if let Some(proxy) = proxy {
                // Programs that find a proxy, and those that the host has for single repositories, come before it.
                for option in ["Proxy", "Proxy-Auto-Detect", "ProxyAutoDetect"] {
                    text.push_str(&format!("#clear Acquire::{scheme}::{option};\n"));
                }
                text.push_str(&format!("Acquire::{scheme}::Proxy \"{}/\";\n", proxy.url()));
            }
        }
        if self.bundle {
            text.push_str(&format!("Acquire::https::CaInfo \"{BUNDLE}\";\n"));
        }
        text
    }
}

impl Network {
    /// apt.conf(5) and apt_auth.conf(5) for good: the proxies, with what is reached without them; and their logins, which is empty where they
    /// have none.
    pub fn lasting_apt_settings(&self) -> (String, String) {
        let (mut settings, mut logins) = ("// Managed by surefoot.\n".to_owned(), String::new());
        for (scheme, proxy) in [("http", &self.http), ("https", &self.https)] {
            let Some(proxy) = proxy else { continue };
            let address = Proxy { login: None, ..proxy.clone() }.url();
            settings.push_str(&format!("Acquire::{scheme}::Proxy \"{address}/\";\n"));
            // apt knows single hosts here, and neither networks nor IPv6.
            for host in self.exempt.entries.iter().filter(|entry| !entry.contains(['/', '*', ':'])) {
                settings.push_str(&format!("Acquire::{scheme}::Proxy::{host} \"DIRECT\";\n"));
            }
            if let Some(Login { user, password }) = &proxy.login {
                let login = format!("machine {address} login {user} password {password}\n");
                logins.push_str(if logins.contains(&login) { "" } else { &login });
            }
        }
        (settings, logins)
    }
}

/// The certificates that this system trusts, where it has any.
pub(crate) fn system_bundle() -> Option<String> {
    SYSTEM_BUNDLES
        .iter()
        .find_map(|path| fs::read_to_string(path).ok().filter(|text| text.contains("BEGIN CERTIFICATE")))
}

/// The certificates that this program brings.
fn built_in() -> String {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| pem(der)).collect()
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let fail = |error: std::io::Error| io_fault(&error, "write", path);
    fs::DirBuilder::new().recursive(true).mode(0o711).create(FOLDER).map_err(fail)?;
    fs::set_permissions(FOLDER, fs::Permissions::from_mode(0o711)).map_err(fail)?;
    let temporary = path.with_extension("new");
    fs::remove_file(&temporary).ok();
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(fail)?;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)?;
    fs::rename(&temporary, path).map_err(fail)?;
    Ok(())
}

/// Names and addresses of this host, which are never reached by a proxy.
///
/// # Errors
/// Where the kernel does not tell its addresses.
pub fn own_names(facts: &Facts) -> Result<Vec<String>> {
    let mut names = vec![facts.hostname.clone(), facts.fqdn.clone()];
    for interface in nix::ifaddrs::getifaddrs().context("asking for this host's addresses")? {
        let Some(address) = interface.address else { continue };
        let address: Option<IpAddr> = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => Some(v4.ip().into()),
            // Link-local addresses are of no use without the name of a link.
            (_, Some(v6)) => Some(v6.ip().into()).filter(|_| !v6.ip().is_unicast_link_local()),
            _ => None,
        };
        names.extend(address.map(|address| address.to_string()));
    }
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::{Given, Setting};
    use super::*;

    fn with_password(password: &str) -> Given {
        Given {
            proxy: Some("proxy.corp:3128".into()),
            user: Some("CORP\\jo".into()),
            password: Some(password.to_owned()),
            ..Given::default()
        }
    }

    #[test]
    fn apt_gets_the_login_in_a_file_that_it_reads_right() {
        let given = with_password("p@ss:w/rd#?%\"; x");
        let (setting, _) = Setting::settle(&given, None, false, &|_| None).unwrap();
        let mut network = Network::new(&setting, &[]).unwrap();
        network.bundle = true;
        let expected = "\
// Written by surefoot for one run.
#clear Acquire::http::Proxy;
#clear Acquire::http::Proxy-Auto-Detect;
#clear Acquire::http::ProxyAutoDetect;
Acquire::http::Proxy \"http://CORP%5Cjo:p%40ss%3Aw%2Frd%23%3F%25%22%3B%20x@proxy.corp:3128/\";
#clear Acquire::https::Proxy;
#clear Acquire::https::Proxy-Auto-Detect;
#clear Acquire::https::ProxyAutoDetect;
Acquire::https::Proxy \"http://CORP%5Cjo:p%40ss%3Aw%2Frd%23%3F%25%22%3B%20x@proxy.corp:3128/\";
Acquire::https::CaInfo \"/run/surefoot/ca-bundle.pem\";
";
        assert_eq!(network.apt_settings(), expected);
    }

    #[test]
    fn apt_keeps_the_proxy_where_everybody_reads_and_its_login_where_root_does() {
        let given =
            Given { no_proxy: Some("intra.test,10.0.0.0/8".into()), keep: Some(true), ..with_password("p@ss:w/rd#?%") };
        let kept = |given: &Given| {
            let (setting, _) = Setting::settle(given, None, false, &|_| None).unwrap();
            assert!(setting.is_kept());
            Network::new(&setting, &["box".into()]).unwrap().lasting_apt_settings()
        };
        let (settings, logins) = kept(&given);
        assert_eq!(
            settings,
            "\
// Managed by surefoot.
Acquire::http::Proxy \"http://proxy.corp:3128/\";
Acquire::http::Proxy::intra.test \"DIRECT\";
Acquire::http::Proxy::localhost \"DIRECT\";
Acquire::http::Proxy::127.0.0.1 \"DIRECT\";
Acquire::http::Proxy::box \"DIRECT\";
Acquire::https::Proxy \"http://proxy.corp:3128/\";
Acquire::https::Proxy::intra.test \"DIRECT\";
Acquire::https::Proxy::localhost \"DIRECT\";
Acquire::https::Proxy::127.0.0.1 \"DIRECT\";
Acquire::https::Proxy::box \"DIRECT\";
"
        );
        assert_eq!(logins, "machine http://proxy.corp:3128 login CORP\\jo password p@ss:w/rd#?%\n");
        assert_eq!(kept(&Given { user: None, password: None, ..given.clone() }).1, "");
        for refused in
            [Given { password: Some("a b".into()), ..given.clone() }, Given { keep: Some(true), ..Given::default() }]
        {
            let fault = Setting::settle(&refused, None, false, &|_| None).unwrap_err();
            assert_eq!(fault.class, crate::Class::Usage);
        }
    }

    #[test]
    fn the_roots_that_we_bring_are_a_pem_file() {
        let pem = built_in();
        let read: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(read, webpki_root_certs::TLS_SERVER_ROOT_CERTS);
        assert!(pem.lines().all(|line| line.len() <= 64));
    }

    #[test]
    fn this_host_has_names() {
        let facts = Facts::gather(Path::new("/")).unwrap();
        let names = own_names(&facts).unwrap();
        assert!(names.contains(&facts.hostname) && names.contains(&"127.0.0.1".to_owned()), "{names:?}");
    }
}

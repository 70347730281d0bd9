//! How this host reaches others: proxies, what is reached without them, a CA of the user's own, and mirrors. One setting for
//! everybody: our own client, apt, and every child.

mod exempt;
mod files;
mod mirror;
mod proxy;
#[cfg(test)]
mod tests;

use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};

use crate::{Class, Facts, Fault};

pub use exempt::Exempt;
pub(crate) use files::system_bundle;
pub use files::{BUNDLE, Files, clean, own_names};
pub use mirror::{Key, KeyFrom, Mirror};
pub use proxy::{Login, Proxy, Scheme};

/// Do the host's programs speak TLS to a proxy? curl does since 7.52; Enterprise Linux 7 has 7.29.
pub fn speaks_tls_to_proxies(facts: &Facts) -> bool {
    let major = facts.base_version.split('.').next().unwrap_or_default();
    (facts.base.as_str(), major) != ("rhel", "7")
}

/// Version of [`Setting`] where it is stored.
const SCHEMA: u32 = 1;

/// What was asked for, in the form that is stored with a run's inputs. Holds logins.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    schema: u32,
    /// Proxy for `http` URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    /// Proxy for `https` URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    https: Option<String>,
    /// What is reached directly, as the user wrote it.
    #[serde(default)]
    no_proxy: String,
    /// Certificates of the user's own CA, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    /// What stands for the repositories that a blueprint names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mirrors: Vec<Mirror>,
    /// Does the host itself get the proxies, for good?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keep: bool,
}

/// What the command line says.
#[derive(Clone, Default)]
pub struct Given {
    /// Address of the proxy, without password; `none` for going direct.
    pub proxy: Option<String>,
    /// User to log in to it.
    pub user: Option<String>,
    /// Password of that user.
    pub password: Option<String>,
    /// What is reached directly.
    pub no_proxy: Option<String>,
    /// Path and content of the file with the CA.
    pub ca: Option<(String, Vec<u8>)>,
    /// What stands for the repositories that a blueprint names.
    pub mirrors: Option<Vec<Mirror>>,
    /// Does the host itself get the proxies, for good?
    pub keep: Option<bool>,
}

/// The variables of the environment that say something about the network.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Setting {
    /// Reads what was stored.
    ///
    /// # Errors
    /// Class `state`, where it is damaged or from a newer surefoot.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        // The error is not told: it may quote a password.
        let setting: Option<Self> = serde_json::from_slice(bytes).ok();
        match setting {
            Some(setting) if setting.schema <= SCHEMA => Ok(setting),
            Some(_) => Err(Fault::new(Class::State, "network.json of this product is from a newer surefoot")
                .advice("use the surefoot that wrote it, or a newer one")),
            None => Err(Fault::new(Class::State, "network.json of this product is damaged")
                .advice("move it away, and give the network settings again (--proxy, --ca-file)")),
        }
    }

    /// The form that is stored.
    ///
    /// # Errors
    /// None that a value could cause.
    pub fn stored_form(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
    }

    /// Puts together what counts: `given` before everything; then, for a run that is gone on with, what it had (`stored`); then the
    /// environment; then what an earlier run had. With it come notes for the user.
    ///
    /// # Errors
    /// Class `usage`, where a value is none that every program would understand in the same way.
    pub fn settle(
        given: &Given,
        stored: Option<&Self>,
        resume: bool,
        env: Env<'_>,
    ) -> Result<(Self, Vec<String>), Fault> {
        let mut notes = Vec::new();
        let mut setting = match stored {
            Some(stored) if resume => stored.clone(),
            _ => {
                let environment = Self::of_environment(env, &mut notes)?;
                let kept = stored.cloned().unwrap_or_default();
                let (ca, mirrors, keep) = (kept.ca.clone(), kept.mirrors.clone(), kept.keep);
                let base = if environment.is_direct() { kept } else { environment };
                Self { ca, mirrors, keep, ..base }
            }
        };
        if let Some(no_proxy) = &given.no_proxy {
            setting.no_proxy.clone_from(no_proxy);
        }
        match given.proxy.as_deref().map(str::trim) {
            Some("none" | "direct") => (setting.http, setting.https) = (None, None),
            Some(proxy) => {
                let proxy = parse("--proxy", proxy)?;
                (setting.http, setting.https) = (Some(proxy.url()), Some(proxy.url()));
            }
            None => {}
        }
        setting.log_in(given)?;
        if let Some((path, bytes)) = &given.ca {
            setting.ca = Some(certificates(path, bytes)?);
        }
        if let Some(mirrors) = &given.mirrors {
            setting.mirrors.clone_from(mirrors);
        }
        setting.keep = given.keep.unwrap_or(setting.keep);
        setting.check_keep(given)?;
        let exempt = Exempt::parse(&setting.no_proxy).map_err(|why| {
            let advice = "write names and addresses with commas between them, such as corp.example,10.1.2.3";
            Fault::new(Class::Usage, why).advice(advice)
        })?;
        if setting.http.is_some() || setting.https.is_some() {
            notes.extend(exempt.notes);
        }
        Ok((Self { schema: SCHEMA, ..setting }, notes))
    }

    fn of_environment(env: Env<'_>, notes: &mut Vec<String>) -> Result<Self, Fault> {
        let mut read = |name: &str| -> Option<(String, String)> {
            let value = |name: &str| env(name).filter(|value| !value.trim().is_empty());
            let upper = name.to_ascii_uppercase();
            match (value(name), value(&upper)) {
                (Some(lower), Some(other)) if lower != other => {
                    notes.push(format!("{name} and {upper} differ: {name} counts, as it does for most programs"));
                    Some((name.to_owned(), lower))
                }
                (Some(lower), _) => Some((name.to_owned(), lower)),
                (None, Some(other)) => Some((upper, other)),
                (None, None) => None,
            }
        };
        let (http, https, all) = (read("http_proxy"), read("https_proxy"), read("all_proxy"));
        let no_proxy = read("no_proxy").map(|(_, value)| value).unwrap_or_default();
        let url = |of: Option<(String, String)>| of.map(|(name, value)| parse(&name, &value)).transpose();
        let all = url(all)?;
        let (http, https) = (url(http)?.or(all.clone()), url(https)?.or(all));
        if let (Some(proxy), None) = (&http, &https) {
            notes.push(format!(
                "http_proxy is {proxy} and https_proxy is not set: https is tried directly; set both, or give --proxy"
            ));
        }
        let (http, https) = (http.map(|proxy| proxy.url()), https.map(|proxy| proxy.url()));
        Ok(Self { http, https, no_proxy, ..Self::default() })
    }

    /// The mirror that stands for `url`, and the URL that is asked there.
    pub fn mirror_of(&self, url: &str) -> Option<(&Mirror, String)> {
        mirror::mirror_of(&self.mirrors, url)
    }

    /// Does the host itself get the proxies, for good?
    pub fn is_kept(&self) -> bool {
        self.keep && !self.is_direct()
    }

    /// Can the proxies be kept by apt?
    fn check_keep(&self, given: &Given) -> Result<(), Fault> {
        if given.keep == Some(true) && self.is_direct() {
            let fault = Fault::new(Class::Usage, "--keep-proxy is given, and no proxy");
            return Err(fault.advice("name the proxy with --proxy"));
        }
        for url in [&self.http, &self.https].into_iter().flatten().filter(|_| self.keep) {
            let login = parse("the stored proxy", url)?.login;
            if login.is_some_and(|login| !login.fits_apt()) {
                let message = "apt keeps no login with white space in it, and no empty one (apt_auth.conf(5))";
                return Err(Fault::new(Class::Usage, message).advice("leave --keep-proxy out: a run takes any login"));
            }
        }
        Ok(())
    }

    fn is_direct(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// Adds the login that was given apart from the address.
    fn log_in(&mut self, given: &Given) -> Result<(), Fault> {
        if given.user.is_none() && given.password.is_none() {
            return Ok(());
        }
        let refused = |why: &str, advice: &str| Err(Fault::new(Class::Usage, why).advice(advice));
        if self.is_direct() {
            return refused("a login for a proxy is given, and no proxy", "name the proxy with --proxy");
        }
        if given.user.as_ref().is_some_and(|user| user.contains(':')) {
            return refused(
                "--proxy-user has a colon in it",
                "give the user alone; the password comes from --proxy-password-file or SUREFOOT_PROXY_PASSWORD",
            );
        }
        for url in [&mut self.http, &mut self.https].into_iter().flatten() {
            let mut proxy = parse("the stored proxy", url)?;
            let known = proxy.login.take();
            let user = given.user.clone().or(known.as_ref().map(|known| known.user.clone()));
            let Some(user) = user else {
                return refused("a password for a proxy is given, and no user", "name the user with --proxy-user");
            };
            let same = known.filter(|known| known.user == user).map(|known| known.password);
            let Some(password) = given.password.clone().or(same) else {
                return refused(
                    "--proxy-user is given, and no password",
                    "give it in a file (--proxy-password-file PATH, - for standard input) or as SUREFOOT_PROXY_PASSWORD",
                );
            };
            if user.is_empty() || user.chars().chain(password.chars()).any(char::is_control) {
                return refused(
                    "the login for the proxy has a control character in it, or no user",
                    "check the file that the password comes from: it is one line",
                );
            }
            proxy.login = Some(Login { user, password });
            *url = proxy.url();
        }
        Ok(())
    }
}

fn parse(name: &str, value: &str) -> Result<Proxy, Fault> {
    Proxy::parse(value).map_err(|why| {
        Fault::new(
            Class::Usage,
            format!("{name} '{}' is not the address of a proxy: {why}", proxy::shown(value.trim())),
        )
        .advice("give it as http://proxy.example:3128, or https:// or socks5h://; the login with --proxy-user")
    })
}

/// The certificates in `bytes`, as one PEM text.
fn certificates(path: &str, bytes: &[u8]) -> Result<String, Fault> {
    let refused = |why: String| {
        let advice = "give the certificate of the CA in PEM form: -----BEGIN CERTIFICATE-----; a DER file is converted with \
                      `openssl x509 -inform der -in FILE -out ca.pem`";
        Err(Fault::new(Class::Usage, format!("{path} {why}")).advice(advice))
    };
    let Ok(text) = std::str::from_utf8(bytes) else { return refused("is no PEM file".into()) };
    if text.contains("PRIVATE KEY") {
        return refused("holds a private key, which must not be copied to other hosts".into());
    }
    let found: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let Ok(found) = found else { return refused("is damaged: a certificate in it cannot be read".into()) };
    if found.is_empty() {
        return refused("holds no certificate".into());
    }
    for der in found {
        if let Err(error) = rustls::RootCertStore::empty().add(der) {
            return refused(format!("holds a certificate that is none of a CA: {error}"));
        }
    }
    Ok(format!("{}\n", text.trim_end()))
}

/// How this host reaches others.
#[derive(Clone, Default)]
pub struct Network {
    /// Proxy for `http` URLs.
    pub http: Option<Proxy>,
    /// Proxy for `https` URLs.
    pub https: Option<Proxy>,
    /// What is reached directly: what the user says, and always this host itself.
    pub exempt: Exempt,
    /// Certificates of the user's own CA, PEM.
    pub ca: Option<String>,
    /// What stands for the repositories that a blueprint names.
    mirrors: Vec<Mirror>,
    /// Is [`BUNDLE`] there for children and apt?
    bundle: bool,
    /// Is [`files::APT`] there for apt?
    apt: bool,
}

impl Network {
    /// What `setting` means on a host that `own` are the names and addresses of.
    ///
    /// # Errors
    /// Class `state`, where what was stored is damaged.
    pub fn new(setting: &Setting, own: &[String]) -> Result<Self, Fault> {
        let proxy = |url: &Option<String>| url.as_deref().map(|url| parse("the stored proxy", url)).transpose();
        let mut exempt = Exempt::parse(&setting.no_proxy).map_err(|why| Fault::new(Class::State, why))?;
        for entry in ["localhost", "127.0.0.1", "::1", "[::1]"].into_iter().chain(own.iter().map(String::as_str)) {
            exempt.add(entry);
        }
        Ok(Self {
            http: proxy(&setting.http)?,
            https: proxy(&setting.https)?,
            exempt,
            ca: setting.ca.clone(),
            mirrors: setting.mirrors.clone(),
            ..Self::default()
        })
    }

    /// Is a proxy used at all?
    pub fn has_proxy(&self) -> bool {
        self.http.is_some() || self.https.is_some()
    }

    /// Names of the proxies.
    pub fn proxy_hosts(&self) -> Vec<&str> {
        [&self.http, &self.https].into_iter().flatten().map(|proxy| proxy.host.as_str()).collect()
    }

    /// The proxy that a URL of `scheme` on `host` goes through.
    pub fn proxy_for(&self, scheme: &str, host: &str) -> Option<&Proxy> {
        let proxy = if scheme == "https" { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.exempt.covers(host))
    }

    /// The login that a mirror wants of a request for `url`.
    pub fn login_for(&self, url: &str) -> Option<&Login> {
        mirror::login_for(&self.mirrors, url)
    }

    /// What must not be shown: passwords of proxies and mirrors, in the form of the login too.
    pub fn secrets(&self) -> Vec<String> {
        let of_proxies = [&self.http, &self.https].into_iter().flatten().filter_map(|proxy| proxy.login.clone());
        let logins = of_proxies.chain(self.mirrors.iter().filter_map(|mirror| mirror.login.clone()));
        logins.flat_map(|login| [format!("{}:{}", login.user, login.password), login.password]).collect()
    }

    /// What every child's environment gets. Both cases: some programs know only one.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.variables(self.bundle())
    }

    /// Every certificate that children trust, where that is more than the system's.
    pub fn bundle(&self) -> Option<&'static str> {
        self.bundle.then_some(BUNDLE)
    }

    /// The same, for what outlives a run: `bundle` is where the distribution keeps all certificates that it trusts.
    pub fn lasting_environment(&self, bundle: Option<&str>) -> Vec<(String, String)> {
        self.variables(bundle.filter(|_| self.ca.is_some()))
    }

    fn variables(&self, bundle: Option<&str>) -> Vec<(String, String)> {
        let mut environment = Vec::new();
        let mut both = |name: &str, value: String| {
            environment.push((name.to_ascii_uppercase(), value.clone()));
            environment.push((name.to_owned(), value));
        };
        for (name, proxy) in [("http_proxy", &self.http), ("https_proxy", &self.https)] {
            if let Some(proxy) = proxy {
                both(name, proxy.url());
            }
        }
        if self.has_proxy() {
            both("no_proxy", self.exempt.text());
        }
        if let Some(bundle) = bundle {
            // Python's and Node's programs have roots of their own; the others read the system's, which may not be there yet.
            let names = [
                "SSL_CERT_FILE",
                "CURL_CA_BUNDLE",
                "GIT_SSL_CAINFO",
                "REQUESTS_CA_BUNDLE",
                "PIP_CERT",
                "NODE_EXTRA_CA_CERTS",
            ];
            environment.extend(names.map(|name| (name.to_owned(), bundle.to_owned())));
        }
        environment
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("http", &self.http).field("https", &self.https).finish_non_exhaustive()
    }
}

//! A certificate that an authority gives over ACME, and renews.

use std::cell::Cell;
use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use distro::certificate::{self, Certificate, Flaw};
use distro::files::{self, Meta};
use distro::net::acme;
use distro::net::split_url;
use distro::services::{self, Act};
use distro::{Class, Fault, Host, Look};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::file::File;
use super::{paths, service};
use crate::{Change, Claim, Cx, Endpoint, Port, Probe, Resource, Stage, Undo, Undone};

/// The server that shows it, and answers for the authority once it runs.
const SERVER: &str = "nginx.service";

/// What is asked of an authority, and where it is put. Written down, it is all that a renewal needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Product whose network settings hold.
    pub product: String,
    /// URL of the authority's directory, to whose terms the user has agreed.
    pub directory: String,
    /// E-mail address that it may write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Names of this host.
    pub names: Vec<String>,
    /// Path of the key of the account with the authority.
    pub account: String,
    /// Path of the certificate.
    pub certificate: String,
    /// Path of its key.
    pub key: String,
    /// Folder in which the authority finds its answers.
    pub webroot: String,
}

impl Request {
    /// Why the certificate has to be asked for: none where it is good and has time left. Two keys and a certificate are looked at.
    fn flaw(&self, now: SystemTime) -> Result<Option<String>> {
        let (Some(found), Some(key)) = (files::read(Path::new(&self.certificate))?, key_at(&self.key)?) else {
            return Ok(Some(String::new()));
        };
        let good = || -> Result<(), Flaw> {
            let certificate = Certificate::parse(&found)?;
            certificate.check_key(key.as_bytes())?;
            self.names.iter().try_for_each(|name| certificate.check_name(name))?;
            certificate.check_left(now)
        };
        if let Err(flaw) = good() {
            return Ok(Some(flaw.to_string()));
        }
        let own = Certificate::parse(&found).is_ok_and(|certificate| certificate.signs_itself());
        Ok(own.then(|| "the one that is there signs itself".to_owned()))
    }

    /// Asks the authority and puts what it gives in place. Both keys are there.
    fn obtain(&self, host: &Host) -> Result<()> {
        let key = |path: &str| -> Result<String> {
            let missing = || {
                Fault::new(Class::State, format!("there is no key at {path} that can be used"))
                    .advice("run surefoot install once more: it makes another one")
            };
            Ok(key_at(path)?.ok_or_else(missing)?)
        };
        let (account, own) = (key(&self.account)?, key(&self.key)?);
        let request = certificate::request(&self.names, &own)?;
        let chain = acme::obtain(
            host,
            &acme::Wanted {
                directory: &self.directory,
                account: &account,
                contact: self.contact.as_deref(),
                names: &self.names,
                request: &request,
                webroot: Path::new(&self.webroot),
            },
        )?;
        let good = || -> Result<(), Flaw> {
            let certificate = Certificate::parse(chain.as_bytes())?;
            certificate.check_key(own.as_bytes())?;
            self.names.iter().try_for_each(|name| certificate.check_name(name))
        };
        good().map_err(|flaw| {
            Fault::new(Class::Tls, format!("what {} gave cannot be used: {flaw}", self.directory))
                .advice("ask whoever runs that authority")
        })?;
        files::replace(&Look::new(host), Path::new(&self.certificate), chain.as_bytes(), &Meta::root(0o644))
    }

    /// Is there while the server may not have taken up the certificate.
    fn mark(&self) -> String {
        format!("{}.reload", self.certificate)
    }

    /// Renews the certificate where it is time to, and lets the server take it up. Says what was done; nothing where there was nothing
    /// to do, which needs no network.
    ///
    /// # Errors
    /// As [`acme::obtain`]; class `service`, where the server does not take it up, which the next renewal tries again.
    pub fn renew(&self, host: &Host, lock: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
        let mark = self.mark();
        let flaw = self.flaw(SystemTime::now())?;
        if flaw.is_none() && files::read(Path::new(&mark))?.is_none() {
            return Ok(None);
        }
        lock()?;
        if flaw.is_some() {
            // First, so that a kill in between loses no reload.
            files::replace(&Look::new(host), Path::new(&mark), b"", &Meta::root(0o600))?;
            self.obtain(host)?;
        }
        let unit = Look::new(host).unit(SERVER)?;
        let runs = unit.active;
        if runs {
            let workers = services::children(unit.main_pid);
            let output = services::act(host, Act::Reload, SERVER)?;
            if !output.ok() {
                let fault = output.fault(Class::Service, format!("{SERVER} does not take up the renewed certificate"));
                return Err(fault
                    .advice(format!("see what `nginx -t` says, and mend it: `systemctl reload {SERVER}`"))
                    .into());
            }
            service::renewed(unit.main_pid, &workers)?;
        }
        files::remove(Path::new(&mark))?;
        let names = self.names.join(", ");
        Ok(Some(format!("the certificate for {names} is renewed{}", if runs { ", and nginx has it" } else { "" })))
    }

    fn wants(&self) -> String {
        format!("from {}, for {}", self.directory, self.names.join(" "))
    }
}

/// The private key at `path`; none where there is none that can be used.
fn key_at(path: &str) -> Result<Option<String>> {
    let text = files::read(Path::new(path))?.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.filter(|key| certificate::is_own_key(key)))
}

/// A certificate for names of this host, with its key and that of the account with the authority. Keys stay when it is renewed.
#[derive(Debug)]
pub struct AcmeCertificate {
    /// What it is.
    pub request: Request,
    /// Has the user agreed to the authority's terms of service?
    agreed: bool,
    /// Was it given a moment ago, which the journal does not know yet?
    given: Cell<bool>,
}

impl AcmeCertificate {
    /// The one that `request` asks for.
    pub fn new(request: Request, agreed: bool) -> Self {
        Self { request, agreed, given: Cell::new(false) }
    }

    /// The keys, by the beginning of their items' names.
    fn keys(&self) -> Result<[(&'static str, File); 2]> {
        let file = |path: &String| -> Result<File> {
            let content = key_at(path)?.map_or_else(certificate::new_key, Ok)?.into_bytes();
            Ok(File { meta: Meta::root(0o600), sensitive: true, ..File::new(path.clone(), content) })
        };
        Ok([("account ", file(&self.request.account)?), ("key ", file(&self.request.key)?)])
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let request = &self.request;
        let authority = split_url(&request.directory).map_or_else(|_| request.directory.clone(), |(host, _)| host);
        if !self.agreed {
            let message = format!("the terms of service of {authority} are not agreed to");
            return Err(Fault::new(Class::Usage, message)
                .advice("read them where the authority has them, and say yes to them: acme.terms_agreed, or the input that it is set by")
                .into());
        }
        let mut changes = Vec::new();
        for (part, file) in self.keys()? {
            let found = match file.probe(cx)? {
                Probe::InPlace(_) => continue,
                Probe::Changes(found) => found,
                other => return Ok(other),
            };
            changes.extend(found.into_iter().map(|change| Change {
                item: format!("{part}{}", change.item),
                summary: format!("{part}{}", change.summary),
                ..change
            }));
        }
        let seen = json!({ "directory": request.directory });
        let before = cx.memory.seen(cx.id).and_then(|seen| seen["directory"].as_str());
        let other = || {
            let is_other = before.is_some_and(|before| before != request.directory) && !self.given.get();
            is_other.then(|| "the authority is another one".to_owned())
        };
        let Some(why) = request.flaw(SystemTime::now())?.or_else(other) else {
            return Ok(if changes.is_empty() { Probe::InPlace(seen) } else { Probe::Changes(changes) });
        };
        let because = if why.is_empty() { String::new() } else { format!(": {why}") };
        let undo = Undo::RemoveCertificate {
            path: request.certificate.clone(),
            key: request.key.clone(),
            webroot: request.webroot.clone(),
        };
        changes.push(Change::new("certificate", format!("ask {authority} for a certificate{because}"), undo));
        Ok(Probe::Changes(changes))
    }
}

impl Resource for AcmeCertificate {
    fn sort(&self) -> &'static str {
        "tls_certificate"
    }

    fn key(&self) -> String {
        self.request.certificate.clone()
    }

    fn is_independent(&self) -> bool {
        // It needs port 80, which a server that is just coming up may be about to take.
        false
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let Request { certificate, key, account, .. } = &self.request;
        [certificate, key, account].map(|path| paths::claim(path, self.request.wants())).to_vec()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        vec![Endpoint { url: self.request.directory.clone(), purpose: "certificates (ACME)".into() }]
    }

    fn ports(&self) -> Vec<Port> {
        vec![Port { number: 80, unit: SERVER.to_owned(), outside: true }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.request.key, self.look(cx))
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        for (part, mut file) in self.keys()? {
            let of_part = |change: &Change| {
                let item = change.item.strip_prefix(part)?.to_owned();
                Some(Change { item, ..change.clone() })
            };
            let changes: Vec<Change> = changes.iter().filter_map(of_part).collect();
            // What the probe made is what the journal has the digest of.
            if let Some(made) = changes.iter().find(|change| change.item == "content").and_then(|one| one.wrote.clone())
            {
                file.content = made;
            }
            if !changes.is_empty() {
                file.apply(cx, &changes)?;
            }
        }
        if changes.iter().any(|change| change.item == "certificate") {
            self.request.obtain(cx.host)?;
            self.given.set(true);
        }
        Ok(())
    }
}

/// A certificate was given by an authority: it is removed, whichever renewal it is of, unless somebody put one for another key there.
pub(crate) fn undo(path: &str, key: &str, webroot: &str) -> Result<Undone> {
    acme::clear(Path::new(webroot))?;
    files::remove(Path::new(&format!("{path}.reload")))?;
    let (found, key) = (files::read(Path::new(path))?, files::read(Path::new(key))?);
    let Some(found) = found else { return Ok(Undone::Gone) };
    let is_for = |key: &Vec<u8>| Certificate::parse(&found).is_ok_and(|certificate| certificate.check_key(key).is_ok());
    if !key.as_ref().is_some_and(is_for) {
        return Ok(paths::changed(path));
    }
    files::remove(Path::new(path))?;
    Ok(Undone::Done(format!("removed {path}")))
}

//! A certificate that an authority gives: what it takes to get it, and to renew it without us.

use std::net::IpAddr;

use anyhow::Result;
use distro::facts::Init;
use distro::files::Meta;
use distro::net::split_url;

use super::{Authority, FOLDER};
use crate::Resource;
use crate::kinds::offer::Certificate;
use crate::kinds::{Context, refused};
use crate::resources::acme_certificate::{AcmeCertificate, Request};
use crate::resources::directory::Directory;
use crate::resources::file::File;
use crate::resources::program_copy::ProgramCopy;
use crate::resources::service::Service;

/// Let's Encrypt, not its staging environment.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Where every authority finds its answers: those of all products have names that nobody guesses.
pub(super) const WEBROOT: &str = "/var/lib/surefoot-acme";
/// Where the program is that renews.
const PROGRAM_FOLDER: &str = "/usr/local/lib/surefoot";
const UNITS: &str = "/etc/systemd/system";

impl Authority {
    /// What is asked of it for `names`; nothing where there is none.
    pub(super) fn request(&self, names: &[String], files: Certificate, cx: &dyn Context) -> Result<Option<Request>> {
        let directory = self.directory.as_deref().unwrap_or(LETS_ENCRYPT);
        if directory.is_empty() {
            return Ok(None);
        }
        let (authority, _) = split_url(directory).map_err(|error| {
            refused(cx, &format!("'acme.directory': {error}"), "give the URL that the authority tells its users")
        })?;
        if self.terms_agreed.is_none() {
            let message = format!("nobody says whether the terms of service of {authority} are agreed to");
            return Err(refused(cx, &message, "set acme.terms_agreed, or let an input say it"));
        }
        if let Some(name) = names.iter().find(|name| name.parse::<IpAddr>().is_ok() || name.contains(['*', ':'])) {
            let message = format!("no authority finds this host under '{name}'");
            return Err(refused(cx, &message, "give names of hosts alone: no addresses, and no patterns"));
        }
        let contact = self.contact.clone().filter(|contact| !contact.is_empty());
        let good = |contact: &String| {
            contact.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.'))
                && contact.chars().all(|c| c.is_ascii_graphic() && !"<>?,:".contains(c))
        };
        if let Some(contact) = contact.as_ref().filter(|contact| !good(contact)) {
            let message = format!("'acme.contact' is no e-mail address: '{contact}'");
            return Err(refused(cx, &message, "write it as admin@example.org"));
        }
        Ok(Some(Request {
            product: cx.product().to_owned(),
            directory: directory.to_owned(),
            contact,
            names: names.to_vec(),
            account: format!("{FOLDER}/{}-{}.account", cx.product(), cx.step()),
            certificate: files.certificate,
            key: files.key,
            webroot: WEBROOT.to_owned(),
        }))
    }
}

/// The certificate, and on hosts with systemd what renews it.
pub(super) fn resources(request: Request, agreed: bool, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
    let renewal = serde_json::to_string_pretty(&request)? + "\n";
    let names = request.names.join(", ");
    let mut resources: Vec<Box<dyn Resource>> = vec![
        Box::new(Directory::new(FOLDER)),
        Box::new(Directory::new(WEBROOT)),
        Box::new(AcmeCertificate::new(request, agreed)),
    ];
    if cx.facts().init != Init::Systemd {
        return Ok(resources);
    }
    let name = format!("{}-{}", cx.product(), cx.step());
    let (program, file) = (format!("{PROGRAM_FOLDER}/surefoot"), format!("{FOLDER}/{name}.renewal"));
    let (unit, timer) = (format!("surefoot-{name}.service"), format!("surefoot-{name}.timer"));
    let service = format!(
        "# Written by surefoot: what is changed here is put back at its next run.\n[Unit]\n\
         Description=Renewal of the certificate for {names}\n\n[Service]\nType=oneshot\nExecStart={program} renew {file}\n"
    );
    // Looking costs next to nothing, and some authorities give certificates for a day.
    let times = format!(
        "# Written by surefoot: what is changed here is put back at its next run.\n[Unit]\n\
         Description=Renewal of the certificate for {names}\n\n[Timer]\nOnActiveSec=30min\nOnUnitInactiveSec=4h\n\
         RandomizedDelaySec=30min\n\n[Install]\nWantedBy=timers.target\n"
    );
    let timer_file = format!("{UNITS}/{timer}");
    resources.push(Box::new(Directory::new(PROGRAM_FOLDER)));
    resources.push(Box::new(ProgramCopy { path: program }));
    resources.push(Box::new(File { meta: Meta::root(0o600), ..File::new(file, renewal) }));
    resources.push(Box::new(File::new(format!("{UNITS}/{unit}"), service)));
    resources.push(Box::new(File::new(timer_file, times)));
    resources.push(Box::new(Service::new(timer)));
    Ok(resources)
}

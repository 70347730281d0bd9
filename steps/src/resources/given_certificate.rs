//! The user's own certificate.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Result;
use distro::certificate::{Certificate, Flaw};
use distro::failure::io_fault;
use distro::{Class, Fault};
use serde_json::json;

use super::paths;
use crate::kinds::offer;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A certificate and a key that the user brings. They are looked at, and nothing is ever written there.
#[derive(Debug)]
pub struct GivenCertificate {
    /// Where they are.
    pub files: offer::Certificate,
    /// Names that it has to be good for.
    pub names: Vec<String>,
}

impl GivenCertificate {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        // Both are often symlinks that somebody's own tool moves on.
        let read = |path: &str| {
            let path = Path::new(path);
            std::fs::read(path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Fault::new(
                    Class::Tls,
                    format!("there is no {}, which was given as the site's certificate or its key", path.display()),
                )
                .advice("put it there, or correct the path in the inputs, then run it again"),
                _ => io_fault(&error, "read", path),
            })
        };
        let (certificate, key) = (read(&self.files.certificate)?, read(&self.files.key)?);
        self.check(&certificate, &key).map_err(|flaw| self.fault(&flaw))?;
        Ok(Probe::InPlace(json!({ "digest": cx.digest(&[certificate, key].concat()) })))
    }

    fn check(&self, certificate: &[u8], key: &[u8]) -> Result<(), Flaw> {
        let now = SystemTime::now();
        let certificate = Certificate::parse(certificate)?;
        certificate.check_key(key)?;
        certificate.check_dates(now)?;
        certificate.check_chain(now)?;
        // Whoever trusts it knows the certificate itself, not a name.
        if certificate.signs_itself() && certificate.names_no_host()? {
            return Ok(());
        }
        self.names.iter().try_for_each(|name| certificate.check_name(name))
    }

    fn fault(&self, flaw: &Flaw) -> Fault {
        let offer::Certificate { certificate, key, .. } = &self.files;
        let advice = match flaw {
            Flaw::Name(_) => "give a certificate for this name, or the name that the certificate is for",
            Flaw::Chain(_) | Flaw::Mismatch(Some(_)) => {
                "put the certificate first, then the one that signed it, and so on, then run it again"
            }
            Flaw::Key(_) | Flaw::Mismatch(None) => {
                "give the key that the certificate was requested with, in PEM without a passphrase"
            }
            Flaw::Expired(_) | Flaw::Ends(_) | Flaw::NotYet(_) => {
                "put a certificate in PEM there that is valid now, or set the host's clock where that is wrong, then run it again"
            }
            Flaw::Certificate(_) => "put a certificate in PEM there that is valid now, then run it again",
        };
        Fault::new(Class::Tls, format!("the certificate {certificate} with the key {key} cannot be used: {flaw}"))
            .evidence(["nothing was changed: both are only looked at"])
            .advice(advice)
    }
}

impl Resource for GivenCertificate {
    fn sort(&self) -> &'static str {
        "tls_certificate"
    }

    fn key(&self) -> String {
        self.files.certificate.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.files.key, self.look(cx))
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;
    use distro::certificate::{new_key, self_signed};

    #[test]
    fn what_is_given_is_checked_and_stays() {
        let trial = Trial::new();
        let key = new_key().unwrap();
        trial.write("k", &key);
        trial.write("c", &self_signed(&["a.example".to_owned()], &key, SystemTime::now()).unwrap());
        trial.write("other", &new_key().unwrap());
        trial.write("nameless", &self_signed(&[], &key, SystemTime::now()).unwrap());
        for (file, key, name, wanted) in [
            ("c", "k", "a.example", None),
            ("c", "k", "b.example", Some((Class::Tls, "cannot be used: the certificate is not valid for 'b.example'"))),
            ("nameless", "k", "b.example", None),
            ("c", "other", "a.example", Some((Class::Tls, "cannot be used: the key is not that of the certificate"))),
            ("k", "k", "a.example", Some((Class::Tls, "cannot be used: no certificate can be read: there is none"))),
            ("none", "k", "a.example", Some((Class::Tls, "which was given as the site's certificate or its key"))),
        ] {
            let files =
                offer::Certificate { certificate: trial.at(file), key: trial.at(key), webroot: None, renewed: false };
            let given = GivenCertificate { files, names: vec![name.to_owned()] };
            let error = trial.probe(&given).err().map(|error| (Fault::class_of(&error), error.to_string()));
            match (error, wanted) {
                (None, None) => {}
                (Some((class, said)), Some((of, part))) => assert!(class == of && said.contains(part), "{said}"),
                (found, _) => panic!("{file} {key} {name}: {found:?}"),
            }
        }
    }

    #[test]
    fn the_advice_fits_the_flaw() {
        let trial = Trial::new();
        let files =
            offer::Certificate { certificate: trial.at("c"), key: trial.at("k"), webroot: None, renewed: false };
        let given = GivenCertificate { files, names: Vec::new() };
        for (flaw, wanted) in [
            (Flaw::Mismatch(Some(2)), "put the certificate first"),
            (Flaw::Mismatch(None), "give the key that the certificate was requested with"),
            (Flaw::Expired(std::time::Duration::ZERO), "or set the host's clock"),
        ] {
            let advice = given.fault(&flaw).advice;
            assert!(advice.contains(wanted), "{flaw}: {advice}");
        }
    }
}

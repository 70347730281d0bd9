//! `tls_certificate`: a certificate and its key, for other steps to use.

mod acme;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Deserialize;

use super::offer::{Certificate, Offer};
use super::{Context, Kind, refused};
use crate::Resource;
use crate::resources::acme_certificate::Request;
use crate::resources::directory::Directory;
use crate::resources::given_certificate::GivenCertificate;
use crate::resources::own_certificate::OwnCertificate;

/// Where files of ours are kept that belong to no package.
pub(super) const FOLDER: &str = "/etc/surefoot";

/// A certificate with its key: the user's own, or one that an authority gives (`acme`). Without either, one is made that signs itself,
/// good for a year, also for the names and addresses of the host; it is renewed by a run when less than 30 days are left.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Names and addresses that it is for.
    #[schemars(length(min = 1))]
    names: Vec<String>,
    /// Path of a certificate that is there already, in PEM, followed by those that lead to its authority. It is looked at and never
    /// changed. Empty: none.
    certificate: Option<String>,
    /// Path of its key, in PEM, without a passphrase. Empty: none.
    key: Option<String>,
    /// The authority that gives it, over ACME: it looks for this host on port 80 of each name. The certificate is renewed by a timer of
    /// its own with less than 30 days left, or a third of its time where that is shorter.
    acme: Option<Authority>,
}

/// An authority.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Authority {
    /// URL of its directory: Let's Encrypt's (`https://acme-v02.api.letsencrypt.org/directory`), where it is not given. Empty: no authority.
    directory: Option<String>,
    /// Do you agree to its terms of service? Has to be said, and to be true before anything is asked of it.
    terms_agreed: Option<bool>,
    /// E-mail address that it may write to. Empty: none.
    contact: Option<String>,
}

impl Settings {
    /// The user's own, where one is given.
    fn given(&self, cx: &dyn Context) -> Result<Option<Certificate>> {
        let given = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
        // They are written into configuration files of all sorts.
        let plain =
            |path: &str| !path.contains(|c: char| c.is_whitespace() || c.is_control() || "\"'$;{}\\#".contains(c));
        match (given(&self.certificate), given(&self.key)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                if let Some(path) = [&certificate, &key].into_iter().find(|path| !path.starts_with('/') || !plain(path))
                {
                    let advice = "give an absolute path without spaces, quotes, '$' and ';'";
                    return Err(refused(cx, &format!("'{path}' is not a path that can be used"), advice));
                }
                Ok(Some(Certificate { certificate, key, webroot: None, renewed: false }))
            }
            _ => Err(refused(cx, "'certificate' and 'key' go together", "give both, or leave both out")),
        }
    }

    /// What is asked of an authority, where one is to give it.
    fn asked(&self, cx: &dyn Context) -> Result<Option<Request>> {
        let Some(authority) = &self.acme else { return Ok(None) };
        let request = authority.request(&self.names, own(cx), cx)?;
        if request.is_some() && self.given(cx)?.is_some() {
            let advice = "leave the certificate and its key out, or the authority";
            return Err(refused(cx, "'acme' does not go with 'certificate' and 'key'", advice));
        }
        Ok(request)
    }
}

fn own(cx: &dyn Context) -> Certificate {
    let path = |ending: &str| format!("{FOLDER}/{}-{}.{ending}", cx.product(), cx.step());
    Certificate { certificate: path("crt"), key: path("key"), webroot: None, renewed: false }
}

impl Kind for Settings {
    const NAME: &'static str = "tls_certificate";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let good =
            |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.:*".contains(c));
        if self.names.is_empty() || !self.names.iter().all(good) {
            let names = self.names.join(", ");
            return Err(refused(
                cx,
                &format!("'names' has to hold names of hosts and addresses, and holds '{names}'"),
                "give the name that users type into their browser",
            ));
        }
        let request = self.asked(cx)?;
        let agreed = self.acme.as_ref().is_some_and(|authority| authority.terms_agreed == Some(true));
        if let Some(files) = self.given(cx)? {
            return Ok(vec![Box::new(GivenCertificate { files, names: self.names })]);
        }
        if let Some(request) = request {
            return acme::resources(request, agreed, cx);
        }
        let facts = cx.facts();
        let also = vec![facts.fqdn.clone(), facts.hostname.clone()];
        Ok(vec![Box::new(Directory::new(FOLDER)), Box::new(OwnCertificate { files: own(cx), names: self.names, also })])
    }

    fn offer(self, cx: &dyn Context) -> Result<Option<Offer>> {
        let renewed = self.asked(cx)?.is_some();
        // The site answers before an authority is chosen, too: it has port 80 by the time that one is asked.
        let webroot = self.acme.as_ref().map(|_| acme::WEBROOT.to_owned());
        let files = self.given(cx)?.unwrap_or_else(|| own(cx));
        Ok(Some(Offer::Certificate(Certificate { webroot, renewed, ..files })))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names, wants};

    #[test]
    fn one_of_our_own_and_one_that_is_given() {
        let step = Step::new("tls");
        let resources = step.expand::<Settings>(json!({"names": ["a.example"]})).unwrap();
        assert_eq!(names(&resources), ["directory /etc/surefoot", "tls_certificate /etc/surefoot/demo-tls.crt"]);
        let given = json!({"names": ["a.example"], "certificate": "/c.pem", "key": "/k.pem"});
        assert_eq!(names(&step.expand::<Settings>(given.clone()).unwrap()), ["tls_certificate /c.pem"]);
        let offer = |settings| serde_json::from_value::<Settings>(settings).unwrap().offer(&step).unwrap();
        let paths = |settings| match offer(settings) {
            Some(Offer::Certificate(files)) => (files.certificate, files.key),
            other => panic!("{other:?}"),
        };
        assert_eq!(paths(given), ("/c.pem".into(), "/k.pem".into()));
        let own = paths(json!({"names": ["a"], "certificate": "", "key": ""}));
        assert_eq!(own, ("/etc/surefoot/demo-tls.crt".into(), "/etc/surefoot/demo-tls.key".into()));
    }

    #[test]
    fn one_of_an_authority() {
        let step = Step::new("tls");
        let settings = json!({"names": ["a.example"], "acme": {"terms_agreed": true, "contact": "me@a.example"}});
        let resources = step.expand::<Settings>(settings.clone()).unwrap();
        let expected = [
            "directory /etc/surefoot",
            "directory /var/lib/surefoot-acme",
            "tls_certificate /etc/surefoot/demo-tls.crt",
            "directory /usr/local/lib/surefoot",
            "program /usr/local/lib/surefoot/surefoot",
            "file /etc/surefoot/demo-tls.renewal",
            "file /etc/systemd/system/surefoot-demo-tls.service",
            "file /etc/systemd/system/surefoot-demo-tls.timer",
            "service surefoot-demo-tls.timer",
        ];
        assert_eq!(names(&resources), expected);
        let endpoint = &resources[2].endpoints()[0];
        assert_eq!(endpoint.url, "https://acme-v02.api.letsencrypt.org/directory");
        let renewal = wants(&resources, "file /etc/surefoot/demo-tls.renewal");
        let request: Request = serde_json::from_str(renewal.split_once('\n').unwrap().1).unwrap();
        assert_eq!(
            (request.contact.as_deref(), request.account.as_str()),
            (Some("me@a.example"), "/etc/surefoot/demo-tls.account")
        );
        let unit = wants(&resources, "file /etc/systemd/system/surefoot-demo-tls.service");
        assert!(
            unit.contains("ExecStart=/usr/local/lib/surefoot/surefoot renew /etc/surefoot/demo-tls.renewal\n"),
            "{unit}"
        );
        match serde_json::from_value::<Settings>(settings).unwrap().offer(&step).unwrap() {
            Some(Offer::Certificate(files)) => {
                assert_eq!((files.webroot.as_deref(), files.renewed), (Some("/var/lib/surefoot-acme"), true));
            }
            other => panic!("{other:?}"),
        }
        // No authority yet, as an input may say.
        let none = json!({"names": ["a"], "acme": {"directory": ""}});
        assert_eq!(step.expand::<Settings>(none.clone()).unwrap().len(), 2);
        match serde_json::from_value::<Settings>(none).unwrap().offer(&step).unwrap() {
            Some(Offer::Certificate(files)) => {
                assert_eq!((files.webroot.as_deref(), files.renewed), (Some("/var/lib/surefoot-acme"), false));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let acme = |acme: serde_json::Value, name: &str| json!({"names": [name], "acme": acme});
        for (settings, wanted) in [
            (
                acme(json!({}), "a"),
                "nobody says whether the terms of service of acme-v02.api.letsencrypt.org are agreed to",
            ),
            (acme(json!({"terms_agreed": true}), "*.a"), "no authority finds this host under '*.a'"),
            (acme(json!({"terms_agreed": true}), "10.0.0.1"), "no authority finds this host under '10.0.0.1'"),
            (acme(json!({"terms_agreed": true, "contact": "me"}), "a"), "'acme.contact' is no e-mail address: 'me'"),
            (
                acme(json!({"terms_agreed": true, "directory": "x"}), "a"),
                "'acme.directory': the URL is not valid: relative URL without a base",
            ),
            (
                json!({"names": ["a"], "key": "/k", "certificate": "/c", "acme": {"terms_agreed": true}}),
                "'acme' does not go with 'certificate' and 'key'",
            ),
            (json!({"names": []}), "'names' has to hold names of hosts and addresses, and holds ''"),
            (json!({"names": ["a b"]}), "'names' has to hold names of hosts and addresses, and holds 'a b'"),
            (json!({"names": ["a"], "key": "/k"}), "'certificate' and 'key' go together"),
            (json!({"names": ["a"], "key": "/k", "certificate": ""}), "'certificate' and 'key' go together"),
            (json!({"names": ["a"], "key": "/k", "certificate": "c"}), "'c' is not a path that can be used"),
        ] {
            let error = Step::new("tls").expand::<Settings>(settings).unwrap_err();
            assert_eq!(error.to_string(), format!("step 'tls': {wanted}"));
        }
    }
}

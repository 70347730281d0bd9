//! What a step makes for others to use: they name it `step:ID`.

use std::fmt;

use anyhow::Result;

use super::value::StepRef;
use super::{Context, refused};

/// What can be used of a step.
#[derive(Clone, Debug)]
pub enum Offer {
    /// A certificate with its key.
    Certificate(Certificate),
    /// Users and their passwords.
    Users(Users),
}

/// A file of users and passwords that web servers read.
#[derive(Clone)]
pub struct Users {
    /// Its path.
    pub path: String,
    /// One of the users, with its password.
    pub login: (String, String),
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password is nobody's business.
        f.debug_struct("Users").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Users {
    /// The users of an earlier step.
    ///
    /// # Errors
    /// Class `blueprint`, where there is no such step or it has none.
    pub fn of(cx: &dyn Context, step: &StepRef) -> Result<Self> {
        match cx.offer(step)? {
            Some(Offer::Users(users)) => Ok(users),
            _ => Err(refused(cx, &format!("step '{}' has no users", step.0), "name a step of kind 'htpasswd'")),
        }
    }
}

/// A certificate with its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Path of the certificate and those that lead to its authority. Everybody may read it.
    pub certificate: String,
    /// Path of its key. Only root may read it.
    pub key: String,
    /// Folder in which an authority finds its answers, where one gives it, or may be chosen to later on.
    pub webroot: Option<String>,
    /// Does an authority renew it without us?
    pub renewed: bool,
}

impl Certificate {
    /// The certificate of an earlier step.
    ///
    /// # Errors
    /// Class `blueprint`, where there is no such step or it has none.
    pub fn of(cx: &dyn Context, step: &StepRef) -> Result<Self> {
        match cx.offer(step)? {
            Some(Offer::Certificate(certificate)) => Ok(certificate),
            _ => Err(refused(
                cx,
                &format!("step '{}' has no certificate", step.0),
                "name a step of kind 'tls_certificate'",
            )),
        }
    }
}

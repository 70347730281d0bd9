//! A file that somebody else brings and that a user has to be able to read.

use std::path::Path;

use anyhow::Result;
use distro::{Class, Fault, files};
use serde_json::Value;

use super::paths;
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A file that is there, and that `user` can read. Nothing of it is ever changed.
#[derive(Debug)]
pub struct Readable {
    /// Absolute path.
    pub path: String,
    /// Name of the user.
    pub user: String,
}

impl Readable {
    fn look(&self, cx: &Cx<'_>) -> Result<Probe> {
        let Some(bar) = files::barred(cx.look, Path::new(&self.path), &self.user)? else {
            return Ok(Probe::InPlace(Value::Null));
        };
        let (path, user) = (&self.path, &self.user);
        Err(Fault::new(Class::Preflight, format!("user '{user}' cannot read {path}"))
            .evidence([bar])
            .advice(
                "put a copy where that user can read it, such as /etc/ssl/certs for a certificate, and give its path",
            )
            .into())
    }
}

impl Resource for Readable {
    fn sort(&self) -> &'static str {
        "readable"
    }

    fn key(&self) -> String {
        format!("{} {}", self.user, self.path)
    }

    fn stage(&self) -> Stage {
        Stage::Prepare
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        paths::unless_hidden(cx, &self.path, self.look(cx))
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::trial::Trial;

    #[test]
    fn what_bars_a_user_is_named() {
        let trial = Trial::new();
        trial.with(|cx| trial.file("ca.pem", "x", 0o600).apply(cx, &[])).unwrap();
        let probe = |user: &str| trial.probe(&Readable { path: trial.at("ca.pem"), user: user.to_owned() });
        for user in ["nobody", "nobody-whom-anybody-knows"] {
            let error = probe(user).unwrap_err();
            let fault = Fault::find(&error).unwrap();
            assert_eq!(fault.class, Class::Preflight);
            assert!(fault.evidence[0].contains("ca.pem has mode 0600 "), "{:?}", fault.evidence);
        }
        assert!(matches!(probe("root"), Ok(Probe::InPlace(_))));
        let none = Readable { path: trial.at("none"), user: "root".to_owned() };
        assert_eq!(Fault::class_of(&trial.probe(&none).unwrap_err()), Class::Host);
    }
}

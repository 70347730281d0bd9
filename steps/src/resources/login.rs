//! A service of another host, which is only asked whether it takes a login.

use anyhow::Result;
use distro::{Class, Fault};
use serde_json::Value;

use super::service::{Answer, Ready};
use crate::{Change, Claim, Cx, Endpoint, Probe, Resource, Stage};

/// A server that somebody else runs. It is asked before anything is touched, and nothing of it is ever changed.
#[derive(Debug)]
pub struct Login {
    /// What it is: `PostgreSQL`.
    pub product: &'static str,
    /// Where: `db.example.com:5432`.
    pub server: String,
    /// Who logs in; none is the server's default user.
    pub user: Option<String>,
    /// The login that it must take.
    pub ready: Ready,
    /// What lets the login in, on the server's side, for the advice.
    pub remedy: String,
}

impl Resource for Login {
    fn sort(&self) -> &'static str {
        "login"
    }

    fn key(&self) -> String {
        match &self.user {
            Some(user) => format!("{user}@{}", self.server),
            None => self.server.clone(),
        }
    }

    fn stage(&self) -> Stage {
        Stage::Prepare
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let purpose = "server of another host, whose login is checked".to_owned();
        vec![Endpoint { url: format!("tcp://{}", self.server), purpose }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let server = format!("{} at {}", self.product, self.server);
        match self.ready.ask_again(&cx.host.runner)? {
            Answer::Ready => Ok(Probe::InPlace(Value::Null)),
            Answer::NotYet(said) | Answer::Stale(said) => {
                Err(Fault::new(Class::Service, format!("{server} does not answer: {said}"))
                    .advice("see that it runs, that this host may reach it, and that address and port are right")
                    .into())
            }
            Answer::Refused(said) => {
                let who = self.user.as_ref().map_or("its default user".to_owned(), |user| format!("'{user}'"));
                Err(Fault::new(Class::Login, format!("{server} refuses the login of {who}: {said}"))
                    .advice(format!("correct the password in the inputs; or let the login in there: {}", self.remedy))
                    .into())
            }
        }
    }

    fn apply(&self, _: &Cx<'_>, _: &[Change]) -> Result<()> {
        Ok(())
    }
}

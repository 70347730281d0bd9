//! The one failure type at the edge: what the card shows and the run log holds.

use distro::failure::Ran;
use distro::{Class, Fault};
use serde::{Deserialize, Serialize};

use super::event::Place;
use super::plan::LookingAt;

/// A failure: where, which command, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Failure {
    /// Kind of failure.
    pub class: Class,
    /// Exit code of the program.
    pub exit_code: i32,
    /// What went wrong, one sentence.
    pub message: String,
    /// Where it happened.
    #[serde(flatten)]
    pub place: Place,
    /// Which resource of the run it was, and of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<(usize, usize)>,
    /// The command that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Ran>,
    /// What was being done, outermost first.
    pub while_doing: Vec<String>,
    /// Lines that prove the message.
    pub evidence: Vec<String>,
    /// What to do.
    pub advice: String,
    /// The command line that goes on after the mend, where there is something to go on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go_on: Option<String>,
    /// Path of the run log, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Failure {
    /// Makes the failure of `error`.
    ///
    /// Where `place` names no step, the resource that was looked at tells.
    pub fn of(error: &anyhow::Error, mut place: Place) -> Self {
        if place.step.is_none()
            && let Some(LookingAt(id)) = error.downcast_ref()
        {
            place.step = id.split_once('/').map(|(step, _)| step.to_owned());
            place.resource = Some(id.clone());
        }
        let class = Fault::class_of(error);
        let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
        let fault = Fault::find(error);
        let at = error.chain().position(|cause| cause.downcast_ref::<Fault>().is_some());
        let (message, while_doing, below) = match at {
            Some(at) => (chain[at].clone(), chain[..at].to_vec(), chain[at + 1..].to_vec()),
            None => (chain.join(": "), Vec::new(), Vec::new()),
        };
        let mut evidence = fault.map(|fault| fault.evidence.clone()).unwrap_or_default();
        evidence.extend(below);
        let advice = match fault {
            Some(fault) => fault.advice.clone(),
            None if class == Class::Internal => {
                "this is a bug in surefoot: report it with the run log; going on with --resume is safe".to_owned()
            }
            None => "mend it and run again with --resume".to_owned(),
        };
        Self {
            class,
            exit_code: class.exit_code(),
            message,
            place,
            position: None,
            command: fault.and_then(|fault| fault.command.clone()),
            while_doing,
            evidence,
            advice,
            go_on: None,
            log: None,
        }
    }
}

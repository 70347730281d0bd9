//! Plan, run, journal, resume, undo. Knows resources, not what they do.
//!
//! An install goes like this: [`lock`] the host; load the product ([`store`], [`journal`], [`state`]); [`plan`]: expand the
//! blueprint to resources and probe each; check and ask; write down the attempt; [`install`]: stage by stage, each resource
//! probe, intent, apply, probe, outcome (slow services come up while [`packages`] of others are installed); everything is probed once more, together. [`uninstall`] goes through the journal
//! backwards. Whatever happens is told as an [`event`].

pub mod event;
pub mod failure;
pub mod install;
pub mod journal;
pub mod lock;
mod order;
mod packages;
pub mod plan;
pub mod planfile;
pub mod redact;
pub mod session;
mod stage;
pub mod state;
pub mod store;
pub mod uninstall;

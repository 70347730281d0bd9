//! Everything of one stage, in order; what is launched is waited for later.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;
use distro::Look;
use steps::{Change, Stage};

use super::event::What;
use super::install::Install;
use super::plan::Wanted;

/// A change that was launched and is waited for later.
pub struct Launched {
    pub entry: Wanted,
    pub changes: Vec<Change>,
    pub restart: bool,
    pub position: Option<(usize, usize)>,
    pub began: Instant,
    /// What comes after it in its step, each with its turn.
    pub rest: Vec<(Wanted, Option<(usize, usize)>)>,
}

impl Install<'_, '_> {
    /// Everything of one stage, in order. A service that comes up whatever else runs is not waited for at once, and what comes after
    /// it in its step neither: that is done when something is reached that is not independent, or the end of the stage.
    pub(super) fn bring_stage(
        &mut self,
        stage: Stage,
        entries: Vec<Wanted>,
        launched: &mut VecDeque<Launched>,
    ) -> Result<()> {
        for entry in entries {
            if let Some(one) = launched.iter_mut().find(|one| one.entry.0 == entry.0) {
                self.next_turn();
                one.rest.push((entry, self.position));
                continue;
            }
            if !entry.2.is_independent() {
                self.catch_up(stage, launched)?;
            }
            self.next_turn();
            launched.extend(self.bring(stage, entry)?);
        }
        self.catch_up(stage, launched)
    }

    /// Waits for everything that was launched, and brings what was put off until then. What answers is waited for last: what comes after it
    /// in its step needs the answer, and not its service manager's word.
    fn catch_up(&mut self, stage: Stage, launched: &mut VecDeque<Launched>) -> Result<()> {
        while let Some(mut one) = launched.pop_front() {
            let rest = std::mem::take(&mut one.rest);
            let step = one.entry.0.clone();
            let answers = !rest.is_empty() && self.answers(stage, &one);
            if answers {
                launched.push_back(one);
            } else {
                self.wait_for(stage, &one)?;
            }
            for (entry, position) in rest {
                self.position = position;
                match self.bring(stage, entry)? {
                    Some(one) if answers => launched.push_back(one),
                    Some(one) => self.wait_for(stage, &one)?,
                    None => (),
                }
            }
            if !launched.iter().any(|other| other.entry.0 == step) {
                self.end_step(&step);
            }
        }
        Ok(())
    }

    /// Is it seen to answer while its service manager still starts it?
    pub(super) fn answers(&self, stage: Stage, launched: &Launched) -> bool {
        let (step, id, resource) = &launched.entry;
        self.session.bus.enter(Some(stage), Some(step), Some(id));
        let look = Look::new(self.session.host);
        // What fails here is told by whoever waits for it.
        self.session.with_cx(&look, id, |cx| resource.answers(cx)).unwrap_or(false)
    }

    /// After a failure: what was launched is waited for and written down all the same.
    pub(super) fn give_up_on(&mut self, launched: VecDeque<Launched>) {
        let here = self.here();
        for one in launched {
            let id = one.entry.1.clone();
            if let Err(error) = self.wait_for(one.entry.2.stage(), &one) {
                self.session.bus.say(What::Warning { text: format!("{id} failed, too: {error:#}") });
            }
        }
        self.go_to(here);
    }

    /// Waits for what was launched: apply; probe; outcome.
    pub(super) fn wait_for(&mut self, stage: Stage, launched: &Launched) -> Result<()> {
        let (step, id, resource) = &launched.entry;
        self.position = launched.position;
        self.step_at_work(stage, id).into_iter().for_each(|step| step.launched -= 1);
        self.session.bus.enter(Some(stage), Some(step), Some(id));
        let look = Look::new(self.session.host);
        let applied = self.session.with_cx(&look, id, |cx| resource.apply(cx, &launched.changes));
        self.end_change(id, resource.as_ref(), applied, launched.restart, launched.began)
    }
}

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

    /// Waits for everything that was launched, and brings what was put off until then.
    fn catch_up(&mut self, stage: Stage, launched: &mut VecDeque<Launched>) -> Result<()> {
        while let Some(mut one) = launched.pop_front() {
            self.wait_for(stage, &one)?;
            for (entry, position) in one.rest.drain(..) {
                self.position = position;
                if let Some(one) = self.bring(stage, entry)? {
                    self.wait_for(stage, &one)?;
                }
            }
            self.end_step(&one.entry.0);
        }
        Ok(())
    }

    /// After a failure: what was launched is waited for and written down all the same.
    pub(super) fn give_up_on(&mut self, launched: VecDeque<Launched>) {
        let (place, position) = (self.session.bus.place(), self.position);
        for one in launched {
            let id = one.entry.1.clone();
            if let Err(error) = self.wait_for(one.entry.2.stage(), &one) {
                self.session.bus.say(What::Warning { text: format!("{id} failed, too: {error:#}") });
            }
        }
        self.session.bus.set_place(place);
        self.position = position;
    }

    /// Waits for what was launched: apply; probe; outcome.
    pub(super) fn wait_for(&mut self, stage: Stage, launched: &Launched) -> Result<()> {
        let (step, id, resource) = &launched.entry;
        self.position = launched.position;
        self.step_at_work(id).into_iter().for_each(|step| step.launched -= 1);
        self.session.bus.enter(Some(stage), Some(step), Some(id));
        let look = Look::new(self.session.host);
        let applied = self.session.with_cx(&look, id, |cx| resource.apply(cx, &launched.changes));
        self.end_change(id, resource.as_ref(), applied, launched.restart, launched.began)
    }
}

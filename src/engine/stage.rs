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
pub struct Launched<'e> {
    pub entry: &'e Wanted,
    pub changes: Vec<Change>,
    pub restart: bool,
    pub position: Option<(usize, usize)>,
    pub began: Instant,
    /// What comes after it in its step, each with its number.
    pub rest: Vec<(&'e Wanted, usize)>,
}

impl Install<'_, '_> {
    /// Everything of one stage, in order. A service that comes up whatever else runs is not waited for at once, and what comes after
    /// it in its step neither: that is done when something is reached that is not independent, or the end of the stage.
    pub(super) fn bring_stage<'e>(
        &mut self,
        stage: Stage,
        entries: &'e [Wanted],
        sets: &[&Wanted],
        (done, total): (&mut usize, usize),
        launched: &mut VecDeque<Launched<'e>>,
    ) -> Result<()> {
        for entry in entries {
            let (step, _, resource) = entry;
            *done += 1;
            if let Some(one) = launched.iter_mut().find(|one| one.entry.0 == *step) {
                one.rest.push((entry, *done));
                continue;
            }
            if !resource.is_independent() {
                self.catch_up(stage, launched, total)?;
            }
            self.position = Some((*done, total));
            if resource.packages().is_none() {
                launched.extend(self.bring(stage, entry)?);
            } else if sets.first().is_some_and(|first| first.1 == entry.1) {
                self.bring_packages(sets)?;
            }
        }
        self.catch_up(stage, launched, total)
    }

    /// Waits for everything that was launched, and brings what was put off until then.
    fn catch_up(&mut self, stage: Stage, launched: &mut VecDeque<Launched<'_>>, total: usize) -> Result<()> {
        while let Some(one) = launched.pop_front() {
            self.wait_for(stage, &one)?;
            for &(entry, at) in &one.rest {
                self.position = Some((at, total));
                if let Some(one) = self.bring(stage, entry)? {
                    self.wait_for(stage, &one)?;
                }
            }
            self.end_step(&one.entry.0);
        }
        Ok(())
    }

    /// After a failure: what was launched is waited for and written down all the same.
    pub(super) fn give_up_on(&mut self, launched: VecDeque<Launched<'_>>) {
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
    fn wait_for(&mut self, stage: Stage, launched: &Launched<'_>) -> Result<()> {
        let (step, id, resource) = launched.entry;
        self.position = launched.position;
        self.step_at_work(id).into_iter().for_each(|step| step.launched -= 1);
        self.session.bus.enter(Some(stage), Some(step), Some(id));
        let look = Look::new(self.session.host);
        let applied = self.session.with_cx(&look, id, |cx| resource.apply(cx, &launched.changes));
        self.end_change(id, resource.as_ref(), applied, launched.restart, launched.began)
    }
}

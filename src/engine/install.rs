//! Brings the host to what the plan says: resource by resource, probe, intent, apply, probe, outcome.

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::{Context, Result};
use distro::{Class, Fault, Look};
use serde_json::Value;
use steps::{Change, Memory, Probe, Resource, Stage, resources};

use super::event::{What, millis};
use super::journal::{Outcome, Record};
use super::plan::{self, Expand, Plan, Wanted};
use super::session::{Session, told};
use super::stage::Launched;

/// How many resources were brought how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In place when it was their turn.
    pub in_place: usize,
    /// Changed.
    pub changed: usize,
    /// Services that only took up what was changed elsewhere in this run.
    pub restarted: usize,
}

/// A run at work.
pub struct Install<'s, 'a> {
    pub(super) session: &'s mut Session<'a>,
    expand: &'s Expand<'s>,
    /// So far.
    pub tally: Tally,
    /// Which resource is in hand, and of how many.
    pub position: Option<(usize, usize)>,
    /// Names of things that this run changed.
    changed_things: Vec<String>,
    /// Steps that have begun and not ended: more than one where services come up meanwhile.
    at_work: Vec<StepAtWork>,
    steps: Vec<String>,
}

pub(super) struct StepAtWork {
    stage: Stage,
    id: String,
    changed: usize,
    /// How many of its resources were launched and not waited for yet.
    pub(super) launched: usize,
    began: Instant,
}

impl<'s, 'a> Install<'s, 'a> {
    /// A run that has done nothing yet.
    pub fn new(session: &'s mut Session<'a>, expand: &'s Expand<'s>) -> Self {
        Self {
            session,
            expand,
            tally: Tally::default(),
            position: None,
            changed_things: Vec::new(),
            at_work: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Brings everything, stage by stage, and sees all of it in place at the end.
    ///
    /// # Errors
    /// The first failure. What was done is written down.
    pub fn run(&mut self, plan: Plan) -> Result<()> {
        self.steps = plan.steps.iter().map(|step| step.id.clone()).collect();
        if plan.is_done() {
            self.tally.in_place = plan.entries.len();
            for entry in &plan.entries {
                if let Probe::InPlace(seen) = &entry.probe {
                    self.note_in_place(&entry.id, entry.resource.as_ref(), seen)?;
                }
            }
            return Ok(());
        }
        let total = plan.entries.len();
        let mut done = 0;
        for stage in Stage::ALL {
            // What an earlier stage installed may have changed what this one has to ask for.
            let facts = distro::Facts::gather(std::path::Path::new("/"))?;
            let (_, entries) = plan::expand(self.expand, &facts)?;
            let entries: Vec<Wanted> =
                entries.into_iter().filter(|(_, _, resource)| resource.stage() == stage).collect();
            self.session.bus.enter(Some(stage), None, None);
            if plan.has_work(stage) {
                self.session.bus.say(What::StageStarted);
            }
            let sets: Vec<&Wanted> = entries.iter().filter(|(_, _, resource)| resource.packages().is_some()).collect();
            let mut launched = VecDeque::new();
            let brought = self.bring_stage(stage, &entries, &sets, (&mut done, total), &mut launched);
            if let Err(error) = brought {
                self.give_up_on(launched);
                return Err(error);
            }
            self.end_steps();
        }
        self.position = None;
        self.session.bus.enter(Some(Stage::Verify), None, None);
        self.verify()
    }

    /// What comes after an apply: probe; outcome.
    pub(super) fn end_change(
        &mut self,
        id: &str,
        resource: &dyn Resource,
        applied: Result<()>,
        restart: bool,
        began: Instant,
    ) -> Result<()> {
        if let Err(error) = applied {
            self.session.record(Record::Outcome { resource: id.to_owned(), result: Outcome::Failed })?;
            return Err(error.context(format!("changing {id}")));
        }
        let seen = self.seen_after(id, resource)?;
        self.count(id, resource, seen, restart)?;
        self.session.bus.say(What::ResourceChanged { took_ms: millis(began.elapsed()) });
        Ok(())
    }

    /// One resource: probe; intent; apply; probe; outcome. Or only as far as its launch.
    pub(super) fn bring<'e>(&mut self, stage: Stage, entry: &'e Wanted) -> Result<Option<Launched<'e>>> {
        let (step, id, resource) = entry;
        self.session.check_stop()?;
        self.session.bus.enter(Some(stage), Some(step), Some(id));
        let resource = resource.as_ref();
        match self.probe(id, resource)? {
            Probe::InPlace(seen) => {
                self.tally.in_place += 1;
                self.session.bus.say(What::ResourceInPlace);
                self.note_in_place(id, resource, &seen).map(|()| None)
            }
            Probe::Changes(changes) => {
                self.begin_step(stage, step);
                let intent = self.session.intent(id, self.session.claims(resource), &changes)?;
                let look = Look::new(self.session.host);
                let restart = self.is_restart(&look, id, resource, &changes)?;
                let began = Instant::now();
                self.session.record(intent)?;
                self.say_changing(&changes);
                match self.session.with_cx(&look, id, |cx| resource.launch(cx, &changes)) {
                    Ok(true) => {
                        self.step_at_work(id).into_iter().for_each(|step| step.launched += 1);
                        let (position, rest) = (self.position, Vec::new());
                        return Ok(Some(Launched { entry, changes, restart, position, began, rest }));
                    }
                    Ok(false) => {
                        let applied = self.session.with_cx(&look, id, |cx| resource.apply(cx, &changes));
                        self.end_change(id, resource, applied, restart, began)?;
                    }
                    Err(error) => self.end_change(id, resource, Err(error), restart, began)?,
                }
                Ok(None)
            }
            Probe::Pending(why) => Err(Fault::new(
                Class::Verify,
                format!("{id} cannot be brought: {why} is not there"),
            )
            .advice(
                "nothing in the blueprint brings it before this step: add a step that does, or order them otherwise",
            )
            .into()),
            Probe::Hidden(why) => Err(Fault::new(Class::Permission, format!("{id} cannot be seen: {why}"))
                .advice("run it as root")
                .into()),
        }
    }

    /// All sets of packages in one transaction. The solver's own list goes into the intent: undo has to know what was new.
    pub(super) fn bring_packages(&mut self, sets: &[&Wanted]) -> Result<()> {
        self.session.check_stop()?;
        let stage = Stage::Packages;
        self.finish_packages(sets)?;
        let mut wanted: Vec<(&Wanted, Vec<Change>)> = Vec::new();
        for entry in sets {
            let (step, id, resource) = entry;
            self.session.bus.enter(Some(stage), Some(step), Some(id));
            match self.probe(id, resource.as_ref())? {
                Probe::InPlace(seen) => {
                    self.tally.in_place += 1;
                    self.session.bus.say(What::ResourceInPlace);
                    self.note_in_place(id, resource.as_ref(), &seen)?;
                }
                Probe::Changes(changes) => wanted.push((entry, changes)),
                Probe::Pending(why) | Probe::Hidden(why) => {
                    return Err(Fault::new(Class::Host, format!("{id} cannot be seen: {why}"))
                        .advice("run it as root")
                        .into());
                }
            }
        }
        let Some(((step, id, _), _)) = wanted.first() else { return Ok(()) };
        let (step, id) = (step.clone(), id.clone());
        // One transaction for all steps is no step's own.
        self.session.bus.enter(Some(stage), Some(plan::OWN_STEP), None);
        self.begin_step(stage, plan::OWN_STEP);
        self.session.bus.enter(Some(stage), Some(&step), Some(&id));
        let began = Instant::now();
        let sets: Vec<&dyn Resource> = wanted.iter().map(|((_, _, resource), _)| resource.as_ref()).collect();
        let look = Look::new(self.session.host);
        let solved = self.session.with_cx(&look, &id, |cx| resources::packages::solve(cx, &sets))?;
        let asked: Vec<String> =
            wanted.iter().flat_map(|(_, changes)| changes.iter().map(|change| change.item.clone())).collect();
        let extra = solved.into_iter().filter(|change| !asked.contains(&change.item));
        wanted[0].1.extend(extra);

        let mut intents = Vec::new();
        for ((_, id, resource), changes) in &wanted {
            intents.push(self.session.intent(id, self.session.claims(resource.as_ref()), changes)?);
        }
        self.session.record_all(intents)?;
        for ((step, id, _), changes) in &wanted {
            self.session.bus.enter(Some(stage), Some(step), Some(id));
            self.say_changing(changes);
        }
        self.session.bus.enter(Some(stage), Some(&step), Some(&id));
        let applied = self.session.with_cx(&look, &id, |cx| resources::packages::apply_together(cx, &sets));
        if let Err(error) = applied {
            let failed = |((_, id, _), _): &(&Wanted, Vec<Change>)| Record::Outcome {
                resource: id.clone(),
                result: Outcome::Failed,
            };
            let outcomes = wanted.iter().map(failed).collect();
            self.session.record_all(outcomes)?;
            return Err(error);
        }
        for ((step, id, resource), changes) in &wanted {
            self.session.bus.enter(Some(stage), Some(step), Some(id));
            let seen = self.seen_after(id, resource.as_ref())?;
            self.changed_things.extend(changes.iter().map(|change| change.item.replacen("package ", "package:", 1)));
            self.count(id, resource.as_ref(), seen, false)?;
            self.session.bus.say(What::ResourceChanged { took_ms: millis(began.elapsed()) });
        }
        Ok(())
    }

    /// A transaction of ours that was cut off is finished, also where each package of it is there: its triggers may not have run.
    fn finish_packages(&self, sets: &[&Wanted]) -> Result<()> {
        let begun = sets.iter().find(|(_, id, _)| self.session.state.begun(id));
        let Some((step, id, _)) = begun else { return Ok(()) };
        self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
        let sets: Vec<&dyn Resource> = sets.iter().map(|(_, _, resource)| resource.as_ref()).collect();
        let look = Look::new(self.session.host);
        self.session.with_cx(&look, id, |cx| resources::packages::finish(cx, &sets))
    }

    fn probe(&self, id: &str, resource: &dyn Resource) -> Result<Probe> {
        let look = Look::new(self.session.host);
        plan::prefetch(&look, std::iter::once(resource))?;
        plan::probe(&look, &self.session.state, &self.session.key, id, resource)
    }

    /// The verification: what was changed has to be seen in place.
    fn seen_after(&mut self, id: &str, resource: &dyn Resource) -> Result<Value> {
        match self.probe(id, resource).context("looking at it again after the change")? {
            Probe::InPlace(seen) => Ok(seen),
            other => {
                self.session.record(Record::Outcome { resource: id.to_owned(), result: Outcome::Failed })?;
                Err(Fault::new(Class::Verify, format!("{id} was changed and is not as wanted"))
                    .evidence(describe(&other))
                    .advice(
                        "something on the host puts it back, or the change had no effect: look at it, then --resume",
                    )
                    .into())
            }
        }
    }

    /// Is it a service that was right before and only takes up what this run changed elsewhere? Then it is no change of its own.
    fn is_restart(&self, look: &Look<'_>, id: &str, resource: &dyn Resource, changes: &[Change]) -> Result<bool> {
        let known = self.session.state.resources.get(id).is_some_and(|entry| entry.seen.is_some());
        if !known || !changes.iter().all(|change| matches!(change.item.as_str(), "configuration" | "running")) {
            return Ok(false);
        }
        self.session.with_cx(look, id, |cx| resource.follows(cx, &self.changed_things))
    }

    fn count(&mut self, id: &str, resource: &dyn Resource, seen: Value, restart: bool) -> Result<()> {
        let result = if restart { Outcome::Restarted } else { Outcome::Changed };
        let id = id.to_owned();
        self.session.record_all(vec![
            Record::Outcome { resource: id.clone(), result },
            Record::Seen { resource: id.clone(), seen },
        ])?;
        if restart {
            self.tally.restarted += 1;
        } else {
            self.tally.changed += 1;
            if let Some(step) = self.step_at_work(&id) {
                step.changed += 1;
            }
        }
        self.changed_things.extend(resource.claims().into_iter().map(|claim| claim.thing));
        Ok(())
    }

    /// Writes down what was found, where that is news.
    fn note_in_place(&mut self, id: &str, resource: &dyn Resource, seen: &Value) -> Result<()> {
        let entry = self.session.state.resources.get(id);
        let (known, open) = (entry.is_some(), entry.is_some_and(|entry| entry.open));
        let news = entry.and_then(|entry| entry.seen.as_ref()) != Some(seen);
        let claims = self.session.claims(resource);
        let other_claims = entry.is_some_and(|entry| entry.claims != claims);
        if !known || other_claims {
            self.session.record_later(Record::Found { resource: id.to_owned(), claims })?;
        }
        if open {
            self.session.record_later(Record::Outcome { resource: id.to_owned(), result: Outcome::InPlace })?;
        }
        if news {
            self.session.record_later(Record::Seen { resource: id.to_owned(), seen: seen.clone() })?;
        }
        Ok(())
    }

    /// Exit 0 means that every resource was seen in place, together, at the end.
    ///
    /// # Errors
    /// Class `verify`, where one is not.
    fn verify(&mut self) -> Result<()> {
        let facts = distro::Facts::gather(std::path::Path::new("/"))?;
        let plan = plan::make(self.expand, self.session.host, &facts, &self.session.state, &self.session.key)?;
        let mut wrong = Vec::new();
        for entry in &plan.entries {
            match &entry.probe {
                Probe::InPlace(seen) => self.note_in_place(&entry.id, entry.resource.as_ref(), seen)?,
                other => wrong.extend(describe(other).into_iter().map(|line| format!("{}: {line}", entry.id))),
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Fault::new(
            Class::Verify,
            format!("{} of {} resources are not in place at the end", wrong.len(), plan.entries.len()),
        )
        .evidence(wrong)
        .advice("something on the host, or a later step, changed them back: look at them, then --resume")
        .into())
    }

    fn say_changing(&self, changes: &[Change]) {
        let (n, of) = self.position.unwrap_or_default();
        self.session.bus.say(What::ResourceChanging { n, of, changes: told(changes) });
    }

    fn begin_step(&mut self, stage: Stage, id: &str) {
        if self.at_work.iter().any(|step| step.id == id && step.stage == stage) {
            return;
        }
        self.end_steps();
        let n = self.steps.iter().position(|step| step == id).map_or(0, |at| at + 1);
        self.session.bus.say(What::StepStarted { n, of: self.steps.len() });
        self.at_work.push(StepAtWork { stage, id: id.to_owned(), changed: 0, launched: 0, began: Instant::now() });
    }

    /// Ends the steps that have begun, but for those of which something was launched.
    fn end_steps(&mut self) {
        let steps: Vec<String> =
            self.at_work.iter().filter(|step| step.launched == 0).map(|step| step.id.clone()).collect();
        steps.iter().for_each(|step| self.end_step(step));
    }

    pub(super) fn end_step(&mut self, id: &str) {
        let Some(at) = self.at_work.iter().position(|step| step.id == id) else { return };
        let step = self.at_work.remove(at);
        let place = self.session.bus.place();
        self.session.bus.enter(Some(step.stage), Some(&step.id), None);
        self.session.bus.say(What::StepEnded { changed: step.changed, took_ms: millis(step.began.elapsed()) });
        self.session.bus.set_place(place);
    }

    pub(super) fn step_at_work(&mut self, id: &str) -> Option<&mut StepAtWork> {
        let step = id.split('/').next().unwrap_or_default();
        self.at_work.iter_mut().find(|at_work| at_work.id == step || at_work.id == plan::OWN_STEP)
    }
}

fn describe(probe: &Probe) -> Vec<String> {
    match probe {
        Probe::InPlace(_) => Vec::new(),
        Probe::Changes(changes) => {
            changes.iter().map(|change| format!("{}: {}", change.item, change.summary)).collect()
        }
        Probe::Pending(why) => vec![format!("waits for {why}")],
        Probe::Hidden(why) => vec![format!("hidden: {why}")],
    }
}

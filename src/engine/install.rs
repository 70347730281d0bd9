//! Brings the host to what the plan says: resource by resource, probe, intent, apply, probe, outcome.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use anyhow::{Context, Result};
use distro::{Class, Fault, Look};
use serde_json::Value;
use steps::{Change, Probe, Resource, Stage};

use super::event::{Place, What, millis};
use super::journal::{Outcome, Record};
use super::packages::services_first;
use super::plan::{self, Expand, Plan, Wanted};
use super::session::{Session, told};
use super::stage::Launched;
use super::state::State;
use super::uninstall::{self, Taken};

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

/// Where a run is: what it says happens at this place, and which resource of how many is in hand.
pub(super) type Here = (Place, Option<(usize, usize)>);

/// A run at work.
pub struct Install<'s, 'a> {
    pub(super) session: &'s mut Session<'a>,
    expand: &'s Expand<'s>,
    /// The states of the other products on this host.
    others: &'s mut HashMap<String, State>,
    /// So far.
    pub tally: Tally,
    /// Which resource is in hand, and of how many.
    pub position: Option<(usize, usize)>,
    /// How many resources had their turn, and how many there are.
    pub(super) turns: (usize, usize),
    /// Resources that were brought ahead of their stage.
    pub(super) ahead: BTreeSet<String>,
    /// Names of things that this run changed.
    pub(super) changed_things: Vec<String>,
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
    pub fn new(session: &'s mut Session<'a>, expand: &'s Expand<'s>, others: &'s mut HashMap<String, State>) -> Self {
        Self {
            session,
            expand,
            others,
            tally: Tally::default(),
            position: None,
            turns: (0, 0),
            ahead: BTreeSet::new(),
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
        self.turns = (0, plan.entries.len());
        let mut launched = VecDeque::new();
        if let Err(error) = self.bring_stages(&plan, &mut launched) {
            self.give_up_on(launched);
            return Err(error);
        }
        self.position = None;
        self.session.bus.enter(Some(Stage::Verify), None, None);
        self.verify()
    }

    fn bring_stages(&mut self, plan: &Plan, launched: &mut VecDeque<Launched>) -> Result<()> {
        let services = services_first(plan);
        for stage in Stage::ALL {
            let entries = self.wanted(stage)?;
            self.session.bus.enter(Some(stage), None, None);
            if plan.has_work(stage) {
                self.session.bus.say(What::StageStarted);
            }
            match stage {
                Stage::Packages => self.bring_packages(entries, plan, &services, launched)?,
                _ => self.bring_stage(stage, entries, launched)?,
            }
            self.end_steps();
        }
        Ok(())
    }

    /// Takes back what other resources took the place of.
    pub(super) fn drop_replaced(&mut self, plan: &Plan) -> Result<()> {
        if plan.replaced.is_empty() {
            return Ok(());
        }
        let here = self.here();
        let mut taken = Taken::default();
        uninstall::take_back(self.session, &|id| plan.is_going(id), false, self.others, &mut taken)?;
        self.tally.changed += plan.replaced.len();
        self.go_to(here);
        Ok(())
    }

    /// What the blueprint asks for in `stage`, with the facts of this moment: what was installed before may have changed them.
    pub(super) fn wanted(&self, stage: Stage) -> Result<Vec<Wanted>> {
        let facts = distro::Facts::gather(std::path::Path::new("/"))?;
        let (_, mut entries) = plan::expand(self.expand, &facts)?;
        entries.retain(|(_, id, resource)| resource.stage() == stage && !self.ahead.contains(id));
        Ok(entries)
    }

    pub(super) fn here(&self) -> Here {
        (self.session.bus.place(), self.position)
    }

    pub(super) fn go_to(&mut self, (place, position): Here) {
        self.session.bus.set_place(place);
        self.position = position;
    }

    /// It is the next one's turn.
    pub(super) fn next_turn(&mut self) {
        self.turns.0 += 1;
        self.position = Some(self.turns);
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
    pub(super) fn bring(&mut self, stage: Stage, entry: Wanted) -> Result<Option<Launched>> {
        let (step, id, resource) = &entry;
        self.session.check_stop()?;
        self.session.bus.enter(Some(stage), Some(step), Some(id));
        let resource = resource.as_ref();
        match self.probe(id, resource)? {
            Probe::InPlace(seen) => self.pass(id, resource, &seen).map(|()| None),
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
                        self.step_at_work(stage, id).into_iter().for_each(|step| step.launched += 1);
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

    pub(super) fn probe(&self, id: &str, resource: &dyn Resource) -> Result<Probe> {
        let look = Look::new(self.session.host);
        plan::prefetch(&look, std::iter::once(resource))?;
        plan::probe(&look, &self.session.state, &self.session.key, id, resource, &[])
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
            if let Some(step) = self.step_at_work(resource.stage(), &id) {
                step.changed += 1;
            }
        }
        self.changed_things.extend(resource.claims().into_iter().map(|claim| claim.thing));
        Ok(())
    }

    /// It was in place when it was its turn.
    pub(super) fn pass(&mut self, id: &str, resource: &dyn Resource, seen: &Value) -> Result<()> {
        self.tally.in_place += 1;
        self.session.bus.say(What::ResourceInPlace);
        self.note_in_place(id, resource, seen)
    }

    /// Writes down what was found, where that is news.
    fn note_in_place(&mut self, id: &str, resource: &dyn Resource, seen: &Value) -> Result<()> {
        let entry = self.session.state.resources.get(id);
        let (known, open) = (entry.is_some(), entry.is_some_and(|entry| entry.open));
        let news = entry.and_then(|entry| entry.seen.as_ref()) != Some(seen);
        let claims = self.session.claims(resource);
        let other_claims = entry.is_some_and(|entry| entry.idle || entry.claims != claims);
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

    pub(super) fn say_changing(&self, changes: &[Change]) {
        let (n, of) = self.position.unwrap_or_default();
        self.session.bus.say(What::ResourceChanging { n, of, changes: told(changes) });
    }

    pub(super) fn begin_step(&mut self, stage: Stage, id: &str) {
        if self.at_work.iter().any(|step| step.id == id && step.stage == stage) {
            return;
        }
        self.end_steps();
        let n = self.steps.iter().position(|step| step == id).map_or(0, |at| at + 1);
        self.session.bus.say(What::StepStarted { n, of: self.steps.len() });
        self.at_work.push(StepAtWork { stage, id: id.to_owned(), changed: 0, launched: 0, began: Instant::now() });
    }

    /// Ends the steps that have begun, but for those of which something was launched.
    pub(super) fn end_steps(&mut self) {
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

    /// The step of the resource `id`, or what does the same for all steps.
    pub(super) fn step_at_work(&mut self, stage: Stage, id: &str) -> Option<&mut StepAtWork> {
        let step = id.split('/').next().unwrap_or_default();
        let is_its = |at_work: &&mut StepAtWork| at_work.id == step || at_work.id == plan::OWN_STEP;
        self.at_work.iter_mut().filter(|at_work| at_work.stage == stage).find(is_its)
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

//! Packages, in one transaction, or in two where services come up, or downloads go on, in between.

use std::cell::Cell;
use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Result;
use distro::{Class, Fault, Look};
use steps::{Change, Memory, Probe, Resource, Stage, resources};

use super::install::Install;
use super::journal::{Outcome, Record};
use super::plan::{OWN_STEP, Plan, Wanted};
use super::stage::Launched;

/// A set of packages, what installing it changes, and which turn is its own.
struct Set {
    entry: Wanted,
    changes: Vec<Change>,
    position: Option<(usize, usize)>,
}

/// Steps at the head of a plan that are a service with its packages and need nothing of other steps.
pub(super) struct ServicesFirst {
    steps: Vec<String>,
    /// Those of them that take long to come up.
    slow: Vec<String>,
}

pub(super) fn services_first(plan: &Plan) -> ServicesFirst {
    let mut first = ServicesFirst { steps: Vec::new(), slow: Vec::new() };
    for step in &plan.steps {
        let of_step = || {
            let entries = plan.entries.iter().filter(|entry| entry.step == step.id);
            entries.map(|entry| entry.resource.as_ref()).filter(|resource| resource.stage() >= Stage::Packages)
        };
        if of_step().next().is_none() {
            continue;
        }
        let is_independent_service =
            |resource: &dyn Resource| resource.sort() == "service" && resource.is_independent();
        if !of_step().any(|resource| resource.packages().is_some()) || !of_step().any(is_independent_service) {
            break;
        }
        first.steps.push(step.id.clone());
        if of_step().any(Resource::is_slow) {
            first.slow.push(step.id.clone());
        }
    }
    first
}

impl Install<'_, '_> {
    /// All sets of packages. The solver's own list goes into the intent: undo has to know what was new.
    pub(super) fn bring_packages(
        &mut self,
        sets: Vec<Wanted>,
        services: &ServicesFirst,
        launched: &mut VecDeque<Launched>,
    ) -> Result<()> {
        self.session.check_stop()?;
        self.finish_packages(&sets)?;
        let mut wanted = self.missing_sets(sets)?;
        let Some(first) = wanted.first() else { return Ok(()) };
        let (step, id, _) = &first.entry;
        let (step, id) = (step.clone(), id.clone());
        self.position = first.position;
        // One transaction for all steps is no step's own.
        self.session.bus.enter(Some(Stage::Packages), Some(OWN_STEP), None);
        self.begin_step(Stage::Packages, OWN_STEP);
        self.session.bus.enter(Some(Stage::Packages), Some(&step), Some(&id));
        let (host, manager) = (self.session.host, self.session.host.packages());
        // Servers are not asked how far they are where there is nothing to be fetched later.
        let may_wait = wanted.len() > 1 && manager.installs_in_turns();
        let (solved, is_ahead) = std::thread::scope(|scope| {
            let asked = may_wait.then(|| scope.spawn(|| manager.fetches_ahead(host)));
            let look = Look::new(host);
            let solved = self.session.with_cx(&look, &id, |cx| resources::packages::solve(cx, &of(&wanted)));
            (solved, asked.map(|asked| asked.join().unwrap_or(Ok(false))))
        });
        let ((solved, archives), is_ahead) = (solved?, is_ahead.transpose()?.unwrap_or(false));
        let asked: Vec<String> =
            wanted.iter().flat_map(|set| set.changes.iter().map(|change| change.item.clone())).collect();
        let extra = solved.into_iter().filter(|change| !asked.contains(&change.item));
        wanted[0].changes.extend(extra);

        let mut intents = Vec::new();
        for Set { entry: (_, id, resource), changes, .. } in &wanted {
            intents.push(self.session.intent(id, self.session.claims(resource.as_ref()), changes)?);
        }
        self.session.record_all(intents)?;

        let first = if may_wait { put_first(&mut wanted, services, is_ahead) } else { 0 };
        let (now, later) = wanted.split_at(first);
        if now.is_empty() || later.is_empty() {
            return self.install_sets(&wanted, &wanted, &|| ());
        }
        let fetching = Cell::new(None);
        self.install_sets(now, &wanted, &|| {
            fetching.set(is_ahead.then(|| manager.fetch_ahead(self.session.host, archives.clone())));
        })?;
        let of_step = |sets: &[Set], step: &str| sets.iter().any(|set| set.entry.0 == step);
        let installed = |step: &&String| of_step(now, step) && !of_step(later, step);
        self.bring_ahead(&services.steps.iter().filter(installed).collect::<Vec<_>>(), launched)?;
        if let Some(fetching) = fetching.take() {
            // Whatever became of it: what is not there is fetched by its own transaction.
            fetching.join().ok();
        }
        self.install_sets(later, &wanted, &|| ())
    }

    /// The sets of which something is missing, with what is to be done.
    fn missing_sets(&mut self, sets: Vec<Wanted>) -> Result<Vec<Set>> {
        let mut missing = Vec::new();
        for entry in sets {
            let (step, id, resource) = &entry;
            self.next_turn();
            self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
            match self.probe(id, resource.as_ref())? {
                Probe::InPlace(seen) => self.pass(id, resource.as_ref(), &seen)?,
                Probe::Changes(changes) => missing.push(Set { entry, changes, position: self.position }),
                Probe::Pending(why) | Probe::Hidden(why) => {
                    return Err(Fault::new(Class::Host, format!("{id} cannot be seen: {why}"))
                        .advice("run it as root")
                        .into());
                }
            }
        }
        Ok(missing)
    }

    /// Installs `sets` in one transaction; units of `held` are not started.
    fn install_sets(&mut self, sets: &[Set], held: &[Set], begun: &dyn Fn()) -> Result<()> {
        self.session.check_stop()?;
        let Some(Set { entry: (step, id, _), position, .. }) = sets.first() else { return Ok(()) };
        let began = Instant::now();
        self.session.bus.enter(Some(Stage::Packages), Some(OWN_STEP), None);
        self.begin_step(Stage::Packages, OWN_STEP);
        for Set { entry: (step, id, _), changes, position } in sets {
            self.position = *position;
            self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
            self.say_changing(changes);
        }
        self.position = *position;
        self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
        let look = Look::new(self.session.host);
        let applied =
            self.session.with_cx(&look, id, |cx| resources::packages::apply_together(cx, &of(sets), &of(held), begun));
        if let Err(error) = applied {
            let failed = |set: &Set| Record::Outcome { resource: set.entry.1.clone(), result: Outcome::Failed };
            self.session.record_all(sets.iter().map(failed).collect())?;
            return Err(error);
        }
        for Set { entry: (step, id, resource), changes, position } in sets {
            self.position = *position;
            self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
            self.changed_things.extend(changes.iter().map(|change| change.item.replacen("package ", "package:", 1)));
            self.end_change(id, resource.as_ref(), Ok(()), false, began)?;
        }
        Ok(())
    }

    /// Brings the services of `steps`, whose packages are there; a slow one as far as it comes without waiting for it, and the rest of its step
    /// in its own stage. Another is waited for, so that what comes after its start, such as the first user of a database that lets everybody make
    /// one, does not wait for packages.
    fn bring_ahead(&mut self, steps: &[&String], launched: &mut VecDeque<Launched>) -> Result<()> {
        for entry in self.wanted(Stage::Configure)?.into_iter().filter(|(step, ..)| steps.contains(&step)) {
            if launched.iter().any(|one| one.entry.0 == entry.0) {
                continue;
            }
            self.ahead.insert(entry.1.clone());
            self.next_turn();
            match self.bring(Stage::Configure, entry)? {
                Some(one) if one.entry.2.is_slow() => launched.push_back(one),
                Some(one) => self.wait_for(Stage::Configure, &one)?,
                None => (),
            }
        }
        Ok(())
    }

    /// A transaction of ours that was cut off is finished, also where each package of it is there: its triggers may not have run.
    fn finish_packages(&self, sets: &[Wanted]) -> Result<()> {
        let begun = sets.iter().find(|(_, id, _)| self.session.state.begun(id));
        let Some((step, id, _)) = begun else { return Ok(()) };
        self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
        let sets: Vec<&dyn Resource> = sets.iter().map(|(_, _, resource)| resource.as_ref()).collect();
        let look = Look::new(self.session.host);
        self.session.with_cx(&look, id, |cx| resources::packages::finish(cx, &sets))
    }
}

fn of(sets: &[Set]) -> Vec<&dyn Resource> {
    sets.iter().map(|set| set.entry.2.as_ref()).collect()
}

/// Puts those of `sets` first that go first, and says how many they are: slow services and what is before them, so that they come up while the
/// rest is installed; half of all where that gives time to fetch the rest. Where it is fetched meanwhile, what is light goes with the first:
/// dpkg would else do nothing until the last of what is large is there.
fn put_first(sets: &mut [Set], services: &ServicesFirst, is_ahead: bool) -> usize {
    let Some(last) = sets.iter().rposition(|set| services.slow.contains(&set.entry.0)) else {
        return if is_ahead { sets.len() / 2 } else { 0 };
    };
    let first = last + 1;
    let is_light = |set: &Set| is_ahead && set.entry.2.packages().is_some_and(|packages| packages.light);
    sets[first..].sort_by_key(|set| !is_light(set));
    first + sets[first..].iter().filter(|set| is_light(set)).count()
}

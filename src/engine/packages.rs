//! Packages, in one transaction or in two; meanwhile services come up, and downloads go on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use distro::packages::{Moment, Package};
use distro::patience::wait_until;
use distro::{Class, Fault, Look, guard, services};
use steps::{Change, Memory, Probe, Resource, Stage, Undo, resources};

use super::install::{Here, Install};
use super::journal::{Outcome, Record};
use super::plan::{OWN_STEP, Plan, Wanted};
use super::stage::Launched;

/// How long a package that is said to be configured may not be written down as such, and how often that is looked at.
const WRITING: Duration = Duration::from_secs(10);
const WRITING_INTERVAL: Duration = Duration::from_millis(5);

/// A set of packages, what installing it changes, and which turn is its own.
struct Set {
    entry: Wanted,
    changes: Vec<Change>,
    /// Those of its packages that are missing.
    names: Vec<String>,
    /// Is none of them there in another version?
    is_new: bool,
    position: Option<(usize, usize)>,
}

/// What becomes of services while a transaction goes on.
struct Meanwhile<'m, 's, 'a> {
    install: &'m mut Install<'s, 'a>,
    launched: &'m mut VecDeque<Launched>,
    services: &'m ServicesFirst,
    now: &'m [Set],
    later: &'m [Set],
    installed: BTreeSet<String>,
    /// Steps that were to be brought.
    tried: BTreeSet<String>,
    /// What failed, and where.
    done: Result<(), (Error, Here)>,
}

impl Meanwhile<'_, '_, '_> {
    /// `package` is configured: as when packages start their services themselves, dpkg may still be at work on others. Services that are upgraded
    /// start when all is.
    fn installed(&mut self, package: &str) {
        self.installed.insert(package.to_owned());
        let is_there = |set: &Set| set.is_new && set.names.iter().all(|name| self.installed.contains(name));
        let steps: Vec<String> = self
            .services
            .whole_with(self.now, self.later)
            .filter(|step| !self.tried.contains(*step))
            .filter(|step| self.now.iter().filter(|set| set.entry.0 == **step).all(is_there))
            .cloned()
            .collect();
        // Who was asked to stop begins nothing more.
        if steps.is_empty() || self.done.is_err() || self.install.session.check_stop().is_err() {
            return;
        }
        let of_packages = self.install.here();
        match self.bring(&steps) {
            Ok(()) => (),
            // dpkg has what it needs in hand once more, for its triggers: it is brought when dpkg is done.
            Err(error) if Fault::class_of(&error) == Class::Verify => {
                let what = self.install.here().0.resource.unwrap_or_default();
                self.install.session.host.runner.note(&format!("{what} waits until dpkg is done: {error:#}"));
            }
            Err(error) => self.done = Err((error, self.install.here())),
        }
        self.tried.extend(steps);
        self.install.end_steps();
        self.install.go_to(of_packages);
    }

    /// Brings the services of `steps`; not where dpkg takes too long to write down that they are there.
    fn bring(&mut self, steps: &[String]) -> Result<()> {
        let sets: Vec<&Set> = self.now.iter().filter(|set| steps.contains(&set.entry.0)).collect();
        // dpkg tells it, and then writes it down.
        let written = wait_until(WRITING, WRITING_INTERVAL, |_| {
            let names: Vec<&String> = sets.iter().flat_map(|set| &set.names).collect();
            let known = Look::new(self.install.session.host).packages(&names)?;
            let is_there = |name: &&String| known.get(*name).is_some_and(Package::is_usable);
            Ok(names.iter().all(is_there).then_some(()))
        })?;
        if written.is_none() {
            return Ok(());
        }
        // One may start another: none of a step is masked any more when its first is started.
        let units: Vec<String> = sets.iter().flat_map(|set| set.entry.2.units()).collect();
        services::unmask_runtime(self.install.session.host, &units)?;
        self.install.changed_things.extend(sets.iter().flat_map(|set| things(&set.changes)));
        self.install.bring_ahead(steps, self.later.is_empty(), self.launched)?;
        for set in sets.iter().filter(|set| self.launched.iter().all(|one| one.entry.0 != set.entry.0)) {
            guard::let_go(&set.entry.2.units())?;
        }
        Ok(())
    }
}

/// Steps at the head of a plan that are a service with its packages and need nothing of other steps.
pub(super) struct ServicesFirst {
    steps: Vec<String>,
    /// Those of them that take long to come up.
    slow: Vec<String>,
}

impl ServicesFirst {
    /// Steps of which `now` brings the last missing packages.
    fn whole_with<'s>(&'s self, now: &'s [Set], later: &'s [Set]) -> impl Iterator<Item = &'s String> {
        let of_step = |sets: &[Set], step: &str| sets.iter().any(|set| set.entry.0 == step);
        self.steps.iter().filter(move |step| of_step(now, step) && !of_step(later, step))
    }
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
        plan: &Plan,
        services: &ServicesFirst,
        launched: &mut VecDeque<Launched>,
    ) -> Result<()> {
        self.session.check_stop()?;
        self.finish_packages(&sets)?;
        // Before anything comes: a key that is not pinned any more lets no package in.
        self.drop_replaced(plan)?;
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
        if first == 0 || first == wanted.len() {
            return self.install_sets(&wanted, 0..wanted.len(), services, launched, &|| ());
        }
        let fetching = Cell::new(None);
        self.install_sets(&wanted, 0..first, services, launched, &|| {
            fetching.set(is_ahead.then(|| manager.fetch_ahead(host, archives.clone())));
        })?;
        if let Some(fetching) = fetching.take() {
            // Whatever became of it: what is not there is fetched by its own transaction.
            fetching.join().ok();
        }
        self.install_sets(&wanted, first..wanted.len(), services, launched, &|| ())
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
                Probe::Changes(changes) => {
                    let names = changes.iter().filter_map(|change| change.item.strip_prefix("package "));
                    let names = names.map(str::to_owned).collect();
                    let is_new = changes.iter().all(|change| matches!(change.undo, Undo::RemovePackage { .. }));
                    missing.push(Set { entry, changes, names, is_new, position: self.position });
                }
                Probe::Pending(why) | Probe::Hidden(why) => {
                    return Err(Fault::new(Class::Host, format!("{id} cannot be seen: {why}"))
                        .advice("run it as root")
                        .into());
                }
            }
        }
        Ok(missing)
    }

    /// Installs those of `sets` in `range` in one transaction, and calls `fetched` when everything for it is; of none a unit is started by its package
    /// before it was brought. The services of steps that need no more packages come up meanwhile, or after it, where others are still to be
    /// installed.
    fn install_sets(
        &mut self,
        sets: &[Set],
        range: Range<usize>,
        services: &ServicesFirst,
        launched: &mut VecDeque<Launched>,
        fetched: &dyn Fn(),
    ) -> Result<()> {
        self.session.check_stop()?;
        let (now, later) = (&sets[range.clone()], &sets[range.end..]);
        let Some(Set { entry: (step, id, _), position, .. }) = now.first() else { return Ok(()) };
        let began = Instant::now();
        self.session.bus.enter(Some(Stage::Packages), Some(OWN_STEP), None);
        self.begin_step(Stage::Packages, OWN_STEP);
        for Set { entry: (step, id, _), changes, position, .. } in now {
            self.position = *position;
            self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
            self.say_changing(changes);
        }
        self.position = *position;
        self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
        self.step_at_work(Stage::Packages, id).into_iter().for_each(|step| step.launched += 1);
        // What an earlier transaction brought is let go, but for what still comes up.
        let brought: BTreeSet<&String> = services.whole_with(&sets[..range.start], &sets[range.start..]).collect();
        let is_free =
            |set: &Set| brought.contains(&set.entry.0) && launched.iter().all(|one| one.entry.0 != set.entry.0);
        let held = of(sets.iter().filter(|set| !is_free(set)));
        let apart = self.session.apart();
        let meanwhile = RefCell::new(Meanwhile {
            install: &mut *self,
            launched: &mut *launched,
            services,
            now,
            later,
            installed: BTreeSet::new(),
            tried: BTreeSet::new(),
            done: Ok(()),
        });
        let applied = apart.with_cx(id, |cx| {
            resources::packages::apply_together(cx, &of(now), &held, &|moment| match moment {
                Moment::Fetched => fetched(),
                Moment::Installed(package) => meanwhile.borrow_mut().installed(package),
            })
        });
        let done = meanwhile.into_inner().done;
        self.step_at_work(Stage::Packages, id).into_iter().for_each(|step| step.launched -= 1);
        let ended = match applied {
            Ok(()) => self.end_sets(now, began),
            Err(error) => {
                let failed = |set: &Set| Record::Outcome { resource: set.entry.1.clone(), result: Outcome::Failed };
                self.session.record_all(now.iter().map(failed).collect())?;
                Err(error)
            }
        };
        match (ended, done) {
            (Ok(()), Ok(())) => {}
            (Ok(()), Err((error, here))) => {
                self.go_to(here);
                return Err(error);
            }
            (Err(error), done) => {
                if let Err((other, _)) = done {
                    self.session.bus.warn(format!("meanwhile something else failed, too: {other:#}"));
                }
                return Err(error);
            }
        }
        if later.is_empty() {
            return Ok(());
        }
        self.end_step(OWN_STEP);
        // What was not brought meanwhile.
        self.bring_ahead(&services.whole_with(now, later).cloned().collect::<Vec<_>>(), false, launched)
    }

    /// `sets` were installed: each is seen in place.
    fn end_sets(&mut self, sets: &[Set], began: Instant) -> Result<()> {
        for Set { entry: (step, id, resource), changes, position, .. } in sets {
            self.position = *position;
            self.session.bus.enter(Some(Stage::Packages), Some(step), Some(id));
            self.changed_things.extend(things(changes));
            self.end_change(id, resource.as_ref(), Ok(()), false, began)?;
        }
        Ok(())
    }

    /// Brings the services of `steps`, whose packages are there, as far as they come without waiting for a slow one, and the rest of its step in its
    /// own stage. Another is waited for, so that what comes after its start, such as the first user of a database that lets everybody make one,
    /// does not wait for packages; where these are the `last` ones, not for one that answers before its service manager is done with it.
    fn bring_ahead(&mut self, steps: &[String], last: bool, launched: &mut VecDeque<Launched>) -> Result<()> {
        for entry in self.wanted(Stage::Configure)?.into_iter().filter(|(step, ..)| steps.contains(step)) {
            if launched.iter().any(|one| one.entry.0 == entry.0) {
                continue;
            }
            let id = entry.1.clone();
            self.ahead.insert(id.clone());
            self.next_turn();
            let brought = match self.bring(Stage::Configure, entry) {
                Ok(Some(one)) if one.entry.2.is_slow() || last && self.answers(Stage::Configure, &one) => {
                    launched.push_back(one);
                    Ok(())
                }
                Ok(Some(one)) => self.wait_for(Stage::Configure, &one),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = brought {
                self.ahead.remove(&id);
                self.turns.0 -= 1;
                return Err(error);
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

/// What `changes` of packages change, as claims name it.
fn things(changes: &[Change]) -> impl Iterator<Item = String> {
    changes.iter().map(|change| change.item.replacen("package ", "package:", 1))
}

fn of<'s>(sets: impl IntoIterator<Item = &'s Set>) -> Vec<&'s dyn Resource> {
    sets.into_iter().map(|set| set.entry.2.as_ref()).collect()
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

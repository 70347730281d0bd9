//! The plan: steps and resources with their probes, before anything is touched.

use std::collections::hash_map::Entry as Entered;
use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result};
use distro::packages::Manager;
use distro::{Class, Facts, Fault, Host, Look};
use steps::resources::index::Index;
use steps::{Cx, Probe, Resource, Stage, resource::id_of};

use super::journal::Record;
use super::state::State;
use crate::blueprint::ExpandedStep;

/// Step id of what the engine itself adds.
pub const OWN_STEP: &str = "packages";

/// A resource of the plan.
#[derive(Debug)]
pub struct Entry {
    /// Id of its step.
    pub step: String,
    /// `step/type:key`.
    pub id: String,
    /// What it is.
    pub resource: Box<dyn Resource>,
    /// What its probe said.
    pub probe: Probe,
}

/// A step of the plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// Id.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// The condition that leaves it out.
    pub skipped_by: Option<String>,
}

/// All steps and resources, with their probes, in the order in which they are brought.
#[derive(Debug, Default)]
pub struct Plan {
    /// Steps, in the order of the blueprint.
    pub steps: Vec<Step>,
    /// Resources, by stage and then in the order of the blueprint.
    pub entries: Vec<Entry>,
    /// Resources of the journal that the blueprint no longer names, and of which there is something to take back.
    pub orphans: Vec<String>,
    /// Those whose place another resource takes: they are taken back without being asked for.
    pub replaced: Vec<String>,
    /// Those of which there is not: they are forgotten.
    pub bygone: Vec<String>,
}

/// What is asked for and not looked at yet: step, `step/type:key`, resource.
pub type Wanted = (String, String, Box<dyn Resource>);

/// Says what the blueprint asks for on a host with these facts.
pub type Expand<'a> = dyn Fn(&Facts) -> Result<Vec<ExpandedStep>> + 'a;

/// What is asked of the blueprint, in the order in which it is brought; nothing is probed yet.
///
/// # Errors
/// Class `blueprint` or `unsupported`; two resources of the same identity.
pub fn expand(expand: &Expand<'_>, facts: &Facts) -> Result<(Vec<Step>, Vec<Wanted>)> {
    let mut steps = Vec::new();
    let mut resources: Vec<Wanted> = Vec::new();
    let (mut ids, mut things) = (BTreeSet::new(), HashMap::new());
    for step in expand(facts)? {
        for resource in step.resources {
            let id = id_of(&step.id, resource.as_ref());
            if !ids.insert(id.clone()) {
                return Err(Fault::new(Class::Blueprint, format!("step '{}' asks for {id} twice", step.id))
                    .advice("give the second one another key, or leave it out")
                    .into());
            }
            refuse_contradiction(&mut things, &step.id, resource.as_ref())?;
            resources.push((step.id.clone(), id, resource));
        }
        steps.push(Step { id: step.id, kind: step.kind, skipped_by: step.skipped_by });
    }
    let manager = Manager::of(facts).unwrap_or(Manager::Apt);
    if let Some(index) = index(manager, &resources) {
        resources.push((OWN_STEP.to_owned(), id_of(OWN_STEP, &index), Box::new(index)));
    }
    resources.sort_by_key(|(_, _, resource)| resource.stage());
    Ok((steps, resources))
}

/// By the sort of a resource and the thing that it claims: the first step that does, and a digest of what that wants.
type Things = HashMap<(&'static str, String), (String, String)>;

/// Two steps that want a file, a key of one, the name of a site or a role for themselves, each in its own way, would take turns at it for ever. `things` are those of
/// the steps before.
fn refuse_contradiction(things: &mut Things, step: &str, resource: &dyn Resource) -> Result<()> {
    let single = ["file:", "key:", "site:", "postgresql:"];
    for claim in resource.claims() {
        if !single.iter().any(|kind| claim.thing.starts_with(kind)) {
            continue;
        }
        let wants = steps::digest(&[], &claim.wants);
        // What is edited by key may be made by another resource.
        match things.entry((resource.sort(), claim.thing)) {
            Entered::Vacant(free) => drop(free.insert((step.to_owned(), wants))),
            Entered::Occupied(taken) if taken.get().0 != step && taken.get().1 != wants => {
                let (other, thing) = (&taken.get().0, &taken.key().1);
                let message = format!("steps '{other}' and '{step}' want one thing to be different: {thing}");
                return Err(Fault::new(Class::Blueprint, message)
                    .advice("a host has one of it: leave one of the two out, or let both say the same")
                    .into());
            }
            Entered::Occupied(_) => {}
        }
    }
    Ok(())
}

/// The package index, where packages are asked for.
fn index(manager: Manager, resources: &[Wanted]) -> Option<Index> {
    let packages: Vec<String> =
        resources.iter().filter_map(|(_, _, resource)| resource.packages()).flat_map(|set| set.names.clone()).collect();
    let repositories = resources.iter().filter_map(|(_, _, resource)| resource.repository()).collect();
    (!packages.is_empty()).then_some(Index { manager, repositories, packages })
}

/// Expands and probes.
///
/// # Errors
/// As [`expand`], and where a probe had no answer that it should have had.
pub fn make(blueprint: &Expand<'_>, host: &Host, facts: &Facts, state: &State, key: &[u8]) -> Result<Plan> {
    let (steps, resources) = expand(blueprint, facts)?;
    let look = Look::new(host);
    prefetch(&look, resources.iter().map(|(_, _, resource)| resource.as_ref()))?;
    let (mut entries, mut changing) = (Vec::new(), Vec::new());
    for (step, id, resource) in resources {
        let probe = probe(&look, state, key, &id, resource.as_ref(), &changing)?;
        if let Probe::Changes(_) = probe {
            let files =
                resource.claims().into_iter().map(|claim| claim.thing).filter(|thing| thing.starts_with("file:"));
            changing.extend(files);
        }
        entries.push(Entry { step, id, resource, probe });
    }
    let mut unnamed: Vec<String> =
        state.resources.keys().filter(|id| !entries.iter().any(|entry| entry.id == **id)).cloned().collect();
    unnamed.sort();
    let (left, bygone): (Vec<String>, Vec<String>) = unnamed.into_iter().partition(|id| state.has_to_undo(id));
    let named = || entries.iter().map(|entry| (entry.step.as_str(), entry.resource.as_ref()));
    let (replaced, orphans) = left.into_iter().partition(|id| is_replaced(id, named()));
    Ok(Plan { steps, entries, orphans, replaced, bygone })
}

/// Is there one among `named`, each with its step, that takes the place of what was called `id`?
fn is_replaced<'r>(id: &str, mut named: impl Iterator<Item = (&'r str, &'r dyn Resource)>) -> bool {
    let Some((was_of, (sort, key))) = id.split_once('/').and_then(|(step, rest)| Some((step, rest.split_once(':')?)))
    else {
        return false;
    };
    named.any(|(step, resource)| step == was_of && resource.takes_the_place_of(sort, key))
}

/// Asks at once what several probes will ask.
pub fn prefetch<'r>(look: &Look<'_>, resources: impl Iterator<Item = &'r dyn Resource>) -> Result<()> {
    let (mut units, mut names) = (Vec::new(), Vec::new());
    for resource in resources {
        // Those of packages are asked about where one is to be upgraded.
        units.extend(resource.packages().is_none().then(|| resource.units()).into_iter().flatten());
        names.extend(resource.packages().into_iter().flat_map(|set| set.names.iter().cloned()));
    }
    look.packages(names)?;
    look.units(&units)
}

/// Context of an error: which resource was looked at.
#[derive(Clone, Debug)]
pub struct LookingAt(pub String);

impl std::fmt::Display for LookingAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "looking at {}", self.0)
    }
}

/// Probes one resource; `changing`: names of claims that are changed before its turn.
///
/// # Errors
/// Where it had no answer that it should have had.
pub fn probe(
    look: &Look<'_>,
    state: &State,
    key: &[u8],
    id: &str,
    resource: &dyn Resource,
    changing: &[String],
) -> Result<Probe> {
    let cx = Cx { host: look.host, look, memory: state, key, id, changing, survivor: &|_| Ok(()) };
    let probe = resource.probe(&cx).with_context(|| LookingAt(id.to_owned()))?;
    Ok(match probe {
        Probe::Changes(changes) if changes.is_empty() => Probe::InPlace(serde_json::Value::Null),
        other => other,
    })
}

impl Plan {
    /// Is everything in place?
    pub fn is_done(&self) -> bool {
        self.replaced.is_empty() && self.entries.iter().all(|entry| matches!(entry.probe, Probe::InPlace(_)))
    }

    /// Is `id` to be taken back in any case, or is there nothing of it to be taken back? Neither of these keeps from going what the other has.
    pub fn is_going(&self, id: &str) -> bool {
        self.replaced.iter().chain(&self.bygone).any(|going| going == id)
    }

    /// Names of files, packages, units that two products want to be different.
    ///
    /// # Errors
    /// Class `conflict`, naming all of them.
    pub fn refuse_conflicts(&self, others: &HashMap<String, State>, key: &[u8]) -> Result<()> {
        let mut conflicts = Vec::new();
        let mut first = None;
        for entry in &self.entries {
            for claim in entry.resource.claims() {
                let ours = steps::digest(key, &claim.wants);
                for (product, state) in others {
                    if let Some((resource, theirs)) = state.wants(&claim.thing)
                        && theirs != ours
                    {
                        first.get_or_insert(&entry.id);
                        conflicts.push(format!(
                            "{}: {} wants it otherwise than {product} ({resource})",
                            claim.thing, entry.id
                        ));
                    }
                }
            }
        }
        conflicts.sort();
        conflicts.dedup();
        let Some(first) = first else { return Ok(()) };
        let what = if conflicts.len() == 1 { "one thing" } else { "several things" };
        Err(Fault::new(Class::Conflict, format!("another product on this host wants {what} to be different"))
            .evidence(conflicts)
            .advice("change the inputs of one of the two, or uninstall the other product first"))
        .with_context(|| LookingAt(first.clone()))
    }

    /// Stages in which something may have to be done.
    pub fn has_work(&self, stage: Stage) -> bool {
        self.entries.iter().any(|entry| entry.resource.stage() == stage && !matches!(entry.probe, Probe::InPlace(_)))
    }

    /// Digest of everything that the plan would do, keyed with `salt`. The same blueprint, inputs and host give the same one.
    pub fn digest(&self, salt: &[u8]) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let answer = match &entry.probe {
                Probe::InPlace(_) => "in place".to_owned(),
                Probe::Pending(why) => format!("pending {why}"),
                Probe::Hidden(why) => format!("hidden {why}"),
                Probe::Changes(changes) => {
                    let told: Vec<String> =
                        changes.iter().map(|change| format!("{}: {}", change.item, change.summary)).collect();
                    told.join("; ")
                }
            };
            text.push_str(&format!("{} = {answer}\n", entry.id));
            for claim in entry.resource.claims() {
                text.push_str(&format!("  {} {}\n", claim.thing, steps::digest(salt, &claim.wants)));
            }
        }
        for orphan in &self.orphans {
            text.push_str(&format!("orphan {orphan}\n"));
        }
        for replaced in &self.replaced {
            text.push_str(&format!("replaced {replaced}\n"));
        }
        steps::digest(salt, text.as_bytes())
    }
}

/// What the blueprint's renamed steps mean for what is known: every resource of the old step is one of the new.
pub fn renames(steps: &[ExpandedStep], state: &State) -> Vec<Record> {
    let mut records = Vec::new();
    for step in steps {
        let Some(was) = &step.was else { continue };
        let mut known: Vec<&String> = state.resources.keys().filter(|id| id.starts_with(&format!("{was}/"))).collect();
        known.sort();
        for id in known {
            let resource = format!("{}{}", step.id, &id[was.len()..]);
            if !state.resources.contains_key(&resource) {
                records.push(Record::Renamed { was: id.clone(), resource });
            }
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use steps::resources::directory::Directory;
    use steps::resources::file::File;
    use steps::resources::trusted_keys::TrustedKeys;

    use super::*;

    #[test]
    fn keys_under_other_pins_are_replaced() {
        let keys: &dyn Resource = &TrustedKeys {
            manager: Manager::Dnf,
            repository: "lab".into(),
            fingerprints: vec!["73DABFA4777D4D7032376F409320E5A9E7C22CE8".into()],
        };
        for (id, replaced) in [
            ("lab/trusted_keys:lab 4e375a02", true),
            ("other/trusted_keys:lab 4e375a02", false),
            ("lab/trusted_keys:lab2 4e375a02", false),
            ("lab/repository:lab", false),
            ("lab", false),
        ] {
            assert_eq!(is_replaced(id, [("lab", keys)].into_iter()), replaced, "{id}");
        }
    }

    /// Counts how often it is asked what it claims.
    #[derive(Debug)]
    struct Counted(usize, Rc<Cell<usize>>);

    impl Resource for Counted {
        fn sort(&self) -> &'static str {
            "file"
        }

        fn key(&self) -> String {
            self.0.to_string()
        }

        fn stage(&self) -> Stage {
            Stage::Configure
        }

        fn claims(&self) -> Vec<steps::Claim> {
            self.1.set(self.1.get() + 1);
            vec![steps::Claim { thing: format!("file:{}", self.0), wants: Vec::new() }]
        }

        fn probe(&self, _: &Cx<'_>) -> Result<Probe> {
            Ok(Probe::InPlace(serde_json::Value::Null))
        }

        fn apply(&self, _: &Cx<'_>, _: &[steps::Change]) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_resource_is_asked_once_however_many_there_are() {
        let count = Rc::new(Cell::new(0));
        let asked = count.clone();
        let blueprint = move |_: &Facts| {
            let steps = (0..50).map(|number| ExpandedStep {
                id: format!("s{number}"),
                kind: "file".into(),
                was: None,
                resources: vec![Box::new(Counted(number, asked.clone()))],
                skipped_by: None,
            });
            Ok(steps.collect())
        };
        expand(&blueprint, &Facts::gather(std::path::Path::new("/")).unwrap()).unwrap();
        assert_eq!(count.get(), 50);
    }

    #[test]
    fn two_steps_cannot_want_one_file_to_be_different() {
        let file = |step: &str, path: &str, content: &str| -> Wanted {
            let file = File::new(path, content);
            (step.to_owned(), id_of(step, &file), Box::new(file))
        };
        let folder = |step: &str| -> Wanted {
            let folder = Directory { meta: distro::files::Meta::root(0o700), ..Directory::new("/x") };
            (step.to_owned(), id_of(step, &folder), Box::new(folder))
        };
        for (wanted, contradiction) in [
            (vec![file("a", "/x", "1"), file("b", "/x", "2")], true),
            (vec![file("a", "/x", "1"), file("b", "/x", "1")], false),
            (vec![file("a", "/x", "1"), file("b", "/y", "2")], false),
            // Whichever sort of thing it is to be is told by the probes.
            (vec![file("a", "/x", "1"), folder("b")], false),
        ] {
            let mut things = Things::new();
            let each = wanted.iter().map(|(step, _, resource)| (step, resource.as_ref()));
            let found =
                each.into_iter().try_for_each(|(step, resource)| refuse_contradiction(&mut things, step, resource));
            assert_eq!(found.is_err(), contradiction, "{wanted:?}");
            if let Err(error) = found {
                assert_eq!(error.to_string(), "steps 'a' and 'b' want one thing to be different: file:/x");
            }
        }
    }
}

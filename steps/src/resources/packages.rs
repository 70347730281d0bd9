//! Packages that are installed. All sets of a run are installed in one transaction, which the engine asks for.

mod upgrade;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Result;
use distro::packages::{Archive, Known, Manager, Moment, Package, Solution, State};
use distro::{Class, Fault, Look};
use serde_json::Value;

use self::upgrade::Stopped;
use crate::undo::{Undo, Undone};
use crate::{Change, Claim, Cx, Probe, Resource, Stage};

/// A set of packages.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// Names of the packages, with `:arch` where it is a foreign one.
    pub names: Vec<String>,
    /// Units that come with them and that are neither to be started nor enabled before they are configured.
    pub services: Vec<String>,
    /// Version or series that all of them have to be of: `3.9` is 3.9, 3.9.0-1 and 3.9.1~rc1, and not 3.90.
    pub version: Option<String>,
    /// Are they fetched in no time, and what they need too? Then they need not wait for what is large.
    pub light: bool,
    /// Which of the sets of its step this is.
    pub part: &'static str,
}

/// A package that is there in another version than it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSeries {
    /// Its name.
    pub name: String,
    /// The version that is there.
    pub found: String,
    /// The version or series that it has to be of.
    pub wanted: String,
    /// Is what is there older?
    pub older: bool,
}

impl Packages {
    /// Packages of any version.
    pub fn new(names: Vec<String>, services: Vec<String>) -> Self {
        Self { names, services, version: None, light: false, part: "all" }
    }

    /// Names of those that are not there, or there in another version than they have to be.
    fn missing<'s>(&'s self, known: &Known) -> impl Iterator<Item = &'s String> {
        let is_right = |package: &Package| package.is_installed() && self.is_of_series(&package.version);
        self.names.iter().filter(move |name| !known.get(*name).is_some_and(is_right))
    }

    fn is_of_series(&self, version: &str) -> bool {
        let Some(wanted) = &self.version else { return true };
        let upstream = version.split_once(':').map_or(version, |(_, upstream)| upstream);
        let rest = upstream.strip_prefix(wanted.as_str()).or(version.strip_prefix(wanted.as_str()));
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    }

    /// Those of them that are there in another version than they have to be.
    pub fn of_other_series(&self, known: &Known) -> Vec<OtherSeries> {
        let Some(wanted) = &self.version else { return Vec::new() };
        let other = self.missing(known).filter_map(|name| {
            let found = known.get(name).filter(|package| package.is_installed())?.version.clone();
            let older = is_older(&found, wanted);
            Some(OtherSeries { name: name.clone(), wanted: wanted.clone(), older, found })
        });
        other.collect()
    }

    /// What is to be done for the package `name`, which is [`Packages::missing`]; `remains`: is something of it there that its purge takes?
    fn change(&self, known: &Known, name: &str, remains: bool) -> Change {
        match (known.get(name).filter(|package| package.is_installed()), &self.version) {
            (Some(package), Some(version)) => {
                let change = upgraded(name, &package.version, &format!("version {version}"));
                let stopped = if self.services.is_empty() { "" } else { ", with its services stopped" };
                Change { summary: change.summary + stopped, ..change }
            }
            _ => install(name, "", false, remains),
        }
    }
}

impl Resource for Packages {
    fn sort(&self) -> &'static str {
        "packages"
    }

    /// Whatever is in it: with the names in the key, another list would be another resource.
    fn key(&self) -> String {
        self.part.to_owned()
    }

    fn stage(&self) -> Stage {
        Stage::Packages
    }

    fn claims(&self) -> Vec<Claim> {
        self.names.iter().map(|name| Claim { thing: thing(name), wants: b"installed".to_vec() }).collect()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let known = cx.look.packages(&self.names)?;
        let missing: Vec<&String> = self.missing(&known).collect();
        let remaining = cx.look.remaining_packages(&missing)?;
        let mut changes: Vec<Change> =
            missing.into_iter().map(|name| self.change(&known, name, remaining.contains(name))).collect();
        changes.extend(upgrade::changes(cx, self, &known)?);
        if !changes.is_empty() {
            return Ok(Probe::Changes(changes));
        }
        // A transaction of ours that was cut off after the last package of this set: its triggers are still to be run.
        if cx.memory.begun(cx.id) && !cx.look.unfinished_packages()?.is_empty() {
            return Ok(Probe::Pending(format!("{}, which was interrupted", cx.host.packages().installer())));
        }
        Ok(Probe::InPlace(Value::Null))
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        apply_together(cx, &[self], &[self], &|_| ())
    }

    fn units(&self) -> Vec<String> {
        self.services.clone()
    }

    fn packages(&self) -> Option<&Packages> {
        Some(self)
    }
}

/// Is the version `found` before `wanted`, a version or the first of a series? An epoch counts where `wanted` has one.
pub fn is_older(found: &str, wanted: &str) -> bool {
    let upstream = found.split_once(':').filter(|_| !wanted.contains(':')).map_or(found, |(_, rest)| rest);
    numbers(upstream) < numbers(wanted)
}

/// The numbers of a version, to be compared.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// Name of the claim of a package.
pub(super) fn thing(name: &str) -> String {
    format!("package:{name}")
}

fn install(name: &str, version: &str, dependency: bool, remains: bool) -> Change {
    let summary = format!("install {name} {version}");
    Change::new(
        format!("package {name}"),
        summary.trim_end(),
        Undo::RemovePackage { name: name.to_owned(), dependency, remains },
    )
}

fn upgraded(name: &str, from: &str, to: &str) -> Change {
    let why = format!("{name} was upgraded from {from} to {to}: packages are not downgraded");
    Change::new(format!("package {name}"), format!("upgrade {name} {from} -> {to}"), Undo::Kept { why })
}

/// Names of the packages of `sets` that are [`Packages::missing`], each once.
fn missing(known: &Known, sets: &[&dyn Resource]) -> Vec<String> {
    let missing: BTreeSet<&String> =
        sets.iter().filter_map(|set| set.packages()).flat_map(|set| set.missing(known)).collect();
    missing.into_iter().cloned().collect()
}

/// What is there now of the packages of `sets`.
fn known(cx: &Cx<'_>, sets: &[&dyn Resource]) -> Result<Known> {
    Look::new(cx.host).packages(sets.iter().filter_map(|set| set.packages()).flat_map(|set| &set.names))
}

/// Units of `sets` that their packages must not start, nor enable.
fn held_back(sets: &[&dyn Resource]) -> Vec<String> {
    let units: BTreeSet<String> = sets.iter().flat_map(|set| set.units()).collect();
    units.into_iter().collect()
}

/// Finishes an interrupted transaction. Services of `sets` are neither started nor enabled, and do not run while it upgrades them.
///
/// # Errors
/// Those of [`Manager::finish`]; class `service`, where a service does not stop.
pub fn finish(cx: &Cx<'_>, sets: &[&dyn Resource]) -> Result<()> {
    upgrade::stop_unfinished(cx, sets)?;
    let manager = cx.host.packages();
    let finish = || manager.finish(cx.host, &[], &held_back(sets), cx.survivor);
    match finish() {
        // What is to be fetched once more may have made way for something newer.
        Err(error) if manager.is_stale_index(&error) => manager.update(cx.host, &[]).and_then(|()| finish()),
        result => result,
    }
}

/// Everything that installing `sets` will change, by the solver's own answer: what is new, with dependencies, and what is upgraded; and what
/// can be fetched ahead.
/// An interrupted transaction is finished first, so this is for runs only. Where a package is not offered in the version that is wanted, the
/// index is fetched anew once: the one that is there may be older than the servers' by months.
///
/// # Errors
/// Class `package`, where there is no way, or only one that removes or downgrades a package, or brings another version, or a name is not that
/// of a package; those of [`Manager::update`].
pub fn solve(cx: &Cx<'_>, sets: &[&dyn Resource]) -> Result<(Vec<Change>, Vec<Archive>)> {
    finish(cx, sets)?;
    let known = known(cx, sets)?;
    let names = missing(&known, sets);
    if names.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let manager = cx.host.packages();
    let solution = match manager.simulate(cx.host, &names) {
        Err(error) if manager.is_stale_index(&error) => None,
        result => Some(result?).filter(|solution| not_brought(solution, &known, sets).is_none()),
    };
    let solution = match solution {
        Some(solution) => solution,
        None => {
            let name = manager.name();
            cx.host.runner.note(&format!("{name} does not offer all of these packages: fetching the index anew"));
            manager.update(cx.host, &[])?;
            manager.simulate(cx.host, &names)?
        }
    };
    if let Some((name, set)) = not_brought(&solution, &known, sets) {
        return Err(not_offered(manager, &solution, name, &known, set).into());
    }
    let remaining = Look::new(cx.host).remaining_packages(solution.new.iter().map(|new| &new.name))?;
    Ok((changes(&solution, &names, &remaining), solution.archives))
}

/// What `solution` does where `names` are asked for; something of those of `remaining` is there that their purge takes.
fn changes(solution: &Solution, names: &[String], remaining: &BTreeSet<String>) -> Vec<Change> {
    let native = solution.native.as_str();
    let asked: BTreeSet<&str> = names.iter().map(|name| name.strip_suffix(native).unwrap_or(name)).collect();
    let new = solution
        .new
        .iter()
        .map(|new| install(&new.name, &new.to, !asked.contains(new.name.as_str()), remaining.contains(&new.name)));
    let upgraded =
        solution.upgraded.iter().map(|one| upgraded(&one.name, one.from.as_deref().unwrap_or_default(), &one.to));
    new.chain(upgraded).collect()
}

/// The first of the missing ones that would stay as it is, or come in another version than its set wants.
fn not_brought<'s>(solution: &Solution, known: &Known, sets: &[&'s dyn Resource]) -> Option<(&'s str, &'s Packages)> {
    let sets = sets.iter().filter_map(|set| set.packages());
    let missing = |set: &'s Packages| set.missing(known).map(move |name| (name.as_str(), set)).collect::<Vec<_>>();
    let brought = |name: &str, set: &Packages| solution.version_of(name).is_some_and(|to| set.is_of_series(to));
    sets.flat_map(missing).find(|(name, set)| !brought(name, set))
}

/// `name` would never be seen as wanted: other packages provide it, or it is there or would come in another version.
fn not_offered(manager: Manager, solution: &Solution, name: &str, known: &Known, set: &Packages) -> Fault {
    let found = known.get(name).filter(|package| package.is_installed());
    let message = match (found, solution.version_of(name), &set.version) {
        (_, Some(to), Some(wanted)) => {
            Some(format!("{} would install {name} {to}, and {wanted} is wanted", manager.name()))
        }
        (Some(package), None, Some(wanted)) => {
            Some(format!("{name} is {}, and no repository has a newer one of {wanted}", package.version))
        }
        _ => None,
    };
    if let Some(message) = message {
        return Fault::new(Class::Package, message).advice(format!(
            "see with `{}` what is there and whether a pin or a hold keeps it, or ask for another version",
            manager.versions_of(name)
        ));
    }
    let by = manager.name();
    let instead = solution.new.iter().map(|one| format!("{by} would install {} {}", one.name, one.to));
    Fault::new(Class::Package, format!("'{name}' is not the name of a package that can be installed"))
        .evidence(instead)
        .advice("other packages provide it: name one of them in the blueprint")
}

/// Installs the packages of `sets` in one transaction and tells `watch` how far it is; no unit of `held` is started. Services of
/// those that are upgraded are stopped before. Where the servers no longer have what the index names, the index is fetched anew and it is
/// tried once more, if the answer names no package that was not announced.
///
/// # Errors
/// Those of [`Manager::install`].
pub fn apply_together(
    cx: &Cx<'_>,
    sets: &[&dyn Resource],
    held: &[&dyn Resource],
    watch: &dyn Fn(Moment<'_>),
) -> Result<()> {
    let before = known(cx, sets)?;
    let names = missing(&before, sets);
    if names.is_empty() {
        return Ok(());
    }
    let manager = cx.host.packages();
    let denied = held_back(held);
    let install = || {
        let stopped = Stopped::of(cx, &names, sets, &before)?;
        let done = manager.install(cx.host, &names, &denied, cx.survivor, watch);
        if done.is_err() {
            let is_changed = known(cx, sets).ok().as_ref() != Some(&before);
            stopped.after_failure(cx, is_changed);
        }
        done
    };
    match install() {
        Err(error) if manager.is_stale_index(&error) => {
            let announced = new_names(&manager.simulate(cx.host, &names)?);
            cx.host.runner.note("the servers no longer have what the index names: fetching the index anew");
            manager.update(cx.host, &[])?;
            if !new_names(&manager.simulate(cx.host, &names)?).is_subset(&announced) {
                return Err(error.context("with a new index, more packages would be installed than announced"));
            }
            install()
        }
        result => result,
    }
}

fn new_names(solution: &Solution) -> BTreeSet<String> {
    solution.new.iter().map(|new| new.name.clone()).collect()
}

/// What is known of packages that go.
#[derive(Clone, Debug, Default)]
pub struct Going {
    /// Those that somebody has asked for since, which stay.
    pub asked: BTreeSet<String>,
    /// Those of which something was there before that a purge would take.
    pub found: BTreeSet<String>,
    /// Clusters of PostgreSQL, `15/main`, that are not somebody else's.
    pub clusters: BTreeSet<String>,
    /// Is their configuration to go, too?
    pub purge: bool,
}

/// Removes packages that were installed, all in one transaction, and says of each what came of it. One that something else on
/// the host needs stays. With `purge` their configuration goes too, except where it was there before, or where that would take what is somebody else's: files that
/// nobody shipped in a folder of a package in /etc, a cluster of PostgreSQL.
///
/// # Errors
/// Class `package`, where more would be removed than asked, or they cannot be removed; those of [`Manager::remove`].
pub fn undo_packages(cx: &Cx<'_>, names: &[String], going: &Going) -> Result<Vec<(String, Undone)>> {
    let manager = cx.host.packages();
    manager.finish(cx.host, names, &[], cx.survivor)?;
    let mut plan = Removal::of(&Look::new(cx.host), names, going)?;
    if !plan.remove.is_empty() {
        let gone = manager.simulate_removal(cx.host, &plan.remove)?;
        let more: Vec<&String> = gone.iter().filter(|name| !plan.remove.contains(name)).collect();
        if !more.is_empty() {
            let message = format!("removing {} would remove other packages with them", plan.remove.join(", "));
            return Err(Fault::new(Class::Package, message)
                .evidence(more.into_iter().map(|name| format!("would remove {name}")))
                .advice("remove these packages yourself where nobody needs them, then run uninstall again")
                .into());
        }
    }
    let all_purged = plan.remove.iter().all(|name| plan.purge.contains(name));
    if !plan.remove.is_empty() && !all_purged {
        manager.remove(cx.host, &plan.remove, false, cx.survivor)?;
    }
    if !plan.purge.is_empty() {
        manager.remove(cx.host, &plan.purge, true, cx.survivor)?;
    }
    if going.purge && !plan.purge.is_empty() {
        plan.told = purge_again(cx, plan.told, going)?;
    }
    // Of a package with neither configuration nor data nothing is left for a purge.
    let after = Look::new(cx.host).packages(names)?;
    still_there(&plan, &after)?;
    let left = |name: &str| after.get(name).is_some_and(Package::is_only_configuration);
    let told = plan.told.into_iter().map(|(name, undone)| match undone {
        Undone::Removed(_) if !left(&name) => (name.clone(), Undone::Done(format!("removed {name}"))),
        undone => (name, undone),
    });
    Ok(told.collect())
}

/// A package manager may leave a package as it is and see no fault in that.
fn still_there(plan: &Removal, after: &Known) -> Result<()> {
    let is_there = |name: &&str| after.get(*name).is_some_and(|package| !package.is_only_configuration());
    // What is removed and purged is in both.
    let names: BTreeSet<&str> = plan.remove.iter().chain(&plan.purge).map(String::as_str).filter(is_there).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Fault::new(
        Class::Package,
        format!("still installed after their removal: {}", names.into_iter().collect::<Vec<_>>().join(", ")),
    )
    .advice("look at what the package manager said (`surefoot log`) and at its settings, then run uninstall again")
    .into())
}

/// What one package's purge took away may have been all that stood in the way of another's: a cluster of PostgreSQL in the
/// folder of postgresql-common. And where a removal was cut off in the middle, apt may only have ended that.
fn purge_again(cx: &Cx<'_>, told: Vec<(String, Undone)>, going: &Going) -> Result<Vec<(String, Undone)>> {
    let names: Vec<String> = told.iter().map(|(name, _)| name.clone()).collect();
    let plan = Removal::of(&Look::new(cx.host), &names, going)?;
    let purge: Vec<String> = plan.purge.into_iter().filter(|name| !plan.remove.contains(name)).collect();
    if !purge.is_empty() {
        cx.host.packages().remove(cx.host, &purge, true, cx.survivor)?;
    }
    let again = |(name, undone): (String, Undone)| {
        let undone = if purge.contains(&name) { Undone::Done(format!("purged {name}")) } else { undone };
        (name, undone)
    };
    Ok(told.into_iter().map(again).collect())
}

/// Packages without which administrators may be locked out by now. Debian's sudo refuses to go where root has no password.
const LIFELINES: [&str; 1] = ["sudo"];

/// Why the package `name` stays, whoever needs it.
fn stays(manager: Manager, name: &str, asked: &BTreeSet<String>) -> Option<String> {
    if LIFELINES.contains(&name) {
        return Some("somebody may become root by it; where nobody does, remove it yourself".to_owned());
    }
    asked.contains(name).then(|| format!("somebody asked for it since; `{}` lets it go", manager.let_go(name)))
}

impl Going {
    /// Was `cluster` made by its package, for this product? Others of its clusters were made by itself and are gone by now, or were there.
    fn is_packaged(&self, cluster: &str) -> bool {
        self.clusters.contains(cluster) && cluster.ends_with("/main")
    }
}

/// What of somebody else's the purge of a package would take: `clusters` of PostgreSQL, `files`.
fn purge_takes(clusters: Vec<String>, files: Vec<PathBuf>) -> Option<String> {
    if let Some(first) = clusters.first() {
        let count = if clusters.len() == 1 { "a cluster".to_owned() } else { format!("{} clusters", clusters.len()) };
        return Some(format!("would drop {count} of PostgreSQL of somebody else with all data, {first}"));
    }
    let first = files.first()?;
    let count = if files.len() == 1 { "a file".to_owned() } else { format!("{} files", files.len()) };
    Some(format!("may delete {count} of somebody else, {}", first.display()))
}

/// What is done with packages that were installed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Removal {
    /// To be removed: they are installed and nobody needs them.
    remove: Vec<String>,
    /// To be purged: their configuration goes too, or there is none. Some may be removed already.
    purge: Vec<String>,
    /// What to say of each.
    told: Vec<(String, Undone)>,
}

impl Removal {
    fn of(look: &Look<'_>, names: &[String], going: &Going) -> Result<Self> {
        let needed = |set: &BTreeSet<String>| look.needed_packages(set);
        let stays = |name: &str| stays(look.host.packages(), name, &going.asked);
        let takes = |name: &str| {
            let clusters = look.clusters_of(name)?.into_iter().filter(|cluster| !going.is_packaged(cluster)).collect();
            Ok(purge_takes(clusters, look.foreign_etc_files(name)?))
        };
        Self::plan(&look.packages(names)?, names, going, stays, needed, takes)
    }

    fn plan(
        known: &Known,
        names: &[String],
        going: &Going,
        stays: impl Fn(&str) -> Option<String>,
        needed: impl Fn(&BTreeSet<String>) -> Result<BTreeMap<String, String>>,
        takes: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Self> {
        let purge = going.purge;
        let there = |name: &&String| known.contains_key(*name);
        let (there, gone): (Vec<&String>, Vec<&String>) = names.iter().partition(there);
        let mut plan = Self::default();
        plan.told.extend(gone.into_iter().map(|name| (name.clone(), Undone::Gone)));
        let mut set = BTreeSet::new();
        for name in there {
            match stays(name) {
                Some(why) => plan.told.push((name.clone(), Undone::Kept(why))),
                None => drop(set.insert(name.clone())),
            }
        }
        // What those that stay need stays with them.
        let needed = needed(&set)?;
        for name in names.iter().filter(|name| set.contains(*name)) {
            if let Some(by) = needed.get(name) {
                plan.told.push((name.clone(), Undone::Kept(format!("package {by} needs it"))));
                continue;
            }
            let state = known.get(name).map(|package| package.state);
            let found = going.found.contains(name);
            if state == Some(State::AlmostGone) && !found {
                plan.purge.push(name.clone());
                plan.told.push((name.clone(), Undone::Done(format!("removed {name}"))));
                continue;
            }
            if !known.get(name).is_some_and(Package::is_only_configuration) {
                plan.remove.push(name.clone());
            } else if found {
                plan.told.push((name.clone(), Undone::Gone));
                continue;
            } else if !purge {
                plan.told.push((name.clone(), Undone::Removed(format!("{name} was removed already"))));
                continue;
            }
            let undone = match if purge && !found { takes(name)? } else { None } {
                _ if found && purge => {
                    Undone::Kept("removed, and its configuration and data stay: they were there before".to_owned())
                }
                _ if found => {
                    Undone::Done(format!("removed {name}, its configuration and data, which were there before, stay"))
                }
                Some(what) => Undone::Kept(format!("removed, and its configuration stays: purging it {what}")),
                None if purge => {
                    plan.purge.push(name.clone());
                    Undone::Done(format!("purged {name}"))
                }
                None => Undone::Removed(format!("removed {name}, its configuration and data stay")),
            };
            plan.told.push((name.clone(), undone));
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests;

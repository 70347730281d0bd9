//! Takes changes back: all of a product's, or those of resources that its blueprint no longer names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use distro::{Class, Fault, Host, Look, services};
use steps::resources::packages::Going;
use steps::undo::{Undo, UndoCx, Undone};
use steps::{KeyFormat, Stage, resources};

use super::event::What;
use super::journal::{Journal, Record, UndoOutcome};
use super::order::contents_first;
use super::session::Session;
use super::state::{Entry, Item, State};
use super::store::Store;

/// What came of it so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Parts taken back.
    pub done: usize,
    /// What stays on the host, and why.
    pub kept: Vec<String>,
}

/// Takes back the parts of the resources that `of` names, last made first.
///
/// What another product of this host claims is handed over to it. Packages go in one transaction after everything that was
/// configured; a unit that stays takes up what its configuration became. `taken` tells what was done, also where it fails.
///
/// # Errors
/// The first failure. What was done is written down, and the next attempt goes on from there.
pub fn take_back(
    session: &mut Session<'_>,
    of: &dyn Fn(&str) -> bool,
    purge: bool,
    others: &mut HashMap<String, State>,
    taken: &mut Taken,
) -> Result<()> {
    let mut packages: Vec<(String, Item, String)> = Vec::new();
    let mut reloads: BTreeMap<String, bool> = BTreeMap::new();
    let mut after: Vec<(String, Item)> = Vec::new();
    let mut with_packages: Vec<(String, Item)> = Vec::new();
    let (found, clusters) = (session.state.remaining(), session.state.clusters());
    // Files that go on to hold what was put there.
    let mut holding: BTreeSet<String> = BTreeSet::new();
    let parts = session.state.to_undo().into_iter().filter(|(resource, _)| of(resource)).collect();
    for (resource, item) in contents_first(parts) {
        session.check_stop()?;
        enter(session, &resource);
        if let Undo::PurgePackage { name } = &item.undo {
            if !purge {
                continue;
            }
            // Whoever installed it since owns it.
            let left = Look::new(session.host).package(name)?.is_some_and(|package| package.is_only_configuration());
            match left && claimant(ours(session), of, &resource, &item, others).is_none() {
                true => packages.push((resource, item.clone(), name.clone())),
                false => finish(session, &resource, &item, Undone::Gone, taken)?,
            }
            continue;
        }
        let claimed = claimant(ours(session), of, &resource, &item, others);
        if let Some((product, theirs)) = claimed.or_else(|| user_within(ours(session), of, &item, purge, others)) {
            match &item.undo {
                Undo::UnitEnabled { unit, .. } | Undo::UnitRunning { unit, .. } => {
                    reloads.entry(unit.clone()).or_default();
                }
                Undo::UnitReload { unit, restart } => *reloads.entry(unit.clone()).or_default() |= restart,
                _ => {}
            }
            hand_over(session, &resource, &item, &product, &theirs, others)?;
            holding.extend(item.undo.content_of().map(str::to_owned));
            let by = if product == session.store.product() { &theirs } else { &product };
            taken.kept.push(format!("{resource} ({}): {by} needs it", item.item));
            continue;
        }
        match &item.undo {
            Undo::RemovePackage { name, .. } => packages.push((resource, item.clone(), name.clone())),
            Undo::UnitReload { unit, restart } => {
                *reloads.entry(unit.clone()).or_default() |= restart;
                after.push((resource, item));
            }
            undo => {
                let stays = match undo {
                    // What was closed when an earlier uninstall left it may be what was there at the last install.
                    Undo::RestoreAttributes { path, .. } => {
                        let thing = format!("file:{path}");
                        item.left
                            || holding.contains(path)
                            || claimant_of(ours(session), of, &|claimed| claimed == thing, others).is_some()
                    }
                    _ => false,
                };
                let undone = undo_one(session, &resource, &item, purge, stays)?;
                if matches!(undone, Undone::Kept(_)) {
                    holding.extend(item.undo.content_of().map(str::to_owned));
                }
                match undone {
                    // Data that cannot be taken back now may go with the package that they are of.
                    Undone::Kept(_) if purge && item.data => with_packages.push((resource, item)),
                    undone => finish(session, &resource, &item, undone, taken)?,
                }
            }
        }
    }
    reload(session, &reloads, &packages)?;
    let take = |session: &mut Session<'_>, taken: &mut Taken, items: Vec<(String, Item)>| -> Result<()> {
        for (resource, item) in items {
            enter(session, &resource);
            let undone = undo_one(session, &resource, &item, purge, false)?;
            finish(session, &resource, &item, undone, taken)?;
        }
        Ok(())
    };
    take(session, taken, after)?;
    let going = Going { asked: BTreeSet::new(), found, clusters, purge };
    remove_packages(session, packages, of, going, others, taken)?;
    take(session, taken, with_packages)?;
    session.bus.enter(None, None, None);
    let ids = session.state.resources.keys().filter(|id| of(id));
    for (_, unit) in ids.filter_map(|id| id.split_once("/service:")) {
        services::forget_gone(session.host, unit)?;
    }
    forget(session, of)
}

/// Packages that an uninstall will leave, as far as the host tells that before, each with why in a few words.
///
/// # Errors
/// Where the host does not say what is installed, or who needs it.
pub fn staying(host: &Host, state: &State) -> Result<BTreeMap<String, String>> {
    let look = Look::new(host);
    let items = state.to_undo().into_iter().filter_map(|(_, item)| match item.undo {
        Undo::RemovePackage { name, .. } => Some(name),
        _ => None,
    });
    let there = look.packages(items)?.into_iter().filter(|(_, package)| !package.is_only_configuration());
    let asked = asked_since(&look, state, &|_| true);
    let going = there.map(|(name, _)| name).filter(|name| !asked.contains(name)).collect();
    let needed = look.needed_packages(&going)?.into_iter().map(|(name, by)| (name, format!("{by} needs it")));
    Ok(needed.chain(asked.into_iter().map(|name| (name, "asked for since".to_owned()))).collect())
}

/// Packages of the resources that `of` names which came because others of ours need them, and which somebody has asked for since. Where the
/// package manager does not say, they go with the others.
fn asked_since(look: &Look<'_>, state: &State, of: &dyn Fn(&str) -> bool) -> BTreeSet<String> {
    look.asked_for(&state.dependencies(of)).unwrap_or_else(|error| {
        look.host.runner.note(&format!("dependencies go, whoever asked for them since: {error:#}"));
        BTreeSet::new()
    })
}

fn enter(session: &Session<'_>, resource: &str) {
    let step = resource.split('/').next();
    session.bus.enter(Some(Stage::Configure), step, Some(resource));
}

/// Takes a part back; `content_stays`, where it is about a file that goes on to hold what was put there.
fn undo_one(
    session: &mut Session<'_>,
    resource: &str,
    item: &Item,
    purge: bool,
    content_stays: bool,
) -> Result<Undone> {
    session.record(Record::Undo { resource: resource.to_owned(), item: item.item.clone() })?;
    let look = Look::new(session.host);
    let original = |name: &str| session.store.original(name);
    let cx = UndoCx {
        host: session.host,
        look: &look,
        key: &session.key,
        wrote: &item.wrote,
        original: &original,
        purge_data: purge && item.data,
        purge,
        going: item.going,
        content_stays,
    };
    if item.data && !purge {
        let why = match item.undo {
            Undo::RemoveUser { .. } | Undo::RemoveGroup { .. } => "data that stays is theirs; --purge removes it",
            _ => "it holds data; --purge removes it",
        };
        return Ok(Undone::Kept(why.to_owned()));
    }
    steps::undo::undo(&cx, &item.undo).with_context(|| format!("taking back {resource} ({})", item.item))
}

fn finish(session: &mut Session<'_>, resource: &str, item: &Item, undone: Undone, taken: &mut Taken) -> Result<()> {
    let result = match &undone {
        Undone::Done(_) => UndoOutcome::Done,
        Undone::Removed(_) => UndoOutcome::Removed,
        Undone::Gone => UndoOutcome::Gone,
        Undone::Kept(_) => UndoOutcome::Kept,
    };
    session.record(Record::Undone { resource: resource.to_owned(), item: item.item.clone(), result })?;
    match undone {
        Undone::Done(summary) | Undone::Removed(summary) => {
            taken.done += 1;
            session.bus.say(What::ResourceUndone { summary });
        }
        Undone::Gone => {}
        Undone::Kept(why) => {
            taken.kept.push(format!("{resource} ({}): {why}", item.item));
            session.bus.say(What::ResourceKept { why });
        }
    }
    Ok(())
}

/// The product in hand, and what is known of it.
fn ours<'s>(session: &'s Session<'_>) -> (&'s str, &'s State) {
    (session.store.product(), &session.state)
}

/// Names of the things that a part is about, as claims name them.
fn things(state: &State, resource: &str, item: &Item) -> Vec<String> {
    let claims = state.resources.get(resource).into_iter().flat_map(|entry| &entry.claims);
    let claims = claims.map(|claim| claim.thing.clone());
    match &item.undo {
        Undo::RemovePackage { name, .. } | Undo::PurgePackage { name } => vec![format!("package:{name}")],
        // A set of packages has parts for the services that were stopped for an upgrade.
        Undo::UnitRunning { unit, .. } => vec![format!("unit:{unit}")],
        // Of several keys of one resource each is for itself.
        Undo::RestoreKey { format: KeyFormat::Colon, path, key, .. } => vec![format!("key:{path}#{key}")],
        // The file around a key is claimed by all whose keys are in it.
        Undo::RestoreKey { .. } => claims.filter(|thing| thing.starts_with("key:")).collect(),
        // The name of a site is nothing that goes with one of its files: it may have another one by now.
        _ => claims.filter(|thing| !thing.starts_with("site:")).collect(),
    }
}

/// Who else claims what the part is about: a resource of this product that is not of those taken back, or one of another product.
fn claimant(
    (product, state): (&str, &State),
    of: &dyn Fn(&str) -> bool,
    resource: &str,
    item: &Item,
    others: &HashMap<String, State>,
) -> Option<(String, String)> {
    let things = things(state, resource, item);
    claimant_of((product, state), of, &|thing| things.iter().any(|one| one == thing), others)
}

/// Who else uses something in a folder that would go with everything in it.
fn user_within(
    ours: (&str, &State),
    of: &dyn Fn(&str) -> bool,
    item: &Item,
    purge: bool,
    others: &HashMap<String, State>,
) -> Option<(String, String)> {
    let Undo::RemoveFolder { path } = &item.undo else { return None };
    let is_within = |thing: &str| {
        let named = thing.split_once(':').map_or("", |(_, named)| named);
        named.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
    };
    if purge && item.data { claimant_of(ours, of, &is_within, others) } else { None }
}

/// Who else claims something that `is_it`.
fn claimant_of(
    (product, state): (&str, &State),
    of: &dyn Fn(&str) -> bool,
    is_it: &dyn Fn(&str) -> bool,
    others: &HashMap<String, State>,
) -> Option<(String, String)> {
    let claims_it = |entry: &Entry| entry.wants().iter().any(|claim| is_it(&claim.thing));
    let staying = state.resources.iter().filter(|(id, entry)| !of(id) && claims_it(entry));
    if let Some(id) = staying.map(|(id, _)| id).min() {
        return Some((product.to_owned(), id.clone()));
    }
    let mut names: Vec<&String> = others.keys().collect();
    names.sort();
    names.into_iter().find_map(|product| {
        let theirs = others[product].wants_one(is_it)?;
        Some((product.clone(), theirs.0.to_owned()))
    })
}

/// Gives a part to another resource. That of another product is told first: a kill in between gives it twice, which is once.
fn hand_over(
    session: &mut Session<'_>,
    resource: &str,
    item: &Item,
    product: &str,
    theirs: &str,
    others: &mut HashMap<String, State>,
) -> Result<()> {
    let undone = Record::Undone { resource: resource.to_owned(), item: item.item.clone(), result: UndoOutcome::Handed };
    let inherited = Record::Inherited {
        from: session.store.product().to_owned(),
        resource: theirs.to_owned(),
        items: vec![super::journal::ItemTold {
            item: item.item.clone(),
            summary: format!("made by {}", session.store.product()),
            undo: item.undo.clone(),
            data: item.data,
            wrote: item.wrote.last().cloned(),
            left: item.left,
        }],
    };
    if product == session.store.product() {
        session.record_all(vec![inherited, undone])?;
        session.bus.say(What::ResourceKept { why: format!("{theirs} needs it") });
        return Ok(());
    }
    let store = Store::new(product);
    if let Undo::RestoreFile { original: name, .. } | Undo::RestoreKey { original: Some(name), .. } = &item.undo {
        store.keep(&[(format!("originals/{name}"), session.store.original(name)?.as_slice())])?;
    }
    let (content, _) = store.load()?;
    Journal::open(&store.journal(), product, &content)?.write(inherited.clone())?;
    if let Some(state) = others.get_mut(product) {
        state.take(&inherited).map_err(|why| anyhow::anyhow!("product '{product}': {why}"))?;
    }
    session.record(undone)?;
    session.bus.say(What::ResourceKept { why: format!("{product} needs it, and owns it from now on") });
    Ok(())
}

/// Lets the units that stay take up what their configuration became.
fn reload(session: &Session<'_>, units: &BTreeMap<String, bool>, going: &[(String, Item, String)]) -> Result<()> {
    let look = Look::new(session.host);
    let names: Vec<String> = units.keys().cloned().collect();
    look.units(&names)?;
    for (unit, restart) in units {
        let name = unit.trim_end_matches(".service");
        if going.iter().any(|(_, _, package)| package == name) || !look.unit(unit)?.active {
            continue;
        }
        // The user's own configuration may be broken without our part in it: that is told, and does not stop the removal.
        if let Err(error) = resources::service::take_up(session.host, unit, *restart) {
            session.bus.warn(format!("{unit} did not take up its configuration: {error:#}"));
        }
    }
    Ok(())
}

fn remove_packages(
    session: &mut Session<'_>,
    packages: Vec<(String, Item, String)>,
    of: &dyn Fn(&str) -> bool,
    going: Going,
    others: &mut HashMap<String, State>,
    taken: &mut Taken,
) -> Result<()> {
    let Some((first, _, _)) = packages.first() else { return Ok(()) };
    let first = first.clone();
    session.check_stop()?;
    session.bus.enter(Some(Stage::Packages), first.split('/').next(), Some(&first));
    let look = Look::new(session.host);
    let going = Going { asked: asked_since(&look, &session.state, of), ..going };
    let asked = &going.asked;
    let undo = |(resource, item, _): &(String, Item, String)| Record::Undo {
        resource: resource.clone(),
        item: item.item.clone(),
    };
    // What stays is told from what was about to go, should this be cut off.
    session.record_all(packages.iter().filter(|(_, _, name)| !asked.contains(name)).map(undo).collect())?;
    let names: Vec<String> = packages.iter().map(|(_, _, name)| name.clone()).collect();
    let outcomes = session.with_cx(&look, &first, |cx| resources::packages::undo_packages(cx, &names, &going))?;
    for (resource, item, name) in packages {
        let outcome = outcomes.iter().find(|(package, _)| *package == name).map(|(_, undone)| undone.clone());
        let Some(undone) = outcome else {
            return Err(Fault::new(Class::Verify, format!("package '{name}' is still there after its removal"))
                .advice("look at what the package manager said in the run log, mend it and run uninstall again")
                .into());
        };
        enter(session, &resource);
        // A dependency that somebody else's package needs belongs to a product that has such a package here, if there is one.
        if matches!(undone, Undone::Kept(_))
            && !asked.contains(&name)
            && let Some((product, theirs)) = package_owner(others)
        {
            hand_over(session, &resource, &item, &product, &theirs, others)?;
            continue;
        }
        finish(session, &resource, &item, undone, taken)?;
    }
    Ok(())
}

/// A product with packages, and its first resource that claims one.
fn package_owner(others: &HashMap<String, State>) -> Option<(String, String)> {
    let mut found: Vec<(String, String)> = others
        .iter()
        .flat_map(|(product, state)| state.resources.iter().map(move |(id, entry)| (product, id, entry)))
        .filter(|(_, _, entry)| entry.wants().iter().any(|claim| claim.thing.starts_with("package:")))
        .map(|(product, id, _)| (product.clone(), id.clone()))
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Resources with nothing left of ours are no longer of this product.
fn forget(session: &mut Session<'_>, of: &dyn Fn(&str) -> bool) -> Result<()> {
    let mut gone: Vec<String> = session
        .state
        .resources
        .iter()
        .filter(|(id, entry)| of(id) && entry.items.is_empty())
        .map(|(id, _)| id.clone())
        .collect();
    gone.sort();
    let records = gone.into_iter().map(|resource| Record::Forgotten { resource }).collect();
    session.record_all(records)
}

#[cfg(test)]
mod tests;

//! What the journal says: the one function that derives state from records.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;
use distro::{Class, Fault};
use serde::Serialize;
use serde_json::Value;
use steps::Undo;

use super::journal::{ClaimTold, ItemTold, Outcome, Record, UndoOutcome};

/// What the name of a package's claim begins with.
const PACKAGE: &str = "package:";

/// Whose a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// Made by surefoot.
    Created,
    /// There before, and changed; the original is kept.
    Modified,
    /// There before, as wanted; left alone.
    Found,
}

impl Ownership {
    /// As users see it.
    pub fn name(self) -> &'static str {
        match self {
            Ownership::Created => "created",
            Ownership::Modified => "modified",
            Ownership::Found => "found",
        }
    }
}

/// A part of a resource that this product changed, and has not taken back.
#[derive(Clone, Debug)]
pub struct Item {
    /// Name of the part.
    pub item: String,
    /// How to take it back, as its **first** intent says; whether a package is a dependency, as the last one does.
    pub undo: steps::Undo,
    /// Is it the user's data?
    pub data: bool,
    /// Keyed digests of everything that was ever written there.
    pub wrote: Vec<String>,
    /// Order of first intents: undo goes backwards.
    pub order: isize,
    /// Was it begun to take it back, with nothing said of what came of it?
    pub going: bool,
    /// Did it stay when it was to be taken back, as somebody had changed it since? It is theirs then, and the next intent is a first one.
    pub left: bool,
}

/// What is known of a resource.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Parts that were changed.
    pub items: Vec<Item>,
    /// What it claims, by the last intent or finding.
    pub claims: Vec<ClaimTold>,
    /// What the last probe that found it in place had seen.
    pub seen: Option<Value>,
    /// Was a change begun that has no outcome?
    pub open: bool,
    /// Was the product uninstalled since? What stays is there for a purge, and wants nothing of the host any more; what it is about is
    /// still told by its claims.
    pub idle: bool,
}

impl Entry {
    /// What it wants of the host.
    pub fn wants(&self) -> &[ClaimTold] {
        if self.idle { &[] } else { &self.claims }
    }

    /// Whose it is.
    pub fn ownership(&self) -> Ownership {
        let made = |item: &Item| {
            matches!(
                item.undo,
                Undo::RemoveFile { .. }
                    | Undo::RemoveFolder { .. }
                    | Undo::RemoveKeyring { .. }
                    | Undo::RemovePackage { .. }
                    | Undo::RemoveUser { .. }
                    | Undo::RemoveGroup { .. }
                    | Undo::MongodbUser { role: None, .. }
            )
        };
        let mut items = self.items.iter().filter(|item| !matches!(item.undo, Undo::PurgePackage { .. })).peekable();
        match items.peek().is_none() {
            true => Ownership::Found,
            false if items.any(made) => Ownership::Created,
            false => Ownership::Modified,
        }
    }
}

/// The last invocation that changed the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    /// Id of the run.
    pub run: String,
    /// Number of the last attempt.
    pub attempt: u32,
    /// `install` or `uninstall`.
    pub action: String,
    /// Kernel's boot id then.
    pub boot_id: String,
    /// Was `--purge` given?
    pub purge: bool,
    /// How it ended; none where it was killed.
    pub ended: Option<String>,
    /// Resources changed by all attempts of this run.
    pub changed: usize,
}

impl LastRun {
    /// Is there something to go on with?
    pub fn unfinished(&self) -> bool {
        self.ended.as_deref() != Some("done")
    }
}

/// What a product's journal says.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// By `step/type:key`.
    pub resources: HashMap<String, Entry>,
    /// The last run.
    pub last: Option<LastRun>,
    /// A package transaction that may still run: pid and start time.
    pub child: Option<(u32, u64)>,
    order: isize,
    /// Things that other products claim.
    shared: BTreeSet<String>,
}

impl State {
    /// Derives the state from `records`.
    ///
    /// # Errors
    /// Class `state`, where a record contradicts those before it.
    pub fn replay(records: &[Record]) -> Result<Self> {
        let mut state = Self::default();
        for (at, record) in records.iter().enumerate() {
            state.take(record).map_err(|why| {
                Fault::new(Class::State, format!("record {} of the journal contradicts those before it: {why}", at + 1))
                    .advice("restore the journal from a backup, or report this as a bug with the file")
            })?;
        }
        Ok(state)
    }

    /// Takes one more record in.
    ///
    /// # Errors
    /// What it contradicts.
    pub fn take(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Journal { .. } => {}
            Record::Attempt { run, attempt, action, boot_id, purge, .. } => {
                let same = self.last.as_ref().filter(|last| last.run == *run);
                let changed = same.map_or(0, |last| last.changed);
                // For good: what is mended since looks like any other package.
                if self.is_cut_off() {
                    self.forget_dependencies(|_| true);
                }
                self.child = self.child.filter(|_| self.last.as_ref().is_some_and(|last| last.boot_id == *boot_id));
                self.last = Some(LastRun {
                    run: run.clone(),
                    attempt: *attempt,
                    action: action.clone(),
                    boot_id: boot_id.clone(),
                    purge: *purge,
                    ended: None,
                    changed,
                });
            }
            Record::Found { resource, claims } => self.claim(resource, claims),
            Record::Intent { resource, claims, items } => {
                for item in items {
                    self.intend(resource, item, false);
                }
                self.claim(resource, claims);
                self.entry(resource).open = true;
            }
            Record::Inherited { resource, items, .. } => {
                for item in items {
                    self.intend(resource, item, true);
                }
                self.forget_claimed_dependencies();
            }
            Record::Child { pid, start } => self.child = Some((*pid, *start)),
            Record::Outcome { resource, result } => {
                // Services come up while a transaction goes on.
                if is_packages(resource) {
                    self.child = None;
                }
                let entry = self
                    .resources
                    .get_mut(resource)
                    .ok_or_else(|| format!("outcome of '{resource}' without intent"))?;
                if !entry.open {
                    return Err(format!("second outcome of '{resource}'"));
                }
                entry.open = *result == Outcome::Failed;
                if *result == Outcome::Changed
                    && let Some(last) = &mut self.last
                {
                    last.changed += 1;
                }
            }
            Record::Seen { resource, seen } => self.entry(resource).seen = Some(seen.clone()),
            Record::Renamed { was, resource } => {
                if let Some(entry) = self.resources.remove(was) {
                    self.resources.insert(resource.clone(), entry);
                }
            }
            Record::Undo { resource, item } => {
                self.item(resource, item)
                    .ok_or_else(|| format!("undo of '{item}' of '{resource}', which is not ours"))?
                    .going = true;
            }
            Record::Undone { resource, item, result } => {
                self.item(resource, item)
                    .ok_or_else(|| format!("undone '{item}' of '{resource}', which is not ours"))?
                    .going = false;
                let entry = self.entry(resource);
                let of_it = entry.items.iter_mut().filter(|known| known.item == *item);
                entry.seen = None;
                entry.open = false;
                match result {
                    UndoOutcome::Kept => {
                        of_it.for_each(|known| known.left = !known.data && stays_when_changed(&known.undo))
                    }
                    UndoOutcome::Removed => of_it.for_each(removed),
                    _ => entry.items.retain(|known| known.item != *item),
                }
            }
            Record::Forgotten { resource } => {
                self.resources.remove(resource);
            }
            Record::End { result, .. } => {
                let last = self.last.as_mut().ok_or("an end without a beginning")?;
                last.ended = Some(result.clone());
                self.child = None;
                if last.action == "uninstall" && !last.unfinished() {
                    self.resources.values_mut().for_each(|entry| entry.idle = true);
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, resource: &str) -> &mut Entry {
        self.resources.entry(resource.to_owned()).or_default()
    }

    fn item(&mut self, resource: &str, item: &str) -> Option<&mut Item> {
        self.resources.get_mut(resource)?.items.iter_mut().find(|known| known.item == item)
    }

    /// What `resource` claims by now. A package that this product asks for is no mere dependency of its other packages any more.
    fn claim(&mut self, resource: &str, claims: &[ClaimTold]) {
        let entry = self.entry(resource);
        (entry.claims, entry.idle) = (claims.to_vec(), false);
        if claims.iter().any(|claim| claim.thing.starts_with(PACKAGE)) {
            self.forget_claimed_dependencies();
        }
    }

    fn forget_claimed_dependencies(&mut self) {
        let claims = self.resources.values().flat_map(Entry::wants);
        let asked: BTreeSet<String> =
            claims.filter_map(|claim| claim.thing.strip_prefix(PACKAGE)).map(str::to_owned).collect();
        self.forget_dependencies(|name| asked.contains(name));
    }

    /// Packages that `is_meant` names are taken for ones that were asked for by this product.
    fn forget_dependencies(&mut self, is_meant: impl Fn(&str) -> bool) {
        for item in self.resources.values_mut().flat_map(|entry| &mut entry.items) {
            if let Undo::RemovePackage { name, dependency, .. } = &mut item.undo
                && is_meant(name)
            {
                *dependency = false;
            }
        }
    }

    /// Was a transaction of packages begun that has no outcome? The package manager may not know then why what it brought is there.
    fn is_cut_off(&self) -> bool {
        // Keys that rpm trusts are removed as packages are, and come by no transaction.
        self.resources.iter().any(|(id, entry)| entry.open && is_packages(id))
    }

    /// Packages that came only because others of this product need them, of the resources that `of` names. None after a transaction that was cut off,
    /// and none whose removal was: apt forgets why a package is there before dpkg removes it.
    pub fn dependencies(&self, of: &dyn Fn(&str) -> bool) -> Vec<String> {
        if self.is_cut_off() {
            return Vec::new();
        }
        let items = self.resources.iter().filter(|(id, _)| of(id)).flat_map(|(_, entry)| &entry.items);
        let names = items.filter(|item| !item.going).filter_map(|item| match &item.undo {
            Undo::RemovePackage { name, dependency: true, .. } => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// Packages of which something was there before that a purge would take.
    pub fn remaining(&self) -> BTreeSet<String> {
        let items = self.resources.values().flat_map(|entry| &entry.items);
        let names = items.filter_map(|item| match &item.undo {
            Undo::RemovePackage { name, remains: true, .. } => Some(name.clone()),
            _ => None,
        });
        names.collect()
    }

    /// Clusters of PostgreSQL, `15/main`, that this product looks after. Of one that was only looked at nothing is known after an uninstall that left data, but
    /// that the product has something in it.
    pub fn clusters(&self) -> BTreeSet<String> {
        let claims = self.resources.values().flat_map(|entry| &entry.claims);
        let claimed = claims.filter_map(|claim| claim.thing.strip_prefix("data:")).map(str::to_owned);
        let items = self.resources.values().flat_map(|entry| &entry.items);
        let used = items.filter_map(|item| match &item.undo {
            Undo::RemoveDatabase { version, cluster, .. } | Undo::RemoveRole { version, cluster, .. } => {
                Some(format!("{version}/{cluster}"))
            }
            _ => None,
        });
        claimed.chain(used).collect()
    }

    /// Ownership is decided by the first intent: a later one adds only what was written. What was left to somebody else is begun anew. What
    /// another product intended came before anything of ours; a package that was removed and is installed again is as if it was never removed, and came as its last
    /// transaction brought it.
    fn intend(&mut self, resource: &str, told: &ItemTold, earlier: bool) {
        self.order += 1;
        // It is handed over last made first. Within this product it keeps its place.
        let order = if earlier { self.place_of(told).unwrap_or(-self.order) } else { self.order };
        let new = Item {
            item: told.item.clone(),
            undo: told.undo.clone(),
            data: told.data,
            wrote: told.wrote.iter().cloned().collect(),
            order,
            going: false,
            left: told.left && earlier,
        };
        let entry = self.entry(resource);
        match entry.items.iter_mut().find(|known| known.item == told.item) {
            // What was somebody's when it was inherited was so when we began with it.
            Some(_) if told.left && earlier => {}
            Some(known) if told.left => *known = new,
            Some(known) => {
                known.wrote.extend(new.wrote);
                (known.going, known.left) = (false, false);
                if earlier {
                    known.order = order;
                }
                let remained = match (&known.undo, &told.undo) {
                    (Undo::PurgePackage { .. }, _) => Some(false),
                    (Undo::RemovePackage { remains, .. }, Undo::RemovePackage { .. }) => Some(*remains),
                    _ => None,
                };
                if earlier || remained.is_some() {
                    known.undo = new.undo;
                }
                // What is left by the time of a later transaction of ours is of the one before.
                if let (Some(remained), Undo::RemovePackage { remains, .. }, false) =
                    (remained, &mut known.undo, earlier)
                {
                    *remains = remained;
                }
            }
            None => entry.items.push(new),
        }
    }

    fn place_of(&self, told: &ItemTold) -> Option<isize> {
        let mut items = self.resources.values().flat_map(|entry| &entry.items);
        items.find(|item| item.item == told.item && item.undo == told.undo).map(|item| item.order)
    }

    /// All parts that are not taken back yet, last intended first, with the resource they are of.
    pub fn to_undo(&self) -> Vec<(String, Item)> {
        let mut items: Vec<(String, Item)> = self
            .resources
            .iter()
            .flat_map(|(resource, entry)| entry.items.iter().map(|item| (resource.clone(), item.clone())))
            .collect();
        items.sort_by_key(|(_, item)| std::cmp::Reverse(item.order));
        items
    }

    /// Is there something of `resource` to be taken back?
    pub fn has_to_undo(&self, resource: &str) -> bool {
        let entry = self.resources.get(resource);
        entry.is_some_and(|entry| entry.items.iter().any(|item| item.undo != Undo::Nothing))
    }

    /// Is `thing` claimed here, and what is wanted of it?
    pub fn wants(&self, thing: &str) -> Option<(&str, &str)> {
        self.wants_one(|claimed| claimed == thing)
    }

    /// The same of the first thing that `is_it`.
    pub fn wants_one(&self, is_it: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
        self.resources.iter().find_map(|(resource, entry)| {
            let claim = entry.wants().iter().find(|claim| is_it(&claim.thing))?;
            Some((resource.as_str(), claim.wants.as_str()))
        })
    }

    /// Other products of this host, by their names, claim these things.
    pub fn know_others(&mut self, others: &HashMap<String, State>) {
        let entries = others.values().flat_map(|state| state.resources.values());
        self.shared = entries.flat_map(Entry::wants).map(|claim| claim.thing.clone()).collect();
    }
}

impl steps::Memory for State {
    fn seen(&self, resource: &str) -> Option<&Value> {
        self.resources.get(resource)?.seen.as_ref()
    }

    fn seen_of_all(&self, type_and_key: &str) -> Vec<&Value> {
        let of_it = self.resources.iter().filter(|(id, _)| id.ends_with(type_and_key));
        of_it.filter_map(|(_, entry)| entry.seen.as_ref()).collect()
    }

    fn made(&self, resource: &str) -> Vec<(&str, &[String])> {
        let items = self.resources.get(resource).into_iter().flat_map(|entry| &entry.items);
        let made = items.filter(|item| matches!(item.undo, Undo::RestoreKey { original: None, .. }));
        made.map(|item| (item.item.as_str(), item.wrote.as_slice())).collect()
    }

    fn is_shared(&self, thing: &str) -> bool {
        self.shared.contains(thing)
    }

    fn begun(&self, resource: &str) -> bool {
        self.resources.get(resource).is_some_and(|entry| entry.open)
    }

    fn has_made(&self, resource: &str, item: &str) -> bool {
        self.resources.get(resource).is_some_and(|entry| entry.items.iter().any(|known| known.item == item))
    }

    fn intended(&self, thing: &str) -> bool {
        self.resources
            .values()
            .any(|entry| !entry.items.is_empty() && entry.wants().iter().any(|claim| claim.thing == thing))
    }

    fn installed(&self, package: &str) -> bool {
        let is_it = |item: &Item| matches!(&item.undo, Undo::RemovePackage { name, .. } if name == package);
        self.resources.values().flat_map(|entry| &entry.items).any(is_it)
    }
}

/// Is it a set of packages?
fn is_packages(resource: &str) -> bool {
    resource.contains("/packages:")
}

/// Does it leave alone what is not as we wrote it?
fn stays_when_changed(undo: &Undo) -> bool {
    matches!(
        undo,
        Undo::RemoveFile { .. }
            | Undo::RemoveKeyring { .. }
            | Undo::RemoveCertificate { .. }
            | Undo::RemoveBlock { .. }
            | Undo::RestoreFile { .. }
            | Undo::RestoreSymlink { .. }
            | Undo::RestoreAttributes { .. }
            | Undo::RestoreKey { .. }
            | Undo::RestoreLine { .. }
            | Undo::RestoreHome { .. }
            | Undo::RestoreShell { .. }
            | Undo::SelinuxPort { .. }
            | Undo::SelinuxRule { .. }
    )
}

/// The package of `item` was removed: what is left to take back is what stays of it.
fn removed(item: &mut Item) {
    if let Undo::RemovePackage { name, .. } = &item.undo {
        item.undo = Undo::PurgePackage { name: name.clone() };
    }
}

#[cfg(test)]
pub(super) mod tests;

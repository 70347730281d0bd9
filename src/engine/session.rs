//! One invocation that changes the host: what it works with and how it writes down.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Result;
use distro::{Class, Fault, Host, Look};
use steps::{Change, Cx, Resource};

use super::event::{Bus, ChangeTold};
use super::journal::{ClaimTold, ItemTold, Journal, Record};
use super::state::State;
use super::store::Store;

/// What an invocation works with.
pub struct Session<'a> {
    /// The host.
    pub host: &'a Host,
    /// Tells what happens.
    pub bus: &'a Arc<Bus>,
    /// The product's folder.
    pub store: &'a Store,
    /// Key of the stored digests.
    pub key: Vec<u8>,
    /// What the journal says so far.
    pub state: State,
    journal: Rc<RefCell<Journal>>,
    /// Records that say nothing a kill could hurt; they are written with the next one.
    later: Vec<Record>,
}

impl<'a> Session<'a> {
    /// Begins to write.
    pub fn new(
        host: &'a Host,
        bus: &'a Arc<Bus>,
        store: &'a Store,
        key: Vec<u8>,
        state: State,
        journal: Journal,
    ) -> Self {
        // What packages' scripts make is for their services, too, whatever the user's shell hides.
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        Self { host, bus, store, key, state, journal: Rc::new(RefCell::new(journal)), later: Vec::new() }
    }

    /// Writes a record and waits until it is on disk.
    ///
    /// # Errors
    /// Class `disk`.
    pub fn record(&mut self, record: Record) -> Result<()> {
        self.record_all(vec![record])
    }

    /// Writes records and waits once until all are on disk.
    ///
    /// # Errors
    /// Class `disk`.
    pub fn record_all(&mut self, records: Vec<Record>) -> Result<()> {
        for record in &records {
            self.take(record)?;
        }
        let all = std::mem::take(&mut self.later).into_iter().chain(records);
        self.journal.borrow_mut().write_all(all)
    }

    /// Writes a record with the next one: what it says would be found out again.
    ///
    /// # Errors
    /// Where it contradicts the journal: a bug.
    pub fn record_later(&mut self, record: Record) -> Result<()> {
        self.take(&record)?;
        self.later.push(record);
        Ok(())
    }

    fn take(&mut self, record: &Record) -> Result<()> {
        self.state.take(record).map_err(|why| anyhow::anyhow!("the journal would contradict itself: {why}"))
    }

    /// Looks at or changes a resource with everything that it may know.
    pub fn with_cx<T>(&self, look: &Look<'_>, id: &str, work: impl FnOnce(&Cx<'_>) -> Result<T>) -> Result<T> {
        let survivor = survivor(&self.journal);
        work(&Cx { host: self.host, look, memory: &self.state, key: &self.key, id, changing: &[], survivor: &survivor })
    }

    /// For work in which the session goes on: what the journal remembers stays for it as it is now.
    pub fn apart(&self) -> Apart<'a> {
        Apart { host: self.host, memory: self.state.clone(), key: self.key.clone(), journal: Rc::clone(&self.journal) }
    }

    /// What `resource` claims, as it is written down.
    pub fn claims(&self, resource: &dyn Resource) -> Vec<ClaimTold> {
        let told =
            |claim: steps::Claim| ClaimTold { wants: steps::digest(&self.key, &claim.wants), thing: claim.thing };
        resource.claims().into_iter().map(told).collect()
    }

    /// The intent to make `changes`: the originals are saved and on disk when it returns.
    ///
    /// # Errors
    /// Class `disk`.
    pub fn intent(&self, id: &str, claims: Vec<ClaimTold>, changes: &[Change]) -> Result<Record> {
        let known = self.state.resources.get(id);
        let mut items = Vec::new();
        for change in changes {
            let mut undo = change.undo.clone();
            let item = known.and_then(|entry| entry.items.iter().find(|item| item.item == change.item));
            let left = item.is_some_and(|item| item.left);
            if let Some(original) = change.original.as_ref().filter(|_| left || item.is_none()) {
                undo.set_original(self.store.save_original(&format!("{id} {}", change.item), original)?);
            }
            items.push(ItemTold {
                item: change.item.clone(),
                summary: change.summary.clone(),
                undo,
                data: change.data,
                wrote: change.wrote.as_ref().map(|bytes| steps::digest(&self.key, bytes)),
                left,
            });
        }
        Ok(Record::Intent { resource: id.to_owned(), claims, items })
    }

    /// Stops here where we were asked to.
    ///
    /// # Errors
    /// Class `interrupted`.
    pub fn check_stop(&self) -> Result<()> {
        if self.host.runner.stops() == 0 {
            return Ok(());
        }
        Err(Fault::new(Class::Interrupted, "stopped on request; the resource in hand was finished and written down")
            .advice("go on whenever you like: nothing is lost")
            .into())
    }
}

/// All that a resource may know, apart from a session that goes on meanwhile.
pub struct Apart<'a> {
    host: &'a Host,
    memory: State,
    key: Vec<u8>,
    journal: Rc<RefCell<Journal>>,
}

impl Apart<'_> {
    /// As [`Session::with_cx`].
    pub fn with_cx<T>(&self, id: &str, work: impl FnOnce(&Cx<'_>) -> Result<T>) -> Result<T> {
        let (look, survivor) = (Look::new(self.host), survivor(&self.journal));
        work(&Cx {
            host: self.host,
            look: &look,
            memory: &self.memory,
            key: &self.key,
            id,
            changing: &[],
            survivor: &survivor,
        })
    }
}

/// Writes down who goes on without us.
fn survivor(journal: &RefCell<Journal>) -> impl Fn(u32) -> Result<()> {
    |pid| {
        let start = distro::survivor::process_start_time(pid).unwrap_or(0);
        journal.borrow_mut().write(Record::Child { pid, start })
    }
}

/// Changes as events tell them.
pub fn told(changes: &[Change]) -> Vec<ChangeTold> {
    changes
        .iter()
        .map(|change| ChangeTold {
            item: change.item.clone(),
            summary: change.summary.clone(),
            diff: change.diff.clone(),
        })
        .collect()
}

/// The states of all other products on this host. One whose journal cannot be read stops us: it may own what we would touch.
///
/// # Errors
/// Class `state`.
pub fn others(store: &Store) -> Result<HashMap<String, State>> {
    let mut others = HashMap::new();
    for product in Store::products() {
        if product != store.product() {
            let (_, state) =
                Store::new(&product).load().map_err(|error| error.context(format!("product '{product}'")))?;
            others.insert(product, state);
        }
    }
    Ok(others)
}

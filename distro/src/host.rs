//! The host in hand, and one look at it.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

use crate::accounts::{Group, User};
use crate::dpkg::Dpkg;
use crate::listeners::Socket;
use crate::packages::Package;
use crate::services::Unit;
use crate::{Facts, Runner};

/// The machine that is looked at and changed.
#[derive(Debug)]
pub struct Host {
    /// What it is.
    pub facts: Facts,
    /// Starts commands.
    pub runner: Runner,
    /// Are we root?
    pub root: bool,
}

/// One look at the host. What was asked once is not asked again: make a new one after every change.
#[derive(Debug)]
pub struct Look<'h> {
    /// The host.
    pub host: &'h Host,
    pub(crate) dpkg: OnceCell<Dpkg>,
    pub(crate) rpm: RefCell<HashMap<String, Option<Package>>>,
    /// What rpm says of all keys: it takes its time to start, and each repository asks for its own.
    pub(crate) keys: OnceCell<String>,
    pub(crate) units: RefCell<HashMap<String, Unit>>,
    /// What listens. The kernel takes milliseconds to tell it.
    pub(crate) sockets: OnceCell<Vec<Socket>>,
    pub(crate) users: RefCell<HashMap<String, Option<User>>>,
    pub(crate) groups: RefCell<HashMap<String, Option<Group>>>,
}

impl<'h> Look<'h> {
    /// Nothing is asked yet.
    pub fn new(host: &'h Host) -> Self {
        Self {
            host,
            dpkg: OnceCell::new(),
            rpm: RefCell::default(),
            keys: OnceCell::new(),
            units: RefCell::default(),
            sockets: OnceCell::new(),
            users: RefCell::default(),
            groups: RefCell::default(),
        }
    }
}

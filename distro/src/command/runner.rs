//! Who is told what commands do, and what all of them share.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::network::Network;

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Something that surefoot reports in the course of a command, such as who holds a lock.
    Note,
}

/// What is told about a command while it runs.
#[derive(Debug)]
pub enum Told<'a> {
    /// It was started. `argv` never holds a secret.
    Started {
        /// Number of the command in this process.
        id: u64,
        /// Program and arguments.
        argv: &'a [String],
    },
    /// A line of its output, without the line end.
    Line {
        /// Number of the command.
        id: u64,
        /// Where from.
        stream: Stream,
        /// The line.
        text: &'a str,
    },
    /// How far it is, where the command says so.
    Progress {
        /// Number of the command.
        id: u64,
        /// 0 to 100.
        percent: f32,
        /// What it is doing.
        text: &'a str,
    },
    /// It ended.
    Ended {
        /// Number of the command.
        id: u64,
        /// Exit status, or 128 + signal.
        exit: i32,
        /// How long it ran.
        took: Duration,
    },
}

/// Somebody who wants to know what commands do.
pub trait Listen: Send + Sync {
    /// Called for each thing told, in order, on the thread that runs the command.
    fn told(&self, told: Told<'_>);
}

/// Nobody listens.
#[derive(Debug, Default)]
pub struct Deaf;

impl Listen for Deaf {
    fn told(&self, _: Told<'_>) {}
}

/// Starts commands: holds who listens, how this host reaches others, and how often we were asked to stop.
#[derive(Clone)]
pub struct Runner {
    pub(super) listener: Arc<dyn Listen>,
    network: Arc<Mutex<Arc<Network>>>,
    pub(super) next: Arc<AtomicU64>,
    stop: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// `stop` counts SIGINT and SIGTERM: the second ends the child.
    pub fn new(listener: Arc<dyn Listen>, stop: Arc<AtomicUsize>) -> Self {
        Self { listener, network: Arc::default(), next: Arc::new(AtomicU64::new(1)), stop }
    }

    /// A runner that nobody listens to and nobody stops.
    pub fn quiet() -> Self {
        Self::new(Arc::new(Deaf), Arc::default())
    }

    /// How this host reaches others.
    pub fn network(&self) -> Arc<Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on every child, apt and our own client reach others in this way.
    pub fn use_network(&self, network: Network) {
        *self.network.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(network);
    }

    /// How often we were asked to stop.
    pub fn stops(&self) -> usize {
        self.stop.load(Ordering::SeqCst)
    }

    /// Tells a line that belongs to no command, such as who holds a lock that is waited for.
    pub fn note(&self, text: &str) {
        self.listener.told(Told::Line { id: 0, stream: Stream::Note, text });
    }

    /// Tells how far the command in hand is.
    pub fn progress(&self, percent: f32, text: &str) {
        self.listener.told(Told::Progress { id: 0, percent, text });
    }
}

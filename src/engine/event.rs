//! What the engine says while it works. Console, run log and reports listen; nothing else prints.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use distro::command::{Listen, Stream, Told};
use serde::{Deserialize, Serialize};
use steps::Stage;

use super::failure::Failure;
use super::redact::Redactor;

/// Version of the event format (docs/run-log.md). Fields may be added under the same number.
pub const SCHEMA: u32 = 1;

/// Where in a run something happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Place {
    /// Stage, once one has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Id of the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The resource: `step/type:key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Event {
    /// Version of this format.
    pub schema: u32,
    /// Id of the run; a resume is another attempt of the same run.
    pub run: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Number of the event within this invocation, from 1.
    pub seq: u64,
    /// UTC time, RFC 3339 with milliseconds. For people: nothing is ordered by it.
    pub time: String,
    /// Milliseconds since this invocation began, on a clock that only goes forward.
    pub elapsed_ms: u64,
    /// Name of the product.
    pub product: String,
    /// Where it happened.
    #[serde(flatten)]
    pub place: Place,
    /// Number of the command it belongs to, from 1 within this invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<u64>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What a resource is about to go through, or went through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ChangeTold {
    /// Part of the resource.
    pub item: String,
    /// What is done, in a few words.
    pub summary: String,
    /// Unified diff, where there is text and nothing secret in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// An invocation that changes the host began.
    RunStarted {
        /// `install`, `resume` or `uninstall`.
        action: String,
        /// Version of surefoot.
        version: String,
        /// Title of the product.
        title: String,
        /// Path of the run log.
        log: String,
        /// How many steps and how many resources there are.
        steps: usize,
        /// How many resources.
        resources: usize,
    },
    /// A stage began that has something to do.
    StageStarted,
    /// A step began in this stage.
    StepStarted {
        /// Which step it is.
        n: usize,
        /// Of how many.
        of: usize,
    },
    /// A step has nothing more to do in this stage.
    StepEnded {
        /// Resources changed.
        changed: usize,
        /// Milliseconds it took.
        took_ms: u64,
    },
    /// A resource was found as wanted (told in the run log and with `-v`).
    ResourceInPlace,
    /// A resource is being changed.
    ResourceChanging {
        /// Which resource of this run it is.
        n: usize,
        /// Of how many.
        of: usize,
        /// What is done.
        changes: Vec<ChangeTold>,
    },
    /// A resource was changed and then seen in place.
    ResourceChanged {
        /// Milliseconds it took.
        took_ms: u64,
    },
    /// A resource was taken back.
    ResourceUndone {
        /// What was done.
        summary: String,
    },
    /// A resource stays on the host.
    ResourceKept {
        /// Why.
        why: String,
    },
    /// A command was started.
    CommandStarted {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// A line of a command's output.
    CommandLine {
        /// `out`, `err`, or `note` for what surefoot itself has to say.
        stream: String,
        /// The line.
        text: String,
    },
    /// How far the command in hand is.
    Progress {
        /// 0 to 100.
        percent: f32,
        /// What it is doing.
        text: String,
    },
    /// A command ended.
    CommandEnded {
        /// Exit status, or 128 + signal.
        exit: i32,
        /// Milliseconds it ran.
        took_ms: u64,
    },
    /// Something that does not stop the run, but that somebody should know.
    Warning {
        /// What.
        text: String,
    },
    /// The run failed. The same content as the failure card.
    Failed {
        /// What the card shows.
        failure: Box<Failure>,
    },
    /// The invocation ended. A failure before the first change has `failed` alone.
    RunEnded {
        /// `done`, `failed` or `interrupted`.
        result: String,
        /// Resources that were in place.
        in_place: usize,
        /// Resources changed.
        changed: usize,
        /// Resources failed: 0 or 1.
        failed: usize,
        /// Services that took up a configuration that this run changed.
        restarted: usize,
        /// Parts of resources that were taken away or put back; only where that was asked for (`uninstall`, `--prune`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        taken_back: Option<usize>,
        /// Parts of resources that should have been, and stay on the host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<usize>,
        /// All that is known of the product is removed with it, this log too: a purge.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forgotten: bool,
        /// Milliseconds the invocation took.
        took_ms: u64,
        /// What to do next, a line each.
        next: Vec<String>,
    },
}

/// Somebody who is told every event.
pub trait Report: Send + Sync {
    /// Called in order, on the thread where it happened. Must not fail: what cannot be written is dropped.
    fn event(&self, event: &Event);
}

/// Which run this is.
#[derive(Clone, Debug)]
pub struct RunId {
    /// Id of the run.
    pub run: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Name of the product.
    pub product: String,
}

/// Makes events: numbers, dates and redacts them, and gives them to who listens.
pub struct Bus {
    began: Instant,
    seq: AtomicU64,
    id: Mutex<RunId>,
    place: Mutex<Place>,
    reports: Mutex<Vec<Arc<dyn Report>>>,
    redactor: Arc<Redactor>,
}

impl Bus {
    /// A bus that nobody listens to yet. The id is known once the blueprint is read: [`Bus::is_run`].
    pub fn new(redactor: Arc<Redactor>) -> Self {
        Self {
            began: Instant::now(),
            seq: AtomicU64::new(1),
            id: Mutex::new(RunId { run: String::new(), attempt: 1, product: String::new() }),
            place: Mutex::default(),
            reports: Mutex::default(),
            redactor,
        }
    }

    /// Adds a listener.
    pub fn add(&self, report: Arc<dyn Report>) {
        lock(&self.reports).push(report);
    }

    /// Says which run it is.
    pub fn is_run(&self, id: RunId) {
        *lock(&self.id) = id;
    }

    /// Which run it is.
    pub fn id(&self) -> RunId {
        lock(&self.id).clone()
    }

    /// Goes to a place in the run; what is said from now on happens there.
    pub fn enter(&self, stage: Option<Stage>, step: Option<&str>, resource: Option<&str>) {
        *lock(&self.place) = Place {
            stage: stage.map(|stage| stage.name().to_owned()),
            step: step.map(str::to_owned),
            resource: resource.map(str::to_owned),
        };
    }

    /// Goes back to a place.
    pub fn set_place(&self, place: Place) {
        *lock(&self.place) = place;
    }

    /// Where we are.
    pub fn place(&self) -> Place {
        lock(&self.place).clone()
    }

    /// Since this invocation began.
    pub fn elapsed(&self) -> std::time::Duration {
        self.began.elapsed()
    }

    /// Tells `what`.
    pub fn say(&self, what: What) {
        self.tell(None, what);
    }

    /// Tells a warning.
    pub fn warn(&self, text: impl Into<String>) {
        self.say(What::Warning { text: text.into() });
    }

    fn tell(&self, command: Option<u64>, what: What) {
        // Held while the listeners are called, so that they are told in order.
        let reports = lock(&self.reports);
        let id = self.id();
        let event = Event {
            schema: SCHEMA,
            run: id.run,
            attempt: id.attempt,
            seq: self.seq.fetch_add(1, Ordering::SeqCst),
            time: now(),
            elapsed_ms: millis(self.began.elapsed()),
            product: id.product,
            place: self.redactor.place(self.place()),
            command,
            what: self.redactor.event(what),
        };
        for report in reports.iter() {
            report.event(&event);
        }
    }
}

impl Listen for Bus {
    fn told(&self, told: Told<'_>) {
        let (id, what) = match told {
            Told::Started { id, argv } => (id, What::CommandStarted { argv: argv.to_vec() }),
            Told::Line { id, stream, text } => {
                let stream = match stream {
                    Stream::Out => "out",
                    Stream::Err => "err",
                    Stream::Note => "note",
                };
                (id, What::CommandLine { stream: stream.to_owned(), text: text.to_owned() })
            }
            Told::Progress { id, percent, text } => (id, What::Progress { percent, text: text.to_owned() }),
            Told::Ended { id, exit, took } => (id, What::CommandEnded { exit, took_ms: millis(took) }),
        };
        self.tell((id > 0).then_some(id), what);
    }
}

/// UTC now, RFC 3339 with milliseconds.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Milliseconds, for events.
pub fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a panic elsewhere left behind is still good enough to report with.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

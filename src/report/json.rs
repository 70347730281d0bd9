//! `--output json`: JSON Lines on stdout, and nothing else there.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::engine::event::{Event, Report};

use super::plan::PlanTold;

/// Writes each event as one line.
pub struct JsonLines<W: Write + Send + Sync> {
    out: std::sync::Mutex<W>,
    gone: AtomicBool,
}

/// The plan among the events.
#[derive(Serialize)]
struct PlanLine<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    plan: &'a PlanTold,
}

impl JsonLines<std::io::Stdout> {
    /// To stdout.
    pub fn stdout() -> Self {
        Self::to(std::io::stdout())
    }
}

impl<W: Write + Send + Sync> JsonLines<W> {
    pub(in crate::report) fn to(out: W) -> Self {
        Self { out: std::sync::Mutex::new(out), gone: AtomicBool::new(false) }
    }

    /// Writes the plan, as a line of type `plan`.
    pub fn plan(&self, plan: &PlanTold) {
        self.line(&PlanLine { r#type: "plan", plan });
    }

    fn line(&self, value: &impl Serialize) {
        if self.gone.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut line) = serde_json::to_vec(value) else { return };
        line.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Who does not read any more does not stop the run.
        if out.write_all(&line).and_then(|()| out.flush()).is_err() {
            self.gone.store(true, Ordering::Relaxed);
        }
    }
}

impl<W: Write + Send + Sync> Report for JsonLines<W> {
    fn event(&self, event: &Event) {
        self.line(event);
    }
}

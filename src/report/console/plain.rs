//! One line an event, no control codes: for pipes, CI and terminals that cannot move their cursor.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::engine::event::{Event, Report, What, millis};

use super::super::card::card;
use super::super::line::{Line, changes_in_words, diffs, thing};
use super::super::style::{Style, clean};
use super::{Console, Verbosity, ending};

/// How long nothing is said before progress is.
const SILENCE: Duration = Duration::from_secs(10);

/// Writes lines to `W`.
pub struct Plain<W: Write + Send + Sync> {
    style: Style,
    verbosity: Verbosity,
    state: Mutex<State<W>>,
}

struct State<W> {
    out: W,
    /// Nobody reads any more: a write failed.
    gone: bool,
    log: Option<String>,
    /// The changes in hand, not told yet: told before them where they take a command, and after them with what they were.
    changing: Vec<Changing>,
    spoken_ms: u64,
}

struct Changing {
    resource: Option<String>,
    words: String,
    untold: Option<Line>,
}

impl<W: Write + Send + Sync> Plain<W> {
    /// `style` says how wide the failure card is.
    pub fn new(out: W, style: Style, verbosity: Verbosity) -> Self {
        let state = State { out, gone: false, log: None, changing: Vec::new(), spoken_ms: 0 };
        Self { style, verbosity, state: Mutex::new(state) }
    }

    fn line(&self, state: &mut State<W>, event: &Event, line: &Line) {
        if line.from > self.verbosity {
            return;
        }
        state.spoken_ms = event.elapsed_ms;
        state.write(&format!("{} {}\n", stamp(event.elapsed_ms), line.text));
    }
}

/// `[  3.2s]`: since the invocation began.
pub fn stamp(elapsed_ms: u64) -> String {
    format!("[{:>3}.{}s]", elapsed_ms / 1000, elapsed_ms % 1000 / 100)
}

impl<W: Write> State<W> {
    fn write(&mut self, text: &str) {
        if !self.gone {
            self.gone = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).is_err();
        }
    }
}

impl<W: Write + Send + Sync> Report for Plain<W> {
    fn event(&self, event: &Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = Line::of(event);
        match &event.what {
            What::RunStarted { log, .. } => state.log = Some(log.clone()),
            What::ResourceChanging { changes, .. } => {
                let resource = event.place.resource.clone();
                state.changing.push(Changing { resource, words: changes_in_words(changes), untold: Some(line) });
                if self.verbosity >= Verbosity::Verbose {
                    for text in diffs(&event.what) {
                        state.write(&format!("{}{text}\n", " ".repeat(stamp(0).len() + 1)));
                    }
                }
                return;
            }
            What::ResourceChanged { .. } => {
                let of_this = |changing: &Changing| changing.resource == event.place.resource;
                if let Some(changing) = state.changing.iter().position(of_this).map(|at| state.changing.remove(at)) {
                    let thing = format!("changed {}", thing(&event.place));
                    line.text = line.text.replacen(&thing, &format!("{thing}: {}", changing.words), 1);
                }
            }
            What::CommandStarted { .. } | What::CommandLine { .. } | What::Warning { .. } => {
                let untold: Vec<Line> =
                    state.changing.iter_mut().filter_map(|changing| changing.untold.take()).collect();
                untold.iter().for_each(|line| self.line(&mut state, event, line));
            }
            What::Progress { percent, text } => {
                let silence = event.elapsed_ms.saturating_sub(state.spoken_ms);
                if silence >= millis(SILENCE) {
                    let (text, step) = (clean(text), event.place.step.as_deref().unwrap_or("progress"));
                    let text = format!("{step}: {percent:.0} % {text}");
                    self.line(&mut state, event, &Line { from: Verbosity::Normal, text });
                }
                return;
            }
            What::Failed { failure } => {
                state.changing.clear();
                state.write(&format!("\n{}", card(failure, &self.style)));
                return;
            }
            What::RunEnded { .. } => {
                let text = ending(&event.what, state.log.as_deref(), &self.style, self.verbosity, None);
                state.write(&text);
                return;
            }
            _ => {}
        }
        self.line(&mut state, event, &line);
    }
}

impl<W: Write + Send + Sync> Console for Plain<W> {
    fn say(&self, text: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).write(text);
    }

    fn restore(&self) {}
}

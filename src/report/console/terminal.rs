//! A live list of steps: what is done scrolls up, what is being done stays below with a clock, the last line of its command
//! and a bar where the command says how far it is.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use crate::engine::event::{ChangeTold, Event, Report, What, millis};
use crate::engine::plan::OWN_STEP;

use super::super::card::card;
use super::super::line::{Line, changes_in_words, diffs, is_packages, sets_in_words, size, thing};
use super::super::style::{Ink, Style, clean, padded, seconds, shell};
use super::{Console, Verbosity, ending};

/// How often the clock moves.
const TICK: Duration = Duration::from_millis(100);
/// Columns for a step's name in the list.
const NAME: usize = 20;

/// Draws on a terminal.
pub struct Terminal {
    style: Style,
    verbosity: Verbosity,
    screen: Arc<Screen>,
    bars: MultiProgress,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    log: Option<String>,
    /// What is being done; then its command's last line; then its bar.
    head: Option<ProgressBar>,
    said: Option<ProgressBar>,
    bar: Option<ProgressBar>,
    /// Steps that will be listed when they end.
    steps: Vec<Option<String>>,
    /// What is being changed. Services come up side by side.
    changing: Vec<Changing>,
    /// Which of them is on the screen.
    shown: Option<String>,
}

struct Changing {
    resource: Option<String>,
    /// What is said of it.
    message: String,
    /// Where it is a set of packages: what is said of each. All sets of a transaction are said together.
    packages: Vec<ChangeTold>,
}

impl Terminal {
    /// On stderr.
    pub fn stderr(style: Style, verbosity: Verbosity) -> Self {
        Self::on(Box::new(Term::buffered_stderr()), style, verbosity)
    }

    pub(in crate::report) fn on(term: Box<dyn TermLike>, style: Style, verbosity: Verbosity) -> Self {
        let screen = Arc::new(Screen { term, gone: AtomicBool::new(false) });
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Shared(screen.clone())), 20);
        let bars = MultiProgress::with_draw_target(target);
        Self { style, verbosity, screen, bars, live: Mutex::default() }
    }

    /// Writes above what is live.
    fn above(&self, text: &str) {
        self.bars.suspend(|| self.screen.text(text));
    }

    fn line(&self, line: &Line) {
        if line.from > self.verbosity {
            return;
        }
        let text = format!("  {}", line.text);
        let text = match line.from {
            Verbosity::Quiet => self.style.paint(Ink::Care, &text),
            Verbosity::Normal => text,
            Verbosity::Verbose => self.style.paint(Ink::Faint, &text),
        };
        self.above(&(text + "\n"));
    }

    /// `✓ redis  3 changed  4.2 s`
    fn done(&self, name: &str, what: &str, took_ms: u64) {
        let mark = self.style.paint(Ink::Good, self.style.either("✓", "ok"));
        let took = self.style.paint(Ink::Faint, &seconds(took_ms));
        self.above(&format!("{mark} {}  {}  {took}\n", padded(name, NAME), padded(what, 10)));
    }

    fn head(&self, live: &mut Live, name: &str) {
        live.clear();
        let bar = self.bars.add(ProgressBar::no_length());
        bar.set_style(self.template("{spinner} {prefix}  {wide_msg}  {took}"));
        bar.set_prefix(padded(&clean(name), NAME));
        bar.enable_steady_tick(TICK);
        live.head = Some(bar);
    }

    fn changing(&self, live: &mut Live, event: &Event, (n, of): (usize, usize), changes: &[ChangeTold]) {
        let mut message = format!("{n}/{of} {}: {}", thing(&event.place), changes_in_words(changes));
        let packages = if is_packages(&event.place) { changes.to_vec() } else { Vec::new() };
        if !packages.is_empty() {
            let mut sets: Vec<&[ChangeTold]> = live.changing.iter().map(|one| one.packages.as_slice()).collect();
            sets.push(&packages);
            sets.retain(|set| !set.is_empty());
            if sets.len() > 1 {
                message = format!("{n}/{of} packages: {}", sets_in_words(&sets));
                let others = live.changing.iter_mut().filter(|one| !one.packages.is_empty());
                others.for_each(|one| one.message.clone_from(&message));
            }
        }
        if live.head.is_none() {
            self.head(live, event.place.stage.as_deref().unwrap_or(&event.product));
        }
        if let Some(head) = &live.head {
            head.set_message(message.clone());
        }
        live.shown.clone_from(&event.place.resource);
        live.changing.push(Changing { resource: event.place.resource.clone(), message, packages });
    }

    /// Shows what is waited for, where that is another resource than the one that began last.
    fn back_to(&self, live: &mut Live, event: &Event) {
        let resource = &event.place.resource;
        if live.shown == *resource {
            return;
        }
        // One transaction is for all steps.
        let step = if is_packages(&event.place) { &Some(OWN_STEP.to_owned()) } else { &event.place.step };
        if !live.steps.contains(step) {
            return;
        }
        let Some(one) = live.changing.iter().find(|one| one.resource == *resource) else { return };
        let message = one.message.clone();
        self.head(live, step.as_deref().unwrap_or(&event.product));
        if let Some(head) = &live.head {
            head.set_message(message);
        }
        live.shown.clone_from(resource);
    }

    fn said(&self, live: &mut Live, text: &str) {
        let bar = live.said.get_or_insert_with(|| {
            let bar = ProgressBar::no_length();
            let bar = match &live.head {
                Some(head) => self.bars.insert_after(head, bar),
                None => self.bars.add(bar),
            };
            bar.set_style(self.template("    {wide_msg}"));
            bar
        });
        let text = if text.starts_with("$ ") { text.to_owned() } else { format!("| {text}") };
        bar.set_message(self.style.paint(Ink::Faint, &text));
    }

    fn progress(&self, live: &mut Live, percent: f32, text: &str) {
        let bar = live.bar.get_or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(1000));
            let style = self.template("    {bar:30} {percent:>3} %  {wide_msg}");
            bar.set_style(style.progress_chars(self.style.either("━╸─", "=>-")));
            bar
        });
        // Tenths of a percent; the cast saturates, and a NaN is 0.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates where it should")]
        bar.set_position((percent * 10.0) as u64);
        bar.set_message(clean(text).into_owned());
    }

    fn template(&self, template: &str) -> ProgressStyle {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let took = |state: &ProgressState, out: &mut dyn fmt::Write| {
            // The clock is only for looking at: what it cannot write is left out.
            let _ = out.write_str(&seconds(millis(state.elapsed())));
        };
        style.with_key("took", took).tick_chars(self.style.either("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ", "|/-\\ "))
    }

    fn verbose(&self, event: &Event) {
        if self.verbosity < Verbosity::Verbose {
            return;
        }
        self.line(&Line::of(event));
        for diff in diffs(&event.what) {
            self.above(&format!("      {diff}\n"));
        }
    }

    fn show(&self, live: &mut Live, event: &Event) {
        match &event.what {
            What::RunStarted { action, title, steps, resources, log, .. } => {
                live.log = Some(log.clone());
                let what = format!("{action} {}: {}", event.product, clean(title));
                let size = self.style.paint(Ink::Faint, &size(*steps, *resources));
                self.above(&format!("{}  {size}\n", self.style.paint(Ink::Strong, &what)));
            }
            What::StageStarted => {
                live.clear();
                let stage = event.place.stage.as_deref().unwrap_or_default();
                self.above(&format!("{}\n", self.style.paint(Ink::Faint, stage)));
            }
            What::StepStarted { n, of } => {
                let name = event.place.step.clone().unwrap_or_default();
                self.head(live, &name);
                live.steps.push(event.place.step.clone());
                if let Some(head) = live.head.as_ref().filter(|_| *n > 0) {
                    head.set_message(format!("step {n} of {of}"));
                }
            }
            What::StepEnded { changed, took_ms } => {
                live.clear();
                live.steps.retain(|step| *step != event.place.step);
                if *changed > 0 || self.verbosity >= Verbosity::Verbose {
                    let name = event.place.step.as_deref().unwrap_or_default();
                    self.done(name, &format!("{changed} changed"), *took_ms);
                }
            }
            What::ResourceChanging { n, of, changes } => {
                self.verbose(event);
                self.changing(live, event, (*n, *of), changes);
            }
            What::ResourceChanged { took_ms } => {
                live.quiet();
                live.changing.retain(|one| one.resource != event.place.resource);
                self.verbose(event);
                if live.steps.is_empty() {
                    live.clear();
                    self.done(&thing(&event.place), "changed", *took_ms);
                }
            }
            What::CommandStarted { argv } => {
                self.verbose(event);
                self.back_to(live, event);
                self.said(live, &format!("$ {}", clean(&shell(&without_options(argv)))));
            }
            What::CommandLine { text, .. } => {
                self.verbose(event);
                self.back_to(live, event);
                if !text.trim().is_empty() {
                    self.said(live, &clean(text));
                }
            }
            What::Progress { percent, text } => {
                self.back_to(live, event);
                self.progress(live, *percent, text);
            }
            What::CommandEnded { .. } => {
                self.verbose(event);
                live.quiet();
            }
            What::ResourceUndone { .. } | What::ResourceKept { .. } | What::Warning { .. } => {
                self.line(&Line::of(event))
            }
            What::ResourceInPlace => self.verbose(event),
            What::Failed { failure } => {
                live.clear();
                self.above(&format!("\n{}", card(failure, &self.now())));
            }
            What::RunEnded { .. } => {
                live.clear();
                let style = self.now();
                self.above(&ending(&event.what, live.log.as_deref(), &style, self.verbosity, Some(style.width)));
            }
        }
    }

    /// The style with the width that the terminal has by now.
    fn now(&self) -> Style {
        let width = usize::from(self.screen.term.width());
        Style { width: if width > 0 { width } else { self.style.width }, ..self.style }
    }
}

/// A command without what is set by `-o NAME=VALUE`: the row is short, and the log has all of it.
fn without_options(argv: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = argv.iter().peekable();
    while let Some(word) = rest.next() {
        if word == "-o" && rest.peek().is_some_and(|setting| setting.contains('=')) {
            rest.next();
        } else {
            words.push(word.clone());
        }
    }
    words
}

impl Live {
    /// Takes the command's line and its bar away.
    fn quiet(&mut self) {
        for bar in [self.said.take(), self.bar.take()].into_iter().flatten() {
            bar.finish_and_clear();
        }
    }

    /// Takes everything away that is live.
    fn clear(&mut self) {
        self.quiet();
        self.shown = None;
        if let Some(head) = self.head.take() {
            head.finish_and_clear();
        }
    }
}

impl Report for Terminal {
    fn event(&self, event: &Event) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        self.show(&mut live, event);
    }
}

impl Console for Terminal {
    fn say(&self, text: &str) {
        self.above(text);
    }

    fn restore(&self) {
        // Not waited for: a panic may come from inside, and then the lock is never free.
        match self.live.try_lock() {
            Ok(mut live) => live.clear(),
            Err(_) => self.screen.text("\n"),
        }
        self.screen.text("\u{1b}[?25h\u{1b}[0m");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// A terminal that may go away: after a SIGHUP every write fails, and nothing is written any more.
#[derive(Debug)]
struct Screen {
    term: Box<dyn TermLike>,
    gone: AtomicBool,
}

impl Screen {
    fn text(&self, text: &str) {
        self.attempt(|term| term.write_str(text));
        self.attempt(|term| term.flush());
    }

    fn attempt(&self, write: impl FnOnce(&dyn TermLike) -> io::Result<()>) {
        if !self.gone.load(Ordering::Relaxed) && write(self.term.as_ref()).is_err() {
            self.gone.store(true, Ordering::Relaxed);
        }
    }
}

#[derive(Debug)]
struct Shared(Arc<Screen>);

impl Shared {
    #[expect(clippy::unnecessary_wraps, reason = "what the trait wants: whoever draws must not see the error")]
    fn attempt(&self, write: impl FnOnce(&dyn TermLike) -> io::Result<()>) -> io::Result<()> {
        self.0.attempt(write);
        Ok(())
    }
}

impl TermLike for Shared {
    fn width(&self) -> u16 {
        self.0.term.width()
    }

    fn height(&self) -> u16 {
        self.0.term.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.attempt(|term| term.move_cursor_up(n))
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.attempt(|term| term.move_cursor_down(n))
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.attempt(|term| term.move_cursor_right(n))
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.attempt(|term| term.move_cursor_left(n))
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.attempt(|term| term.write_line(text))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.attempt(|term| term.write_str(text))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.attempt(|term| term.clear_line())
    }

    fn flush(&self) -> io::Result<()> {
        // Rows are filled to the end. There the `^C` that a terminal echoes would move everything by a row.
        self.attempt(|term| term.write_str("\r"))?;
        self.attempt(|term| term.flush())
    }
}

//! What people see while a run works: on stderr, live in a terminal, a line an event elsewhere.

mod plain;
mod terminal;

use std::sync::Arc;

use console::Term;

use crate::engine::event::{Report, What};

use super::style::{Ink, Style, clean, is_dumb, padded};
use super::{Verbosity, summary};

pub use plain::{Plain, stamp};
pub use terminal::Terminal;

/// Columns of a label in what ends a run.
const LABEL: usize = 8;

/// A listener that people look at.
pub trait Console: Report {
    /// Shows `text` (some lines, ending in a line end) above what is live, whatever the verbosity.
    fn say(&self, text: &str);

    /// Gives the terminal back: nothing live on it, the cursor visible. What is said later is written below. Safe at any
    /// moment and any number of times.
    fn restore(&self);
}

/// The console that fits stderr: live where it is a terminal that can move its cursor, a line an event elsewhere.
pub fn open(verbosity: Verbosity) -> Arc<dyn Console> {
    let style = Style::stderr();
    let live = Term::stderr().is_term() && !is_dumb(&|name| std::env::var(name).ok());
    if live && verbosity > Verbosity::Quiet {
        Arc::new(Terminal::stderr(style, verbosity))
    } else {
        Arc::new(Plain::new(std::io::stderr(), style, verbosity))
    }
}

/// Gives the terminal back before a panic is told on it.
pub fn restore_on_panic(console: &Arc<dyn Console>) {
    let console = Arc::downgrade(console);
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if let Some(console) = console.upgrade() {
            console.restore();
        }
        told(info);
    }));
}

/// What ends a run: the sentence, what to do next, where the log is. Longer lines are broken where there is a `width`.
fn ending(what: &What, log: Option<&str>, style: &Style, verbosity: Verbosity, width: Option<usize>) -> String {
    let What::RunEnded { failed, next, forgotten, .. } = what else { return String::new() };
    let ink = if *failed > 0 { Ink::Bad } else { Ink::Strong };
    let sentence = style.paint(ink, &summary(what));
    if verbosity == Verbosity::Quiet {
        return sentence + "\n";
    }
    let mut rows = vec![String::new(), sentence];
    let label = |text: &str| style.paint(Ink::Faint, &padded(text, LABEL));
    let lines = next.iter().flat_map(|line| match width {
        Some(width) => style.wrap(&clean(line), width.saturating_sub(LABEL).max(LABEL)),
        None => vec![clean(line).into_owned()],
    });
    rows.extend(lines.enumerate().map(|(n, line)| format!("{}{line}", label(if n == 0 { "next" } else { "" }))));
    // The failure card has named it already, and what is removed is not named.
    if let Some(log) = log.filter(|_| *failed == 0 && !forgotten) {
        rows.push(format!("{}{log}", label("log")));
    }
    rows.join("\n") + "\n"
}

//! The failure card: where, why, which command, what it said, what to do. 80 columns are enough, and one screen.

use crate::engine::failure::Failure;

use super::line::short;
use super::style::{Ink, Style, clean, columns, padded, shell};

/// Most rows of a card, so that it fits a screen of 24 together with the outcome and a prompt.
const ROWS: usize = 20;
/// Widest text; longer lines are hard to read.
const WIDEST: usize = 100;
const LABEL: usize = 8;

/// The card of `failure`, a row each line.
pub fn card(failure: &Failure, style: &Style) -> String {
    let width = style.width.clamp(40, WIDEST) - LABEL;
    let mut head = Rows::new(style, width);
    head.text("FAILED", &heading(failure, style), 2);
    head.text("why", &failure.message, 4);
    // What only names the resource again is in the heading.
    let resource = failure.place.resource.as_deref().unwrap_or_default();
    let doing: Vec<&str> = failure
        .while_doing
        .iter()
        .map(String::as_str)
        .filter(|doing| resource.is_empty() || !doing.ends_with(resource))
        .collect();
    if !doing.is_empty() && failure.place.step.is_some() {
        head.text("while", &doing.join(": "), 2);
    }
    if let Some(ran) = &failure.command {
        let ended = match (ran.exit, ran.signal) {
            (_, Some(signal)) => format!("signal {signal}"),
            (Some(exit), None) => format!("exit {exit}"),
            (None, None) => String::new(),
        };
        let command = clean(&shell(&ran.argv)).into_owned();
        let row = format!("{command}   {ended}");
        if columns(&row) <= width {
            head.row("command", &row);
        } else {
            head.text("command", &command, 2);
            head.row("", &ended);
        }
    }
    let mut foot = Rows::new(style, width);
    if !failure.advice.is_empty() {
        foot.text("do", &failure.advice, 5);
    }
    if let Some(go_on) = &failure.go_on {
        foot.text("then", go_on, 2);
    }
    let class = format!("class {}, exit code {}", failure.class, failure.exit_code);
    match &failure.log {
        Some(log) if log.len() + class.len() + 3 <= width => foot.row("log", &format!("{log}   {class}")),
        Some(log) => {
            foot.text("log", log, 3);
            foot.row("class", class.trim_start_matches("class "));
        }
        None => foot.row("class", class.trim_start_matches("class ")),
    }
    let room = ROWS.saturating_sub(head.rows.len() + foot.rows.len()).max(3);
    head.evidence(if failure.command.is_some() { "said" } else { "seen" }, &failure.evidence, room);
    head.rows.extend(foot.rows);
    head.rows.join("\n") + "\n"
}

/// Where it failed; without a place, what that kind of failure means.
fn heading(failure: &Failure, style: &Style) -> String {
    let place = &failure.place;
    let position = failure.position.map(|(n, of)| format!(" ({n} of {of})")).unwrap_or_default();
    let mut parts = Vec::new();
    if let Some(step) = &place.step {
        parts.push(format!("step {step}"));
    }
    if let Some(resource) = &place.resource {
        let step = place.step.as_deref().unwrap_or_default();
        parts.push(short(resource, step).to_owned());
    }
    if let Some(last) = parts.last_mut() {
        last.push_str(&position);
    }
    if let Some(stage) = &place.stage {
        parts.push(format!("stage {stage}"));
    }
    if parts.is_empty() {
        parts.push(failure.while_doing.first().map_or_else(|| failure.class.meaning().to_owned(), Clone::clone));
    }
    parts.join(style.either(" · ", " - "))
}

struct Rows<'a> {
    style: &'a Style,
    width: usize,
    rows: Vec<String>,
}

impl<'a> Rows<'a> {
    fn new(style: &'a Style, width: usize) -> Self {
        Self { style, width, rows: Vec::new() }
    }

    fn row(&mut self, label: &str, text: &str) {
        let ink = if label == "FAILED" { Ink::Bad } else { Ink::Faint };
        let label = self.style.paint(ink, &padded(label, LABEL));
        self.rows.push(format!("{label}{text}").trim_end().to_owned());
    }

    /// Text in at most `most` rows, the rest of it cut.
    fn text(&mut self, label: &str, text: &str, most: usize) {
        let mut lines: Vec<String> = text.lines().flat_map(|line| self.style.wrap(&clean(line), self.width)).collect();
        if lines.len() > most {
            let rest = lines.split_off(most - 1).join(" ");
            lines.push(self.style.cut(&rest, self.width).into_owned());
        }
        for (n, line) in lines.iter().enumerate() {
            self.row(if n == 0 { label } else { "" }, line);
        }
    }

    /// Lines that something said, the last ones where there is no room for all: what ended a command stands at the end.
    fn evidence(&mut self, label: &str, lines: &[String], room: usize) {
        let lines = lines.iter().flat_map(|line| line.lines()).map(clean).filter(|line| !line.trim().is_empty());
        // What fits stays as it is: a mark below a line points to a column.
        let rows = lines.flat_map(|line| match columns(&line) <= self.width - 2 {
            true => vec![line.trim_end().to_owned()],
            false => self.style.wrap(&line, self.width - 2),
        });
        let mut rows: Vec<String> = rows.collect();
        let more = rows.len().saturating_sub(room);
        if more > 0 {
            rows.drain(..=more);
            rows.insert(0, format!("{} more in the log", self.style.ellipsis()));
        }
        for (n, row) in rows.iter().enumerate() {
            self.row(if n == 0 { label } else { "" }, &format!("| {row}"));
        }
    }
}

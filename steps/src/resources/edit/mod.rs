//! Setting one key of a configuration file and taking that back, byte for byte: comments, order, spacing, line ends and a missing
//! newline at the end stay as they are. Pure functions from text to text.
//!
//! Of several lines for one key the last is meant, but in htpasswd files: that is what nearly every reader of such files takes.

mod colon;
mod env;
mod ini;
mod space;
mod yaml;

use crate::KeyFormat;

/// Which key of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    /// How the file is written.
    pub format: KeyFormat,
    /// INI section; empty for keys before the first one, and in files without sections.
    pub section: &'a str,
    /// The key.
    pub key: &'a str,
    /// May other lines have the same key? Then only a line with our very value is ours.
    pub repeat: bool,
}

/// A key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    /// The new text.
    pub text: Vec<u8>,
    /// The line (or lines, where a value goes over several) that was replaced, without the last line end.
    pub old: Option<Vec<u8>>,
    /// The line that was written, without line end.
    pub new: Vec<u8>,
    /// Was the section made for it?
    pub made_section: bool,
    /// How many lines had the key before.
    pub lines: usize,
}

/// What came of taking a key back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// The new text.
    Text(Vec<u8>),
    /// Nothing of ours is there.
    Gone,
    /// Somebody changed the line since.
    Changed,
}

/// The text around a key does not parse, so that whatever is written there would not be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// One place where a key has a value.
struct Occurrence {
    /// First line.
    first: usize,
    /// Last line; another one than the first, where the value goes over several.
    last: usize,
    /// Everything before the value: indent, key, separator.
    head: Vec<u8>,
    /// The value; none where it is more than one plain text.
    value: Option<Vec<u8>>,
}

/// Is it there, with this value?
pub(super) fn is_set(text: &[u8], spot: Spot<'_>, value: &[u8]) -> bool {
    wanted(&scan(&lines_of(text), spot), spot, value)
}

/// What is there, where it is one plain text.
pub(super) fn value(text: &[u8], spot: Spot<'_>) -> Option<Vec<u8>> {
    let lines = lines_of(text);
    match (scan(&lines, spot).pop(), spot.format) {
        (Some(entry), _) => entry.value,
        (None, KeyFormat::Yaml) => yaml::in_braces(&lines, spot.key),
        (None, _) => None,
    }
}

/// `text` with the key set; none where it is already.
pub(super) fn set(text: &[u8], spot: Spot<'_>, value: &[u8]) -> Result<Option<Edit>, Garbled> {
    let lines = lines_of(text);
    let found = scan(&lines, spot);
    if wanted(&found, spot, value) {
        return Ok(None);
    }
    let candidates = match found.last() {
        Some(last) if !spot.repeat => vec![replace(&lines, last, spot, value, found.len())],
        _ => insertions(&lines, spot).into_iter().map(|at| insert(&lines, at, spot, value, found.len())).collect(),
    };
    // What was written must be read back: a line may swallow the next one (an open quote, a deeper indent).
    let good = |edit: &Edit| is_set(&edit.text, spot, value) && scan_len(&edit.text, spot) == edit.expected_lines();
    candidates.into_iter().find(good).map(Some).ok_or(Garbled)
}

/// `text` with our line taken out again, or `original` put back in its place.
pub(super) fn take_back(
    text: &[u8],
    spot: Spot<'_>,
    is_ours: impl Fn(&[u8]) -> bool,
    original: Option<&[u8]>,
    made_section: bool,
) -> Back {
    let mut lines = lines_of(text);
    let found = scan(&lines, spot);
    let Some(ours) = found.iter().rev().find(|entry| is_ours(&body_of(&lines, entry))) else {
        return match (original, found.last()) {
            (None, Some(_)) if spot.repeat => Back::Gone,
            (None, None) => Back::Gone,
            // Intended, and never done.
            (Some(original), Some(last)) if body_of(&lines, last) == original => Back::Gone,
            _ => Back::Changed,
        };
    };
    if let Some(original) = original {
        let line = [original, end_of(&lines[ours.last])].concat();
        lines.splice(ours.first..=ours.last, [line]);
        return Back::Text(lines.concat());
    }
    let (mut first, last) = (ours.first, ours.last);
    if made_section && let Some(header) = ini::lone_key(&lines, first) {
        first = header;
        // The blank line that was put before the section.
        if first > 0 && lines[first - 1].trim_ascii().is_empty() {
            first -= 1;
        }
    }
    let to_the_end = last + 1 == lines.len() && end_of(&lines[last]).is_empty();
    lines.drain(first..=last);
    // A file without newline at its end has got one in the line before ours.
    if to_the_end && first > 0 {
        let line_end = line_end(&lines[..first - 1]);
        let line = &mut lines[first - 1];
        if line.ends_with(line_end) {
            line.truncate(line.len() - line_end.len());
        }
    }
    Back::Text(lines.concat())
}

impl Edit {
    /// How many lines have the key now.
    fn expected_lines(&self) -> usize {
        self.lines + usize::from(self.old.is_none())
    }
}

fn scan_len(text: &[u8], spot: Spot<'_>) -> usize {
    scan(&lines_of(text), spot).len()
}

/// Every place where the key has a value, in order.
fn scan(lines: &[Vec<u8>], spot: Spot<'_>) -> Vec<Occurrence> {
    match spot.format {
        KeyFormat::Ini => ini::scan(lines, spot),
        KeyFormat::Env => env::scan(lines, spot.key),
        KeyFormat::Space => space::scan(lines, spot.key),
        KeyFormat::Colon => colon::scan(lines, spot.key),
        KeyFormat::Yaml => yaml::scan(lines, spot.key),
    }
}

fn wanted(found: &[Occurrence], spot: Spot<'_>, value: &[u8]) -> bool {
    let fits = |entry: &Occurrence| entry.value.as_deref() == Some(value);
    if spot.repeat { found.iter().any(fits) } else { found.last().is_some_and(fits) }
}

/// A place for a new line.
struct Gap {
    /// Before which line.
    at: usize,
    /// Everything before the value.
    head: Vec<u8>,
    /// Lines (without line end) that come before it: a blank one and a section's header.
    before: Vec<Vec<u8>>,
}

/// Places for a new line, the best first.
fn insertions(lines: &[Vec<u8>], spot: Spot<'_>) -> Vec<Gap> {
    let end = |head: String| Gap { at: lines.len(), head: head.into_bytes(), before: Vec::new() };
    match spot.format {
        KeyFormat::Ini => ini::insertions(lines, spot),
        KeyFormat::Env => vec![end(format!("{}=", spot.key))],
        KeyFormat::Space => vec![end(format!("{} ", spot.key))],
        KeyFormat::Colon => vec![end(format!("{}:", spot.key))],
        KeyFormat::Yaml => yaml::insertions(lines, spot.key),
    }
}

fn replace(lines: &[Vec<u8>], entry: &Occurrence, spot: Spot<'_>, value: &[u8], found: usize) -> Edit {
    let new = line(&entry.head, spot, value);
    let mut edited = lines.to_vec();
    let whole = [&new[..], end_of(&lines[entry.last])].concat();
    edited.splice(entry.first..=entry.last, [whole]);
    Edit { text: edited.concat(), old: Some(body_of(lines, entry)), new, made_section: false, lines: found }
}

fn insert(lines: &[Vec<u8>], gap: Gap, spot: Spot<'_>, value: &[u8], found: usize) -> Edit {
    let new = line(&gap.head, spot, value);
    let made_section = !gap.before.is_empty();
    let mut bodies = gap.before;
    bodies.push(new.clone());
    let mut edited = lines.to_vec();
    let unended = gap.at == lines.len() && lines.last().is_some_and(|line| end_of(line).is_empty());
    if unended {
        let line_end = line_end(&lines[..gap.at - 1]);
        for body in bodies {
            edited.push([line_end, &body].concat());
        }
    } else {
        let line_end = line_end(lines);
        edited.splice(gap.at..gap.at, bodies.into_iter().map(|body| [&body, line_end].concat()));
    }
    Edit { text: edited.concat(), old: None, new, made_section, lines: found }
}

/// The line that says `value`.
fn line(head: &[u8], spot: Spot<'_>, value: &[u8]) -> Vec<u8> {
    let value = match spot.format {
        KeyFormat::Env => env::quote(value),
        KeyFormat::Yaml => yaml::quote(value),
        KeyFormat::Ini | KeyFormat::Space | KeyFormat::Colon => value.to_vec(),
    };
    let mut line = [head, &value].concat();
    if value.is_empty() {
        line.truncate(line.trim_ascii_end().len());
    }
    line
}

/// Lines with their line ends.
fn lines_of(text: &[u8]) -> Vec<Vec<u8>> {
    text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Line end of `line`: `\n`, `\r\n` or, at the end of the file, none.
fn end_of(line: &[u8]) -> &'static [u8] {
    if line.ends_with(b"\r\n") {
        b"\r\n"
    } else if line.ends_with(b"\n") {
        b"\n"
    } else {
        b""
    }
}

/// Line end that the first of `lines` has.
fn line_end(lines: &[Vec<u8>]) -> &'static [u8] {
    lines.first().map(|line| end_of(line)).filter(|end| !end.is_empty()).unwrap_or(b"\n")
}

/// The bytes of an occurrence, without the last line end.
fn body_of(lines: &[Vec<u8>], entry: &Occurrence) -> Vec<u8> {
    let mut body = lines[entry.first..=entry.last].concat();
    body.truncate(body.len() - end_of(&lines[entry.last]).len());
    body
}

/// `line` without line end, cut where its indent ends.
fn split_indent(line: &[u8]) -> (&[u8], &[u8]) {
    let body = &line[..line.len() - end_of(line).len()];
    let indent = body.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    body.split_at(indent)
}

#[cfg(test)]
mod tests;

//! Files of sections with keys, as in st2.conf, my.cnf or systemd units.

use super::{Gap, Occurrence, Spot, split_indent};

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Blank,
    Comment,
    Header,
    Key,
    /// Continues the value of the key above: indented deeper, and no assignment of its own.
    More,
}

/// A line with what it is and which section it is in (the count of headers up to it).
struct Line {
    sort: Sort,
    section: usize,
}

/// Says of every line what it is, and gives the names of the sections; the first has none.
fn parse(lines: &[Vec<u8>]) -> (Vec<Line>, Vec<&[u8]>) {
    let mut names: Vec<&[u8]> = vec![b""];
    let mut parsed = Vec::with_capacity(lines.len());
    // Indent of the key whose value may go on.
    let mut open: Option<usize> = None;
    for line in lines {
        let (indent, _) = split_indent(line);
        let text = line.trim_ascii();
        let sort = match text.first() {
            None => Sort::Blank,
            Some(b'#' | b';') => Sort::Comment,
            Some(b'[') if text.contains(&b']') => {
                let name = text[1..].split(|byte| *byte == b']').next().unwrap_or_default();
                names.push(name.trim_ascii());
                Sort::Header
            }
            Some(_) if open.is_some_and(|above| indent.len() > above) && !text.contains(&b'=') => Sort::More,
            Some(_) => Sort::Key,
        };
        open = match sort {
            Sort::Key => Some(indent.len()),
            Sort::More => open,
            Sort::Blank | Sort::Comment | Sort::Header => None,
        };
        parsed.push(Line { sort, section: names.len() - 1 });
    }
    (parsed, names)
}

pub(super) fn scan(lines: &[Vec<u8>], spot: Spot<'_>) -> Vec<Occurrence> {
    let (parsed, names) = parse(lines);
    let mut found = Vec::new();
    for (first, line) in parsed.iter().enumerate() {
        if line.sort != Sort::Key || !is_section(&names, line.section, spot.section) {
            continue;
        }
        let Some((head, value)) = assignment(&lines[first], spot.key) else { continue };
        let more = parsed[first + 1..].iter().take_while(|line| line.sort == Sort::More).count();
        let value = value.filter(|_| more == 0).map(<[u8]>::to_vec);
        found.push(Occurrence { first, last: first + more, head, value });
    }
    found
}

/// Is the section with this number the one called `name`? Only the first, before all headers, has no name.
fn is_section(names: &[&[u8]], number: usize, name: &str) -> bool {
    names[number] == name.as_bytes() && (number == 0) == name.is_empty()
}

/// Everything before the value of `key`, and the value: none where the key stands alone.
fn assignment<'l>(line: &'l [u8], key: &str) -> Option<(Vec<u8>, Option<&'l [u8]>)> {
    let (indent, text) = split_indent(line);
    let rest = text.strip_prefix(key.as_bytes())?;
    let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match rest.get(spaces) {
        None => Some(([indent, key.as_bytes(), b" = "].concat(), None)),
        Some(b'=' | b':') => {
            let after = &rest[spaces + 1..];
            let value = after.trim_ascii();
            let gap = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            // `key =` without a value would lose the space after it.
            let gap = if value.is_empty() { &rest[..spaces] } else { &after[..gap] };
            Some(([indent, key.as_bytes(), &rest[..=spaces], gap].concat(), Some(value)))
        }
        Some(_) if rest.trim_ascii().is_empty() => Some(([indent, key.as_bytes(), b" = "].concat(), None)),
        Some(_) => None,
    }
}

/// After the line that has the key commented out; else after the last key of the section; else in a new section.
pub(super) fn insertions(lines: &[Vec<u8>], spot: Spot<'_>) -> Vec<Gap> {
    let (parsed, names) = parse(lines);
    let Some(section) = (0..names.len()).rev().find(|number| is_section(&names, *number, spot.section)) else {
        let mut before = vec![format!("[{}]", spot.section).into_bytes()];
        if !lines.is_empty() {
            before.insert(0, Vec::new());
        }
        return vec![Gap { at: lines.len(), head: head(lines, &parsed, 0..lines.len(), spot.key), before }];
    };
    // The lines of the section, without its header.
    let start = parsed.iter().take_while(|line| line.section < section).count() + usize::from(section > 0);
    let range = start..parsed.iter().take_while(|line| line.section <= section).count();
    let commented = range.clone().rev().find(|at| is_commented(&lines[*at], parsed[*at].sort, spot.key));
    let last_key = range.clone().rev().find(|at| matches!(parsed[*at].sort, Sort::Key | Sort::More));
    let end = match last_key {
        Some(at) => at + 1,
        // A file of comments alone: not above its title.
        None if names.len() == 1 => lines.len(),
        None => start,
    };
    let gap = |at: usize| Gap { at, head: head(lines, &parsed, start..at, spot.key), before: Vec::new() };
    commented.map(|at| at + 1).into_iter().chain([end]).map(gap).collect()
}

/// Is this `#key = value`?
fn is_commented(line: &[u8], sort: Sort, key: &str) -> bool {
    let text = line.trim_ascii();
    let marks = text.iter().take_while(|byte| matches!(byte, b'#' | b';' | b' ' | b'\t')).count();
    sort == Sort::Comment && assignment(&text[marks..], key).is_some_and(|(_, value)| value.is_some())
}

/// Indent, key and separator in the style of the last key of `range`, or of the first one of the file.
fn head(lines: &[Vec<u8>], parsed: &[Line], range: std::ops::Range<usize>, key: &str) -> Vec<u8> {
    let is_key = |at: &usize| parsed[*at].sort == Sort::Key;
    let model = range.rev().find(is_key).or_else(|| (0..lines.len()).find(is_key));
    let style = model.and_then(|at| {
        let (indent, text) = split_indent(&lines[at]);
        let name = text.iter().position(|byte| matches!(byte, b'=' | b':'))?;
        let name = std::str::from_utf8(text[..name].trim_ascii_end()).ok()?;
        let (head, value) = assignment(&lines[at], name)?;
        value.filter(|value| !value.is_empty())?;
        Some([indent, key.as_bytes(), &head[indent.len() + name.len()..]].concat())
    });
    style.unwrap_or_else(|| format!("{key} = ").into_bytes())
}

/// The header of the section, where the key at line `at` comes right below it and is all that it holds.
pub(super) fn lone_key(lines: &[Vec<u8>], at: usize) -> Option<usize> {
    let (parsed, _) = parse(lines);
    let header = at.checked_sub(1).filter(|above| parsed[*above].sort == Sort::Header)?;
    let mut below = parsed[at + 1..].iter().take_while(|line| line.section == parsed[at].section);
    below.all(|line| line.sort == Sort::Blank).then_some(header)
}

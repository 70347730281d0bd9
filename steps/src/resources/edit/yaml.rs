//! Files of nested `key: value` lines, as in mongod.conf. A key is named by its whole path: `net.bindIp`. Lists and what stands in braces is
//! left alone.

use super::{Gap, Occurrence, split_indent};

/// A key with all that it is below.
struct Entry {
    line: usize,
    indent: usize,
    path: String,
    /// Everything before the value.
    head: Vec<u8>,
    /// What follows, without comment; empty where lines below it are the value.
    raw: Vec<u8>,
}

/// The keys of the file, in order.
fn entries(lines: &[Vec<u8>]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // Indents and paths of the keys that the line is below; no path in a list.
    let mut above: Vec<(usize, Option<String>)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let (indent, text) = split_indent(line);
        if text.trim_ascii().is_empty() || text.starts_with(b"#") || (indent.is_empty() && text.starts_with(b"---")) {
            continue;
        }
        while above.last().is_some_and(|(open, _)| *open >= indent.len()) {
            above.pop();
        }
        let parent = above.last().map_or(Some(""), |(_, path)| path.as_deref());
        let (Some(parent), Some((key, head, raw))) = (parent, assignment(line)) else {
            above.push((indent.len(), None));
            continue;
        };
        let path = if parent.is_empty() { key } else { format!("{parent}.{key}") };
        above.push((indent.len(), Some(path.clone())));
        entries.push(Entry { line: number, indent: indent.len(), path, head, raw });
    }
    entries
}

/// The key of a line, everything before its value, and the value.
fn assignment(line: &[u8]) -> Option<(String, Vec<u8>, Vec<u8>)> {
    let (indent, text) = split_indent(line);
    if text.starts_with(b"- ") || text.starts_with(b"{") || text.starts_with(b"[") {
        return None;
    }
    let ends = |at: usize| text.get(at + 1).is_none_or(|next| next.is_ascii_whitespace());
    let colon = (0..text.len()).find(|at| text[*at] == b':' && ends(*at))?;
    let key = String::from_utf8_lossy(text[..colon].trim_ascii()).trim_matches(['"', '\'']).to_owned();
    let gap = text[colon + 1..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let raw = without_comment(&text[colon + 1 + gap..]).trim_ascii();
    let separator: &[u8] = if gap == 0 || raw.is_empty() { b" " } else { &text[colon + 1..=colon + gap] };
    Some((key, [indent, &text[..=colon], separator].concat(), raw.to_vec()))
}

fn without_comment(value: &[u8]) -> &[u8] {
    if value.starts_with(b"#") {
        return &[];
    }
    let quoted = value.first().filter(|first| matches!(first, b'"' | b'\''));
    let from = quoted.and_then(|quote| value[1..].iter().position(|byte| byte == quote)).map_or(0, |at| at + 2);
    let comment =
        (from..value.len()).find(|at| value[*at] == b'#' && at.checked_sub(1).is_some_and(|at| value[at] == b' '));
    &value[..comment.unwrap_or(value.len())]
}

/// Characters of a word that needs no quotes.
fn is_plain(value: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./:@%+,-".contains(byte);
    value.first().is_some_and(|first| first.is_ascii_alphanumeric() || b"_./".contains(first))
        && value.iter().all(plain)
        && !value.ends_with(b":")
}

/// `value` as one scalar.
pub(super) fn quote(value: &[u8]) -> Vec<u8> {
    if is_plain(value) {
        value.to_vec()
    } else {
        serde_json::Value::from(String::from_utf8_lossy(value)).to_string().into_bytes()
    }
}

/// What is read of a scalar; none where it is more than a plain one.
fn unquote(raw: &[u8]) -> Option<Vec<u8>> {
    match raw {
        [b'"', ..] => serde_json::from_slice::<String>(raw).ok().map(String::into_bytes),
        [b'\'', inner @ .., b'\''] if !inner.contains(&b'\'') => Some(inner.to_vec()),
        [] | [b'{' | b'[' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'', ..] => None,
        _ => Some(raw.to_vec()),
    }
}

pub(super) fn scan(lines: &[Vec<u8>], key: &str) -> Vec<Occurrence> {
    let of =
        |entry: Entry| Occurrence { first: entry.line, last: entry.line, head: entry.head, value: unquote(&entry.raw) };
    entries(lines).into_iter().filter(|entry| entry.path == key).map(of).collect()
}

/// What a key has in the braces of the one that it is below: `replication: { replSetName: rs0 }`.
pub(super) fn in_braces(lines: &[Vec<u8>], key: &str) -> Option<Vec<u8>> {
    entries(lines).iter().rev().find_map(|entry| {
        let name = key.strip_prefix(&entry.path)?.strip_prefix('.')?;
        let more = lines[entry.line + 1..].concat();
        let whole = [entry.raw.strip_prefix(b"{")?, b" ", &more].concat();
        let inner = whole.split(|byte| *byte == b'}').next()?;
        let mut found = inner.split(|byte| *byte == b',').filter_map(|part| assignment(part.trim_ascii()));
        found.rfind(|(found, ..)| found == name).and_then(|(_, _, raw)| unquote(&raw))
    })
}

/// Below the innermost key that it belongs to; at the end of the file, by its whole path, where there is none. Nowhere, where that
/// one's value is written in another way.
pub(super) fn insertions(lines: &[Vec<u8>], key: &str) -> Vec<Gap> {
    let entries = entries(lines);
    if lines.iter().any(|line| line.starts_with(b"{")) {
        return Vec::new();
    }
    let below =
        |entry: &Entry| key.strip_prefix(&entry.path).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
    let inner = entries.iter().enumerate().filter(|(_, entry)| below(entry).is_some());
    let Some((at, entry)) = inner.max_by_key(|(_, entry)| entry.path.len()) else {
        return vec![Gap { at: lines.len(), head: format!("{key}: ").into_bytes(), before: Vec::new() }];
    };
    let child = entries.get(at + 1).filter(|child| child.indent > entry.indent);
    let (Some(child), Some(rest), true) = (child, below(entry), entry.raw.is_empty()) else {
        // Nothing is below it yet, and it holds no other value: then its whole path says the same.
        let empty = entry.raw.is_empty()
            && lines.get(entry.line + 1).is_none_or(|next| split_indent(next).0.len() <= entry.indent);
        let end = Gap { at: lines.len(), head: format!("{key}: ").into_bytes(), before: Vec::new() };
        return if empty { vec![end] } else { Vec::new() };
    };
    let indent = &lines[child.line][..child.indent];
    vec![Gap { at: entry.line + 1, head: [indent, rest.as_bytes(), b": "].concat(), before: Vec::new() }]
}

//! Files of shell assignments, as in /etc/default and `EnvironmentFile=` of systemd.
//!
//! Quoted so that a shell and systemd read the same value.

use super::{Occurrence, end_of, split_indent};

/// Characters that need no quotes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:@%+,=-".contains(&byte)
}

/// `value` as one word.
pub(super) fn quote(value: &[u8]) -> Vec<u8> {
    if value.iter().all(|byte| is_plain(*byte)) {
        return value.to_vec();
    }
    if !value.contains(&b'\'') {
        return [b"'", value, b"'"].concat();
    }
    // systemd does not join '…'"'"'…' as a shell does, but both take these escapes.
    let mut quoted = vec![b'"'];
    for byte in value {
        if b"\"\\`$".contains(byte) {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    quoted
}

/// What a shell and systemd both take `word` for; none where they differ, or where it is more than a plain text.
fn unquote(word: &[u8]) -> Option<Vec<u8>> {
    match word {
        [b'\'', inner @ .., b'\''] if !inner.contains(&b'\'') => Some(inner.to_vec()),
        [b'"', inner @ .., b'"'] => {
            let mut value = Vec::new();
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'\\' => value.push(*bytes.next().filter(|byte| b"\"\\`$".contains(byte))?),
                    b'"' | b'$' | b'`' => return None,
                    _ => value.push(*byte),
                }
            }
            Some(value)
        }
        _ => word.iter().all(|byte| is_plain(*byte)).then(|| word.to_vec()),
    }
}

pub(super) fn scan(lines: &[Vec<u8>], key: &str) -> Vec<Occurrence> {
    let mut found = Vec::new();
    let mut first = 0;
    while first < lines.len() {
        let Some((head, name, raw)) = assignment(&lines[first]) else {
            first += 1;
            continue;
        };
        let last = last_line(lines, first, raw.len());
        if name == key.as_bytes() {
            let value = if last == first { unquote(raw.trim_ascii_end()) } else { None };
            found.push(Occurrence { first, last, head: head.to_vec(), value });
        }
        first = last + 1;
    }
    found
}

/// Everything up to the value, the name and the value of `NAME=value` or `export NAME=value`.
fn assignment(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (indent, text) = split_indent(line);
    let mut start = indent.len();
    if let Some(rest) = text.strip_prefix(b"export") {
        let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if spaces > 0 {
            start += "export".len() + spaces;
        }
    }
    let body = &line[..line.len() - end_of(line).len()];
    let length = body[start..].iter().position(|byte| *byte == b'=')?;
    let name = &body[start..start + length];
    let valid = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    valid.then(|| (&body[..=start + length], name, &body[start + length + 1..]))
}

/// The line on which the quotes are closed that the value (of `length` bytes on line `first`) opens; the first where they never are.
fn last_line(lines: &[Vec<u8>], first: usize, length: usize) -> usize {
    let mut quote = None;
    let mut escaped = false;
    for (number, line) in lines.iter().enumerate().skip(first) {
        let skipped = if number == first { line.len() - end_of(line).len() - length } else { 0 };
        for byte in &line[skipped..] {
            match (quote, byte) {
                _ if escaped => escaped = false,
                (Some(b'"') | None, b'\\') => escaped = true,
                (None, b'"' | b'\'') => quote = Some(*byte),
                (None, b'#') => break,
                (Some(open), byte) if open == *byte => quote = None,
                _ => {}
            }
        }
        if quote.is_none() {
            return number;
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_needed_and_read_back() {
        let cases = [
            ("", ""),
            ("a/b:c@d%e,f=g", "a/b:c@d%e,f=g"),
            ("two words", "'two words'"),
            ("$HOME `id` \"x\"", "'$HOME `id` \"x\"'"),
            ("it's $5 \"\\", "\"it's \\$5 \\\"\\\\\""),
            ("~", "'~'"),
            ("ü", "'ü'"),
        ];
        for (value, word) in cases {
            assert_eq!(String::from_utf8(quote(value.as_bytes())).unwrap(), word);
            assert_eq!(unquote(word.as_bytes()).unwrap(), value.as_bytes(), "{word}");
        }
    }

    #[test]
    fn what_is_more_than_a_text_has_no_value() {
        for word in ["$A", "\"$A\"", "a b", "a # c", "'a''b'", "'a'b", "\"a\"b\"", "a;b", "`id`", "\"\\n\"", "\"", "'"]
        {
            assert_eq!(unquote(word.as_bytes()), None, "{word}");
        }
    }
}

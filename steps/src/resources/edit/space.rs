//! Files of `key value`, as in redis.conf.

use super::{Occurrence, split_indent};

pub(super) fn scan(lines: &[Vec<u8>], key: &str) -> Vec<Occurrence> {
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let (indent, text) = split_indent(line);
        let Some(rest) = text.strip_prefix(key.as_bytes()) else { continue };
        let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let value = rest.trim_ascii();
        if spaces == 0 && !value.is_empty() {
            continue;
        }
        let separator: &[u8] = if spaces == 0 { b" " } else { &rest[..spaces] };
        let head = [indent, key.as_bytes(), separator].concat();
        found.push(Occurrence { first: number, last: number, head, value: Some(value.to_vec()) });
    }
    found
}

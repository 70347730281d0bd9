//! Files of `key:value`, as htpasswd: the first line of a key is the one that counts.

use super::{Occurrence, end_of};

pub(super) fn scan(lines: &[Vec<u8>], key: &str) -> Vec<Occurrence> {
    let head = format!("{key}:").into_bytes();
    let first = lines.iter().enumerate().find_map(|(number, line)| {
        let value = line[..line.len() - end_of(line).len()].strip_prefix(head.as_slice())?.to_vec();
        Some(Occurrence { first: number, last: number, head: head.clone(), value: Some(value) })
    });
    first.into_iter().collect()
}

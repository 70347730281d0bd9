//! The lines of an os-release file, checked.

use std::collections::BTreeMap;

use crate::failure::{Class, Fault};

/// Keys that are read; whatever else a vendor wrote into the file is not ours to judge.
const KEYS: [&str; 8] =
    ["ID", "ID_LIKE", "NAME", "PRETTY_NAME", "VERSION_ID", "VERSION_CODENAME", "UBUNTU_CODENAME", "DEBIAN_CODENAME"];

/// The values of the keys that are read. Of a key that is there twice, the last one counts, as in a shell.
pub(super) fn values(path: &str, bytes: &[u8]) -> Result<BTreeMap<&'static str, String>, Fault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut values = BTreeMap::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b";") {
            continue;
        }
        if let Some((key, value)) = assignment(line).map_err(|why| fault(path, number, line, &why))? {
            values.insert(key, value);
        }
    }
    if values.get("ID").is_none_or(String::is_empty) {
        return Err(Fault::new(Class::Host, format!("{path} has no ID"))
            .evidence(String::from_utf8_lossy(bytes).lines().filter(|line| !line.trim().is_empty()).take(5).map(shown))
            .advice(ADVICE));
    }
    Ok(values)
}

/// The lines as the parser of the crate `os-release` is safe with: each value in double quotes, of which it takes exactly one
/// pair off.
pub(super) fn normalised(values: &BTreeMap<&'static str, String>) -> impl Iterator<Item = String> {
    values.iter().map(|(key, value)| format!("{key}=\"{value}\""))
}

const ADVICE: &str = "write the file as os-release(5) says, or reinstall the package that brings it \
                      (base-files on Debian and Ubuntu)";

fn fault(path: &str, number: usize, line: &[u8], why: &str) -> Fault {
    let line = shown(&String::from_utf8_lossy(line));
    Fault::new(Class::Host, format!("{path} line {number} '{line}': {why}")).advice(ADVICE)
}

/// A line as it can be shown: one line, no control characters, not endless.
fn shown(line: &str) -> String {
    let mut text: String = line.chars().take(100).flat_map(escaped).collect();
    if line.chars().count() > 100 {
        text.push('…');
    }
    text
}

fn escaped(c: char) -> impl Iterator<Item = char> {
    let (escape, plain) = if c.is_control() { (Some(c.escape_default()), None) } else { (None, Some(c)) };
    escape.into_iter().flatten().chain(plain)
}

/// Key and value of a line; none where the key is not one that is read.
fn assignment(line: &[u8]) -> Result<Option<(&'static str, String)>, String> {
    if line.contains(&0) {
        return Err("it has a NUL byte".into());
    }
    let equals = line.iter().position(|byte| *byte == b'=').ok_or("it is not KEY=VALUE")?;
    let key = &line[..equals];
    let letters = key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    if key.is_empty() || !letters || key[0].is_ascii_digit() {
        return Err("what stands before '=' is not a name".into());
    }
    let Some(key) = KEYS.into_iter().find(|known| known.as_bytes() == key) else { return Ok(None) };
    let value = std::str::from_utf8(&line[equals + 1..]).map_err(|_| "it is not UTF-8")?;
    let value = unquoted(value)?;
    if let Some(bad) = value.chars().find(|c| !allowed(key, *c)) {
        return Err(format!("{key} cannot have {bad:?} in it"));
    }
    Ok(Some((key, value)))
}

/// May the value of `key` have `c` in it?
fn allowed(key: &str, c: char) -> bool {
    match key {
        "NAME" | "PRETTY_NAME" => !c.is_control(),
        "ID_LIKE" => c == ' ' || allowed("ID", c),
        "VERSION_ID" => matches!(c, '+' | '~' | ':') || allowed("ID", c),
        _ => c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
    }
}

/// A value as a shell would read it: in single or double quotes, or bare; a comment may follow.
fn unquoted(text: &str) -> Result<String, String> {
    let mut chars = text.chars().peekable();
    let quote = chars.next_if(|c| matches!(c, '"' | '\''));
    let mut value = String::new();
    loop {
        match (chars.next(), quote) {
            (None, None) => return Ok(value),
            (None, Some(_)) => return Err("its quote is not closed".into()),
            (Some(c), Some(open)) if c == open => break,
            (Some('\\'), Some('"')) => match chars.next_if(|c| matches!(c, '"' | '\\' | '$' | '`')) {
                Some(c) => value.push(c),
                None => value.push('\\'),
            },
            (Some('\\'), None) => value.push(chars.next().ok_or("it ends in a backslash")?),
            (Some(c), None) if c.is_whitespace() => break,
            (Some(c @ ('"' | '\'')), None) => return Err(format!("it has a {c} in the middle of the value")),
            (Some(c), _) => value.push(c),
        }
    }
    let rest: String = chars.collect();
    match rest.trim_start() {
        "" => Ok(value),
        comment if comment.starts_with('#') && (quote.is_none() || rest != comment) => Ok(value),
        rest if quote.is_some() => Err(format!("there is '{}' after the closing quote", shown(rest))),
        _ => Err("a value with spaces needs quotes".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_a_shell_reads_them() {
        for (text, wanted) in [
            ("debian", Ok("debian")),
            ("", Ok("")),
            ("\"\"", Ok("")),
            ("\"a b\"", Ok("a b")),
            ("'a \"b\" \\'", Ok("a \"b\" \\")),
            (r#""a \"b\" \$c \`d\` \\ \n""#, Ok(r#"a "b" $c `d` \ \n"#)),
            (r"a\ b", Ok("a b")),
            ("debian # a comment", Ok("debian")),
            ("\"debian\" # a comment", Ok("debian")),
            ("a#b", Ok("a#b")),
            ("\"it's\"", Ok("it's")),
            ("\"", Err("its quote is not closed")),
            ("'", Err("its quote is not closed")),
            ("\"a\\\"", Err("its quote is not closed")),
            ("\"a\"b", Err("there is 'b' after the closing quote")),
            ("\"a\"#b", Err("there is '#b' after the closing quote")),
            ("a b", Err("a value with spaces needs quotes")),
            ("a\"b\"", Err("it has a \" in the middle of the value")),
            ("a\\", Err("it ends in a backslash")),
        ] {
            assert_eq!(unquoted(text), wanted.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error() {
        let seeds: [&[u8]; 6] = [b"ID=\"", b"ID='", b"ID=\\", b"NAME=\"\"\"", b"=\"", b"\xef\xbb\xbf\r\n="];
        for seed in seeds {
            for byte in 0..=255 {
                let mut line = seed.to_vec();
                line.push(byte);
                line.extend_from_slice(b"\nID=x\n");
                if let Ok(values) = values("f", &line) {
                    let read: os_release::OsRelease = normalised(&values).collect();
                    assert_eq!(read.id, values["ID"]);
                }
            }
        }
    }
}

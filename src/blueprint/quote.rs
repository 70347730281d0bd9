//! How a value is written in each format, so that it is read back as it was; or refused.

use std::fmt::Write;

use minijinja::Value;
use minijinja::value::ValueKind;
use steps::kinds::Format;

/// Stands around a value that was put in quotes until the text is whole, so that its neighbours can be looked at. A template
/// that holds one is refused.
pub const MARK: char = '\0';

/// `value` as a token of `format`: bare where every reader takes it as it is, else quoted between two [`MARK`]s.
///
/// # Errors
/// Says why it cannot be written.
pub fn quote(value: &Value, format: Format) -> Result<String, String> {
    match value.kind() {
        ValueKind::Undefined => return Err("it is not defined".to_owned()),
        ValueKind::None => return Err("it has no value on this host".to_owned()),
        ValueKind::Bool | ValueKind::Number => return Ok(bare(value)),
        ValueKind::String | ValueKind::Plain => {}
        _ if matches!(format, Format::Json | Format::Yaml) => return Ok(marked(&nested(value)?)),
        kind => return Err(format!("a {kind} cannot be written in the format {}; write its parts", name(format))),
    }
    let text = value.to_string();
    if text.contains(MARK) {
        return Err("it holds a NUL byte, or a block that was rendered before".to_owned());
    }
    match format {
        Format::Json | Format::Yaml => Ok(marked(&json_string(&text))),
        Format::Nginx => nginx(&text),
        Format::Redis => Ok(redis(&text)),
        Format::Env => env(&text),
        Format::Ini => ini(&text),
        Format::Text => plain(&text),
    }
}

/// Takes the marks out of a rendered text.
///
/// # Errors
/// With the line (from 1) where a quoted value touches something that would become part of the same word, or stands in quotes
/// already.
pub fn finish(text: &str, format: Format) -> Result<String, (usize, String)> {
    let (before, after) = match format {
        Format::Nginx => (" \t\n;{}", " \t\r\n;{"),
        Format::Redis => (" \t\n", " \t\r\n"),
        Format::Env => (" \t\n=", " \t\r\n;"),
        Format::Yaml => (" \t\n[{,", " \t\r\n]},:"),
        Format::Json => (" \t\r\n[{,:", " \t\r\n]},:"),
        Format::Ini | Format::Text => return Ok(text.to_owned()),
    };
    let mut done = String::with_capacity(text.len());
    let mut parts = text.split(MARK);
    done.push_str(parts.next().unwrap_or_default());
    while let (Some(quoted), Some(next)) = (parts.next(), parts.next()) {
        let fits = done.chars().next_back().is_none_or(|c| before.contains(c))
            && next.chars().next().is_none_or(|c| after.contains(c));
        // Two values side by side: the second one's neighbour is the first one's closing quote.
        if !fits {
            let line = done.matches('\n').count() + 1;
            return Err((
                line,
                "a value that needs quotes stands inside a word or inside quotes: let the value be the whole word, as in \
                 {{ \"http://\" ~ inputs.site ~ \"/\" }}"
                    .to_owned(),
            ));
        }
        done.push_str(quoted);
        done.push_str(next);
    }
    Ok(done)
}

/// A text, number, or yes and no, as it is.
pub fn bare(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool => value.is_true().to_string(),
        _ => value.to_string(),
    }
}

fn marked(quoted: &str) -> String {
    format!("{MARK}{quoted}{MARK}")
}

/// Name of a format, as blueprints write it.
pub fn name(format: Format) -> &'static str {
    match format {
        Format::Nginx => "nginx",
        Format::Ini => "ini",
        Format::Redis => "redis",
        Format::Yaml => "yaml",
        Format::Json => "json",
        Format::Env => "env",
        Format::Text => "text",
    }
}

/// Nothing in it means anything to any of the readers.
fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./:@%+,-".contains(&byte))
        && !text.starts_with('@')
}

fn no_control(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_control()) {
        Some('\n') => Err("it holds a line end".to_owned()),
        Some(c) => Err(format!("it holds the control character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}

fn plain(text: &str) -> Result<String, String> {
    no_control(text)?;
    Ok(text.to_owned())
}

/// In quotes nginx takes a backslash off `"`, `'` and `\`; a `$` begins a variable everywhere, and nothing takes that away.
fn nginx(text: &str) -> Result<String, String> {
    no_control(text)?;
    if text.contains('$') {
        return Err("it holds a $, which nginx reads as a variable and has no way to escape".to_owned());
    }
    if is_bare(text) {
        return Ok(text.to_owned());
    }
    Ok(marked(&format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))))
}

/// redis.conf knows `\"`, `\\`, `\n`, `\r`, `\t` and `\xHH` in double quotes.
fn redis(text: &str) -> String {
    if is_bare(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => write!(quoted, "\\x{:02x}", u32::from(c)).unwrap_or_default(),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    marked(&quoted)
}

/// Double quotes with a backslash before `"`, `\`, `$` and a backquote mean the same to the shell and to every systemd; in single
/// quotes older versions of systemd take a backslash for an escape, newer ones do not.
fn env(text: &str) -> Result<String, String> {
    no_control(text)?;
    if is_bare(text) {
        return Ok(text.to_owned());
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if "\"\\$`".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Ok(marked(&quoted))
}

/// INI has no quotes that all its readers agree on, so that only what needs none is written.
fn ini(text: &str) -> Result<String, String> {
    no_control(text)?;
    let (first, last) = (text.chars().next(), text.chars().next_back());
    if text.trim() != text {
        return Err("it begins or ends with a space, which readers of INI files drop".to_owned());
    }
    if text.contains(" #") || text.contains(" ;") || matches!(first, Some('#' | ';')) {
        return Err("it holds a # or ; that would begin a comment".to_owned());
    }
    if text.chars().count() > 1 && first == last && matches!(first, Some('"' | '\'')) {
        return Err("it is in quotes, which some readers of INI files drop".to_owned());
    }
    if last == Some('\\') {
        return Err("it ends with a backslash, which continues the line".to_owned());
    }
    Ok(text.to_owned())
}

/// A string of JSON that is one of YAML too: everything that is not plainly visible is written as `\uXXXX`.
fn json_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                write!(quoted, "\\u{:04x}", u32::from(c)).unwrap_or_default();
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn nested(value: &Value) -> Result<String, String> {
    match value.kind() {
        ValueKind::Undefined => Err("a part of it is not defined".to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool | ValueKind::Number => Ok(bare(value)),
        ValueKind::String | ValueKind::Plain => {
            let text = value.to_string();
            if text.contains(MARK) { Err("it holds a NUL byte".to_owned()) } else { Ok(json_string(&text)) }
        }
        ValueKind::Map => {
            let mut parts = Vec::new();
            for key in value.try_iter().map_err(|error| error.to_string())? {
                let item = value.get_item(&key).map_err(|error| error.to_string())?;
                parts.push(format!("{}: {}", json_string(&key.to_string()), nested(&item)?));
            }
            Ok(format!("{{{}}}", parts.join(", ")))
        }
        _ => {
            let items = value.try_iter().map_err(|error| error.to_string())?;
            let parts: Result<Vec<String>, String> = items.map(|item| nested(&item)).collect();
            Ok(format!("[{}]", parts?.join(", ")))
        }
    }
}

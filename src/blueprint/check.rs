//! Is a value one that an input takes?

use std::num::NonZero;

use steps::kinds::is_host_with_port;
use steps::kinds::units::Size;

use super::spec::{InputSpec, Scalar, Sort};
use super::template::is_template;

/// The value of an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, secret, choice, host name, port, server or path.
    Text(String),
    /// Yes or no.
    Bool(bool),
    /// Number of bytes.
    Size(u64),
}

impl Value {
    /// As it would be typed.
    pub fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Bool(value) => value.to_string(),
            Value::Size(bytes) => Size(*bytes).to_string(),
        }
    }
}

/// Reads what was typed.
///
/// # Errors
/// Says what is wrong with it and what was expected, quoting it unless it is secret.
pub fn typed(spec: &InputSpec, text: &str) -> Result<Value, String> {
    let quoted = if spec.is_secret() { "the value".to_owned() } else { format!("'{text}'") };
    let wrong = |expected: &str| Err(format!("{quoted} is not {expected}"));
    if text.contains('\0') {
        return Err("the value holds a NUL byte".to_owned());
    }
    match spec.input.sort {
        Sort::Bool => match text {
            "true" | "yes" => Ok(Value::Bool(true)),
            "false" | "no" => Ok(Value::Bool(false)),
            _ => wrong("true or false"),
        },
        Sort::Size => {
            let Some(size) = Size::parse(text) else { return wrong(Size::EXPECTED) };
            bounds(spec, size)
        }
        Sort::Choice if spec.input.choices.iter().any(|choice| choice == text) => Ok(Value::Text(text.to_owned())),
        Sort::Choice => {
            let near = super::document::nearest(text, &spec.input.choices);
            let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            wrong(&format!("one of {}{hint}", spec.input.choices.join(", ")))
        }
        Sort::Hostname if is_hostname(text) => Ok(Value::Text(text.to_owned())),
        Sort::Hostname => {
            wrong("a host name (letters, digits and '-', parts of at most 63 between dots) or an IPv4 address")
        }
        Sort::Port if text.parse::<NonZero<u16>>().is_ok_and(|port| port.to_string() == text) => {
            Ok(Value::Text(text.to_owned()))
        }
        Sort::Port => wrong("a port: a whole number from 1 to 65535"),
        Sort::Server if is_host_with_port(text) || text.is_empty() && can_be_empty(spec) => {
            Ok(Value::Text(text.to_owned()))
        }
        Sort::Server => wrong("a server with its port, such as db.example.com:5432, 10.0.0.1:5432 or [fd00::1]:5432"),
        Sort::Path if is_path(text) => Ok(Value::Text(text.to_owned())),
        Sort::Path => wrong("an absolute path without '..'"),
        Sort::Text | Sort::Secret => {
            let length = text.chars().count() as u64;
            let least = spec.input.min.map_or(u64::from(spec.is_secret()), |min| min.0);
            if length < least {
                return Err(format!("{quoted} has {length} characters; expected at least {least}"));
            }
            if let Some(max) = spec.input.max.filter(|max| length > max.0) {
                return Err(format!("{quoted} has {length} characters; expected at most {}", max.0));
            }
            match (&spec.pattern, &spec.input.pattern) {
                (Some(regex), Some(pattern)) if !regex.is_match(text) => wrong(&format!("of the pattern {pattern}")),
                _ => Ok(Value::Text(text.to_owned())),
            }
        }
    }
}

/// Reads a value that stands in a TOML file or was stored.
///
/// # Errors
/// As [`typed`].
pub fn scalar(spec: &InputSpec, scalar: &Scalar) -> Result<Value, String> {
    match (spec.input.sort, scalar) {
        (_, Scalar::Text(text)) => typed(spec, text),
        (Sort::Bool, Scalar::Bool(value)) => Ok(Value::Bool(*value)),
        (Sort::Size, Scalar::Integer(bytes)) => match u64::try_from(*bytes) {
            Ok(bytes) => bounds(spec, Size(bytes)),
            Err(_) => Err(format!("{bytes} is not {}", Size::EXPECTED)),
        },
        (Sort::Port, Scalar::Integer(port)) => typed(spec, &port.to_string()),
        (Sort::Secret, _) => Err("the value is not a text; put it in quotes".to_owned()),
        (Sort::Bool, Scalar::Integer(value)) => Err(format!("{value} is not true or false")),
        (Sort::Size, Scalar::Bool(value)) => Err(format!("{value} is not {}", Size::EXPECTED)),
        (_, Scalar::Bool(value)) => Err(format!("{value} is not a text; put it in quotes")),
        (_, Scalar::Integer(value)) => Err(format!("{value} is not a text; put it in quotes")),
    }
}

fn bounds(spec: &InputSpec, size: Size) -> Result<Value, String> {
    match (spec.input.min, spec.input.max) {
        (Some(min), _) if size < min => Err(format!("{size} is less than {min}")),
        (_, Some(max)) if size > max => Err(format!("{size} is more than {max}")),
        _ => Ok(Value::Size(size.0)),
    }
}

/// Does its default tell that it can be left empty?
fn can_be_empty(spec: &InputSpec) -> bool {
    matches!(&spec.input.default, Some(Scalar::Text(text)) if text.is_empty() || is_template(text))
}

fn is_hostname(text: &str) -> bool {
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text.chars().any(char::is_control) && !text.split('/').any(|part| part == "..")
}

//! Values that settings of several kinds have in common, checked where they are read, so that an error has its line.

use std::borrow::Cow;
use std::fmt;

use distro::{Class, Fault};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Context;
use crate::Stage;

/// Absolute path, written plainly: no `..`, no doubled or trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbsolutePath(pub String);

/// Permission bits, written as a text of three or four octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

/// Name of a user or group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(pub String);

/// One line of text, a whole number, or true or false: what a key of a configuration file can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(pub String);

/// Name of a user or group that somebody else made, perhaps in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(pub String);

/// What another step makes, written `step:ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRef(pub String);

/// When a step is its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Before everything else: what must exist before a repository or a package.
    Prepare,
    /// After the packages.
    #[default]
    Configure,
}

impl From<Turn> for Stage {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Prepare => Stage::Prepare,
            Turn::Configure => Stage::Configure,
        }
    }
}

/// A fault of the step in hand, class `blueprint`.
pub(super) fn refused(cx: &dyn Context, why: impl fmt::Display) -> Fault {
    Fault::new(Class::Blueprint, format!("step '{}': {why}", cx.step()))
}

impl AbsolutePath {
    const EXPECTED: &str = "an absolute path without '..', '//' or a slash at its end, such as \"/etc/app/app.conf\"";

    fn parse(text: &str) -> Option<Self> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(char::is_control);
        text.strip_prefix('/')?.split('/').all(plain).then(|| Self(text.to_owned()))
    }
}

impl Mode {
    const EXPECTED: &str = "permission bits as a text of octal digits, such as \"0640\"";

    fn parse(text: &str) -> Option<Self> {
        let digits = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        digits.then(|| u32::from_str_radix(text, 8).ok().map(Self))?
    }

    /// May everybody read it?
    pub(super) fn is_public(self) -> bool {
        self.0 & 0o004 != 0
    }
}

impl Account {
    const EXPECTED: &str = "a name of at most 32 lowercase letters, digits, '_' and '-', such as \"st2\"";

    fn parse(text: &str) -> Option<Self> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let first = text.bytes().next().is_some_and(letter);
        let rest = text.bytes().all(|byte| letter(byte) || byte.is_ascii_digit() || byte == b'-');
        (first && rest && text.len() <= 32).then(|| Self(text.to_owned()))
    }
}

impl Owner {
    const EXPECTED: &str = "the name of a user or group, such as \"st2\"";

    fn parse(text: &str) -> Option<Self> {
        let good = |c: char| !c.is_control() && !c.is_whitespace() && c != ':' && c != '/';
        (!text.is_empty() && !text.starts_with('-') && text.chars().all(good)).then(|| Self(text.to_owned()))
    }
}

impl StepRef {
    const EXPECTED: &str = "a reference to another step, such as \"step:certificate\"";

    fn parse(text: &str) -> Option<Self> {
        let id = text.strip_prefix("step:")?;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        (!id.is_empty() && id.chars().all(good)).then(|| Self(id.to_owned()))
    }
}

impl Line {
    const EXPECTED: &str = "one line of text without spaces around it, a whole number, true or false";

    fn parse(text: &str) -> Option<Self> {
        (text.trim() == text && !text.contains(['\n', '\r', '\0'])).then(|| Self(text.to_owned()))
    }
}

/// Reads a text by `parse`; numbers and truth values, too, where they are written out as `scalars`.
struct Reader<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    scalars: bool,
}

impl<T> Reader<T> {
    fn scalar<E: de::Error>(self, text: &str, found: Unexpected<'_>) -> Result<T, E> {
        let value = if self.scalars { (self.parse)(text) } else { None };
        value.ok_or_else(|| E::invalid_value(found, &self))
    }
}

impl<T> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.scalar(&number.to_string(), Unexpected::Signed(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.scalar(&number.to_string(), Unexpected::Unsigned(number))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        self.scalar(&value.to_string(), Unexpected::Bool(value))
    }
}

macro_rules! values {
    ($($value:ident: $scalars:literal, $schema:tt;)*) => {$(
        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let reader = Reader { expected: Self::EXPECTED, parse: Self::parse, scalars: $scalars };
                deserializer.deserialize_any(reader)
            }
        }

        impl JsonSchema for $value {
            fn schema_name() -> Cow<'static, str> {
                stringify!($value).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

values! {
    AbsolutePath: false, { "description": "Absolute path.", "type": "string", "pattern": "^(/[^/]+)+$" };
    Mode: false, { "description": "Permission bits in octal: \"0640\".", "type": "string", "pattern": "^[0-7]{3,4}$" };
    Account: false, { "description": "Name of a user or group.", "type": "string", "pattern": "^[a-z_][a-z0-9_-]{0,31}$" };
    Owner: false, { "description": "Name of a user or group.", "type": "string", "pattern": "^[^-:/\\s][^:/\\s]*$" };
    StepRef: false, { "description": "Another step: \"step:ID\".", "type": "string", "pattern": "^step:[a-z0-9_-]+$" };
    Line: true, {
        "description": "One line of text, a whole number, true or false.",
        "type": ["string", "integer", "boolean"],
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for path in ["/a", "/etc/a b/ü", "/a/...", "/a/.b"] {
            assert_eq!(AbsolutePath::parse(path), Some(AbsolutePath(path.to_owned())));
        }
        for path in ["", "/", "a", "/a/", "//a", "/a//b", "/a/../b", "/./a", "/a\nb", "/a\0"] {
            assert_eq!(AbsolutePath::parse(path), None, "{path:?}");
        }
    }

    #[test]
    fn modes() {
        for (text, mode) in [("0640", 0o640), ("755", 0o755), ("4755", 0o4755), ("000", 0)] {
            assert_eq!(Mode::parse(text), Some(Mode(mode)));
        }
        for text in ["", "64", "0888", "00644", "0o644", "+644", " 644"] {
            assert_eq!(Mode::parse(text), None, "{text:?}");
        }
        assert!(serde_json::from_str::<Mode>("644").is_err());
    }

    #[test]
    fn names() {
        for name in ["redis", "_apt", "st2", "systemd-network"] {
            assert!(Account::parse(name).is_some(), "{name}");
        }
        for name in ["", "-d", "0", "a:b", "Eve", "a b", "a\n", "ü", &"a".repeat(33)] {
            assert!(Account::parse(name).is_none(), "{name}");
        }
    }

    #[test]
    fn owners() {
        for name in ["st2", "Jo.Doe", "jo@corp.example", "CORP\\jo", "ü"] {
            assert!(Owner::parse(name).is_some(), "{name}");
        }
        for name in ["", "-d", "a:b", "a/b", "a b", "a\n"] {
            assert!(Owner::parse(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn references() {
        assert_eq!(StepRef::parse("step:a-1_b"), Some(StepRef("a-1_b".into())));
        for text in ["", "step:", "a", "step:A", "step:a b", "Step:a"] {
            assert_eq!(StepRef::parse(text), None, "{text}");
        }
    }

    #[test]
    fn lines() {
        for (json, line) in [("\"a b\"", "a b"), ("5672", "5672"), ("-1", "-1"), ("true", "true"), ("\"\"", "")] {
            assert_eq!(serde_json::from_str::<Line>(json).unwrap(), Line(line.to_owned()));
        }
        for json in ["\" a\"", "\"a\\n\"", "\"a\\u0000\"", "1.5", "[]", "null"] {
            assert!(serde_json::from_str::<Line>(json).is_err(), "{json}");
        }
    }
}

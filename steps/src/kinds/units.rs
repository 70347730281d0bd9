//! Sizes and durations as people write them.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Number of bytes: `4096`, `"64 KiB"`, `"1.5 GiB"`, `"2 GB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Length of time: `"500 ms"`, `"30 s"`, `"5 min"`, `"2 h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

const SIZE_UNITS: [(&str, u64); 14] = [
    ("", 1),
    ("b", 1),
    ("kb", 1000),
    ("mb", 1000 * 1000),
    ("gb", 1000 * 1000 * 1000),
    ("tb", 1000 * 1000 * 1000 * 1000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

const SPAN_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)];

/// `text` as a whole number of the smallest of `units`.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim().to_ascii_lowercase());
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    let digits: u64 = fraction.parse().ok()?;
    let part = u128::from(digits) * u128::from(factor) / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.parse::<u64>().ok()?.checked_mul(factor)?.checked_add(u64::try_from(part).ok()?)
}

impl Size {
    /// What is expected, for errors.
    pub const EXPECTED: &str = "a size such as \"256 MiB\" or \"1.5 GiB\"";

    /// Reads a size: a number and a unit; `K`, `M`, `G` and `T` alone count by 1024.
    pub fn parse(text: &str) -> Option<Self> {
        measure(text, &SIZE_UNITS).map(Self)
    }
}

impl fmt::Display for Size {
    /// In the largest binary unit that needs no rounding beyond one digit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            let tenths = (u128::from(self.0) * 10) >> shift;
            if tenths >= 10 {
                let (whole, tenth) = (tenths / 10, tenths % 10);
                return if tenth == 0 { write!(f, "{whole} {unit}") } else { write!(f, "{whole}.{tenth} {unit}") };
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl Span {
    /// What is expected, for errors.
    pub const EXPECTED: &str = "a duration such as \"30 s\" or \"5 min\"";

    /// Reads a duration: a number and a unit, which is needed.
    pub fn parse(text: &str) -> Option<Self> {
        measure(text, &SPAN_UNITS).map(|ms| Self(Duration::from_millis(ms)))
    }
}

struct Reader<T> {
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
    number: fn(u64) -> Option<T>,
}

impl<T> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        let value = u64::try_from(number).ok().and_then(self.number);
        value.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader {
            expected: Self::EXPECTED,
            parse: Self::parse,
            number: |bytes| Some(Self(bytes)),
        })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A bare number would leave open of what.
        deserializer.deserialize_any(Reader { expected: Self::EXPECTED, parse: Self::parse, number: |_| None })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Number of bytes, or a text such as \"256 MiB\".",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": "^\\s*[0-9]+(\\.[0-9]{1,6})?\\s*([KkMmGgTt]([Ii]?[Bb])?|[Bb])?\\s*$" },
            ],
        })
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Length of time: \"500 ms\", \"30 s\", \"5 min\", \"2 h\".",
            "type": "string",
            "pattern": "^\\s*[0-9]+(\\.[0-9]{1,6})?\\s*(ms|s|min|h)\\s*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let cases: [(&str, Option<u64>); 16] = [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("256 MiB", Some(256 << 20)),
            ("256MiB", Some(256 << 20)),
            ("1.5 GiB", Some(3 << 29)),
            ("2 GB", Some(2_000_000_000)),
            ("64k", Some(65536)),
            ("1G", Some(1 << 30)),
            ("10 B", Some(10)),
            ("", None),
            ("GiB", None),
            ("-1", None),
            ("1.", None),
            ("1 GiBs", None),
            ("1 2", None),
            ("99999999999 TiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(Size::parse(text).map(|size| size.0), bytes, "{text}");
        }
        for (bytes, text) in [(0, "0 B"), (1023, "1023 B"), (1 << 30, "1 GiB"), (3 << 29, "1.5 GiB"), (1500, "1.4 KiB")]
        {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("500 ms", Some(500)),
            ("30 s", Some(30_000)),
            ("1.5s", Some(1500)),
            ("5 min", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("30", None),
            ("5 m", None),
            ("s", None),
        ];
        for (text, ms) in cases {
            assert_eq!(Span::parse(text).map(|span| span.0.as_millis()), ms, "{text}");
        }
    }
}

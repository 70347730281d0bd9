//! The parts of a blueprint as they are written, from which its JSON Schema is made; and inputs as they are meant.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use steps::kinds::settings::Node;
use steps::kinds::units::Size;

/// `[product]`
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Lowercase name of the product; its state is kept under it.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,63}$"))]
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Its version.
    pub version: String,
    /// Lines shown at the end of a successful run: what to do next. Templates; of a secret only the place where it is stored
    /// is shown.
    #[serde(default)]
    #[expect(dead_code, reason = "read from the tree, which knows the lines")]
    pub next: Vec<String>,
}

/// `[requires]`: what the host must have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requires {
    /// Least memory.
    pub memory: Option<Size>,
    /// Least number of processors.
    pub cpus: Option<u32>,
    /// Has the processor to know AVX, where it is an x86_64?
    #[serde(default)]
    pub avx: bool,
    /// Least free space by folder.
    #[serde(default)]
    pub disk: BTreeMap<String, Size>,
    /// Hosts it can be installed on: families (`debian`), systems (`ubuntu`), or systems and versions (`ubuntu-22.04`). Empty:
    /// every host that surefoot supports.
    #[serde(default)]
    pub os: Vec<String>,
    /// What is told before anything is touched; it stops nothing, unless it refuses.
    #[serde(default)]
    pub warning: Vec<Warning>,
}

/// `[[requires.warning]]`: what is not as it should be on some hosts, or with some inputs, where the product can be installed all the same; or
/// cannot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Warning {
    /// Name of the check, among those of `surefoot preflight`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,63}$"))]
    pub name: String,
    /// Condition under which it is told, such as `host.os == 'fedora'`.
    pub when: Option<String>,
    /// Can the product not be installed where it is so? Then it is refused before anything is looked at.
    #[serde(default)]
    pub refuse: bool,
    /// What is there; a template without secrets.
    pub found: String,
    /// What there should be; the same.
    pub wanted: String,
    /// What to do; the same.
    pub advice: String,
}

impl Warning {
    /// Its templates by their keys.
    pub fn texts(&self) -> [(&'static str, &str); 3] {
        [("found", &self.found), ("wanted", &self.wanted), ("advice", &self.advice)]
    }
}

/// What sort of value an input takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// True or false.
    Bool,
    /// One of a list.
    Choice,
    /// Name of a host, or an IPv4 address.
    Hostname,
    /// TCP port; templates see it as a text.
    Port,
    /// Host with a port; empty where the default can be.
    Server,
    /// Absolute path.
    Path,
    /// Number of bytes; templates see it as a number.
    Size,
}

/// A value that stands in a blueprint: a text (a template), a number or true and false.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// A number: of bytes, or of a port.
    Integer(i64),
    /// A template.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(value) => value.fmt(f),
            Scalar::Integer(number) => number.fmt(f),
            Scalar::Text(text) => text.fmt(f),
        }
    }
}

/// `[inputs.NAME]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What sort of value it takes.
    #[serde(rename = "type")]
    pub sort: Sort,
    /// The question that the wizard asks. Without it the wizard does not ask.
    pub ask: Option<String>,
    /// A line of explanation.
    pub help: Option<String>,
    /// The value where none is given; a text is a template that can use `host`, `product` and inputs declared before it.
    pub default: Option<Scalar>,
    /// What can be chosen.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Where no secret is given one of this many letters and digits is generated, once.
    #[schemars(range(min = 1, max = 1024))]
    pub generate: Option<usize>,
    /// Least number of characters, or of bytes of a size. A secret has at least 1 character.
    pub min: Option<Size>,
    /// Largest number of characters, or of bytes of a size.
    pub max: Option<Size>,
    /// Regular expression that the whole text must match.
    pub pattern: Option<String>,
    /// Where an installation that somebody made in another way has the value: what the first of these tells is taken, where nothing is
    /// given.
    #[serde(default)]
    pub found: Vec<Found>,
    /// Condition on inputs declared before it, such as `inputs.tls == 'own'`: where it does not hold the input is not there.
    pub when: Option<String>,
}

/// A place on the host that tells the value of an input.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Absolute path of a text file.
    #[schemars(regex(pattern = r"^/"))]
    pub file: String,
    /// Regular expression; what its only group matches is the value.
    pub pattern: String,
}

/// The keys that not every type of input has, with the types that have them.
pub const SOME_TYPES: [(&str, &[Sort]); 7] = [
    (
        "default",
        &[Sort::Text, Sort::Bool, Sort::Choice, Sort::Hostname, Sort::Port, Sort::Server, Sort::Path, Sort::Size],
    ),
    ("choices", &[Sort::Choice]),
    ("generate", &[Sort::Secret]),
    ("min", &[Sort::Text, Sort::Secret, Sort::Size]),
    ("max", &[Sort::Text, Sort::Secret, Sort::Size]),
    ("pattern", &[Sort::Text, Sort::Secret]),
    ("found", &[Sort::Text, Sort::Secret, Sort::Hostname, Sort::Path]),
];

impl Sort {
    /// Every type with its name.
    pub const ALL: [(Sort, &'static str); 9] = [
        (Sort::Text, "text"),
        (Sort::Secret, "secret"),
        (Sort::Bool, "bool"),
        (Sort::Choice, "choice"),
        (Sort::Hostname, "hostname"),
        (Sort::Port, "port"),
        (Sort::Server, "server"),
        (Sort::Path, "path"),
        (Sort::Size, "size"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(sort, _)| *sort == self).map_or("", |(_, name)| name)
    }
}

/// The keys of a `[[step]]` that every kind has.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct StepHead {
    /// Name of the step, unique in the blueprint.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"))]
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Condition under which the step is part of the product, such as `inputs.tls == 'own'`.
    pub when: Option<String>,
    /// The id that it had in an earlier version of the blueprint.
    pub was: Option<String>,
}

/// The keys of a `[[step]]` that are not settings of its kind.
pub const STEP_KEYS: [&str; 5] = ["id", "kind", "when", "was", "on"];

/// An input as it is meant.
#[derive(Clone, Debug)]
pub struct InputSpec {
    /// Its name.
    pub name: String,
    /// As it is written.
    pub input: Input,
    /// What the whole text must match.
    pub(super) pattern: Option<regex_lite::Regex>,
    /// Files that may tell its value, each with what finds it there.
    pub(super) found: Vec<(String, regex_lite::Regex)>,
    /// The table it was read from.
    pub(super) node: Node,
    /// Where its name stands.
    pub(super) span: Range<usize>,
}

impl InputSpec {
    /// Is its value never shown?
    pub fn is_secret(&self) -> bool {
        self.input.sort == Sort::Secret
    }

    /// Where the value of `key` stands, or the name of the input where it has no such key.
    pub(super) fn at(&self, key: &str) -> Range<usize> {
        self.node.field(key).map_or(self.span.clone(), |field| field.node.span.clone())
    }
}

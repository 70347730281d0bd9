//! A blueprint as it is shown: what it asks for, what the host must have, its steps.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use steps::kinds::units::Size;

use super::style::Style;

/// A blueprint.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BlueprintTold {
    /// Name of the product.
    pub name: String,
    /// Title of the product.
    pub title: String,
    /// Version of the product.
    pub version: String,
    /// Digest of all files of the blueprint.
    pub digest: String,
    /// What is asked, in order.
    pub inputs: Vec<InputAsked>,
    /// What the host must have.
    pub requires: RequiresTold,
    /// The steps, in order.
    pub steps: Vec<StepNamed>,
    /// Names of its files.
    pub files: Vec<String>,
}

/// An input.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct InputAsked {
    /// Name.
    pub name: String,
    /// `text`, `secret`, `bool`, `choice`, `hostname`, `port`, `server`, `path` or `size`.
    #[serde(rename = "type")]
    pub sort: String,
    /// The question; without it nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
    /// A line of explanation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The value where none is given: true, false, a number (of bytes, or of a port), or a text, which can hold a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// What can be chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Length of the secret that is generated where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generate: Option<usize>,
    /// Least number of characters, or of bytes of a size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// Largest number of characters, or of bytes of a size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Regular expression that the whole text must match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Files in which another installation may have the value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// Condition under which the input is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// What the host must have.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct RequiresTold {
    /// Least memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Least number of processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// Has an x86_64 processor to know AVX?
    pub avx: bool,
    /// Least free bytes by folder.
    pub disk: BTreeMap<String, u64>,
    /// Families, systems and versions that it can be installed on; empty: all that surefoot supports.
    pub os: Vec<String>,
    /// What is told before anything is touched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningNamed>,
}

/// A warning.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WarningNamed {
    /// Name of its check.
    pub name: String,
    /// What is there; can hold a template.
    pub found: String,
    /// Is nothing installed where it is so?
    pub refuse: bool,
    /// Condition under which it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// A step.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StepNamed {
    /// Id.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// Its id in an earlier version of the blueprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// Condition under which the step is part of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

impl InputAsked {
    /// What it takes: `choice of file, ldap`, `secret, at least 32 characters`.
    pub fn takes(&self) -> String {
        if !self.choices.is_empty() {
            return format!("{} of {}", self.sort, self.choices.join(", "));
        }
        let many = |bound: u64| if self.sort == "size" { Size(bound).to_string() } else { bound.to_string() };
        let unit = if self.sort == "size" { "" } else { " characters" };
        let bounds = match (self.min, self.max) {
            (None, None) => String::new(),
            (Some(min), None) => format!(", at least {}{unit}", many(min)),
            (None, Some(max)) => format!(", at most {}{unit}", many(max)),
            (Some(min), Some(max)) if min == max => format!(", {}{unit}", many(min)),
            (Some(min), Some(max)) => format!(", {} to {}{unit}", many(min), many(max)),
        };
        format!("{}{bounds}", self.sort)
    }

    /// What it is for, in the words of its question and its help; empty where it has neither.
    pub fn what(&self) -> String {
        let (ask, help) = (self.ask.as_deref().unwrap_or_default(), self.help.as_deref().unwrap_or_default());
        match (ask, help) {
            ("", only) | (only, "") => only.to_owned(),
            _ => format!("{ask}{} {help}", if ask.ends_with(['?', '.']) { "" } else { "." }),
        }
    }

    /// The default as it would be typed.
    pub fn default_text(&self) -> Option<String> {
        self.default.as_ref().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.what()];
        lines.extend(self.pattern.as_ref().map(|pattern| format!("matches {pattern}")));
        lines.push(match (self.default_text().as_deref(), self.generate) {
            (Some(""), _) => "default: empty".to_owned(),
            (Some(text), _) => format!("default: {text}"),
            (None, Some(length)) => format!("generated where it is not given, {length} characters"),
            (None, None) => "has to be given".to_owned(),
        });
        if !self.found.is_empty() {
            let mut files = self.found.clone();
            files.dedup();
            lines.push(format!("taken from another installation: {}", files.join(", ")));
        }
        lines.extend(self.when.as_ref().map(|when| format!("only where {when}")));
        lines.retain(|line| !line.is_empty());
        lines
    }
}

/// `told` as text, ending in a line end.
pub fn blueprint_view(told: &BlueprintTold, style: &Style) -> String {
    let mut text = format!("{} {}: {}\n", told.name, told.version, told.title);
    let sections = [("inputs", inputs(told)), ("requires", requires(told)), ("steps", steps(told))];
    let files = ("files", told.files.iter().map(|name| (2, name.clone())).collect());
    for (title, rows) in sections.into_iter().chain([files]).filter(|(_, rows)| !rows.is_empty()) {
        text.push_str(&format!("\n{title}\n"));
        for (indent, row) in rows {
            let lines = style.wrap(&row, style.width.saturating_sub(indent));
            lines.iter().for_each(|line| text.push_str(&format!("{:indent$}{line}\n", "")));
        }
    }
    text + &format!("\ndigest {}\n", told.digest)
}

/// Lines with their indents.
type Rows = Vec<(usize, String)>;

fn inputs(told: &BlueprintTold) -> Rows {
    let rows = |input: &InputAsked| {
        let head = (2, format!("{}: {}", input.name, input.takes()));
        std::iter::once(head).chain(input.lines().into_iter().map(|line| (6, line))).collect::<Rows>()
    };
    told.inputs.iter().flat_map(rows).collect()
}

fn requires(told: &BlueprintTold) -> Rows {
    let needs = &told.requires;
    let mut rows = Vec::new();
    rows.extend(needs.memory.map(|bytes| format!("memory: {}", Size(bytes))));
    rows.extend(needs.cpus.map(|cpus| format!("processors: {cpus}")));
    rows.extend(needs.avx.then(|| "processor: one that knows AVX, where it is an x86_64".to_owned()));
    rows.extend(needs.disk.iter().map(|(path, bytes)| format!("free below {path}: {}", Size(*bytes))));
    rows.extend((!needs.os.is_empty()).then(|| format!("system: {}", needs.os.join(", "))));
    let mut rows: Rows = rows.into_iter().map(|row| (2, row)).collect();
    for warning in &needs.warnings {
        let what = if warning.refuse { "refused" } else { "warning" };
        rows.push((2, format!("{what} {}: {}", warning.name, warning.found)));
        rows.extend(warning.when.as_ref().map(|when| (6, format!("only where {when}"))));
    }
    rows
}

fn steps(told: &BlueprintTold) -> Rows {
    let rows = |step: &StepNamed| {
        let when = step.when.as_ref().map(|when| (6, format!("only where {when}")));
        std::iter::once((2, format!("{}: {}", step.id, step.kind))).chain(when).collect::<Rows>()
    };
    told.steps.iter().flat_map(rows).collect()
}

//! The exclusions file: what is not compared, and why.

use crate::suite::Suite;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;

const FILE: &str = include_str!("../../data/digest-exclusions.txt");
const STAND_IN: &str = include_str!("../../data/digest-exclusions-el.txt");

/// How much of a path is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// All of it.
    Whole,
    /// Nothing, nor what is below it.
    Skip,
    /// What is below a folder, but not that it is there.
    Unlisted,
    /// Everything but the content.
    Opaque,
    /// A certificate or key: whom it names and of what kind it is.
    Pem,
}

#[derive(Debug)]
struct Rule {
    look: Look,
    pattern: Vec<String>,
    line: String,
}

/// The lines of the file.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn read(suite: Suite) -> Result<Self> {
        Self::parse(&if suite.has_rpm() { [FILE, STAND_IN].concat() } else { FILE.to_owned() })
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|line| parse_line(line).with_context(|| format!("digest-exclusions.txt: {line}")))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// How to look at a path, and the number of the rule that says so.
    pub(super) fn look_at(&self, path: &str) -> (Look, Option<usize>) {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let found = self.0.iter().position(|rule| matches(&rule.pattern, &parts));
        (found.map_or(Look::Whole, |index| self.0[index].look), found)
    }

    /// The lines whose numbers are not among `used`.
    pub(super) fn others_than(&self, used: &BTreeSet<usize>) -> BTreeSet<String> {
        let unused = self.0.iter().enumerate().filter(|(index, _)| !used.contains(index));
        unused.map(|(_, rule)| rule.line.clone()).collect()
    }
}

fn parse_line(line: &str) -> Result<Rule> {
    let mut words = line.split_whitespace();
    let look = match words.next() {
        Some("skip") => Look::Skip,
        Some("unlisted") => Look::Unlisted,
        Some("opaque") => Look::Opaque,
        Some("pem") => Look::Pem,
        other => bail!("unknown word {other:?}: skip, unlisted, opaque and pem are known"),
    };
    let Some(path) = words.next().filter(|path| path.starts_with('/')) else { bail!("no absolute path") };
    if words.next().is_none() {
        bail!("no reason");
    }
    Ok(Rule { look, pattern: path.split('/').skip(1).map(str::to_owned).collect(), line: line.to_owned() })
}

/// Part by part; `*` stands for any run of characters within one part.
fn matches(pattern: &[String], parts: &[&str]) -> bool {
    pattern.len() == parts.len() && pattern.iter().zip(parts).all(|(pattern, part)| glob(pattern, part))
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| glob(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_part() {
        assert!(glob("*.pem", "a.pem") && glob("a*c*", "abcd") && glob("*", ""));
        assert!(!glob("*.pem", "a.pen"));
        let rules = Rules::parse("opaque /etc/ssl/*.key made anew").expect("parses");
        assert_eq!(rules.look_at("/etc/ssl/x.key").0, Look::Opaque);
        assert_eq!(rules.look_at("/etc/ssl/private/x.key").0, Look::Whole);
    }

    #[test]
    fn every_line_has_a_reason() {
        assert!(Rules::parse("skip /proc").is_err());
        assert!(Rules::parse("forget /proc the kernel's").is_err());
        assert!(Rules::parse("skip proc the kernel's").is_err());
        Rules::read(Suite::El9).expect("the file itself parses");
    }
}

//! What must be true before anything is touched, for what the plan still has to do. Looks and never touches, asks no network,
//! and tells everything in one pass.
//!
//! [`seen`] measures, [`judge`] compares what was measured with what is required, [`show`] tells it.

mod clock;
pub mod endpoints;
mod judge;
mod plan;
mod seen;
mod show;
mod surroundings;

use std::path::Path;

use anyhow::Result;
use distro::{Class, Facts, Fault, Look};
use serde::Serialize;
use steps::Port;
use steps::resources::packages::OtherSeries;

use crate::blueprint::Warning;

pub use plan::for_plan;
pub use show::{json, text};

/// What a blueprint requires of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requires {
    /// Least memory, in bytes. What the kernel keeps for itself counts as there.
    pub memory: Option<u64>,
    /// Least number of processors.
    pub cpus: Option<usize>,
    /// Least free bytes by folder. Folders on the same file system add up.
    pub disk: Vec<(String, u64)>,
    /// Hosts it can be installed on: `debian`, `ubuntu-22.04`. Empty: every host that surefoot supports.
    pub os: Vec<String>,
    /// Has the processor to know AVX, where it is an x86_64?
    pub avx: bool,
    /// What the blueprint has to say of this host.
    pub warnings: Vec<Warning>,
}

/// What a run would still have to do, as far as the host has to be fit for it.
#[derive(Clone, Copy, Debug)]
pub struct Todo<'a> {
    /// What the blueprint requires.
    pub requires: &'a Requires,
    /// Where its services will listen, or listen already.
    pub ports: &'a [Port],
    /// Units that will be changed, where this product was never begun: what is there of them is somebody else's.
    pub units: &'a [String],
    /// Is there anything to change?
    pub changes: bool,
    /// Are there packages to be installed?
    pub packages: bool,
    /// Does it begin right away, so that being root is needed now?
    pub now: bool,
    /// The folder where surefoot keeps what it did.
    pub state: &'a Path,
    /// What an interrupted dpkg left to be finished, a line each.
    pub unfinished: &'a [String],
    /// Locks of the package manager that are held: path, and who holds it.
    pub locks: &'a [(String, String)],
    /// Packages that are there in another version than they have to be.
    pub versions: &'a [OtherSeries],
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As required.
    Ok,
    /// Not as it should be, but the run can go on.
    Warning,
    /// The run would fail.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Check {
    /// What: `memory`, `port 80`; what `--ignore` takes.
    pub name: String,
    /// How it ended.
    pub level: Level,
    /// What is there.
    pub measured: String,
    /// What has to be there.
    pub required: String,
    /// What to do; empty where nothing needs to be done.
    pub advice: String,
    /// The class of a failure for this reason alone, see [exit codes](exit-codes.md).
    pub class: Class,
    /// Lines that prove it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl Check {
    fn new(name: &str, class: Class, measured: impl Into<String>, required: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            level: Level::Ok,
            measured: measured.into(),
            required: required.into(),
            advice: String::new(),
            class,
            evidence: Vec::new(),
        }
    }

    fn warning(self, advice: impl Into<String>) -> Self {
        Self { level: Level::Warning, advice: advice.into(), ..self }
    }

    fn error(self, advice: impl Into<String>) -> Self {
        Self { level: Level::Error, advice: advice.into(), ..self }
    }

    /// A warning in one line.
    pub fn line(&self) -> String {
        format!("{}: {}; {}", self.name, self.measured, self.advice)
    }
}

/// What the blueprint has to say of this host, as checks among others.
pub fn warnings(requires: &Requires) -> Vec<Check> {
    let check = |warning: &Warning| {
        let Warning { name, found, wanted, advice, .. } = warning;
        Check::new(name, Class::Preflight, found, wanted).warning(advice)
    };
    requires.warnings.iter().map(check).collect()
}

/// Looks at everything that `todo` needs, and tells all of it.
///
/// # Errors
/// Where something could not be looked at; a host that is not fit is told by the checks.
pub fn checks(look: &Look<'_>, todo: &Todo<'_>) -> Result<Vec<Check>> {
    let seen = seen::measure(look, todo)?;
    Ok(judge::judge(&seen, &look.host.facts, todo))
}

/// That two products want different things, as one check among others.
pub fn conflict(fault: &Fault) -> Check {
    let check = Check::new("conflict", fault.class, fault.message.as_str(), "what no other product wants otherwise");
    Check { evidence: fault.evidence.clone(), ..check }.error(fault.advice.as_str())
}

/// Turns the errors that the user wants to go on with into warnings: `port 80`, or `port` for all of them. Gives the names among
/// `ignored` that no check has.
pub fn ignore<'i>(checks: &mut [Check], ignored: &'i [String]) -> Vec<&'i String> {
    let named = |name: &str, check: &Check| {
        check.name == name || check.name.strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))
    };
    let meant = |check: &Check| ignored.iter().any(|name| named(name, check));
    for check in checks.iter_mut().filter(|check| check.level == Level::Error && meant(check)) {
        check.level = Level::Warning;
        check.measured = format!("{} (ignored)", check.measured);
    }
    ignored.iter().filter(|name| !checks.iter().any(|check| named(name, check))).collect()
}

/// What stops an install on a system that is none of the `wanted` ones; none where it is one, or where that check is ignored.
pub fn refuse_system(facts: &Facts, wanted: &[String], ignored: &[String]) -> Option<Fault> {
    let mut checks = [judge::system(facts, wanted)];
    ignore(&mut checks, ignored);
    refuse(&checks)
}

/// The one failure that all errors among `checks` are: of their class where they have the same, else of class `preflight`. None
/// where there is no error.
pub fn refuse(checks: &[Check]) -> Option<Fault> {
    let errors: Vec<&Check> = checks.iter().filter(|check| check.level == Level::Error).collect();
    let first = errors.first()?;
    if let [check] = errors.as_slice() {
        let fault = Fault::new(check.class, format!("{}: {}", check.name, check.measured));
        let fault = fault.evidence(check.evidence.iter().cloned());
        return Some(fault.evidence([format!("required: {}", check.required)]).advice(check.advice.as_str()));
    }
    let class = if errors.iter().all(|check| check.class == first.class) { first.class } else { Class::Preflight };
    let names: Vec<&str> = errors.iter().map(|check| check.name.as_str()).collect();
    let message = format!("{} of {} checks failed: {}", errors.len(), checks.len(), names.join(", "));
    let evidence =
        errors.iter().map(|check| format!("{}: {}; required: {}", check.name, check.measured, check.required));
    let advice: Vec<String> = errors.iter().map(|check| format!("{}: {}", check.name, check.advice)).collect();
    Some(Fault::new(class, message).evidence(evidence).advice(advice.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, class: Class, level: Level) -> Check {
        Check { level, advice: format!("mend {name}"), ..Check::new(name, class, "bad", "good") }
    }

    #[test]
    fn one_failure_of_all_errors() {
        let port = |name| check(name, Class::Port, Level::Error);
        let disk = check("disk /", Class::Disk, Level::Error);
        let fine = check("memory", Class::Preflight, Level::Ok);
        let odd = check("host name", Class::Host, Level::Warning);
        for (checks, wanted) in [
            (vec![], None),
            (vec![fine.clone(), odd.clone()], None),
            (vec![fine.clone(), port("port 80")], Some((Class::Port, "port 80: bad", "mend port 80"))),
            (
                vec![port("port 80"), odd, port("port 443")],
                Some((
                    Class::Port,
                    "2 of 3 checks failed: port 80, port 443",
                    "port 80: mend port 80\nport 443: mend port 443",
                )),
            ),
            (
                vec![disk, fine, port("port 80")],
                Some((
                    Class::Preflight,
                    "2 of 3 checks failed: disk /, port 80",
                    "disk /: mend disk /\nport 80: mend port 80",
                )),
            ),
        ] {
            let fault = refuse(&checks);
            let found = fault.as_ref().map(|fault| (fault.class, fault.message.as_str(), fault.advice.as_str()));
            assert_eq!(found, wanted);
        }
        assert_eq!(refuse(&[port("port 80")]).unwrap().evidence, ["required: good"]);
    }

    #[test]
    fn an_ignored_error_is_a_warning_and_still_told() {
        let mut checks = [check("port 80", Class::Port, Level::Error), check("memory", Class::Preflight, Level::Ok)];
        let names = ["port 8".to_owned(), "memory".to_owned()];
        assert_eq!(ignore(&mut checks, &names), [&names[0]]);
        assert_eq!(checks[0].level, Level::Error);
        assert!(ignore(&mut checks, &["port".to_owned()]).is_empty());
        assert!(checks[0].level == Level::Warning && checks[1].level == Level::Ok && refuse(&checks).is_none());
    }
}

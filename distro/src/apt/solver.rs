//! What apt would do.

use std::time::Duration;

use anyhow::Result;

use super::transaction::to_do;
use crate::{Class, Fault, Host};

/// A package that goes from one version to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Name, with `:arch` where it is a foreign one.
    pub name: String,
    /// Version that is there; none for a new one.
    pub from: Option<String>,
    /// Version that will be there, empty where it is removed.
    pub to: String,
}

/// The solver's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution {
    /// Packages that are not there yet.
    pub new: Vec<Move>,
    /// Packages that get a newer version.
    pub upgraded: Vec<Move>,
    /// Packages that get an older version.
    pub downgraded: Vec<Move>,
    /// Packages that go.
    pub removed: Vec<Move>,
}

/// What installing `names` would do, without recommended packages. Takes no lock and changes nothing.
///
/// # Errors
/// Class `package`, where apt finds no way (its own words are the evidence), or only one that removes or downgrades a package.
pub fn simulate(host: &Host, names: &[String]) -> Result<Solution> {
    let command = super::apt_get(to_do(&["install", "-s", "--no-install-recommends"], names));
    let output = command.limit(SOLVER_LIMIT).data().output(&host.runner)?;
    if !output.ok() {
        let fault = super::said::fault(&output, &format!("apt cannot install {}", names.join(", ")));
        return Err(fault.into());
    }
    let solution = parse(&output.stdout);
    refuse_losses(&solution, names)?;
    Ok(solution)
}

/// Names of the packages that would go if `names` went.
///
/// # Errors
/// Class `package`, where apt finds no way.
pub fn simulate_removal(host: &Host, names: &[String]) -> Result<Vec<String>> {
    let command = super::apt_get(to_do(&["remove", "-s"], names));
    let output = command.limit(SOLVER_LIMIT).data().output(&host.runner)?;
    if !output.ok() {
        return Err(super::said::fault(&output, &format!("apt cannot remove {}", names.join(", "))).into());
    }
    Ok(parse(&output.stdout).removed.into_iter().map(|gone| gone.name).collect())
}

const SOLVER_LIMIT: Duration = Duration::from_secs(300);

fn refuse_losses(solution: &Solution, names: &[String]) -> Result<(), Fault> {
    if solution.removed.is_empty() && solution.downgraded.is_empty() {
        return Ok(());
    }
    let removed = solution.removed.iter().map(|gone| format!("would remove {} {}", gone.name, version(gone)));
    let downgraded =
        solution.downgraded.iter().map(|one| format!("would downgrade {} {} to {}", one.name, version(one), one.to));
    let message = format!("installing {} would remove or downgrade other packages", names.join(", "));
    let advice = "decide about these packages yourself: remove or hold them, or change the pins that force this; then go on \
                  with --resume";
    Err(Fault::new(Class::Package, message).evidence(removed.chain(downgraded)).advice(advice))
}

fn version(of: &Move) -> &str {
    of.from.as_deref().unwrap_or_default()
}

/// Reads `Inst NAME [OLD] (NEW ORIGIN [ARCH])`, `Remv NAME [OLD]` and the list of what would be downgraded.
fn parse(text: &str) -> Solution {
    let mut solution = Solution::default();
    let mut downgraded: Vec<&str> = Vec::new();
    let mut in_downgraded = false;
    for line in text.lines() {
        if line.starts_with(' ') {
            if in_downgraded {
                downgraded.extend(line.split_ascii_whitespace());
            }
            continue;
        }
        in_downgraded = line.contains("will be DOWNGRADED");
        let Some((action @ ("Inst" | "Remv" | "Purg"), rest)) = line.split_once(' ') else { continue };
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let from = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(from, _)| from.to_owned());
        let to = rest.split_once('(').and_then(|(_, rest)| rest.split([' ', ')']).next()).unwrap_or_default();
        let moved = Move { name: name.to_owned(), from, to: to.to_owned() };
        let list = match (action, &moved.from) {
            ("Inst", None) => &mut solution.new,
            ("Inst", _) if downgraded.contains(&name) => &mut solution.downgraded,
            ("Inst", _) => &mut solution.upgraded,
            _ => &mut solution.removed,
        };
        list.push(moved);
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
Reading package lists...
The following packages will be DOWNGRADED:
  tar
  cpio:i386
0 upgraded, 2 newly installed, 2 downgraded, 1 to remove and 0 not upgraded.
Remv exim4 [4.96-15] [mailutils:amd64 ]
Inst libc6:i386 (2.36-9 Debian:12.15/oldstable [i386]) []
Inst redis-server (5:7.0.15-1~deb12u7 Debian:12.15/oldstable, Debian-Security:12/stable [amd64])
Inst tar [1.35] (1.34 Debian:12.15/oldstable [amd64])
Inst libssl3 [3.0.19] (3.0.20 Debian:12.15/oldstable [amd64])
Conf redis-server (5:7.0.15-1~deb12u7 Debian:12.15/oldstable [amd64])
";

    fn moved(name: &str, from: Option<&str>, to: &str) -> Move {
        Move { name: name.into(), from: from.map(Into::into), to: to.into() }
    }

    #[test]
    fn the_simulation_is_read() {
        let expected = Solution {
            new: vec![moved("libc6:i386", None, "2.36-9"), moved("redis-server", None, "5:7.0.15-1~deb12u7")],
            upgraded: vec![moved("libssl3", Some("3.0.19"), "3.0.20")],
            downgraded: vec![moved("tar", Some("1.35"), "1.34")],
            removed: vec![moved("exim4", Some("4.96-15"), "")],
        };
        assert_eq!(parse(SAID), expected);
    }

    #[test]
    fn losses_are_refused_by_name() {
        let mut solution = parse(SAID);
        let names = ["redis-server".to_owned()];
        let fault = refuse_losses(&solution, &names).unwrap_err();
        assert_eq!(fault.class, Class::Package);
        assert_eq!(fault.evidence, ["would remove exim4 4.96-15", "would downgrade tar 1.35 to 1.34"]);
        solution.removed.clear();
        assert_eq!(refuse_losses(&solution, &names).unwrap_err().evidence.len(), 1);
        solution.downgraded.clear();
        assert!(refuse_losses(&solution, &names).is_ok());
    }
}

//! What dnf would do.

use std::time::Duration;

use anyhow::Result;

use super::{dnf, is_five, said, table, when_free};
use crate::packages::{Move, Solution};
use crate::{Host, rpm};

const LIMIT: Duration = Duration::from_secs(300);

/// What installing `names` would do. Changes nothing but dnf's cache.
///
/// # Errors
/// Class `package`, where dnf finds no way (its own words are the evidence).
pub fn simulate(host: &Host, names: &[String]) -> Result<Solution> {
    let mut solution = ask(host, "install", names)?;
    if solution == Solution::default() {
        return Ok(solution);
    }
    solution.native = format!(".{}", host.facts.arch);
    let moved = solution.upgraded.iter_mut().chain(&mut solution.downgraded).chain(&mut solution.removed);
    let mut moved: Vec<&mut Move> = moved.collect();
    let known = rpm::query(host, &moved.iter().map(|one| one.name.clone()).collect::<Vec<_>>())?;
    for one in &mut moved {
        one.from = known.get(&one.name).map(|package| package.version.clone());
    }
    Ok(solution)
}

/// Names of the packages that would go if `names` went.
///
/// # Errors
/// Class `package`, where dnf finds no way, as for a package that it protects.
pub fn simulate_removal(host: &Host, names: &[String]) -> Result<Vec<String>> {
    // Keys are no packages for dnf.
    let names: Vec<String> = names.iter().filter(|name| !name.starts_with(rpm::KEY)).cloned().collect();
    if names.is_empty() {
        return Ok(names);
    }
    Ok(ask(host, "remove", &names)?.removed.into_iter().map(|gone| gone.name).collect())
}

/// What dnf says that it would do. dnf 4 is asked to tell its decisions one a line: its table is made for people, and breaks long names; that
/// of dnf 5 is all there is.
fn ask(host: &Host, action: &str, names: &[String]) -> Result<Solution> {
    let (parse, more): (fn(&str, &str) -> Solution, _) =
        if is_five() { (table::parse, None) } else { (parse, Some("--debuglevel=3")) };
    let words = || [action, "--assumeno"].into_iter().chain(more).map(str::to_owned).chain(names.iter().cloned());
    let output = when_free(host, || dnf(host, words()).limit(LIMIT).data())?;
    // It exits with 1 where it would do something and was told not to.
    let refused = output.stderr.lines().any(|line| line.starts_with("Operation aborted"));
    if refused || output.ok() {
        return Ok(parse(&output.stdout, &host.facts.arch));
    }
    Err(said::fault_of_packages(host, &output, &format!("dnf cannot {action} {}", names.join(", "))).into())
}

/// `---> Package redis.x86_64 7.0.15-1.el9 will be installed`. A package of the host's own architecture `arch`, or of none, is told
/// without.
fn parse(said: &str, arch: &str) -> Solution {
    let mut solution = Solution::default();
    for line in said.lines() {
        let Some(rest) = line.strip_prefix("---> Package ") else { continue };
        let Some((package, rest)) = rest.split_once(' ') else { continue };
        let Some((version, fate)) = rest.split_once(" will be ") else { continue };
        let list = match fate {
            "installed" | "obsoleting" => &mut solution.new,
            "an upgrade" => &mut solution.upgraded,
            "a downgrade" => &mut solution.downgraded,
            "erased" | "obsoleted" => &mut solution.removed,
            // The other half of an upgrade or a downgrade.
            _ => continue,
        };
        let (name, of) = package.rsplit_once('.').unwrap_or((package, arch));
        let to = if matches!(fate, "erased" | "obsoleted") { "" } else { version };
        list.push(moved(name, of, arch, to));
    }
    solution
}

/// Package `name` of architecture `of`, on a host of architecture `arch`.
pub(super) fn moved(name: &str, of: &str, arch: &str, to: &str) -> Move {
    let name = if [arch, "noarch"].contains(&of) { name.to_owned() } else { format!("{name}.{of}") };
    Move { name, from: None, to: to.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_read() {
        let said = "\
--> Starting dependency resolution
---> Package redis.x86_64 7.0.15-1.el9 will be installed
---> Package redis-doc.noarch 7.0.15-1.el9 will be installed
---> Package glibc.i686 2.34-100.el9 will be installed
---> Package openssl-libs.x86_64 1:3.0.7-24.el9 will be upgraded
---> Package openssl-libs.x86_64 1:3.0.7-25.el9 will be an upgrade
---> Package old.noarch 1-1 will be a downgrade
---> Package old.noarch 2-1 will be downgraded
---> Package gone.x86_64 3-1 will be erased
---> Package replaced.x86_64 3-1 will be obsoleted
--> Finished dependency resolution
 Package         Architecture     Version                 Repository       Size
";
        let moved = |name: &str, to: &str| Move { name: name.into(), from: None, to: to.into() };
        let wanted = Solution {
            new: vec![
                moved("redis", "7.0.15-1.el9"),
                moved("redis-doc", "7.0.15-1.el9"),
                moved("glibc.i686", "2.34-100.el9"),
            ],
            upgraded: vec![moved("openssl-libs", "1:3.0.7-25.el9")],
            downgraded: vec![moved("old", "1-1")],
            removed: vec![moved("gone", ""), moved("replaced", "")],
            ..Solution::default()
        };
        assert_eq!(parse(said, "x86_64"), wanted);
    }
}

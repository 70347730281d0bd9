//! Decisions of a solver, one a line, as dnf 4 and yum tell them.

use anyhow::Result;

use crate::Host;
use crate::packages::{Move, Solution};

/// `solution` with what is there already of what changes on `host`.
///
/// # Errors
/// Class `package`, where rpm does not say what is installed.
pub fn with_versions(host: &Host, mut solution: Solution) -> Result<Solution> {
    if solution == Solution::default() {
        return Ok(solution);
    }
    solution.native = format!(".{}", host.facts.arch);
    let moved = solution.upgraded.iter_mut().chain(&mut solution.downgraded).chain(&mut solution.removed);
    let mut moved: Vec<&mut Move> = moved.collect();
    let known = super::query(host, &moved.iter().map(|one| one.name.clone()).collect::<Vec<_>>())?;
    for one in &mut moved {
        one.from = known.get(&one.name).map(|package| package.version.clone());
    }
    Ok(solution)
}

/// `---> Package redis.x86_64 7.0.15-1.el9 will be installed`. A package of the host's own architecture `arch`, or of none, is told
/// without, as is an epoch of 0, which yum alone tells.
pub fn parse(said: &str, arch: &str) -> Solution {
    let mut solution = Solution::default();
    for line in said.lines() {
        let Some(rest) = line.strip_prefix("---> Package ") else { continue };
        let Some((package, rest)) = rest.split_once(' ') else { continue };
        let Some((version, fate)) = rest.split_once(" will be ") else { continue };
        let list = match fate {
            "installed" | "obsoleting" => &mut solution.new,
            "an upgrade" | "an update" => &mut solution.upgraded,
            "a downgrade" => &mut solution.downgraded,
            "erased" | "obsoleted" => &mut solution.removed,
            // The other half of an upgrade or a downgrade.
            _ => continue,
        };
        let version = version.strip_prefix("0:").unwrap_or(version);
        let (name, of) = package.rsplit_once('.').unwrap_or((package, arch));
        let to = if matches!(fate, "erased" | "obsoleted") { "" } else { version };
        list.push(moved(name, of, arch, to));
    }
    solution
}

/// Package `name` of architecture `of`, on a host of architecture `arch`.
pub fn moved(name: &str, of: &str, arch: &str, to: &str) -> Move {
    Move { name: super::canonical(name, of, arch), from: None, to: to.to_owned() }
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
---> Package nginx.x86_64 1:1.20.1-9.el7 will be updated
---> Package nginx.x86_64 1:1.20.1-10.el7 will be an update
---> Package plain.noarch 0:2-1 will be an update
---> Package again.noarch 0:2-1 will be reinstalled
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
            upgraded: vec![
                moved("openssl-libs", "1:3.0.7-25.el9"),
                moved("nginx", "1:1.20.1-10.el7"),
                moved("plain", "2-1"),
            ],
            downgraded: vec![moved("old", "1-1")],
            removed: vec![moved("gone", ""), moved("replaced", "")],
            ..Solution::default()
        };
        assert_eq!(parse(said, "x86_64"), wanted);
    }
}

//! What dnf would do.

use std::time::Duration;

use anyhow::Result;

use super::{dnf, rpm, said};
use crate::packages::{Move, Solution};
use crate::{Class, Host};

const LIMIT: Duration = Duration::from_secs(300);

/// What installing `names` would do. Changes nothing but dnf's cache.
///
/// # Errors
/// Class `package`, where dnf finds no way (its own words are the evidence).
pub fn simulate(host: &Host, names: &[String]) -> Result<Solution> {
    let (said, solved) = ask(host, "install", names)?;
    let mut solution = parse(&said, &host.facts.arch);
    if !solved && solution == Solution::default() {
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
    let names: Vec<String> = names.iter().filter(|name| !name.starts_with("gpg-pubkey-")).cloned().collect();
    if names.is_empty() {
        return Ok(names);
    }
    let (said, _) = ask(host, "remove", &names)?;
    Ok(parse(&said, &host.facts.arch).removed.into_iter().map(|gone| gone.name).collect())
}

/// What dnf says that it would do, and whether there is anything. It is asked to tell its decisions one a line: the table is made for
/// people, and breaks long names.
fn ask(host: &Host, action: &str, names: &[String]) -> Result<(String, bool)> {
    let words = [action, "--assumeno", "--debuglevel=3"].map(str::to_owned).into_iter().chain(names.iter().cloned());
    let output = dnf(host, words).limit(LIMIT).data().output(&host.runner)?;
    // It exits with 1 where it would do something and was told not to.
    let refused = output.stderr.lines().any(|line| line.starts_with("Operation aborted"));
    if refused || output.ok() {
        return Ok((output.stdout, refused));
    }
    Err(said::fault(&output, Class::Package, &format!("dnf cannot {action} {}", names.join(", "))).into())
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
        let name = [arch, "noarch"].iter().find_map(|arch| package.strip_suffix(arch)?.strip_suffix('.'));
        let goes = matches!(fate, "erased" | "obsoleted");
        let to = if goes { String::new() } else { version.to_owned() };
        list.push(Move { name: name.unwrap_or(package).to_owned(), from: None, to });
    }
    solution
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

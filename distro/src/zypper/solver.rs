//! What zypper would do, from what it says to programs (`--xmlout`).

use std::time::Duration;

use anyhow::Result;
use roxmltree::Document;

use super::{REMOVE, SKIPPED, said, when_free, words, zypper};
use crate::packages::{Move, Solution};
use crate::{Class, Host, rpm};

const LIMIT: Duration = Duration::from_secs(300);

/// What installing `names` would do. Changes nothing but zypper's cache.
///
/// # Errors
/// Class `package`, where zypper finds no way (its own words are the evidence).
pub fn simulate(host: &Host, names: &[String]) -> Result<Solution> {
    let mut solution = ask(host, &["--no-refresh", "install", "--dry-run", "--no-recommends"], names)?;
    solution.native = format!(".{}", host.facts.arch);
    Ok(solution)
}

/// Names of the packages that would go if `names` went.
///
/// # Errors
/// Class `package`, where zypper finds no way.
pub fn simulate_removal(host: &Host, names: &[String]) -> Result<Vec<String>> {
    // Keys are no packages for zypper, and one that is not there is an error to it.
    let names: Vec<String> = names.iter().filter(|name| !name.starts_with(rpm::KEY)).cloned().collect();
    let there = rpm::with_architecture(host, &names)?;
    if there.is_empty() {
        return Ok(there);
    }
    Ok(ask(host, &[&REMOVE[..], &["--dry-run"]].concat(), &there)?.removed.into_iter().map(|gone| gone.name).collect())
}

fn ask(host: &Host, to_do: &[&str], names: &[String]) -> Result<Solution> {
    let action = to_do.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
    let named = names.iter().map(String::as_str);
    let words = words(["--xmlout"].into_iter().chain(to_do.iter().copied()).chain(named));
    let output = when_free(host, || zypper(&words).limit(LIMIT).data())?;
    match parse(&output.stdout, &host.facts.arch) {
        Some(solution) if matches!(output.ran.exit, Some(0 | SKIPPED)) => Ok(solution),
        _ => Err(said::fault(&output, Class::Package, &format!("zypper cannot {action} {}", names.join(", "))).into()),
    }
}

/// A package of the host's own architecture `arch`, or of none, is told without. None where it is not what zypper says to programs.
fn parse(said: &str, arch: &str) -> Option<Solution> {
    let document = Document::parse(said).ok()?;
    let mut solution = Solution::default();
    for one in document.descendants().filter(|node| node.has_tag_name("solvable")) {
        let told = |name: &str| one.attribute(name).unwrap_or_default();
        if told("type") != "package" {
            continue;
        }
        let list = match one.parent_element()?.tag_name().name() {
            "to-install" => &mut solution.new,
            "to-upgrade" | "to-upgrade-change-arch" => &mut solution.upgraded,
            "to-downgrade" | "to-downgrade-change-arch" => &mut solution.downgraded,
            "to-remove" => &mut solution.removed,
            // The same version once more, or of another vendor.
            _ => continue,
        };
        let name = rpm::canonical(told("name"), told("arch"), arch);
        let (from, to) = match one.parent_element()?.tag_name().name() {
            "to-install" => (None, told("edition")),
            "to-remove" => (Some(told("edition")), ""),
            _ => (Some(told("edition-old")), told("edition")),
        };
        list.push(Move { name, from: from.map(str::to_owned), to: to.to_owned() });
    }
    Some(solution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_summary_is_read() {
        let said = r#"<?xml version='1.0'?>
<stream>
<message type="info">Resolving package dependencies...</message>
<install-summary download-size="660091" space-usage-diff="1270853" packages-to-change="5">
<to-upgrade>
<solvable type="package" name="one" edition="1:2-1" arch="noarch" edition-old="1:1-1" arch-old="noarch" summary="x">
<description>x &lt; y</description></solvable>
</to-upgrade>
<to-install>
<solvable type="package" name="nginx" edition="1.22.1-1" arch="x86_64" summary="A server"/>
<solvable type="package" name="glibc" edition="2.38-1" arch="i686" summary="x"/>
<solvable type="patch" name="openSUSE-2026-1" edition="1" arch="noarch" summary="x"/>
</to-install>
<to-remove>
<solvable type="package" name="gone" edition="3-1" arch="x86_64" summary="x"/>
</to-remove>
</install-summary>
<prompt id="0"><text>Continue?</text><option default="1" value="y" desc="Yes"/></prompt>
</stream>
"#;
        let moved = |name: &str, from: Option<&str>, to: &str| Move {
            name: name.into(),
            from: from.map(str::to_owned),
            to: to.into(),
        };
        let wanted = Solution {
            new: vec![moved("nginx", None, "1.22.1-1"), moved("glibc.i686", None, "2.38-1")],
            upgraded: vec![moved("one", Some("1:1-1"), "1:2-1")],
            removed: vec![moved("gone", Some("3-1"), "")],
            ..Solution::default()
        };
        assert_eq!(parse(said, "x86_64"), Some(wanted));
        assert_eq!(parse("zypper: not found\n", "x86_64"), None);
    }
}

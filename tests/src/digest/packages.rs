//! Packages: version, state, and whether somebody asked for them.

use crate::host::Host;
use anyhow::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

pub(super) fn list(host: &Host, facts: &mut BTreeMap<String, String>) -> Result<()> {
    let format =
        "-f=${Package}:${Architecture}\t${Version}\t${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}\n";
    let listed = host.exec(["dpkg-query", "-W", format])?.ok()?.stdout;
    let states = fs::read_to_string(host.disk().join("var/lib/apt/extended_states")).unwrap_or_default();
    let automatic = automatic(&states);
    for line in listed.lines() {
        let mut fields = line.split('\t');
        let (Some(name), Some(version), Some(state)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let bare = name.split(':').next().unwrap_or(name);
        let mark = if automatic.contains(bare) { "automatic" } else { "manual" };
        facts.insert(format!("package {name}"), format!("{version} {state} {mark}"));
    }
    if host.record().suite.has_rpm() {
        for line in host.exec(["rpm", "-qa"])?.ok()?.stdout.lines() {
            facts.insert(format!("package {line}"), "rpm".to_owned());
        }
    }
    Ok(())
}

/// Names of packages that apt may remove when nothing needs them.
fn automatic(states: &str) -> BTreeSet<String> {
    let stanzas = states.split("\n\n").filter(|stanza| stanza.contains("Auto-Installed: 1"));
    stanzas
        .filter_map(|stanza| stanza.lines().find_map(|line| line.strip_prefix("Package: ")))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::automatic;

    #[test]
    fn only_marked_packages_are_automatic() {
        let states = "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nArchitecture: amd64\nAuto-Installed: 0\n";
        assert_eq!(automatic(states).into_iter().collect::<Vec<_>>(), ["a"]);
    }
}

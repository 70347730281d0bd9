//! Units: whether they are enabled, and whether they are active.

use crate::host::Host;
use anyhow::Result;
use std::collections::BTreeMap;

/// Kinds of units that somebody decides about. Mounts, devices and scopes come and go.
const KINDS: [&str; 4] = [".service", ".socket", ".timer", ".path"];

pub(super) fn list(host: &Host, facts: &mut BTreeMap<String, String>) -> Result<()> {
    let listed =
        host.exec(["systemctl", "--root=/", "list-unit-files", "--no-legend", "--no-pager", "--full"])?.ok()?.stdout;
    let mut units: BTreeMap<String, String> = BTreeMap::new();
    for (name, state) in rows(&listed, 1) {
        units.insert(name, state);
    }
    if host.record().running() && host.record().init {
        let args = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "--full"];
        // What systemd does once for a new /usr tells by its state only how often the host has booted.
        let once = host.sh("cd /usr/lib/systemd/system && grep -l ^ConditionNeedsUpdate *.service || true")?;
        let counts = |name: &str, state: &str| state != "inactive" && !once.lines().any(|one| one == name);
        // Units at rest are listed only while something remembers them.
        for (name, state) in rows(&host.exec(args)?.ok()?.stdout, 2).filter(|(name, state)| counts(name, state)) {
            units.entry(name).or_default().push_str(&format!(" {state}"));
        }
    }
    facts.extend(units.into_iter().map(|(name, state)| (format!("unit {name}"), state.trim().to_owned())));
    Ok(())
}

fn rows(listed: &str, column: usize) -> impl Iterator<Item = (String, String)> {
    listed.lines().filter_map(move |line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.first().filter(|name| KINDS.iter().any(|kind| name.ends_with(kind)))?;
        Some(((*name).to_owned(), (*words.get(column)?).to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn rows_of_decided_kinds_are_taken() {
        let listed =
            "nginx.service loaded active running A web server\ndev-vda.device loaded active plugged /dev/vda\n";
        assert_eq!(rows(listed, 2).collect::<Vec<_>>(), [("nginx.service".to_owned(), "active".to_owned())]);
    }
}

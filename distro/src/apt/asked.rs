//! What apt has marked as installed automatically: `/var/lib/apt/extended_states`, stanzas with `Auto-Installed: 1`; of all other packages
//! apt-mark(8) says that they are there because somebody asked for them. apt writes it before it calls dpkg.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

const STATES: &str = "/var/lib/apt/extended_states";

/// Those of the installed packages `names` that somebody asked for, on a host of `architecture`.
///
/// # Errors
/// Where the file of marks cannot be read.
pub fn asked_for(architecture: &str, names: Vec<String>) -> Result<BTreeSet<String>> {
    let states = std::fs::read_to_string(STATES).with_context(|| format!("reading {STATES}"))?;
    let automatic = automatic(&states, architecture);
    let plain = |name: &str| name.strip_suffix(architecture).and_then(|name| name.strip_suffix(':')).map(str::to_owned);
    Ok(names.into_iter().filter(|name| !automatic.contains(&plain(name).unwrap_or(name.clone()))).collect())
}

/// Names of those that came for others; of a foreign architecture with it.
fn automatic(states: &str, architecture: &str) -> BTreeSet<String> {
    let field = |stanza: &str, name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    };
    let stanzas = states.split("\n\n").filter(|stanza| field(stanza, "Auto-Installed").as_deref() == Some("1"));
    let named = stanzas.filter_map(|stanza| {
        let name = field(stanza, "Package")?;
        let foreign = field(stanza, "Architecture").filter(|of| of != architecture && of != "all");
        Some(foreign.map_or(name.clone(), |of| format!("{name}:{of}")))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_for_others_is_marked() {
        let states = "Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nArchitecture: amd64\nAuto-Installed: 0\n\n\
                      Package: c\nArchitecture: i386\nAuto-Installed: 1\n\nPackage: d\nAuto-Installed: 1\nArchitecture: all\n";
        assert_eq!(automatic(states, "amd64").into_iter().collect::<Vec<_>>(), ["a", "c:i386", "d"]);
        assert!(automatic("", "amd64").is_empty());
    }
}

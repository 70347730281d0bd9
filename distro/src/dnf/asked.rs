//! Why dnf has packages: what dnf 4 keeps in its history and dnf 5 in its system state, asked with `dnf repoquery` (dnf(8), dnf5-repoquery(8)).

use std::collections::BTreeSet;

use anyhow::Result;

use super::{DNF, is_five, said};
use crate::{Class, Host};

/// What takes it back, in dnf's own words, that somebody asked for a package.
pub fn unmark() -> &'static str {
    if is_five() { "mark dependency" } else { "mark remove" }
}

/// Those of the installed packages `names` that somebody asked for. Of what a transaction brought that was cut off, or rpm alone, dnf knows
/// nothing, and counts it as asked for elsewhere (`--userinstalled`); it has a word of its own for it, `unknown` or `External User`.
///
/// # Errors
/// Class `package`, where dnf does not say.
pub fn asked_for(host: &Host, names: &[String]) -> Result<BTreeSet<String>> {
    // No repository has a say in it.
    let ask = ["repoquery", "--quiet", "--cacheonly", "--disablerepo=*", "--installed"];
    let format = "--queryformat=%{name}.%{arch} %{reason}\\n";
    let output = DNF.answer(host, &[&ask[..], DNF.to_remove, &[format]].concat(), names)?;
    if !output.ok() {
        return Err(said::SAID
            .fault(&output, Class::Package, "dnf does not say which packages somebody asked for")
            .into());
    }
    Ok(parse(&output.stdout, names, &host.facts.arch))
}

/// `redis.x86_64 user`, with dnf 5 `redis.x86_64 User`.
fn parse(said: &str, names: &[String], arch: &str) -> BTreeSet<String> {
    let lines = said.lines().filter_map(|line| line.trim().split_once(' '));
    // A group that was asked for is of somebody's asking, too: we ask for none.
    let is_asked = |reason: &str| ["user", "group"].iter().any(|asked| reason.eq_ignore_ascii_case(asked));
    let asked: BTreeSet<&str> = lines.filter(|(_, reason)| is_asked(reason)).map(|(name, _)| name).collect();
    let own = |name: &str| [arch, "noarch"].iter().any(|arch| asked.contains(format!("{name}.{arch}").as_str()));
    names.iter().filter(|name| asked.contains(name.as_str()) || own(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_asked_for_is_named() {
        let names =
            ["jq", "oniguruma", "glibc.i686", "glibc", "python3.11", "absent", "by-rpm", "vim"].map(str::to_owned);
        for said in [
            "jq.x86_64 user\n\noniguruma.x86_64 dependency\nglibc.i686 user\nglibc.x86_64 weak-dependency\n\
             python3.11.noarch user\nby-rpm.noarch unknown\nvim.x86_64 group\n",
            "jq.x86_64 User\noniguruma.x86_64 Dependency\nglibc.i686 User\nglibc.x86_64 Weak Dependency\n\
             python3.11.noarch User\nby-rpm.noarch External User\nvim.x86_64 Group\n",
        ] {
            let asked: Vec<String> = parse(said, &names, "x86_64").into_iter().collect();
            assert_eq!(asked, ["glibc.i686", "jq", "python3.11", "vim"]);
        }
    }
}

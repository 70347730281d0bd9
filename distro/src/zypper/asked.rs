//! What libzypp has marked as installed automatically: `/var/lib/zypp/AutoInstalled`, a name a line, which it writes anew with each
//! transaction. All other packages are there because somebody asked for them.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

const MARKS: &str = "/var/lib/zypp/AutoInstalled";

/// Those of the installed packages `names` that somebody asked for.
///
/// # Errors
/// Where the file of marks cannot be read.
pub fn asked_for(names: Vec<String>) -> Result<BTreeSet<String>> {
    let marks = std::fs::read_to_string(MARKS).with_context(|| format!("reading {MARKS}"))?;
    Ok(but_for_marked(&marks, names))
}

fn but_for_marked(marks: &str, names: Vec<String>) -> BTreeSet<String> {
    let marked: BTreeSet<&str> = marks.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    names.into_iter().filter(|name| !marked.contains(name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_marked_was_asked_for() {
        let marks = "# AutoInstalled generated Sun Nov 29 23:18:01 2026\n#\nlibjq1\nproduct:Leap\n#\n";
        let names = ["jq", "libjq1"].map(str::to_owned).to_vec();
        assert_eq!(but_for_marked(marks, names).into_iter().collect::<Vec<_>>(), ["jq"]);
    }
}

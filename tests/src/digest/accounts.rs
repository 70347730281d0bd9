//! Users and groups, by name: their numbers depend on the order in which packages were configured.

use crate::host::Host;
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
};

/// What passwd, shadow and group say.
#[derive(Debug)]
pub(super) struct Accounts {
    users: Vec<Vec<String>>,
    groups: Vec<Vec<String>>,
    passwords: HashMap<String, String>,
}

impl Accounts {
    pub(super) fn of(host: &Host) -> Result<Self> {
        let table = |name: &str| -> Result<Vec<Vec<String>>> {
            let path = host.disk().join("etc").join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect())
        };
        let shadow = table("shadow")?;
        let passwords = shadow.iter().filter_map(|row| Some((row.first()?.clone(), password(row.get(1)?)))).collect();
        Ok(Self { users: table("passwd")?, groups: table("group")?, passwords })
    }

    /// The name of a user's number, or the number.
    pub(super) fn user(&self, id: u32) -> String {
        name_of(&self.users, id)
    }

    /// The name of a group's number, or the number.
    pub(super) fn group(&self, id: u32) -> String {
        name_of(&self.groups, id)
    }

    pub(super) fn list(&self, facts: &mut BTreeMap<String, String>) {
        for row in self.users.iter().filter(|row| row.len() == 7) {
            let group = row[3].parse().map_or_else(|_| row[3].clone(), |id| self.group(id));
            let password = self.passwords.get(&row[0]).map_or("none", String::as_str);
            let value =
                format!("group={group} comment={:?} home={} shell={} password={password}", row[4], row[5], row[6]);
            facts.insert(format!("user {}", row[0]), value);
        }
        for row in self.groups.iter().filter(|row| row.len() == 4) {
            let mut members: Vec<&str> = row[3].split(',').filter(|name| !name.is_empty()).collect();
            members.sort_unstable();
            facts.insert(format!("group {}", row[0]), format!("members={}", members.join(",")));
        }
    }
}

fn name_of(table: &[Vec<String>], id: u32) -> String {
    let id = id.to_string();
    let row = table.iter().find(|row| row.get(2) == Some(&id));
    row.and_then(|row| row.first()).cloned().unwrap_or(id)
}

/// The kind of a password entry, without its salt and hash.
fn password(entry: &str) -> String {
    match entry {
        "" => "empty".to_owned(),
        "*" | "!" | "!*" | "!!" => entry.to_owned(),
        _ => format!("set({})", entry.split('$').nth(1).unwrap_or("des")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_lose_their_salt() {
        assert_eq!(password("$y$j9T$salt$hash"), "set(y)");
        assert_eq!(password("!*"), "!*");
        assert_eq!(password(""), "empty");
    }

    #[test]
    fn unnamed_numbers_stay_numbers() {
        let table = vec![vec!["redis".to_owned(), "x".to_owned(), "101".to_owned()]];
        assert_eq!(name_of(&table, 101), "redis");
        assert_eq!(name_of(&table, 102), "102");
    }
}

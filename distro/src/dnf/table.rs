//! What dnf 5 would do: a table, with a line before the packages to which the same is done.

use crate::packages::Solution;
use crate::rpm::decisions::moved;

/// ` redis x86_64 0:7.2.5-1.fc42 fedora 1.5 MiB` below `Installing:`; below a package what makes way for it, as
/// `   replacing old x86_64 0:1-1.fc42 fedora 1.5 MiB`.
pub(super) fn parse(said: &str, arch: &str) -> Solution {
    let mut solution = Solution::default();
    let mut fate = "";
    for line in said.lines().take_while(|line| !line.starts_with("Transaction Summary")) {
        if let Some(head) = line.trim_end().strip_suffix(':').filter(|head| !head.starts_with(' ')) {
            fate = head;
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().filter(|_| line.starts_with(' ')).collect();
        match words.as_slice() {
            // The other half of an upgrade has the same name.
            ["replacing", name, of, ..] if fate.starts_with("Installing") => {
                solution.removed.push(moved(name, of, arch, ""));
            }
            ["replacing", ..] => {}
            [name, of, version, ..] => {
                let version = version.strip_prefix("0:").unwrap_or(version);
                match fate.split(' ').next() {
                    Some("Installing") => solution.new.push(moved(name, of, arch, version)),
                    Some("Upgrading") => solution.upgraded.push(moved(name, of, arch, version)),
                    Some("Downgrading") => solution.downgraded.push(moved(name, of, arch, version)),
                    Some("Removing") => solution.removed.push(moved(name, of, arch, "")),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::Move;

    #[test]
    fn the_table_is_read() {
        let said = "\
Package                  Arch   Version        Repository      Size
Changing reason:
 kept                    noarch 1:1-1          @System      0.0   B
   External User -> User                                           
Upgrading:
 openssl-libs            x86_64 1:3.2.2-8.fc42 updates      7.6 MiB
   replacing openssl-libs x86_64 1:3.2.2-7.fc42 <unknown>   7.6 MiB
Installing:
 newname                 noarch 0:3-1          two          0.0   B
   replacing oldname     noarch 0:1-1          <unknown>    0.0   B
 valkey                  x86_64 0:8.0.1-1.fc42 fedora       2.7 MiB
Installing dependencies:
 glibc                   i686   0:2.41-1.fc42  fedora       2.7 MiB
Removing:
 gone                    x86_64 0:7.0.15-1     lab          2.7 MiB
Removing dependent packages:
 follows                 x86_64 0:1-1          lab          2.7 MiB
Downgrading:
 old                     noarch 0:1-1          lab          2.7 MiB
   replacing old         noarch 0:2-1          <unknown>    2.7 MiB

Transaction Summary:
 Installing:         3 packages
";
        let moved = |name: &str, to: &str| Move { name: name.into(), from: None, to: to.into() };
        let wanted = Solution {
            new: vec![moved("newname", "3-1"), moved("valkey", "8.0.1-1.fc42"), moved("glibc.i686", "2.41-1.fc42")],
            upgraded: vec![moved("openssl-libs", "1:3.2.2-8.fc42")],
            downgraded: vec![moved("old", "1-1")],
            removed: vec![moved("oldname", ""), moved("gone", ""), moved("follows", "")],
            ..Solution::default()
        };
        assert_eq!(parse(said, "x86_64"), wanted);
        assert_eq!(parse("Nothing to do.\n", "x86_64"), Solution::default());
    }
}

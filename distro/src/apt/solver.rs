//! What apt would do.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::transaction::to_do;
use crate::Host;
use crate::dpkg::{DATABASE, Dpkg};
use crate::packages::{Archive, Move, Solution};

/// What installing `names` would do, without recommended packages. Takes no lock and changes nothing.
///
/// # Errors
/// Class `package`, where apt finds no way (its own words are the evidence).
pub fn simulate(host: &Host, names: &[String]) -> Result<Solution> {
    solution(host, "install", names)
}

/// Names of the packages that would go if `names` went.
///
/// # Errors
/// Class `package`, where apt finds no way.
pub fn simulate_removal(host: &Host, names: &[String]) -> Result<Vec<String>> {
    Ok(solution(host, "remove", names)?.removed.into_iter().map(|gone| gone.name).collect())
}

/// `--print-uris` ends where the lists are told, before apt takes a lock; `-s` would go on and compute the order in which dpkg is
/// called, which costs three times as much as all before it.
fn solution(host: &Host, action: &str, names: &[String]) -> Result<Solution> {
    let words =
        [action, "--print-uris", "--verbose-versions", "--no-install-recommends", "-o", "Acquire::ForceHash=SHA256"];
    let output = super::apt_get(to_do(&words, names)).limit(SOLVER_LIMIT).data().output(&host.runner)?;
    if !output.ok() {
        let fault = super::said::fault(&output, &format!("apt cannot {action} {}", names.join(", ")));
        return Err(fault.into());
    }
    let mut solution = parse(&output.stdout);
    // Of what goes, apt tells the version that it would install, if there is one.
    let dpkg = Dpkg::read(Path::new(DATABASE))?;
    for gone in &mut solution.removed {
        gone.from = dpkg.package(&gone.name).map(|package| package.version.clone());
    }
    solution.native = format!(":{}", dpkg.architecture);
    Ok(solution)
}

const SOLVER_LIMIT: Duration = Duration::from_secs(300);

/// Reads the lists of what would be done: a heading, then `  NAME (NEW)`, `  NAME (OLD => NEW)`, and of what goes `  NAME`, with a version
/// or without, and a `*` where it is purged. Other lists do not matter.
fn parse(text: &str) -> Solution {
    let mut solution = Solution::default();
    let mut unread = Vec::new();
    let mut list = &mut unread;
    for line in text.lines() {
        if !line.starts_with(' ') {
            list = match line {
                "The following NEW packages will be installed:" => &mut solution.new,
                "The following packages will be upgraded:" => &mut solution.upgraded,
                "The following packages will be DOWNGRADED:" => &mut solution.downgraded,
                "The following packages will be REMOVED:" => &mut solution.removed,
                _ => &mut unread,
            };
            continue;
        }
        let (name, versions) = line.trim().split_once(" (").unwrap_or((line.trim(), ""));
        let versions = versions.trim_end_matches(')');
        let (from, to) = versions.split_once(" => ").map_or((None, versions), |(from, to)| (Some(from), to));
        list.push(Move { name: name.to_owned(), from: from.map(str::to_owned), to: to.to_owned() });
    }
    solution.archives = text.lines().filter_map(archive).collect();
    for gone in &mut solution.removed {
        gone.name = gone.name.trim_end_matches('*').to_owned();
        gone.to.clear();
    }
    solution
}

/// `'URL' FILE SIZE SHA256:HASH`; none where the hash is of another sort, or the URL holds a login, which is nothing for a command line.
fn archive(line: &str) -> Option<Archive> {
    let (url, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let [file, _, hash] = rest.split(' ').collect::<Vec<_>>()[..] else { return None };
    let fits = hash.starts_with("SHA256:") && !url.contains('@') && !file.contains('/');
    fits.then(|| Archive { url: url.to_owned(), file: file.to_owned(), hash: hash.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    const SAID: &str = "\
Reading package lists...
tzdata is already the newest version (2026a-0+deb12u1).
The following packages were automatically installed and are no longer required:
   libatomic1 (10.2.1-6)
Use 'apt autoremove' to remove them.
The following additional packages will be installed:
   libc6:i386 (2.36-9)
Suggested packages:
   glibc-doc:i386
   | c-compiler (1)
The following packages will be REMOVED:
   exim4 (4.96-15)
   mailutils* (1:3.15-4)
   lab-rival
The following NEW packages will be installed:
   libc6:i386 (2.36-9)
   redis-server (5:7.0.15-1~deb12u7)
The following packages will be upgraded:
   libssl3 (3.0.19 => 3.0.20)
The following packages will be DOWNGRADED:
   tar (1.35 => 1.34)
1 upgraded, 2 newly installed, 1 downgraded, 2 to remove and 0 not upgraded.
Need to get 0 B/99.5 kB of archives.
'http://deb.debian.org/redis.deb' redis-server_5%3a7.0.15-1~deb12u7_amd64.deb 99500 SHA256:00
'http://deb.debian.org/old.deb' old_1_amd64.deb 99500 MD5Sum:00
'http://jo:secret@deb.debian.org/a.deb' a_1_amd64.deb 99500 SHA256:00
'http://deb.debian.org/none.deb' none_1_amd64.deb 99500 
";

    fn moved(name: &str, from: Option<&str>, to: &str) -> Move {
        Move { name: name.into(), from: from.map(Into::into), to: to.into() }
    }

    #[test]
    fn the_lists_are_read() {
        let expected = Solution {
            new: vec![moved("libc6:i386", None, "2.36-9"), moved("redis-server", None, "5:7.0.15-1~deb12u7")],
            upgraded: vec![moved("libssl3", Some("3.0.19"), "3.0.20")],
            downgraded: vec![moved("tar", Some("1.35"), "1.34")],
            removed: ["exim4", "mailutils", "lab-rival"].map(|name| moved(name, None, "")).to_vec(),
            archives: vec![Archive {
                url: "http://deb.debian.org/redis.deb".into(),
                file: "redis-server_5%3a7.0.15-1~deb12u7_amd64.deb".into(),
                hash: "SHA256:00".into(),
            }],
            ..Solution::default()
        };
        assert_eq!(parse(SAID), expected);
    }

    #[test]
    fn losses_are_refused_by_name() {
        let mut solution = parse(SAID);
        solution.removed[0].from = Some("4.96".into());
        let names = ["redis-server".to_owned()];
        let fault = solution.refuse_losses(&names).unwrap_err();
        assert_eq!(fault.class, Class::Package);
        let losses = [
            "would remove exim4 4.96",
            "would remove mailutils ",
            "would remove lab-rival ",
            "would downgrade tar 1.35 to 1.34",
        ];
        assert_eq!(fault.evidence, losses);
        solution.removed.clear();
        assert_eq!(solution.refuse_losses(&names).unwrap_err().evidence.len(), 1);
        solution.downgraded.clear();
        assert!(solution.refuse_losses(&names).is_ok());
    }
}

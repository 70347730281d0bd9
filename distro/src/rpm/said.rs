//! What package managers that use rpm say when something fails, read by tables of their words.

use crate::command::Output;
use crate::{Class, Fault};

/// What there is to do where a package is not signed.
pub const UNSIGNED: &str =
    "ask whoever offers this package for one that is signed: packages that are not are never installed";
/// Where an index is not signed.
pub const UNSIGNED_INDEX: &str =
    "ask whoever offers this repository for one whose index is signed: others are never taken";
/// Where a package is signed by another key.
pub const OTHER_KEY: &str = "the package is signed by a key that is not pinned: compare the fingerprints with those that the vendor publishes, \
                             and pin another key only when they agree";
/// Where an index is.
pub const OTHER_INDEX_KEY: &str = "the index is not signed by a key that is pinned: compare the fingerprints with those that the vendor \
                                   publishes, and pin another key only when they agree";

/// Names of CentOS's mirrors, which are nobody's since July 2024. What they had is in the archive, laid out alike.
const GONE: [&str; 2] = ["mirrorlist.centos.org", "mirror.centos.org"];
/// Where a repository still has them.
const MIRRORS_ARE_GONE: &str = "CentOS 7 and 8 get no updates any more, and their mirrors are gone: let the repositories point at the archive, \
     vault.centos.org (`sed -i 's/^mirrorlist=/#&/; s|^#baseurl=http://mirror\\.|baseurl=http://vault.|' /etc/yum.repos.d/CentOS-*.repo`), or switch \
     off those that are not needed; then go on with --resume";

/// What there is to do about words, or an address, that name mirrors which are gone; none where they name others.
pub fn mirrors_are_gone(text: &str) -> Option<&'static str> {
    GONE.iter()
        .any(|name| text.contains(&format!("//{name}")) || text.contains(&format!(" {name}")))
        .then_some(MIRRORS_ARE_GONE)
}

/// The words of one of them.
pub struct Words {
    /// Its name.
    pub program: &'static str,
    /// What a failure is by the words of it, the most telling first.
    pub classes: &'static [(&'static str, Class)],
    /// What lines begin with that tell of one.
    pub heads: &'static [&'static str],
    /// What there is to do about one by the words of it; where none is there, by its class.
    pub advice: &'static [(&'static str, &'static str)],
}

impl Words {
    /// Lines that tell of a failure, each once.
    pub fn complaints(&self, output: &Output) -> Vec<String> {
        let mut told: Vec<String> = Vec::new();
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            let begins = self.heads.iter().any(|head| line.starts_with(head));
            let is_one = begins || self.classes.iter().any(|(words, _)| line.contains(words));
            let line = line.trim();
            if is_one && !line.ends_with("Error:") && !told.iter().any(|known| known == line) {
                told.push(line.to_owned());
            }
        }
        told
    }

    /// The failure that `output` tells of; of `class`, where its words tell no other.
    pub fn fault(&self, output: &Output, class: Class, message: &str) -> Fault {
        let complaints = self.complaints(output);
        let has = |words: &str| complaints.iter().any(|line| line.contains(words));
        let gone = complaints.iter().find_map(|line| mirrors_are_gone(line));
        let class = self.classes.iter().find(|(words, _)| has(words)).map_or(class, |(_, class)| *class);
        let class = if gone.is_some() { Class::Repository } else { class };
        let advice = self.advice.iter().find(|(words, _)| has(words)).map(|(_, advice)| *advice);
        let advice = gone.or(advice).map(str::to_owned);
        let advice = advice.unwrap_or_else(|| self.by_class(class));
        let evidence = if complaints.is_empty() { output.tail.clone() } else { complaints };
        Fault::new(class, message).evidence(evidence).command(output.ran.clone()).advice(advice)
    }

    fn by_class(&self, class: Class) -> String {
        let advice = match class {
            Class::Disk => "make room there, then go on with --resume",
            Class::Memory => "free memory or add some, then go on with --resume",
            Class::Proxy => "check the proxy and its login (--proxy), then go on with --resume",
            Class::Dns => "check the name and this host's DNS, or give a proxy with --proxy, then go on with --resume",
            Class::Tls => {
                "give the certificate of the CA that signs there with --ca-file, or check the clock, then go on with --resume"
            }
            Class::Http => "check whether this host may reach that address, then go on with --resume",
            Class::Repository => {
                "check the address of the repository and whether it has this release of the distribution"
            }
            _ => return format!("mend what {} says above, then go on with --resume", self.program),
        };
        advice.to_owned()
    }
}

//! What package managers that use rpm say when something fails, read by tables of their words.

use std::path::{Path, PathBuf};

use super::definition::FOLDER;
use super::{extras, repos};
use crate::command::Output;
use crate::{Class, Fault, Host};

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

/// What is said where a host of Red Hat's has no repositories yet (`… with an entitlement server`, `… to Red Hat Subscription Management`), and what
/// there is to do.
pub const UNREGISTERED: (&str, &str) = (
    "This system is not registered",
    "register the host (`subscription-manager register`): until then it has none of Red Hat's repositories; then go on with --resume",
);

/// What the lines begin with that Red Hat's plugin says in every call, whatever it is about.
const OF_REGISTRATION: &str = "This system is ";

/// `output` without what is said of the host's registration, where it has repositories without one: of its cloud, or of CentOS. They are defined below
/// `folder`, with what `overrides` say.
pub fn heard(output: &Output, folder: &Path, overrides: &[&Path]) -> Output {
    // A folder that cannot be read is the package manager's to complain about.
    if !repos::has_others(folder, overrides).unwrap_or_default() {
        return output.clone();
    }
    own(output, &[], |lines| usize::from(lines[0].starts_with(OF_REGISTRATION)))
}

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
        let mut complaints = self.complaints(output);
        let has = |words: &str| complaints.iter().any(|line| line.contains(words));
        let gone = complaints.iter().find_map(|line| mirrors_are_gone(line));
        let class = self.classes.iter().find(|(words, _)| has(words)).map_or(class, |(_, class)| *class);
        let class = if gone.is_some() { Class::Repository } else { class };
        // A full disk is no matter of it, nor is the way to a server.
        if !matches!(class, Class::Repository | Class::Package) {
            complaints.retain(|line| !line.starts_with(OF_REGISTRATION));
        }
        let has = |words: &str| complaints.iter().any(|line| line.contains(words));
        let advice = self.advice.iter().find(|(words, _)| has(words)).map(|(_, advice)| *advice);
        let advice = gone.or(advice).map(str::to_owned);
        let advice = advice.unwrap_or_else(|| self.by_class(class));
        let evidence = if complaints.is_empty() { output.tail.clone() } else { complaints };
        Fault::new(class, message).evidence(evidence).command(output.ran.clone()).advice(advice)
    }

    /// The same of packages on `host`. Where `lacks` is said, one needs what no repository has: what there is to do depends on the distribution.
    pub fn fault_of_packages(&self, host: &Host, output: &Output, message: &str, lacks: &[&str]) -> Fault {
        let fault = self.fault(output, Class::Package, message);
        let tells = |words: &&str| fault.evidence.iter().any(|line| line.contains(words));
        let is_known = self.advice.iter().any(|(words, _)| tells(words));
        if fault.class == Class::Package && !is_known && lacks.iter().any(tells) {
            let names = repos::all_names(Path::new(FOLDER)).unwrap_or_default();
            return fault.advice(extras::advice(&host.facts, &names));
        }
        fault
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

/// `fault`, with what there is to do where the host's own `settings` name a proxy and it is about the way to a server.
pub fn by_own_proxy(fault: Fault, settings: &[PathBuf]) -> Fault {
    let about_the_way = matches!(fault.class, Class::Http | Class::Proxy | Class::Dns);
    let Some(proxy) = repos::own_proxy(settings).filter(|_| about_the_way) else { return fault };
    fault.advice(format!(
        "check 'proxy' in {}: what is fetched goes by that, also where --proxy names another; then go on with --resume",
        proxy.file.display()
    ))
}

/// What `output` says without what it says of repositories that were passed over, which are not to blame: `passed_over` tells how many lines at the
/// beginning of those that are left are about one. All of it, where it says one of `missing`: that something is missing which they may have.
pub fn own(output: &Output, missing: &[&str], passed_over: impl Fn(&[&str]) -> usize) -> Output {
    if missing.iter().any(|words| output.stdout.contains(words) || output.stderr.contains(words)) {
        return output.clone();
    }
    let own = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        let (mut at, mut kept) = (0, String::new());
        while at < lines.len() {
            let passed = passed_over(&lines[at..]);
            if passed == 0 {
                kept = kept + lines[at] + "\n";
            }
            at += passed.max(1);
        }
        kept
    };
    Output { stdout: own(&output.stdout), stderr: own(&output.stderr), ..output.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Ran;

    #[test]
    fn where_it_counts_that_a_host_is_not_registered() {
        let words = Words {
            program: "dnf",
            classes: &[("No space left", Class::Disk), ("Status code: 404", Class::Repository)],
            heads: &["This system is ", "Error"],
            advice: &[UNREGISTERED],
        };
        let root = tempfile::tempdir().unwrap();
        let ours = format!("{}\n[ours]\n", repos::MANAGED);
        let rhui = format!("{ours}[rhel-9-baseos-rhui-rpms]\nenabled=1\n").replace(repos::MANAGED, "#");
        for (defined, stderr, class, counts) in [
            ("", "Error: Unable to find a match: redis\n", Class::Package, true),
            (&ours, "Error: Unable to find a match: redis\n", Class::Package, true),
            ("[epel]\nenabled=1\n[rhel]\nenabled=0\n", "Error: Status code: 404\n", Class::Repository, true),
            ("", "Error: No space left on device\n", Class::Disk, false),
            (&rhui, "Error: Unable to find a match: redis\n", Class::Package, false),
            (&rhui, "Error: Status code: 404\n", Class::Repository, false),
        ] {
            std::fs::write(root.path().join("x.repo"), defined).unwrap();
            let ran = Ran { argv: vec!["dnf".into()], exit: Some(1), signal: None };
            let stdout =
                "\nThis system is not registered with an entitlement server. You can use \"rhc\" to register.\n\n";
            let output = Output { stdout: stdout.into(), stderr: stderr.into(), tail: Vec::new(), ran };
            let fault = words.fault(&heard(&output, root.path(), &[]), Class::Package, "it failed");
            assert_eq!(fault.class, class, "{defined}{stderr}");
            assert_eq!(fault.advice == UNREGISTERED.1, counts, "{defined}{stderr}{fault:?}");
            assert_eq!(fault.evidence.len(), if counts { 2 } else { 1 }, "{defined}{stderr}{fault:?}");
        }
    }

    #[test]
    fn a_proxy_of_the_hosts_own_is_named() {
        let root = tempfile::tempdir().unwrap();
        let settings = root.path().join("dnf.conf");
        let advice = |class| {
            by_own_proxy(Fault::new(class, "it fails").advice("mend it"), std::slice::from_ref(&settings)).advice
        };
        assert_eq!(advice(Class::Http), "mend it");
        std::fs::write(&settings, "[main]\nproxy=http://proxy.corp:3128\n").unwrap();
        let named = format!("check 'proxy' in {}", settings.display());
        assert!(advice(Class::Http).starts_with(&named) && advice(Class::Proxy).starts_with(&named));
        assert_eq!(advice(Class::Package), "mend it");
    }
}

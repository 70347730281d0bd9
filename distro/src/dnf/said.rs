//! What dnf, and the library that fetches for it, say when something fails.

use std::path::Path;

use super::{overrides, settings};
use crate::command::Output;
use crate::rpm::definition::FOLDER;
use crate::rpm::repos;
use crate::rpm::said::{self, OTHER_INDEX_KEY, OTHER_KEY, UNREGISTERED, UNSIGNED, UNSIGNED_INDEX, Words};
use crate::{Class, Fault, Host, layout};

/// What a failure is by the words of it, the most telling first.
const WORDS: &[(&str, Class)] = &[
    ("Config error", Class::Host),
    ("Error in configuration file", Class::Host),
    ("sqlite failure", Class::Package),
    ("rpmdb open failed", Class::Package),
    ("Problem repository", Class::Repository),
    ("Hash algorithm SHA1 not available", Class::Repository),
    ("SHA1 is not considered secure", Class::Repository),
    ("cannot open file: (2)", Class::Repository),
    ("GPG check FAILED", Class::Repository),
    ("GPG signature verification error", Class::Repository),
    ("is not signed", Class::Repository),
    ("PGP check for package", Class::Repository),
    ("GPG signature is not available", Class::Repository),
    ("PGP signature", Class::Repository),
    ("Public key for", Class::Repository),
    ("Failed to retrieve GPG key", Class::Repository),
    ("No space left on device", Class::Disk),
    ("more space needed on the", Class::Disk),
    ("Failed writing received data", Class::Disk),
    ("Cannot allocate memory", Class::Memory),
    ("Could not resolve proxy", Class::Proxy),
    ("from proxy after CONNECT", Class::Proxy),
    (" over proxy ", Class::Proxy),
    ("Status code: 407", Class::Proxy),
    ("Could not resolve host", Class::Dns),
    ("SSL certificate problem", Class::Tls),
    ("SSL peer certificate", Class::Tls),
    ("SSL connect error", Class::Tls),
    ("Status code: 404", Class::Repository),
    ("error: 404", Class::Repository),
    ("Cannot prepare internal mirrorlist", Class::Repository),
    (NO_REPOSITORIES, Class::Repository),
    ("read a file", Class::Repository),
    ("Status code: ", Class::Http),
    ("Could not connect to server", Class::Http),
    ("Couldn't connect to server", Class::Http),
    ("Timeout was reached", Class::Http),
    ("Curl error", Class::Http),
];

const NO_REPOSITORIES: &str = "There are no enabled repositories";

/// What is said where no repository has what is asked for, or what that needs.
const LACKS: [&str; 3] = ["nothing provides", "No match for argument", "Unable to find a match"];

/// Advice where dnf 4 and dnf 5 say the same in other words.
const EXCLUDED: &str = "take it out of 'excludepkgs' in /etc/dnf/dnf.conf or its repository ('exclude' is the same, and 'includepkgs' leaves out what \
                        it does not name), or out of what a plugin leaves out (`dnf versionlock list`), then go on with --resume";
const SHA1: &str = "it is signed by SHA-1, which the host's crypto policy takes no more: ask whoever offers it for one that is signed by SHA-256";
const NO_KEY: &str = "give that repository the key that its packages are signed by ('gpgkey' in its file in /etc/yum.repos.d), as whoever offers it \
                      publishes it, then go on with --resume";
const DAMAGED: &str = "rpm's database is damaged: keep a copy of it, mend it with `rpm --rebuilddb`, see that `rpm -qa` tells what is there, then go on \
                       with --resume";
const MEND_FILE: &str = "mend that file, then go on with --resume";
const NO_FILE: &str = "a repository names a file that is not there ('gpgkey' or 'baseurl' in /etc/yum.repos.d): bring it, or switch that repository \
                       off, then go on with --resume";

/// What there is to do about a failure by the words of it; where none is there, by its class.
const ADVICE: &[(&str, &str)] = &[
    ("Config error", MEND_FILE),
    ("Error in configuration file", MEND_FILE),
    ("sqlite failure", DAMAGED),
    ("rpmdb open failed", DAMAGED),
    ("is not signed", UNSIGNED),
    ("Hash algorithm SHA1 not available", SHA1),
    ("SHA1 is not considered secure", SHA1),
    ("Public key for", NO_KEY),
    ("Problem repository", NO_KEY),
    ("does not have any OpenPGP keys", NO_KEY),
    ("GPG check FAILED", OTHER_KEY),
    ("PGP check for package", OTHER_KEY),
    ("GPG signature is not available", UNSIGNED_INDEX),
    ("PGP signature", OTHER_INDEX_KEY),
    ("GPG signature verification error", OTHER_INDEX_KEY),
    (
        "filtered out by modular filtering",
        "enable the module stream that has it (`dnf module list`), then go on with --resume",
    ),
    ("filtered out by exclude filtering", EXCLUDED),
    ("matches only excluded packages", EXCLUDED),
    ("matches only packages excluded", EXCLUDED),
    (
        "No URLs in mirrorlist",
        "the distribution has no mirrors of this release any more, as of one that gets no updates: upgrade the host, or point the \
         repository at an archive of it (`baseurl` in /etc/yum.repos.d), then go on with --resume",
    ),
    UNREGISTERED,
    (
        "is not receiving updates",
        "give the host a subscription (`subscription-manager attach`), or see which repositories it may have (`subscription-manager repos`), then go \
         on with --resume",
    ),
    (
        NO_REPOSITORIES,
        "switch on the distribution's repositories (`dnf repolist --all` lists those that are defined), then go on with --resume",
    ),
    ("read a file", NO_FILE),
    ("cannot open file: (2)", NO_FILE),
    (
        "Cache-only enabled",
        "take 'cacheonly' out of /etc/dnf/dnf.conf, which lets nothing be fetched, then go on with --resume",
    ),
    ("Operation aborted", "take 'assumeno' out of /etc/dnf/dnf.conf, which answers with no, then go on with --resume"),
];

/// What lines begin with that tell of a failure.
const HEADS: &[&str] = &[
    "Error",
    "error:",
    "Warning: ",
    "warning: ",
    "Package ",
    "Public key for",
    "Problem",
    "No match for",
    "All matches were filtered",
    "This system is ",
    "There are no enabled",
    "The GPG keys listed",
    "Check that the correct key",
    "You have enabled checking of packages",
    "Operation aborted",
    "curl:",
    "Failed to download",
    "OpenPGP check",
    "Argument '",
    ">>> ",
    "  - ",
    "* ",
];

/// Its words.
pub const SAID: Words = Words { program: "dnf", classes: WORDS, heads: HEADS, advice: ADVICE };

/// What stands before the names of repositories that failed and were left out.
const IGNORED: &str = "Ignoring repositories: ";

/// Names of repositories that failed and were left out.
pub fn ignored(output: &Output) -> Vec<&str> {
    let lines = output.stdout.lines().chain(output.stderr.lines());
    lines.filter_map(|line| line.strip_prefix(IGNORED)).flat_map(|names| names.split(", ")).collect()
}

/// What is said without what is said of repositories that were left out.
fn own(output: &Output) -> Output {
    let ignored = ignored(output);
    let of = |line: &str, head: &str| {
        ignored.iter().any(|name| line.strip_prefix(head).is_some_and(|rest| rest.starts_with(&format!("'{name}'"))))
    };
    let is_last = |line: &&str| of(line, "Error: Failed to download metadata for repo ");
    // dnf 5 says that it has those that it needs, and not whose the complaints before that are.
    said::own(output, &LACKS[1..], |lines| {
        if lines[0].starts_with(">>> ") && lines.contains(&"Repositories loaded.") {
            return 1;
        }
        let begins = is_last(&lines[0]) || of(lines[0], "Errors during downloading metadata for repository ");
        if begins { lines.iter().position(is_last).map_or(lines.len(), |at| at + 1) } else { 0 }
    })
}

/// `output` as [`said::heard`].
pub fn heard(output: &Output) -> Output {
    said::heard(output, Path::new(FOLDER), &overrides())
}

/// Where dnf is content, and did not look at our repository.
const ELSEWHERE: &str = "dnf looks for repositories in other folders: add /etc/yum.repos.d to 'reposdir' in /etc/dnf/dnf.conf, then go on with --resume";

/// The failure that `output` tells of, of the index on `host`.
pub fn fault_of_index(host: &Host, output: &Output, message: &str) -> Fault {
    let fault = SAID.fault(&heard(output), Class::Repository, message);
    if output.ok() && repos::has_other_reposdir(&settings(), Path::new(FOLDER)) {
        return fault.advice(ELSEWHERE);
    }
    let has_none = fault.evidence.iter().any(|line| line.contains(NO_REPOSITORIES));
    if has_none && host.facts.os == "rhel" {
        return fault.advice(UNREGISTERED.1);
    }
    said::by_own_proxy(fault, &settings())
}

/// The failure that `output` tells of, of packages on `host`.
pub fn fault_of_packages(host: &Host, output: &Output, message: &str) -> Fault {
    let fault = SAID.fault_of_packages(host, &heard(&own(output)), message, &LACKS);
    said::by_own_proxy(of_rabbitmq(fault), &settings())
}

/// `fault`, with what there is to do where it is about RabbitMQ, which distributions do not have.
fn of_rabbitmq(fault: Fault) -> Fault {
    let is_missing = |line: &String| line.ends_with("No match for argument: rabbitmq-server");
    let is_about_it = fault.class == Class::Package && fault.evidence.iter().any(is_missing);
    if is_about_it { fault.advice(layout::NO_RABBITMQ) } else { fault }
}

/// Is a failure about an index that is older than what the servers offer, so that fetching it anew can help?
pub fn is_stale_index(class: Class, evidence: &[String]) -> bool {
    let has = |words: &[&str]| evidence.iter().any(|line| words.iter().any(|word| line.contains(word)));
    matches!(class, Class::Repository | Class::Package | Class::Http)
        && has(&["404", "No match for argument", "Unable to find a match", "checksum doesn't match"])
        // It is there, and not to be had.
        && !has(&["filtered out by"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Ran;

    fn output(stdout: &str, stderr: &str) -> Output {
        let ran = Ran { argv: vec!["dnf".into()], exit: Some(1), signal: None };
        Output { stdout: stdout.into(), stderr: stderr.into(), tail: Vec::new(), ran }
    }

    #[test]
    fn what_was_left_out_is_not_to_blame() {
        let dead = "Errors during downloading metadata for repository 'panel':\n  - Curl error (6): Could not resolve host: panel.example.net\n\
                    Error: Failed to download metadata for repo 'panel': Cannot download repomd.xml\nIgnoring repositories: panel, epel\n";
        let five = ">>> Status code: 404 for http://x/repodata/repomd.xml (IP: 10.0.0.1) - http://x/repodata/repomd.xml\n>>> Usable URL not found\n\
                    Repositories loaded.\n>>> Curl error (6): Could not resolve host: y\n";
        assert_eq!(SAID.complaints(&own(&output("", five))), [">>> Curl error (6): Could not resolve host: y"]);
        let unloaded = five.replace("Repositories loaded.", "Repository 'ours' failed.");
        assert_eq!(SAID.complaints(&own(&output("", &unloaded))).len(), 3);
        for (stderr, class, evidence) in [
            ("Package redis-7.rpm is not signed\nError: GPG check FAILED\n", Class::Repository, 2),
            ("Error: Unable to find a match: redis\n", Class::Dns, 4),
            ("", Class::Package, 0),
        ] {
            let output = output("", &format!("{dead}{stderr}"));
            let fault = SAID.fault(&own(&output), Class::Package, "installing redis failed");
            assert_eq!((fault.class, fault.evidence.len()), (class, evidence), "{stderr}: {fault:?}");
        }
        assert_eq!(ignored(&output("", dead)), ["panel", "epel"]);
    }

    #[test]
    fn failures_are_told_by_their_words() {
        for (stdout, stderr, class, evidence, advice) in [
            (
                "Downloading Packages:\n",
                "Package redis-7.0.15-1.el9.x86_64.rpm is not signed\nError: GPG check FAILED\n",
                Class::Repository,
                "Package redis-7.0.15-1.el9.x86_64.rpm is not signed",
                "packages that are not are never installed",
            ),
            (
                "",
                "Error: Failed to download metadata for repo 'redis': repomd.xml GPG signature verification error: Bad GPG signature\n",
                Class::Repository,
                "Bad GPG signature",
                "the index is not signed by a key that is pinned",
            ),
            (
                "No match for argument: nope\n",
                "Error: Unable to find a match: nope\n",
                Class::Package,
                "No match for argument: nope",
                "mend what dnf says",
            ),
            (
                "",
                "Errors during downloading metadata for repository 'x':\n  - Curl error (6): Couldn't resolve host name for http://x/ [Could not resolve host: x]\n",
                Class::Dns,
                "Could not resolve host: x",
                "this host's DNS",
            ),
            (
                "",
                "Error: \n Problem: conflicting requests\n  - nothing provides libx.so.1 needed by y-1-1.x86_64\n",
                Class::Package,
                "nothing provides libx.so.1",
                "mend what dnf says",
            ),
            (
                "All matches were filtered out by modular filtering for argument: nodejs\n",
                "Error: Unable to find a match: nodejs\n",
                Class::Package,
                "by modular filtering for argument: nodejs",
                "`dnf module list`",
            ),
            (
                "All matches were filtered out by exclude filtering for argument: redis\n",
                "Error: Unable to find a match: redis\n",
                Class::Package,
                "by exclude filtering for argument: redis",
                "'excludepkgs'",
            ),
            (
                "This system is not registered with an entitlement server. You can use subscription-manager to register.\n",
                "No match for argument: redis\nError: Unable to find a match: redis\n",
                Class::Package,
                "is not registered with an entitlement server",
                "`subscription-manager register`",
            ),
            (
                "",
                "Error: There are no enabled repositories in \"/etc/yum.repos.d\", \"/etc/distro.repos.d\".\n",
                Class::Repository,
                "no enabled repositories",
                "`dnf repolist --all`",
            ),
            (
                "",
                "Error: Failed to download metadata for repo 'appstream': Cannot prepare internal mirrorlist: No URLs in mirrorlist\n",
                Class::Repository,
                "No URLs in mirrorlist",
                "no mirrors of this release any more",
            ),
            (
                "",
                "  - Curl error (6): Couldn't resolve host name for http://mirrorlist.centos.org/?release=8&arch=x86_64 [Could not resolve host: mirrorlist.centos.org]\n",
                Class::Repository,
                "Could not resolve host: mirrorlist.centos.org",
                "vault.centos.org",
            ),
            ("", "Error: SSL certificate problem: self-signed\n", Class::Tls, "SSL certificate", "--ca-file"),
            (
                "",
                "Config error: Parsing file \"/etc/dnf/dnf.conf\" failed: IniParser: Missing '=' at line 7\n",
                Class::Host,
                "/etc/dnf/dnf.conf",
                "mend that file",
            ),
            (
                "Public key for redis-7.rpm is not installed\n",
                "error: sqlite failure: PRAGMA wal_checkpoint = TRUNCATE: database table is locked\nError: GPG check FAILED\n",
                Class::Package,
                "sqlite failure",
                "`rpm --rebuilddb`",
            ),
            (
                "",
                "[FAILED] a.rpm: Curl error (23): Failed writing received data to disk/application for http://x/a.rpm\n",
                Class::Disk,
                "Curl error (23)",
                "make room",
            ),
            (
                "",
                "The GPG keys listed for the \"own\" repository are already installed but they are not correct for this package.\n\
                 Check that the correct key URLs are configured for this repository.. Failing package is: redis-7-1.x86_64\nError: GPG check FAILED\n",
                Class::Repository,
                "Failing package is: redis-7-1.x86_64",
                "compare the fingerprints",
            ),
            (
                "",
                "warning: Signature not supported. Hash algorithm SHA1 not available.\nProblem opening package a-1-1.el9.x86_64.rpm\n\
                 Error: GPG check FAILED\n",
                Class::Repository,
                "Problem opening package a-1-1.el9.x86_64.rpm",
                "signed by SHA-256",
            ),
            (
                "",
                "Public key for nginx-1.22.1-1.el9.x86_64.rpm is not installed\nError: GPG check FAILED\n",
                Class::Repository,
                "Public key for nginx",
                "'gpgkey'",
            ),
            (
                "",
                "You have enabled checking of packages via GPG keys. This is a good thing. \nProblem repository: [el9]\n",
                Class::Repository,
                "Problem repository: [el9]",
                "'gpgkey'",
            ),
            (
                "",
                "Curl error (37): Couldn't read a file:// file for file:///nowhere [Couldn't open file /nowhere]\n",
                Class::Repository,
                "/nowhere",
                "a file that is not there",
            ),
            (
                "There are no enabled repositories in \"/etc/yum.repos.d\", \"/etc/distro.repos.d\".\n",
                "",
                Class::Repository,
                "There are no enabled repositories",
                "`dnf repolist --all`",
            ),
            (
                "This system is not registered to Red Hat Subscription Management. You can use subscription-manager to register.\n",
                "Error: There are no enabled repositories in \"/etc/yum.repos.d\".\n",
                Class::Repository,
                "This system is not registered",
                "`subscription-manager register`",
            ),
            (
                "This system is registered with an entitlement server, but is not receiving updates. You can use subscription-manager to assign subscriptions.\n",
                "Error: Unable to find a match: redis\n",
                Class::Package,
                "is not receiving updates",
                "`subscription-manager attach`",
            ),
            ("", "Operation aborted.\n", Class::Package, "Operation aborted.", "'assumeno'"),
            // The words of dnf 5.
            (
                "",
                "Transaction failed: Signature verification failed.\nOpenPGP check for package \"a-3-1.noarch\" (/var/cache/a.rpm) from repo \"two\" has failed: The package is not signed.\n",
                Class::Repository,
                "The package is not signed",
                "packages that are not are never installed",
            ),
            (
                "",
                "OpenPGP check for package \"a-3-1.noarch\" (/var/cache/a.rpm) from repo \"two\" has failed: Public key is not installed.\n",
                Class::Repository,
                "Public key is not installed",
                "pin another key only when they agree",
            ),
            (
                "",
                ">>> GPG verification is enabled, but GPG signature is not available. This may be an error: Curl error (37): Could not read a file\n",
                Class::Repository,
                "GPG signature is not available",
                "one whose index is signed",
            ),
            (
                "",
                "Failed to resolve the transaction:\nArgument 'valkey' matches only excluded packages.\n",
                Class::Package,
                "matches only excluded packages",
                "'excludepkgs'",
            ),
            (
                "",
                "Failed to resolve the transaction:\nArgument 'valkey' matches only packages excluded by versionlock.\n",
                Class::Package,
                "excluded by versionlock",
                "`dnf versionlock list`",
            ),
            (
                "",
                "OpenPGP check for package \"a-3-1.noarch\" (/var/cache/a.rpm) from repo \"el10\" has failed: The repository does not have any OpenPGP keys configured.\n",
                Class::Repository,
                "does not have any OpenPGP keys",
                "'gpgkey'",
            ),
            (
                "",
                ">>> Curl error (7): Could not connect to server for http://x/ [Failed to connect to 10.0.0.1:9 over proxy 10.0.0.1 after 0 ms] - http://x/\n",
                Class::Proxy,
                "over proxy",
                "check the proxy",
            ),
            (
                "",
                "Failed to resolve the transaction:\nNo match for argument: nope\nYou can try to add to command line:\n",
                Class::Package,
                "No match for argument: nope",
                "mend what dnf says",
            ),
            (
                "",
                ">>> Curl error (6): Could not resolve hostname for http://x/ [Could not resolve host: x] - http://x/\n",
                Class::Dns,
                "Could not resolve host: x",
                "this host's DNS",
            ),
        ] {
            let fault = SAID.fault(&output(stdout, stderr), Class::Package, "it failed");
            assert_eq!(fault.class, class, "{stderr}");
            assert!(fault.evidence.iter().any(|line| line.contains(evidence)), "{:?}", fault.evidence);
            assert!(fault.advice.contains(advice), "{:?}", fault.advice);
        }
    }

    #[test]
    fn rabbitmq_is_elsewhere() {
        for (name, class, told) in [
            ("rabbitmq-server", Class::Package, true),
            ("rabbitmq-server", Class::Dns, false),
            ("redis", Class::Package, false),
        ] {
            let fault =
                Fault::new(class, "it fails").evidence([format!("No match for argument: {name}")]).advice("mend it");
            assert_eq!(of_rabbitmq(fault).advice.contains("rabbitmq.com"), told, "{name}");
        }
    }

    #[test]
    fn what_a_new_index_may_help_against() {
        for (class, line, stale) in [
            (Class::Package, "Error: Unable to find a match: nope", true),
            (Class::Repository, "Status code: 404 for http://x/redis.rpm", true),
            (Class::Repository, "Package redis is not signed", false),
            (
                Class::Package,
                "All matches were filtered out by exclude filtering for argument: redis\nError: Unable to find a match: redis",
                false,
            ),
            (Class::Disk, "404", false),
        ] {
            let evidence: Vec<String> = line.lines().map(str::to_owned).collect();
            assert_eq!(is_stale_index(class, &evidence), stale, "{line}");
        }
    }
}

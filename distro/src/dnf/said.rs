//! What dnf, and the library that fetches for it, say when something fails.

use super::extras;
use crate::command::Output;
use crate::rpm::said::{OTHER_INDEX_KEY, OTHER_KEY, UNSIGNED, UNSIGNED_INDEX, Words};
use crate::{Class, Fault, Host};

/// What a failure is by the words of it, the most telling first.
const WORDS: &[(&str, Class)] = &[
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
    ("Cannot allocate memory", Class::Memory),
    ("Could not resolve proxy", Class::Proxy),
    ("from proxy after CONNECT", Class::Proxy),
    ("Status code: 407", Class::Proxy),
    ("Could not resolve host", Class::Dns),
    ("SSL certificate problem", Class::Tls),
    ("SSL peer certificate", Class::Tls),
    ("SSL connect error", Class::Tls),
    ("Status code: 404", Class::Repository),
    ("error: 404", Class::Repository),
    ("Cannot prepare internal mirrorlist", Class::Repository),
    ("There are no enabled repositories", Class::Repository),
    ("Status code: ", Class::Http),
    ("Could not connect to server", Class::Http),
    ("Couldn't connect to server", Class::Http),
    ("Timeout was reached", Class::Http),
    ("Curl error", Class::Http),
];

/// Advice where dnf 4 and dnf 5 say the same in other words.
const EXCLUDED: &str = "take it out of 'excludepkgs' in /etc/dnf/dnf.conf or its repository, then go on with --resume";

const UNREGISTERED: &str = "is not registered with an entitlement server";

/// What there is to do about a failure by the words of it; where none is there, by its class.
const ADVICE: &[(&str, &str)] = &[
    ("is not signed", UNSIGNED),
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
    (
        "No URLs in mirrorlist",
        "the distribution has no mirrors of this release any more, as of one that gets no updates: upgrade the host, or point the \
         repository at an archive of it (`baseurl` in /etc/yum.repos.d), then go on with --resume",
    ),
    (
        UNREGISTERED,
        "register the host (`subscription-manager register`): until then it has none of Red Hat's repositories; then go on with --resume",
    ),
    (
        "There are no enabled repositories",
        "switch on the distribution's repositories (`dnf repolist --all` lists those that are defined), then go on with --resume",
    ),
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
    "This system is not registered",
    "curl:",
    "Failed to download",
    "OpenPGP check",
    "Argument '",
    ">>> ",
    "  - ",
    "* ",
];

const SAID: Words = Words { program: "dnf", classes: WORDS, heads: HEADS, advice: ADVICE };

/// What stands before the names of repositories that failed and were left out.
const IGNORED: &str = "Ignoring repositories: ";

/// Lines that tell of a failure, each once.
pub fn complaints(output: &Output) -> Vec<String> {
    SAID.complaints(output)
}

/// Names of repositories that failed and were left out.
pub fn ignored(output: &Output) -> Vec<&str> {
    let lines = output.stdout.lines().chain(output.stderr.lines());
    lines.filter_map(|line| line.strip_prefix(IGNORED)).flat_map(|names| names.split(", ")).collect()
}

/// The failure that `output` tells of; of `class`, where its words tell no other.
pub fn fault(output: &Output, class: Class, message: &str) -> Fault {
    SAID.fault(output, class, message)
}

/// The same where repositories were left out: it is not about these, unless a package is missing that they may have.
fn fault_beside_ignored(output: &Output, message: &str) -> Fault {
    let ignored = ignored(output);
    let missing = ["No match for argument", "Unable to find a match"];
    if ignored.is_empty() || missing.iter().any(|words| output.stdout.contains(words) || output.stderr.contains(words))
    {
        return fault(output, Class::Package, message);
    }
    let own = |text: &str| without(text, &ignored);
    let own = Output { stdout: own(&output.stdout), stderr: own(&output.stderr), ..output.clone() };
    fault(&own, Class::Package, message)
}

/// `text` without what it says of the repositories `ignored`.
fn without(text: &str, ignored: &[&str]) -> String {
    let of = |line: &str, head: &str| {
        ignored.iter().any(|name| line.strip_prefix(head).is_some_and(|rest| rest.starts_with(&format!("'{name}'"))))
    };
    let mut within = false;
    let mut kept = String::new();
    for line in text.lines() {
        within |= of(line, "Errors during downloading metadata for repository ");
        let is_last = of(line, "Error: Failed to download metadata for repo ");
        if !within && !is_last {
            kept = kept + line + "\n";
        }
        within &= !is_last;
    }
    kept
}

/// The same of packages on `host`: where one needs what no repository has, that depends on its distribution.
pub fn fault_of_packages(host: &Host, output: &Output, message: &str) -> Fault {
    let fault = fault_beside_ignored(output, message);
    let tells = |words: &str| fault.evidence.iter().any(|line| line.contains(words));
    if fault.class == Class::Package && tells("nothing provides") && !tells(UNREGISTERED) {
        return fault.advice(extras::advice(&host.facts));
    }
    fault
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
        for (stderr, class, evidence) in [
            ("Package redis-7.rpm is not signed\nError: GPG check FAILED\n", Class::Repository, 2),
            ("Error: Unable to find a match: redis\n", Class::Dns, 4),
            ("", Class::Package, 0),
        ] {
            let output = output("", &format!("{dead}{stderr}"));
            let fault = fault_beside_ignored(&output, "installing redis failed");
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
            let fault = fault(&output(stdout, stderr), Class::Package, "it failed");
            assert_eq!(fault.class, class, "{stderr}");
            assert!(fault.evidence.iter().any(|line| line.contains(evidence)), "{:?}", fault.evidence);
            assert!(fault.advice.contains(advice), "{:?}", fault.advice);
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

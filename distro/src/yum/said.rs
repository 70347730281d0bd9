//! What yum, and the library that fetches for it, say when something fails.

use std::path::Path;

use crate::command::Output;
use crate::rpm::definition::FOLDER;
use crate::rpm::said::{self, OTHER_INDEX_KEY, OTHER_KEY, UNREGISTERED, UNSIGNED, UNSIGNED_INDEX, Words};
use crate::{Class, Fault, Host};

/// What stands in a line of evidence where a package is there and not to be had.
const EXCLUDED: &str = "is there, and excluded";

/// Its words.
pub const SAID: Words = Words {
    program: "yum",
    classes: &[
        ("is not signed", Class::Repository),
        ("signature could not be verified", Class::Repository),
        ("repomd.xml.asc: [Errno 14]", Class::Repository),
        ("not correct for this package", Class::Repository),
        ("didn't help, wrong key", Class::Repository),
        ("Didn't install any keys", Class::Repository),
        ("Public key for", Class::Repository),
        ("Invalid GPG Key", Class::Repository),
        ("GPG key retrieval failed", Class::Repository),
        ("pygpgme is not working", Class::Repository),
        ("No space left on device", Class::Disk),
        ("more space needed on the", Class::Disk),
        ("Insufficient space in download directory", Class::Disk),
        ("Cannot allocate memory", Class::Memory),
        ("resolve proxy", Class::Proxy),
        ("from proxy after CONNECT", Class::Proxy),
        ("Error 407", Class::Proxy),
        ("resolve host", Class::Dns),
        // Its TLS is NSS on Enterprise Linux 7, which has words of its own.
        ("Peer's Certificate", Class::Tls),
        ("Peer's certificate", Class::Tls),
        ("server's certificate", Class::Tls),
        ("SSL certificate problem", Class::Tls),
        ("SSL connect error", Class::Tls),
        ("curl#35", Class::Tls),
        ("curl#51", Class::Tls),
        ("curl#60", Class::Tls),
        ("curl#77", Class::Tls),
        ("Error 404", Class::Repository),
        ("Cannot find a valid baseurl", Class::Repository),
        ("There are no enabled repos", Class::Repository),
        ("HTTP Error ", Class::Http),
        ("HTTPS Error ", Class::Http),
        ("curl#", Class::Http),
        ("[Errno 12]", Class::Http),
    ],
    heads: &[
        "Error: ",
        "Error in ",
        "error: ",
        "ERROR ",
        "rpmlib(",
        "warning: ",
        "           Requires: ",
        "No package ",
        "Package ",
        "Could not ",
        "Cannot ",
        "failure: ",
        "One of the configured repositories failed",
        " One of the configured repositories failed",
        " Failing package is: ",
        "The GPG keys listed",
        "Transaction check error",
        "  file ",
        "This system is not registered",
        "curl:",
    ],
    advice: &[
        ("is not signed", UNSIGNED),
        ("repomd.xml.asc: [Errno 14]", UNSIGNED_INDEX),
        ("signature could not be verified", OTHER_INDEX_KEY),
        ("not correct for this package", OTHER_KEY),
        ("didn't help, wrong key", OTHER_KEY),
        ("Public key for", OTHER_KEY),
        (
            "pygpgme is not working",
            "bring yum's package that checks signatures (`yum install pygpgme`), then go on with --resume",
        ),
        (
            "rpmlib(",
            "the package is made for a newer distribution, whose rpm can do more: take that which its vendor has for this one",
        ),
        UNREGISTERED,
        (
            "Cannot find a valid baseurl",
            "the repository has no mirrors of this release any more, or its list of mirrors cannot be fetched: point it at an archive of it \
             (`baseurl` in /etc/yum.repos.d), or switch it off; then go on with --resume",
        ),
        (
            "There are no enabled repos",
            "switch on the distribution's repositories (`yum repolist all` lists those that are defined), then go on with --resume",
        ),
        (
            EXCLUDED,
            "take it out of 'exclude' in /etc/yum.conf or its repository, or out of what a plugin leaves out (`yum versionlock list`); then go on with \
             --resume",
        ),
    ],
};

/// What is said without what is said of repositories that were passed over. Where one that is needed failed, yum ends with words of its own.
fn own(output: &Output) -> Output {
    let (list, other) = ("Could not retrieve mirrorlist ", "Trying other mirror.");
    let missing = ["No more mirrors to try", "Cannot find a valid baseurl", "No package ", "Requires: "];
    said::own(output, &missing, |lines| match lines {
        [line, _why, ..] if line.starts_with(list) => 2,
        [_why, line, ..] if line.starts_with(other) => 2,
        [line, ..] if line.starts_with(list) || line.starts_with(other) => 1,
        _ => 0,
    })
}

/// The failure that `output` tells of, of packages on `host`.
pub fn fault_of_packages(host: &Host, output: &Output, message: &str) -> Fault {
    SAID.fault_of_packages(host, &heard(&own(output)), message, &["Requires: ", "No package "])
}

/// The failure that `output` tells of, of the index.
pub fn fault_of_index(output: &Output, message: &str) -> Fault {
    SAID.fault(&heard(output), Class::Repository, message)
}

/// `output` as [`said::heard`].
pub fn heard(output: &Output) -> Output {
    said::heard(output, Path::new(FOLDER), &[])
}

/// The same where the package `name` is there, and excluded.
pub fn of_excluded(output: &Output, name: &str, message: &str) -> Fault {
    let told = Output { stdout: format!("{}\nPackage {name} {EXCLUDED}\n", output.stdout), ..output.clone() };
    SAID.fault(&heard(&told), Class::Package, message)
}

/// Names that yum knows no package of.
pub fn unknown(output: &Output) -> Vec<&str> {
    let of = |line| str::strip_suffix(str::strip_prefix(line, "No package ")?, " available.");
    output.stdout.lines().chain(output.stderr.lines()).filter_map(of).collect()
}

/// Is a failure about an index that is older than what the servers offer, so that fetching it anew can help?
pub fn is_stale_index(class: Class, evidence: &[String]) -> bool {
    let has = |words: &[&str]| evidence.iter().any(|line| words.iter().any(|word| line.contains(word)));
    matches!(class, Class::Repository | Class::Package | Class::Http)
        && has(&["Error 404", "No package ", "does not match intended download", "does not match checksum"])
        && !has(&[EXCLUDED, "repomd.xml"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Ran;

    fn output(stdout: &str, stderr: &str) -> Output {
        let ran = Ran { argv: vec!["yum".into()], exit: Some(1), signal: None };
        Output { stdout: stdout.into(), stderr: stderr.into(), tail: Vec::new(), ran }
    }

    #[test]
    fn what_was_passed_over_is_not_to_blame() {
        let list = "Could not retrieve mirrorlist http://m.example.net/ error was\n14: curl#6 - \"Could not resolve host: m.example.net\"\n";
        let dead = "http://panel.example.net/repodata/repomd.xml: [Errno 14] curl#6 - \"Could not resolve host\"\nTrying other mirror.\n";
        for (stderr, class, lines) in [
            ("Package redis-7.rpm is not signed\n", Class::Repository, 1),
            ("Not enough of anything\n", Class::Package, 0),
            ("No package redis available.\n", Class::Dns, 4),
            ("failure: repodata/repomd.xml from lab: [Errno 256] No more mirrors to try.\n", Class::Dns, 4),
        ] {
            let output = output(list, &format!("{dead}{stderr}"));
            let fault = SAID.fault(&own(&output), Class::Package, "installing redis failed");
            assert_eq!((fault.class, fault.evidence.len()), (class, lines), "{stderr}: {fault:?}");
        }
    }

    #[test]
    fn failures_are_told_by_their_words() {
        for (stdout, stderr, class, evidence, advice) in [
            (
                "Downloading packages:\n",
                "\n\nPackage redis-3.2.12-2.el7.x86_64.rpm is not signed\n",
                Class::Repository,
                "Package redis-3.2.12-2.el7.x86_64.rpm is not signed",
                "packages that are not are never installed",
            ),
            (
                "Retrieving key from file:///etc/pki/rpm-gpg/RPM-GPG-KEY-lab\n",
                "warning: /var/cache/yum/x86_64/7/lab/packages/redis.rpm: Header V4 RSA/SHA256 Signature, key ID 3a79bd29: NOKEY\n\n\nThe GPG keys listed for the \"lab\" repository are already installed but they are not correct for this package.\nCheck that the correct key URLs are configured for this repository.\n\n\n Failing package is: redis-3.2.12-2.el7.x86_64\n",
                Class::Repository,
                "Failing package is: redis",
                "pin another key only when they agree",
            ),
            (
                "",
                "http://x/repodata/repomd.xml: [Errno -1] repomd.xml signature could not be verified for lab\nTrying other mirror.\n",
                Class::Repository,
                "signature could not be verified for lab",
                "the index is not signed by a key that is pinned",
            ),
            (
                "",
                "http://x/repodata/repomd.xml.asc: [Errno 14] HTTP Error 404 - Not Found\nTrying other mirror.\n",
                Class::Repository,
                "repomd.xml.asc: [Errno 14]",
                "one whose index is signed",
            ),
            (
                "Could not retrieve mirrorlist http://mirrorlist.centos.org/?release=7&arch=x86_64&repo=os&infra=stock error was\n14: curl#6 - \"Could not resolve host: mirrorlist.centos.org; Unknown error\"\n",
                "\n\n One of the configured repositories failed (Unknown),\n and yum doesn't have enough cached data to continue. At this point the only\n\nCannot find a valid baseurl for repo: base/7/x86_64\n",
                Class::Repository,
                "Cannot find a valid baseurl for repo: base/7/x86_64",
                "vault.centos.org",
            ),
            (
                "",
                "http://mirror.centos.org/centos/7/os/x86_64/repodata/repomd.xml: [Errno 14] HTTP Error 404 - Not Found\nTrying other mirror.\n",
                Class::Repository,
                "mirror.centos.org",
                "vault.centos.org",
            ),
            (
                "",
                "http://x.example/7/repodata/repomd.xml: [Errno 14] curl#6 - \"Could not resolve host: x.example; Unknown error\"\n",
                Class::Dns,
                "resolve host: x.example",
                "this host's DNS",
            ),
            (
                "",
                "https://x/repodata/repomd.xml: [Errno 14] curl#60 - \"Peer's Certificate issuer is not recognized.\"\n",
                Class::Tls,
                "issuer is not recognized",
                "--ca-file",
            ),
            (
                "",
                "https://x/repodata/repomd.xml: [Errno 14] curl#56 - \"Received HTTP code 407 from proxy after CONNECT\"\n",
                Class::Proxy,
                "407 from proxy",
                "--proxy",
            ),
            ("", "http://x/a.rpm: [Errno 14] HTTP Error 503 - Service Unavailable\n", Class::Http, "503", "may reach"),
            (
                "",
                "http://x/repodata/repomd.xml: [Errno 12] Timeout on http://x/repodata/repomd.xml: (28, 'Operation timed out')\n",
                Class::Http,
                "Timeout on",
                "may reach",
            ),
            (
                "No package nope available.\n",
                "Error: Nothing to do\n",
                Class::Package,
                "No package nope available.",
                "mend what yum says",
            ),
            (
                "",
                "Error: Package: app-1-1.noarch (lab)\n           Requires: libx.so.1\n",
                Class::Package,
                "Requires: libx.so.1",
                "mend what yum says",
            ),
            (
                "",
                "\n\nTransaction check error:\n  installing package a-1-1.noarch needs 12MB on the / filesystem\n\nError Summary\n-------------\nDisk Requirements:\n  At least 12MB more space needed on the / filesystem.\n",
                Class::Disk,
                "At least 12MB more space needed",
                "make room",
            ),
            (
                "Running transaction check\nERROR You need to update rpm to handle:\nrpmlib(PayloadIsZstd) <= 5.4.18-1 is needed by app-1-1.noarch\n",
                "RPM needs to be updated\n",
                Class::Package,
                "rpmlib(PayloadIsZstd)",
                "made for a newer distribution",
            ),
            (
                "",
                "Error: There are no enabled repos.\n Run \"yum repolist all\" to see the repos you have.\n",
                Class::Repository,
                "no enabled repos",
                "`yum repolist all`",
            ),
        ] {
            let fault = SAID.fault(&output(stdout, stderr), Class::Package, "it failed");
            assert_eq!(fault.class, class, "{stdout}{stderr}");
            assert!(fault.evidence.iter().any(|line| line.contains(evidence)), "{:?}", fault.evidence);
            assert!(fault.advice.contains(advice), "{:?}", fault.advice);
        }
        let told = output("No package redis available.\n", "Error: Nothing to do\n");
        assert_eq!(unknown(&told), ["redis"]);
        let fault = of_excluded(&told, "redis", "it failed");
        assert!(fault.advice.contains("'exclude' in /etc/yum.conf"), "{}", fault.advice);
        assert!(!is_stale_index(fault.class, &fault.evidence));
    }

    #[test]
    fn what_a_new_index_may_help_against() {
        for (class, line, stale) in [
            (Class::Package, "No package nope available.", true),
            (Class::Repository, "http://x/redis.rpm: [Errno 14] HTTP Error 404 - Not Found", true),
            (Class::Repository, "Package redis is not signed", false),
            (Class::Disk, "Error 404", false),
        ] {
            assert_eq!(is_stale_index(class, &[line.to_owned()]), stale, "{line}");
        }
    }
}

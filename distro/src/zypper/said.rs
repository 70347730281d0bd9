//! What zypper, and the library that fetches for it, say when something fails.

use std::borrow::Cow;

use crate::command::Output;
use crate::rpm::said::{OTHER_INDEX_KEY, OTHER_KEY, UNSIGNED, UNSIGNED_INDEX, Words};
use crate::{Class, Fault};

/// Where the host has no repository of its distribution.
const NO_REPOSITORIES: &str = "add the distribution's repositories, or switch them on (`zypper repos` lists those that are defined), then go on with --resume";

/// Where none of them has what is asked for.
const NO_PROVIDER: &str = "switch on the repository that has it (`zypper repos`; on SUSE Linux Enterprise a module: `SUSEConnect --list-extensions`), \
                           then go on with --resume";

const SAID: Words = Words {
    program: "zypper",
    classes: &[
        ("is not signed", Class::Repository),
        ("Signature verification failed", Class::Repository),
        ("signed with an unknown key", Class::Repository),
        ("' is unsigned", Class::Repository),
        ("No space left on device", Class::Disk),
        ("more space on the", Class::Disk),
        ("Cannot allocate memory", Class::Memory),
        ("Could not resolve proxy", Class::Proxy),
        ("from proxy after CONNECT", Class::Proxy),
        ("returned error: 407", Class::Proxy),
        ("Could not resolve host", Class::Dns),
        ("SSL certificate problem", Class::Tls),
        ("SSL peer certificate", Class::Tls),
        ("SSL connect error", Class::Tls),
        ("not found on medium", Class::Repository),
        ("returned error: 404", Class::Repository),
        ("No repositories defined", Class::Repository),
        ("no enabled repositories", Class::Repository),
        ("returned error: ", Class::Http),
        ("Download (curl) error", Class::Http),
        ("Timeout exceeded", Class::Http),
    ],
    heads: &[
        "Problem: ",
        " Solution ",
        "Error: ",
        "error: ",
        "warning: ",
        "No provider of ",
        "Error message: ",
        "Problem retrieving files",
        "Warning: File ",
        "Warning: No repositories",
        "Failed to ",
        "Repository '",
        " - ",
    ],
    advice: &[
        ("is not signed", UNSIGNED),
        ("File is unsigned", UNSIGNED),
        ("' is unsigned", UNSIGNED_INDEX),
        ("signed with an unknown key", OTHER_INDEX_KEY),
        ("Signature verification failed", OTHER_KEY),
        ("No repositories defined", NO_REPOSITORIES),
        ("no enabled repositories", NO_REPOSITORIES),
        (
            "remove lock to allow",
            "somebody locked it (`zypper locks`): `zypper removelock NAME` takes that back, then go on with --resume",
        ),
        ("nothing provides", NO_PROVIDER),
        ("No provider of", NO_PROVIDER),
    ],
};

/// Lines that tell of a failure, each once.
pub fn complaints(output: &Output) -> Vec<String> {
    SAID.complaints(&plain(output))
}

/// The failure that `output` tells of; of `class`, where its words tell no other.
pub fn fault(output: &Output, class: Class, message: &str) -> Fault {
    SAID.fault(&plain(output), class, message)
}

/// Without the marks of what is said to programs.
fn plain(output: &Output) -> Cow<'_, Output> {
    let Ok(document) = roxmltree::Document::parse(&output.stdout) else { return Cow::Borrowed(output) };
    let told = document.descendants().filter(|node| ["message", "description"].contains(&node.tag_name().name()));
    let stdout = told.filter_map(|node| node.text()).flat_map(|text| [text, "\n"]).collect();
    Cow::Owned(Output { stdout, ..output.clone() })
}

/// Is a failure about an index that is older than what the servers offer, so that fetching it anew can help?
pub fn is_stale_index(class: Class, evidence: &[String]) -> bool {
    let words = ["404", "not found on medium", "No provider of", "Digest verification failed"];
    matches!(class, Class::Repository | Class::Package | Class::Http)
        && evidence.iter().any(|line| words.iter().any(|word| line.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Ran;

    #[test]
    fn failures_are_told_by_their_words() {
        let problem = "<?xml version='1.0'?>\n<stream>\n<message type=\"info\">Resolving</message>\n<prompt id=\"1\">\n<description>Problem: nothing \
                       provides nothere needed by needs-1-1.noarch\n Solution 1: do not install needs-1-1.noarch\n</description>\n</prompt>\n</stream>\n";
        let locked = "<?xml version='1.0'?>\n<stream>\n<prompt id=\"1\">\n<description>Problem: conflicting requests\n Solution 1: remove lock to allow \
                      installation of redis-7.0.15-1.x86_64[leap]\n</description>\n</prompt>\n</stream>\n";
        let nope = "<?xml version='1.0'?>\n<stream>\n<message type=\"error\">No provider of &apos;nope&apos; found.</message>\n</stream>\n";
        for (stdout, stderr, class, evidence, advice) in [
            (problem, "", Class::Package, "Problem: nothing provides nothere", "`zypper repos`"),
            (
                locked,
                "",
                Class::Package,
                "Solution 1: remove lock to allow installation of redis",
                "`zypper removelock NAME`",
            ),
            (
                "Warning: There are no enabled repositories defined.\n",
                "",
                Class::Repository,
                "no enabled repositories",
                "add the distribution's repositories",
            ),
            (nope, "", Class::Package, "No provider of 'nope' found.", "`zypper repos`"),
            (
                "nginx-1.22.1-1.noarch.rpm:\n    Package is not signed!\n\nnginx-1.22.1-1.noarch (u): Signature verification failed [6-File is unsigned]\n",
                "",
                Class::Repository,
                "Package is not signed!",
                "packages that are not are never installed",
            ),
            (
                "nginx-1.22.1-1.noarch (u): Signature verification failed [4-Signatures public key is not available]\n",
                "",
                Class::Repository,
                "public key is not available",
                "pin another key only when they agree",
            ),
            (
                "Warning: File 'repomd.xml' from repository 'r' is signed with an unknown key '26A1051EFCC76CB7'.\n",
                "Repository 'r' is invalid.\n[r|dir:/srv/r] Valid metadata not found at specified URL\n",
                Class::Repository,
                "signed with an unknown key",
                "the index is not signed by a key that is pinned",
            ),
            (
                "",
                "Download (curl) error for 'http://x/repodata/repomd.xml':\nError code: Connection failed\nError message: Could not resolve host: x\n",
                Class::Dns,
                "Could not resolve host: x",
                "this host's DNS",
            ),
            (
                "Installation of early-1-1.noarch failed:\nError: Subprocess failed. Error: RPM failed: pre fails\nerror: %prein(early-1-1.noarch) scriptlet failed, exit status 3\n",
                "",
                Class::Package,
                "scriptlet failed, exit status 3",
                "mend what zypper says",
            ),
        ] {
            let ran = Ran { argv: vec!["zypper".into()], exit: Some(4), signal: None };
            let output = Output { stdout: stdout.into(), stderr: stderr.into(), tail: Vec::new(), ran };
            let fault = fault(&output, Class::Package, "it failed");
            assert_eq!(fault.class, class, "{stdout}{stderr}");
            assert!(fault.evidence.iter().any(|line| line.contains(evidence)), "{:?}", fault.evidence);
            assert!(fault.advice.contains(advice), "{:?}", fault.advice);
        }
    }

    #[test]
    fn what_a_new_index_may_help_against() {
        for (class, line, stale) in [
            (Class::Package, "No provider of 'nope' found.", true),
            (Class::Repository, "File './a.rpm' not found on medium 'http://x/'", true),
            (Class::Repository, "Package is not signed!", false),
            (Class::Disk, "404", false),
        ] {
            assert_eq!(is_stale_index(class, &[line.to_owned()]), stale, "{line}");
        }
    }
}

//! What apt and dpkg say when something is wrong, and which class of failure that is.

use std::cell::Cell;
use std::collections::VecDeque;

use crate::command::Output;
use crate::{Class, Fault};

/// Words by which a cause is known, most telling first: what comes later is often only a consequence (a repository "does not
/// have a Release file" also where the network is down).
const CAUSES: [(Class, &[&str]); 10] = [
    (Class::Locked, &["Resource temporarily unavailable", "is another process using it?", "It is held by process"]),
    (Class::Conflict, &["Conflicting values set for option"]),
    (
        Class::Disk,
        &[
            "No space left on device",
            "enough free space",
            "Read-only file system",
            "Disk quota exceeded",
            "Input/output error",
        ],
    ),
    (Class::Memory, &["Cannot allocate memory", "Out of memory", "std::bad_alloc"]),
    (Class::Proxy, &["407 ", "Proxy Authentication Required", "Invalid response from proxy", "from proxy"]),
    (
        Class::Dns,
        &[
            "Could not resolve",
            "failure resolving",
            "happened resolving",
            "Name or service not known",
            "No address associated",
        ],
    ),
    (Class::Tls, &["certificate", "Certificate", "SSL", "TLS", "handshake"]),
    (
        Class::Http,
        &[
            " 500 ",
            " 502 ",
            " 503 ",
            " 504 ",
            " 401 ",
            " 403 ",
            " 429 ",
            "Could not connect",
            "Unable to connect",
            "Connection",
            "timed out",
            "timeout",
            "unreachable",
            "Bad header",
            "rror reading from server",
            "Remote end closed",
        ],
    ),
    (
        Class::Repository,
        &[
            "NO_PUBKEY",
            "GPG error",
            "signature",
            "not signed",
            "no longer signed",
            "expired",
            "not valid yet",
            "Hash Sum mismatch",
            "unexpected size",
            "mirror sync in progress",
            "NODATA",
            "NOSPLIT",
            "Clearsigned file",
            "Splitting up",
            " 404 ",
            "File not found",
            "Release file",
            "Malformed",
            "changed its",
            "could not be read",
            "doesn't have the component",
        ],
    ),
    (Class::Http, &["Failed to fetch", "Unable to fetch"]),
];

/// Warnings that mean that a repository's index was not taken; others (weak digests, keys kept in the old way) do no harm.
const SERIOUS: [&str; 5] = ["Failed to fetch", "GPG error", "Release file", "not signed", "is expired"];

/// Did somebody take a lock between our look and apt's?
pub fn lost_a_lock(output: &Output) -> bool {
    output.stderr.lines().any(|line| cause(line).is_some_and(|cause| CAUSES[cause].0 == Class::Locked))
}

/// Number of the cause in [`CAUSES`] that `line` tells.
fn cause(line: &str) -> Option<usize> {
    CAUSES.iter().position(|(_, words)| words.iter().any(|word| line.contains(word)))
}

/// Everything that apt complains about, an entry a complaint: `Err:` with the lines below it, `E:`, and serious `W:`. What says
/// again at the end why something was not fetched is left out.
pub fn complaints(output: &Output) -> Vec<String> {
    let mut complaints: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in output.stdout.lines().chain(output.stderr.lines()) {
        if line.starts_with(' ') {
            if let Some(last) = complaints.last_mut().filter(|_| goes_on) {
                last.push_str("  ");
                last.push_str(line.trim());
            }
            continue;
        }
        goes_on = line.starts_with("Err:")
            || line.starts_with("E: ")
            || line.starts_with("W: ") && SERIOUS.iter().any(|word| line.contains(word));
        if goes_on && !complaints.iter().any(|known| known == line) {
            complaints.push(line.to_owned());
        }
    }
    let reasons: Vec<String> = complaints
        .iter()
        .filter(|line| line.starts_with("Err:"))
        .filter_map(|line| line.split_once("  "))
        .map(|(_, reason)| reason.to_owned())
        .collect();
    let repeats = |line: &String| !line.starts_with("Err:") && reasons.iter().any(|reason| line.contains(reason));
    complaints.retain(|line| !repeats(line));
    complaints
}

/// What class `complaints` are of: the most telling one counts. `hosts` are those of the repositories complained about: a
/// connection or name that failed and is none of them is a proxy's.
pub fn classify(complaints: &[String], hosts: &[&str]) -> Option<Class> {
    let (class, _) = CAUSES[complaints.iter().filter_map(|line| cause(line)).min()?];
    if matches!(class, Class::Http | Class::Dns) && !hosts.is_empty() {
        let parties: Vec<&str> = complaints.iter().filter_map(|line| party(line)).collect();
        if !parties.is_empty() && parties.iter().all(|party| !hosts.contains(party)) {
            return Some(Class::Proxy);
        }
    }
    Some(class)
}

/// Says of a line of apt's, after which `most` files in a row were waited for in vain, that it will go on so: each of many more would be
/// waited for as long.
pub fn hopeless(most: u32) -> impl Fn(&str) -> bool {
    let (waited, failed) = (Cell::new(0), Cell::new(false));
    move |line| {
        // Nothing but apt has its reason in the line after such a beginning: what packages' scripts say goes by here, too.
        let of_apt = failed.replace(line.starts_with("Err:") || line.starts_with("Ign:"));
        if line.starts_with("Get:") || line.starts_with("Hit:") {
            waited.set(0);
        } else if of_apt
            && ["  Connection failed", "  Connection timed out"].iter().any(|start| line.starts_with(start))
        {
            waited.set(waited.get() + 1);
        }
        waited.get() >= most
    }
}

/// The class of `fault`, where what could not be connected to or resolved is one of `proxies`.
pub fn blame(mut fault: Fault, proxies: &[&str]) -> Fault {
    let is_proxy = |line: &String| party(line).is_some_and(|party| proxies.contains(&party));
    if matches!(fault.class, Class::Http | Class::Dns) && fault.evidence.iter().any(is_proxy) {
        fault.class = Class::Proxy;
        fault.advice = advice(Class::Proxy, &fault.evidence).into();
    }
    fault
}

/// May what `fault` tells be otherwise in a moment, with nothing mended? Refusals are not.
pub fn passes(fault: &Fault) -> bool {
    let says = |words: &[&str]| fault.evidence.iter().any(|line| words.iter().any(|word| line.contains(word)));
    match fault.class {
        _ if says(&["401 ", "403 ", "404 ", "407 "]) => false,
        Class::Http | Class::Proxy => true,
        Class::Dns => says(&["Temporary failure"]),
        Class::Repository => says(&["mirror sync in progress", "Hash Sum mismatch", "unexpected size"]),
        _ => false,
    }
}

/// The host that could not be connected to or resolved: of `Could not connect to HOST:PORT (…)`, `Unable to connect to HOST:…`,
/// `Could not resolve 'HOST'`, `Temporary failure resolving 'HOST'`.
fn party(line: &str) -> Option<&str> {
    let marks = ["Could not connect to ", "Unable to connect to ", "Could not resolve '", "failure resolving '"];
    let rest = marks.iter().find_map(|mark| line.split_once(mark).map(|(_, rest)| rest))?;
    if let Some((address, _)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return Some(address);
    }
    rest.split([':', ' ', '\'']).next()
}

/// What is wrong with a repository or a package, by what apt says of it, and what to do about that; the most telling first.
const REMEDIES: [(Class, &[&str], &str); 10] = [
    (
        Class::Tls,
        &["NOT trusted", "issuer is unknown"],
        "behind a proxy that opens TLS, and with a CA of one's own, trust its CA with --ca-file; then go on with --resume",
    ),
    (
        Class::Tls,
        &["handshake", "non-properly terminated", "wrong version number"],
        "the server, or a proxy on the way, does not speak TLS there: check the address (https or http, the port), then go on with \
         --resume",
    ),
    (
        Class::Repository,
        &["expired", "not valid yet"],
        "check the host's clock (`date`); where it is right, the repository is out of date and whoever runs it has to know; then go \
         on with --resume",
    ),
    (
        Class::Repository,
        &["NO_PUBKEY", "BADSIG", "EXPKEYSIG", "REVKEYSIG", "couldn't be verified"],
        "it is signed by a key that is not the pinned one: ask the vendor whether the key changed and compare the fingerprint, \
         then go on with --resume and a blueprint that has the new key",
    ),
    (
        Class::Repository,
        &["NOSPLIT", "NODATA", "Clearsigned file", "Splitting up"],
        "something else answers in its place, such as a sign-in page or a proxy's error page: look at the address from this host's \
         network, then go on with --resume",
    ),
    (
        Class::Repository,
        &["Hash Sum mismatch", "unexpected size", "mirror sync in progress"],
        "a mirror or a cache on the way gives out old files: wait until it is in step or name another, then go on with --resume",
    ),
    (
        Class::Repository,
        &[" 404 ", "File not found"],
        "the server does not have it: check the repository's address and suite, then go on with --resume",
    ),
    (
        Class::Repository,
        &["not signed", "no longer signed"],
        "packages that nobody signed are not installed: name a signed repository, then go on with --resume",
    ),
    (
        Class::Package,
        &["unmet dependencies", "no installation candidate", "Unable to locate package", "held broken packages"],
        "a pin, a hold or a missing repository keeps a package away (`apt-cache policy NAME`, `apt-mark showhold`): mend that, then \
         go on with --resume",
    ),
    (
        Class::Package,
        &["dpkg: error"],
        "mend what the package complains about, then go on with --resume, which configures it again",
    ),
];

/// What to do about a failure of `class` that `lines` tell of.
pub fn advice(class: Class, lines: &[String]) -> &'static str {
    let told = |words: &[&str]| lines.iter().any(|line| words.iter().any(|word| line.contains(word)));
    if let Some((_, _, remedy)) = REMEDIES.iter().find(|(of, words, _)| *of == class && told(words)) {
        return remedy;
    }
    match class {
        Class::Locked => "wait until the other package manager is done, then go on with --resume",
        Class::Conflict => {
            "another file in /etc/apt/sources.list.d names the same repository with another key: remove one of the two, then go \
             on with --resume"
        }
        Class::Disk => "make room or make the file system writable (`df -h`, `mount`), then go on with --resume",
        Class::Memory => "give the host more memory or swap, then go on with --resume",
        Class::Proxy => "check the proxy's address and login, then go on with --resume",
        Class::Dns => "check the host's name servers (`getent ahosts NAME`) or name a proxy, then go on with --resume",
        Class::Tls => "check the clock and, behind a proxy that opens TLS, trust its CA; then go on with --resume",
        Class::Http => "check that the host can reach the repository (firewall, proxy), then go on with --resume",
        Class::Repository => {
            "check the repository: its address, its key and whether its metadata is current (and the host's clock); then go on \
             with --resume"
        }
        _ => "mend what is named above, then go on with --resume",
    }
}

/// A fault of a command that installs, removes or solves: of the class that its words tell, else `package`.
pub fn fault(output: &Output, message: &str) -> Fault {
    let complaints = complaints(output);
    let words: Vec<String> = output.tail.iter().chain(&complaints).cloned().collect();
    let broken = output.stdout.lines().chain(output.stderr.lines()).any(|line| line.contains("dpkg: error"));
    let class = match classify(&complaints, &[]) {
        // A package's script that cannot connect to something fails as a package.
        Some(class) if !broken => class,
        _ => {
            classify(&words, &[]).filter(|class| matches!(class, Class::Disk | Class::Memory)).unwrap_or(Class::Package)
        }
    };
    let evidence = problems(output);
    let evidence = if evidence.is_empty() { output.tail.clone() } else { evidence };
    let advice = advice(class, &evidence);
    Fault::new(class, message).evidence(evidence).command(output.ran.clone()).advice(advice)
}

/// The lines that tell why a transaction failed: a failing package's own last words, dpkg's and apt's errors, and dependencies
/// that cannot be met.
pub fn problems(output: &Output) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut before: VecDeque<&str> = VecDeque::new();
    let mut goes_on = false;
    for line in output.stdout.lines() {
        if goes_on && line.starts_with(' ') {
            found.push(line.to_owned());
            continue;
        }
        let error = line.starts_with("dpkg: error");
        goes_on = error || line.starts_with("dpkg: dependency problems") || line.contains("unmet dependencies");
        if error {
            found.extend(before.drain(..).map(ToOwned::to_owned));
        }
        if goes_on {
            found.push(line.to_owned());
            before.clear();
        } else if !line.trim().is_empty() && !line.starts_with("(Reading database") {
            if before.len() == OWN_WORDS {
                before.pop_front();
            }
            before.push_back(line);
        }
    }
    found.extend(output.stderr.lines().filter(|line| line.starts_with("dpkg: ")).map(ToOwned::to_owned));
    found.extend(complaints(output));
    // The first failure is the cause of most that follow.
    found.truncate(MOST_LINES);
    found
}

/// How many lines before an error are taken for the package's own words.
const OWN_WORDS: usize = 5;
const MOST_LINES: usize = 30;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::failure::Ran;

    pub fn output(stdout: &str, stderr: &str) -> Output {
        let tail = stdout.lines().chain(stderr.lines()).map(ToOwned::to_owned).collect();
        let ran = Ran { argv: vec!["apt-get".into()], exit: Some(100), signal: None };
        Output { ran, stdout: stdout.into(), stderr: stderr.into(), tail }
    }

    #[test]
    fn causes_are_told_from_consequences() {
        let release = "E: The repository 'http://h/r x Release' does not have a Release file.";
        let cases: [(&[&str], Class); 19] = [
            (&["Err:1 http://h/r x InRelease  Could not resolve 'h'", release], Class::Dns),
            (&["Err:1 http://h/r x InRelease  Temporary failure resolving 'h'"], Class::Dns),
            (&["Err:1 http://h/r x InRelease  Could not resolve 'proxy.corp'"], Class::Proxy),
            (
                &[
                    "Err:1 http://h/r x InRelease  Could not connect to h:80 (10.0.0.1). - connect (111: Connection refused)",
                ],
                Class::Http,
            ),
            (&["Err:1 http://h/r x InRelease  Unable to connect to 10.77.0.1:3128:"], Class::Proxy),
            (&["Err:1 http://h/r x InRelease  Could not connect to [::1]:80"], Class::Proxy),
            (&["Err:2 http://h/r x Release  503  Service Unavailable [IP: 10.0.0.1 80]", release], Class::Http),
            (&["Err:4 http://h/r x InRelease  Error reading from server. Remote end closed connection"], Class::Http),
            (&["Err:2 http://h/r x Release  404  Not Found [IP: 10.0.0.1 80]", release], Class::Repository),
            (&["Err:1 https://h/r x InRelease  Invalid response from proxy: HTTP/1.1 502 Bad Gateway"], Class::Proxy),
            (&["Err:1 http://h/r x InRelease  407  Proxy Authentication Required"], Class::Proxy),
            (
                &["Err:1 https://h/r x InRelease  Certificate verification failed: The certificate is NOT trusted."],
                Class::Tls,
            ),
            (
                &["W: GPG error: http://h/r x InRelease: The following signatures couldn't be verified: NO_PUBKEY AB"],
                Class::Repository,
            ),
            (&["E: Release file for http://h/r/dists/x/InRelease is expired (invalid since 1d)."], Class::Repository),
            (&["E: Failed to fetch http://h/r/x.deb  Hash Sum mismatch"], Class::Repository),
            (&["E: Failed to fetch http://h/r/x.deb  Something new"], Class::Http),
            (
                &[
                    "E: Write error - write (28: No space left on device)",
                    "E: Failed to fetch http://h/x  404  Not Found",
                ],
                Class::Disk,
            ),
            (
                &["E: Conflicting values set for option Signed-By regarding source http://h/r/ x: /a != /b"],
                Class::Conflict,
            ),
            (&["E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt)"], Class::Locked),
        ];
        for (lines, expected) in cases {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            assert_eq!(classify(&lines, &["h"]), Some(expected), "{lines:?}");
        }
        assert_eq!(classify(&["E: whatever".to_owned()], &["h"]), None);
    }

    #[test]
    fn a_proxy_that_is_not_there_is_the_proxys_fault() {
        let line = "Err:1 http://h/r x InRelease  Could not connect to proxy:3999 (10.77.0.18). - connect (111: Connection refused)";
        for (class, proxies, expected) in [
            (Class::Http, &["proxy"][..], Class::Proxy),
            (Class::Dns, &["proxy"], Class::Proxy),
            (Class::Http, &["other"], Class::Http),
            (Class::Disk, &["proxy"], Class::Disk),
        ] {
            assert_eq!(blame(Fault::new(class, "x").evidence([line]), proxies).class, expected);
        }
    }

    #[test]
    fn waiting_in_vain_has_an_end() {
        let (failed, got) =
            ("Err:1 http://h/r x InRelease\n  Connection failed [IP: 10.0.0.1 3128]\n", "Get:2 http://h/r x [3 kB]\n");
        let refused = "Err:3 http://h/r y InRelease\n  Could not connect to h:80 (10.0.0.1). - connect (111: Connection refused)\n";
        for (said, most, given_up) in [
            (format!("{failed}{failed}"), 2, true),
            (format!("{failed}{got}{failed}"), 2, false),
            (format!("{got}{failed}"), 1, true),
            (refused.repeat(3), 1, false),
            // A script's own words.
            ("  Connection failed\nErr: no\nConnection failed\n".to_owned(), 1, false),
        ] {
            let test = hopeless(most);
            assert_eq!(said.lines().any(test), given_up, "{said}");
        }
    }

    #[test]
    fn refusals_do_not_pass() {
        for (class, line, expected) in [
            (Class::Http, "Err:1 http://h x  503  Service Unavailable", true),
            (Class::Http, "Err:1 http://h x  403  Forbidden", false),
            (
                Class::Proxy,
                "Err:1 https://h x  Invalid response from proxy: HTTP/1.1 407 Proxy Authentication Required",
                false,
            ),
            (Class::Proxy, "Err:1 https://h x  Invalid response from proxy: HTTP/1.1 502 Bad Gateway", true),
            (Class::Dns, "Err:1 http://h x  Could not resolve 'h'", false),
            (Class::Dns, "Err:1 http://h x  Temporary failure resolving 'h'", true),
            (Class::Repository, "E: Failed to fetch http://h/x.deb  Hash Sum mismatch", true),
            (Class::Repository, "E: Failed to fetch http://h/x.deb  404  Not Found", false),
            (Class::Tls, "Certificate verification failed", false),
            (Class::Disk, "No space left on device", false),
        ] {
            assert_eq!(passes(&Fault::new(class, "x").evidence([line])), expected, "{line}");
        }
    }

    #[test]
    fn complaints_have_their_lines() {
        let stdout = "Hit:1 http://a x InRelease\nErr:2 http://b x InRelease\n  Could not resolve 'b'\nReading package lists...\n  x\n";
        let stderr = "W: http://a/InRelease: Key is stored in legacy trusted.gpg keyring\nW: Failed to fetch http://b/InRelease  Could not\n\
                      W: Some index files failed to download.\nE: one\nE: one\n";
        let expected = [
            "Err:2 http://b x InRelease  Could not resolve 'b'",
            "W: Failed to fetch http://b/InRelease  Could not",
            "E: one",
        ];
        assert_eq!(complaints(&output(stdout, stderr)), expected);
        let stdout = "Err:1 http://b x InRelease\n  404  Not Found\n";
        let stderr = "E: Failed to fetch http://b/x  404  Not Found\nE: The repository 'http://b x' is not signed.\n";
        let expected = ["Err:1 http://b x InRelease  404  Not Found", "E: The repository 'http://b x' is not signed."];
        assert_eq!(complaints(&output(stdout, stderr)), expected);
    }

    #[test]
    fn advice_fits_what_is_said() {
        let cases = [
            (Class::Repository, "E: Release file for http://h is expired (invalid since 1d)", "`date`"),
            (Class::Repository, "W: GPG error: http://h x InRelease: NO_PUBKEY AB", "compare the fingerprint"),
            (Class::Repository, "Err:1 http://h x  Clearsigned file isn't valid, got 'NOSPLIT'", "sign-in page"),
            (Class::Repository, "Err:1 http://h x  404  Not Found", "address and suite"),
            (Class::Repository, "E: something new", "whether its metadata is current"),
            (Class::Package, "The following packages have unmet dependencies:", "apt-cache policy"),
            (Class::Package, "dpkg: error processing package x (--configure):", "configures it again"),
            (Class::Tls, "Err:1 https://h x  Could not handshake: terminated", "https or http"),
            (
                Class::Tls,
                "Err:1 https://h x  The certificate is NOT trusted. Could not handshake: Error in the verification",
                "trust its CA",
            ),
            (Class::Http, "Err:1 http://h x  404  Not Found", "firewall"),
        ];
        for (class, line, expected) in cases {
            let advice = advice(class, &[line.to_owned()]);
            assert!(advice.contains(expected) && advice.contains("--resume"), "{line}: {advice}");
        }
    }

    #[test]
    fn a_failing_package_is_heard() {
        let stdout = "Setting up a (1) ...\nSetting up nginx-common (1.22) ...\nmkdir: cannot create directory '/x': Not a directory\n\
             dpkg: error processing package nginx-common (--configure):\n installed nginx-common package post-installation script \
             subprocess returned error exit status 1\ndpkg: dependency problems prevent configuration of nginx:\n nginx depends on \
             nginx-common; however:\n  Package nginx-common is not configured yet.\n\nProcessing triggers\n";
        let output = output(stdout, "E: Sub-process /usr/bin/dpkg returned an error code (1)\n");
        let found = problems(&output);
        assert_eq!(found[2], "mkdir: cannot create directory '/x': Not a directory");
        assert!(found.contains(&"  Package nginx-common is not configured yet.".to_owned()), "{found:?}");
        assert!(!found.contains(&"Processing triggers".to_owned()));
        assert_eq!(fault(&output, "x").class, Class::Package);
    }

    #[test]
    fn a_full_disk_is_no_broken_package() {
        let stdout = "dpkg: error processing archive /var/cache/apt/archives/x.deb (--unpack):\n cannot copy extracted data for \
             './usr/x' to '/usr/x.dpkg-new': failed to write (No space left on device)\n";
        assert_eq!(fault(&output(stdout, "E: Sub-process failed\n"), "x").class, Class::Disk);
        let script = "dpkg: error processing package x (--configure):\n Connection refused\n";
        assert_eq!(fault(&output(script, "E: Sub-process failed\n"), "x").class, Class::Package);
        let fetch = "Err:1 http://h/r x 1.0\n  404  Not Found\n";
        assert_eq!(fault(&output(fetch, "E: Unable to fetch some archives\n"), "x").class, Class::Repository);
        assert_eq!(fault(&output("", "E: Unable to locate package x\n"), "x").class, Class::Package);
    }
}

//! Fetching the index.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::said::{self, advice, classify, complaints};
use super::{CACHES, FETCH_LIMIT, LISTS, Source, apt_get, retried, tell_progress, when_free};
use crate::command::Output;
use crate::packages::without_login;
use crate::{Class, Fault, Host, locks};

/// Fetches the index of all repositories, and makes sure that it did for `ours`.
///
/// apt-get's exit code tells nothing: it is 0 after most network faults, and not 0 when somebody else's repository is broken.
/// So what is there of ours is removed first, and must be there afterwards: apt puts it there only when it is whole, current
/// and signed by the repository's key. Failures of others are told as notes.
///
/// # Errors
/// Where one of ours is missing afterwards, or there is no index of any repository at all: of the class that apt's complaints
/// tell (`dns`, `http`, `proxy`, `tls`, `repository`, `conflict`, `disk`), with these as evidence. Class `locked` where another
/// process holds the lists.
pub fn update(host: &Host, ours: &[Source]) -> Result<()> {
    retried(host, "fetching the package index", || fetch(host, ours))
}

fn fetch(host: &Host, ours: &[Source]) -> Result<()> {
    let lists = Path::new(LISTS);
    locks::wait_free(&host.runner, &locks::INDEX, locks::limit())?;
    for source in ours {
        source.remove_lists(lists)?;
    }
    forget_parts(lists)?;
    forget_cache_parts(Path::new(CACHES))?;
    let (progress, hopeless) = (tell_progress(host), said::hopeless(2));
    let output = when_free(host, &locks::INDEX, |_| {
        let network = host.runner.network();
        let command = apt_get(["update"]).args(network.apt_options().iter().copied());
        // An index is small, and asked for twice.
        let command = command.args(["-o", "Acquire::http::Timeout=10", "-o", "Acquire::https::Timeout=10"]);
        command.args(["-o", "APT::Status-Fd={}"]).limit(FETCH_LIMIT).on_status(&progress).give_up_when(&hopeless)
    })?;
    let missing: Vec<(&Source, &str, &str)> = ours
        .iter()
        .flat_map(|source| source.missing(lists).into_iter().map(move |(uri, suite)| (source, uri, suite)))
        .collect();
    let complaints = complaints(&output);
    if !missing.is_empty() || !has_any(lists) {
        let network = host.runner.network();
        return Err(said::blame(failure(&output, &missing, complaints), &network.proxy_hosts()).into());
    }
    for complaint in complaints {
        host.runner.note(&format!("a repository that is not ours fails: {complaint}"));
    }
    Ok(())
}

/// Removes signed lists that were broken off: apt goes on where they end, with what the server has by now, which was signed anew.
fn forget_parts(lists: &Path) -> Result<()> {
    remove_those(&lists.join("partial"), |name| name.ends_with("Release"))
}

/// Removes caches that somebody was writing who was killed: apt makes them anew, each under another name (mkstemp(3)). For that it takes no lock, so that one that is
/// open may be of an apt at work, which would fail without it.
pub(super) fn forget_cache_parts(caches: &Path) -> Result<()> {
    remove_those(caches, |name| {
        let end = ["pkgcache.bin.", "srcpkgcache.bin."].iter().find_map(|cache| name.strip_prefix(cache));
        end.is_some_and(|end| end.len() == 6) && !is_open(&caches.join(name))
    })
}

/// Has a process this file open?
fn is_open(path: &Path) -> bool {
    let folder = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = folder("/proc".into()).flat_map(|process| folder(process.join("fd")));
    files.into_iter().any(|file| std::fs::read_link(file).is_ok_and(|open| open == path))
}

/// Removes the files of `folder` whose names are such; none where there is no folder.
fn remove_those(folder: &Path, are_such: impl Fn(&str) -> bool) -> Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if are_such(&entry.file_name().to_string_lossy()) {
            let path = entry.path();
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("removing {}", path.display()))?,
            }
        }
    }
    Ok(())
}

/// Is there the index of any repository?
pub fn has_any(lists: &Path) -> bool {
    let entries = std::fs::read_dir(lists).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().ends_with("Release"))
}

fn failure(output: &Output, missing: &[(&Source, &str, &str)], complaints: Vec<String>) -> Fault {
    let about_ours: Vec<String> = complaints
        .iter()
        .filter(|line| missing.iter().any(|(_, uri, suite)| line.contains(&told(uri)) && line.contains(suite)))
        .cloned()
        .collect();
    // apt that cannot read its sources names no repository.
    let evidence = if about_ours.is_empty() { complaints } else { about_ours };
    let hosts: Vec<&str> = missing.iter().filter_map(|(_, uri, _)| host_of(uri)).collect();
    let class = classify(&evidence, &hosts).unwrap_or(Class::Repository);
    let message = match missing {
        [] => "no repository's index can be fetched".to_owned(),
        _ => {
            let names: Vec<String> =
                missing.iter().map(|(of, uri, suite)| format!("'{}' ({} {suite})", of.name, told(uri))).collect();
            format!("the index of repository {} cannot be fetched", names.join(", "))
        }
    };
    let evidence = if evidence.is_empty() { output.tail.clone() } else { evidence };
    let advice = advice(class, &evidence);
    Fault::new(class, message).evidence(evidence).command(output.ran.clone()).advice(advice)
}

/// Where the index of a repository begins, without a login in it.
pub fn release_url(uri: &str, suite: &str) -> String {
    let uri = told(uri);
    // A suite that is a path is below the URI itself.
    match suite.strip_suffix('/').map(|path| path.trim_start_matches("./")) {
        Some("" | ".") => format!("{uri}/InRelease"),
        Some(path) => format!("{uri}/{path}/InRelease"),
        None => format!("{uri}/dists/{suite}/InRelease"),
    }
}

/// A URI as apt tells it: without login.
fn told(uri: &str) -> String {
    let (told, _) = without_login(uri);
    let (scheme, rest) = told.split_at(told.find("://").map_or(0, |at| at + "://".len()));
    format!("{scheme}{}", rest.trim_end_matches('/'))
}

/// The host of a URI; none where it has none (`file:`).
fn host_of(uri: &str) -> Option<&str> {
    let authority = uri.split_once("://")?.1.split('/').next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        return Some(address);
    }
    host.split(':').next().filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::said::tests::output;
    use super::*;

    #[test]
    fn uris_are_taken_apart() {
        let cases = [
            ("https://u:p@h.example:8443/a/", "https://h.example:8443/a", Some("h.example")),
            ("http://[::1]:80/r", "http://[::1]:80/r", Some("::1")),
            ("file:///srv/r", "file:///srv/r", None),
        ];
        for (uri, expected, host) in cases {
            assert_eq!((told(uri).as_str(), host_of(uri)), (expected, host), "{uri}");
        }
    }

    #[test]
    fn only_parts_of_caches_go() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["pkgcache.bin", "srcpkgcache.bin", "pkgcache.bin.xQulHA", "srcpkgcache.bin.000000", "pkgcache.bin.mine"]
        {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        // An apt at work has it open.
        let at_work = std::fs::File::create(folder.path().join("pkgcache.bin.atwork")).unwrap();
        forget_cache_parts(folder.path()).unwrap();
        assert!(folder.path().join("pkgcache.bin.atwork").exists());
        drop(at_work);
        forget_cache_parts(folder.path()).unwrap();
        assert!(!folder.path().join("pkgcache.bin.atwork").exists());
        let left = |name: &str| folder.path().join(name).exists();
        assert!(left("pkgcache.bin") && left("srcpkgcache.bin") && left("pkgcache.bin.mine"));
        assert!(!left("pkgcache.bin.xQulHA") && !left("srcpkgcache.bin.000000"));
    }

    #[test]
    fn where_an_index_begins() {
        let cases = [
            ("https://u:p@h/debian/", "stable", "https://h/debian/dists/stable/InRelease"),
            ("https://h/r", "stable/updates", "https://h/r/dists/stable/updates/InRelease"),
            ("https://h/r/", "./", "https://h/r/InRelease"),
            ("https://h/r", "el/9/", "https://h/r/el/9/InRelease"),
            ("https://h/r", "/", "https://h/r/InRelease"),
        ];
        for (uri, suite, url) in cases {
            assert_eq!(release_url(uri, suite), url, "{uri} {suite}");
        }
    }

    #[test]
    fn only_complaints_about_ours_are_evidence() {
        let ours = Source {
            name: "redis".into(),
            uris: vec!["http://u:p@h/r/".into()],
            suites: vec!["x".into()],
            components: vec!["main".into()],
        };
        let output = output(
            "Err:1 http://h/r x InRelease\n  503  Service Unavailable\nErr:2 http://other/r x InRelease\n  Could not resolve 'other'\n",
            "",
        );
        let lists = tempfile::tempdir().unwrap();
        let missing: Vec<_> = ours.missing(lists.path()).into_iter().map(|(uri, suite)| (&ours, uri, suite)).collect();
        let fault = failure(&output, &missing, complaints(&output));
        assert_eq!(fault.class, Class::Http);
        assert_eq!(fault.evidence, ["Err:1 http://h/r x InRelease  503  Service Unavailable"]);
        assert_eq!(fault.message, "the index of repository 'redis' (http://h/r x) cannot be fetched");
        assert_eq!(failure(&output, &[], complaints(&output)).class, Class::Dns);
    }
}

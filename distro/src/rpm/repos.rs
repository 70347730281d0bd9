//! Repositories as files in a folder define them: what dnf, yum and zypper have in common.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Facts;
use crate::network::Login;
use crate::packages::definition::{Definition, Rival};
use crate::packages::{Entry, without_login};
use crate::pattern::is_like;

/// What a file of ours that defines a repository begins with.
pub const MANAGED: &str = "# Managed by surefoot.";

/// A section of a `.repo` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Repo {
    id: String,
    file: PathBuf,
    is_ours: bool,
    options: BTreeMap<String, String>,
}

/// Files in `folders` whose names end in `end`, in the order of their names. Of one name that of the last folder counts.
///
/// # Errors
/// Where a folder cannot be read.
pub fn files(folders: &[&Path], end: &str) -> Result<Vec<PathBuf>> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in folders {
        match std::fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            listing => {
                for entry in listing.with_context(|| format!("reading {}", folder.display()))? {
                    let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
                    files.insert(entry.file_name(), entry.path());
                }
            }
        }
    }
    Ok(files.into_values().filter(|file| file.extension().is_some_and(|is| is == end)).collect())
}

/// Every repository below `folder`, switched off or not.
fn sections(folder: &Path) -> Result<Vec<Repo>> {
    sections_of(files(&[folder], "repo")?)
}

fn sections_of(files: Vec<PathBuf>) -> Result<Vec<Repo>> {
    let mut repos = Vec::new();
    for file in files {
        let text = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        repos.extend(parse(&file, &String::from_utf8_lossy(&text)));
    }
    Ok(repos)
}

/// Files below `folder` that define repositories and that only root may read, as those with a login; none for root.
pub fn hidden(folder: &Path) -> Vec<PathBuf> {
    let mut files = files(&[folder], "repo").unwrap_or_default();
    files.retain(|file| is_hidden(file));
    files
}

fn is_hidden(file: &Path) -> bool {
    File::open(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Every repository below `folder`, with what stands in the files of `overrides`, folders that dnf 5 has for that: it counts more.
fn overridden(folder: &Path, overrides: &[&Path]) -> Result<Vec<Repo>> {
    overridden_of(files(&[folder], "repo")?, overrides)
}

fn overridden_of(definitions: Vec<PathBuf>, overrides: &[&Path]) -> Result<Vec<Repo>> {
    let mut repos = sections_of(definitions)?;
    for more in sections_of(files(overrides, "repo")?)? {
        for repo in repos.iter_mut().filter(|repo| is_like(&repo.id, &more.id)) {
            repo.options.extend(more.options.clone());
        }
    }
    Ok(repos)
}

/// INI, with values that go on in lines that begin with white space.
fn parse(file: &Path, text: &str) -> Vec<Repo> {
    let mut repos: Vec<Repo> = Vec::new();
    let is_ours = text.starts_with(MANAGED);
    let mut last = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(id) = line.trim_end().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            repos.push(Repo { id: id.to_owned(), file: file.to_owned(), is_ours, ..Repo::default() });
            last.clear();
            continue;
        }
        let Some(repo) = repos.last_mut() else { continue };
        match line.split_once('=') {
            Some((key, value)) if !line.starts_with([' ', '\t']) => {
                last = key.trim().to_owned();
                repo.options.insert(last.clone(), value.trim().to_owned());
            }
            _ => {
                let value = repo.options.entry(last.clone()).or_default();
                *value = format!("{value} {}", line.trim());
            }
        }
    }
    repos
}

impl Repo {
    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn is_on(&self) -> bool {
        !self.option("enabled").is_some_and(is_no)
    }

    /// Is it asked otherwise than everybody would?
    fn has_own_way(&self) -> bool {
        let told = |name: &&str| self.option(name).is_some();
        let by = ["sslclientcert", "sslcacert", "proxy", "username"].iter().any(told);
        // What follows a `?` in an address is libzypp's: a login, a proxy, that certificates do not count.
        let zypp = self.option("baseurl").is_some_and(|url| url.contains('?'));
        by || zypp || self.option("sslverify").is_some_and(is_no)
    }

    /// Where it is asked for, with `variables` in their places.
    fn entries(&self, variables: &BTreeMap<String, String>) -> Vec<Entry> {
        let entry = |text: &str, is_list: bool| {
            let (address, has_login) = without_login(&filled(text, variables));
            // What follows a `?` is for the package manager, or a token.
            let url = if is_list { address } else { url(address.split('?').next().unwrap_or_default()) };
            Entry { file: self.file.clone(), url, is_list, own_way: has_login || self.has_own_way() }
        };
        if let Some(list) = self.option("metalink").or(self.option("mirrorlist")) {
            return vec![entry(list, true)];
        }
        let words = self.option("baseurl").unwrap_or_default().split([' ', ',', '\t']).filter(|word| !word.is_empty());
        words.map(|word| entry(word, false)).collect()
    }
}

/// Does the value of an option say no?
fn is_no(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "0" | "no" | "false" | "off")
}

/// The sections of dnf's or yum's `settings` that are about no single repository.
struct Main(Vec<Repo>);

impl Main {
    fn of(settings: &[PathBuf]) -> Self {
        let main = |file: &PathBuf| {
            let text = String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned();
            parse(file, &text).into_iter().find(|section| section.id == "main")
        };
        Self(settings.iter().filter_map(main).collect())
    }

    /// An option as the last of the files has it that names it, with that file.
    fn told(&self, name: &str) -> Option<(&Path, &str)> {
        let last = self.0.iter().rev().find(|main| main.options.contains_key(name))?;
        Some((&last.file, last.option(name)?))
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.told(name).map(|(_, value)| value)
    }
}

/// Do dnf's `settings` name folders for definitions of repositories of which none is `folder`?
pub fn has_other_reposdir(settings: &[PathBuf], folder: &Path) -> bool {
    let is_other = |value: &str| value.split([' ', ',', '\t']).all(|named| Path::new(named) != folder);
    Main::of(settings).option("reposdir").is_some_and(is_other)
}

/// A proxy among the settings of dnf or yum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnProxy {
    /// The file that names it.
    pub file: PathBuf,
    /// Its address.
    pub url: String,
    /// Its login, where it has one.
    pub login: Option<Login>,
}

/// The proxy that dnf's or yum's `settings` name, if they do. Of several files the last counts most.
pub fn own_proxy(settings: &[PathBuf]) -> Option<OwnProxy> {
    let main = Main::of(settings);
    let (file, url) = main.told("proxy").filter(|(_, proxy)| *proxy != "_none_")?;
    let login = main.option("proxy_username").map(|user| Login {
        user: user.to_owned(),
        password: main.option("proxy_password").unwrap_or_default().to_owned(),
    });
    Some(OwnProxy { file: file.to_owned(), url: url.to_owned(), login })
}

/// Which of the options that are the login to a proxy dnf's or yum's `settings` name, with a value or without.
pub fn login_options(settings: &[PathBuf]) -> Vec<&'static str> {
    let main = Main::of(settings);
    let is_named = |name: &&str| main.0.iter().any(|main| main.options.contains_key(*name));
    ["proxy_username", "proxy_password"].into_iter().filter(is_named).collect()
}

/// Where the index of a repository begins.
pub fn url(uri: &str) -> String {
    format!("{}/repodata/repomd.xml", uri.trim_end_matches('/'))
}

/// A repository with the name of `of` in another file than `own`, below `folder`.
///
/// # Errors
/// Where a file that defines repositories cannot be read.
pub fn rival(folder: &Path, own: &Path, of: &Definition) -> Result<Option<Rival>> {
    let mut found = sections(folder)?.into_iter();
    let found = found.find(|repo| repo.id == of.name && repo.file != own && !of.replaces.contains(&repo.file));
    Ok(found.map(|repo| Rival { says: format!("[{}]", repo.id), file: repo.file }))
}

/// Names of the repositories below `folder`, with what `overrides` say, that are switched on.
///
/// # Errors
/// Where a file that defines some cannot be read.
pub fn names(folder: &Path, overrides: &[&Path]) -> Result<Vec<String>> {
    Ok(overridden(folder, overrides)?.into_iter().filter(Repo::is_on).map(|repo| repo.id).collect())
}

/// Names of all repositories below `folder`, switched off or not.
///
/// # Errors
/// As [`names`].
pub fn all_names(folder: &Path) -> Result<Vec<String>> {
    Ok(sections(folder)?.into_iter().map(|repo| repo.id).collect())
}

/// Names of those that are ours.
///
/// # Errors
/// As [`names`].
pub fn ours(folder: &Path) -> Result<Vec<String>> {
    Ok(sections(folder)?.into_iter().filter(|repo| repo.is_ours).map(|repo| repo.id).collect())
}

/// Is a repository switched on that a distribution, or its cloud, gave the host? Neither ours nor EPEL's is one.
///
/// # Errors
/// As [`names`].
pub fn has_others(folder: &Path, overrides: &[&Path]) -> Result<bool> {
    let is_other = |repo: &Repo| repo.is_on() && !repo.is_ours && !repo.id.starts_with("epel");
    Ok(overridden(folder, overrides)?.iter().any(is_other))
}

/// What among `overrides` switches the repository `name` off, if something does, with its file.
///
/// # Errors
/// Where one of them cannot be read.
pub fn switched_off(name: &str, overrides: &[&Path]) -> Result<Option<String>> {
    let all = sections_of(files(overrides, "repo")?)?;
    let last = all.iter().rev().find(|more| is_like(name, &more.id) && more.option("enabled").is_some());
    let off = last.filter(|more| !more.is_on());
    let told = |more: &Repo| format!("{}: [{}] enabled={}", more.file.display(), more.id, more.options["enabled"]);
    Ok(off.map(told))
}

/// Names of those of them that say nothing of `option`.
///
/// # Errors
/// As [`names`].
pub fn without(folder: &Path, option: &str) -> Result<Vec<String>> {
    let is_silent = |repo: &Repo| repo.is_on() && repo.option(option).is_none();
    Ok(sections(folder)?.into_iter().filter(is_silent).map(|repo| repo.id).collect())
}

/// Every repository below `folder`, with what `overrides` say, that is switched on, but for those in files that are [`hidden`]. `release` stands for
/// `$releasever` in addresses; a file each in `variables` has what stands for its name.
///
/// # Errors
/// Where a file that defines some cannot be read.
pub fn repositories(
    facts: &Facts,
    release: &str,
    folder: &Path,
    overrides: &[&Path],
    variables: &Path,
) -> Result<Vec<Entry>> {
    let variables = self::variables(facts, release, variables);
    let mut files = files(&[folder], "repo")?;
    files.retain(|file| !is_hidden(file));
    let repos = overridden_of(files, overrides)?;
    Ok(repos.iter().filter(|repo| repo.is_on()).flat_map(|repo| repo.entries(&variables)).collect())
}

/// What stands for `$name` in addresses: the package manager's own, and a file each for the host's.
fn variables(facts: &Facts, release: &str, folder: &Path) -> BTreeMap<String, String> {
    let (major, minor) = release.split_once('.').unwrap_or((release, ""));
    let releases = [("releasever", release), ("releasever_major", major), ("releasever_minor", minor)];
    let releases = releases.map(|(name, value)| (name, value.to_owned()));
    let own = [("basearch", facts.arch.clone()), ("arch", facts.arch.clone())];
    let own = releases.into_iter().chain(own);
    let mut variables: BTreeMap<String, String> = own.map(|(name, value)| (name.to_owned(), value)).collect();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        variables.insert(entry.file_name().to_string_lossy().into_owned(), text.trim().to_owned());
    }
    variables
}

/// `$name` and `${name}` by their values; what is not known stays.
fn filled(text: &str, variables: &BTreeMap<String, String>) -> String {
    // The longest name first: `$arch` is the beginning of `$architecture`.
    let mut names: Vec<(&String, &String)> = variables.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_in_addresses() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/os-release"), "ID=opensuse-leap\nVERSION_ID=15.6\n").unwrap();
        let facts = Facts::gather(root.path()).unwrap();
        let text = "[oss]\nbaseurl=http://x.example/leap/$releasever/oss/\n[a]\nbaseurl=http://x.example/$releasever_major?credentials=y\n";
        std::fs::write(root.path().join("own.repo"), text).unwrap();
        let found = repositories(&facts, "15.6", root.path(), &[], &root.path().join("vars")).unwrap();
        let urls: Vec<&str> = found.iter().map(|entry| entry.url.as_str()).collect();
        let wanted = ["http://x.example/leap/15.6/oss/repodata/repomd.xml", "http://x.example/15/repodata/repomd.xml"];
        assert_eq!(urls, wanted);
    }

    #[test]
    fn who_says_nothing_of_an_option() {
        let root = tempfile::tempdir().unwrap();
        let text = "[a]\nskip_if_unavailable=0\n[b]\nname=b\n[c]\nenabled=0\n[d]\nskip_if_unavailable = 1\n";
        std::fs::write(root.path().join("x.repo"), text).unwrap();
        assert_eq!(without(root.path(), "skip_if_unavailable").unwrap(), ["b"]);
        assert_eq!(names(root.path(), &[]).unwrap(), ["a", "b", "d"]);
        assert_eq!(all_names(root.path()).unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_stands_apart_counts_more() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| root.path().join(name);
        let (own, theirs, host) = (folder("repos.d"), folder("theirs"), folder("host"));
        let write = |file: &Path, text: &str| {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write(&own.join("vendor.repo"), &format!("{MANAGED}\n[vendor]\nbaseurl=http://v.example\nenabled=1\n"));
        write(&own.join("base.repo"), "[epel]\nenabled=1\n[base]\nenabled=0\n[base-more]\n");
        write(&own.join("base.repo.old"), "[old]\n");
        let overrides = [theirs.as_path(), host.as_path()];
        let on = || names(&own, &overrides).unwrap().join(" ");
        assert_eq!(on(), "epel base-more vendor");
        assert_eq!(ours(&own).unwrap(), ["vendor"]);
        assert!(has_others(&own, &overrides).unwrap());
        assert_eq!(switched_off("vendor", &overrides).unwrap(), None);
        for (file, text, is_on, off, others) in [
            ("theirs/10.repo", "[base]\nenabled=1\n", "epel base base-more vendor", None, true),
            ("host/20.repo", "[base*]\nenabled=0\n", "epel vendor", None, false),
            ("host/30.repo", "[ve?dor]\nenabled=no\n", "epel", Some("host/30.repo: [ve?dor] enabled=no"), false),
            ("theirs/40.repo", "[*]\nenabled=1\n", "epel base base-more vendor", None, true),
            // One of the same name takes its place.
            ("host/40.repo", "[*]\nskip_if_unavailable=1\n", "epel", Some("host/30.repo: [ve?dor] enabled=no"), false),
        ] {
            write(&folder(file), text);
            assert_eq!(on(), is_on, "{file}");
            let off = off.map(|off: &str| format!("{}/{off}", root.path().display()));
            assert_eq!(switched_off("vendor", &overrides).unwrap(), off, "{file}");
            assert_eq!(has_others(&own, &overrides).unwrap(), others, "{file}");
        }
    }

    #[test]
    fn who_is_asked_in_a_way_of_its_own() {
        for (option, own) in [
            ("baseurl=https://cdn.example.net/x\nsslclientcert=/etc/pki/entitlement/1.pem", true),
            ("baseurl=https://cdn.example.net/x\nsslcacert=/etc/rhsm/ca/redhat-uep.pem", true),
            ("mirrorlist=https://a.example.net/list?arch=x86_64\nproxy=http://proxy.corp:3128", true),
            ("baseurl=https://a.example.net/x\nusername=build", true),
            ("baseurl=https://a.example.net/x\nsslverify=0", true),
            ("baseurl=https://a.example.net/x?ssl_verify=no", true),
            ("baseurl=https://jo:pass@a.example.net/x", true),
            ("mirrorlist=https://token@a.example.net/list", true),
            ("mirrorlist=https://a.example.net/list?arch=x86_64", false),
            ("baseurl=https://a.example.net/x\nsslverify=1\nsslclientcert=", false),
        ] {
            let repos = parse(Path::new("x.repo"), &format!("[a]\n{option}\n"));
            let entry = repos[0].entries(&BTreeMap::new()).remove(0);
            assert_eq!((entry.own_way, entry.url.contains('@')), (own, false), "{option}");
        }
    }

    #[test]
    fn a_proxy_among_the_settings() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("dnf.conf");
        let settings = [file.clone()];
        assert_eq!(own_proxy(&settings), None);
        for (text, there) in [
            ("[main]\nproxy=http://proxy.corp:3128\n", true),
            ("[main]\n#proxy=http://proxy.corp:3128\n", false),
            ("[main]\nproxy=\n", false),
            ("[main]\nproxy=_none_\n", false),
            ("[main]\nbest=True\n[a]\nproxy=http://proxy.corp:3128\n", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(own_proxy(&settings).is_some(), there, "{text}");
        }
        std::fs::write(&file, "[main]\nproxy = http://proxy.corp:3128\nproxy_username=jo\nproxy_password=a b\n")
            .unwrap();
        let login = Login { user: "jo".into(), password: "a b".into() };
        let proxy = OwnProxy { file: file.clone(), url: "http://proxy.corp:3128".into(), login: Some(login) };
        assert_eq!(own_proxy(&settings), Some(proxy.clone()));
        assert_eq!(login_options(&settings), ["proxy_username", "proxy_password"]);

        // The last file counts most.
        let more = root.path().join("10-more.conf");
        let both = [more.clone(), file.clone()];
        std::fs::write(&more, "[main]\nproxy=http://other.corp:3128\nproxy_username=ju\n").unwrap();
        assert_eq!(own_proxy(&both), Some(proxy));
        std::fs::write(&file, "[main]\nbest=True\n").unwrap();
        let login = Login { user: "ju".into(), password: String::new() };
        let proxy = OwnProxy { file: more.clone(), url: "http://other.corp:3128".into(), login: Some(login) };
        assert_eq!(own_proxy(&both), Some(proxy));
        assert_eq!(login_options(&both), ["proxy_username"]);
        std::fs::write(&file, "[main]\nproxy=\n").unwrap();
        assert_eq!(own_proxy(&both), None);
    }

    #[test]
    fn folders_of_repositories_among_the_settings() {
        let root = tempfile::tempdir().unwrap();
        let (file, folder) = (root.path().join("dnf.conf"), Path::new("/etc/yum.repos.d"));
        let settings = [file.clone()];
        assert!(!has_other_reposdir(&settings, folder));
        for (text, other) in [
            ("[main]\nreposdir=/etc/other.repos\n", true),
            ("[main]\nreposdir=/etc/yum.repos.d.old,/etc/yum.repos.d/more\n", true),
            ("[main]\nreposdir=/etc/other.repos, /etc/yum.repos.d/\n", false),
            ("[main]\nreposdir=/etc/other.repos\n  /etc/yum.repos.d\n", false),
            ("[main]\nbest=True\n", false),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(has_other_reposdir(&settings, folder), other, "{text}");
        }
    }

    #[test]
    fn where_an_index_begins() {
        assert_eq!(url("https://a.example.net/el9/"), "https://a.example.net/el9/repodata/repomd.xml");
    }

    #[test]
    fn what_the_files_define() {
        let text = "\
# Rocky's
[baseos]
name=Rocky Linux $releasever - BaseOS
mirrorlist=https://mirrors.example/mirrorlist?arch=$basearch&repo=BaseOS-$releasever$rltype
#baseurl=http://dl.example/$contentdir/$releasever/BaseOS/$basearch/os/
gpgcheck=1

[debug]
baseurl=http://no.example/
enabled=0
[vendor]
baseurl = https://a.example/${releasever}/
  https://b.example/x
enabled = true
";
        let repos = parse(Path::new("/etc/yum.repos.d/rocky.repo"), text);
        let variables: BTreeMap<String, String> = [("releasever", "9"), ("basearch", "x86_64"), ("rltype", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let entries: Vec<(String, bool)> = repos
            .iter()
            .filter(|repo| repo.is_on())
            .flat_map(|repo| repo.entries(&variables))
            .map(|entry| (entry.url, entry.is_list))
            .collect();
        let wanted = [
            ("https://mirrors.example/mirrorlist?arch=x86_64&repo=BaseOS-9", true),
            ("https://a.example/9/repodata/repomd.xml", false),
            ("https://b.example/x/repodata/repomd.xml", false),
        ];
        assert_eq!(entries, wanted.map(|(url, is_list)| (url.to_owned(), is_list)));
    }
}

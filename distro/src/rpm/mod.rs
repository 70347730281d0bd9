//! rpm, and what package managers that use it have in common: what is known to be installed, one query for all names that are asked
//! about; files that define repositories; what a transaction leaves that was cut off. Queries are those of rpm(8).

mod cut_off;
pub mod decisions;
pub mod definition;
mod extras;
mod fetch;
mod leftovers;
mod mend;
mod program;
pub mod repos;
pub mod said;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::command::Output;
use crate::packages::{Index, Known, Package, State};
use crate::{Class, Command, Host, Look};

pub use cut_off::{Transaction, interrupted, remove_keys, strike_out};
pub use fetch::fetch;
pub use mend::{Again, Means, mend};
pub use program::Program;

/// How long fetching may take in all.
pub const FETCH_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Name, architecture and version of a package, with its epoch where it has one.
const FORMAT: &str = "%{NAME}\\t%{ARCH}\\t%|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n";

/// The same of a key, and when it was imported.
const KEY_FORMAT: &str = "%{NAME}\\t%{ARCH}\\t%{VERSION}-%{RELEASE}\\t%{INSTALLTIME}\\n";

/// What the name of a key begins with.
pub const KEY: &str = "gpg-pubkey-";

/// What rpm locks while it changes its database.
pub const LOCK: &str = "/var/lib/rpm/.rpm.lock";

/// Does rpm say that another process holds its lock? It names the lock by the folder of its database, to which the usual one leads on some hosts.
pub fn is_locked(stderr: &str) -> bool {
    stderr.contains("/.rpm.lock")
}

/// A package as it stands in rpm's database, where one name may stand in two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Installed {
    name: String,
    arch: String,
    /// Its version, with its epoch where it has one.
    version: String,
}

impl Installed {
    /// What rpm calls it, and nothing else.
    fn label(&self) -> String {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, version)| version);
        format!("{}-{version}.{}", self.name, self.arch)
    }

    /// Its name, with its architecture.
    fn exact(&self) -> String {
        format!("{}.{}", self.name, self.arch)
    }

    /// Is `other` the same but for the version?
    fn is_version_of(&self, other: &Self) -> bool {
        (&self.name, &self.arch) == (&other.name, &other.arch)
    }
}

/// What rpm calls those of `found`, each once: a name may be asked for with and without its architecture.
fn labels<'i>(found: impl IntoIterator<Item = &'i (String, Installed)>) -> Vec<String> {
    let labels: BTreeSet<String> = found.into_iter().map(|(_, found)| found.label()).collect();
    labels.into_iter().collect()
}

/// Is a package of architecture `of` of the host's own, which is `arch`, or of none? `x86_64_v2` is what newer processors of the same can do, and keys
/// have `(none)`.
fn is_native(of: &str, arch: &str) -> bool {
    let of_own = of.strip_prefix(arch).is_some_and(|rest| rest.is_empty() || rest.starts_with("_v"));
    of_own || matches!(of, "noarch" | "(none)")
}

/// How a package `name` of architecture `of` is called on a host of architecture `arch`: with its architecture, where that is a foreign one.
pub fn canonical(name: &str, of: &str, arch: &str) -> String {
    if is_native(of, arch) { name.to_owned() } else { format!("{name}.{of}") }
}

/// Those of `names` that are installed, each with its architecture: without it, a package manager that removes them takes all that there are.
///
/// # Errors
/// As [`query`].
pub fn with_architecture(host: &Host, names: &[String]) -> Result<Vec<String>> {
    let exact: BTreeSet<String> = installed(host, names)?.into_iter().map(|(_, found)| found.exact()).collect();
    Ok(exact.into_iter().collect())
}

/// Which of `names` are installed.
///
/// # Errors
/// Class `package`, where rpm does not say it of one of them.
pub fn query(host: &Host, names: &[String]) -> Result<Known> {
    Ok(known(installed(host, names)?))
}

/// Which of these keys are installed, as of this look.
///
/// # Errors
/// Where rpm cannot be asked.
pub fn known_keys(look: &Look<'_>, keys: &[String]) -> Result<Known> {
    if keys.is_empty() { Ok(Known::new()) } else { Ok(known(parse(all_keys(look)?, keys, &look.host.facts.arch))) }
}

/// When the key of that name was imported; none where it is not there.
///
/// # Errors
/// As [`known_keys`].
pub fn imported(look: &Look<'_>, key: &str) -> Result<Option<String>> {
    Ok(import_of(all_keys(look)?, key))
}

/// What rpm says of all keys.
fn all_keys<'l>(look: &'l Look<'_>) -> Result<&'l str> {
    if look.keys.get().is_none() {
        let query = Command::new("rpm").args(["-q", "--qf", KEY_FORMAT, KEY.trim_end_matches('-')]);
        let said = query.data().output(&look.host.runner)?.stdout;
        look.keys.get_or_init(|| said);
    }
    Ok(look.keys.get().map_or("", String::as_str))
}

fn import_of(said: &str, key: &str) -> Option<String> {
    let names = [key.to_owned()];
    // Keys have no architecture.
    let line = said.lines().rfind(|line| !parse(line, &names, "").is_empty())?;
    line.split('\t').nth(3).map(str::to_owned)
}

/// What is installed of `names`, each with the name that was asked for, in the order in which it came.
///
/// # Errors
/// As [`query`].
fn installed(host: &Host, names: &[String]) -> Result<Vec<(String, Installed)>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    // Of keys rpm 4 and 6 have different names: all are asked for.
    let asked: BTreeSet<&str> =
        names.iter().map(|name| if name.starts_with(KEY) { "gpg-pubkey" } else { name }).collect();
    let query = Command::new("rpm").args(["-q", "--qf", FORMAT]).args(asked.into_iter().map(str::to_owned));
    let output = query.data().output(&host.runner)?;
    let found = parse(&output.stdout, names, &host.facts.arch);
    let is_told = |name: &String| name.starts_with(KEY) || tells_of(&output.stdout, name);
    match names.iter().find(|name| !is_told(name)) {
        None => Ok(found),
        Some(name) => Err(output
            .fault(Class::Package, format!("rpm does not say whether '{name}' is installed"))
            .advice("see what `rpm -qa` says; `rpm --rebuilddb` mends a damaged database")
            .into()),
    }
}

/// Does rpm say whether `name` is installed? Of one that is there in a foreign architecture only, too.
fn tells_of(said: &str, name: &str) -> bool {
    let absent = format!("package {name} is not installed");
    said.lines().any(|line| {
        let mut fields = line.split('\t');
        let (of, arch) = (fields.next().unwrap_or_default(), fields.next());
        line == absent || arch.is_some_and(|arch| of == name || format!("{of}.{arch}") == name)
    })
}

/// A name may tell the architecture (`glibc.i686`), without which it is the host's own (`arch`), and that of a key only the end of its fingerprint
/// (`gpg-pubkey-e7c22ce8`), which is its version in rpm 4; in rpm 6 that is the whole fingerprint.
fn parse(said: &str, names: &[String], own: &str) -> Vec<(String, Installed)> {
    let mut found = Vec::new();
    for line in said.lines() {
        let mut fields = line.split('\t');
        let (Some(name), Some(arch), Some(version)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let is_meant = |asked: &&String| {
            asked.strip_prefix(name).is_some_and(|rest| match rest.split_at_checked(1) {
                None => is_native(arch, own),
                Some((".", other)) => other == arch,
                Some(("-", end)) => {
                    name == "gpg-pubkey" && version.split('-').next().is_some_and(|key| key.ends_with(end))
                }
                _ => false,
            })
        };
        for asked in names.iter().filter(is_meant) {
            let [name, arch, version] = [name, arch, version].map(str::to_owned);
            found.push((asked.clone(), Installed { name, arch, version }));
        }
    }
    found
}

/// Of a name that stands there twice, what came last.
fn known(found: Vec<(String, Installed)>) -> Known {
    let package = |found: Installed| Package { version: found.version, state: State::Installed };
    found.into_iter().map(|(asked, found)| (asked, package(found))).collect()
}

/// Which of `names` cannot go because other packages need them, each with one that does.
///
/// # Errors
/// Class `package`, where rpm does not say it.
pub fn needed(host: &Host, names: &BTreeSet<String>) -> Result<BTreeMap<String, String>> {
    // Nobody needs a key; and rpm, which looks at none where it does not find one, may have another name for it.
    let names: Vec<String> = names.iter().filter(|name| !name.starts_with(KEY)).cloned().collect();
    // Nor does it look at any where one is not there, or there is another of the name.
    let mut going = installed(host, &names)?;
    let mut stays = BTreeMap::new();
    while !going.is_empty() {
        let output = Command::new("rpm").args(["-e", "--test"]).args(labels(&going)).data().output(&host.runner)?;
        let mut kept = BTreeMap::new();
        for (capabilities, by) in who_needs(&output)? {
            let query = Command::new("rpm").args(["-q", "--qf", FORMAT, "--whatprovides"]).args(capabilities);
            let provided = parse(&query.data().output(&host.runner)?.stdout, &names, &host.facts.arch);
            let going = |name: &String| going.iter().any(|(asked, _)| asked == name);
            kept.extend(provided.into_iter().filter(|(name, _)| going(name)).map(|(name, _)| (name, by.to_owned())));
        }
        if kept.is_empty() {
            break;
        }
        going.retain(|(name, _)| !kept.contains_key(name));
        stays.extend(kept);
    }
    Ok(stays)
}

/// As [`failures`], of what `rpm -e --test` says.
///
/// # Errors
/// Class `package`, where it fails with something else: then it did not look who needs what.
fn who_needs(output: &Output) -> Result<Vec<(Vec<&str>, &str)>> {
    let failures: Vec<_> = failures(&output.stderr).collect();
    if failures.is_empty() && !output.ok() {
        return Err(output
            .fault(Class::Package, "rpm does not say who needs the packages that are to go")
            .advice("mend what rpm says above, then run uninstall again")
            .into());
    }
    Ok(failures)
}

/// Capabilities that would fail, each with a package that needs it: `\tlibfoo >= 1 is needed by (installed) bar-1.0-1.el9.x86_64`.
fn failures(said: &str) -> impl Iterator<Item = (Vec<&str>, &str)> {
    let lines = said.lines().filter_map(|line| line.trim().split_once(" is needed by (installed) "));
    // Without version, release and architecture.
    lines.map(|(needs, by)| (capabilities(needs), by.rsplitn(3, '-').nth(2).unwrap_or(by)))
}

/// `libfoo >= 1` is one; of `(httpd or nginx >= 1)` each may be meant, and operators and versions are words that no package answers to.
fn capabilities(needs: &str) -> Vec<&str> {
    if !needs.starts_with('(') {
        return needs.split(' ').take(1).collect();
    }
    let closing = |word: &str| word.matches(')').count().saturating_sub(word.matches('(').count());
    let words = needs.split(' ').map(|word| word.trim_start_matches('('));
    // Brackets of its own stay: `libfoo.so()(64bit)`.
    words.map(|word| &word[..word.len() - closing(word)]).collect()
}

/// The index of a repository of ours, defined by the files `definition`, of which `fetched` is there; none where it is not defined.
pub fn index(name: &str, definition: [PathBuf; 2], fetched: Option<PathBuf>) -> Option<Index> {
    definition[0].exists().then(|| Index {
        definition: definition.to_vec(),
        missing: fetched.is_none().then(|| format!("'{name}'")),
        fetched: fetched.into_iter().collect(),
    })
}

/// The names under which rpm keeps keys that it trusts packages by, as if they were packages.
pub fn trusted_keys(fingerprints: &[String]) -> Vec<String> {
    let id = |fingerprint: &String| fingerprint[fingerprint.len().saturating_sub(8)..].to_ascii_lowercase();
    fingerprints.iter().map(|fingerprint| format!("{KEY}{}", id(fingerprint))).collect()
}

/// How much of a transaction is done (`3/4`), in percent, with what it is at; none where that does not tell it.
pub fn share<'t>(count: &str, text: &'t str) -> Option<(f32, &'t str)> {
    let (done, all) = count.split_once('/')?;
    let (done, all): (f32, f32) = (done.parse().ok()?, all.parse().ok()?);
    (all >= 1.0).then(|| (100.0 * done / all, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Ran;

    #[test]
    fn what_was_asked_for_is_found_again() {
        let said = "redis\tx86_64\t7.0.15-1.el9\npackage nope is not installed\nglibc\tx86_64\t2.34-100.el9\n\
                    glibc\ti686\t2.34-100.el9\nbind\tx86_64\t32:9.16-1\ngpg-pubkey\t(none)\te7c22ce8-6b0ab420\n";
        let said = format!("{said}gpg-pubkey\t(none)\t707d3dd21c718b3f53059d79237caabe4e375a02-6b0b8803\n");
        let names = [
            "redis",
            "nope",
            "glibc.i686",
            "bind",
            "gpg-pubkey-e7c22ce8",
            "gpg-pubkey-4e375a02",
            "gpg-pubkey-00000000",
            "redis-doc",
        ];
        let known = known(parse(&said, &names.map(str::to_owned), "x86_64"));
        let told: Vec<(&str, &str)> = known.iter().map(|(name, one)| (name.as_str(), one.version.as_str())).collect();
        let wanted = [
            ("bind", "32:9.16-1"),
            ("glibc.i686", "2.34-100.el9"),
            ("gpg-pubkey-4e375a02", "707d3dd21c718b3f53059d79237caabe4e375a02-6b0b8803"),
            ("gpg-pubkey-e7c22ce8", "e7c22ce8-6b0ab420"),
            ("redis", "7.0.15-1.el9"),
        ];
        assert_eq!(told, wanted);
    }

    /// What is asked for, the architecture of the host, which packages are meant, and whether rpm says so of all that is asked for.
    #[test]
    fn a_name_without_an_architecture_is_of_the_hosts_own() {
        let said = "libx\ti686\t1-1\nlibx\tx86_64\t1-1\nold\ti686\t1-1\ndata\tnoarch\t1-1\nnew\tx86_64_v2\t1-1\n\
                    package old.x86_64 is not installed\n";
        for (name, arch, wanted, is_told) in [
            ("libx", "x86_64", &["libx-1-1.x86_64"][..], true),
            ("libx.i686", "x86_64", &["libx-1-1.i686"], true),
            ("old", "x86_64", &[], true),
            ("old.i686", "x86_64", &["old-1-1.i686"], true),
            ("old.x86_64", "x86_64", &[], true),
            ("data", "x86_64", &["data-1-1.noarch"], true),
            ("new", "x86_64", &["new-1-1.x86_64_v2"], true),
            ("libx", "aarch64", &[], true),
            ("lib", "x86_64", &[], false),
        ] {
            assert_eq!(labels(&parse(said, &[name.to_owned()], arch)), wanted, "{name} on {arch}");
            assert_eq!(tells_of(said, name), is_told, "{name}");
        }
        let named = |of| canonical("libx", of, "x86_64");
        assert_eq!(["x86_64", "x86_64_v2", "noarch", "i686"].map(named), ["libx", "libx", "libx", "libx.i686"]);
    }

    #[test]
    fn who_needs_them_is_known_or_an_error() {
        let needs = "error: Failed dependencies:\n\tlibx is needed by (installed) app-1-1.noarch\n";
        let twice = "error: \"libx\" specifies multiple packages:\n  libx-1-1.x86_64\n  libx-1-1.i686\n";
        for (exit, stderr, wanted) in [
            (0, "", Some(0)),
            (1, needs, Some(1)),
            (1, twice, None),
            (1, "error: cannot open Packages database\n", None),
        ] {
            let ran = Ran { argv: vec!["rpm".into()], exit: Some(exit), signal: None };
            let output = Output { stdout: String::new(), stderr: stderr.into(), tail: Vec::new(), ran };
            assert_eq!(who_needs(&output).ok().map(|failures| failures.len()), wanted, "{stderr}");
        }
    }

    #[test]
    fn when_a_key_was_imported() {
        let said = "gpg-pubkey\t(none)\te7c22ce8-6b0ab420\t1700000000\n\
                    gpg-pubkey\t(none)\t707d3dd21c718b3f53059d79237caabe4e375a02-6b0b8803\t1700000001\n";
        for (key, wanted) in [("e7c22ce8", Some("1700000000")), ("4e375a02", Some("1700000001")), ("00000000", None)] {
            assert_eq!(import_of(said, &format!("{KEY}{key}")).as_deref(), wanted, "{key}");
        }
    }

    #[test]
    fn a_lock_goes_by_the_folder_of_the_database() {
        for (said, wanted) in [
            ("error: can't create transaction lock on /var/lib/rpm/.rpm.lock (Resource temporarily unavailable)", true),
            (
                "error: can't create transaction lock on /usr/lib/sysimage/rpm/.rpm.lock (Resource temporarily unavailable)",
                true,
            ),
            ("error: /etc/pki/rpm-gpg/key.asc: key 1 import failed.", false),
        ] {
            assert_eq!(is_locked(said), wanted, "{said}");
        }
    }

    #[test]
    fn who_needs_what_would_go() {
        let said = "error: Failed dependencies:\n\tlibjemalloc.so.2()(64bit) is needed by (installed) other-server-1.0-1.el9.x86_64\n\
                    \tredis >= 6 is needed by (installed) app-2-1.noarch\n";
        let found: Vec<(Vec<&str>, &str)> = failures(said).collect();
        assert_eq!(found, [(vec!["libjemalloc.so.2()(64bit)"], "other-server"), (vec!["redis"], "app")]);
        for (needs, wanted) in [
            ("(httpd or nginx)", &["httpd", "or", "nginx"][..]),
            ("((a if b) or libc.so()(64bit))", &["a", "if", "b", "or", "libc.so()(64bit)"]),
        ] {
            assert_eq!(capabilities(needs), wanted, "{needs}");
        }
    }

    #[test]
    fn keys_are_named_by_the_end_of_their_fingerprint() {
        let fingerprint = "73DABFA4777D4D7032376F409320E5A9E7C22CE8".to_owned();
        assert_eq!(trusted_keys(&[fingerprint]), ["gpg-pubkey-e7c22ce8"]);
    }
}

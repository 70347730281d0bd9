//! Packages: what is installed, what there is to install, and how that changes, by whichever package manager the host has.
//!
//! What is the same for all of them is here; what differs is in the modules `apt` and `dpkg`, `dnf`, `yum` and `zypper`, and `rpm`. Nobody outside of this crate
//! asks which one it is.

mod asked;
pub mod definition;
mod known;
mod logins;
mod names;
mod solution;

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::Result;

use crate::apt::{self, Source};
use crate::dnf;
use crate::facts::PackageManager;
use crate::{Class, Command, Facts, Fault, Host, locks, rpm, yum, zypper};

pub use known::{Known, Package, State};
pub use logins::passwords;
pub(crate) use logins::without_login;
pub use solution::{Archive, Move, Solution};

/// Where apt's own files are.
const APT: &str = "/etc/apt";

/// Is told the pid of every transaction, before it begins: none is ever killed by us, so a later run may have to wait for it.
pub type Survivor<'a> = dyn Fn(u32) -> Result<()> + 'a;

/// What looks after packages on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// apt and dpkg.
    Apt,
    /// dnf and rpm.
    Dnf,
    /// yum before it became another name of dnf, and rpm.
    Yum,
    /// zypper and rpm.
    Zypper,
}

/// Where the index of a repository is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The files that define the repository: it is fetched for what stands in them.
    pub definition: Vec<PathBuf>,
    /// The part of it that is not there, in words, if one is not.
    pub missing: Option<String>,
    /// Files that are written anew whenever it is fetched.
    pub fetched: Vec<PathBuf>,
}

/// A repository that the host's package manager is told to use, whoever told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file that says so.
    pub file: PathBuf,
    /// Where its index begins, without a login in it.
    pub url: String,
    /// Is that only a list of mirrors, so that more hosts than this one have to be reached?
    pub is_list: bool,
    /// Is it asked in a way of its own (a certificate to show, a CA, a proxy, a login), so that nobody but its package manager can tell whether
    /// it is reached?
    pub own_way: bool,
}

/// Where a proxy is kept for a package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyPlace {
    /// In files of its own: its settings, and logins, which root alone reads.
    Files(&'static str, &'static str),
    /// As `proxy` of the section `main` of this file, which everybody may read.
    Setting(&'static str),
    /// In this file, which is the administrator's.
    Administrators(&'static str),
}

/// What there is to do about a repository's address whose host is gone for good; none where that is not known.
pub fn gone(url: &str) -> Option<&'static str> {
    rpm::said::mirrors_are_gone(url)
}

impl Host {
    /// What looks after this host's packages. A host that has none of these managers is not supported, and has no packages.
    pub fn packages(&self) -> Manager {
        Manager::of(&self.facts).unwrap_or(Manager::Apt)
    }
}

/// How far a transaction is, told while it goes on. Only apt tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment<'a> {
    /// Everything is fetched, and the first package is in hand.
    Fetched,
    /// This package is configured, and dpkg goes on with others.
    Installed(&'a str),
}

impl Manager {
    /// That of a host; none where it is not one of these.
    pub fn of(facts: &Facts) -> Option<Self> {
        match facts.package_manager? {
            PackageManager::Apt => Some(Manager::Apt),
            PackageManager::Dnf => Some(Manager::Dnf),
            PackageManager::Yum => Some(Manager::Yum),
            PackageManager::Zypper => Some(Manager::Zypper),
            _ => None,
        }
    }

    /// Its name, which is also that of its package.
    pub fn name(self) -> &'static str {
        match self {
            Manager::Apt => "apt",
            Manager::Dnf => "dnf",
            Manager::Yum => "yum",
            Manager::Zypper => "zypper",
        }
    }

    /// The program that is called.
    pub fn program(self) -> &'static str {
        match self {
            Manager::Apt => "apt-get",
            Manager::Dnf => "dnf",
            Manager::Yum => "yum",
            Manager::Zypper => "zypper",
        }
    }

    /// What installs one package, and is what may be interrupted.
    pub fn installer(self) -> &'static str {
        match self {
            Manager::Apt => "dpkg",
            Manager::Dnf | Manager::Yum | Manager::Zypper => "rpm",
        }
    }

    /// The command that installs the package `name` once more, for who has to do it by hand.
    pub fn reinstall(self, name: &str) -> String {
        match self {
            Manager::Apt => format!("apt-get install --reinstall {name}"),
            Manager::Dnf => format!("dnf reinstall {name}"),
            Manager::Yum => format!("yum reinstall {name}"),
            Manager::Zypper => format!("zypper install --force {name}"),
        }
    }

    /// The command that brings a configuration file of the package `name` again that somebody removed.
    pub fn bring_again(self, name: &str) -> String {
        match self {
            Manager::Apt => format!("apt-get install --reinstall -o Dpkg::Options::=--force-confmiss {name}"),
            Manager::Dnf | Manager::Yum | Manager::Zypper => self.reinstall(name),
        }
    }

    /// The command that shows which versions of the package `name` there are, and why one of them is taken.
    pub fn versions_of(self, name: &str) -> String {
        match self {
            Manager::Apt => format!("apt-cache policy {name}"),
            Manager::Dnf => format!("dnf list --showduplicates {name}"),
            Manager::Yum => format!("yum list --showduplicates {name}"),
            Manager::Zypper => format!("zypper search --details --match-exact {name}"),
        }
    }

    /// What installing `names` would do, without recommended packages. Changes nothing.
    ///
    /// # Errors
    /// Class `package`, where there is no way (the solver's own words are the evidence), or only one that removes or downgrades a
    /// package.
    pub fn simulate(self, host: &Host, names: &[String]) -> Result<Solution> {
        let solution = match self {
            Manager::Apt => apt::simulate(host, names),
            Manager::Dnf => dnf::DNF.simulate(host, names),
            Manager::Yum => yum::YUM.simulate(host, names),
            Manager::Zypper => zypper::simulate(host, names),
        }?;
        solution.refuse_losses(names)?;
        Ok(solution)
    }

    /// Names of the packages that would go if `names` went.
    ///
    /// # Errors
    /// Class `package`, where there is no way.
    pub fn simulate_removal(self, host: &Host, names: &[String]) -> Result<Vec<String>> {
        match self {
            Manager::Apt => apt::simulate_removal(host, names),
            Manager::Dnf => dnf::DNF.simulate_removal(host, names),
            Manager::Yum => yum::YUM.simulate_removal(host, names),
            Manager::Zypper => zypper::simulate_removal(host, names),
        }
    }

    /// Installs `names` in one transaction, without recommended packages, without removing or downgrading anything, and tells `watch` how
    /// far it is. Services of `deny` are not started by their packages. An interrupted transaction is finished first.
    ///
    /// # Errors
    /// Class `package` where a package or its script fails, with its words; `disk`, `memory`, `http`, `dns`, `proxy`, `tls` or
    /// `repository` where the package manager's words tell that; `locked` where another process holds a lock.
    pub fn install(
        self,
        host: &Host,
        names: &[String],
        deny: &[String],
        survivor: &Survivor<'_>,
        watch: &dyn Fn(Moment<'_>),
    ) -> Result<()> {
        match self {
            Manager::Apt => apt::install(host, names, deny, survivor, watch),
            // No package starts a service there, and nothing is done meanwhile.
            Manager::Dnf => dnf::DNF.install(host, names, survivor),
            Manager::Yum => yum::YUM.install(host, names, survivor),
            Manager::Zypper => zypper::install(host, names, survivor),
        }
    }

    /// Fetches what [`Manager::install`] would install, and changes nothing.
    ///
    /// # Errors
    /// As [`Manager::install`].
    pub fn download(self, host: &Host, names: &[String], survivor: &Survivor<'_>) -> Result<()> {
        match self {
            Manager::Apt => apt::download(host, names, survivor),
            Manager::Dnf => dnf::DNF.download(host, names),
            Manager::Yum => yum::YUM.download(host, names),
            Manager::Zypper => zypper::download(host, names),
        }
    }

    /// Is a second transaction cheap enough that services come up in between? The others compute longer than that takes.
    pub fn installs_in_turns(self) -> bool {
        self == Manager::Apt
    }

    /// What it lacks to fetch by https: the path of a program, and the package that brings it. apt of before 1.5 has it apart.
    pub fn lacks_https(self) -> Option<(&'static str, &'static str)> {
        const METHOD: &str = "/usr/lib/apt/methods/https";
        match self {
            Manager::Apt => (!Path::new(METHOD).exists()).then_some((METHOD, "apt-transport-https")),
            Manager::Dnf | Manager::Yum | Manager::Zypper => None,
        }
    }

    /// Does it pay to fetch what a second transaction needs while the first is at work?
    ///
    /// # Errors
    /// Where the host's repositories or apt's configuration cannot be read.
    pub fn fetches_ahead(self, host: &Host) -> Result<bool> {
        match self {
            Manager::Apt => apt::fetching_ahead_pays(host),
            Manager::Dnf | Manager::Yum | Manager::Zypper => Ok(false),
        }
    }

    /// Fetches those of `archives` that are not there, beside a transaction. Where that fails, the transaction that needs them fetches them. It
    /// ends with this process.
    pub fn fetch_ahead(self, host: &Host, archives: Vec<Archive>) -> JoinHandle<()> {
        let runner = host.runner.clone();
        std::thread::spawn(move || match self {
            Manager::Apt => apt::fetch_ahead(&runner, &archives),
            Manager::Dnf | Manager::Yum | Manager::Zypper => (),
        })
    }

    /// Removes `names`, with their configuration where `purge`. Whatever else would be removed with them goes too: look with
    /// [`Manager::simulate_removal`] first.
    ///
    /// # Errors
    /// As [`Manager::install`].
    pub fn remove(self, host: &Host, names: &[String], purge: bool, survivor: &Survivor<'_>) -> Result<()> {
        match self {
            Manager::Apt => apt::remove(host, names, purge, survivor),
            // What is configuration goes with the package, and what somebody changed stays, under another name.
            Manager::Dnf => dnf::DNF.remove(host, names, survivor),
            Manager::Yum => yum::YUM.remove(host, names, survivor),
            Manager::Zypper => zypper::remove(host, names, survivor),
        }
    }

    /// Finishes what an interrupted transaction left. Packages of `going` are about to be removed, and are left as they are where they
    /// can be removed so. Services of `deny` are not started. Does nothing where there is nothing to finish.
    ///
    /// # Errors
    /// Class `package` where something is left; `locked` where another process holds a lock.
    pub fn finish(self, host: &Host, going: &[String], deny: &[String], survivor: &Survivor<'_>) -> Result<()> {
        match self {
            Manager::Apt => apt::finish(host, going, deny, survivor),
            Manager::Dnf => dnf::DNF.finish(host, going, survivor),
            Manager::Yum => yum::YUM.finish(host, going, survivor),
            Manager::Zypper => zypper::finish(host, going, survivor),
        }
    }

    /// Is `error` about an index that is older than what the servers offer, so that fetching it anew can help?
    pub fn is_stale_index(self, error: &anyhow::Error) -> bool {
        let Some(fault) = Fault::find(error) else { return false };
        match self {
            Manager::Apt => apt::is_stale_index(fault.class, &fault.evidence),
            Manager::Dnf => dnf::is_stale_index(fault.class, &fault.evidence),
            Manager::Yum => yum::is_stale_index(fault.class, &fault.evidence),
            Manager::Zypper => zypper::is_stale_index(fault.class, &fault.evidence),
        }
    }

    /// Fetches the index of all repositories, and makes sure that it did for those that are called `ours`.
    ///
    /// # Errors
    /// Where one of ours is missing afterwards, or there is no index of any repository at all: of the class that the package manager's
    /// complaints tell (`dns`, `http`, `proxy`, `tls`, `repository`, `conflict`, `disk`). Class `locked` where another process holds a
    /// lock.
    pub fn update(self, host: &Host, ours: &[String]) -> Result<()> {
        match self {
            Manager::Apt => {
                let sources: Result<Vec<Source>> =
                    ours.iter().filter_map(|name| Source::defined(name).transpose()).collect();
                apt::update(host, &sources?)
            }
            Manager::Dnf => dnf::update(host, ours),
            Manager::Yum => yum::update(host, ours),
            Manager::Zypper => zypper::update(host, ours),
        }
    }

    /// Is there the index of any repository?
    pub fn has_any_index(self) -> bool {
        match self {
            Manager::Apt => apt::has_any(Path::new(apt::LISTS)),
            Manager::Dnf => dnf::has_any(),
            Manager::Yum => yum::has_any(),
            Manager::Zypper => zypper::has_any(),
        }
    }

    /// The index of our repository `name`; none where it is not defined.
    ///
    /// # Errors
    /// Where its definition or the folder of the index cannot be read.
    pub fn index(self, name: &str) -> Result<Option<Index>> {
        match self {
            Manager::Apt => Source::defined(name)?.map(|source| source.index(Path::new(apt::LISTS))).transpose(),
            Manager::Dnf => Ok(dnf::index(name)),
            Manager::Yum => Ok(yum::index(name)),
            Manager::Zypper => Ok(zypper::index(name)),
        }
    }

    /// Removes the index of our repository `name`; says how many files that were. Where it is not defined, its index goes by itself.
    ///
    /// # Errors
    /// Class `locked` where another process holds a lock; where a file cannot be removed.
    pub fn remove_index(self, host: &Host, name: &str) -> Result<usize> {
        match self {
            Manager::Apt => {
                let Some(source) = Source::defined(name)? else { return Ok(0) };
                locks::wait_free(&host.runner, &locks::INDEX, locks::limit())?;
                source.remove_lists(Path::new(apt::LISTS))
            }
            Manager::Dnf => dnf::remove_index(host, name),
            Manager::Yum => yum::remove_index(host, name),
            Manager::Zypper => zypper::remove_index(host, name),
        }
    }

    /// Files that define repositories and that only root may read: what is in them, [`Manager::repositories`] does not tell.
    pub fn hidden_definitions(self) -> Vec<PathBuf> {
        match self {
            Manager::Apt => apt::hidden(Path::new(APT)),
            Manager::Dnf | Manager::Yum => rpm::repos::hidden(Path::new(rpm::definition::FOLDER)),
            Manager::Zypper => rpm::repos::hidden(Path::new(zypper::FOLDER)),
        }
    }

    /// Every repository that the host has.
    ///
    /// # Errors
    /// Where a file that defines some cannot be read.
    pub fn repositories(self, host: &Host) -> Result<Vec<Entry>> {
        match self {
            Manager::Apt => Ok(apt::seen(Path::new(APT))?.iter().map(apt::Entry::told).collect()),
            Manager::Dnf => dnf::repositories(host),
            Manager::Yum => yum::repositories(host),
            Manager::Zypper => zypper::repositories(host),
        }
    }

    /// Where a proxy is kept for it.
    pub fn proxy_place(self) -> ProxyPlace {
        match self {
            Manager::Apt => {
                ProxyPlace::Files("/etc/apt/apt.conf.d/95surefoot-proxy", "/etc/apt/auth.conf.d/95surefoot-proxy.conf")
            }
            Manager::Dnf => ProxyPlace::Setting(dnf::SETTINGS),
            Manager::Yum => ProxyPlace::Setting(yum::SETTINGS),
            Manager::Zypper => ProxyPlace::Administrators(zypper::PROXY),
        }
    }

    /// Files of dnf's or yum's settings, of which a later one counts more.
    pub(crate) fn settings(self) -> Vec<PathBuf> {
        match self {
            Manager::Dnf => dnf::settings(),
            Manager::Yum => vec![yum::SETTINGS.into()],
            Manager::Apt | Manager::Zypper => Vec::new(),
        }
    }

    /// Which options beside a proxy of [`ProxyPlace::Setting`] the host has that are a login: it goes to any proxy that is named there.
    pub fn proxy_login_options(self) -> Vec<&'static str> {
        rpm::repos::login_options(&self.settings())
    }

    /// The file in which it is told a proxy by the host's own settings; none where it is told none.
    pub fn own_proxy(self) -> Option<PathBuf> {
        match self.proxy_place() {
            ProxyPlace::Files(..) => apt::own_proxy(Path::new(APT)),
            ProxyPlace::Setting(_) => rpm::repos::own_proxy(&self.settings()).map(|proxy| proxy.file),
            ProxyPlace::Administrators(file) => zypper::own_proxy(Path::new(file)),
        }
    }

    /// Locks that somebody else holds, each with the holder. Only root may ask.
    ///
    /// # Errors
    /// Where a lock cannot be asked about.
    pub fn held_locks(self) -> Result<Vec<(String, locks::Holder)>> {
        let paths: Vec<&str> = match self {
            Manager::Apt => [&locks::TRANSACTION[..], &locks::INDEX[..]].concat(),
            Manager::Dnf => dnf::LOCKS.to_vec(),
            Manager::Yum => yum::LOCKS.to_vec(),
            Manager::Zypper => zypper::LOCKS.to_vec(),
        };
        let mut held = Vec::new();
        for path in paths {
            held.extend(locks::holder(Path::new(path))?.map(|holder| (path.to_owned(), holder)));
        }
        Ok(held)
    }

    /// What stands at `url`, fetched the way that packages are: with their proxies and certificates.
    ///
    /// # Errors
    /// Where it cannot be fetched: class `dns`, `http`, `proxy`, `tls` or `disk`.
    pub fn fetch(self, host: &Host, url: &str) -> Result<Vec<u8>> {
        match self {
            Manager::Apt => apt::fetch(host, url),
            Manager::Dnf | Manager::Yum | Manager::Zypper => rpm::fetch(host, url),
        }
    }

    /// Is the configuration file `path` one that a package brought, and as it brought it?
    ///
    /// # Errors
    /// Class `package`, where that cannot be told.
    pub fn is_as_packaged(self, host: &Host, path: &str) -> Result<bool> {
        let ask = match self {
            Manager::Apt => Command::new("dpkg-query").args(["--search", path]),
            Manager::Dnf | Manager::Yum | Manager::Zypper => {
                Command::new("rpm").args(["--query", "--queryformat", "%{NAME}: ", "--file", path])
            }
        };
        let output = ask.data().output(&host.runner)?;
        let Some((name, _)) = output.stdout.split_once(": ").filter(|_| output.ok()) else { return Ok(false) };
        let output = Command::new(self.installer()).args(["--verify", name]).output(&host.runner)?;
        // Exits with 1 where it found a difference.
        if !matches!(output.ran.exit, Some(0 | 1)) {
            let message = format!("{} does not say whether files of {name} were changed", self.installer());
            return Err(output
                .fault(Class::Package, message)
                .advice(format!("see what `{} --verify {name}` says", self.installer()))
                .into());
        }
        Ok(!tells_change(&output.stdout, path))
    }
}

/// Does a line of `--verify` name `path`? (`??5?????? c /etc/x`, or `missing   c /etc/x`)
fn tells_change(verified: &str, path: &str) -> bool {
    verified.lines().any(|line| line.split_once(" c ").is_some_and(|(_, named)| named.trim_start() == path))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_said_of_changed_files() {
        let path = "/etc/nginx/sites-available/default";
        for (said, changed) in [
            ("", false),
            ("??5?????? c /etc/nginx/sites-available/default\n", true),
            ("missing   c /etc/nginx/sites-available/default\n", true),
            ("??5?????? c /etc/nginx/nginx.conf\n", false),
            ("??5?????? c /etc/nginx/sites-available/default.old\n", false),
        ] {
            assert_eq!(tells_change(said, path), changed, "{said}");
        }
    }
}

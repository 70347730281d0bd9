//! dnf 4 and dnf 5: the index, what the solver answers, and what they say. Transactions are those of [`Program`], which yum has in common.
//!
//! Options are those of dnf(8) and dnf.conf(5), queries those of rpm(8). Packages of these distributions start no service by themselves,
//! so nothing is held back while they are installed.

mod asked;
mod index;
mod said;
mod solver;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::packages::Entry;
use crate::packages::definition::{Definition, Part};
use crate::rpm::{LOCK, Program, definition, repos};
use crate::{Command, Host};

pub use crate::rpm::definition::{definition_path, keyring_path, rival};
pub use asked::{asked_for, unmark};
pub use index::{has_any, index, remove_index, update};
pub use said::is_stale_index;

/// Its settings.
pub const SETTINGS: &str = "/etc/dnf/dnf.conf";

/// What dnf and rpm take: pid files of dnf 4, files that dnf 5 locks (Fedora has the first elsewhere), and rpm's own lock.
pub const LOCKS: [&str; 7] = [
    "/var/cache/dnf/metadata_lock.pid",
    "/var/cache/dnf/download_lock.pid",
    "/var/lib/dnf/rpmdb_lock.pid",
    "/var/lib/dnf/system-repo.lock",
    "/usr/lib/sysimage/libdnf5/system-repo.lock",
    "/run/dnf/rpmtransaction.lock",
    LOCK,
];

/// Folders of settings besides, of dnf 5: it reads these first, and the distribution's before the host's (dnf5.conf(5)).
const MORE_SETTINGS: [&str; 2] = ["/usr/share/dnf5/libdnf.conf.d", "/etc/dnf/libdnf5.conf.d"];

/// Folders of what counts more than a repository's own section, of dnf 5, as `dnf config-manager setopt` writes it.
const OVERRIDES: [&str; 2] = ["/usr/share/dnf5/repos.override.d", "/etc/dnf/repos.override.d"];

/// Where variables have their values, a file each.
const VARIABLES: &str = "/etc/dnf/vars";

/// What is not read as it is in a login, and what it is called.
const MARKS: [(char, &str); 2] = [('$', "dollar"), ('\\', "backslash")];

/// What dnf looks for among the packages to know its release.
const RELEASE: &str = "system-release(releasever)";

/// dnf's exit code where another process holds its lock.
const LOCKED: i32 = 200;

/// What asks rpm here.
pub const DNF: Program = Program {
    name: "dnf",
    locks: &LOCKS,
    is_locked: |output| output.ran.exit == Some(LOCKED),
    options,
    // What is excluded it would not see, and be done: many exclude what they do not want to be upgraded.
    to_remove: &["--setopt=excludepkgs=", "--setopt=includepkgs="],
    takes_epochs: true,
    ask: solver::ask,
    fault: |host, output, message| Ok(said::fault_of_packages(host, output, message)),
};

/// The files that define a repository. What is asked for by name is meant, whichever stream of a module the distribution has switched on; and
/// from it, not from another that has the name, too, while it fails.
///
/// In a login variables take the place of `$name`, whose names are the host's, and newer ones take `\` for an escape, which older ones do not know.
/// So both of these are variables of ours where they are in it: what stands in one is not read once more.
pub fn parts(of: &Definition) -> Vec<Part> {
    let mut variables = Vec::new();
    let mut of = of.clone();
    if let Some(login) = &mut of.login {
        let marks: Vec<char> = login.user.chars().chain(login.password.chars()).collect();
        for (mark, what) in MARKS {
            if marks.contains(&mark) {
                let path = Path::new(VARIABLES).join(variable(&of.name, what));
                variables.push(Part { name: what, path, text: format!("{mark}\n"), is_secret: false });
            }
        }
        for text in [&mut login.user, &mut login.password] {
            *text = text.chars().map(|mark| written(&of.name, mark)).collect();
        }
    }
    variables.extend(definition::parts(&of, "module_hotfixes=1\nskip_if_unavailable=0\n"));
    variables
}

/// A character of a login so that it is read as it is.
fn written(name: &str, mark: char) -> String {
    let known = MARKS.iter().find(|(known, _)| *known == mark);
    known.map_or_else(|| mark.to_string(), |(_, what)| format!("${{{}}}", variable(name, what)))
}

/// The variable of repository `name` that stands for `what`: variables have letters, digits and `_` in their names, repositories more than that.
fn variable(name: &str, what: &str) -> String {
    let name = name.replace(|mark: char| !mark.is_ascii_alphanumeric(), "_");
    format!("{name}_{what}")
}

/// Every repository of `host` that is switched on.
///
/// # Errors
/// Where a file that defines some cannot be read.
pub fn repositories(host: &Host) -> Result<Vec<Entry>> {
    let release = release(host)?;
    repos::repositories(&host.facts, &release, Path::new(definition::FOLDER), &overrides(), Path::new(VARIABLES))
}

/// What stands for `$releasever` in addresses.
fn release(host: &Host) -> Result<String> {
    let format = "%{VERSION}\n[%{PROVIDENAME} %{PROVIDEVERSION}\n]";
    let query = Command::new("rpm").args(["-q", "--qf", format, "--whatprovides", RELEASE]);
    let said = query.data().output(&host.runner)?.stdout;
    Ok(told_release(&said)
        .unwrap_or_else(|| host.facts.major.map_or(host.facts.version.clone(), |major| major.to_string())))
}

/// What the package that says which release it is says of it: on Amazon Linux 2023 more than the major version, as its repositories have a folder
/// for each state. Without a version of its own that of the package is meant.
fn told_release(said: &str) -> Option<String> {
    let told = |line: &str| line.strip_prefix(RELEASE).map(|version| version.trim().to_owned());
    let version = said.lines().find_map(told)?;
    Some(if version.is_empty() { said.lines().next()?.to_owned() } else { version })
}

/// Is it dnf 5? It goes by the same name, and has other words.
fn is_five() -> bool {
    Path::new("/usr/bin/dnf").canonicalize().is_ok_and(|path| path.ends_with("dnf5"))
}

/// Files of its settings, of which a later one counts more.
pub fn settings() -> Vec<PathBuf> {
    // A folder that cannot be read is dnf's to complain about.
    let more =
        if is_five() { repos::files(&MORE_SETTINGS.map(Path::new), "conf").unwrap_or_default() } else { Vec::new() };
    more.into_iter().chain([SETTINGS.into()]).collect()
}

fn overrides() -> Vec<&'static Path> {
    if is_five() { OVERRIDES.map(Path::new).to_vec() } else { Vec::new() }
}

/// What is the same in every call, whatever the host's settings are. A repository of somebody else's that fails harms nobody; ours say of
/// themselves that they are needed.
const SETTING: [&str; 5] = [
    "install_weak_deps=False",
    "clean_requirements_on_remove=False",
    "exit_on_lock=True",
    "color=never",
    "skip_if_unavailable=True",
];

/// A package of anybody's has its signature checked, whatever its repository says.
const CHECKED: &str = "*.gpgcheck=True";

/// What the sections of our repositories say, which dnf 5 lets others change elsewhere.
const OF_OURS: [&str; 3] = ["repo_gpgcheck=1", "skip_if_unavailable=0", "sslverify=1"];

fn options(host: &Host) -> Vec<String> {
    // The index is looked for where it is when nobody chose another place; and dnf 4 can be told not to say what it refuses.
    let cache = index::cache().display();
    let own = if is_five() {
        // It refuses to set something of all repositories where there is none.
        let folder = Path::new(definition::FOLDER);
        let has_any = repos::names(folder, &overrides()).is_ok_and(|names| !names.is_empty());
        let checked = has_any.then(|| CHECKED.to_owned());
        // Nor does it take a setting of one that it does not find.
        let is_read = !repos::has_other_reposdir(&settings(), folder);
        let ours = if is_read { repos::ours(folder).unwrap_or_default() } else { Vec::new() };
        let of_ours = ours.iter().flat_map(|name| OF_OURS.map(|setting| format!("{name}.{setting}")));
        [format!("system_cachedir={cache}")].into_iter().chain(checked).chain(of_ours).collect()
    } else {
        vec![format!("cachedir={cache}"), "errorlevel=3".to_owned(), CHECKED.to_owned()]
    };
    // What it asks with finds proxies in the environment, and certificates nowhere but here.
    let bundle = host.runner.network().bundle();
    let trusted =
        bundle.iter().flat_map(|bundle| ["sslcacert", "proxy_sslcacert"].map(|option| format!("{option}={bundle}")));
    let settings = SETTING.map(str::to_owned).into_iter().chain(own).chain(trusted);
    settings.map(|setting| format!("--setopt={setting}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Login;

    #[test]
    fn a_login_is_read_as_it_is() {
        let written = |user: &str, password: &str| {
            let login = Some(Login { user: user.into(), password: password.into() });
            let parts = parts(&Definition { name: "a-b.c+d".into(), login, ..Definition::default() });
            let files = parts.iter().map(|part| (part.path.display().to_string(), part.text.clone(), part.is_secret));
            files.collect::<Vec<_>>()
        };
        let plain = written("jo", "p@ss:w/rd#?%{}");
        assert_eq!(plain.len(), 1);
        assert!(plain[0].1.ends_with("\nusername=jo\npassword=p@ss:w/rd#?%{}\n"), "{plain:?}");
        let odd = written("CORP\\jo", "a$basearch");
        assert_eq!(odd[0], ("/etc/dnf/vars/a_b_c_d_dollar".into(), "$\n".into(), false));
        assert_eq!(odd[1], ("/etc/dnf/vars/a_b_c_d_backslash".into(), "\\\n".into(), false));
        let login = "\nusername=CORP${a_b_c_d_backslash}jo\npassword=a${a_b_c_d_dollar}basearch\n";
        assert!(odd[2].1.ends_with(login) && odd[2].2, "{odd:?}");
    }

    #[test]
    fn which_release_its_package_says_it_is() {
        for (said, wanted) in [
            ("no package provides system-release(releasever)\n", None),
            ("9.4\nrocky-release 9.4-1.7.el9\nsystem-release 9.4-1.7.el9\nsystem-release(releasever) 9\n", Some("9")),
            (
                "2023.6.20250107\nsystem-release 2023.6.20250107-0.amzn2023\nsystem-release(releasever) 2023.6.20250107\n",
                Some("2023.6.20250107"),
            ),
            ("43\nfedora-release 43-1\nsystem-release(releasever) \n", Some("43")),
        ] {
            assert_eq!(told_release(said).as_deref(), wanted, "{said}");
        }
    }
}

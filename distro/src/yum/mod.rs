//! yum 3.4, on Enterprise Linux 7 and Amazon Linux 2: the index, what the solver answers, and what it says. Transactions are those of
//! [`Program`], which dnf has in common.
//!
//! Options are those of yum(8) and yum.conf(5). Packages of these distributions start no service by themselves, so nothing is held back while they
//! are installed.

mod index;
mod said;
mod solver;

use std::path::Path;

use anyhow::Result;

use crate::Host;
use crate::command::Output;
use crate::network::Login;
use crate::packages::Entry;
use crate::packages::definition::{Definition, Part};
use crate::rpm::{LOCK, Program, definition, repos};

pub use crate::rpm::definition::{definition_path, keyring_path, rival};
pub use index::{has_any, index, remove_index, update};
pub use said::is_stale_index;

/// Its settings.
pub const SETTINGS: &str = "/etc/yum.conf";

/// What yum and rpm take: a file with the pid of the yum at work, and rpm's own lock.
pub const LOCKS: [&str; 2] = ["/var/run/yum.pid", LOCK];

/// What is the same in every call, whatever the host's settings are: decisions are told one a line from this level on.
const OPTIONS: [&str; 3] = ["--debuglevel=2", "--errorlevel=2", "--color=never"];

/// The same as settings: who is locked out says so and ends; nothing goes that nobody needs any more; no file is kept of what was only asked; names
/// that nobody has are an error.
const SETTING: [&str; 4] =
    ["exit_on_lock=1", "clean_requirements_on_remove=0", "autosavets=0", "skip_missing_names_on_install=0"];

/// What asks rpm here.
pub const YUM: Program = Program {
    name: "yum",
    locks: &LOCKS,
    is_locked,
    options,
    // What is excluded is what could be installed, and nothing else.
    to_remove: &[],
    // With one it would have to be told every architecture.
    takes_epochs: false,
    ask: solver::ask,
    fault: solver::fault,
};

/// What a repository says of itself where others may do without it.
const PASSED_OVER: &str = "skip_if_unavailable";

/// What no login may have in it: it stands for another setting of the section, and is looked for until there is none left.
pub const UNWRITABLE: &str = "%(";

/// The files that define a repository. What is asked for is meant from it, and not from another that has the name, too, while it fails.
///
/// A login does not stand in the address, percent-encoded: yum notes where a file is from (`user.xdg.origin.url`), for everybody to read.
pub fn parts(of: &Definition) -> Vec<Part> {
    let written =
        of.login.as_ref().map(|Login { user, password }| Login { user: written(user), password: written(password) });
    let dollar = if written == of.login { "" } else { "dollar=$\n" };
    definition::parts(&Definition { login: written, ..of.clone() }, &format!("{PASSED_OVER}=0\n{dollar}"))
}

/// `text` so that it is read as it is: in every line variables take the place of `$name`, and later settings of the section that of `%(name)s`. Where
/// there is one of these, `%%` is a `%`; where there is none, it is two.
fn written(text: &str) -> String {
    if text.contains('$') { text.replace('%', "%%").replace('$', "%(dollar)s") } else { text.to_owned() }
}

/// Every repository of `host` that is switched on.
///
/// # Errors
/// Where a file that defines some cannot be read.
pub fn repositories(host: &Host) -> Result<Vec<Entry>> {
    let major = host.facts.major.map_or(host.facts.version.clone(), |major| major.to_string());
    // The version of the package that says which release it is.
    let release = if ["rhel", "ol"].contains(&host.facts.os.as_str()) { format!("{major}Server") } else { major };
    repos::repositories(&host.facts, &release, Path::new(definition::FOLDER), &[], Path::new("/etc/yum/vars"))
}

fn options(host: &Host) -> Vec<String> {
    // What it asks with finds proxies in the environment, and certificates nowhere but here.
    let trusted = host.runner.network().bundle().map(|bundle| format!("sslcacert={bundle}"));
    let settings = SETTING.map(str::to_owned).into_iter().chain(trusted).chain(of_each());
    let settings = settings.map(|setting| format!("--setopt={setting}"));
    OPTIONS.map(str::to_owned).into_iter().chain(settings).collect()
}

/// Settings of single repositories: yum knows these by their whole names, and not of all together. One of somebody else's that fails harms nobody; ours,
/// and those that an administrator decided about, say that themselves. A package of anybody's has its signature checked.
fn of_each() -> Vec<String> {
    let folder = Path::new(definition::FOLDER);
    // A folder that cannot be read is yum's to complain about.
    let silent = repos::without(folder, PASSED_OVER).unwrap_or_default();
    let all = repos::names(folder, &[]).unwrap_or_default();
    let passed_over = silent.into_iter().map(|name| format!("{name}.{PASSED_OVER}=1"));
    passed_over.chain(all.into_iter().map(|name| format!("{name}.gpgcheck=1"))).collect()
}

/// It tells by words alone that another process holds its lock.
fn is_locked(output: &Output) -> bool {
    // Of a transaction both streams are one.
    [&output.stdout, &output.stderr].iter().any(|said| said.contains("is currently holding the yum lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_read_as_it_is() {
        let text = |password: &str| {
            let login = Some(Login { user: "jo".into(), password: password.into() });
            parts(&Definition { name: "lab".into(), login, ..Definition::default() }).remove(0).text
        };
        for (password, line, dollar) in [
            ("p@ss:w/rd#?%", "password=p@ss:w/rd#?%\n", false),
            ("100%%s", "password=100%%s\n", false),
            ("a$basearch", "password=a%(dollar)sbasearch\n", true),
            ("%25$", "password=%%25%(dollar)s\n", true),
        ] {
            let text = text(password);
            assert!(text.contains(&format!("\nusername=jo\n{line}")), "{text}");
            assert_eq!(text.contains("\ndollar=$\n"), dollar, "{text}");
        }
    }
}

//! Users and groups, as every child sees them.
//!
//! A name or number is looked up in `/etc/passwd` and `/etc/group` first, without a process, and only what is not there is asked of
//! `getent`, which also knows LDAP, sssd and systemd's own. That is what `files` as first word of a line in nsswitch.conf means, and
//! no distribution ships another order; on a host where somebody put another source first *and* the same name has another number
//! there, the local one wins here. Root is root without any look. Where there is no `getent`, the local files are all there is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use crate::failure::{Class, Fault, io_fault};
use crate::{Command, Host, Look, find_program};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric id.
    pub uid: u32,
    /// Numeric id of the primary group.
    pub gid: u32,
    /// Home folder.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

impl User {
    /// Is this user in `group`, as a member or by primary group?
    pub fn is_in(&self, group: &Group) -> bool {
        self.gid == group.gid || group.members.contains(&self.name)
    }
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Numeric id.
    pub gid: u32,
    /// Names of its members (those it is the primary group of are not listed here).
    pub members: Vec<String>,
}

/// A kind of account: where it is listed and how.
trait Account: Clone {
    const DATABASE: &'static str;
    const FILE: &'static str;
    fn parse(line: &str) -> Option<Self>;
    fn name(&self) -> &str;
    fn id(&self) -> u32;
    fn root() -> Self;
}

impl Account for User {
    const DATABASE: &'static str = "passwd";
    const FILE: &'static str = "/etc/passwd";

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        Some(Self {
            name: local_name(name)?,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.to_owned(),
            shell: shell.to_owned(),
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        self.uid
    }

    fn root() -> Self {
        let home = "/root".to_owned();
        Self { name: "root".to_owned(), uid: 0, gid: 0, home, shell: "/bin/sh".to_owned() }
    }
}

impl Account for Group {
    const DATABASE: &'static str = "group";
    const FILE: &'static str = "/etc/group";

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else { return None };
        let members = members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Some(Self { name: local_name(name)?, gid: gid.parse().ok()?, members })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> u32 {
        self.gid
    }

    fn root() -> Self {
        Self { name: "root".to_owned(), gid: 0, members: Vec::new() }
    }
}

/// Lines of NIS (`+`, `-name`) name nobody.
fn local_name(name: &str) -> Option<String> {
    (!name.is_empty() && !name.starts_with(['+', '-'])).then(|| name.to_owned())
}

impl Look<'_> {
    /// The user called `name`; none where there is none.
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn user(&self, name: &str) -> Result<Option<User>> {
        one(self.host, &self.users, name, |user| user.name == name)
    }

    /// The group called `name`; none where there is none.
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn group(&self, name: &str) -> Result<Option<Group>> {
        one(self.host, &self.groups, name, |group| group.name == name)
    }

    /// Name of the user with this number, or the number where nobody has it.
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn user_name(&self, uid: u32) -> Result<String> {
        let key = uid.to_string();
        Ok(one(self.host, &self.users, &key, |user| user.uid == uid)?.map_or(key, |user| user.name))
    }

    /// Name of the group with this number, or the number where nobody has it.
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn group_name(&self, gid: u32) -> Result<String> {
        let key = gid.to_string();
        Ok(one(self.host, &self.groups, &key, |group| group.gid == gid)?.map_or(key, |group| group.name))
    }

    /// Number of a user given by name, or by a number that nobody's name goes with (as [`Look::user_name`] gives it).
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn uid(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.user(name)?.map(|user| user.uid).or_else(|| name.parse().ok()))
    }

    /// Number of a group given by name, or by a number that no name goes with.
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn gid(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.group(name)?.map(|group| group.gid).or_else(|| name.parse().ok()))
    }

    /// Who calls: the user who called sudo, else the one whose process this is. None where that is root, nobody that the host knows, or somebody
    /// without a home of their own.
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn caller(&self) -> Result<Option<User>> {
        let name = match std::env::var("SUDO_USER") {
            Ok(name) if self.host.root => name,
            _ => self.user_name(nix::unistd::getuid().as_raw())?,
        };
        let at_home = |user: &User| user.home != "/" && Path::new(&user.home).is_dir();
        Ok(self.user(&name)?.filter(|user| user.uid != 0 && at_home(user)))
    }

    /// Looks up many names at once: what the local files do not know costs one process for all users and one for all groups.
    ///
    /// # Errors
    /// Class `host`, where the host cannot say.
    pub fn prefetch_accounts<'n>(
        &self,
        users: impl IntoIterator<Item = &'n str>,
        groups: impl IntoIterator<Item = &'n str>,
    ) -> Result<()> {
        fetch(self.host, &self.users, users)?;
        fetch(self.host, &self.groups, groups)
    }
}

type Cache<T> = RefCell<HashMap<String, Option<T>>>;

/// The account that `fits`, asking for `key` where it is not known yet.
fn one<T: Account>(host: &Host, cache: &Cache<T>, key: &str, fits: impl Fn(&T) -> bool) -> Result<Option<T>> {
    fetch(host, cache, [key])?;
    let cache = cache.borrow();
    let by_key = cache.get(key).into_iter().flatten();
    Ok(by_key.chain(cache.values().flatten()).find(|account| fits(account)).cloned())
}

/// Learns what there is to know about `keys` (names or numbers).
fn fetch<'k, T: Account>(host: &Host, cache: &Cache<T>, keys: impl IntoIterator<Item = &'k str>) -> Result<()> {
    let mut cache = cache.borrow_mut();
    if cache.is_empty() {
        let text = match std::fs::read(T::FILE) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io_fault(&error, "read", T::FILE.as_ref()).into()),
        };
        cache.insert("root".to_owned(), Some(T::root()));
        for account in text.lines().filter_map(T::parse) {
            // Of two lines with the same name or number the C library takes the first.
            cache.entry(account.id().to_string()).or_insert_with(|| Some(account.clone()));
            if account.name() == "root" {
                cache.insert("root".to_owned(), Some(account));
            } else {
                cache.entry(account.name().to_owned()).or_insert(Some(account));
            }
        }
        cache.entry("0".to_owned()).or_insert_with(|| Some(T::root()));
    }
    // What looks like an option is no name, and not every getent knows `--`.
    let named = keys.into_iter().filter(|key| !key.is_empty() && !key.starts_with('-'));
    let unknown: Vec<&str> = named.filter(|key| !cache.contains_key(*key)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let answers = if find_program("getent").is_some() { ask::<T>(host, &unknown)? } else { Vec::new() };
    for account in answers {
        cache.insert(account.id().to_string(), Some(account.clone()));
        cache.insert(account.name().to_owned(), Some(account));
    }
    for key in unknown {
        cache.entry(key.to_owned()).or_insert(None);
    }
    Ok(())
}

/// Asks `getent`: exit 0 when it found all, 2 when some are not there.
fn ask<T: Account>(host: &Host, keys: &[&str]) -> Result<Vec<T>> {
    let output = Command::new("getent").arg(T::DATABASE).args(keys.iter().copied()).data().output(&host.runner)?;
    match output.ran.exit {
        Some(0 | 2) => Ok(output.stdout.lines().filter_map(T::parse).collect()),
        _ => Err(output
            .fault(Class::Host, format!("cannot look up {} '{}'", T::DATABASE, keys.join("', '")))
            .advice("check /etc/nsswitch.conf and what it names, then run again with --resume")
            .into()),
    }
}

/// A user to be made.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// Login name.
    pub name: &'a str,
    /// Name of the primary group, which must be there.
    pub group: &'a str,
    /// A number from the range for services?
    pub system: bool,
    /// Home folder, which is not made here.
    pub home: Option<&'a str>,
    /// Login shell.
    pub shell: Option<&'a str>,
}

/// Makes a user.
///
/// # Errors
/// Class `host`.
pub fn create_user(host: &Host, user: &NewUser<'_>) -> Result<()> {
    let mut command = Command::new("useradd").args(["-M", "-N", "-g", user.group]);
    if user.system {
        command = command.arg("-r");
    }
    if let Some(home) = user.home {
        command = command.args(["-d", home]);
    }
    if let Some(shell) = user.shell {
        command = command.args(["-s", shell]);
    }
    let doing = format!("making user {}", user.name);
    command.args(["--", user.name]).run(&host.runner, Class::Host, &doing).map(drop)
}

/// Makes a group.
///
/// # Errors
/// Class `host`.
pub fn create_group(host: &Host, name: &str, system: bool) -> Result<()> {
    let mut command = Command::new("groupadd");
    if system {
        command = command.arg("-r");
    }
    command.args(["--", name]).run(&host.runner, Class::Host, &format!("making group {name}")).map(drop)
}

/// Makes a group that was there before, with the number that it had.
///
/// # Errors
/// Class `host`.
pub fn create_group_again(host: &Host, name: &str, number: u32) -> Result<()> {
    let number = number.to_string();
    let command = Command::new("groupadd").args(["-g", &number, "--", name]);
    command.run(&host.runner, Class::Host, &format!("making group {name} again")).map(drop)
}

/// Gives a user another login shell.
///
/// # Errors
/// Class `host`.
pub fn set_shell(host: &Host, user: &str, shell: &str) -> Result<()> {
    let command = Command::new("usermod").args(["-s", shell, "--", user]);
    command.run(&host.runner, Class::Host, &format!("changing the shell of user {user}")).map(drop)
}

/// Gives a user another home folder, without moving anything.
///
/// # Errors
/// Class `host`.
pub fn set_home(host: &Host, user: &str, home: &str) -> Result<()> {
    let output = Command::new("usermod").args(["-d", home, "--", user]).output(&host.runner)?;
    if output.ok() {
        return Ok(());
    }
    let fault = output.fault(Class::Host, format!("the home of user {user} cannot be changed to {home}"));
    Err(fault.advice(format!("where processes of {user} run, stop them; then run again with --resume")).into())
}

/// Adds a user to a group.
///
/// # Errors
/// Class `host`.
pub fn join_group(host: &Host, user: &str, group: &str) -> Result<()> {
    let command = Command::new("usermod").args(["-a", "-G", group, "--", user]);
    command.run(&host.runner, Class::Host, &format!("adding user {user} to group {group}")).map(drop)
}

/// Takes a user out of a group. The group must be local.
///
/// # Errors
/// Class `host`.
pub fn leave_group(host: &Host, user: &str, group: &str) -> Result<()> {
    let command = Command::new("gpasswd").args(["-d", user, group]);
    command.run(&host.runner, Class::Host, &format!("taking user {user} out of group {group}")).map(drop)
}

/// Removes a user; the home folder stays. False where there is none any more.
///
/// # Errors
/// Class `host`, where a process still runs as this user, too.
pub fn delete_user(host: &Host, name: &str) -> Result<bool> {
    delete(host, Command::new("userdel").args(["--", name]), &format!("removing user {name}"))
}

/// Removes a group. False where there is none any more.
///
/// # Errors
/// Class `host`, where it is a user's primary group, too.
pub fn delete_group(host: &Host, name: &str) -> Result<bool> {
    delete(host, Command::new("groupdel").args(["--", name]), &format!("removing group {name}"))
}

/// Both programs exit with 6 where there is no such account.
fn delete(host: &Host, command: Command<'_>, doing: &str) -> Result<bool> {
    let output = command.output(&host.runner)?;
    match output.ran.exit {
        Some(0) => Ok(true),
        Some(6) => Ok(false),
        _ => {
            let said = output.tail.last().map_or("it does not say why", String::as_str);
            let fault: Fault = output.fault(Class::Host, format!("{doing} failed: {said}"));
            Err(fault.advice("stop what still uses it, then run again with --resume").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_passwd_and_group() {
        let cases = [
            ("redis:x:103:112::/var/lib/redis:/usr/sbin/nologin", Some(("redis", 103, 112))),
            ("root:x:0:0:root:/root:/bin/bash", Some(("root", 0, 0))),
            ("+::::::", None),
            ("-eve:x:1:1:::", None),
            ("short:x:1", None),
            ("big:x:99999999999:1:::", None),
            ("", None),
        ];
        for (line, expected) in cases {
            let user = User::parse(line);
            assert_eq!(user.as_ref().map(|user| (user.name.as_str(), user.uid, user.gid)), expected, "{line}");
        }
        let group = Group::parse("adm:x:4:syslog,eve").unwrap();
        assert_eq!((group.gid, group.members), (4, vec!["syslog".to_owned(), "eve".to_owned()]));
        assert_eq!(Group::parse("redis:x:112:").unwrap().members, Vec::<String>::new());
    }

    fn cache(users: &[(&str, u32)]) -> Cache<User> {
        let user = |name: &str, uid| User { name: name.to_owned(), uid, ..User::root() };
        let known = users.iter().map(|(name, uid)| ((*name).to_owned(), Some(user(name, *uid))));
        RefCell::new(known.chain([("gone".to_owned(), None), ("77".to_owned(), None)]).collect())
    }

    #[test]
    fn what_is_cached_is_not_asked_again() {
        let host = crate::files::tests::host();
        let cache = cache(&[("sssd-user", 5000)]);
        assert_eq!(one(&host, &cache, "sssd-user", |user| user.name == "sssd-user").unwrap().unwrap().uid, 5000);
        assert_eq!(one(&host, &cache, "gone", |user| user.name == "gone").unwrap(), None);
        assert_eq!(one(&host, &cache, "77", |user| user.uid == 77).unwrap(), None);
    }

    #[test]
    fn root_and_local_accounts_by_name_and_number() {
        let host = crate::files::tests::host();
        let look = Look::new(&host);
        assert_eq!(look.user("root").unwrap().unwrap().uid, 0);
        assert_eq!(look.user_name(0).unwrap(), "root");
        assert_eq!(look.group_name(0).unwrap(), "root");
        assert_eq!(look.gid("root").unwrap(), Some(0));
    }

    #[test]
    fn accounts_that_do_not_exist() {
        let host = crate::files::tests::host();
        let look = Look::new(&host);
        look.prefetch_accounts(["no-such-a", "no-such-b"], ["no-such-c"]).unwrap();
        assert_eq!(look.user("no-such-a").unwrap(), None);
        assert_eq!(look.uid("no-such-b").unwrap(), None);
        assert_eq!(look.gid("no-such-c").unwrap(), None);
        // A number that nobody has is still a number.
        assert_eq!(look.user_name(3_999_999).unwrap(), "3999999");
        assert_eq!(look.uid("3999999").unwrap(), Some(3_999_999));
        // Found by number is not found by name.
        assert_eq!(look.user("0").unwrap(), None);
    }
}

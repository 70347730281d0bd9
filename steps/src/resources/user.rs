//! A user, its home and its groups.

use std::path::Path;

use anyhow::Result;
use distro::Look;
use distro::accounts::{self, NewUser};
use distro::files::{self, Kind, Meta, Seen};
use serde_json::Value;

use super::{group, paths};
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

/// Items of the changes, and what the names of memberships start with.
const OWN_GROUP: &str = "own group";
const USER: &str = "user";
const HOME: &str = "home";
const SHELL: &str = "shell";
const FOLDER: &str = "home folder";
const OWNER: &str = "owner of home";
const MEMBER: &str = "group ";

/// A user with a primary group of the same name. Of one that is there already only what is named here is changed.
#[derive(Clone, Debug)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Does a new one get a number from the range for services?
    pub system: bool,
    /// Home folder.
    pub home: Option<String>,
    /// Login shell.
    pub shell: Option<String>,
    /// Groups to be a member of, besides others. They must be there.
    pub groups: Vec<String>,
    /// Is the home folder made (empty: nothing of /etc/skel)? Then `home` is named.
    pub create_home: bool,
    /// When it is its turn.
    pub stage: Stage,
}

impl User {
    /// A user for a service, who is in no other group and cannot log in, in stage configure.
    pub fn system(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            system: true,
            home: None,
            shell: None,
            groups: Vec::new(),
            create_home: false,
            stage: Stage::Configure,
        }
    }

    /// Login shell of a new user: a service has none.
    fn new_shell(&self) -> Option<&str> {
        self.shell.as_deref().or(self.system.then_some("/usr/sbin/nologin"))
    }

    /// The home folder's path, where it is to be made.
    fn folder(&self) -> Option<&str> {
        self.home.as_deref().filter(|_| self.create_home)
    }

    /// What is not as wanted with the account itself.
    fn account(&self, cx: &Cx<'_>) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        let Some(user) = cx.look.user(&self.name)? else {
            // A home that stays is theirs: the next user or group to get their numbers would get it, too.
            let data = self.folder().is_some();
            let own = cx.look.group(&self.name)?;
            if own.is_none() {
                changes.push(Change { data, ..group::create(OWN_GROUP, &self.name) });
            }
            let undo = Undo::RemoveUser { name: self.name.clone(), group: own.map(|group| group.gid) };
            changes.push(Change { data, ..Change::new(USER, format!("create user {}", self.name), undo) });
            return Ok(changes);
        };
        let name = self.name.clone();
        if let Some(home) = self.home.as_ref().filter(|home| **home != user.home) {
            let summary = format!("home {} -> {home}", user.home);
            let undo = Undo::RestoreHome { user: name.clone(), home: user.home };
            changes.push(Change { wrote: Some(home.clone().into_bytes()), ..Change::new(HOME, summary, undo) });
        }
        if let Some(shell) = self.shell.as_ref().filter(|shell| **shell != user.shell) {
            let summary = format!("shell {} -> {shell}", user.shell);
            let undo = Undo::RestoreShell { user: name, shell: user.shell };
            changes.push(Change { wrote: Some(shell.clone().into_bytes()), ..Change::new(SHELL, summary, undo) });
        }
        Ok(changes)
    }
}

impl Resource for User {
    fn sort(&self) -> &'static str {
        "user"
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        let account = format!("{:?} {:?}", self.home, self.shell).into_bytes();
        let member =
            |group: &String| Claim { thing: format!("member:{}:{group}", self.name), wants: b"member".to_vec() };
        let mut claims = vec![Claim { thing: format!("user:{}", self.name), wants: account }, group::claim(&self.name)];
        claims.extend(self.groups.iter().map(member));
        claims
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        cx.look.prefetch_accounts([self.name.as_str()], self.groups.iter().map(String::as_str))?;
        let mut changes = self.account(cx)?;
        for name in &self.groups {
            let Some(group) = cx.look.group(name)? else { return Ok(Probe::Pending(format!("group {name}"))) };
            if !cx.look.user(&self.name)?.is_some_and(|user| user.is_in(&group)) {
                let undo = Undo::LeaveGroup { user: self.name.clone(), group: name.clone() };
                changes.push(Change::new(format!("{MEMBER}{name}"), format!("add to group {name}"), undo));
            }
        }
        if let Some(home) = self.folder() {
            if let Some(folder) = files::missing_folder(Path::new(home))? {
                return Ok(Probe::Pending(format!("folder {}", folder.display())));
            }
            match files::stat(cx.look, Path::new(home))? {
                None => {
                    let undo = Undo::RemoveFolder { path: home.to_owned() };
                    changes.push(Change { data: true, ..Change::new(FOLDER, format!("create {home}"), undo) });
                }
                // It was made for a user of that name who had another number.
                Some(Seen { kind: Kind::Folder, meta })
                    if meta.owner != self.name && cx.memory.has_made(cx.id, FOLDER) =>
                {
                    let summary = format!("owner of {home}: {} -> {}", meta.owner, self.name);
                    changes.push(Change::new(OWNER, summary, Undo::Nothing));
                }
                Some(_) => {}
            }
        }
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        for change in changes {
            match (change.item.as_str(), &self.home, &self.shell) {
                (OWN_GROUP, ..) => accounts::create_group(cx.host, &self.name, self.system)?,
                (USER, home, _) => {
                    let (home, shell) = (home.as_deref(), self.new_shell());
                    let user = NewUser { name: &self.name, group: &self.name, system: self.system, home, shell };
                    accounts::create_user(cx.host, &user)?;
                }
                (HOME, Some(home), _) => accounts::set_home(cx.host, &self.name, home)?,
                (SHELL, _, Some(shell)) => accounts::set_shell(cx.host, &self.name, shell)?,
                (item @ (FOLDER | OWNER), Some(home), _) => {
                    // The user may have been made a moment ago.
                    let look = Look::new(cx.host);
                    let group = look.user(&self.name)?.map(|user| look.group_name(user.gid)).transpose()?;
                    let seen = files::stat(&look, Path::new(home))?.filter(|_| item == OWNER);
                    let mode = seen.map_or(if self.system { 0o755 } else { 0o700 }, |seen| seen.meta.mode);
                    let meta = Meta::new(mode, &self.name, group.unwrap_or_else(|| self.name.clone()));
                    files::make_dir(&look, Path::new(home), &meta)?;
                }
                (item, ..) => {
                    if let Some(group) = item.strip_prefix(MEMBER) {
                        accounts::join_group(cx.host, &self.name, group)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A user was made: removed; the home folder has an undo of its own. The group of its name stays, where it was there before (`group`, its number).
pub(crate) fn undo_remove(cx: &UndoCx<'_>, name: &str, group: Option<u32>) -> Result<Undone> {
    let had = cx.look.group(name)?.map(|group| group.gid);
    let removed = cx.look.user(name)?.is_some() && accounts::delete_user(cx.host, name)?;
    // userdel takes a group of the user's name along, where nobody else is in it.
    if let Some(number) = group.and_then(|number| had.or(cx.going.then_some(number)))
        && Look::new(cx.host).group(name)?.is_none()
    {
        accounts::create_group_again(cx.host, name, number)?;
    }
    Ok(if removed { Undone::Done(format!("removed user {name}")) } else { Undone::Gone })
}

/// A user was given another home folder: the old one is put back, unless somebody changed it since.
pub(crate) fn undo_home(cx: &UndoCx<'_>, user: &str, home: &str) -> Result<Undone> {
    match cx.look.user(user)? {
        None => Ok(Undone::Gone),
        Some(found) if found.home == home => Ok(Undone::Gone),
        Some(found) if !cx.is_ours(found.home.as_bytes()) => Ok(paths::changed(format!("home of user {user}"))),
        Some(_) => {
            accounts::set_home(cx.host, user, home)?;
            Ok(Undone::Done(format!("set home of user {user} back to {home}")))
        }
    }
}

/// A user was given another login shell: the old one is put back, unless somebody changed it since.
pub(crate) fn undo_shell(cx: &UndoCx<'_>, user: &str, shell: &str) -> Result<Undone> {
    match cx.look.user(user)? {
        None => Ok(Undone::Gone),
        Some(found) if found.shell == shell => Ok(Undone::Gone),
        Some(found) if !cx.is_ours(found.shell.as_bytes()) => Ok(paths::changed(format!("shell of user {user}"))),
        Some(_) => {
            accounts::set_shell(cx.host, user, shell)?;
            Ok(Undone::Done(format!("set shell of user {user} back to {shell}")))
        }
    }
}

/// A user was added to a group: taken out.
pub(crate) fn undo_leave(cx: &UndoCx<'_>, user: &str, group: &str) -> Result<Undone> {
    let member = |found: distro::accounts::Group| found.members.iter().any(|member| member == user);
    if !cx.look.group(group)?.is_some_and(member) {
        return Ok(Undone::Gone);
    }
    accounts::leave_group(cx.host, user, group)?;
    Ok(Undone::Done(format!("took user {user} out of group {group}")))
}

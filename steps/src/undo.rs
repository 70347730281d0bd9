//! How changes are taken back.
//!
//! A closed vocabulary: the journal holds these, and a journal of an older version must stay readable. Fields may be added
//! with a default; names and meanings never change.

use anyhow::Result;
use distro::files::Meta;
use serde::{Deserialize, Serialize};

use crate::resources::{
    acme_certificate, ca, command, directory, fetched_keyring, firewall, group, index, main_servers, mongodb_user,
    paths, postgresql, rabbitmq, selinux, service, setting, symlink, top_block, user,
};

/// One way to take a change back. Each tolerates that the thing is gone already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum Undo {
    /// A file or symlink was made: remove it, unless somebody changed it since.
    RemoveFile {
        /// Absolute path.
        path: String,
    },
    /// A keyring was fetched: remove it, unless somebody put other keys there since.
    RemoveKeyring {
        /// Absolute path.
        path: String,
        /// Fingerprints of the keys that may be in ours.
        fingerprints: Vec<String>,
    },
    /// A certificate was given by an authority, and renewed by it since: remove it, unless it is one for another key.
    RemoveCertificate {
        /// Absolute path.
        path: String,
        /// Path of its key.
        key: String,
        /// Folder for the authority to look in, with nothing else in it.
        webroot: String,
    },
    /// A file was changed: put its original back (content, mode, owner), unless somebody changed it since.
    RestoreFile {
        /// Absolute path.
        path: String,
        /// Name of the original below `originals/`, set by the engine when it saved it.
        #[serde(default)]
        original: String,
        /// Permission bits.
        mode: u32,
        /// Owner's name.
        owner: String,
        /// Group's name.
        group: String,
    },
    /// A symlink was changed or removed: make it point to what it did.
    RestoreSymlink {
        /// Absolute path.
        path: String,
        /// What it pointed to.
        target: String,
    },
    /// Mode or owner was changed: put them back.
    RestoreAttributes {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Owner's name.
        owner: String,
        /// Group's name.
        group: String,
    },
    /// A folder was made: remove it where it is empty (with everything in it, where it is data and `--purge` was given).
    RemoveFolder {
        /// Absolute path.
        path: String,
    },
    /// A key of a configuration file was set: put its line back, or take it out, unless somebody changed it since.
    RestoreKey {
        /// Absolute path of the file.
        path: String,
        /// How the file is written.
        format: crate::KeyFormat,
        /// INI section, empty outside sections.
        section: String,
        /// Key.
        key: String,
        /// Name of the saved line below `originals/`, set by the engine; none where the key was not there.
        #[serde(default)]
        original: Option<String>,
        /// Was the section made for it? Then it goes, too, once it is empty.
        #[serde(default)]
        made_section: bool,
        /// Are other lines with the same key none of ours?
        #[serde(default)]
        repeat: bool,
    },
    /// Lines were put at the top of a file: take them out, unless somebody changed them since.
    RemoveBlock {
        /// Absolute path of the file.
        path: String,
        /// Tells the lines from other blocks of the file.
        name: String,
    },
    /// Lines of a file were made comments: take the mark off that they begin with.
    RestoreLines {
        /// Absolute path of the file.
        path: String,
        /// What they begin with.
        mark: String,
    },
    /// A line of a file was changed: put back what was there, unless somebody changed it since.
    RestoreLine {
        /// Absolute path of the file.
        path: String,
        /// The line as we left it.
        line: String,
        /// What was there.
        original: String,
    },
    /// A database was made in a cluster of PostgreSQL: drop it.
    RemoveDatabase {
        /// Major version of the cluster.
        version: String,
        /// Name of the cluster.
        cluster: String,
        /// Database.
        name: String,
    },
    /// A role was made in a cluster of PostgreSQL: drop it, unless something is still its.
    RemoveRole {
        /// Major version of the cluster.
        version: String,
        /// Name of the cluster.
        cluster: String,
        /// Role.
        name: String,
    },
    /// A database of somebody else's in a cluster of PostgreSQL was given to a role: give it back, unless it has another owner by now.
    RestoreDatabaseOwner {
        /// Major version of the cluster.
        version: String,
        /// Name of the cluster.
        cluster: String,
        /// Database.
        name: String,
        /// The role that it was given to.
        role: String,
        /// Whose it was.
        owner: String,
    },
    /// A user was made in RabbitMQ: delete it.
    RemoveBrokerUser {
        /// Name.
        name: String,
    },
    /// A virtual host was made in RabbitMQ: delete it with everything in it.
    RemoveBrokerVhost {
        /// Name.
        name: String,
    },
    /// Packages were installed that were not there: remove them.
    RemovePackage {
        /// Name, with architecture where it is a foreign one.
        name: String,
        /// Did it come only because another of the transaction needs it? Then it stays where somebody has asked for it since.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dependency: bool,
        /// Was something of it there before that its purge takes with it, its configuration or its data? Then it is never purged.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        remains: bool,
    },
    /// Packages that were installed were removed again, and their configuration and data were kept: purge what is left of them.
    PurgePackage {
        /// Name, with architecture where it is a foreign one.
        name: String,
    },
    /// A user was made: remove it.
    RemoveUser {
        /// Login name.
        name: String,
        /// Number of the group of that name, where it was there before: it stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<u32>,
    },
    /// A group was made: remove it.
    RemoveGroup {
        /// Name.
        name: String,
    },
    /// A user was given another home folder: put the old one back into its entry, unless somebody changed it since.
    RestoreHome {
        /// Login name.
        user: String,
        /// Home folder.
        home: String,
    },
    /// A user was given another login shell: put the old one back, unless somebody changed it since.
    RestoreShell {
        /// Login name.
        user: String,
        /// Login shell.
        shell: String,
    },
    /// A user was added to a group: take it out.
    LeaveGroup {
        /// Login name.
        user: String,
        /// Group.
        group: String,
    },
    /// Certificates were added to the distribution's store: let it forget those whose files are gone.
    RefreshCaStore,
    /// A unit was enabled or disabled: put that back.
    UnitEnabled {
        /// Unit.
        unit: String,
        /// Was it enabled?
        enabled: bool,
    },
    /// A unit was started or stopped: put that back.
    UnitRunning {
        /// Unit.
        unit: String,
        /// Did it run?
        running: bool,
    },
    /// A running unit was given another configuration: let it take up what is there after everything else was undone.
    UnitReload {
        /// Unit.
        unit: String,
        /// Does it read some of that at its start only?
        #[serde(default)]
        restart: bool,
    },
    /// A repository's lists were fetched: remove them.
    RemoveLists {
        /// Name of the repository.
        repository: String,
    },
    /// A user was made in a MongoDB server, or given a role: drop the user, or take the role away.
    MongodbUser {
        /// Address and port of the server.
        addr: String,
        /// File with the URL that its administrator logs in with.
        admin: String,
        /// Database that the user is of.
        database: String,
        /// Name of the user.
        name: String,
        /// The role and its database; none where the user was made.
        #[serde(default)]
        role: Option<(String, String)>,
    },
    /// A user of a MongoDB server, who had the administrator's password, was given one of its own: it gets the administrator's again.
    MongodbPassword {
        /// Address and port of the server.
        addr: String,
        /// File with the URL that its administrator logs in with.
        admin: String,
        /// Database that the user is of.
        database: String,
        /// Name of the user.
        name: String,
        /// Keyed digest of that password: the administrator may have another one by now.
        had: String,
    },
    /// firewalld was told to let a TCP port through: it is shut again, unless it is by now.
    ClosePort {
        /// Zone of firewalld.
        zone: String,
        /// Port.
        port: u16,
        /// Is it about what holds after a reload, and not about what holds now?
        kept: bool,
    },
    /// A boolean of SELinux's policy was set: put its value back.
    SelinuxBoolean {
        /// Name.
        name: String,
        /// Was it on?
        on: bool,
    },
    /// A TCP port was given a type in SELinux's policy: give it back what it had, unless somebody changed it since.
    SelinuxPort {
        /// Port.
        port: u16,
        /// The type that somebody had given it; none where it had that of the policy.
        sort: Option<String>,
    },
    /// A rule of SELinux's policy was made for a folder: take it back, unless somebody changed it since.
    SelinuxRule {
        /// Absolute path of the folder.
        folder: String,
    },
    /// A command was run; this one takes it back.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// It was looked at, waited for or written once more, and left nothing behind.
    Nothing,
    /// Nothing takes it back, or nothing needs to; says why, for the list of what is kept.
    Kept {
        /// Why.
        why: String,
    },
}

impl Undo {
    /// Says under which name the original was kept.
    pub fn set_original(&mut self, name: String) {
        match self {
            Undo::RestoreFile { original, .. } => *original = name,
            Undo::RestoreKey { original, .. } => *original = Some(name),
            _ => {}
        }
    }

    /// The file whose content, or a part of it, this is about.
    pub fn content_of(&self) -> Option<&str> {
        match self {
            Undo::RemoveFile { path }
            | Undo::RemoveKeyring { path, .. }
            | Undo::RemoveCertificate { path, .. }
            | Undo::RestoreFile { path, .. }
            | Undo::RestoreKey { path, .. }
            | Undo::RemoveBlock { path, .. }
            | Undo::RestoreLines { path, .. }
            | Undo::RestoreLine { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// What an undo may look at.
pub struct UndoCx<'a> {
    /// The host.
    pub host: &'a distro::Host,
    /// One look at the host.
    pub look: &'a distro::Look<'a>,
    /// Key of the stored digests.
    pub key: &'a [u8],
    /// Keyed digests of everything that we ever wrote there ([`crate::Change::wrote`]): anything else was written by somebody
    /// else.
    pub wrote: &'a [String],
    /// Gives an original back by its name.
    pub original: &'a dyn Fn(&str) -> Result<Vec<u8>>,
    /// Was `--purge` given, and is this data?
    pub purge_data: bool,
    /// Was `--purge` given?
    pub purge: bool,
    /// Was this begun before, with nothing said of what came of it?
    pub going: bool,
    /// Does something stay that we wrote into the file in hand, or that another resource wants there?
    pub content_stays: bool,
}

impl UndoCx<'_> {
    /// Did we write `bytes`?
    pub fn is_ours(&self, bytes: &[u8]) -> bool {
        self.wrote.contains(&crate::digest(self.key, bytes))
    }
}

/// What came of an undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It was taken back; says what was done.
    Done(String),
    /// A package was removed, and its configuration and data stay until a purge; says what was done.
    Removed(String),
    /// There was nothing left to take back.
    Gone,
    /// It stays; says why.
    Kept(String),
}

/// Takes a change back.
///
/// # Errors
/// Where it cannot be taken back, of the class of what is in the way.
pub fn undo(cx: &UndoCx<'_>, undo: &Undo) -> Result<Undone> {
    match undo {
        Undo::RemoveFile { path } => paths::undo_remove(cx, path),
        Undo::RemoveKeyring { path, fingerprints } => fetched_keyring::undo(path, fingerprints),
        Undo::RemoveCertificate { path, key, webroot } => acme_certificate::undo(path, key, webroot),
        Undo::RestoreFile { path, original, mode, owner, group } => {
            paths::undo_restore(cx, path, original, &Meta::new(*mode, owner, group))
        }
        Undo::RestoreSymlink { path, target } => symlink::undo_restore(cx, path, target),
        Undo::RestoreAttributes { path, mode, owner, group } => {
            paths::undo_attributes(cx, path, &Meta::new(*mode, owner, group))
        }
        Undo::RemoveFolder { path } => directory::undo_remove(cx, path),
        Undo::RestoreKey { path, format, section, key, original, made_section, repeat } => {
            let spot = setting::Spot { format: *format, section, key, repeat: *repeat };
            setting::undo_restore(cx, path, spot, original.as_deref(), *made_section)
        }
        Undo::RemoveBlock { path, name } => top_block::undo_remove(cx, path, name),
        Undo::RestoreLines { path, mark } => main_servers::undo_restore(cx, path, mark),
        Undo::RestoreLine { path, line, original } => main_servers::undo_line(cx, path, line, original),
        Undo::RemoveDatabase { version, cluster, name } => {
            postgresql::undo_drop(cx, version, cluster, "database", name)
        }
        Undo::RemoveRole { version, cluster, name } => postgresql::undo_drop(cx, version, cluster, "role", name),
        Undo::RestoreDatabaseOwner { version, cluster, name, role, owner } => {
            postgresql::undo_owner(cx, version, cluster, name, (role, owner))
        }
        Undo::RemoveBrokerUser { name } => rabbitmq::undo_user(cx, name),
        Undo::RemoveBrokerVhost { name } => rabbitmq::undo_vhost(cx, name),
        Undo::RemoveUser { name, group } => user::undo_remove(cx, name, *group),
        Undo::RemoveGroup { name } => group::undo_remove(cx, name),
        Undo::RestoreHome { user, home } => user::undo_home(cx, user, home),
        Undo::RestoreShell { user, shell } => user::undo_shell(cx, user, shell),
        Undo::LeaveGroup { user, group } => user::undo_leave(cx, user, group),
        Undo::MongodbUser { addr, admin, database, name, role } => {
            mongodb_user::undo(addr, admin, database, name, role.as_ref())
        }
        Undo::MongodbPassword { addr, admin, database, name, had } => {
            mongodb_user::undo_password(cx, addr, admin, (database, name), had)
        }
        Undo::ClosePort { zone, port, kept } => firewall::undo_close(cx, zone, *port, *kept),
        Undo::SelinuxBoolean { name, on } => selinux::undo_boolean(cx, name, *on),
        Undo::SelinuxPort { port, sort } => selinux::undo_port(cx, *port, sort.as_deref()),
        Undo::SelinuxRule { folder } => selinux::undo_rule(cx, folder),
        Undo::Command { argv } => command::undo_run(cx, argv),
        Undo::Nothing => Ok(Undone::Gone),
        Undo::Kept { why } => Ok(Undone::Kept(why.clone())),
        // Done by the engine for all packages in one transaction.
        Undo::RemovePackage { name, .. } | Undo::PurgePackage { name } => {
            anyhow::bail!("package '{name}' goes with all others in one transaction, not by itself")
        }
        Undo::RemoveLists { repository } => index::undo_lists(cx, repository),
        Undo::RefreshCaStore => ca::undo_store(cx),
        Undo::UnitEnabled { unit, enabled } => service::undo_enabled(cx, unit, *enabled),
        Undo::UnitRunning { unit, running } => service::undo_running(cx, unit, *running),
        // Done by the engine for all units at once, after their files were taken back ([`service::take_up`]).
        Undo::UnitReload { .. } => Ok(Undone::Gone),
    }
}

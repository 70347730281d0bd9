//! A user of a MongoDB server: it can log in, and has its roles.
//!
//! The first user of a server is made without a login, which a server with authorization allows from its own host as long as it has no user
//! (the localhost exception). Every other one is made by that first user, the administrator.

mod account;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distro::net::bson::{Document, Value};
use distro::net::{Endpoint, Mongodb, Refusal, Silence};
use distro::{Class, Fault};

use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo, UndoCx, Undone};

pub use account::Account;

/// How long one conversation with the server may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Oldest series of which users are looked after.
pub const OLDEST: &str = "4.2";
/// Where administrators are.
pub const ADMIN_DATABASE: &str = "admin";

/// A role, and the database that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Name.
    pub name: String,
    /// Database.
    pub database: String,
}

/// A user that can log in and has these roles, besides others.
#[derive(Clone)]
pub struct MongodbUser {
    /// Address and port of the server.
    pub addr: String,
    /// Its unit.
    pub unit: String,
    /// The user.
    pub account: Account,
    /// Roles that it has to have.
    pub roles: Vec<Role>,
    /// Who makes it; none for the administrator itself.
    pub admin: Option<Account>,
    /// File with the URL that the administrator logs in with. It is written after the administrator was made, so that it still has the
    /// password that the server knows when another one is wanted.
    pub admin_file: String,
}

impl fmt::Debug for MongodbUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The passwords are nobody's business.
        f.debug_tuple("MongodbUser").field(&self.key()).finish()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.database)
    }
}

impl Role {
    fn document(&self) -> Document {
        Document::default().with("role", self.name.as_str()).with("db", self.database.as_str())
    }
}

/// What a server has to say against a user that is wanted.
enum Found {
    /// It logs in; these roles are missing.
    Lacks(Vec<Role>),
    /// There is none.
    Nobody,
    /// It has another password, and lacks these roles; with the keyed digest of that password, where it is the administrator's.
    OtherPassword { had: Option<String>, lacks: Vec<Role> },
    /// The administrator is not there yet.
    NoAdmin,
}

impl MongodbUser {
    fn connect(&self) -> Result<Mongodb, Silence> {
        let address = self.addr.parse().map_err(|_| Silence::Other(format!("'{}' is no address", self.addr)))?;
        Mongodb::connect(&Endpoint::Tcp(address), LIMIT)
    }

    /// Logs in on a connection of its own.
    fn login(&self, account: &Account) -> Result<Result<Mongodb, Refusal>> {
        let mut server = self.connect().map_err(|silence| self.silent(&silence))?;
        let said = server.login(&account.database, &account.name, &account.password);
        Ok(said.map_err(|silence| self.silent(&silence))?.map(|()| server))
    }

    fn silent(&self, silence: &Silence) -> Fault {
        Fault::new(silence.class(), format!("MongoDB at {} does not answer: {silence}", self.addr)).advice(format!(
            "see `systemctl status {}` and /var/log/mongodb/mongod.log, then run again with --resume",
            self.unit
        ))
    }

    /// A fault of what the server refuses.
    fn refused(&self, what: &str, refusal: &Refusal) -> Fault {
        let class = if refusal.code == Refusal::LOGIN || refusal.code == Refusal::UNAUTHORIZED {
            Class::Login
        } else {
            Class::Service
        };
        let advice = if refusal.code == Refusal::UNAUTHORIZED {
            format!(
                "its administrator '{}' lacks that right: let another one who has it grant it (`db.grantRolesToUser`), or, where nobody has it, \
                 grant it while {} runs without security.authorization, then run again with --resume",
                self.admin.as_ref().unwrap_or(&self.account).name,
                self.unit
            )
        } else {
            "see what it names, mend it, then run again with --resume".to_owned()
        };
        Fault::new(class, format!("MongoDB at {} does not {what}", self.addr))
            .evidence([format!("it says: {} (code {})", refusal.message, refusal.code)])
            .advice(advice)
    }

    fn ask(&self, server: &mut Mongodb, what: &str, database: &str, command: Document) -> Result<Document> {
        let said = server.command(database, command).map_err(|silence| self.silent(&silence))?;
        said.map_err(|refusal| self.refused(what, &refusal).into())
    }

    /// The roles of ours that are not in the list `roles`.
    fn lacking(&self, roles: &[&Document]) -> Vec<Role> {
        let has = |role: &Role| {
            roles.iter().any(|had| had.text("role") == Some(&role.name) && had.text("db") == Some(&role.database))
        };
        self.roles.iter().filter(|role| !has(role)).cloned().collect()
    }

    fn look(&self, cx: &Cx<'_>) -> Result<Found> {
        let refusal = match self.login(&self.account)? {
            Ok(mut server) => {
                let status = Document::default().with("connectionStatus", 1);
                let said = self.ask(&mut server, "say who is logged in", ADMIN_DATABASE, status)?;
                let roles = said.document("authInfo").map(|info| info.documents("authenticatedUserRoles"));
                return Ok(Found::Lacks(self.lacking(&roles.unwrap_or_default())));
            }
            Err(refusal) if refusal.code == Refusal::LOGIN => refusal,
            Err(refusal) => return Err(self.refused(&format!("let '{}' log in", self.account.name), &refusal).into()),
        };
        let Some(admin) = &self.admin else { return self.look_without_login(&refusal) };
        let Ok(mut server) = self.login(admin)? else { return Ok(Found::NoAdmin) };
        let who = Document::default().with("usersInfo", self.account.name.as_str());
        let said = self.ask(&mut server, "tell about its users", &self.account.database, who)?;
        Ok(match said.documents("users").first() {
            Some(user) => {
                let as_admin = Account { password: admin.password.clone(), ..self.account.clone() };
                let lacks = self.lacking(&user.documents("roles"));
                let had = self.login(&as_admin)?.is_ok().then(|| cx.digest(admin.password.as_bytes()));
                Found::OtherPassword { had, lacks }
            }
            None => Found::Nobody,
        })
    }

    /// What there is to say of an administrator that cannot log in.
    fn look_without_login(&self, refusal: &Refusal) -> Result<Found> {
        let mut server = self.connect().map_err(|silence| self.silent(&silence))?;
        // Of what the localhost exception allows, the one command that only looks.
        let status = Document::default().with("replSetGetStatus", 1);
        let said = server.command(ADMIN_DATABASE, status).map_err(|silence| self.silent(&silence))?;
        if said.err().is_none_or(|refusal| refusal.code != Refusal::UNAUTHORIZED) {
            return Ok(Found::Nobody);
        }
        if let Some(mut server) = self.with_known_password()? {
            let who = Document::default().with("usersInfo", self.account.name.as_str());
            let said = self.ask(&mut server, "tell about its users", ADMIN_DATABASE, who)?;
            let roles = said.documents("users").first().map(|user| user.documents("roles")).unwrap_or_default();
            return Ok(Found::OtherPassword { had: None, lacks: self.lacking(&roles) });
        }
        let Account { name, .. } = &self.account;
        let file = if Path::new(&self.admin_file).exists() {
            format!("{} has a password that is not right either", self.admin_file)
        } else {
            format!("there is no {} with a password that was right before", self.admin_file)
        };
        Err(Fault::new(Class::Login, format!("MongoDB at {} has users already, and does not let '{name}' log in", self.addr))
            .evidence([format!("it says: {} (code {})", refusal.message, refusal.code), file])
            .advice(format!(
                "give the password of its administrator '{name}', or the name and password of another one, and run again with --resume"
            ))
            .into())
    }

    /// A login of the administrator with the password that it had before, if there is one.
    fn with_known_password(&self) -> Result<Option<Mongodb>> {
        let known = Account::in_file(&self.admin_file)?;
        let Some(known) = known.filter(|known| known.name == self.account.name && *known != self.account) else {
            return Ok(None);
        };
        Ok(self.login(&known)?.ok())
    }

    fn undo(&self, role: Option<&Role>) -> Undo {
        if self.admin.is_none() {
            return Undo::Kept {
                why: format!(
                    "'{}' stays in MongoDB's data: without it nobody could change users there",
                    self.account.name
                ),
            };
        }
        Undo::MongodbUser {
            addr: self.addr.clone(),
            admin: self.admin_file.clone(),
            database: self.account.database.clone(),
            name: self.account.name.clone(),
            role: role.map(|role| (role.name.clone(), role.database.clone())),
        }
    }

    fn changes(&self, found: Found) -> Vec<Change> {
        let grant = |role: Role| Change::new(format!("role {role}"), format!("grant {role}"), self.undo(Some(&role)));
        match found {
            Found::Lacks(roles) => roles.into_iter().map(grant).collect(),
            Found::OtherPassword { had, lacks } => {
                let undo = if let Some(had) = had {
                    Undo::MongodbPassword {
                        had,
                        addr: self.addr.clone(),
                        admin: self.admin_file.clone(),
                        database: self.account.database.clone(),
                        name: self.account.name.clone(),
                    }
                } else {
                    let why = format!("the password that '{}' had in MongoDB before is not known", self.account.name);
                    Undo::Kept { why }
                };
                let password = Change::new("password", "set the password", undo);
                std::iter::once(password).chain(lacks.into_iter().map(grant)).collect()
            }
            Found::Nobody | Found::NoAdmin => {
                let roles: Vec<String> = self.roles.iter().map(Role::to_string).collect();
                vec![Change::new("user", format!("create, with {}", roles.join(", ")), self.undo(None))]
            }
        }
    }

    /// A connection on which users can be changed.
    fn as_admin(&self) -> Result<Mongodb> {
        let admin = self.admin.as_ref().unwrap_or(&self.account);
        let refusal = match self.login(admin)? {
            Ok(server) => return Ok(server),
            Err(refusal) => refusal,
        };
        if self.admin.is_none() {
            if let Some(server) = self.with_known_password()? {
                return Ok(server);
            }
            return Ok(self.connect().map_err(|silence| self.silent(&silence))?);
        }
        Err(self.refused(&format!("let '{}' log in", admin.name), &refusal).into())
    }
}

impl Resource for MongodbUser {
    fn sort(&self) -> &'static str {
        "mongodb_user"
    }

    fn key(&self) -> String {
        format!("{}/{}.{}", self.addr, self.account.database, self.account.name)
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let roles: Vec<String> = self.roles.iter().map(Role::to_string).collect();
        let wants = format!("{} {}", self.account.password, roles.join(" "));
        vec![Claim { thing: format!("mongodb_user:{}", self.key()), wants: wants.into_bytes() }]
    }

    fn units(&self) -> Vec<String> {
        vec![self.unit.clone()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        if !cx.host.root {
            return Ok(Probe::Hidden(format!("the users of MongoDB at {}", self.addr)));
        }
        if !cx.look.unit(&self.unit)?.active {
            return Ok(Probe::Pending(format!("service {}", self.unit)));
        }
        let server = match self.connect() {
            Ok(server) => server,
            // What that means is for the service to say.
            Err(silence) => return Ok(Probe::Pending(format!("an answer of MongoDB at {}: {silence}", self.addr))),
        };
        if let Some(series) = server.older_than(OLDEST) {
            return Err(Fault::new(
                Class::Unsupported,
                format!("MongoDB at {} is of series {series}: {OLDEST} is the oldest that is supported", self.addr),
            )
            .advice("upgrade it, one series after the other as its documentation says, then run again")
            .into());
        }
        let found = self.look(cx)?;
        if matches!(found, Found::NoAdmin) {
            return Ok(Probe::Pending("the administrator of MongoDB".to_owned()));
        }
        let changes = self.changes(found);
        Ok(if changes.is_empty() { Probe::InPlace(serde_json::Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, _: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let mut server = self.as_admin()?;
        let Account { database, name, password } = &self.account;
        let has = |item: &str| changes.iter().any(|change| change.item == item);
        let roles = |roles: &[&Role]| Value::List(roles.iter().map(|role| role.document().into()).collect());
        let mechanisms = Value::List(vec!["SCRAM-SHA-256".into()]);
        if has("user") {
            let create = Document::default()
                .with("createUser", name.as_str())
                .with("pwd", password.as_str())
                .with("roles", roles(&self.roles.iter().collect::<Vec<_>>()))
                .with("mechanisms", mechanisms);
            self.ask(&mut server, &format!("create '{name}'"), database, create)?;
            return Ok(());
        }
        let lacking: Vec<&Role> = self.roles.iter().filter(|role| has(&format!("role {role}"))).collect();
        if !lacking.is_empty() {
            let grant = Document::default().with("grantRolesToUser", name.as_str()).with("roles", roles(&lacking));
            self.ask(&mut server, &format!("grant roles to '{name}'"), database, grant)?;
        }
        if has("password") {
            let update = Document::default()
                .with("updateUser", name.as_str())
                .with("pwd", password.as_str())
                .with("mechanisms", mechanisms);
            self.ask(&mut server, &format!("set the password of '{name}'"), database, update)?;
        }
        Ok(())
    }
}

/// Drops a user, or takes a role away from it. What needs a login that is not to be had is kept, and said.
pub(crate) fn undo(
    addr: &str,
    admin: &str,
    database: &str,
    name: &str,
    role: Option<&(String, String)>,
) -> Result<Undone> {
    let what = role.map_or(format!("user '{name}'"), |(role, _)| format!("role '{role}' of user '{name}'"));
    let command = |_: &Account| {
        Ok(match role {
            None => Document::default().with("dropUser", name),
            Some((role, of)) => {
                let role = Document::default().with("role", role.as_str()).with("db", of.as_str());
                Document::default().with("revokeRolesFromUser", name).with("roles", Value::List(vec![role.into()]))
            }
        })
    };
    command_of_admin(addr, admin, database, (&format!("{what} of MongoDB"), "removed"), command)
}

/// Gives a user the administrator's password, which it had, where that is the same still (`had` is its keyed digest).
pub(crate) fn undo_password(
    cx: &UndoCx<'_>,
    addr: &str,
    admin: &str,
    (database, name): (&str, &str),
    had: &str,
) -> Result<Undone> {
    let what = format!("the password of user '{name}' of MongoDB");
    command_of_admin(addr, admin, database, (&what, "put back"), |admin| {
        if crate::digest(cx.key, admin.password.as_bytes()) != had {
            return Err("the administrator, whose password it had, has another one by now".to_owned());
        }
        Ok(Document::default().with("updateUser", name).with("pwd", admin.password.as_str()))
    })
}

/// Gives the administrator's `command`, and says that `what` was `done`. Where there is none, which says why, or no login is to be had, it is
/// kept.
fn command_of_admin(
    addr: &str,
    admin: &str,
    database: &str,
    (what, done): (&str, &str),
    command: impl Fn(&Account) -> Result<Document, String>,
) -> Result<Undone> {
    let kept = |why: String| Ok(Undone::Kept(format!("{what}: {why}")));
    let Some(account) = Account::in_file(admin)? else { return kept(format!("{admin} has no login")) };
    let Ok(address) = addr.parse() else { return kept(format!("'{addr}' is no address")) };
    let command = match command(&account) {
        Ok(command) => command,
        Err(why) => return kept(why),
    };
    let said = Mongodb::connect(&Endpoint::Tcp(address), LIMIT).and_then(|mut server| {
        Ok(match server.login(&account.database, &account.name, &account.password)? {
            Ok(()) => server.command(database, command)?,
            Err(refusal) => Err(refusal),
        })
    });
    match said {
        Ok(Ok(_)) => Ok(Undone::Done(format!("{done} {what}"))),
        Ok(Err(refusal)) if refusal.code == Refusal::NO_USER => Ok(Undone::Gone),
        Ok(Err(refusal)) => kept(refusal.message),
        Err(silence) => kept(silence.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(admin: bool) -> MongodbUser {
        let account = |name: &str| Account { database: "shop".into(), name: name.into(), password: "hunter2".into() };
        MongodbUser {
            addr: "127.0.0.1:27017".into(),
            unit: "mongod.service".into(),
            account: account("app"),
            roles: vec![
                Role { name: "readWrite".into(), database: "shop".into() },
                Role { name: "read".into(), database: "other".into() },
            ],
            admin: admin.then(|| account("admin")),
            admin_file: "/etc/mongodb/admin.admin".into(),
        }
    }

    #[test]
    fn only_roles_that_are_named_count() {
        let role = |name: &str, database: &str| Role { name: name.into(), database: database.into() }.document();
        let had = [role("readWrite", "shop"), role("read", "shop"), role("dbAdmin", "shop")];
        let lacking = user(true).lacking(&had.iter().collect::<Vec<_>>());
        assert_eq!(lacking.iter().map(Role::to_string).collect::<Vec<_>>(), ["read@other"]);
    }

    #[test]
    fn changes_and_what_takes_them_back() {
        let told = |changes: Vec<Change>| -> Vec<String> {
            changes.iter().map(|change| format!("{}: {}", change.item, change.summary)).collect()
        };
        let roles = user(true).roles;
        assert!(user(true).changes(Found::Lacks(Vec::new())).is_empty());
        assert_eq!(
            told(user(true).changes(Found::Lacks(roles[..1].to_vec()))),
            ["role readWrite@shop: grant readWrite@shop"]
        );
        assert_eq!(told(user(true).changes(Found::Nobody)), ["user: create, with readWrite@shop, read@other"]);
        let changes = user(true).changes(Found::OtherPassword { had: None, lacks: roles[1..].to_vec() });
        assert!(matches!(changes[0].undo, Undo::Kept { .. }));
        assert!(
            matches!(&changes[1].undo, Undo::MongodbUser { role: Some((role, of)), .. } if role == "read" && of == "other")
        );
        assert_eq!(told(changes), ["password: set the password", "role read@other: grant read@other"]);
        // The administrator stays.
        assert!(matches!(user(false).changes(Found::Nobody)[0].undo, Undo::Kept { .. }));
        assert!(!format!("{:?}", user(true)).contains("hunter2"));
    }

    #[test]
    fn who_lacks_a_right_is_told_with_what_gives_it_back() {
        for (admin, name) in [(true, "admin"), (false, "app")] {
            let refusal = |code| Refusal { code, message: "not authorized on admin".into() };
            let fault = user(admin).refused("grant roles to 'app'", &refusal(Refusal::UNAUTHORIZED));
            assert!(
                fault.class == Class::Login && fault.advice.contains(&format!("'{name}' lacks that right")),
                "{fault}"
            );
            let other = user(admin).refused("grant roles to 'app'", &refusal(1)).advice;
            assert_eq!(other, "see what it names, mend it, then run again with --resume");
        }
    }
}

//! Users, virtual hosts and permissions of a RabbitMQ.
//!
//! Looked at and changed over the management API with the administrator's own login, and proven by a login of each user over AMQP. Where
//! the API does not take the administrator any more, `rabbitmqctl` does what is to be done as root, once; it starts an Erlang VM.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use distro::files::{self, Meta};
use distro::net::{Amqp, AmqpLogin, Endpoint, Management, amqp_login, connect};
use distro::{Class, Fault, Host, patience};
use serde_json::{Value, json};

use super::password::{SHA256, hash, is_hash_of};
use super::tool::tool;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Where definitions are put for `rabbitmqctl`, which reads no other file than one that the user `rabbitmq` may read.
const IMPORT: &str = "/etc/rabbitmq/.surefoot-import.json";
/// User and password that every RabbitMQ begins with, where nobody says otherwise.
const GUEST: &str = "guest";
/// The item of what a kill has left of an import.
const LEFTOVER: &str = "leftover";

/// A user.
#[derive(Clone)]
pub struct User {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
    /// What it may do in the management API.
    pub tags: Vec<String>,
    /// Its rights.
    pub permissions: Vec<Permission>,
}

/// Rights in a virtual host: regular expressions of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Where.
    pub vhost: String,
    /// What it may make and delete.
    pub configure: String,
    /// Where it may publish.
    pub write: String,
    /// What it may read.
    pub read: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

/// Users, virtual hosts and permissions that have to be there. Others are left alone.
#[derive(Clone, Debug)]
pub struct Accounts {
    /// The server's unit.
    pub unit: String,
    /// Where its management API is.
    pub management: SocketAddr,
    /// Where AMQP is.
    pub amqp: SocketAddr,
    /// The users; the first is an administrator.
    pub users: Vec<User>,
    /// The virtual hosts.
    pub vhosts: Vec<String>,
}

/// What is there: the lists `users`, `vhosts` and `permissions`, as the API and the tool have them.
#[derive(Clone, Debug, Default)]
struct State {
    users: Vec<Value>,
    vhosts: Vec<Value>,
    permissions: Vec<Value>,
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// Tags are a list, or one text up to version 3.8.
fn tags(user: &Value) -> Vec<&str> {
    let mut tags: Vec<&str> = match &user["tags"] {
        Value::Array(tags) => tags.iter().filter_map(Value::as_str).collect(),
        Value::String(tags) => tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect(),
        _ => Vec::new(),
    };
    tags.sort_unstable();
    tags
}

impl State {
    fn user(&self, name: &str) -> Option<&Value> {
        self.users.iter().find(|user| text(user, "name") == name)
    }

    fn has(&self, user: &str, wanted: &Permission) -> bool {
        self.permissions.iter().any(|found| {
            text(found, "user") == user
                && text(found, "vhost") == wanted.vhost
                && text(found, "configure") == wanted.configure
                && text(found, "write") == wanted.write
                && text(found, "read") == wanted.read
        })
    }
}

/// Why the API has no answer for us.
enum No {
    /// Nothing comes; says what.
    Silence(String),
    /// It does not take the login, or not as an administrator's.
    Refused,
}

impl Accounts {
    /// All of them, as RabbitMQ imports it: hashes in place of passwords.
    pub fn definitions(&self) -> Vec<u8> {
        let user = |user: &User| {
            json!({
                "name": user.name,
                "password_hash": hash(&user.name, &user.password),
                "hashing_algorithm": SHA256,
                "tags": user.tags.join(","),
            })
        };
        let permission = |name: &str, at: &Permission| json!({ "user": name, "vhost": at.vhost, "configure": at.configure, "write": at.write, "read": at.read });
        let permissions =
            |user: &User| user.permissions.iter().map(|at| permission(&user.name, at)).collect::<Vec<_>>();
        let whole = json!({
            "users": self.users.iter().map(user).collect::<Vec<_>>(),
            "vhosts": self.vhosts.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "permissions": self.users.iter().flat_map(permissions).collect::<Vec<_>>(),
        });
        format!("{whole:#}\n").into_bytes()
    }

    fn api(&self) -> Result<Option<Management<'_>>> {
        let Some(first) = self.users.first() else { return Ok(None) };
        Management::new(self.management, &first.name, &first.password, LIMIT).map(Some)
    }

    /// What the API says.
    fn asked(&self, api: &Management<'_>) -> Result<Result<State, No>> {
        let list = |path: &str| -> Result<Result<Vec<Value>, No>> {
            Ok(match api.get(path) {
                Ok((200, body)) => Ok(serde_json::from_slice(&body)?),
                Ok((401 | 403, _)) => Err(No::Refused),
                Ok((status, _)) => Err(No::Silence(format!("status {status} of the management API"))),
                Err(silence) => Err(No::Silence(silence.to_string())),
            })
        };
        let users = match list("users")? {
            Ok(users) => users,
            Err(no) => return Ok(Err(no)),
        };
        let (vhosts, permissions) = (list("vhosts?columns=name")?, list("permissions")?);
        Ok(match (vhosts, permissions) {
            (Ok(vhosts), Ok(permissions)) => Ok(State { users, vhosts, permissions }),
            (Err(no), _) | (_, Err(no)) => Err(no),
        })
    }

    /// What root sees with the tool.
    fn exported(&self, host: &Host) -> Result<State> {
        let output = tool(&["export_definitions", "-", "--format", "json"]).run(
            &host.runner,
            Class::Service,
            "looking at the accounts of RabbitMQ",
        )?;
        let at = output.stdout.find('{').unwrap_or_default();
        let whole: Value = serde_json::from_str(&output.stdout[at..])?;
        let list = |key: &str| whole[key].as_array().cloned().unwrap_or_default();
        Ok(State { users: list("users"), vhosts: list("vhosts"), permissions: list("permissions") })
    }

    fn changes(&self, state: &State) -> Vec<Change> {
        let kept = |why: String| Undo::Kept { why };
        let mut changes = Vec::new();
        let is_there = |vhost: &String| state.vhosts.iter().any(|found| text(found, "name") == vhost);
        for vhost in self.vhosts.iter().filter(|vhost| !is_there(vhost)) {
            let undo = Undo::RemoveBrokerVhost { name: vhost.clone() };
            let made = Change::new(format!("vhost {vhost}"), format!("create virtual host {vhost}"), undo);
            changes.push(Change { data: true, ..made });
        }
        for user in &self.users {
            let name = &user.name;
            let Some(found) = state.user(name) else {
                let undo = Undo::RemoveBrokerUser { name: name.clone() };
                changes.push(Change::new(format!("user {name}"), format!("create user {name}"), undo));
                continue;
            };
            if !is_hash_of(text(found, "password_hash"), text(found, "hashing_algorithm"), &user.password) {
                let undo = kept(format!("the password of user {name} was set, and nobody knows the one before"));
                let summary = format!("set the password of user {name}: it has another one");
                changes.push(Change::new(format!("password {name}"), summary, undo));
            }
            let mut wanted: Vec<&str> = user.tags.iter().map(String::as_str).collect();
            wanted.sort_unstable();
            if tags(found) != wanted {
                let summary = format!("tags of user {name}: '{}' -> '{}'", tags(found).join(","), wanted.join(","));
                let undo = kept(format!("{summary}; they stay so"));
                changes.push(Change::new(format!("tags {name}"), summary, undo));
            }
            for at in user.permissions.iter().filter(|at| !state.has(name, at)) {
                let summary = format!("permissions of user {name} in virtual host {}", at.vhost);
                let undo = kept(format!("{summary} were set; they stay so"));
                changes.push(Change::new(format!("permissions {name} {}", at.vhost), summary, undo));
            }
        }
        let guest = state.user(GUEST);
        if guest.is_some_and(|found| is_hash_of(text(found, "password_hash"), text(found, "hashing_algorithm"), GUEST))
        {
            let undo = kept("user guest, whose password everybody knows, was removed".to_owned());
            changes.push(Change::new(GUEST, "remove user guest: everybody knows its password", undo));
        }
        changes
    }

    /// Logs every user in over AMQP; says whose login is not taken, and why.
    fn log_in(&self) -> Option<(String, String)> {
        for user in &self.users {
            let Some(at) = user.permissions.first() else { continue };
            let login = AmqpLogin { user: &user.name, password: &user.password, vhost: &at.vhost };
            let answer = connect(&Endpoint::Tcp(self.amqp), LIMIT).and_then(|to| amqp_login(to, login));
            let said = match answer {
                Ok(Amqp::Open) => continue,
                Ok(Amqp::Closed(_, said)) => said,
                Err(silence) => silence.to_string(),
            };
            return Some((user.name.clone(), said));
        }
        None
    }

    /// Lets root import everything, where the API does not take the administrator.
    fn import(&self, cx: &Cx<'_>) -> Result<()> {
        let path = Path::new(IMPORT);
        files::replace(cx.look, path, &self.definitions(), &Meta::new(0o640, "root", "rabbitmq"))?;
        let done = tool(&["import_definitions", IMPORT]).run(
            &cx.host.runner,
            Class::Service,
            "importing the accounts of RabbitMQ",
        );
        // The tool does not wait for the end of it.
        let seen = patience::wait_until(LIMIT, Duration::from_millis(100), |_| {
            let Some(api) = self.api()? else { return Ok(None) };
            Ok(self.asked(&api)?.ok().filter(|state| self.changes(state).is_empty()).map(drop))
        });
        files::remove(path)?;
        done.and(seen).map(drop)
    }

    fn refused(&self, what: &str, status: u16, body: &[u8]) -> Fault {
        let said = serde_json::from_slice(body)
            .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |body| in_words(&body));
        let said = said.chars().take(400).collect::<String>();
        Fault::new(Class::Service, format!("RabbitMQ does not {what}: status {status}"))
            .evidence([said])
            .advice("see /var/log/rabbitmq, then run again with --resume")
    }
}

/// What a kill has left of an import: hashes of passwords, which are nowhere else than where RabbitMQ itself has them.
fn leftover(path: &Path) -> Option<Change> {
    let is_there = path.symlink_metadata().is_ok();
    is_there.then(|| Change::new(LEFTOVER, format!("remove {}, which a kill has left", path.display()), Undo::Nothing))
}

/// What a document of the management API says. Erlang's texts are lists of numbers there.
fn in_words(said: &Value) -> String {
    let char_of = |code: &Value| char::from_u32(u32::try_from(code.as_u64()?).ok()?).filter(|c| !c.is_control());
    match said {
        Value::Array(list) => {
            let text: Option<String> = list.iter().map(char_of).collect();
            text.filter(|text| !text.is_empty()).unwrap_or_else(|| {
                list.iter().map(in_words).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
            })
        }
        Value::Object(fields) => fields.values().map(in_words).collect::<Vec<_>>().join(": "),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Resource for Accounts {
    fn sort(&self) -> &'static str {
        "accounts"
    }

    fn key(&self) -> String {
        self.unit.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        let user = |user: &User| Claim {
            thing: format!("rabbitmq:user {}", user.name),
            wants: format!("{:?} {:?} {}", user.tags, user.permissions, user.password).into_bytes(),
        };
        let vhost = |name: &String| Claim { thing: format!("rabbitmq:vhost {name}"), wants: b"there".to_vec() };
        self.users.iter().map(user).chain(self.vhosts.iter().map(vhost)).collect()
    }

    fn units(&self) -> Vec<String> {
        vec![self.unit.clone()]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        let pending = |why: &str| Ok(Probe::Pending(format!("RabbitMQ, {why}")));
        if !cx.look.unit(&self.unit)?.active {
            return pending("which does not run");
        }
        let Some(api) = self.api()? else { return Ok(Probe::InPlace(Value::Null)) };
        let state = match self.asked(&api)? {
            Ok(state) => state,
            Err(No::Silence(said)) => return pending(&format!("whose management API does not answer: {said}")),
            Err(No::Refused) if !cx.host.root => return Ok(Probe::Hidden("the accounts of RabbitMQ".to_owned())),
            Err(No::Refused) => self.exported(cx.host)?,
        };
        let mut changes = self.changes(&state);
        if changes.is_empty()
            && let Some((name, said)) = self.log_in()
        {
            let summary = format!("user {name} cannot log in: {said}");
            changes.push(Change::new(format!("login {name}"), summary, Undo::Nothing));
        }
        changes.extend(leftover(Path::new(IMPORT)));
        Ok(if changes.is_empty() { Probe::InPlace(Value::Null) } else { Probe::Changes(changes) })
    }

    fn apply(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let Some(api) = self.api()? else { return Ok(()) };
        if changes.iter().any(|change| change.item == LEFTOVER) {
            files::remove(Path::new(IMPORT))?;
        }
        if changes.iter().any(|change| change.item != GUEST && change.item != LEFTOVER) {
            match api.post("definitions", self.definitions()) {
                Ok((200..=299, _)) => {}
                Ok((401 | 403, _)) | Err(_) => self.import(cx)?,
                Ok((status, body)) => return Err(self.refused("take the accounts", status, &body).into()),
            }
        }
        if changes.iter().any(|change| change.item == GUEST) {
            match api.delete("users/guest") {
                Ok((200..=299 | 404, _)) => {}
                Ok((status, body)) => return Err(self.refused("remove user guest", status, &body).into()),
                Err(silence) => {
                    let message = format!("RabbitMQ does not answer: {silence}");
                    return Err(Fault::new(silence.class(), message).advice("run again with --resume").into());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_has_left_of_an_import_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".surefoot-import.json");
        assert!(leftover(&path).is_none());
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(leftover(&path).map(|change| change.item).as_deref(), Some(LEFTOVER));
    }

    fn accounts() -> Accounts {
        let all = |vhost: &str| Permission {
            vhost: vhost.to_owned(),
            configure: ".*".to_owned(),
            write: ".*".to_owned(),
            read: ".*".to_owned(),
        };
        let user = |name: &str, tags: &[&str], vhost: &str| User {
            name: name.to_owned(),
            password: format!("hunter2 of {name}"),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            permissions: vec![all(vhost)],
        };
        Accounts {
            unit: "rabbitmq-server.service".into(),
            management: ([127, 0, 0, 1], 15672).into(),
            amqp: ([127, 0, 0, 1], 5672).into(),
            users: vec![user("admin", &["administrator"], "/"), user("shop", &[], "shop")],
            vhosts: vec!["/".into(), "shop".into()],
        }
    }

    #[test]
    fn what_the_management_api_refuses_is_told_in_words() {
        let body =
            br#"{"error":"bad_request","reason":["invalid_regexp",[40],[[109,105,115,115,105,110,103,32,41],1]]}"#;
        let fault = accounts().refused("take the accounts", 400, body);
        assert_eq!(fault.evidence, ["bad_request: invalid_regexp ( missing ) 1"]);
        assert_eq!(accounts().refused("take the accounts", 500, b"not JSON").evidence, ["not JSON"]);
    }

    /// What a server has that imported the definitions.
    fn imported() -> State {
        let whole: Value = serde_json::from_slice(&accounts().definitions()).unwrap();
        let list = |key: &str| whole[key].as_array().cloned().unwrap();
        State { users: list("users"), vhosts: list("vhosts"), permissions: list("permissions") }
    }

    fn items(state: &State) -> String {
        let changes = accounts().changes(state);
        changes.iter().map(|change| change.item.as_str()).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_was_imported_is_in_place() {
        assert_eq!(items(&imported()), "");
        let text = String::from_utf8(accounts().definitions()).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(accounts().definitions(), accounts().definitions(), "the same accounts are the same file");
    }

    #[test]
    fn drift_is_seen_and_what_is_not_named_is_not() {
        assert_eq!(items(&State::default()), "vhost /, vhost shop, user admin, user shop");
        let mut state = imported();
        state.users.push(
            json!({ "name": "other", "password_hash": hash("other", "x"), "hashing_algorithm": SHA256, "tags": [] }),
        );
        state.vhosts.push(json!({ "name": "other" }));
        assert_eq!(items(&state), "");
        state.users[0]["tags"] = json!(["management"]);
        state.users[1]["password_hash"] = hash("shop", "x").into();
        state.permissions[1]["write"] = "".into();
        assert_eq!(items(&state), "tags admin, password shop, permissions shop shop");
        state.users[1]["hashing_algorithm"] = "rabbit_password_hashing_md5".into();
        assert!(items(&state).contains("password shop"));
        let guest = |password: &str| json!({ "name": "guest", "password_hash": hash("guest", password), "hashing_algorithm": SHA256, "tags": "administrator" });
        state = imported();
        state.users.push(guest("guest"));
        assert_eq!(items(&state), "guest");
        state.users[2] = guest("better");
        assert_eq!(items(&state), "", "a guest with a password of its own is somebody's");
    }

    #[test]
    fn tags_of_all_versions() {
        for (user, wanted) in [
            (json!({ "tags": "management,administrator" }), vec!["administrator", "management"]),
            (json!({ "tags": ["b", "a"] }), vec!["a", "b"]),
            (json!({ "tags": "" }), vec![]),
            (json!({}), vec![]),
        ] {
            assert_eq!(tags(&user), wanted);
        }
    }
}

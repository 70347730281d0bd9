//! When a service is ready: when it answers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use distro::certificate::Certificate;
use distro::failure::io_fault;
use distro::net::bson::{Document, Value};
use distro::net::{
    self, Amqp, AmqpLogin, Endpoint, HttpAnswer, Login, Mongodb, PgAnswer, PgLogin, Ping, RedisState, Refusal, Silence,
    amqp_login, connect, http_here, http_probe, postgres_ask, redis_ping,
};
use distro::patience::wait_until;
use distro::{Class, Fault, Runner};

use crate::resources::mongodb_user::{Account, Role};
use crate::resources::postgresql::Cluster;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a running service may give no answer before it is said not to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a service must answer to be ready.
#[derive(Clone)]
pub enum Ready {
    /// A connection is accepted.
    Tcp {
        /// Address and port, or path of a socket.
        addr: String,
    },
    /// What is sent gets an answer with some words in it.
    Words {
        /// Address and port, or path of a socket.
        addr: String,
        /// What is sent, as it is.
        send: String,
        /// What has to be in the answer.
        expect: String,
    },
    /// A request gets an answer.
    Http {
        /// What is asked for on this host; any certificate is good.
        url: String,
        /// Which status codes are right; any, where there are none.
        statuses: Vec<u16>,
    },
    /// A site of this host answers, with the certificate that is on disk.
    Site {
        /// What is asked for, by the name of the site.
        url: String,
        /// The name of the site, where it cannot be that of the URL.
        site: Option<String>,
        /// The certificate that it has to show.
        certificate: Option<PathBuf>,
        /// Does it refuse everybody who has no password?
        guarded: bool,
    },
    /// A MongoDB server says who it is, and takes a login.
    Mongodb {
        /// Address or name, and port.
        addr: String,
        /// Who logs in, and the roles that it has to have; nobody where the users are made in it later.
        login: Option<(Account, Vec<Role>)>,
        /// Oldest series that it may be of, such as `4.2`.
        oldest: &'static str,
    },
    /// A login and a PING are answered.
    Redis {
        /// Address and port.
        addr: String,
        /// Name of the user; the default user where there is none.
        user: Option<String>,
        /// Password.
        password: Option<String>,
        /// Settings that it has, with their values.
        settings: Vec<(String, String)>,
        /// Has the user every right, and this password alone?
        whole: bool,
    },
    /// A cluster of this host takes connections and asks for a login.
    Cluster {
        /// Which.
        cluster: Cluster,
        /// The role that will log in; it need not be there yet.
        user: String,
        /// The database, which need not be there yet.
        database: String,
    },
    /// An AMQP server takes a login.
    Amqp {
        /// Address or name, and port.
        addr: String,
        /// User.
        user: String,
        /// Password.
        password: String,
        /// Virtual host.
        vhost: String,
    },
    /// A PostgreSQL takes a login.
    Postgres {
        /// Address or name, and port.
        addr: String,
        /// Role.
        user: String,
        /// Password.
        password: String,
        /// Database.
        database: String,
    },
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The password is nobody's business.
        f.write_str(&self.to_string())
    }
}

impl std::fmt::Display for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ready::Tcp { addr } => write!(f, "a connection to {addr}"),
            Ready::Words { addr, send, .. } => write!(f, "an answer to '{}' at {addr}", send.escape_debug()),
            Ready::Http { url, .. } | Ready::Site { url, .. } => write!(f, "a request for {url}"),
            Ready::Redis { addr, .. } | Ready::Amqp { addr, .. } | Ready::Postgres { addr, .. } => {
                write!(f, "a login at {addr}")
            }
            Ready::Cluster { cluster, .. } => write!(f, "an answer of PostgreSQL {cluster}"),
            Ready::Mongodb { addr, .. } => write!(f, "an answer of MongoDB at {addr}"),
        }
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was asked for.
    Ready,
    /// Nothing, or that it is not ready; says what.
    NotYet(String),
    /// It answers as it did before its configuration was changed; says how.
    Stale(String),
    /// The login is not accepted, which waiting does not change; says how.
    Refused(String),
}

impl Ready {
    /// Asks a service that is said to run: it may be just coming up.
    ///
    /// # Errors
    /// As [`Ready::ask`].
    pub fn ask_again(&self, runner: &Runner) -> Result<Answer> {
        // Something is always asked, so the first value is never the answer.
        let mut last = Answer::NotYet(String::new());
        wait_until(PATIENCE, Duration::from_millis(50), |_| {
            last = self.ask(runner)?;
            Ok((!matches!(last, Answer::NotYet(_) | Answer::Stale(_))).then_some(()))
        })?;
        Ok(last)
    }

    /// Asks once.
    ///
    /// # Errors
    /// Where what is to be asked makes no sense: class `usage` or `dns`.
    pub(super) fn ask(&self, runner: &Runner) -> Result<Answer> {
        Ok(match self {
            Ready::Tcp { addr } => match connect(&endpoint(runner, addr)?, LIMIT) {
                Ok(_) => Answer::Ready,
                Err(silence) => Answer::NotYet(silence.to_string()),
            },
            Ready::Words { addr, send, expect } => words(&endpoint(runner, addr)?, send, expect)
                .unwrap_or_else(|silence| Answer::NotYet(silence.to_string())),
            Ready::Http { url, statuses } => match http_probe(runner, url, true, LIMIT)? {
                Ok(answer) if statuses.is_empty() || statuses.contains(&answer.status) => Answer::Ready,
                Ok(answer) => Answer::NotYet(format!("status {}", answer.status)),
                Err(silence) => Answer::NotYet(silence.to_string()),
            },
            Ready::Site { url, site, certificate, guarded } => match http_here(url, site.as_deref(), None, LIMIT)? {
                Ok(answer) => of_site(&answer, certificate.as_deref(), *guarded)?,
                Err(silence) => Answer::NotYet(silence.to_string()),
            },
            Ready::Mongodb { addr, login, oldest } => mongodb(&endpoint(runner, addr)?, login.as_ref(), oldest)
                .unwrap_or_else(|silence| Answer::NotYet(silence.to_string())),
            Ready::Redis { addr, user, password, settings, whole } => {
                let login = Login { user: user.as_deref(), password: password.as_deref() };
                match redis_ping(&endpoint(runner, addr)?, login, RedisState { settings, whole: *whole }, LIMIT) {
                    Ok(ping) => of_ping(ping),
                    Err(silence) => Answer::NotYet(silence.to_string()),
                }
            }
            Ready::Amqp { addr, user, password, vhost } => {
                let login = AmqpLogin { user, password, vhost };
                match connect(&endpoint(runner, addr)?, LIMIT).and_then(|to| amqp_login(to, login)) {
                    Ok(Amqp::Open) => Answer::Ready,
                    Ok(Amqp::Closed(_, said)) => Answer::Refused(said),
                    Err(silence) => Answer::NotYet(silence.to_string()),
                }
            }
            Ready::Cluster { cluster, user, database } => {
                let login = PgLogin { user, password: None, database };
                match postgres(&cluster.endpoint()?, login) {
                    // A role that is not there yet is told by an error or by being asked for a password.
                    Answer::Refused(_) => Answer::Ready,
                    answer => answer,
                }
            }
            Ready::Postgres { addr, user, password, database } => {
                postgres(&endpoint(runner, addr)?, PgLogin { user, password: Some(password), database })
            }
        })
    }
}

/// Some of an answer is enough.
const WORDS_BYTES: usize = 4096;

fn words(at: &Endpoint, send: &str, expect: &str) -> Result<Answer, Silence> {
    let mut connection = connect(at, LIMIT)?;
    connection.send(send.as_bytes())?;
    let mut bytes = Vec::new();
    while bytes.len() < WORDS_BYTES {
        match connection.more(&mut bytes) {
            Err(silence) if bytes.is_empty() => return Err(silence),
            Err(_) => break,
            Ok(()) if String::from_utf8_lossy(&bytes).contains(expect) => return Ok(Answer::Ready),
            Ok(()) => {}
        }
    }
    let said = String::from_utf8_lossy(&bytes);
    let first: String = said.lines().next().unwrap_or_default().chars().take(100).collect();
    Ok(Answer::NotYet(format!("it says '{}'", first.escape_debug())))
}

/// An answer of a site is one, whatever its status, as long as it is that of the right site.
fn of_site(answer: &HttpAnswer, certificate: Option<&Path>, guarded: bool) -> Result<Answer> {
    if guarded && answer.status != 401 {
        return Ok(Answer::NotYet(format!("who has no password is not refused (status {})", answer.status)));
    }
    let Some(path) = certificate else { return Ok(Answer::Ready) };
    let text = match std::fs::read(path) {
        // It is put there before the server takes it up.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Answer::Stale(format!("there is no {} any more", path.display())));
        }
        text => text.map_err(|error| io_fault(&error, "read", path))?,
    };
    let is_shown =
        Certificate::parse(&text).is_ok_and(|certificate| answer.certificate.as_deref() == Some(certificate.der()));
    let other = || Answer::Stale(format!("it shows another certificate than {}", path.display()));
    Ok(if is_shown { Answer::Ready } else { other() })
}

fn of_ping(ping: Ping) -> Answer {
    let refused = |said: &str| Answer::Refused(said.to_owned());
    match ping {
        Ping::Pong => Answer::Ready,
        Ping::Loading => Answer::NotYet("it is reading its data".to_owned()),
        Ping::NoAuth => refused("it wants a password (NOAUTH)"),
        Ping::WrongPass => refused("the password is wrong (WRONGPASS)"),
        // It lets everybody in, which is not what was asked for.
        Ping::NoPassword => refused("it has no password"),
        // Neither protected mode nor a missing right goes away by waiting.
        Ping::Error(said) if said.starts_with("DENIED") || said.starts_with("NOPERM") => Answer::Refused(said),
        Ping::Error(said) => Answer::NotYet(said),
        Ping::Other(said) => Answer::Stale(said),
    }
}

fn postgres(at: &Endpoint, login: PgLogin<'_>) -> Answer {
    match connect(at, LIMIT).and_then(|connection| postgres_ask(connection, login, "")) {
        Ok(PgAnswer::Rows(_)) => Answer::Ready,
        Ok(PgAnswer::WantsPassword) => Answer::Refused("it wants a password".to_owned()),
        // Too many connections are there: that passes.
        Ok(PgAnswer::Error { code, message }) if code.starts_with("53") => Answer::NotYet(message),
        Ok(PgAnswer::Error { message, .. }) => Answer::Refused(message),
        Ok(PgAnswer::NotYet(said)) => Answer::NotYet(said),
        Err(silence) => Answer::NotYet(silence.to_string()),
    }
}

fn mongodb(at: &Endpoint, login: Option<&(Account, Vec<Role>)>, oldest: &str) -> Result<Answer, Silence> {
    let mut server = Mongodb::connect(at, LIMIT)?;
    if let Some(series) = server.older_than(oldest) {
        return Ok(Answer::Refused(format!("it is of series {series}, and {oldest} is the oldest that is supported")));
    }
    let Some((Account { database, name, password }, roles)) = login else { return Ok(Answer::Ready) };
    let refused = |refusal: &Refusal| Answer::Refused(format!("{} (code {})", refusal.message, refusal.code));
    if let Err(refusal) = server.login(database, name, password)? {
        return Ok(refused(&refusal));
    }
    for role in roles.iter().filter(|role| role.name == "readWrite") {
        if let Err(refusal) = server.command(&role.database, deletion_of_nothing())? {
            return Ok(refused(&refusal));
        }
    }
    Ok(Answer::Ready)
}

/// Only who may write may give this command, and it changes nothing.
fn deletion_of_nothing() -> Document {
    let nothing = Document::default().with("_id", Document::default().with("$in", Value::List(Vec::new())));
    let deletion = Document::default().with("q", nothing).with("limit", 0);
    Document::default().with("delete", "surefoot").with("deletes", Value::List(vec![Value::Document(deletion)]))
}

/// Where `addr` is: the path of a socket, or a name or an address with a port.
///
/// # Errors
/// Class `blueprint`, where it is neither; class `dns`, where the name is not known.
pub fn endpoint(runner: &Runner, addr: &str) -> Result<Endpoint> {
    if addr.starts_with('/') {
        return Ok(Endpoint::Unix(addr.into()));
    }
    if let Ok(address) = addr.parse() {
        return Ok(Endpoint::Tcp(address));
    }
    let parts = addr.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = parts.filter(|(host, _)| !host.is_empty()) else {
        return Err(Fault::new(Class::Blueprint, format!("'{addr}' is not an address with a port"))
            .advice("write it as 127.0.0.1:6379, [::1]:6379 or name:6379, or give the path of a socket")
            .into());
    };
    // The resolver never gives an empty list.
    let address = net::resolve(runner, host)?.first().copied().unwrap_or(std::net::Ipv4Addr::LOCALHOST.into());
    Ok(Endpoint::Tcp((address, port).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ping_means() {
        for (ping, ready) in [(Ping::Pong, Some(true)), (Ping::Loading, None), (Ping::NoAuth, Some(false))] {
            let answer = of_ping(ping.clone());
            let found = match answer {
                Answer::Ready => Some(true),
                Answer::NotYet(_) | Answer::Stale(_) => None,
                Answer::Refused(_) => Some(false),
            };
            assert_eq!(found, ready, "{ping:?}");
        }
        assert!(matches!(of_ping(Ping::Error("ERR max number of clients reached".into())), Answer::NotYet(_)));
        assert!(matches!(of_ping(Ping::Error("DENIED Redis is running in protected mode".into())), Answer::Refused(_)));
    }

    #[test]
    fn a_site_shows_the_certificate_that_is_on_disk() {
        use distro::certificate::{new_key, self_signed};
        let made = || self_signed(&["a".to_owned()], &new_key().unwrap(), std::time::SystemTime::now()).unwrap();
        let (ours, other) = (made(), made());
        let der = |text: &str| Some(Certificate::parse(text.as_bytes()).unwrap().der().to_vec());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.crt");
        std::fs::write(&path, &ours).unwrap();
        for (shown, is_right) in [(der(&ours), true), (der(&other), false), (None, false)] {
            let answer = HttpAnswer { status: 401, headers: Vec::new(), body: Vec::new(), certificate: shown };
            assert_eq!(of_site(&answer, Some(&path), true).unwrap() == Answer::Ready, is_right);
            assert_eq!(of_site(&answer, None, false).unwrap(), Answer::Ready);
            let gone = of_site(&answer, Some(&folder.path().join("gone")), true).unwrap();
            assert!(matches!(gone, Answer::Stale(_)), "{gone:?}");
            let open = HttpAnswer { status: 200, ..answer };
            assert!(matches!(of_site(&open, None, true).unwrap(), Answer::NotYet(_)));
        }
    }

    #[test]
    fn addresses() {
        for (text, good) in [
            ("127.0.0.1:80", true),
            ("[::1]:80", true),
            ("/run/x.sock", true),
            ("localhost:80", true),
            ("80", false),
            (":80", false),
        ] {
            assert_eq!(endpoint(&Runner::quiet(), text).is_ok(), good, "{text}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a server that is asked")]
    fn an_answer_has_some_words_in_it() {
        use std::io::{Read, Write};
        for (says, wanted) in [
            (&["Zookeeper version: 3.8.0\nMo", "de: standalone\n"][..], Answer::Ready),
            (&["This one is\nnot serving"], Answer::NotYet("it says 'This one is'".into())),
            (&[], Answer::NotYet(Silence::Closed.to_string())),
        ] {
            let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = server.local_addr().unwrap().to_string();
            let thread = std::thread::spawn(move || {
                let (mut socket, _) = server.accept().unwrap();
                let mut asked = [0; 4];
                socket.read_exact(&mut asked).unwrap();
                says.iter().for_each(|part| socket.write_all(part.as_bytes()).unwrap());
                asked
            });
            let ready = Ready::Words { addr, send: "srvr".into(), expect: "Mode: standalone".into() };
            assert_eq!(ready.ask(&Runner::quiet()).unwrap(), wanted);
            assert_eq!(&thread.join().unwrap(), b"srvr");
        }
    }

    #[test]
    fn the_password_is_not_told() {
        let password = Some("hunter2".into());
        let ready =
            Ready::Redis { addr: "127.0.0.1:6379".into(), user: None, password, settings: Vec::new(), whole: true };
        assert!(!format!("{ready:?} {ready}").contains("hunter2"));
    }
}

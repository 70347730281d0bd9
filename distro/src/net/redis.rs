//! Just enough of Redis' protocol to know whether a server answers and takes a login.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Connection, Endpoint, Silence, connect, hex};

/// Longest reply that is read.
const REPLY_BYTES: usize = 512;
/// Longest text about its memory that is read.
const INFO_BYTES: usize = 1 << 16;
/// Most texts of a reply that are read.
const TEXTS: usize = 1000;

/// Who to log in as.
#[derive(Clone, Copy, Default)]
pub struct Login<'a> {
    /// User; none is the server's default user.
    pub user: Option<&'a str>,
    /// Password; none: no login is tried.
    pub password: Option<&'a str>,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ping {
    /// It is there, and took the login where one was given.
    Pong,
    /// It wants a login.
    NoAuth,
    /// It refuses the login.
    WrongPass,
    /// A login was given and the server has no password: it lets everybody in.
    NoPassword,
    /// It is still reading its data.
    Loading,
    /// Another error, without the password in it.
    Error(String),
    /// It has another value for a setting than it should, or its user was changed; says how.
    Other(String),
}

/// What a server has to be like besides answering.
#[derive(Clone, Copy, Default)]
pub struct State<'a> {
    /// Its settings, with their values.
    pub settings: &'a [(String, String)],
    /// Has the user every right, and the login's password alone? Then nobody is let in as the default user where the login is another's.
    pub whole: bool,
}

/// Logs in and pings the server at `to`, within `limit` in all, and sees that it has `state`: somebody may have set others in the server
/// itself (`CONFIG SET`, `ACL SETUSER`). Where it tells nobody (`rename-command`, a right that is missing), settings are taken to be right.
///
/// # Errors
/// Where nobody answers, or something that is not a Redis.
pub fn redis_ping(to: &Endpoint, login: Login<'_>, state: State<'_>, limit: Duration) -> Result<Ping, Silence> {
    let mut connection = connect(to, limit)?;
    if let Some(password) = login.password {
        let words: Vec<&str> = ["AUTH"].into_iter().chain(login.user).chain([password]).collect();
        let answer = ask(&mut connection, &words)?;
        if answer != "+OK" {
            return meaning(&answer, password);
        }
    }
    let answer = ask(&mut connection, &["PING"])?;
    let ping = meaning(&answer, login.password.unwrap_or_default())?;
    if ping != Ping::Pong {
        return Ok(ping);
    }
    for (key, wanted) in state.settings {
        match setting(&mut connection, key)? {
            Some(found) if found != *wanted => {
                return Ok(Ping::Other(format!("{key} is {}, not {wanted}", shown(&found))));
            }
            _ => {}
        }
    }
    // Last: one that somebody gave less memory drops data for whatever it is asked.
    if state.whole
        && let Some(said) = changed(&mut connection, login)?
    {
        return Ok(Ping::Other(said));
    }
    Ok(Ping::Pong)
}

/// What a running server says of the data that it holds. None is what it tells nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedisData {
    /// Bytes that they take (`used_memory`).
    pub used: Option<u64>,
    /// Bytes that they may take (`maxmemory`): 0 is any number.
    pub most: Option<u64>,
    /// Is every write logged (`appendonly`)?
    pub logs: Option<bool>,
    /// Does it write a snapshot when it stops, since it writes some at times (`save`)?
    pub saves: Option<bool>,
}

/// What a server is asked of its data. No more than that: one that is full drops some of them for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisQuestion {
    /// Whether it logs.
    Log,
    /// Whether it logs, and writes snapshots.
    Snapshots,
    /// Whether it has a limit of memory, at most this one, and how much it uses where it has none.
    Memory(u64),
}

/// Asks the server at `to`, within `limit` in all, of its data: with a login where that is good, else as everybody.
///
/// # Errors
/// Where nobody answers.
pub fn redis_data(
    to: &Endpoint,
    login: Login<'_>,
    question: RedisQuestion,
    limit: Duration,
) -> Result<RedisData, Silence> {
    let mut connection = connect(to, limit)?;
    if let Some(password) = login.password {
        let words: Vec<&str> = ["AUTH"].into_iter().chain(login.user).chain([password]).collect();
        ask(&mut connection, &words)?;
    }
    // While it still reads them, there are more to come.
    if ask(&mut connection, &["PING"])? != "+PONG" {
        return Ok(RedisData::default());
    }
    let mut data = RedisData::default();
    let RedisQuestion::Memory(most) = question else {
        data.logs = setting(&mut connection, "appendonly")?.map(|logs| logs == "yes");
        if question == RedisQuestion::Snapshots {
            data.saves = setting(&mut connection, "save")?.map(|times| !times.is_empty());
        }
        return Ok(data);
    };
    data.most = setting(&mut connection, "maxmemory")?.and_then(|most| most.parse().ok());
    if data.most.is_some_and(|found| found != 0 && found <= most) {
        return Ok(data);
    }
    let answer = ask(&mut connection, &["INFO", "memory"])?;
    if let Some(length) = answer.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) {
        let text = connection.exactly(length.min(INFO_BYTES))?;
        let text = String::from_utf8_lossy(&text);
        data.used = text.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
    }
    Ok(data)
}

/// The value of a setting in the running server. None, where it tells nobody.
fn setting(connection: &mut Connection, key: &str) -> Result<Option<String>, Silence> {
    // A list of name and value, each after a line with its length.
    if ask(connection, &["CONFIG", "GET", key])? != "*2" {
        return Ok(None);
    }
    let mut lines = [const { String::new() }; 4];
    for line in &mut lines {
        *line = connection.line(REPLY_BYTES)?;
    }
    let [_, _, _, value] = lines;
    Ok(Some(value))
}

/// How the login's user differs from one that may do everything with the login's password and no other.
fn changed(connection: &mut Connection, login: Login<'_>) -> Result<Option<String>, Silence> {
    let name = login.user.unwrap_or("default");
    let Some(user) = texts(connection, &["ACL", "GETUSER", name])? else { return Ok(None) };
    if let [refusal] = user.as_slice() {
        return Ok(Some(format!("user {name} may not do everything: {}", shown(refusal))));
    }
    let hash = redis_hash(login.password.unwrap_or_default());
    let [flags, passwords] = [("flags", "passwords"), ("passwords", "commands")].map(|(first, last)| {
        user.iter().skip_while(|text| *text != first).skip(1).take_while(|text| *text != last).collect::<Vec<_>>()
    });
    if flags.iter().any(|flag| *flag == "nopass") || passwords != [&hash] {
        return Ok(Some(format!("user {name} is let in with another password, too")));
    }
    // A list of patterns up to Redis 6, and a text with all of them since. Before 6.2 there are none for channels.
    for (what, all) in [("commands", ["+@all"; 2]), ("keys", ["*", "~*"]), ("channels", ["*", "&*"])] {
        let found = user.iter().position(|text| text == what).map(|at| user.get(at + 1).map_or("", String::as_str));
        if let Some(found) = found
            && !all.contains(&found)
        {
            let found = if found.is_empty() { "none" } else { found };
            return Ok(Some(format!("user {name} may not do everything: {what} {}", shown(found))));
        }
    }
    if login.user.is_some() {
        let default = texts(connection, &["ACL", "GETUSER", "default"])?.unwrap_or_default();
        if default.iter().any(|flag| flag == "on") {
            return Ok(Some("user default is let in, too".to_owned()));
        }
    }
    Ok(None)
}

/// A password as a server keeps and tells it.
pub fn redis_hash(password: &str) -> String {
    hex(&Sha256::digest(password))
}

/// The texts of an answer, those of its lists one after the other: one alone where a right is missing. None, where the server does not know the
/// command.
fn texts(connection: &mut Connection, words: &[&str]) -> Result<Option<Vec<String>>, Silence> {
    let mut line = ask(connection, words)?;
    if let Some(error) = line.strip_prefix('-') {
        return Ok(error.starts_with("NOPERM").then(|| vec![error.to_owned()]));
    }
    let mut texts = Vec::new();
    let mut left = 1_usize;
    loop {
        left -= 1;
        let (sort, rest) = line.split_at_checked(1).unwrap_or_default();
        match (sort, rest.parse::<usize>()) {
            ("*", Ok(count)) => left = left.saturating_add(count),
            // A text, and the end of its line.
            ("$", Ok(length)) if length <= INFO_BYTES => {
                let text = connection.exactly(length + 2)?;
                texts.push(String::from_utf8_lossy(&text[..length]).into_owned());
            }
            ("$", Ok(_)) => return Err(Silence::Garbled(shown(&line))),
            ("+", _) => texts.push(rest.to_owned()),
            _ => texts.push(String::new()),
        }
        if left == 0 {
            return Ok(Some(texts));
        }
        if texts.len() > TEXTS {
            return Err(Silence::Garbled(format!("more than {TEXTS} texts")));
        }
        line = connection.line(REPLY_BYTES)?;
    }
}

fn ask(connection: &mut Connection, words: &[&str]) -> Result<String, Silence> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    connection.send(request.as_bytes())?;
    connection.line(REPLY_BYTES)
}

/// What a reply stands for. A server that does not know a command repeats its arguments, so the password is taken out of what
/// is shown.
fn meaning(reply: &str, password: &str) -> Result<Ping, Silence> {
    let shown = |text: &str| if password.is_empty() { shown(text) } else { shown(&text.replace(password, "…")) };
    let Some(error) = reply.strip_prefix('-') else {
        return if reply == "+PONG" { Ok(Ping::Pong) } else { Err(Silence::Garbled(shown(reply))) };
    };
    // Before version 6 a wrong password, and a password where none is set, are told in words only.
    Ok(match error.split_whitespace().next().unwrap_or_default() {
        "NOAUTH" => Ping::NoAuth,
        "WRONGPASS" => Ping::WrongPass,
        "LOADING" => Ping::Loading,
        "ERR" if error.contains("invalid password") => Ping::WrongPass,
        "ERR" if error.contains("no password is set") || error.contains("without any password configured") => {
            Ping::NoPassword
        }
        _ => Ping::Error(shown(error)),
    })
}

fn shown(text: &str) -> String {
    text.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a server that is asked")]
    fn settings_of_the_running_server() {
        use std::io::{Read, Write};
        for (says, wanted) in [
            ("+PONG\r\n*2\r\n$9\r\nmaxmemory\r\n$2\r\n64\r\n", Ping::Pong),
            ("+PONG\r\n*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n", Ping::Other("maxmemory is 0, not 64".into())),
            ("+PONG\r\n*0\r\n", Ping::Pong),
            ("+PONG\r\n-ERR unknown command 'CONFIG'\r\n", Ping::Pong),
            ("-NOAUTH Authentication required.\r\n", Ping::NoAuth),
        ] {
            let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let to = Endpoint::Tcp(server.local_addr().unwrap());
            let thread = std::thread::spawn(move || {
                let (mut socket, _) = server.accept().unwrap();
                socket.write_all(says.as_bytes()).unwrap();
                // Until the client is done.
                socket.read_to_end(&mut Vec::new()).ok();
            });
            let settings = [("maxmemory".to_owned(), "64".to_owned())];
            let state = State { settings: &settings, whole: false };
            let ping = redis_ping(&to, Login::default(), state, Duration::from_secs(2)).unwrap();
            assert_eq!(ping, wanted, "{says}");
            thread.join().unwrap();
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a server that is asked")]
    fn a_user_that_was_changed_in_the_running_server() {
        use std::io::{Read, Write};
        let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let list =
            |texts: &[&str]| format!("*{}\r\n{}", texts.len(), texts.iter().map(|one| text(one)).collect::<String>());
        let (own, other) = ("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "00ff");
        let six = |flags: &[&str], passwords: &[&str], commands: &str, keys: &[&str]| {
            let parts =
                [text("flags"), list(flags), text("passwords"), list(passwords), text("commands"), text(commands)];
            format!("*8\r\n{}{}{}", parts.concat(), text("keys"), list(keys))
        };
        let eight = |commands: &str, keys: &str, channels: &str| {
            let flags = "*2\r\n+on\r\n+sanitize-payload\r\n";
            let parts = [text("passwords"), list(&[own]), text("commands"), text(commands), text("keys"), text(keys)];
            let rest = [text("channels"), text(channels), text("selectors"), "*0\r\n".to_owned()];
            format!("*12\r\n{}{flags}{}{}", text("flags"), parts.concat(), rest.concat())
        };
        let good = six(&["on", "allkeys", "allcommands"], &[own], "+@all", &["*"]);
        let too = "is let in with another password, too";
        for (user, says, wanted) in [
            (None, good.clone(), None),
            (None, eight("+@all", "~*", "&*"), None),
            (None, "-ERR unknown command `ACL`\r\n".to_owned(), None),
            (None, six(&["on"], &[own, other], "+@all", &["*"]), Some(format!("user default {too}"))),
            (None, six(&["on", "nopass"], &[], "+@all", &["*"]), Some(format!("user default {too}"))),
            (
                None,
                eight("+@all -keys", "~*", "&*"),
                Some("user default may not do everything: commands +@all -keys".into()),
            ),
            (None, eight("+@all", "~a:*", "&*"), Some("user default may not do everything: keys ~a:*".into())),
            (None, eight("+@all", "~*", ""), Some("user default may not do everything: channels none".into())),
            (None, six(&["on"], &[own], "+@all", &[]), Some("user default may not do everything: keys none".into())),
            (
                None,
                "-NOPERM User default has no permissions\r\n".to_owned(),
                Some("user default may not do everything: NOPERM User default has no permissions".into()),
            ),
            (Some("app"), format!("{good}{}", six(&["off"], &[], "-@all", &[])), None),
            (
                Some("app"),
                format!("{good}{}", six(&["on", "nopass"], &[], "+@all", &["*"])),
                Some("user default is let in, too".into()),
            ),
        ] {
            let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let to = Endpoint::Tcp(server.local_addr().unwrap());
            let answer = format!("+OK\r\n+PONG\r\n{says}");
            let thread = std::thread::spawn(move || {
                let (mut socket, _) = server.accept().unwrap();
                socket.write_all(answer.as_bytes()).unwrap();
                socket.read_to_end(&mut Vec::new()).ok();
            });
            let state = State { settings: &[], whole: true };
            let ping = redis_ping(&to, Login { user, password: Some("x") }, state, Duration::from_secs(2)).unwrap();
            assert_eq!(ping, wanted.map_or(Ping::Pong, Ping::Other), "{says}");
            thread.join().unwrap();
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a server that is asked")]
    fn what_a_server_says_of_its_data() {
        use std::io::{Read, Write};
        let info = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\n";
        let info = format!("${}\r\n{info}\r\n", info.len());
        let value =
            |key: &str, value: &str| format!("*2\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len());
        let [limit, none] = ["1000", "0"].map(|most| value("maxmemory", most));
        let (log, saves) = (value("appendonly", "yes"), value("save", ""));
        let (refused, nothing) = ("-ERR unknown command\r\n", RedisData::default());
        let open = "+OK\r\n+PONG\r\n";
        let memory = RedisQuestion::Memory(1000);
        for (says, question, wanted) in [
            (format!("{open}{none}{info}"), memory, RedisData { used: Some(1 << 20), most: Some(0), ..nothing }),
            (format!("{open}{refused}{info}"), memory, RedisData { used: Some(1 << 20), ..nothing }),
            (format!("{open}{none}{refused}"), memory, RedisData { most: Some(0), ..nothing }),
            (format!("{open}{limit}"), memory, RedisData { most: Some(1000), ..nothing }),
            (format!("{open}{log}"), RedisQuestion::Log, RedisData { logs: Some(true), ..nothing }),
            (
                format!("-ERR Client sent AUTH, but no password is set\r\n+PONG\r\n{log}{saves}"),
                RedisQuestion::Snapshots,
                RedisData { logs: Some(true), saves: Some(false), ..nothing },
            ),
            (
                format!("{open}{refused}{}", value("save", "60 1")),
                RedisQuestion::Snapshots,
                RedisData { saves: Some(true), ..nothing },
            ),
            ("-WRONGPASS no\r\n-NOAUTH Authentication required.\r\n".to_owned(), memory, nothing),
            ("+OK\r\n-LOADING Redis is loading the dataset in memory\r\n".to_owned(), RedisQuestion::Log, nothing),
        ] {
            let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let to = Endpoint::Tcp(server.local_addr().unwrap());
            let answer = says.clone();
            let thread = std::thread::spawn(move || {
                let (mut socket, _) = server.accept().unwrap();
                socket.write_all(answer.as_bytes()).unwrap();
                socket.read_to_end(&mut Vec::new()).ok();
            });
            let login = Login { user: None, password: Some("x") };
            assert_eq!(redis_data(&to, login, question, Duration::from_secs(2)).unwrap(), wanted, "{says}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn replies_and_what_they_mean() {
        for (reply, wanted) in [
            ("+PONG", Ok(Ping::Pong)),
            ("-NOAUTH Authentication required.", Ok(Ping::NoAuth)),
            ("-WRONGPASS invalid username-password pair or user is disabled.", Ok(Ping::WrongPass)),
            ("-ERR invalid password", Ok(Ping::WrongPass)),
            ("-ERR Client sent AUTH, but no password is set", Ok(Ping::NoPassword)),
            (
                "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
                Ok(Ping::NoPassword),
            ),
            ("-LOADING Redis is loading the dataset in memory", Ok(Ping::Loading)),
            (
                "-ERR unknown command 'AUTH', with args beginning with: 'hunter2' ",
                Ok(Ping::Error("ERR unknown command 'AUTH', with args beginning with: '…' ".into())),
            ),
            (
                "-DENIED Redis is running in protected mode",
                Ok(Ping::Error("DENIED Redis is running in protected mode".into())),
            ),
            ("HTTP/1.1 400 Bad Request", Err(Silence::Garbled("HTTP/1.1 400 Bad Request".into()))),
            ("+OK", Err(Silence::Garbled("+OK".into()))),
            ("", Err(Silence::Garbled(String::new()))),
        ] {
            assert_eq!(meaning(reply, "hunter2"), wanted, "{reply}");
        }
        for password in ["", "N", "+PONG"] {
            assert_eq!(meaning("+PONG", password), Ok(Ping::Pong), "{password}");
        }
        assert_eq!(meaning("-WRONGPASS no", "W"), Ok(Ping::WrongPass));
        assert_eq!(meaning("-OTHER no", "O"), Ok(Ping::Error("…THER no".into())));
    }
}

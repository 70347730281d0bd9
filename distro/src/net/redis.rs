//! Just enough of Redis' protocol to know whether a server answers and takes a login.

use std::time::Duration;

use super::{Connection, Endpoint, Silence, connect};

/// Longest reply that is read.
const REPLY_BYTES: usize = 512;
/// Longest text about its memory that is read.
const INFO_BYTES: usize = 1 << 16;

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
    /// It has another value for a setting than it should; says which.
    Other(String),
}

/// Logs in and pings the server at `to`, within `limit` in all, and sees that it has `settings`: somebody may have set others in the server
/// itself (`CONFIG SET`). Where it tells nobody (`rename-command`, a right that is missing), they are taken to be right.
///
/// # Errors
/// Where nobody answers, or something that is not a Redis.
pub fn redis_ping(
    to: &Endpoint,
    login: Login<'_>,
    settings: &[(String, String)],
    limit: Duration,
) -> Result<Ping, Silence> {
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
    for (key, wanted) in settings {
        match setting(&mut connection, key)? {
            Some(found) if found != *wanted => {
                return Ok(Ping::Other(format!("{key} is {}, not {wanted}", shown(&found))));
            }
            _ => {}
        }
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
            let ping = redis_ping(&to, Login::default(), &settings, Duration::from_secs(2)).unwrap();
            assert_eq!(ping, wanted, "{says}");
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

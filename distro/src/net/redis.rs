//! Just enough of Redis' protocol to know whether a server answers and takes a login.

use std::time::Duration;

use super::{Connection, Endpoint, Silence, connect};

/// Longest reply that is read.
const REPLY_BYTES: usize = 512;

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
}

/// Logs in and pings the server at `to`, within `limit` in all.
///
/// # Errors
/// Where nobody answers, or something that is not a Redis.
pub fn redis_ping(to: &Endpoint, login: Login<'_>, limit: Duration) -> Result<Ping, Silence> {
    let mut connection = connect(to, limit)?;
    if let Some(password) = login.password {
        let words: Vec<&str> = ["AUTH"].into_iter().chain(login.user).chain([password]).collect();
        let answer = ask(&mut connection, &words)?;
        if answer != "+OK" {
            return meaning(&answer, password);
        }
    }
    let answer = ask(&mut connection, &["PING"])?;
    meaning(&answer, login.password.unwrap_or_default())
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

//! Just enough of PostgreSQL's protocol to log in and ask a question.

use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{DataRowBody, ErrorFields, Message};
use postgres_protocol::message::frontend;

use super::{Connection, Silence};

/// Who to log in as, and to which database.
#[derive(Clone, Copy)]
pub struct PgLogin<'a> {
    /// Role.
    pub user: &'a str,
    /// Password; none: the server is only asked whether it wants a login.
    pub password: Option<&'a str>,
    /// Database.
    pub database: &'a str,
}

/// A row: a text for each column, none where it is null.
pub type Row = Vec<Option<String>>;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PgAnswer {
    /// The rows of the answer.
    Rows(Vec<Row>),
    /// It is there and wants a password, and none was given.
    WantsPassword,
    /// It is starting up, shutting down or recovering; says which.
    NotYet(String),
    /// An error: its SQLSTATE code and the server's words. What the server repeats of a question may be in it, never the password.
    Error {
        /// `28P01` for a wrong password.
        code: String,
        /// In the server's words.
        message: String,
    },
}

/// Logs in over `connection` and asks `sql`, which is one statement; empty: only the login is tried, and there are no rows.
///
/// # Errors
/// Where no answer comes, or one that is not PostgreSQL's.
pub fn postgres_ask(connection: Connection, login: PgLogin<'_>, sql: &str) -> Result<PgAnswer, Silence> {
    let mut session = Session { connection, buffer: BytesMut::new() };
    if let Some(answer) = session.log_in(login)? {
        return Ok(answer);
    }
    let answer = if sql.is_empty() { PgAnswer::Rows(Vec::new()) } else { session.rows(sql)? };
    // A server that is left without a word writes that into its log.
    session.send(|bytes| {
        frontend::terminate(bytes);
        Ok(())
    })?;
    Ok(answer)
}

/// What the server keeps of `password`, with a new salt: given in its place, the server never sees the password, and neither does its log.
pub fn scram_verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

/// The same of a server of before 10, which keeps an MD5 of password and role.
pub fn md5_verifier(role: &str, password: &str) -> String {
    postgres_protocol::password::md5(password.as_bytes(), role)
}

struct Session {
    connection: Connection,
    buffer: BytesMut,
}

impl Session {
    /// None, once it is logged in and the server waits for a question.
    fn log_in(&mut self, login: PgLogin<'_>) -> Result<Option<PgAnswer>, Silence> {
        let parameters = [
            ("user", login.user),
            ("database", login.database),
            ("application_name", "surefoot"),
            ("client_encoding", "UTF8"),
        ];
        self.send(|bytes| frontend::startup_message(parameters, bytes))?;
        let mut scram: Option<ScramSha256> = None;
        loop {
            match self.next()? {
                Message::AuthenticationSasl(offered) => {
                    let Some(password) = login.password else { return Ok(Some(PgAnswer::WantsPassword)) };
                    if !offered.mechanisms().any(|name| Ok(name == SCRAM_SHA_256)).unwrap_or_default() {
                        return Err(Silence::Garbled("no login that is known is offered".to_owned()));
                    }
                    let begun = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    self.send(|bytes| frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), bytes))?;
                    scram = Some(begun);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let scram = scram.as_mut().ok_or_else(out_of_turn)?;
                    scram.update(body.data()).map_err(|_| out_of_turn())?;
                    self.send(|bytes| frontend::sasl_response(scram.message(), bytes))?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    let proven = scram.as_mut().ok_or_else(out_of_turn)?.finish(body.data());
                    proven.map_err(|_| Silence::Garbled("the server does not know the password itself".to_owned()))?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let Some(password) = login.password else { return Ok(Some(PgAnswer::WantsPassword)) };
                    let hash = md5_hash(login.user.as_bytes(), password.as_bytes(), body.salt());
                    self.send(|bytes| frontend::password_message(hash.as_bytes(), bytes))?;
                }
                Message::AuthenticationCleartextPassword => {
                    return Err(Silence::Garbled("it wants the password in clear text".to_owned()));
                }
                Message::ErrorResponse(body) => return Ok(Some(error(body.fields())?)),
                Message::ReadyForQuery(_) => return Ok(None),
                _ => {}
            }
        }
    }

    fn rows(&mut self, sql: &str) -> Result<PgAnswer, Silence> {
        self.send(|bytes| frontend::query(sql, bytes))?;
        let mut answer = PgAnswer::Rows(Vec::new());
        loop {
            match self.next()? {
                Message::DataRow(body) => {
                    if let PgAnswer::Rows(rows) = &mut answer {
                        rows.push(row(&body)?);
                    }
                }
                Message::ErrorResponse(body) => answer = error(body.fields())?,
                Message::ReadyForQuery(_) => return Ok(answer),
                _ => {}
            }
        }
    }

    fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<(), Silence> {
        let mut bytes = BytesMut::new();
        write(&mut bytes).map_err(|error| Silence::Other(error.to_string()))?;
        self.connection.send(&bytes)
    }

    fn next(&mut self) -> Result<Message, Silence> {
        loop {
            match Message::parse(&mut self.buffer) {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => {
                    let mut bytes = Vec::new();
                    self.connection.more(&mut bytes)?;
                    self.buffer.put_slice(&bytes);
                }
                Err(_) => {
                    return Err(Silence::Garbled(
                        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(40)]).into_owned(),
                    ));
                }
            }
        }
    }
}

fn out_of_turn() -> Silence {
    Silence::Garbled("a login out of turn".to_owned())
}

fn row(body: &DataRowBody) -> Result<Row, Silence> {
    let text = |range: Option<std::ops::Range<usize>>| {
        range.map(|range| String::from_utf8_lossy(&body.buffer()[range]).into_owned())
    };
    body.ranges().map(|range| Ok(text(range))).collect().map_err(|error| Silence::Garbled(error.to_string()))
}

fn error(mut fields: ErrorFields<'_>) -> Result<PgAnswer, Silence> {
    let (mut code, mut message) = (String::new(), String::new());
    while let Some(field) = fields.next().map_err(|error| Silence::Garbled(error.to_string()))? {
        let text = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = text,
            b'M' => message = text,
            _ => {}
        }
    }
    // Starting up, shutting down, recovering; or it ended while we asked.
    Ok(if code == "57P03" || code == "57P01" { PgAnswer::NotYet(message) } else { PgAnswer::Error { code, message } })
}

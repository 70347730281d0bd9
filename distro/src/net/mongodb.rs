//! Just enough of MongoDB's wire protocol to log in and to look after users: commands in `OP_MSG` messages, which servers have understood
//! since 3.6, and in `OP_QUERY` messages for those of before (both of MongoDB's manual, "Wire Protocol").

use std::time::Duration;

use md5::{Digest, Md5};

use super::bson::{Document, Value};
use super::scram::{Hash, Scram};
use super::{Connection, Endpoint, Silence, connect, hex};

/// Kinds of messages: a command and its answer; and what they were before 3.6.
const OP_MSG: i32 = 2013;
const OP_QUERY: i32 = 2004;
const OP_REPLY: i32 = 1;
/// Flags, cursor, first and number of the documents before those of an `OP_REPLY`.
const REPLY_BYTES: usize = 20;
/// Length of a message's header.
const HEADER_BYTES: usize = 16;
/// Longest answer that is read.
const ANSWER_BYTES: usize = 1 << 20;
/// Most messages of one login.
const LOGIN_MESSAGES: usize = 8;
/// Version of the protocol, that of 4.0, from which on logins are by SCRAM-SHA-256.
const SCRAM_SHA_256: u32 = 7;

/// A connection to a server.
#[derive(Debug)]
pub struct Mongodb {
    connection: Connection,
    number: i32,
    /// Version of the protocol: one for each series of servers.
    wire: u32,
    /// Does it understand `OP_MSG` messages?
    modern: bool,
}

/// Series of servers that are told apart, with the version of the protocol that each came with.
pub const SERIES: [(&str, u32); 4] = [("3.4", 5), ("3.6", 6), ("4.0", 7), ("4.2", 8)];

/// A command that a server did not carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number for the reason.
    pub code: i32,
    /// Its words.
    pub message: String,
}

impl Refusal {
    /// Wrong name or password.
    pub const LOGIN: i32 = 18;
    /// The user may not do that, or nobody has logged in.
    pub const UNAUTHORIZED: i32 = 13;
    /// There is no user of that name.
    pub const NO_USER: i32 = 11;
}

/// An answer: nothing that one can talk to; a server that refuses; or what it says.
pub type Said<T> = Result<Result<T, Refusal>, Silence>;

impl Mongodb {
    /// Connects to the server at `to`; connecting and everything said afterwards may take `limit` in all.
    ///
    /// # Errors
    /// Where nobody answers, or something that is not a MongoDB server.
    pub fn connect(to: &Endpoint, limit: Duration) -> Result<Self, Silence> {
        match Self::greet(to, limit, true) {
            // So one of before 3.6 takes words that it does not know.
            Err(Silence::Closed) => Self::greet(to, limit, false).map_err(|_| Silence::Closed),
            greeted => greeted,
        }
    }

    fn greet(to: &Endpoint, limit: Duration, modern: bool) -> Result<Self, Silence> {
        let mut server = Self { connection: connect(to, limit)?, number: 0, wire: 0, modern };
        // Newer servers call it `hello`, and understand this name, too.
        let said = server.command("admin", Document::default().with("isMaster", 1))?;
        let said = said.map_err(|refusal| Silence::Garbled(refusal.message))?;
        let wire = said.number("maxWireVersion").ok_or_else(|| Silence::Garbled("no maxWireVersion".to_owned()))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
        {
            server.wire = wire as u32;
        }
        Ok(server)
    }

    /// Where it is older than the series `oldest`, which is one of [`SERIES`]: the name of its own.
    pub fn older_than(&self, oldest: &str) -> Option<&'static str> {
        let known = SERIES.iter().find(|(name, _)| *name == oldest)?;
        let own = SERIES.iter().rev().find(|(_, wire)| *wire <= self.wire);
        (self.wire < known.1).then(|| own.map_or("3.2 or earlier", |(name, _)| name))
    }

    /// Logs in as the `user` of `database` by SCRAM-SHA-256, or as one by SCRAM-SHA-1 who was made before 4.0.
    ///
    /// # Errors
    /// Where the server says nothing that makes sense. Inside: it refuses.
    pub fn login(&mut self, database: &str, user: &str, password: &str) -> Said<()> {
        // Of the password it was given a digest then.
        let digest = || hex(&Md5::digest(format!("{user}:mongo:{password}")));
        if self.wire < SCRAM_SHA_256 {
            return self.login_by(Hash::Sha1, database, user, &digest());
        }
        match self.login_by(Hash::Sha256, database, user, password)? {
            Err(refusal) => match self.login_by(Hash::Sha1, database, user, &digest()) {
                Ok(Ok(())) => Ok(Ok(())),
                _ => Ok(Err(refusal)),
            },
            done => Ok(done),
        }
    }

    fn login_by(&mut self, hash: Hash, database: &str, user: &str, password: &str) -> Said<()> {
        let scram = Scram::new(hash, user).map_err(|error| Silence::Other(error.to_string()))?;
        let mechanism = if hash == Hash::Sha1 { "SCRAM-SHA-1" } else { "SCRAM-SHA-256" };
        let start = Document::default()
            .with("saslStart", 1)
            .with("mechanism", mechanism)
            .with("payload", Value::Binary(scram.first().into_bytes()))
            .with("options", Document::default().with("skipEmptyExchange", Value::Bool(true)));
        let mut said = match self.command(database, start)? {
            Ok(said) => said,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let garbled = || Silence::Garbled(format!("a login that is not {mechanism}"));
        let proof = scram.answer(&payload(&said), password).ok_or_else(garbled)?;
        let mut answer = proof.message.clone();
        let mut proven = false;
        for _ in 0..LOGIN_MESSAGES {
            let conversation = said.get("conversationId").cloned().unwrap_or(Value::Int(1));
            let next = Document::default()
                .with("saslContinue", 1)
                .with("conversationId", conversation)
                .with("payload", Value::Binary(std::mem::take(&mut answer).into_bytes()));
            said = match self.command(database, next)? {
                Ok(said) => said,
                Err(refusal) => return Ok(Err(refusal)),
            };
            proven |= proof.is_met_by(&payload(&said));
            if said.number("done").is_some_and(|done| done != 0.0) {
                return if proven { Ok(Ok(())) } else { Err(garbled()) };
            }
        }
        Err(garbled())
    }

    /// Has the server carry out a command in `database`.
    ///
    /// # Errors
    /// Where the server says nothing that makes sense. Inside: it refuses.
    pub fn command(&mut self, database: &str, command: Document) -> Said<Document> {
        self.number += 1;
        let (kind, rest) = if self.modern {
            // No flags; one section, a document.
            (OP_MSG, [&[0; 4][..], &[0], &command.with("$db", database).bytes()].concat())
        } else {
            // No flags; none is skipped, and one is asked for.
            let of = format!("{database}.$cmd\0");
            (OP_QUERY, [&[0; 4][..], of.as_bytes(), &[0; 4], &(-1_i32).to_le_bytes(), &command.bytes()].concat())
        };
        let length = i32::try_from(HEADER_BYTES + rest.len()).unwrap_or(i32::MAX);
        let header = [length, self.number, 0, kind].map(i32::to_le_bytes).concat();
        self.connection.send(&[header, rest].concat())?;
        let said = self.answer()?;
        if said.number("ok").is_some_and(|ok| ok != 0.0) {
            return Ok(Ok(said));
        }
        #[expect(clippy::cast_possible_truncation, reason = "codes are small whole numbers")]
        let code = said.number("code").unwrap_or_default() as i32;
        let message = said.text("errmsg").unwrap_or("no reason is given").chars();
        Ok(Err(Refusal { code, message: message.take(300).filter(|c| !c.is_control()).collect() }))
    }

    fn answer(&mut self) -> Result<Document, Silence> {
        let garbled = || Silence::Garbled("not a message of MongoDB".to_owned());
        let header = self.connection.exactly(HEADER_BYTES)?;
        let number = |at: usize| i32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let length = usize::try_from(number(0)).ok().and_then(|length| length.checked_sub(HEADER_BYTES));
        let length = length.filter(|length| (5..=ANSWER_BYTES).contains(length)).ok_or_else(garbled)?;
        let kind = if self.modern { OP_MSG } else { OP_REPLY };
        if number(12) != kind || number(8) != self.number {
            return Err(garbled());
        }
        let message = self.connection.exactly(length)?;
        if !self.modern {
            return message.get(REPLY_BYTES..).and_then(Document::read).ok_or_else(garbled);
        }
        // A checksum may follow, which is said by the first flag.
        let end = if message[0] & 1 == 1 { length.saturating_sub(4) } else { length };
        message.get(5..end).and_then(Document::read).ok_or_else(garbled)
    }
}

fn payload(said: &Document) -> String {
    String::from_utf8_lossy(said.binary("payload").unwrap_or_default()).into_owned()
}

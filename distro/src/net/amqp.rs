//! Just enough of AMQP 0-9-1 to know whether a server answers and takes a login.

use super::{Connection, Silence};

/// What a client says first.
const HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The type of a frame that holds a method.
const METHOD: u8 = 1;
/// The byte at the end of every frame.
const FRAME_END: u8 = 0xce;
/// Longest frame that is read: the server's own description of itself is a few hundred bytes.
const FRAME_BYTES: usize = 1 << 17;
/// Class of the methods that are about a connection.
const CONNECTION: u16 = 10;

const START: u16 = 10;
const START_OK: u16 = 11;
const TUNE: u16 = 30;
const TUNE_OK: u16 = 31;
const OPEN: u16 = 40;
const OPEN_OK: u16 = 41;
const CLOSE: u16 = 50;
const CLOSE_OK: u16 = 51;

/// Who to log in as, and where to.
#[derive(Clone, Copy)]
pub struct AmqpLogin<'a> {
    /// User.
    pub user: &'a str,
    /// Password.
    pub password: &'a str,
    /// Virtual host.
    pub vhost: &'a str,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Amqp {
    /// It took the login.
    Open,
    /// It closed the connection: its code and words (`403 ACCESS_REFUSED - …`).
    Closed(u16, String),
}

/// Logs in over `connection` and opens the virtual host.
///
/// # Errors
/// Where no answer comes, or one that is not AMQP's.
pub fn amqp_login(mut connection: Connection, login: AmqpLogin<'_>) -> Result<Amqp, Silence> {
    connection.send(HEADER)?;
    let mut session = Session { connection, buffer: Vec::new() };
    if let Answer::Closed(closed) = session.wait_for(START)? {
        return Ok(closed);
    }
    session.send(START_OK, &start_ok(login)?)?;
    let proposed = match session.wait_for(TUNE)? {
        Answer::Arguments(proposed) => proposed,
        Answer::Closed(closed) => return Ok(closed),
    };
    // As many channels and as large frames as it proposes, no heartbeat.
    let agreed = proposed.iter().copied().take(6).chain([0, 0]).collect::<Vec<u8>>();
    session.send(TUNE_OK, &agreed)?;
    let mut open = Vec::new();
    short(&mut open, login.vhost)?;
    open.extend([0, 0]);
    session.send(OPEN, &open)?;
    if let Answer::Closed(closed) = session.wait_for(OPEN_OK)? {
        return Ok(closed);
    }
    // A connection that only ends is written into the server's log.
    session.send(CLOSE, &[&200u16.to_be_bytes()[..], &[0; 5]].concat())?;
    session.wait_for(CLOSE_OK)?;
    Ok(Amqp::Open)
}

/// The client's properties, mechanism, response and locale. It can be told that a login failed: without that the server only hangs up,
/// after a while.
fn start_ok(login: AmqpLogin<'_>) -> Result<Vec<u8>, Silence> {
    let mut capabilities = Vec::new();
    short(&mut capabilities, "authentication_failure_close")?;
    capabilities.extend(b"t\x01");
    let mut properties = Vec::new();
    short(&mut properties, "product")?;
    properties.push(b'S');
    long(&mut properties, b"surefoot");
    short(&mut properties, "capabilities")?;
    properties.push(b'F');
    long(&mut properties, &capabilities);
    let mut arguments = Vec::new();
    long(&mut arguments, &properties);
    short(&mut arguments, "PLAIN")?;
    long(&mut arguments, format!("\0{}\0{}", login.user, login.password).as_bytes());
    short(&mut arguments, "en_US")?;
    Ok(arguments)
}

/// A text of at most 255 bytes.
fn short(bytes: &mut Vec<u8>, text: &str) -> Result<(), Silence> {
    let length = u8::try_from(text.len()).map_err(|_| Silence::Other("a name of more than 255 bytes".to_owned()))?;
    bytes.push(length);
    bytes.extend(text.as_bytes());
    Ok(())
}

fn long(bytes: &mut Vec<u8>, content: &[u8]) {
    bytes.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(content);
}

/// What came instead of or as the method that is waited for.
enum Answer {
    Arguments(Vec<u8>),
    Closed(Amqp),
}

struct Session {
    connection: Connection,
    buffer: Vec<u8>,
}

impl Session {
    fn send(&mut self, method: u16, arguments: &[u8]) -> Result<(), Silence> {
        let payload = [&CONNECTION.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        let mut frame = vec![METHOD, 0, 0];
        long(&mut frame, &payload);
        frame.push(FRAME_END);
        self.connection.send(&frame)
    }

    /// Reads frames until `method` comes. A connection that the server closes instead is told.
    fn wait_for(&mut self, method: u16) -> Result<Answer, Silence> {
        loop {
            let frame = self.frame()?;
            match (frame.first(), frame.get(7..9), frame.get(9..11)) {
                (Some(&METHOD), Some(class), Some(found)) if class == CONNECTION.to_be_bytes() => {
                    let found = u16::from_be_bytes([found[0], found[1]]);
                    if found == method {
                        return Ok(Answer::Arguments(frame[11..frame.len() - 1].to_vec()));
                    }
                    if found == CLOSE {
                        self.send(CLOSE_OK, &[])?;
                        return Ok(Answer::Closed(reason(&frame[11..])));
                    }
                }
                _ => {}
            }
        }
    }

    /// The next frame, with its end.
    fn frame(&mut self) -> Result<Vec<u8>, Silence> {
        loop {
            if self.buffer.starts_with(b"AMQP") {
                return Err(Silence::Garbled("another version of AMQP".to_owned()));
            }
            if let Some(size) = self.buffer.get(3..7) {
                let size = size.iter().fold(0usize, |size, byte| size << 8 | usize::from(*byte));
                if size > FRAME_BYTES || self.buffer[0] == 0 || self.buffer[0] > 8 {
                    let said: String = String::from_utf8_lossy(&self.buffer).chars().take(40).collect();
                    return Err(Silence::Garbled(said.replace(char::is_control, "\u{fffd}")));
                }
                if self.buffer.len() >= size + 8 {
                    let rest = self.buffer.split_off(size + 8);
                    return Ok(std::mem::replace(&mut self.buffer, rest));
                }
            }
            self.connection.more(&mut self.buffer)?;
        }
    }
}

/// From the arguments of `close`.
fn reason(arguments: &[u8]) -> Amqp {
    let code = arguments.get(..2).map_or(0, |code| u16::from_be_bytes([code[0], code[1]]));
    let length = arguments.get(2).map_or(0, |length| usize::from(*length));
    let text = arguments.get(3..3 + length).unwrap_or_default();
    Amqp::Closed(code, String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_the_greeting() {
        let login = AmqpLogin { user: "a", password: "pw", vhost: "/" };
        let bytes = start_ok(login).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("\u{1c}authentication_failure_closet\u{1}"), "{text:?}");
        assert!(text.ends_with("\u{5}PLAIN\0\0\0\u{5}\0a\0pw\u{5}en_US"), "{text:?}");
        let properties = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        assert_eq!(&bytes[4 + properties..4 + properties + 6], b"\x05PLAIN");
    }

    #[test]
    fn why_it_closes() {
        let arguments = [&403u16.to_be_bytes()[..], b"\x0eACCESS_REFUSED\0\0\0\0"].concat();
        assert_eq!(reason(&arguments), Amqp::Closed(403, "ACCESS_REFUSED".into()));
        assert_eq!(reason(&[]), Amqp::Closed(0, String::new()));
        assert_eq!(reason(&[1, 2, 200, 3]), Amqp::Closed(258, String::new()));
    }
}

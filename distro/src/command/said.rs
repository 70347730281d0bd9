//! What a command says, line by line.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc;

use super::Stream;

/// Longest line that is kept; the rest of it is cut and marked.
const LINE_BYTES: usize = 4096;
/// Most bytes of either stream that are kept for the caller; more is read, told and dropped.
const KEPT_BYTES: usize = 4 << 20;

/// Where a line came from.
#[derive(Clone, Copy)]
pub(super) enum From {
    Child(Stream),
    Status,
}

/// What comes from a command.
pub(super) enum Heard {
    Line(From, String),
    Exit(std::io::Result<std::process::ExitStatus>),
}

/// What of it is kept for the caller.
#[derive(Default)]
pub(super) struct Collected {
    pub out: String,
    pub err: String,
    pub tail: VecDeque<String>,
}

impl Collected {
    pub fn add(&mut self, stream: Stream, text: String) {
        let kept = if stream == Stream::Out { &mut self.out } else { &mut self.err };
        if kept.len() + text.len() < KEPT_BYTES {
            kept.push_str(&text);
            kept.push('\n');
        }
        if !text.trim().is_empty() {
            if self.tail.len() == 40 {
                self.tail.pop_front();
            }
            self.tail.push_back(text);
        }
    }
}

/// Sends the lines of `pipe`; a line ends at `\n` or, for programs that draw progress bars, at `\r`.
pub(super) fn read_lines(pipe: impl Read + Send + 'static, from: From, send: mpsc::Sender<Heard>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line: Vec<u8> = Vec::new();
        let mut cut = false;
        while let Ok(buffer) = reader.fill_buf() {
            if buffer.is_empty() {
                break;
            }
            let used = buffer.len();
            for &byte in buffer {
                if byte == b'\n' || byte == b'\r' {
                    if (byte == b'\n' || !line.is_empty()) && send.send(Heard::Line(from, text(&line, cut))).is_err() {
                        return;
                    }
                    line.clear();
                    cut = false;
                } else if line.len() < LINE_BYTES {
                    line.push(byte);
                } else {
                    cut = true;
                }
            }
            reader.consume(used);
        }
        if !line.is_empty() {
            drop(send.send(Heard::Line(from, text(&line, cut))));
        }
    });
}

/// A line as text: bytes that are not UTF-8 and control characters replaced, cuts marked.
fn text(line: &[u8], cut: bool) -> String {
    let mut text: String = String::from_utf8_lossy(line)
        .chars()
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect();
    if cut {
        text.push_str(" […cut]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_long_lines_are_made_harmless() {
        assert_eq!(text(b"a\x1b[31mb", false), "a\u{fffd}[31mb");
        assert_eq!(text(b"a", true), "a […cut]");
    }
}

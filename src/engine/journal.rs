//! The journal: what was intended and what was done, per product.
//!
//! An append-only file of lines `CRC32 JSON`. Each record has a sequence number and is fsynced before the engine goes on. It
//! holds ids, keyed digests, undo data and outcomes, never a secret (docs/architecture.md lists the records). A torn last
//! record is dropped and named; damage before it is class `state`; a newer format is refused.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::{Class, Fault, failure::io_fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use steps::Undo;

/// Version of the format. Raised when an older binary could misread what a newer one wrote.
pub const FORMAT: u32 = 1;
/// Space that is reserved beyond the end when a run starts: a run of a few hundred resources writes some 200 KiB.
const RESERVE: i64 = 512 << 10;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// From 1, without gaps.
    pub seq: u64,
    /// What is recorded.
    #[serde(flatten)]
    pub record: Record,
}

/// A thing on the host that a resource wants for itself, and a keyed digest of what it wants of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimTold {
    /// As in [`steps::Claim`].
    pub thing: String,
    /// Keyed digest.
    pub wants: String,
}

/// A part of a resource that is about to be changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemTold {
    /// Name of the part, as in [`steps::Change`].
    pub item: String,
    /// What is done.
    pub summary: String,
    /// How to take it back.
    pub undo: Undo,
    /// Is it the user's data?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub data: bool,
    /// Keyed digest of what will be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrote: Option<String>,
    /// Had it stayed when it was to be taken back, as somebody had changed it since? Then it was theirs, and this intent counts as the first;
    /// where it is inherited, the next one does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
}

/// What came of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was changed, and seen in place after.
    Changed,
    /// A service took up what was changed elsewhere in this run, and was seen in place after.
    Restarted,
    /// An earlier attempt had changed it and was stopped before it could say so.
    InPlace,
    /// The change failed.
    Failed,
}

/// What came of an undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoOutcome {
    /// Taken back.
    Done,
    /// A package was removed; its configuration and data are there until a purge.
    Removed,
    /// There was nothing left to take back.
    Gone,
    /// It stays.
    Kept,
    /// Another product wants it; it is that one's now.
    Handed,
}

/// A record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// The first record.
    Journal {
        /// Version of the format.
        format: u32,
        /// Name of the product.
        product: String,
        /// Version of surefoot that began it.
        surefoot: String,
    },
    /// An invocation that changes the host began.
    Attempt {
        /// Id of the run.
        run: String,
        /// Number of the attempt.
        attempt: u32,
        /// `install` or `uninstall`.
        action: String,
        /// Version of surefoot.
        surefoot: String,
        /// The kernel's boot id: processes named below are of this boot.
        boot_id: String,
        /// Digest of the blueprint.
        blueprint: String,
        /// Was `--purge` given?
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        purge: bool,
    },
    /// A resource was in place when it was first looked at: it is somebody else's.
    Found {
        /// `step/type:key`.
        resource: String,
        /// What it claims.
        claims: Vec<ClaimTold>,
    },
    /// A resource is about to be changed.
    Intent {
        /// `step/type:key`.
        resource: String,
        /// What it claims.
        claims: Vec<ClaimTold>,
        /// Its parts that are changed.
        items: Vec<ItemTold>,
    },
    /// A package transaction runs that outlives us.
    Child {
        /// Process id.
        pid: u32,
        /// Start time as the kernel tells it, so that another process of that id is not taken for it.
        start: u64,
    },
    /// What came of a resource.
    Outcome {
        /// `step/type:key`.
        resource: String,
        /// What came of it.
        result: Outcome,
    },
    /// A resource was seen in place; what was seen.
    Seen {
        /// `step/type:key`.
        resource: String,
        /// For later probes.
        seen: Value,
    },
    /// A step was renamed in the blueprint.
    Renamed {
        /// Old `step/type:key`.
        was: String,
        /// New one.
        resource: String,
    },
    /// A part is about to be taken back.
    Undo {
        /// `step/type:key`.
        resource: String,
        /// Name of the part.
        item: String,
    },
    /// What came of it.
    Undone {
        /// `step/type:key`.
        resource: String,
        /// Name of the part.
        item: String,
        /// What came of it.
        result: UndoOutcome,
    },
    /// Parts that another product had made, and left to this one when it was uninstalled.
    Inherited {
        /// The other product.
        from: String,
        /// `step/type:key` of this product.
        resource: String,
        /// The parts.
        items: Vec<ItemTold>,
    },
    /// A resource is no longer of this product: everything of it was taken back, handed over or was never ours.
    Forgotten {
        /// `step/type:key`.
        resource: String,
    },
    /// The invocation ended in an orderly way.
    End {
        /// `done`, `failed` or `interrupted`.
        result: String,
        /// Resources in place without a change.
        in_place: usize,
        /// Resources changed.
        changed: usize,
    },
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    next: u64,
    product: String,
}

/// What a journal's file held.
#[derive(Debug, Default)]
pub struct Content {
    /// The records.
    pub records: Vec<Record>,
    /// Number of the last one.
    pub last: u64,
    /// How many bytes at the end were a torn record.
    pub torn: usize,
    /// Where the torn record begins.
    sound: usize,
}

impl Journal {
    /// Opens the journal for writing, after its content was read: makes it where there is none, cuts a torn last record off,
    /// and reserves space.
    ///
    /// # Errors
    /// Class `disk` or `permission`, where that is not possible.
    pub fn open(path: &Path, product: &str, content: &Content) -> Result<Self> {
        let fail = |error: std::io::Error| io_fault(&error, "write the journal", path);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(fail)?;
        if content.torn > 0 {
            file.set_len(content.sound as u64).map_err(fail)?;
        }
        reserve(&file, content.sound).map_err(fail)?;
        Ok(Self { path: path.to_owned(), file, next: content.last + 1, product: product.to_owned() })
    }

    /// Appends a record and fsyncs it.
    ///
    /// # Errors
    /// Class `disk`: the run has to stop before it changes anything more.
    pub fn write(&mut self, record: Record) -> Result<()> {
        self.write_all([record])
    }

    /// Appends records and fsyncs them together.
    ///
    /// # Errors
    /// As [`Journal::write`].
    pub fn write_all(&mut self, records: impl IntoIterator<Item = Record>) -> Result<()> {
        let mut bytes = Vec::new();
        // The first record travels with the one after it: a journal that says nothing of a run cannot be resumed.
        let first = (self.next == 1).then(|| Record::Journal {
            format: FORMAT,
            product: self.product.clone(),
            surefoot: env!("CARGO_PKG_VERSION").to_owned(),
        });
        let new = first.is_some();
        for record in first.into_iter().chain(records) {
            bytes.extend_from_slice(encode(&Line { seq: self.next, record })?.as_bytes());
            self.next += 1;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let fail = |error: std::io::Error| {
            io_fault(&error, "write the journal", &self.path)
                .advice("make room on that file system, then run again with --resume; nothing was changed after this")
        };
        self.file.write_all(&bytes).and_then(|()| self.file.sync_data()).map_err(fail)?;
        if new && let Some(folder) = self.path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
        }
        Ok(())
    }
}

/// Reserves space beyond the end, where the file system can; one that cannot is written all the same.
fn reserve(file: &File, from: usize) -> std::io::Result<()> {
    use nix::fcntl::{FallocateFlags, fallocate};
    let from = i64::try_from(from).unwrap_or(i64::MAX - RESERVE);
    match fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, from, RESERVE) {
        Err(nix::errno::Errno::ENOSPC) => Err(nix::errno::Errno::ENOSPC.into()),
        _ => Ok(()),
    }
}

fn encode(line: &Line) -> Result<String> {
    let json = serde_json::to_string(line)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

/// Reads the journal at `path`; where there is none, an empty one.
///
/// # Errors
/// Class `state`, where it is damaged before its last record or of a newer format.
pub fn read(path: &Path) -> Result<Content> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Content::default()),
        Err(error) => return Err(io_fault(&error, "read the journal", path).into()),
    }
    parse(&bytes).map_err(|fault| fault.evidence([format!("journal {}", path.display())]).into())
}

/// Parses a journal's bytes.
fn parse(bytes: &[u8]) -> Result<Content, Fault> {
    let mut content = Content::default();
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes[at..].iter().position(|byte| *byte == b'\n').map(|length| at + length);
        let line = end.and_then(|end| decode(&bytes[at..end], content.last + 1).transpose());
        match (line, end) {
            (Some(Ok(line)), Some(end)) => {
                if let Record::Journal { format, surefoot, .. } = &line.record
                    && *format > FORMAT
                {
                    return Err(newer(*format, surefoot));
                }
                content.last = line.seq;
                content.records.push(line.record);
                at = end + 1;
            }
            (Some(Err(fault)), _) => return Err(fault),
            // A record that does not check out is torn where nothing sound follows it, and damage where something does.
            _ => {
                let rest = &bytes[at..];
                let sound_after = rest.split(|byte| *byte == b'\n').skip(1).any(is_sound);
                if sound_after {
                    return Err(Fault::new(
                        Class::State,
                        format!("the journal is damaged after record {}", content.last),
                    )
                    .advice(
                        "restore the file from a backup; or move it away and run again: everything on the host is then \
                         found, not owned, and uninstall will leave it",
                    ));
                }
                content.torn = rest.len();
                break;
            }
        }
    }
    content.sound = bytes.len() - content.torn;
    Ok(content)
}

fn newer(format: u32, surefoot: &str) -> Fault {
    Fault::new(
        Class::State,
        format!("the journal has format {format}, written by surefoot {surefoot}; this one knows format {FORMAT}"),
    )
    .advice(format!("use surefoot {surefoot} or newer"))
}

fn checked(line: &[u8]) -> Option<&[u8]> {
    let (crc, json) = (line.get(..8)?, line.get(9..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    (line.get(8) == Some(&b' ') && crc32fast::hash(json) == crc).then_some(json)
}

fn is_sound(line: &[u8]) -> bool {
    checked(line).is_some()
}

/// A line's record; none where the checksum is wrong.
fn decode(line: &[u8], expected: u64) -> Result<Option<Line>, Fault> {
    let Some(json) = checked(line) else { return Ok(None) };
    let value: Value = serde_json::from_slice(json).unwrap_or_default();
    let format = value.get("format").and_then(Value::as_u64).and_then(|format| u32::try_from(format).ok());
    let by = value.get("surefoot").and_then(Value::as_str).unwrap_or("of a newer version");
    if let Some(format) = format.filter(|format| *format > FORMAT) {
        return Err(newer(format, by));
    }
    let line: Line = serde_json::from_value(value).map_err(|error| {
        Fault::new(Class::State, format!("record {expected} of the journal is not understood: {error}"))
            .advice("use the version of surefoot that wrote it, or a newer one")
    })?;
    if line.seq != expected {
        return Err(Fault::new(Class::State, format!("record {expected} of the journal is missing")).advice(
            "restore the file from a backup; or move it away and run again: what is on the host is then found",
        ));
    }
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(n: usize) -> Record {
        Record::End { result: "done".into(), in_place: n, changed: 0 }
    }

    fn written(records: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for seq in 1..=records {
            bytes.extend(encode(&Line { seq: seq as u64, record: end(seq) }).unwrap().into_bytes());
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        for _ in 0..2 {
            let content = read(&path).unwrap();
            Journal::open(&path, "p", &content).unwrap().write_all([end(1), end(2)]).unwrap();
        }
        let content = read(&path).unwrap();
        assert_eq!((content.records.len(), content.last, content.torn), (5, 5, 0));
    }

    #[test]
    fn a_torn_end_is_dropped_at_every_byte() {
        let bytes = written(3);
        let two = written(2).len();
        for cut in two + 1..bytes.len() {
            let content = parse(&bytes[..cut]).unwrap();
            assert_eq!((content.records.len(), content.torn), (2, cut - two), "cut at {cut}");
        }
        // A power cut may leave zeros where the last record should be.
        let mut zeros = written(2);
        zeros.extend([0; 100]);
        assert_eq!(parse(&zeros).unwrap().torn, 100);
    }

    #[test]
    fn a_torn_record_is_cut_off_before_the_next_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut bytes = written(2);
        bytes.extend(b"0000 torn");
        std::fs::write(&path, &bytes).unwrap();
        let content = read(&path).unwrap();
        Journal::open(&path, "p", &content).unwrap().write(end(3)).unwrap();
        assert_eq!(read(&path).unwrap().records, [end(1), end(2), end(3)]);
    }

    #[test]
    fn damage_before_the_end_is_named() {
        let sound = written(4);
        let first = written(1).len();
        for at in first..written(3).len() - 1 {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            let fault = parse(&bytes).unwrap_err();
            assert_eq!(fault.class, Class::State, "byte {at}");
        }
    }

    #[test]
    fn a_newer_format_is_refused() {
        let json = r#"{"seq":1,"type":"journal","format":2,"product":"p","surefoot":"9.9.9","shape":"new"}"#;
        let bytes = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let fault = parse(bytes.as_bytes()).unwrap_err();
        assert!(fault.message.contains("9.9.9") && fault.class == Class::State, "{fault}");
    }
}

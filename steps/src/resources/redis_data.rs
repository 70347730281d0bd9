//! What a Redis holds that is there already: what it says itself, and its files where it says nothing.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use distro::failure::io_fault;
use distro::files;
use distro::net::{Login, RedisData, RedisQuestion, redis_data};

use super::service::endpoint;
use crate::Cx;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(2);
/// How many bytes of a snapshot come before its data, at most.
const HEAD: u64 = 512;

/// A server, whoever set it up.
#[derive(Clone)]
pub struct Server {
    /// Its unit.
    pub unit: String,
    /// Its data folder, where its configuration names no other.
    pub data: String,
    /// Its configuration files, in the order in which it takes them.
    pub config: Vec<String>,
    /// Address and port at which ours will be.
    pub addr: String,
    /// Name of the user; the default user where there is none.
    pub user: Option<String>,
    /// Password, which one that somebody else set up need not take.
    pub password: String,
}

impl Server {
    /// Does it run, and what does it say of its data?
    pub fn ask(&self, cx: &Cx<'_>, question: RedisQuestion) -> Result<(bool, RedisData)> {
        if !cx.look.unit(&self.unit)?.active {
            return Ok((false, RedisData::default()));
        }
        let login = Login { user: self.user.as_deref(), password: Some(&self.password) };
        let to = endpoint(&cx.host.runner, &self.addr)?;
        Ok((true, redis_data(&to, login, question, LIMIT).unwrap_or_default()))
    }

    /// The value of a setting in its configuration files: the last one counts.
    pub fn configured(&self, key: &str) -> Result<Option<String>> {
        let mut value = None;
        for path in &self.config {
            let text = files::read(Path::new(path))?.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let last = text.lines().rev().find_map(|line| {
                let (word, rest) = line.trim().split_once([' ', '\t'])?;
                word.eq_ignore_ascii_case(key).then(|| rest.trim().to_owned())
            });
            value = last.or(value);
        }
        Ok(value)
    }

    /// A file or a folder by the setting that names it; `usual`, where nothing does. It quotes these when it writes its configuration itself.
    fn named(&self, key: &str, usual: &str) -> Result<PathBuf> {
        let named = self.configured(key)?;
        Ok(named.as_deref().map_or(usual, |named| named.trim_matches(['"', '\''])).into())
    }

    /// Where its data are.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(Path::new(&self.data).join(self.named("dir", &self.data)?))
    }

    /// Where its snapshot is.
    pub fn snapshot(&self) -> Result<PathBuf> {
        Ok(self.folder()?.join(self.named("dbfilename", "dump.rdb")?))
    }

    /// When its snapshot was written, where there is one.
    pub fn saved(&self) -> Result<Option<SystemTime>> {
        written(&self.snapshot()?)
    }

    /// When its log was written, where there is one: a file up to Redis 6, a folder since.
    pub fn logged(&self) -> Result<Option<SystemTime>> {
        let above = self.folder()?;
        let folder = above.join(self.named("appenddirname", "appendonlydir")?);
        let mut last = written(&above.join(self.named("appendfilename", "appendonly.aof")?))?.max(written(&folder)?);
        if last.is_some() && folder.is_dir() {
            for entry in folder.read_dir().map_err(|error| io_fault(&error, "read", &folder))? {
                last = last.max(written(&entry.map_err(|error| io_fault(&error, "read", &folder))?.path())?);
            }
        }
        Ok(last)
    }

    /// How many bytes its snapshot takes in memory, and what says so; where it does not say so itself, they are no fewer than it has.
    pub fn in_snapshot(&self) -> Result<Option<(u64, String)>> {
        let path = self.snapshot()?;
        let Some((head, length)) = files::head(&path, HEAD)? else { return Ok(None) };
        Ok(Some(match used_by(&head) {
            Some(used) => (used, format!("{} was written with {used} bytes in memory", path.display())),
            None => (length, format!("{} has {length} bytes", path.display())),
        }))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("unit", &self.unit).field("data", &self.data).finish_non_exhaustive()
    }
}

fn written(path: &Path) -> Result<Option<SystemTime>> {
    match path.symlink_metadata().and_then(|seen| seen.modified()) {
        Ok(time) => Ok(Some(time)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_fault(&error, "look at", path).into()),
    }
}

/// What the beginning of a snapshot says of the memory that its data took (`used-mem`): a whole number of 1, 2 or 4 bytes, or its digits.
fn used_by(head: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"used-mem";
    let at = head.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let (sort, rest) = head.get(at..)?.split_first()?;
    let bytes = |count: usize| rest.get(..count);
    match sort {
        0xc0 => Some(u64::from(*rest.first()?)),
        0xc1 => Some(u64::from(u16::from_le_bytes(bytes(2)?.try_into().ok()?))),
        0xc2 => Some(u64::from(u32::from_le_bytes(bytes(4)?.try_into().ok()?))),
        1..=0x3f => std::str::from_utf8(bytes(usize::from(*sort))?).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One whose data and configuration are in `folder`.
    pub fn server(folder: &Path) -> Server {
        let at = |name: &str| folder.join(name).display().to_string();
        Server {
            unit: "redis-server.service".into(),
            data: at(""),
            config: vec![at("redis.conf"), at("own.conf")],
            addr: "127.0.0.1:1".into(),
            user: None,
            password: "hunter2".into(),
        }
    }

    #[test]
    fn data_are_where_its_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("big");
        std::fs::create_dir_all(elsewhere.join("log")).unwrap();
        let server = server(folder.path());
        assert_eq!(server.snapshot().unwrap(), folder.path().join("dump.rdb"));
        let config = format!(
            "dir \"{}\"\ndbfilename \"own.rdb\"\nappendfilename 'own.aof'\nappenddirname log\n",
            elsewhere.display()
        );
        std::fs::write(folder.path().join("redis.conf"), config).unwrap();
        assert_eq!(server.snapshot().unwrap(), elsewhere.join("own.rdb"));
        assert!(server.saved().unwrap().is_none() && server.logged().unwrap().is_some());
        std::fs::remove_dir(elsewhere.join("log")).unwrap();
        assert!(server.logged().unwrap().is_none());
        std::fs::write(elsewhere.join("own.aof"), "").unwrap();
        std::fs::write(elsewhere.join("own.rdb"), "").unwrap();
        assert!(server.saved().unwrap().is_some() && server.logged().unwrap().is_some());
    }

    #[test]
    fn what_a_snapshot_says_of_its_memory() {
        let head = |sort: &[u8]| [b"REDIS0009\xfa\x09redis-ver\x056.0.1\xfa\x08used-mem", sort, b"\xfa\x0c"].concat();
        for (sort, wanted) in [
            (&b"\xc2\x00\x00\x00\x40"[..], Some(1 << 30)),
            (b"\xc1\x00\x10", Some(4096)),
            (b"\x0a4294967296", Some(1 << 32)),
            (b"\x0a42949672x6", None),
            (b"\xc3\x00\x10", None),
        ] {
            assert_eq!(used_by(&head(sort)), wanted, "{sort:?}");
        }
        for cut in 0..head(b"").len() {
            assert_eq!(used_by(&head(b"")[..cut]), None);
        }
    }
}

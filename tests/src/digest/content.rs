//! Contents: digests of files, and what certificates and keys say.

use crate::{lock::Lock, place, tool};
use anyhow::{Context, Result};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, Metadata, OpenOptions},
    hash::{Hash, Hasher},
    io::Write,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

/// The size at which the cache of sums is begun anew.
const CACHE_LIMIT: u64 = 32 << 20;

/// A file, and what tells whether its content can have changed since it was read.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    path: PathBuf,
    stamp: String,
    settled: bool,
}

impl Stamped {
    pub(super) fn new(path: PathBuf, data: &Metadata) -> Self {
        let (written, changed) = ((data.mtime(), data.mtime_nsec()), (data.ctime(), data.ctime_nsec()));
        let stamp = format!("{} {} {written:?} {changed:?}", data.ino(), data.size());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // The clock of the file system ticks coarsely: what has just changed may change again unseen.
        Self { path, stamp, settled: i64::try_from(now).is_ok_and(|now| data.ctime() < now - 2) }
    }
}

/// SHA-256 of each file. Remembered between digests: most files of a host are those of its base. A file that vanished meanwhile has none.
pub(super) fn digests(files: &[Stamped]) -> Result<HashMap<PathBuf, String>> {
    let path = place::dir("cache")?.join("sums");
    let known = fs::read_to_string(&path).unwrap_or_default();
    let known: HashMap<&str, &str> =
        known.lines().filter_map(|line| line.split_once(' ')).map(|(sum, stamp)| (stamp, sum)).collect();
    let (hits, misses): (Vec<_>, Vec<_>) = files.iter().partition(|file| known.contains_key(file.stamp.as_str()));
    let fresh = read(&misses.iter().map(|file| file.path.as_path()).collect::<Vec<_>>())?;
    let news = misses.iter().filter(|file| file.settled).filter_map(|file| Some((fresh.get(&file.path)?, &file.stamp)));
    remember(&path, &news.map(|(sum, stamp)| format!("{sum} {stamp}\n")).collect::<String>())?;
    let remembered = hits.into_iter().map(|file| (file.path.clone(), known[file.stamp.as_str()].to_owned()));
    Ok(remembered.chain(fresh).collect())
}

/// One write, so that lines of two processes do not mix.
fn remember(path: &Path, lines: &str) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let _lock = Lock::take("sums")?;
    if fs::metadata(path).is_ok_and(|data| data.len() > CACHE_LIMIT) {
        fs::remove_file(path)?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(lines.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads all of the files, by two processes.
fn read(paths: &[&Path]) -> Result<HashMap<PathBuf, String>> {
    let halves = [0, 1].map(|half| paths.iter().skip(half).step_by(2).copied().collect::<Vec<&Path>>());
    let sums =
        std::thread::scope(|scope| halves.map(|half| scope.spawn(move || sums(&half))).map(|thread| thread.join()));
    let mut all = HashMap::new();
    for half in sums {
        all.extend(half.map_err(|_| anyhow::anyhow!("a digest thread panicked"))??);
    }
    Ok(all)
}

fn sums(paths: &[&Path]) -> Result<HashMap<PathBuf, String>> {
    let mut list = tempfile::NamedTempFile::new()?;
    for path in paths {
        list.write_all(path.as_os_str().as_bytes())?;
        list.write_all(b"\0")?;
    }
    list.flush()?;
    let mut command = Command::new("xargs");
    command.args(["--null", "--no-run-if-empty", "--arg-file"]).arg(list.path()).args(["sha256sum", "--zero", "--"]);
    let output = command.stderr(Stdio::null()).output().context("cannot run sha256sum")?;
    let records = output.stdout.split(|byte| *byte == 0).filter(|record| record.len() > 66);
    let parse = |record: &[u8]| {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(&record[66..]));
        (path, String::from_utf8_lossy(&record[..64]).into_owned())
    };
    Ok(records.map(parse).collect())
}

/// A sum of what is in the file, with the names of `secrets` in the place of what they are. None where none of them is in it.
pub(super) fn but_for(path: &Path, secrets: &BTreeMap<String, String>) -> Result<Option<String>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let Ok(text) = String::from_utf8(text) else { return Ok(None) };
    let named = |text: String, (name, secret): (&String, &String)| text.replace(secret.as_str(), &format!("<{name}>"));
    let named: String = secrets.iter().fold(text.clone(), named);
    if named == text {
        return Ok(None);
    }
    let mut sum = std::hash::DefaultHasher::new();
    named.hash(&mut sum);
    Ok(Some(format!("but for secrets {:016x}", sum.finish())))
}

/// Whom a certificate names and its kind of key, or the kind of a private key. Anything else is compared by content.
pub(super) fn pem(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut kinds: Vec<String> = Vec::new();
    if text.contains("BEGIN CERTIFICATE") {
        kinds.push(certificate(&tool::fed("openssl", ["x509", "-noout", "-text"], text.as_bytes())?));
    }
    if text.contains("PRIVATE KEY") {
        let shown = tool::fed("openssl", ["pkey", "-noout", "-text"], text.as_bytes())?;
        kinds.push(format!("key {:?}", shown.lines().next().unwrap_or_default()));
    }
    if kinds.is_empty() {
        let sum = read(&[path])?.remove(path);
        return sum.with_context(|| format!("{} vanished", path.display()));
    }
    Ok(kinds.join(" "))
}

fn certificate(shown: &str) -> String {
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    let after =
        |title: &str| lines.iter().find_map(|line| line.strip_prefix(title)).unwrap_or_default().trim().to_owned();
    let below = |title: &str| {
        let at = lines.iter().position(|line| line.starts_with(title));
        at.and_then(|at| lines.get(at + 1)).copied().unwrap_or_default().to_owned()
    };
    format!(
        "certificate subject={:?} names={:?} key={:?} {:?} authority={:?}",
        after("Subject:"),
        below("X509v3 Subject Alternative Name"),
        after("Public Key Algorithm:"),
        after("Public-Key:"),
        below("X509v3 Basic Constraints"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_but_for_its_secrets() {
        let dir = tempfile::tempdir().expect("a folder");
        let sum = |text: &str, secret: &str| {
            let path = dir.path().join("file");
            fs::write(&path, text).expect("written");
            but_for(&path, &BTreeMap::from([("password".to_owned(), secret.to_owned())])).expect("a sum")
        };
        let one = sum("url = amqp://a:Xy3@b\n", "Xy3");
        assert!(one.is_some());
        assert_eq!(one, sum("url = amqp://a:Qw8@b\n", "Qw8"));
        assert_ne!(one, sum("url = amqp://a:Xy3@c\n", "Xy3"));
        assert_eq!(sum("url = amqp://a:Xy3@b\n", "Qw8"), None);
    }

    #[test]
    fn digests_of_odd_names() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a name\nwith a newline");
        std::fs::write(&path, "abc").expect("written");
        let sums = read(&[&path, &dir.path().join("gone")]).expect("sums");
        assert_eq!(sums.len(), 1);
        assert!(sums[&path].starts_with("ba7816bf8f01cfea"));
    }
}

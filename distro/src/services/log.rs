//! What a service said before it died.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Unit;
use crate::facts::Init;
use crate::{Command, Host, files};

/// Lines that are shown of each source.
const LINES: usize = 20;
/// How far back a log file is read.
const TAIL_BYTES: u64 = 64 << 10;
/// How much of a long line of Erlang's terms is shown from its beginning, and from its end.
const TERM_CHARS: usize = 100;
/// After how many bytes no more lines of a term are joined to the first.
const MOST_TERMS: usize = 2000;

/// What a service says from a moment on, in its own log files and in the journal.
#[derive(Debug, Default)]
pub struct Logs {
    /// As they were given: a folder stands for the log files in it.
    paths: Vec<PathBuf>,
    /// How long each file was.
    marks: BTreeMap<PathBuf, u64>,
    since: Option<SystemTime>,
}

impl Logs {
    /// Remembers how long the files `paths` are now, and those named `*.log` in the folders among them: what is in them already is
    /// an older story.
    pub fn mark(paths: &[PathBuf]) -> Self {
        let length = |path: &PathBuf| path.symlink_metadata().map_or(0, |meta| meta.len());
        let marks = log_files(paths).into_iter().map(|path| (path.clone(), length(&path))).collect();
        Self { paths: paths.to_vec(), marks, since: Some(SystemTime::now()) }
    }

    /// The last lines that were written since, under the name of their file; files with a complaint come last.
    fn said(&self) -> Vec<String> {
        let mut told: Vec<(bool, Vec<String>)> = Vec::new();
        for path in log_files(&self.paths) {
            let mark = self.marks.get(&path).copied().unwrap_or_default();
            // Its folder belongs to the service, which may have put something else there.
            let Ok(Some(mut file)) = files::open(&path) else { continue };
            let length = file.metadata().map_or(0, |meta| meta.len());
            // A file that was rotated is shorter than it was.
            let from = if length < mark { 0 } else { mark }.max(length.saturating_sub(TAIL_BYTES));
            let mut bytes = Vec::new();
            if file.seek(SeekFrom::Start(from)).is_err() || file.take(TAIL_BYTES).read_to_end(&mut bytes).is_err() {
                continue;
            }
            let said = last_lines(&String::from_utf8_lossy(&bytes));
            if !said.is_empty() {
                let complains = said.iter().any(|line| is_complaint(line));
                told.push((complains, [vec![format!("{}:", path.display())], said].concat()));
            }
        }
        told.sort_by_key(|(complains, _)| *complains);
        told.into_iter().flat_map(|(_, lines)| lines).collect()
    }
}

/// The files among `paths`, and the log files in the folders among them, by name.
fn log_files(paths: &[PathBuf]) -> Vec<PathBuf> {
    let of = |path: &PathBuf| {
        let Ok(entries) = path.read_dir() else { return vec![path.clone()] };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension() == Some(Path::new("log").as_os_str()));
        files.sort();
        files
    };
    paths.iter().flat_map(of).collect()
}

/// Does the service manager only say again, of unit `name`, what its state says?
fn is_hearsay(name: &str, line: &str) -> bool {
    let starts = ["Starting ", "Started ", "Stopping ", "Stopped ", "Failed to start ", "Deactivated successfully"];
    let of_unit = ["Failed with result", "Scheduled restart job", "Start request repeated too quickly", "Consumed "];
    let of_unit = |rest: &str| of_unit.iter().any(|start| rest.starts_with(start));
    line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).is_some_and(of_unit)
        || (starts.iter().any(|start| line.starts_with(start)) && line.ends_with('.'))
}

/// The last lines of `text`; where some of them complain, without those that only inform.
fn last_lines(text: &str) -> Vec<String> {
    let is_chat = |line: &str| ["[info]", "[notice]", "[debug]"].iter().any(|level| line.contains(level));
    let lines = with_terms(text);
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).filter(|line| !line.trim().is_empty()).collect();
    if lines.iter().any(|line| is_complaint(line) && !is_chat(line)) {
        lines.retain(|line| !is_chat(line));
    }
    let lines: Vec<&str> = lines.into_iter().filter_map(telling).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| without_terms(line)).collect()
}

/// Is much of the line Erlang's terms, as `{tcp_listener,[{port,5672},{ip,…}]}`?
fn is_of_terms(line: &str) -> bool {
    line.len() > 2 * TERM_CHARS
        && line.as_bytes().windows(2).filter(|pair| pair[0] == b'{' && pair[1].is_ascii_lowercase()).count() > 3
}

/// What words are in a line of Erlang's terms stands before and after them.
fn without_terms(line: &str) -> String {
    if !is_of_terms(line) {
        return line.to_owned();
    }
    let begin: String = line.chars().take(TERM_CHARS).collect();
    let end: Vec<char> = line.chars().rev().take(TERM_CHARS).collect();
    format!("{begin} … {}", end.into_iter().rev().collect::<String>())
}

/// The lines of `text`, each that ends within a term of Erlang's with the lines that go on with it: there is the reason (`enospc`), and the name of a file. What
/// is not joined is the program's stack, and what a child was started with.
fn with_terms(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let own = without_tag(line);
        match (own.filter(|own| own.starts_with(' ')).map(str::trim), lines.last_mut()) {
            (Some(term), Some(last)) if is_open => {
                is_open = !term.starts_with("[{") && !term.starts_with("{child,") && last.len() < MOST_TERMS;
                last.push_str(if is_open { term } else { "" });
            }
            _ => {
                is_open = own.is_some_and(|own| own.contains(": {") && own.ends_with([',', '{', '[']));
                lines.push(line.to_owned());
            }
        }
    }
    lines
}

/// What stands behind the time and the process that Erlang writes before a line; none of another line.
fn without_tag(line: &str) -> Option<&str> {
    line.split_once("] <0.").and_then(|(_, rest)| Some(rest.split_once("> ")?.1))
}

/// A line as it is, without the time and the process that Erlang writes before it; none, where it tells nothing, or is of a crash report,
/// which nobody but the program's authors can read.
fn telling(line: &str) -> Option<&str> {
    let tagged = without_tag(line);
    let is_frame = |line: &str| line.starts_with("    ") && line.contains('/') && line.contains(", line ");
    let noise = [
        "Kernel pid terminated",
        "{\"Kernel pid terminated",
        "Crash dump is being written",
        "===",
        "BOOT FAILED",
        // Of pg_ctl, whose log this is.
        "pg_ctl: could not start server",
        "Examine the log output.",
    ];
    // A stack that Erlang prints as a term, or a piece of one: it breaks long terms wherever its buffer ends.
    let is_trace = |line: &str| {
        let words = line.split(['{', '[', '"']).next().unwrap_or_default();
        let has_frames = line.contains("[{file,") || line.contains(".erl\"},{line,");
        !words.contains(' ') && (has_frames || is_of_terms(line))
    };
    match tagged {
        Some(text) if text.starts_with(' ') => None,
        _ if is_frame(line) || is_trace(line) => None,
        _ => {
            let text = tagged.unwrap_or(line);
            (!text.is_empty() && !noise.iter().any(|start| text.starts_with(start))).then_some(text)
        }
    }
}

/// Does a service say, or systemd of it, that somebody else has its address?
pub fn tells_of_taken_address(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["address already in use", "could be in use by another process"].iter().any(|words| line.contains(words))
}

/// Why `name` does not run or answer, as far as it can be told: its state, the journal's last lines of it, and what it wrote to
/// its log files since `logs` were marked. What tells most comes last, since that is what there is always room for.
pub fn evidence(host: &Host, name: &str, unit: &Unit, logs: &Logs) -> Vec<String> {
    let mut lines = vec![format!("{name}: {}", unit.state)];
    if !unit.result.is_empty() {
        lines.push(format!("{name}: result {}", unit.result));
    }
    let journal = if host.facts.init == Init::Systemd { journal(host, name, unit, logs.since) } else { Vec::new() };
    lines.extend(in_order(name, journal, logs.said()));
    once(lines)
}

/// The last of lines that say the same: a service that is started again and again says everything as often. The name of a log of which nothing is left goes, too.
fn once(lines: Vec<String>) -> Vec<String> {
    let is_name = |line: &str| line.starts_with('/') && line.ends_with(".log:");
    let mut seen = BTreeSet::new();
    let mut last: Vec<String> = Vec::new();
    for line in lines.into_iter().rev() {
        let is_of_nothing = is_name(&line) && last.last().is_none_or(|below| is_name(below));
        if !is_of_nothing && seen.insert(without_stamp(&line)) {
            last.push(line);
        }
    }
    last.reverse();
    last
}

/// A line without its time, and the numbers of processes that stand about it.
fn without_stamp(line: &str) -> String {
    const HEAD: usize = 7;
    let is_time = |word: &str| {
        word.len() >= 8 && word.matches(':').count() == 2 && word.starts_with(|c: char| c.is_ascii_digit())
    };
    let words: Vec<&str> = line.split_whitespace().collect();
    let has_time = words.iter().take(HEAD).any(|word| is_time(word));
    let is_stamp = |at: usize, word: &str| {
        has_time && at < HEAD && word.trim_start_matches('[').starts_with(|c: char| c.is_ascii_digit())
    };
    let rest = words.iter().enumerate().filter(|(at, word)| !is_stamp(*at, word)).map(|(_, word)| *word);
    rest.collect::<Vec<_>>().join(" ")
}

/// The service manager's words about the service, which name it, and then the service's own: those of its log last, unless only the
/// journal has a complaint. (A server may say goodbye in its log, and find its configuration wrong before it opens the log again.)
fn in_order(name: &str, journal: Vec<String>, log: Vec<String>) -> Vec<String> {
    let (about, own): (Vec<String>, Vec<String>) = journal.into_iter().partition(|line| line.contains(name));
    let complains = |lines: &[String]| lines.iter().any(|line| is_complaint(line));
    let (first, last) = if complains(&own) && !complains(&log) { (log, own) } else { (own, log) };
    [about, first, last].concat()
}

fn is_complaint(line: &str) -> bool {
    const WORDS: [&str; 11] = [
        "emerg",
        "error",
        "fatal",
        "can't",
        "cannot",
        "could not",
        "denied",
        "fail",
        "invalid",
        "unrecognized",
        "out of memory",
    ];
    let line = line.to_ascii_lowercase();
    WORDS.iter().any(|word| line.contains(word))
}

/// What is in the journal of a unit, as `-u` finds it, and what systemd's child says that cannot become the unit's program: where that is not in
/// the unit's control group yet, `-u` does not know it (as with cgroup v1).
fn of_unit(name: &str) -> Vec<String> {
    let by_root = |field: &str| ["+".to_owned(), "_UID=0".to_owned(), format!("{field}={name}")];
    let own = vec![format!("_SYSTEMD_UNIT={name}")];
    ["UNIT", "OBJECT_SYSTEMD_UNIT", "COREDUMP_UNIT"]
        .into_iter()
        .fold(own, |all, field| [all, by_root(field).into()].concat())
}

/// The journal's lines of this start; of the unit, where there are none (systemd forgets a start once it tries the next).
fn journal(host: &Host, name: &str, unit: &Unit, since: Option<SystemTime>) -> Vec<String> {
    // What it said last may still be on its way. That takes root, and is no matter where it fails.
    Command::new("journalctl").arg("--sync").limit(Duration::from_secs(10)).output(&host.runner).ok();
    let mut questions = Vec::new();
    // By its name first: of a process that ended at once the journal does not know the invocation.
    if let Some(since) = since.and_then(|since| since.duration_since(UNIX_EPOCH).ok()) {
        let since = format!("--since=@{}.{:06}", since.as_secs(), since.subsec_micros());
        questions.push([vec![since], of_unit(name)].concat());
    }
    // Of a start that systemd has no id of the journal has none.
    if !unit.invocation.is_empty() && !unit.invocation.contains(' ') {
        // Written by the unit, and by systemd about it.
        let own = format!("_SYSTEMD_INVOCATION_ID={}", unit.invocation);
        questions.push(vec![own, "+".to_owned(), format!("INVOCATION_ID={}", unit.invocation)]);
    }
    if since.is_none() {
        questions.push(of_unit(name));
    }
    for question in questions {
        let command = Command::new("journalctl").args(["-q", "-n", "20", "--no-pager", "-o", "cat"]).args(question);
        // A host without a journal has still a failure to be told of.
        let Ok(output) = command.limit(Duration::from_secs(10)).output(&host.runner) else { return Vec::new() };
        let said: Vec<String> = last_lines(&output.stdout).into_iter().filter(|line| !is_hearsay(name, line)).collect();
        if output.ok() && !said.is_empty() {
            return said;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        std::fs::write(&path, "old\n").unwrap();
        let logs = Logs::mark(&[folder.path().to_owned()]);
        assert_eq!(logs.said(), Vec::<String>::new());
        std::fs::write(&path, "old\nnew\n\n").unwrap();
        assert_eq!(logs.said(), [format!("{}:", path.display()), "new".to_owned()]);
        std::fs::write(&path, "r\n").unwrap();
        assert_eq!(logs.said()[1], "r");
        // One that is new in the folder is read from its beginning, and one that complains is told last.
        std::fs::write(folder.path().join("a.log"), "could not bind: Address already in use\n").unwrap();
        assert_eq!(logs.said()[1], "r");
        assert_eq!(logs.said()[3], "could not bind: Address already in use");
    }

    #[test]
    fn a_service_shows_no_file_but_its_own_log() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let logs = Logs::mark(&[at("link.log"), at("pipe.log")]);
        std::fs::write(at("shadow"), "root:$6$x\n").unwrap();
        std::os::unix::fs::symlink(at("shadow"), at("link.log")).unwrap();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe.log"), kind, mode, 0).unwrap();
        assert_eq!(logs.said(), Vec::<String>::new());
    }

    #[test]
    fn what_is_said_at_every_start_is_told_once() {
        for (line, wanted) in [
            ("2026-11-30 19:28:04.293 UTC [5421] FATAL:  could not open 5 files", "UTC FATAL: could not open 5 files"),
            ("4777:M 30 Nov 2026 19:27:55.451 # Error trying to save", "Nov # Error trying to save"),
            ("2026/11/30 19:33:53 [emerg] 10383#10383: malloc(96) failed", "[emerg] malloc(96) failed"),
            ("Error: port 5432 is taken", "Error: port 5432 is taken"),
        ] {
            assert_eq!(without_stamp(line), wanted);
        }
        let lines = ["x: failed", "10:00:00 one", "y", "10:00:01 two", "y", "10:00:02 one"].map(str::to_owned);
        assert_eq!(once(lines.into()), ["x: failed", "10:00:01 two", "y", "10:00:02 one"]);
        let lines = ["/a.log:", "one", "/b.log:", "one", "/c.log:", "two"].map(str::to_owned);
        assert_eq!(once(lines.into()), ["/b.log:", "one", "/c.log:", "two"]);
    }

    #[test]
    fn what_tells_most_comes_last() {
        let told = |journal: &[&str], log: &[&str]| {
            let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
            in_order("x.service", lines(journal), lines(log)).join(" | ")
        };
        for (journal, log, wanted) in [
            (
                &["*** FATAL CONFIG FILE ERROR ***", "x.service: Failed with result 'exit-code'."][..],
                &["bye bye..."][..],
                "x.service: Failed with result 'exit-code'. | bye bye... | *** FATAL CONFIG FILE ERROR ***",
            ),
            (&["starting"], &["Fatal error loading the DB"], "starting | Fatal error loading the DB"),
            (&["an error"], &["Fatal error"], "an error | Fatal error"),
            (&["starting", "x.service: Failed"], &[], "x.service: Failed | starting"),
        ] {
            assert_eq!(told(journal, log), wanted);
        }
    }

    #[test]
    fn what_the_manager_says_again_is_left_out() {
        for (line, hearsay) in [
            ("Starting redis-server.service - Advanced key-value store...", true),
            ("redis-server.service: Failed with result 'exit-code'.", true),
            ("redis-server.service: Main process exited, code=exited, status=1/FAILURE", false),
            ("other.service: Failed with result 'exit-code'.", false),
            ("Starting to read /etc/redis/redis.conf", false),
            ("Fatal error, can't open config file '/etc/redis/redis.conf': Permission denied", false),
        ] {
            assert_eq!(is_hearsay("redis-server.service", line), hearsay, "{line}");
        }
    }

    #[test]
    fn the_reason_in_a_term_of_erlang_is_shown() {
        let tag = "2026-11-30 19:38:50.131782+00:00 [error] <0.216.0> ";
        let log = [
            "Failed to start Ra system \"quorum_queues\": {error,",
            "                               {{shutdown,",
            "                                 {failed_to_start_child,ra_log_sup,",
            "                                  {shutdown,",
            "                                   {failed_to_start_child,ra_log_wal_sup,",
            "                                    {bad_return_value,",
            "                                     {badmatch,{error,enospc}}}}}},",
            "                                {child,undefined,quorum_queues,",
            "                                 {ra_system_sup,start_link,",
            "  crasher:",
            "Failed to load advanced configuration file \"/x\": {badfile,",
            "                                                   {1,\"syntax error\"}}",
        ]
        .map(|line| format!("{tag}{line}\n"))
        .concat();
        let told = last_lines(&log);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("Failed to start Ra system \"quorum_queues\": {error,{{shutdown"), "{told:?}");
        assert!(told[0].ends_with("{badmatch,{error,enospc}}}}}},"), "{told:?}");
        assert_eq!(told[1], "Failed to load advanced configuration file \"/x\": {badfile,{1,\"syntax error\"}}");
    }

    #[test]
    fn of_erlang_only_what_people_can_read() {
        let log = "2026-01-01 10:00:00.1+00:00 [info] <0.9.0> Feature flags\n\
            2026-01-01 10:00:00.1+00:00 [error] <0.9.0> You've tried to set nonsense, but there is no setting with that name.\n\
            2026-01-01 10:00:00.2+00:00 [error] <0.9.0> \n\
            2026-01-01 10:00:00.2+00:00 [error] <0.9.0> BOOT FAILED\n\
            2026-01-01 10:00:00.2+00:00 [error] <0.9.0> ===========\n\
            2026-01-01 10:00:00.2+00:00 [error] <0.9.0> Error during startup: {error,failed_to_prepare_configuration}\n\
            2026-01-01 10:00:00.3+00:00 [error] <0.9.0>     supervisor: {local,rabbit_prelaunch_sup}\n\
            2026-01-01 10:00:00.3+00:00 [notice] <0.4.0> Application rabbit exited with reason: {shutdown,error}\n\
            \u{20}   rabbit:start/2, line 831\n\
            {\"Kernel pid terminated\",application_controller}\n\
            {exit,terminating,[{application_controller,call,2,[{file,\"application_controller.erl\"},{line,511}]}]}\n\
            {rabbit,start_it,1,[{file,\n\
            \"application.erl\"},{line,367}]},{rabbit,'-start_it/1-fun-0-',1,[{file,\"rabbit.erl\"},{line,430}]}]}\n\
            Crash dump is being written to: erl_crash.dump...done\n";
        let told = [
            "You've tried to set nonsense, but there is no setting with that name.",
            "Error during startup: {error,failed_to_prepare_configuration}",
        ];
        assert_eq!(last_lines(log), told);
        let ranch = format!(
            "Failed to start Ranch listener {{acceptor,{{10,1,2,3}},5672}} in ranch_tcp:listen(#{{socket_opts => [{}{{exit_on_close,false}}]}}) \
             for reason eaddrnotavail (can't assign requested address)",
            "{cert,'...'},{ip,{10,1,2,3}},{port,5672},inet,{nodelay,true},".repeat(3)
        );
        let rest = format!(
            "defined,'rabbit_tcp_listener_sup',{}[],10,1}}}}",
            "{tcp_listener_sup,start_link,[{a,b}]},".repeat(9)
        );
        let told = last_lines(&format!("2026-01-01 10:00:00.1+00:00 [error] <0.588.0> {ranch}\n{rest}\n"));
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert!(told.starts_with("Failed to start Ranch listener {acceptor,{10,1,2,3},5672} in "), "{told}");
        assert!(told.ends_with(") for reason eaddrnotavail (can't assign requested address)"), "{told}");
        let with_words = "could not start: {badmatch,[{a,b,1,[{file,\"a.erl\"},{line,3}]}]}";
        assert_eq!(last_lines(with_words), [with_words]);
        assert_eq!(last_lines("2026-01-01 10:00:00.1+00:00 [info] <0.9.0> Ready\n"), ["Ready"]);
        assert_eq!(last_lines("2026/01/01 10:00:00 [notice] 7#7: start\n[emerg] 7#7: no"), ["[emerg] 7#7: no"]);
    }

    #[test]
    fn at_most_twenty_lines() {
        let text = (0..50).map(|n| format!("{n}\n")).collect::<String>();
        let lines = last_lines(&text);
        assert_eq!((lines.len(), lines[0].as_str(), lines[19].as_str()), (20, "30", "49"));
    }
}

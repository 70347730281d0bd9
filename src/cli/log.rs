//! `surefoot log`: reads the run log back.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use distro::failure::io_fault;
use distro::{Class, Fault};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use crate::engine::event::{Event, What};
use crate::report::console::stamp;
use crate::report::line::{Line, diffs};
use crate::report::run_log;
use crate::report::style::{Ink, Style};

/// How often a log that is followed is looked at, in milliseconds.
const LOOK: u16 = 200;

/// Which log, and what of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Name of the product; the one that ran last where none is given.
    pub product: Option<&'a str>,
    /// Id of the run; the last where none is given.
    pub run: Option<&'a str>,
    /// Only what happened in this step.
    pub step: Option<&'a str>,
    /// Go on showing what is added, until the run ends.
    pub follow: bool,
    /// The log's own lines instead of text.
    pub json: bool,
}

/// Shows a run log of the folder `logs` on stdout. Says so where it has nothing of the step that was asked for.
///
/// # Errors
/// Class `usage` where there is no such log, `permission` where it may not be read.
pub fn log(logs: &Path, ask: &Ask<'_>) -> Result<Option<String>> {
    let path = find(logs, ask.product, ask.run)?;
    let file = File::open(&path).map_err(|error| io_fault(&error, "read", &path))?;
    let mut reader = Reader::new(io::stdout(), Style::stdout(), ask);
    match reader.all(BufReader::new(file)) {
        // Who does not read any more has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
        other => other.map(|()| reader.nothing_of_step()).map_err(|error| io_fault(&error, "show", &path).into()),
    }
}

/// The log that is meant.
fn find(logs: &Path, product: Option<&str>, run: Option<&str>) -> Result<PathBuf> {
    let last = run_log::last(logs, product)?;
    let found = match run {
        Some(run) => {
            last.and_then(|last| Some(last.parent()?.join(format!("{run}.jsonl")))).filter(|path| path.exists())
        }
        None => last,
    };
    let of_run = run.map(|run| format!(" of run '{run}'")).unwrap_or_default();
    let of_product = product.map(|product| format!(" of product '{product}'")).unwrap_or_default();
    let message = format!("there is no run log{of_run}{of_product} below {}", logs.display());
    let advice = "a run log is written by install and uninstall: look which there are in that folder";
    Ok(found.ok_or_else(|| Fault::new(Class::Usage, message).advice(advice))?)
}

struct Reader<'a, W> {
    out: W,
    style: Style,
    ask: &'a Ask<'a>,
    /// Steps that the log tells of.
    steps: BTreeSet<String>,
    /// Attempt and number of the event before.
    last: Option<(u32, u64)>,
    /// Has an attempt begun, and not ended?
    open: bool,
    ended: bool,
}

impl<W: Write + AsFd> Reader<'_, W> {
    fn all(&mut self, mut file: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            file.read_until(b'\n', &mut line)?;
            if line.ends_with(b"\n") || (!self.ask.follow && !line.is_empty()) {
                self.line(&String::from_utf8_lossy(&line))?;
                line.clear();
                continue;
            }
            self.out.flush()?;
            if !self.ask.follow || self.ended || self.reader_is_gone() {
                return Ok(());
            }
        }
    }

    /// Waits a moment, and says whether nobody reads any more what is written, or a signal came.
    fn reader_is_gone(&self) -> bool {
        let mut out = [PollFd::new(self.out.as_fd(), PollFlags::empty())];
        poll(&mut out, PollTimeout::from(LOOK)).map_or(true, |ready| ready > 0)
    }
}

impl<'a, W> Reader<'a, W> {
    fn new(out: W, style: Style, ask: &'a Ask<'a>) -> Self {
        Self { out, style, ask, steps: BTreeSet::new(), last: None, open: false, ended: false }
    }
}

impl<W: Write> Reader<'_, W> {
    /// The words where a step was asked for and the log tells of others only.
    fn nothing_of_step(&self) -> Option<String> {
        let step = self.ask.step.filter(|step| !self.steps.contains(*step))?;
        let others: Vec<&str> = self.steps.iter().map(String::as_str).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        Some(format!("the run log has nothing of step '{step}'; its steps: {others}"))
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        let line = line.trim();
        let Ok(value) = serde_json::from_str::<Value>(line) else { return Ok(()) };
        match value["type"].as_str() {
            Some("run_started") => (self.open, self.ended) = (true, false),
            Some("run_ended") => (self.open, self.ended) = (false, true),
            // What fails before the first change ends nothing that had begun.
            Some("failed") if !self.open => self.ended = true,
            _ => self.ended = false,
        }
        let steps = [&value["step"], &value["failure"]["step"]].map(|step| step.as_str().map(str::to_owned));
        let wanted = self.ask.step.is_none_or(|step| steps.iter().flatten().any(|of| of == step));
        self.steps.extend(steps.into_iter().flatten());
        if !wanted {
            return Ok(());
        }
        if self.ask.json {
            return writeln!(self.out, "{line}");
        }
        match serde_json::from_value::<Event>(value) {
            Ok(event) => self.event(&event),
            Err(error) => {
                writeln!(self.out, "{}", self.style.paint(Ink::Care, &format!("not understood ({error}): {line}")))
            }
        }
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.last.is_none_or(|(attempt, seq)| attempt != event.attempt || event.seq <= seq) {
            let gap = if self.last.is_some() { "\n" } else { "" };
            let head = format!("{} attempt {}, {}", event.product, event.attempt, event.time);
            writeln!(self.out, "{gap}{}", self.style.paint(Ink::Strong, &head))?;
        }
        self.last = Some((event.attempt, event.seq));
        let text = Line::of(event).text;
        let text = match &event.what {
            What::Progress { .. } => return Ok(()),
            What::Warning { .. } => self.style.paint(Ink::Care, &text),
            What::Failed { .. } => self.style.paint(Ink::Bad, &text),
            What::CommandStarted { .. } | What::CommandLine { .. } => self.style.paint(Ink::Faint, &text),
            _ => text,
        };
        writeln!(self.out, "{} {text}", stamp(event.elapsed_ms))?;
        for diff in diffs(&event.what) {
            writeln!(self.out, "{:>9}{}", "", self.style.paint(Ink::Faint, &diff))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = concat!(
        r#"{"schema":1,"run":"r1","attempt":1,"seq":1,"time":"2026-01-02T03:04:05.678Z","elapsed_ms":12,"product":"services","#,
        r#""type":"run_started","action":"install","version":"0.1.0","title":"Services","log":"/l","steps":2,"resources":3}"#,
        "\n",
        r#"{"schema":1,"run":"r1","attempt":1,"seq":2,"time":"2026-01-02T03:04:05.700Z","elapsed_ms":40,"product":"services","#,
        r#""stage":"configure","step":"redis","resource":"redis/file:/etc/redis.conf","type":"resource_changing","n":1,"of":3,"#,
        r#""changes":[{"item":"content","summary":"content","diff":"-a\n+b"}]}"#,
        "\n",
        r#"{"schema":1,"run":"r1","attempt":2,"seq":1,"time":"2026-01-02T04:04:05.700Z","elapsed_ms":3210,"product":"services","#,
        r#""step":"site","command":4,"type":"command_line","stream":"err","text":"no"}"#,
        "\n{\"half a li",
    );

    fn read(ask: &Ask<'_>) -> (String, Option<String>) {
        let style = Style { width: 80, colour: false, unicode: true };
        let mut reader = Reader::new(Vec::new(), style, ask);
        for line in LINES.lines() {
            reader.line(line).unwrap();
        }
        let nothing = reader.nothing_of_step();
        (String::from_utf8(reader.out).unwrap(), nothing)
    }

    #[test]
    fn a_log_is_read_back_as_text() {
        let expected = "\
services attempt 1, 2026-01-02T03:04:05.678Z
[  0.0s] install services: Services, 2 steps, 3 resources, log /l
[  0.0s] redis: changing file /etc/redis.conf: content
         -a
         +b

services attempt 2, 2026-01-02T04:04:05.700Z
[  3.2s] site: | no
";
        assert_eq!(read(&Ask::default()), (expected.to_owned(), None));
    }

    #[test]
    fn a_step_is_picked_out_and_json_stays_as_it_is() {
        let ask = Ask { step: Some("site"), json: true, ..Ask::default() };
        assert_eq!(read(&ask), (format!("{}\n", LINES.lines().nth(2).unwrap()), None));
        let (shown, nothing) = read(&Ask { step: Some("sit"), ..ask });
        assert_eq!(shown, "");
        assert_eq!(nothing.unwrap(), "the run log has nothing of step 'sit'; its steps: redis, site");
    }

    #[test]
    fn a_log_is_followed_until_the_run_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (path, shown) = (folder.path().join("log"), folder.path().join("shown"));
        let end = r#"{"seq":3,"type":"run_ended"}"#;
        let (half, rest) = end.split_at(9);
        std::fs::write(&path, format!("{{\"type\":\"run_started\"}}\n{half}")).unwrap();
        let ask = Ask { follow: true, json: true, ..Ask::default() };
        let out = File::create(&shown).unwrap();
        let style = Style { width: 80, colour: false, unicode: true };
        let mut reader = Reader::new(out, style, &ask);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                poll(&mut [], PollTimeout::from(2 * LOOK)).unwrap();
                writeln!(File::options().append(true).open(&path).unwrap(), "{rest}").unwrap();
            });
            reader.all(BufReader::new(File::open(&path).unwrap())).unwrap();
        });
        assert_eq!(std::fs::read_to_string(shown).unwrap(), format!("{{\"type\":\"run_started\"}}\n{end}\n"));
    }

    #[test]
    fn the_log_that_is_meant_is_found() {
        let logs = tempfile::tempdir().unwrap();
        assert!(find(logs.path(), None, None).unwrap_err().to_string().starts_with("there is no run log below"));
        for (product, run, age) in [("a", "r1", 30), ("a", "r2", 20), ("b", "r9", 10)] {
            std::fs::create_dir_all(logs.path().join(product)).unwrap();
            let path = run_log::path(logs.path(), product, run);
            let time = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            File::create(path).unwrap().set_modified(time).unwrap();
        }
        let table = [
            (None, None, Some("b/r9.jsonl")),
            (Some("a"), None, Some("a/r2.jsonl")),
            (Some("a"), Some("r1"), Some("a/r1.jsonl")),
            (Some("a"), Some("r9"), None),
            (Some("c"), None, None),
        ];
        for (product, run, expected) in table {
            let found = find(logs.path(), product, run).ok();
            assert_eq!(found, expected.map(|path| logs.path().join(path)), "{product:?} {run:?}");
        }
    }
}

//! `surefoot why`: shows the last failure again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result};
use distro::failure::io_fault;
use distro::{Class, Fault};

use crate::engine::event::{Event, What};
use crate::engine::failure::Failure;
use crate::engine::lock;
use crate::report::card::card;
use crate::report::run_log;
use crate::report::style::Style;

/// What the last run has to say.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Failed(Box<Failure>),
    /// It ended without a failure; says how.
    Ended(String),
    /// It runs still, or was cut off.
    Open(Open),
    /// It has not begun: its question waits, or the answer to it was no.
    NotBegun,
}

/// A run that has not said how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Open {
    run: String,
    product: String,
    is_uninstall: bool,
}

/// Shows the card of the last failure of `product` (of the product that ran last where none is given) on stdout; with `json`
/// the failure, or `null` where nothing failed.
///
/// It is taken from the run log; where no product is given, from [`run_log::unlogged`] where that is newer.
///
/// # Errors
/// Class `usage` where nothing ever ran, `permission` where that may not be read, `state` where it is damaged.
pub fn why(logs: &Path, product: Option<&str>, json: bool) -> Result<()> {
    let text = told(&answer(logs, product)?, json, &Style::stdout())?;
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing to stdout"),
        _ => Ok(()),
    }
}

fn told(answer: &Answer, json: bool, style: &Style) -> Result<String> {
    Ok(match answer {
        Answer::Failed(failure) if json => serde_json::to_string(failure)? + "\n",
        Answer::Failed(failure) => card(failure, style),
        _ if json => "null\n".to_owned(),
        Answer::Ended(result) => format!("the last run did not fail: {result}\n"),
        Answer::Open(open) => open.told(lock::is_at_work(&open.run)),
        Answer::NotBegun => "the last run did not begin: its question was not answered with yes\n".to_owned(),
    })
}

impl Open {
    /// What there is to say of it; `is_at_work`, where that is known.
    fn told(&self, is_at_work: Option<bool>) -> String {
        let go_on = match self.is_uninstall {
            true => format!("surefoot uninstall {} --resume", self.product),
            false => "surefoot install --resume".to_owned(),
        };
        let running = "it is still running (surefoot log --follow shows it)";
        let cut_off = format!("it was cut off ({go_on} goes on with it)");
        let how = match is_at_work {
            Some(true) => running.to_owned(),
            Some(false) => cut_off,
            None => format!("{running},\nor {cut_off}"),
        };
        format!("the last run has not ended: {how}\n")
    }
}

fn answer(logs: &Path, product: Option<&str>) -> Result<Answer> {
    let log = run_log::last(logs, product)?;
    let stored = Some(run_log::unlogged(logs)).filter(|path| product.is_none() && path.exists());
    let newer = stored.as_deref().is_some_and(|path| log.as_deref().is_none_or(|log| written(path) >= written(log)));
    match (stored, log) {
        (Some(path), _) if newer => stored_failure(&path),
        (_, Some(path)) => last_of(&path),
        _ => {
            let of_product = product.map(|product| format!(" of product '{product}'")).unwrap_or_default();
            let message = format!("there is no run{of_product}: no log below {}", logs.display());
            Err(Fault::new(Class::Usage, message).advice("surefoot install starts one").into())
        }
    }
}

fn written(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

fn stored_failure(path: &Path) -> Result<Answer> {
    let text = std::fs::read(path).map_err(|error| io_fault(&error, "read", path))?;
    let failure = serde_json::from_slice(&text).map_err(|error| {
        let message = format!("{} is damaged: {error}", path.display());
        Fault::new(Class::State, message).advice("read the run log instead: surefoot log")
    })?;
    Ok(Answer::Failed(failure))
}

/// What the last attempt in a run log came to.
fn last_of(path: &Path) -> Result<Answer> {
    let file = File::open(path).map_err(|error| io_fault(&error, "read", path))?;
    let mut answer = Answer::NotBegun;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| io_fault(&error, "read", path))?;
        // Half a line that a kill left behind, or an event of a newer version.
        let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
        match event.what {
            What::RunStarted { action, .. } => {
                let is_uninstall = action == "uninstall";
                answer = Answer::Open(Open { run: event.run, product: event.product, is_uninstall });
            }
            What::Failed { failure } => answer = Answer::Failed(failure),
            What::RunEnded { result, .. } if matches!(answer, Answer::Open(_)) => answer = Answer::Ended(result),
            _ => {}
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{Place, SCHEMA};

    fn line(attempt: u32, what: What) -> String {
        let event = Event {
            schema: SCHEMA,
            run: "r1".into(),
            attempt,
            seq: 1,
            time: String::new(),
            elapsed_ms: 0,
            product: "p".into(),
            place: Place::default(),
            command: None,
            what,
        };
        serde_json::to_string(&event).unwrap() + "\n"
    }

    fn failure(message: &str) -> Box<Failure> {
        Box::new(Failure::of(&Fault::new(Class::Port, message).into(), Place::default()))
    }

    fn open(is_uninstall: bool) -> Open {
        Open { run: "r1".to_owned(), product: "p".to_owned(), is_uninstall }
    }

    fn started() -> What {
        let text = String::new;
        What::RunStarted { action: text(), version: text(), title: text(), log: text(), steps: 1, resources: 1 }
    }

    fn ended(result: &str) -> What {
        let result = result.to_owned();
        What::RunEnded {
            result,
            in_place: 0,
            changed: 0,
            failed: 0,
            restarted: 0,
            taken_back: None,
            kept: None,
            forgotten: false,
            took_ms: 0,
            next: Vec::new(),
        }
    }

    #[test]
    fn the_last_attempt_answers() {
        let failed = || What::Failed { failure: failure("port 80 is taken") };
        let whole =
            |whats: Vec<(u32, What)>| whats.into_iter().map(|(attempt, what)| line(attempt, what)).collect::<String>();
        let table = [
            (vec![(1, started()), (1, failed()), (1, ended("failed"))], Answer::Failed(failure("port 80 is taken"))),
            (vec![(1, started()), (1, failed())], Answer::Failed(failure("port 80 is taken"))),
            (vec![(1, started()), (1, failed()), (2, started()), (2, ended("done"))], Answer::Ended("done".into())),
            (vec![(1, started()), (1, failed()), (2, started())], Answer::Open(open(false))),
            (vec![(1, What::Warning { text: "memory is short".into() })], Answer::NotBegun),
            (vec![(1, failed())], Answer::Failed(failure("port 80 is taken"))),
        ];
        let logs = tempfile::tempdir().unwrap();
        std::fs::create_dir(logs.path().join("p")).unwrap();
        for (lines, expected) in table {
            let text = whole(lines) + "{\"torn";
            std::fs::write(run_log::path(logs.path(), "p", "r1"), &text).unwrap();
            assert_eq!(answer(logs.path(), None).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_failure_without_a_log_counts_where_it_is_newer() {
        let logs = tempfile::tempdir().unwrap();
        assert_eq!(Fault::class_of(&answer(logs.path(), None).unwrap_err()), Class::Usage);
        std::fs::create_dir(logs.path().join("p")).unwrap();
        run_log::keep_unlogged(logs.path(), &failure("older")).unwrap();
        run_log::keep_unlogged(logs.path(), &failure("stored")).unwrap();
        assert_eq!(answer(logs.path(), None).unwrap(), Answer::Failed(failure("stored")));
        assert_eq!(Fault::class_of(&answer(logs.path(), Some("p")).unwrap_err()), Class::Usage);
        let stored = run_log::unlogged(logs.path());
        let log = run_log::path(logs.path(), "p", "r1");
        std::fs::write(&log, line(1, started()) + &line(1, ended("done"))).unwrap();
        for (age, expected) in [(60, Answer::Failed(failure("stored"))), (0, Answer::Ended("done".into()))] {
            let now = SystemTime::now();
            let set = |path: &Path, seconds| {
                let file = File::options().write(true).open(path).unwrap();
                file.set_modified(now - std::time::Duration::from_secs(seconds)).unwrap();
            };
            set(&log, age);
            set(&stored, 30);
            assert_eq!(answer(logs.path(), None).unwrap(), expected);
        }
        std::fs::write(&stored, "{").unwrap();
        std::fs::remove_file(&log).unwrap();
        let damaged = answer(logs.path(), None).unwrap_err();
        assert_eq!(Fault::class_of(&damaged), Class::State);
    }

    #[test]
    fn a_run_that_has_not_ended_is_at_work_or_was_cut_off() {
        let begin = "the last run has not ended: ";
        let running = "it is still running (surefoot log --follow shows it)";
        let cut_off = "it was cut off (surefoot install --resume goes on with it)";
        for (is_at_work, wanted) in [
            (Some(true), format!("{begin}{running}\n")),
            (Some(false), format!("{begin}{cut_off}\n")),
            (None, format!("{begin}{running},\nor {cut_off}\n")),
        ] {
            assert_eq!(open(false).told(is_at_work), wanted);
        }
        let wanted = format!("{begin}it was cut off (surefoot uninstall p --resume goes on with it)\n");
        assert_eq!(open(true).told(Some(false)), wanted);
        let logs = tempfile::tempdir().unwrap();
        std::fs::create_dir(logs.path().join("p")).unwrap();
        let What::RunStarted { version, title, log, .. } = started() else { unreachable!() };
        let begun = What::RunStarted { action: "uninstall".to_owned(), version, title, log, steps: 1, resources: 1 };
        std::fs::write(run_log::path(logs.path(), "p", "r1"), line(1, begun)).unwrap();
        assert_eq!(answer(logs.path(), None).unwrap(), Answer::Open(open(true)));
    }

    #[test]
    fn without_a_failure_json_is_null() {
        let style = Style { width: 80, colour: false, unicode: false };
        assert_eq!(told(&Answer::Open(open(false)), true, &style).unwrap(), "null\n");
        assert_eq!(told(&Answer::Ended("done".into()), false, &style).unwrap(), "the last run did not fail: done\n");
        let text = told(&Answer::Failed(failure("x")), true, &style).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), *failure("x"));
    }
}

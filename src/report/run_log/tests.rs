use std::sync::Arc;

use super::*;
use crate::engine::event::{Place, SCHEMA};

fn event(seq: u64, what: What) -> Event {
    Event {
        schema: SCHEMA,
        run: "r1".into(),
        attempt: 1,
        seq,
        time: "2026-01-02T03:04:05.678Z".into(),
        elapsed_ms: seq,
        product: "p".into(),
        place: Place { stage: Some("configure".into()), step: Some("s".into()), resource: None },
        command: None,
        what,
    }
}

fn warning(text: &str) -> What {
    What::Warning { text: text.to_owned() }
}

/// A log that adds complaints to the list.
fn open(logs: &Path, run: &str) -> (RunLog, Arc<Mutex<Vec<String>>>) {
    let complaints = Arc::new(Mutex::new(Vec::new()));
    let list = complaints.clone();
    (RunLog::open(logs, "p", run, Box::new(move |text| list.lock().unwrap().push(text.to_owned()))), complaints)
}

#[test]
fn attempts_add_to_one_file_for_root_only() {
    let logs = tempfile::tempdir().unwrap();
    let path = path(logs.path(), "p", "r1");
    open(logs.path(), "r1").0.event(&event(1, warning("one")));
    // As a kill leaves it.
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"schema\":1,\"ru").unwrap();
    let (log, complaints) = open(logs.path(), "r1");
    log.event(&event(1, warning("two")));
    log.event(&event(2, warning("three")));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> =
        text.lines().map(|line| serde_json::from_str::<Event>(line).ok().map(|event| event.seq)).collect();
    assert_eq!(lines, [Some(1), None, Some(1), Some(2)]);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(complaints.lock().unwrap().is_empty());
}

#[test]
fn a_log_that_cannot_be_written_is_told_once() {
    let logs = tempfile::tempdir().unwrap();
    // A file where the folder should be: that stops root as well.
    std::fs::write(logs.path().join("p"), "").unwrap();
    let (log, complaints) = open(logs.path(), "r1");
    (1..9).for_each(|seq| log.event(&event(seq, warning("x"))));
    assert_eq!(complaints.lock().unwrap().len(), 1, "{complaints:?}");

    let (log, complaints) = open(&logs.path().join("else"), "r1");
    // Every write to it fails, as on a full disk.
    *log.file() = Some(OpenOptions::new().append(true).open("/dev/full").unwrap());
    (1..9).for_each(|seq| log.event(&event(seq, warning("x"))));
    assert_eq!(complaints.lock().unwrap().len(), 1, "{complaints:?}");
}

#[test]
fn a_symlink_is_not_followed() {
    let logs = tempfile::tempdir().unwrap();
    let path = path(logs.path(), "p", "r1");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    let target = logs.path().join("target");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let (log, complaints) = open(logs.path(), "r1");
    log.event(&event(1, warning("x")));
    assert!(!target.exists() && complaints.lock().unwrap().len() == 1);
}

#[test]
fn the_last_twenty_runs_are_kept() {
    let logs = tempfile::tempdir().unwrap();
    let folder = logs.path().join("p");
    std::fs::create_dir(&folder).unwrap();
    let now = SystemTime::now();
    for n in 0..25_u64 {
        let file = File::create(folder.join(format!("r{n}.jsonl"))).unwrap();
        file.set_modified(now - std::time::Duration::from_secs(100 + n)).unwrap();
    }
    std::fs::write(folder.join("notes.txt"), "").unwrap();
    open(logs.path(), "new").0.event(&event(1, warning("x")));
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let mut expected: Vec<_> = (0..19).map(|n| format!("r{n}.jsonl")).collect();
    expected.extend(["new.jsonl".to_owned(), "notes.txt".to_owned()]);
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(last(logs.path(), None).unwrap(), Some(folder.join("new.jsonl")));
    assert_eq!(last(logs.path(), Some("other")).unwrap(), None);
}

#[test]
fn a_long_line_is_told_in_short() {
    let long = || "é".repeat(4_000);
    let many = |n: usize| (0..n).map(|_| long()).collect::<Vec<_>>();
    let changes = (0..200).map(|_| ChangeTold { item: long(), summary: long(), diff: Some(long()) }).collect();
    let told = [
        warning(&long().repeat(20)),
        What::CommandStarted { argv: many(200) },
        What::ResourceChanging { n: 1, of: 1, changes },
        What::Failed {
            failure: Box::new(crate::engine::failure::Failure::of(
                &distro::Fault::new(distro::Class::Host, long()).evidence(many(300)).advice(long()).into(),
                Place::default(),
            )),
        },
    ];
    for what in told {
        let line = line(&event(1, what)).unwrap();
        assert!(line.len() < 300_000, "{}", line.len());
        assert!(serde_json::from_slice::<Event>(&line).is_ok());
    }
    // Alone it is not too long.
    let short = line(&event(1, warning(&long()))).unwrap();
    assert_eq!(serde_json::from_slice::<Event>(&short).map(|event| event.seq).ok(), Some(1));
}

#[test]
fn a_planted_symlink_leads_no_log_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (open_to_all, elsewhere) = (folder.path().join("log"), folder.path().join("etc"));
    for folder in [&open_to_all, &elsewhere] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::set_permissions(&open_to_all, Permissions::from_mode(0o777)).unwrap();
    let logs = open_to_all.join("surefoot");
    std::os::unix::fs::symlink(&elsewhere, &logs).unwrap();
    let (log, complaints) = open(&logs, "r1");
    log.event(&event(1, warning("one")));
    assert!(complaints.lock().unwrap()[0].contains("that root does not control"), "{complaints:?}");
    assert!(elsewhere.read_dir().unwrap().next().is_none());
}

//! What commands say, and when they end.

use std::sync::{Arc, Mutex};

use super::*;

#[test]
fn output_exit_and_input() {
    let runner = Runner::quiet();
    let output = Command::new("sh").args(["-c", "cat; echo e >&2; exit 3"]).stdin("in").output(&runner).unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.ran.exit), ("in\n", "e\n", Some(3)));
}

#[test]
fn what_is_hopeless_is_ended() {
    let hopeless = |line: &str| line == "never";
    let command = Command::new("sh").args(["-c", "echo so far; echo never; exec sleep 600"]).never_killed();
    let output = command.give_up_when(&hopeless).output(&Runner::quiet()).unwrap();
    assert_eq!((output.stdout.as_str(), output.ran.signal), ("so far\nnever\n", Some(15)));
}

#[test]
fn data_is_not_told() {
    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);
    impl Listen for Lines {
        fn told(&self, told: Told<'_>) {
            if let Told::Line { text, .. } = told {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }
    let lines = Arc::new(Lines::default());
    let runner = Runner::new(lines.clone(), Arc::default());
    let command = || Command::new("sh").args(["-c", "echo out; sleep 0.1; echo err >&2"]);
    assert_eq!(command().data().output(&runner).unwrap().stdout, "out\n");
    assert_eq!(*lines.0.lock().unwrap(), ["err"]);
    command().output(&runner).unwrap();
    assert_eq!(*lines.0.lock().unwrap(), ["err", "out", "err"]);
}

#[test]
fn a_limit_ends_the_whole_group() {
    let runner = Runner::quiet();
    let began = Instant::now();
    let command = Command::new("sh").args(["-c", "sleep 30 & sleep 30"]).limit(Duration::from_millis(200));
    let error = command.output(&runner).unwrap_err();
    assert_eq!(Fault::class_of(&error), Class::Timeout);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_daemon_that_keeps_the_pipe_is_not_waited_for() {
    let began = Instant::now();
    let output = Command::new("sh").args(["-c", "sleep 20 & echo x"]).output(&Runner::quiet()).unwrap();
    assert_eq!(output.stdout, "x\n");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn status_lines_come_by_their_own_pipe() {
    let lines = Mutex::new(Vec::new());
    let hook = |line: &str| lines.lock().unwrap().push(line.to_owned());
    Command::new("sh").args(["-c", "echo hello >&$0", "{}"]).on_status(&hook).output(&Runner::quiet()).unwrap();
    assert_eq!(*lines.lock().unwrap(), ["hello"]);
}

#[test]
fn a_program_begins_only_after_its_pid_was_taken_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("began").display().to_string();
    let touch = || Command::new("sh").args(["-c", "echo $$ >\"$1\"; cat", "sh", &file]);
    let refused = |_| anyhow::bail!("the disk is full");
    let error = touch().on_start(&refused).output(&Runner::quiet()).unwrap_err();
    assert_eq!(error.to_string(), "the disk is full");
    assert!(!std::path::Path::new(&file).exists());

    let pid = std::cell::Cell::new(0);
    let taken = |began| {
        assert!(!std::path::Path::new(&file).exists());
        pid.set(began);
        Ok(())
    };
    assert!(touch().on_start(&taken).output(&Runner::quiet()).unwrap().ok());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{}\n", pid.get()));
}

#[test]
fn who_writes_its_status_does_not_wait_for_itself_to_read_it() {
    let script = r#"pipe=$(readlink /proc/$$/fd/{}); readlink /proc/$$/fd/* | grep -cxF "$pipe""#;
    let command = Command::new("sh").args(["-c", script]).on_status(&|_| ());
    assert_eq!(command.output(&Runner::quiet()).unwrap().stdout.trim(), "1");
}

#[test]
fn a_missing_program_is_named() {
    let error = Command::new("no-such-program").output(&Runner::quiet()).unwrap_err();
    assert!(error.to_string().contains("'no-such-program'"), "{error}");
}

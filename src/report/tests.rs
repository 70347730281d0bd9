//! A scripted run, shown to each reporter: what users see at 80 columns, without colour.

mod docs;
mod tty;

use std::io::Write;
use std::sync::{Arc, Mutex};

use distro::Class;
use distro::failure::Ran;
use insta::assert_snapshot;

use self::tty::{CURSOR_BACK, Tty};
use super::card::card;
use super::console::{Console, Plain, Terminal};
use super::json::JsonLines;
use super::plan::{Answer, Counts, InputTold, PlanTold, ResourceTold, SCHEMA, StepTold};
use super::plan_view::{Options, plan_view};
use super::style::{Style, columns};
use super::*;
use crate::engine::event::{ChangeTold, Event, Place, Report, What};
use crate::engine::failure::Failure;

const UNICODE: Style = Style { width: 80, colour: false, unicode: true };
const ASCII: Style = Style { width: 80, colour: false, unicode: false };

/// What was written, for looking at it while somebody else has the writer.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A terminal that is gone: it counts how often somebody tries.
#[derive(Clone, Default)]
struct Gone(Arc<Mutex<usize>>);

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        *self.0.lock().unwrap() += 1;
        Err(std::io::Error::from_raw_os_error(5))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn change(item: &str, summary: &str) -> ChangeTold {
    ChangeTold { item: item.to_owned(), summary: summary.to_owned(), diff: None }
}

fn failure() -> Failure {
    Failure {
        class: Class::Service,
        exit_code: 26,
        message: "redis-server.service does not start: exit 1".to_owned(),
        place: place("configure", "redis", "service:redis-server.service"),
        position: Some((5, 17)),
        command: Some(Ran {
            argv: ["systemctl", "start", "redis-server.service"].map(str::to_owned).to_vec(),
            exit: Some(1),
            signal: None,
        }),
        while_doing: vec!["starting redis-server.service".to_owned()],
        evidence: vec!["Can't open the log file: Permission denied".to_owned()],
        advice: "give the user redis the right to write /var/log/redis: chown redis: /var/log/redis".to_owned(),
        go_on: Some("surefoot install --resume".to_owned()),
        log: Some("/var/log/surefoot/services/20260102T030405-7.jsonl".to_owned()),
    }
}

fn place(stage: &str, step: &str, resource: &str) -> Place {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let resource = some(resource).map(|resource| format!("{step}/{resource}"));
    Place { stage: some(stage), step: some(step), resource }
}

/// A run; with `fails` it ends at redis's service.
fn script(fails: bool) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    let mut now = 0;
    let mut say = |after: u64, place: Place, what: What| {
        now += after;
        events.push(Event {
            schema: crate::engine::event::SCHEMA,
            run: "20260102T030405-7".to_owned(),
            attempt: 1,
            seq: events.len() as u64 + 1,
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            elapsed_ms: now,
            product: "services".to_owned(),
            place,
            command: None,
            what,
        });
    };
    let line = |stream: &str, text: &str| What::CommandLine { stream: stream.to_owned(), text: text.to_owned() };
    let argv = |words: &str| What::CommandStarted { argv: words.split(' ').map(str::to_owned).collect() };
    let log = failure().log.unwrap();
    let (action, title) = ("install".to_owned(), "Backing services".to_owned());
    let started = What::RunStarted { action, version: "0.1.0".to_owned(), title, log, steps: 3, resources: 17 };
    say(31, Place::default(), started);
    say(2, place("packages", "", ""), What::StageStarted);
    let packages = || place("packages", "redis", "packages:redis-server");
    say(1, place("packages", "redis", ""), What::StepStarted { n: 1, of: 3 });
    let changes = ["redis-server 5:7.0.15", "redis-tools 5:7.0.15", "liblzf1 3.6-3", "libjemalloc2 5.3.0"]
        .map(|name| change(&format!("package {name}"), &format!("install {name}")));
    say(5, packages(), What::ResourceChanging { n: 3, of: 17, changes: changes.to_vec() });
    say(3, packages(), argv("apt-get install -y redis-server"));
    say(900, packages(), line("note", "waiting for /var/lib/dpkg/lock-frontend, held by unattended-upgr (pid 812)"));
    say(11_200, packages(), What::Progress { percent: 42.25, text: "Unpacking redis-server (amd64)".to_owned() });
    say(100, packages(), line("out", "Setting up redis-server (5:7.0.15-1~deb12u1) ..."));
    say(1200, packages(), What::CommandEnded { exit: 0, took_ms: 13_400 });
    say(2, packages(), What::ResourceChanged { took_ms: 13_410 });
    say(1, place("packages", "redis", ""), What::StepEnded { changed: 1, took_ms: 13_414 });
    say(2, place("configure", "", ""), What::StageStarted);
    say(1, place("configure", "redis", ""), What::StepStarted { n: 1, of: 3 });
    say(1, place("configure", "redis", "user:redis"), What::ResourceInPlace);
    let mut edit = change("content", "content");
    edit.diff = Some("@@ -1 +1 @@\n-maxmemory 0\n+maxmemory 256mb".to_owned());
    let file = || place("configure", "redis", "file:/etc/redis/redis.conf");
    let changes = vec![edit, change("mode", "mode 0644 -> 0640")];
    say(1, file(), What::ResourceChanging { n: 4, of: 17, changes });
    say(4, file(), What::ResourceChanged { took_ms: 4 });
    let service = || place("configure", "redis", "service:redis-server.service");
    say(1, service(), What::ResourceChanging { n: 5, of: 17, changes: vec![change("running", "start")] });
    say(1, service(), argv("systemctl start redis-server.service"));
    let exit = i32::from(fails);
    if fails {
        say(300, service(), line("err", "Job for redis-server.service failed."));
    }
    say(90, service(), What::CommandEnded { exit, took_ms: 391 });
    let mut end = What::RunEnded {
        result: "done".to_owned(),
        in_place: 12,
        changed: 5,
        failed: 0,
        restarted: 1,
        taken_back: None,
        kept: None,
        forgotten: false,
        took_ms: 14_300,
        next: vec![
            "open https://box.example/".to_owned(),
            "the passwords are in /var/lib/surefoot/services/secrets".to_owned(),
        ],
    };
    if fails {
        say(3, service(), What::Failed { failure: Box::new(failure()) });
        let took_ms = 14_300;
        let (in_place, changed, failed) = (2, 2, 1);
        end = What::RunEnded {
            result: "failed".to_owned(),
            in_place,
            changed,
            failed,
            restarted: 0,
            taken_back: None,
            kept: None,
            forgotten: false,
            took_ms,
            next: Vec::new(),
        };
    } else {
        say(9, service(), What::ResourceChanged { took_ms: 411 });
        say(1, place("configure", "redis", ""), What::StepEnded { changed: 2, took_ms: 421 });
        say(1, place("configure", "site", ""), What::StepStarted { n: 3, of: 3 });
        say(1, place("configure", "site", ""), What::StepEnded { changed: 0, took_ms: 1 });
        let text = "the repository of somebody else, https://example.org/debian, has no fresh index".to_owned();
        say(1, place("verify", "", ""), What::Warning { text });
    }
    say(5, Place::default(), end);
    events
}

fn plain(fails: bool, style: Style, verbosity: Verbosity) -> String {
    let page = Page::default();
    let plain = Plain::new(page.clone(), style, verbosity);
    script(fails).iter().for_each(|event| plain.event(event));
    let text = page.text();
    assert!(!text.contains(|character: char| character.is_control() && character != '\n'), "{text:?}");
    text
}

#[test]
fn a_plain_run() {
    assert_snapshot!("plain", plain(false, UNICODE, Verbosity::Normal));
    assert_snapshot!("plain_verbose", plain(false, UNICODE, Verbosity::Verbose));
    assert_snapshot!("plain_quiet", plain(false, UNICODE, Verbosity::Quiet));
}

#[test]
fn a_plain_run_that_fails() {
    assert_snapshot!("plain_failed", plain(true, ASCII, Verbosity::Normal));
    let quiet = plain(true, UNICODE, Verbosity::Quiet);
    assert_eq!(quiet, format!("\n{}2 in place, 2 changed, 1 failed\n", card(&failure(), &UNICODE)));
}

#[test]
fn a_reader_that_is_gone_is_left_alone() {
    let gone = Gone::default();
    let plain = Plain::new(gone.clone(), UNICODE, Verbosity::Verbose);
    script(false).iter().for_each(|event| plain.event(event));
    assert_eq!(*gone.0.lock().unwrap(), 1);
    let gone = Gone::default();
    let lines = JsonLines::to(gone.clone());
    script(false).iter().for_each(|event| lines.event(event));
    assert_eq!(*gone.0.lock().unwrap(), 1);
}

#[test]
fn json_lines_are_the_events() {
    let page = Page::default();
    let lines = JsonLines::to(page.clone());
    lines.plan(&plan());
    script(true).iter().for_each(|event| lines.event(event));
    let text = page.text();
    let mut told = text.lines();
    let first: serde_json::Value = serde_json::from_str(told.next().unwrap()).unwrap();
    assert_eq!((&first["type"], &first["schema"]), (&"plan".into(), &1.into()));
    assert_eq!(serde_json::from_value::<PlanTold>(first).unwrap(), plan());
    for (line, event) in told.zip(script(true)) {
        let read: Event = serde_json::from_str(line).unwrap();
        assert_eq!(format!("{read:?}"), format!("{event:?}"));
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), line, "a key stands twice");
    }
    assert_eq!(text.lines().count(), script(true).len() + 1);
}

/// What is on the screen in the end, and everything that ever was.
fn terminal(fails: bool, style: Style, verbosity: Verbosity) -> (String, String) {
    let tty = Tty::default();
    let terminal = Terminal::on(Box::new(tty.clone()), style, verbosity);
    script(fails).iter().for_each(|event| terminal.event(event));
    drop(terminal);
    let screen = tty.0.lock().unwrap();
    assert!(screen.written.ends_with(CURSOR_BACK), "the cursor does not come back: {:?}", screen.written);
    (screen.text(), screen.written.clone())
}

/// A service of the first step comes up while the second step is at work, and is waited for at the end.
#[test]
fn services_that_come_up_side_by_side() {
    let mut events = script(false);
    let at = |kind: fn(&What) -> bool, step: &str| {
        let is = |event: &Event| kind(&event.what) && event.place.step.as_deref() == Some(step);
        events.iter().rposition(is).unwrap()
    };
    let (waited, site) = (
        at(|what| matches!(what, What::CommandStarted { .. }), "redis"),
        at(|what| matches!(what, What::StepStarted { .. }), "site"),
    );
    let moved: Vec<Event> = events.drain(site..site + 2).collect();
    events.splice(waited..waited, moved);
    let tty = Tty::default();
    let terminal = Terminal::on(Box::new(tty.clone()), UNICODE, Verbosity::Normal);
    let (before, after) = events.split_at(waited + 3);
    before.iter().for_each(|event| terminal.event(event));
    let live = tty.0.lock().unwrap().text();
    assert!(live.contains("redis                 5/17 service redis-server.service: start"), "{live}");
    after.iter().for_each(|event| terminal.event(event));
    drop(terminal);
    let stays = tty.0.lock().unwrap().text();
    assert!(!stays.contains("service redis-server"), "what its step tells of is told by itself, too: {stays}");
    assert_eq!(stays.matches("✓ redis").count(), 2, "{stays}");
}

#[test]
fn a_run_in_a_terminal() {
    let (stays, written) = terminal(false, UNICODE, Verbosity::Normal);
    for live in ["3/17 packages redis-server: install", "$ apt-get install", "| Setting up redis-server", " 42 %"] {
        assert!(written.contains(live), "{live}: {written}");
    }
    assert_snapshot!("terminal", stays);
    assert_snapshot!("terminal_ascii_failed", terminal(true, ASCII, Verbosity::Normal).0);
    assert_snapshot!("terminal_verbose", terminal(false, UNICODE, Verbosity::Verbose).0);
}

#[test]
fn a_terminal_that_is_gone_is_left_alone() {
    let tty = Tty::default();
    tty.0.lock().unwrap().gone = true;
    let terminal = Terminal::on(Box::new(tty.clone()), UNICODE, Verbosity::Verbose);
    script(true).iter().for_each(|event| terminal.event(event));
    terminal.say("plan\n");
    terminal.restore();
    drop(terminal);
    assert!(tty.0.lock().unwrap().written.len() < 100, "{tty:?}");
}

#[test]
fn the_card_is_one_screen() {
    assert_snapshot!("card", card(&failure(), &UNICODE));
    let mut long = failure();
    long.evidence =
        (1..40).map(|n| format!("line {n} of what the service said, {}", "and a long one ".repeat(n % 9))).collect();
    long.message = "a message with very much to say ".repeat(20);
    long.advice = "do this, or that, or something else ".repeat(20);
    long.command = Some(Ran { argv: vec!["/very/long".repeat(60)], exit: None, signal: Some(9) });
    long.log = Some(format!("/var/log/surefoot/{}.jsonl", "x".repeat(90)));
    let text = card(&long, &ASCII);
    assert_snapshot!("card_long", text);
    for width in [0, 20, 40, 60, 80, 200] {
        for failure in [&failure(), &long] {
            let text = card(failure, &Style { width, ..UNICODE });
            assert!(width < 80 || text.lines().count() <= 24, "{width}: {text}");
            assert!(text.lines().all(|line| columns(line) <= width.clamp(40, 100)), "{width}: {text}");
        }
    }
}

#[test]
fn a_card_without_a_place_says_what_is_wrong() {
    let fault = distro::Fault::new(Class::Usage, "input 'site' has no value").advice("give it with --set site=…");
    assert_snapshot!("card_usage", card(&Failure::of(&fault.into(), Place::default()), &UNICODE));
}

#[test]
fn a_card_keeps_lines_apart_and_marks_below_what_they_mark() {
    let fault =
        distro::Fault::new(Class::Blueprint, "x").evidence(["11 | os = 1", "   |      ^"]).advice("a: do\nb: that");
    let text = card(&Failure::of(&fault.into(), Place::default()), &UNICODE);
    assert!(text.contains("seen    | 11 | os = 1\n        |    |      ^\n"), "{text}");
    assert!(text.contains("do      a: do\n        b: that\n"), "{text}");
}

#[test]
fn the_summary_says_what_there_was() {
    let ended = |in_place, changed, failed, restarted, undone: Option<(usize, usize)>| What::RunEnded {
        result: String::new(),
        in_place,
        changed,
        failed,
        restarted,
        taken_back: undone.map(|undone| undone.0),
        kept: undone.map(|undone| undone.1),
        forgotten: false,
        took_ms: 0,
        next: Vec::new(),
    };
    let table = [
        (ended(17, 5, 0, 0, None), "17 in place, 5 changed, 0 failed"),
        (ended(0, 0, 1, 2, None), "0 in place, 0 changed, 1 failed, 2 restarted"),
        (ended(16, 0, 0, 0, Some((2, 0))), "16 in place, 0 changed, 2 taken back, 0 kept, 0 failed"),
        (ended(0, 0, 0, 0, Some((12, 3))), "12 taken back, 3 kept, 0 failed"),
        (ended(0, 0, 1, 0, Some((0, 0))), "0 taken back, 0 kept, 1 failed"),
    ];
    for (ended, expected) in table {
        assert_eq!(summary(&ended), expected);
    }
}

#[test]
fn a_log_that_a_purge_removed_is_not_named() {
    let page = Page::default();
    let plain = Plain::new(page.clone(), UNICODE, Verbosity::Normal);
    for mut event in script(false) {
        if let What::RunEnded { forgotten, .. } = &mut event.what {
            *forgotten = true;
        }
        plain.event(&event);
    }
    let last = page.text().lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("the passwords are in"), "{last}");
}

fn resource(id: &str, answer: Answer, changes: Vec<ChangeTold>) -> ResourceTold {
    ResourceTold { id: id.to_owned(), stage: None, answer, why: None, ownership: None, changes }
}

fn plan() -> PlanTold {
    let input = |name: &str, value: &str, source: &str| InputTold {
        name: name.to_owned(),
        value: value.to_owned(),
        source: source.to_owned(),
    };
    let mut pending = resource("redis/service:redis-server.service", Answer::Pending, Vec::new());
    pending.why = Some("package redis-server is not installed yet".to_owned());
    let mut hidden = resource("redis/file:/etc/redis/redis.conf", Answer::Hidden, Vec::new());
    hidden.why = Some("only root can read /etc/redis".to_owned());
    let mut found = resource("site/packages:nginx-light", Answer::InPlace, Vec::new());
    found.ownership = Some("found".to_owned());
    let mut content = change("content", "content");
    content.diff = Some("@@ -1,2 +1,2 @@\n server {\n-  listen 80;\n+  listen 443 ssl;".to_owned());
    let file = |name: &str| format!("site/file:/etc/nginx/sites-available/{name}");
    let steps = vec![
        StepTold {
            id: "redis".to_owned(),
            kind: "redis".to_owned(),
            resources: vec![
                resource(
                    "redis/packages:redis-server",
                    Answer::Changes,
                    ["redis-server", "redis-tools", "liblzf1", "libjemalloc2"]
                        .map(|name| change(&format!("package {name}"), &format!("install {name}")))
                        .to_vec(),
                ),
                hidden,
                pending,
            ],
        },
        StepTold {
            id: "certificate".to_owned(),
            kind: "tls_certificate".to_owned(),
            resources: vec![resource("certificate/directory:/etc/ssl/surefoot", Answer::InPlace, Vec::new())],
        },
        StepTold {
            id: "site".to_owned(),
            kind: "nginx_site".to_owned(),
            resources: vec![
                found,
                resource(&file("box.example"), Answer::Changes, vec![content, change("mode", "mode 0600 -> 0644")]),
                resource(
                    "site/absent:/etc/nginx/sites-enabled/default",
                    Answer::Changes,
                    vec![change("link", "remove /etc/nginx/sites-enabled/default")],
                ),
                resource(
                    &file("a-very-long-name-that-does-not-fit-into-the-first-column.example.org"),
                    Answer::Changes,
                    vec![change("file", "create")],
                ),
            ],
        },
    ];
    PlanTold {
        schema: SCHEMA,
        product: "services".to_owned(),
        title: "Backing services".to_owned(),
        version: "1.0".to_owned(),
        digest: "3f2a9c1d0b7e55aa".to_owned(),
        inputs: vec![
            input("site", "box.example", "default"),
            input("redis_password", "[secret]", "generated"),
            input("memory", "256 MiB", "answers file"),
        ],
        counts: Counts::of(steps.iter().flat_map(|step| &step.resources)),
        steps,
        orphans: vec!["old/file:/etc/old.conf".to_owned()],
        warnings: vec![
            "release: Demo Linux 3, for which the vendor builds nothing: packages for 2 are taken; install it on Demo Linux 2".to_owned(),
        ],
    }
}

#[test]
fn a_plan() {
    let normal = Options { style: UNICODE, verbosity: Verbosity::Normal, rows: Some(24) };
    assert_snapshot!("plan", plan_view(&plan(), &normal));
    assert_snapshot!("plan_verbose", plan_view(&plan(), &Options { verbosity: Verbosity::Verbose, ..normal }));
    let colour = Options { style: Style { colour: true, ..UNICODE }, ..normal };
    assert_eq!(::console::strip_ansi_codes(&plan_view(&plan(), &colour)), plan_view(&plan(), &normal));
}

#[test]
fn a_plan_is_cut_only_where_it_is_no_screen() {
    let text = |rows| plan_view(&plan(), &Options { style: UNICODE, verbosity: Verbosity::Normal, rows: Some(rows) });
    let (small, large) = (text(26), text(32));
    assert!(small.contains('…') && small.lines().all(|line| columns(line) <= 80), "{small}");
    assert!(!large.contains('…') && large.lines().count() < 32, "{large}");
    let pending = "needs package redis-server is\n                                                 not installed yet\n";
    assert!(large.contains(pending) && !small.contains(pending), "{large}");
}

#[test]
fn a_long_plan_is_one_screen() {
    let mut long = plan();
    let file = |n: usize| resource(&format!("site/file:/etc/{n}"), Answer::Changes, vec![change("file", "create")]);
    long.steps[2].resources.extend((0..30).map(file));
    long.steps[0].resources.extend((0..9).map(file));
    long.counts = Counts::of(long.steps.iter().flat_map(|step| &step.resources));
    let input = long.inputs[0].clone();
    long.inputs.extend(std::iter::repeat_n(input, 20));
    let options = Options { style: ASCII, verbosity: Verbosity::Normal, rows: Some(24) };
    let text = plan_view(&long, &options);
    assert_snapshot!("plan_folded", text);
    for rows in [24, 40, 60] {
        let text = plan_view(&long, &Options { rows: Some(rows), ..options });
        let lines = text.lines().count();
        assert!((rows - 5..rows).contains(&lines), "{lines} of {rows} rows: {text}");
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
    }
    let whole = plan_view(&long, &Options { rows: None, ..options });
    assert!(!whole.contains("plan -v") && whole.lines().count() > 60, "{whole}");
}

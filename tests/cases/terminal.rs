//! What a person sees in a terminal of 80 columns, and what a pipe gets.

use anyhow::{Result, ensure};
use lab::{Host, Snapshot, Suite, Terminal, place, snapshot};
use std::time::Duration;

/// How long a screen may take to show something, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A host with surefoot, the blueprint `web` in /root/web and a fresh package index, so that nothing but `web` is still to be installed.
fn host() -> Result<Host> {
    let key = snapshot::key_of(&place::surefoot()?)?;
    let ground = Snapshot::cached("web-not-yet", &key, || {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        host.install_blueprint("web")?;
        host.sh("apt-get update")?;
        Ok(host)
    })?;
    ground.host().boot()
}

/// Runs surefoot in a terminal of 80 columns and 24 lines.
fn terminal(host: &Host, args: &[&str], env: &[(&str, &str)]) -> Result<Terminal> {
    // It begins once the terminal has its size.
    let words = ["sh", "-c", r#"until test -e /run/sized; do sleep 0.02; done; exec surefoot "$@""#, "sh"];
    host.sh("rm -f /run/sized")?;
    let mut run = host.run(words.into_iter().chain(args.iter().copied()));
    for (name, value) in env {
        run = run.env(name, value);
    }
    let terminal = run.in_terminal()?;
    terminal.resize(80, 24)?;
    host.sh("touch /run/sized")?;
    Ok(terminal)
}

fn answer_everything(terminal: &Terminal) -> Result<String> {
    for question in ["Name that users type", "TCP port", "Password of Redis"] {
        terminal.wait_for(question, PATIENCE)?;
        terminal.key("Enter")?;
    }
    terminal.wait_for("Make these changes?", PATIENCE)
}

#[test]
fn an_install_is_asked_for_shown_live_and_summed_up() -> Result<()> {
    let host = host()?;
    let terminal = terminal(&host, &["install", "/root/web"], &[])?;
    let plan = answer_everything(&terminal)?;
    for wanted in [
        "web 1.0  A web server and a cache",
        "site            box.lab.test",
        "default",
        "will be generated",
        "? directory  /var/lib/redis",
    ] {
        ensure!(plan.contains(wanted), "the plan does not show {wanted:?} on one screen:\n{plan}");
    }
    terminal.text("y")?;
    // A bar, the last line of the command in hand, a clock.
    let live = terminal.wait_for("━", PATIENCE)?;
    ensure!(live.contains(" %  ") && live.contains(" s\n"), "{live}");
    ensure!(live.contains("\n    ━"), "the bar has no row of its own:\n{live}");
    terminal.wait_for("✓ redis", PATIENCE)?;
    assert_eq!(terminal.wait_for_end(PATIENCE)?, 0, "{}", terminal.screen()?);
    let end = terminal.wait_for("log     /var/log/surefoot/web/", PATIENCE)?;
    for wanted in [
        "✓ packages",
        "✓ redis",
        "✓ site",
        "0 failed",
        "next    Open http://box.lab.test/",
        "log     /var/log/surefoot/web/",
    ] {
        ensure!(end.contains(wanted), "{wanted:?} is missing:\n{end}");
    }
    ensure!(end.contains("/var/lib/surefoot/web/secrets.json,"), "the path of the password is not whole:\n{end}");
    let live = end.lines().find(|line| line.contains(['━', '|', '⠋', '⠹', '⠼', '⠦', '⠧']));
    ensure!(live.is_none(), "something live is left: {live:?}\n{end}");
    ensure!(terminal.shows_cursor()?, "the cursor is gone");
    ensure!(terminal.is_coloured()?, "nothing is coloured");
    Ok(())
}

/// Questions that take more rows than one.
const ASKS: &str = r#"
[inputs.sure]
type = "bool"
ask = "Would you like to have a certificate that all browsers of this world trust, from an authority?"
default = true

[inputs.reached]
type = "bool"
ask = "Can the authority reach this host?"
help = "It has to, by the site's name, on port 80."

[inputs.users]
type = "choice"
ask = "Where are the users"
choices = ["file", "ldap"]
default = "file"

[inputs.path]
type = "text"
ask = "Path of the site's certificate (PEM; empty: one that signs itself)"
default = ""
pattern = "|/.+"

[inputs.sesame]
type = "secret"
ask = "Password of the first user of the web page that there is by then"
generate = 24

[[step]]
id = "note"
kind = "directory"
path = "/srv/note"
"#;

#[test]
fn a_question_of_many_rows_is_there_once() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    host.write_blueprint("asks", ASKS)?;
    for env in [&[][..], &[("NO_COLOR", "1")]] {
        let terminal = terminal(&host, &["install", "/root/asks"], env)?;
        for (question, typed) in [
            ("from an authority?", "n"),
            ("  answer [y/n]", "y"),
            ("> file", ""),
            ("Path of the site's", "etc/a/path/that/is/longer/than/the/row/has/room.pem"),
            ("error: ", "/etc/a/path/that/is/longer/than/the/row/has/room.pem"),
            ("generate one):", ""),
        ] {
            terminal.wait_for(question, PATIENCE)?;
            terminal.text(typed)?;
            if typed.len() != 1 {
                terminal.key("Enter")?;
            }
        }
        let screen = terminal.wait_for("Make these changes?", PATIENCE)?;
        let wanted = [
            "Would you like to have a certificate that all browsers of this world",
            "trust, from an authority? no",
            "Can the authority reach this host?",
            "  It has to, by the site's name, on port 80.",
            "  answer yes",
            "Where are the users: file",
            "Path of the site's certificate (PEM; empty: one that signs itself): /etc/a/path/",
            "that/is/longer/than/the/row/has/room.pem",
            "Password of the first user of the web page that there is by then",
            "(empty: generate one): [hidden]",
            "asks 1.0  The asks",
        ];
        let seen: Vec<&str> = screen.lines().skip_while(|line| line.is_empty()).take(wanted.len()).collect();
        assert_eq!(seen, wanted, "{screen}");
        terminal.key("C-c")?;
        terminal.wait_for_end(PATIENCE)?;
    }
    Ok(())
}

#[test]
fn ctrl_c_at_a_question_leaves_nothing() -> Result<()> {
    let host = host()?;
    for question in ["Name that users type", "Password of Redis", "Make these changes?"] {
        let terminal = terminal(&host, &["install", "/root/web"], &[])?;
        for key in ["Name that users type", "TCP port", "Password of Redis", "Make these changes?"] {
            terminal.wait_for(key, PATIENCE)?;
            if key == question {
                break;
            }
            terminal.key("Enter")?;
        }
        terminal.key("C-c")?;
        assert_eq!(terminal.wait_for_end(PATIENCE)?, 130, "{question}: {}", terminal.screen()?);
        ensure!(terminal.shows_cursor()?, "{question}: the cursor is gone");
        ensure!(!host.exists("/var/lib/surefoot/web")?, "{question}: something was begun");
    }
    Ok(())
}

#[test]
fn ctrl_c_in_the_middle_ends_in_order_and_resumes() -> Result<()> {
    let host = host()?;
    let terminal = terminal(&host, &["install", "/root/web", "--yes"], &[])?;
    terminal.wait_for("━", PATIENCE)?;
    terminal.key("C-c")?;
    assert_eq!(terminal.wait_for_end(PATIENCE)?, 130, "{}", terminal.screen()?);
    let end = terminal.wait_for("exit code 130", PATIENCE)?;
    ensure!(terminal.shows_cursor()?, "the cursor is gone:\n{end}");
    ensure!(end.contains("surefoot install --resume"), "{end}");
    ensure!(!end.contains('━') && !end.contains("2/13"), "something live is left:\n{end}");
    host.exec(["surefoot", "install", "--resume", "--yes"])?.ok()?;
    Ok(())
}

#[test]
fn a_run_outlives_its_terminal() -> Result<()> {
    let host = host()?;
    let terminal = terminal(&host, &["install", "/root/web", "--yes"], &[])?;
    terminal.wait_for("━", PATIENCE)?;
    terminal.hang_up();
    let log = host.run(["surefoot", "log", "web", "--follow", "--json"]).patience(PATIENCE).output()?.ok()?;
    let last: serde_json::Value = serde_json::from_str(log.stdout.lines().last().unwrap_or_default())?;
    assert_eq!((&last["type"], &last["result"]), (&"run_ended".into(), &"done".into()), "{last}");
    Ok(())
}

#[test]
fn a_pipe_gets_lines_and_programs_get_json() -> Result<()> {
    let host = host()?;
    let piped =
        host.run(["surefoot", "install", "/root/web", "--yes", "-v"]).env("TERM", "xterm-256color").output()?.ok()?;
    let control = piped.stderr.lines().find(|line| line.contains(|letter: char| letter.is_control() && letter != '\t'));
    ensure!(control.is_none(), "{control:?}");
    ensure!(piped.stdout.is_empty(), "{}", piped.stdout);
    ensure!(
        !piped.stderr.contains("ActiveState="),
        "answers to questions of surefoot's own are shown:\n{}",
        piped.stderr
    );

    let schema: serde_json::Value = serde_json::from_str(include_str!("../../docs/run-log.schema.json"))?;
    let valid = jsonschema::validator_for(&schema).map_err(|error| anyhow::anyhow!("{error}"))?;
    let check = |text: &str| -> Result<usize> {
        for line in text.lines() {
            let event: serde_json::Value = serde_json::from_str(line)?;
            let wrong: Vec<String> = valid.iter_errors(&event).map(|error| error.to_string()).collect();
            ensure!(wrong.is_empty(), "{line}: {}", wrong.join("; "));
        }
        Ok(text.lines().count())
    };
    ensure!(check(&host.sh("cat /var/log/surefoot/web/*.jsonl")?)? > 50);
    ensure!(valid.validate(&serde_json::json!({ "schema": 1, "type": "step_started" })).is_err(), "anything is valid");

    host.sh("systemctl stop redis-server; rm /var/www/web-site/index.html")?;
    let json = host.exec(["surefoot", "install", "/root/web", "--yes", "--output", "json"])?.ok()?;
    ensure!(json.stderr.is_empty(), "{}", json.stderr);
    let (plan, events): (Vec<&str>, Vec<&str>) =
        json.stdout.lines().partition(|line| line.contains("\"type\":\"plan\""));
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(plan[0])?["product"], "web");
    ensure!(check(&events.join("\n"))? > 5 && json.stdout.contains("\"changed\":2"), "{events:?}");

    let quiet = host.exec(["surefoot", "install", "/root/web", "--yes", "-q"])?.ok()?;
    assert_eq!(quiet.stderr, "15 in place, 0 changed, 0 failed\n");
    let failed = host.exec(["surefoot", "install", "/root/web", "--set", "http_port=0"])?.code_is(10)?;
    ensure!(failed.stderr.contains("http_port") && !failed.stderr.contains("then    "), "{}", failed.stderr);
    Ok(())
}

#[test]
fn no_color_and_ascii_are_respected() -> Result<()> {
    let host = host()?;
    let args = ["install", "/root/web", "--yes"];
    let plain = terminal(&host, &args, &[("NO_COLOR", "1"), ("LC_ALL", "C")])?;
    assert_eq!(plain.wait_for_end(PATIENCE)?, 0, "{}", plain.screen()?);
    let screen = plain.wait_for("log     /var/log/surefoot/web/", PATIENCE)?;
    ensure!(screen.is_ascii() && screen.contains("ok redis"), "{screen}");
    ensure!(!plain.is_coloured()?, "there are colours in spite of NO_COLOR");
    Ok(())
}

#[test]
fn a_plan_file_is_done_as_it_is_or_not_at_all() -> Result<()> {
    let host = host()?;
    let nobody = host.exec(["surefoot", "install", "/root/web"])?.code_is(10)?;
    ensure!(nobody.stderr.contains("--yes") && !host.exists("/var/lib/surefoot/web")?, "{}", nobody.stderr);
    host.exec(["surefoot", "plan", "/root/web", "--out", "/root/plan"])?.ok()?;
    host.write("/var/www/web-site/index.html", "somebody else's", 0o644)?;
    let refused = host.exec(["surefoot", "install", "--plan", "/root/plan", "--yes"])?.code_is(31)?;
    ensure!(refused.stderr.contains("no longer the one in /root/plan"), "{}", refused.stderr);
    ensure!(!host.exists("/var/lib/surefoot/web/journal")?, "a refused plan began something");
    host.sh("rm -r /var/www")?;
    host.exec(["surefoot", "install", "--plan", "/root/plan", "--yes"])?.ok()?;
    Ok(())
}

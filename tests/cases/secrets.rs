//! No secret is found where others than root could read it, or where it has no business to be: whatever it is made of, however it was
//! given, and whatever went wrong.
//!
//! *Found* means: it stands there as it is, percent-encoded, in base64 (at each of the three alignments, standard or URL-safe), escaped
//! as in JSON or quoted as for a shell. A secret of a single letter stands everywhere; it counts as found where what is written tells
//! which letter it is: two runs that are alike but for the letter must leave the same words.

use anyhow::{Context, Result, ensure};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use lab::{Host, Output, Run, Suite, place, snapshot};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeSet;

/// What surefoot keeps, but for what is there to hold secrets, and the key of its digests.
const STATE: &str =
    "cd /var/lib/surefoot && find . -type f ! -name secrets.json ! -name key ! -path '*/originals/*' -exec cat {} +";
/// What anybody on the host may see: units, command lines, and the logs that are not root's alone.
const PUBLIC: &str = "systemctl show '*'; systemctl show; ps -eo args; cat /proc/[0-9]*/cmdline | tr '\\0' ' '";

/// A text that must hold no secret, and what it is.
type Text = (&'static str, String);

/// Shortest part of a base64 text that is looked for: a shorter one stands anywhere by chance.
const BASE64: usize = 4;

/// Every way to write `secret` that counts.
fn forms(secret: &str) -> Vec<String> {
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let json = serde_json::Value::from(secret).to_string();
    let ascii = json.chars().map(|letter| match letter {
        ' '..='~' => letter.to_string(),
        other => other.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    });
    let ascii: String = ascii.collect();
    let inside = |text: &str| text[1..text.len() - 1].to_owned();
    let mut forms = vec![
        secret.to_owned(),
        percent.to_lowercase().replace(&secret.to_lowercase(), secret),
        percent,
        secret.replace(' ', "+"),
        inside(&json),
        inside(&ascii),
        format!("{secret:?}").trim_matches('"').to_owned(),
        secret.replace('\'', r"'\''"),
        secret.replace('\'', r#"'"'"'"#),
        secret
            .chars()
            .map(|c| if c.is_ascii_punctuation() || c == ' ' { format!("\\{c}") } else { c.into() })
            .collect(),
    ];
    for shift in 0..3 {
        let mut bytes = vec![0; shift];
        bytes.extend_from_slice(secret.as_bytes());
        // Six bits a letter: from the first that holds no bit of what stands before to the last that holds none of what follows.
        let (first, end) = ((shift * 8).div_ceil(6), bytes.len() * 8 / 6);
        if end >= first + BASE64 {
            forms.extend([STANDARD.encode(&bytes), URL_SAFE.encode(&bytes)].map(|text| text[first..end].to_owned()));
        }
    }
    forms
}

/// Fails where `secret` is in one of `texts`.
fn absent(secret: &str, texts: &[Text]) -> Result<()> {
    for (what, text) in texts {
        for form in forms(secret) {
            if let Some(at) = text.find(&form) {
                let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
                let line = text[line..].lines().next().unwrap_or_default();
                anyhow::bail!("the secret {secret:?} is in {what}, written {form:?}: {line}");
            }
        }
    }
    Ok(())
}

/// How a secret reaches surefoot.
#[derive(Clone, Copy, Debug)]
enum By {
    Environment,
    File,
    StandardInput,
    Answers,
}

fn surefoot<'h>(host: &'h Host, by: By, secret: &str, args: &[&str]) -> Result<Run<'h>> {
    let mut words: Vec<String> = std::iter::once("surefoot").chain(args.iter().copied()).map(str::to_owned).collect();
    Ok(match by {
        By::Environment => host.run(words).env("SUREFOOT_INPUT_REDIS_PASSWORD", secret),
        By::File => {
            host.write("/root/password", format!("{secret}\n"), 0o600)?;
            words.extend(["--set-file", "redis_password=/root/password"].map(str::to_owned));
            host.run(words)
        }
        By::StandardInput => {
            words.extend(["--set-file", "redis_password=-"].map(str::to_owned));
            host.run(words).stdin(secret)
        }
        By::Answers => {
            // TOML's basic strings are JSON's, as far as these letters go.
            host.write("/root/answers.toml", format!("redis_password = {}\n", serde_json::Value::from(secret)), 0o600)?;
            words.extend(["--answers", "/root/answers.toml"].map(str::to_owned));
            host.run(words)
        }
    })
}

fn both(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}

/// Everything that surefoot left on the host and says when it is asked.
fn left(host: &Host) -> Result<Vec<Text>> {
    let said = |args: &[&str]| -> Result<String> { Ok(both(&host.exec(args.iter().copied())?)) };
    Ok(vec![
        ("the run logs", host.sh("cat /var/log/surefoot/*/*")?),
        ("the journal and what is kept beside it", host.sh(STATE)?),
        ("surefoot log", said(&["surefoot", "log"])?),
        ("surefoot log --json", said(&["surefoot", "log", "--json"])?),
        ("surefoot why", said(&["surefoot", "why"])?),
        ("surefoot why --output json", said(&["surefoot", "why", "--output", "json"])?),
        ("surefoot status -v", said(&["surefoot", "status", "-v"])?),
        ("surefoot status --output json", said(&["surefoot", "status", "--output", "json"])?),
        ("what everybody may see", both(&host.exec_as("nobody", ["sh", "-c", PUBLIC])?)),
    ])
}

/// Plans and installs with `secret`, twice, and fails where it is found.
fn installed_with(host: &Host, web: &str, by: By, secret: &str) -> Result<()> {
    let run = |args: &[&str]| surefoot(host, by, secret, args);
    let mut texts = Vec::new();
    texts.push(("plan -v --out", both(&run(&["plan", web, "-v", "--out", "/root/plan"])?.output()?.ok()?)));
    texts.push(("the plan file", host.read("/root/plan")?));
    texts.push(("plan --output json", both(&run(&["plan", web, "--output", "json"])?.output()?.ok()?)));
    let (arguments, output) = run(&["install", web, "--yes", "-v"])?.arguments()?;
    ensure!(arguments.contains("surefoot"), "strace saw nothing: {arguments}");
    texts.push(("install -v", both(&output.ok()?)));
    texts.push(("the arguments of a process", arguments));
    logs_in(host, secret)?;
    let (arguments, output) = run(&["install", web, "--yes", "--output", "json"])?.arguments()?;
    let again = output.ok()?;
    ensure!(again.stdout.contains("\"changed\":0"), "the second run changed something: {}", again.stdout);
    texts.push(("install --output json", both(&again)));
    texts.push(("the arguments of a process of the second run", arguments));
    texts.extend(left(host)?);
    texts.push(("the system's journal", host.sh("journalctl -b -o cat --no-pager")?));
    absent(secret, &texts).with_context(|| format!("given by {by:?}"))
}

/// Redis takes `secret` as its password, and no other.
fn logs_in(host: &Host, secret: &str) -> Result<()> {
    let answer = |password: &str| -> Result<String> {
        let script = "exec 3<>/dev/tcp/127.0.0.1/6379; cat >&3; IFS= read -r -t 5 line <&3; echo \"$line\"";
        let asked = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{password}\r\n", password.len());
        Ok(host.run(["bash", "-c", script]).stdin(asked).output()?.ok()?.stdout)
    };
    ensure!(answer(secret)?.starts_with("+OK"), "redis does not take {secret:?}");
    ensure!(answer("another")?.starts_with("-WRONGPASS"), "redis takes any password");
    Ok(())
}

/// The secret, as root reads it.
fn generated(host: &Host) -> Result<String> {
    let kept: serde_json::Value = serde_json::from_str(&host.read("/var/lib/surefoot/web/secrets.json")?)?;
    let secret = strings(&kept).find(|text| text.len() > 40 || text.len() == 8 || text.len() == 1);
    secret.map(str::to_owned).with_context(|| format!("no secret in {kept}"))
}

fn strings(value: &serde_json::Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        serde_json::Value::String(text) => Box::new(std::iter::once(text.as_str())),
        serde_json::Value::Array(list) => Box::new(list.iter().flat_map(strings)),
        serde_json::Value::Object(map) => Box::new(map.values().flat_map(strings)),
        _ => Box::new(std::iter::empty()),
    }
}

#[test]
fn no_secret_that_is_given_is_found() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let web = host.install_blueprint("web")?;
    let long = r#"Zr8'kQ"v%2Fw\p$L!x&y;z|<m>(n)[o]{t}~u^*+=,.?:@/ é-_012345678#9ab"#;
    assert_eq!(long.chars().count(), 64);
    let secrets = [
        (By::Environment, long),
        (By::File, r#"a'b"%\$#"#),
        (By::StandardInput, "@é p 日%4"),
        (By::Answers, "100%2541"),
        (By::Answers, "€"),
        (By::File, "%c3%a9%%20'\"'$(id)`id`${HOME}\\\\x41\\n #;{}[]&*?!|<>~^=+,.:/_-0@"),
    ];
    for (by, secret) in secrets {
        installed_with(&host, &web, by, secret)?;
    }
    let output = host.run(["surefoot", "uninstall", "web", "--yes", "-v"]).output()?.ok()?;
    let mut texts = vec![("uninstall -v", both(&output))];
    texts.extend(left(&host)?);
    secrets.iter().try_for_each(|(_, secret)| absent(secret, &texts))
}

#[test]
fn no_secret_that_is_generated_is_found() -> Result<()> {
    for length in [8, 64] {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        let web = host.install_blueprint("web")?;
        host.sh(&format!("sed -i 's/^generate = 24/generate = {length}/' {web}/blueprint.toml"))?;
        let (arguments, output) = host.run(["surefoot", "install", &web, "--yes", "-v"]).arguments()?;
        let mut texts = vec![("install -v", both(&output.ok()?)), ("the arguments of a process", arguments)];
        let secret = generated(&host)?;
        assert_eq!(secret.len(), length);
        logs_in(&host, &secret)?;
        texts.extend(left(&host)?);
        let plan = host.exec(["surefoot", "plan", &web, "-v", "--out", "/root/plan"])?.ok()?;
        texts.extend([("plan -v", both(&plan)), ("the plan file", host.read("/root/plan")?)]);
        texts.push(("the system's journal", host.sh("journalctl -b -o cat --no-pager")?));
        absent(&secret, &texts)?;
    }
    Ok(())
}

/// A service that prints its configuration when it fails: the worst that can end up in a failure's evidence.
const TELLS: &str =
    "[Service]\nExecStartPre=+/bin/sh -c 'cat /etc/redis/surefoot.conf; base64 -w0 /etc/redis/surefoot.conf; exit 1'\n";

#[test]
fn no_secret_is_found_in_a_failure() -> Result<()> {
    let host = Host::boot(Suite::Bookworm)?;
    host.install_binary()?;
    let web = host.install_blueprint("web")?;
    host.write("/etc/systemd/system/redis-server.service.d/tells.conf", TELLS, 0o644)?;
    let secrets = [(By::Environment, "pa'ss \"wo%rd\\ é$x#y@"), (By::File, "Kq8vZ2mn"), (By::Answers, "%41%42'x\"")];
    for (by, secret) in secrets {
        let (arguments, output) = surefoot(&host, by, secret, &["install", &web, "--yes", "-v"])?.arguments()?;
        let output = output.code_is(26)?;
        ensure!(output.stderr.contains("[secret]"), "the evidence does not hold the configuration:\n{}", output.stderr);
        let json =
            surefoot(&host, by, secret, &["install", &web, "--yes", "--output", "json"])?.output()?.code_is(26)?;
        let mut texts = vec![("the failure's card", both(&output)), ("the failure as JSON", both(&json))];
        texts.push(("the arguments of a process", arguments));
        texts.extend(left(&host)?);
        absent(secret, &texts).with_context(|| format!("given by {by:?}"))?;
    }
    Ok(())
}

/// A secret of one letter, generated where none is given, and what a run with it says and leaves.
fn transcript(secret: Option<&str>) -> Result<(String, Vec<Text>)> {
    let key = snapshot::key_of(&place::surefoot()?)?;
    let ground = lab::Snapshot::cached("web-one-letter", &key, || {
        let host = Host::boot(Suite::Bookworm)?;
        host.install_binary()?;
        let web = host.install_blueprint("web")?;
        host.sh(&format!("sed -i 's/^generate = 24/generate = 1/' {web}/blueprint.toml"))?;
        host.sh("apt-get update && apt-get install --yes --no-install-recommends redis-server nginx")?;
        Ok(host)
    })?;
    let host = ground.host().boot()?;
    host.install_binary()?;
    let run = |args: &[&str]| match secret {
        Some(secret) => surefoot(&host, By::Environment, secret, args),
        None => Ok(host.run(std::iter::once("surefoot").chain(args.iter().copied()))),
    };
    let mut texts = Vec::new();
    texts.push(("plan -v", both(&run(&["plan", "/root/web", "-v", "--out", "/root/plan"])?.output()?.ok()?)));
    texts.push(("the plan file", host.read("/root/plan")?));
    let (arguments, output) = run(&["install", "/root/web", "--yes", "-v"])?.arguments()?;
    texts.push(("install -v", both(&output.ok()?)));
    // Where two are called at once, strace tells the end of one apart.
    let calls = arguments.lines().filter(|line| !line.contains("<... ")).filter_map(|line| line.split_once("execve"));
    let calls: Vec<String> = calls.map(|(_, call)| call.replace("<unfinished ...>", "")).collect();
    texts.push(("the arguments of a process", calls.join("\n")));
    host.write("/etc/systemd/system/redis-server.service.d/fails.conf", "[Service]\nExecStartPre=/bin/false\n", 0o644)?;
    texts.push(("the failure's card", both(&host.exec(["surefoot", "install", "web", "--yes"])?)));
    let public = "systemctl show redis-server nginx";
    texts.extend(left(&host)?.into_iter().filter(|(what, _)| *what != "what everybody may see"));
    texts.push(("systemctl show", both(&host.exec_as("nobody", ["sh", "-c", public])?)));
    Ok((generated(&host)?, texts))
}

/// The words of `text`, but for those that differ from run to run: numbers with their units, times, digests.
fn words(text: &str) -> BTreeSet<&str> {
    let varies = |word: &&str| {
        let unit = word.trim_matches(|c: char| c.is_ascii_digit());
        let number = unit.len() < word.len() && ["", "T", "Z", "s", "ms", "min", "us"].contains(&unit);
        number || word.len() >= 4 && word.trim_start_matches("0x").chars().all(|c| c.is_ascii_hexdigit())
    };
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !varies(word)).collect()
}

/// Fails where the words of two transcripts tell which of the secrets was which. A letter that stands in a text as a word is taken
/// out of it, whatever it means there: that the one is missing where the other run has it is no finding.
fn assert_same((one, first): &(String, Vec<Text>), (other, second): &(String, Vec<Text>)) {
    for ((what, left), (_, right)) in first.iter().zip(second) {
        let (left, right) = (words(left), words(right));
        let told = |these: &BTreeSet<_>, those: &BTreeSet<_>, secret: &String| -> Vec<String> {
            let differ = these.difference(those).map(|word: &&str| (*word).to_owned());
            differ.filter(|word| word != secret && word != "secret").collect()
        };
        let differ = (told(&left, &right, other), told(&right, &left, one));
        assert!(differ.0.is_empty() && differ.1.is_empty(), "{what} tells '{one}' from '{other}' by {differ:?}");
    }
}

#[test]
fn nothing_tells_which_letter_a_secret_of_one_letter_is() -> Result<()> {
    assert_same(&transcript(Some("J"))?, &transcript(Some("N"))?);
    assert_same(&transcript(None)?, &transcript(None)?);
    Ok(())
}

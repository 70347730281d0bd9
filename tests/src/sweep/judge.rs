//! What must be true after a kill.

use super::{Action, Subject, Whole, command};
use crate::{Digest, Host, run::Output};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

/// Exit code of the class `state`.
const STATE: i32 = 30;

/// One host on which one action was killed.
pub struct Judge<'a> {
    pub subject: &'static Subject,
    pub action: Action,
    pub whole: &'a Whole,
    pub host: &'a Host,
}

impl Judge<'_> {
    /// Goes on where it was killed, and looks whether everything is as if it had not been.
    pub fn go_on(&self, killed: &Output) -> Result<()> {
        let (host, subject, action) = (self.host, self.subject, self.action);
        let secrets = secrets(host, subject)?;
        let resumed = if self.has_begun()? {
            succeed(
                host,
                ["surefoot", action.name(), "--resume", "--yes", "--output", "json"].map(str::to_owned).into(),
            )?
        } else {
            // Nothing was begun that could be gone on with: that is said, and the same command works.
            let refused = host.exec(["surefoot", action.name(), "--resume", "--yes"])?.code_is(STATE)?;
            ensure!(
                refused.stderr.contains("nothing to resume") && refused.stderr.contains("surefoot"),
                "the refusal is not clear:\n{}",
                refused.stderr
            );
            succeed(host, command(subject, action))?
        };
        let (before, after, whole) = (changed(&killed.stdout), changed(&resumed.stdout), self.whole.changed);
        ensure!(before + after <= whole + 1, "{before} and then {after} changed, where {whole} are in one go");

        let differences = Digest::diff(&self.whole.digest, &Digest::but_for(host, &generated(host, subject.product)?)?);
        ensure!(differences.is_empty(), "the host differs:\n{}", differences.join("\n"));
        let remains = remains(host)?;
        ensure!(
            remains == self.whole.remains,
            "surefoot's own folders differ: unkilled\n{}\nkilled\n{remains}",
            self.whole.remains
        );
        if action != Action::Purge {
            let kept = self::secrets(host, subject)?;
            for (name, secret) in &secrets {
                ensure!(kept.get(name) == Some(secret), "the secret {name} has changed");
            }
        }
        logins(host, subject, action)?;
        if action.installs() {
            let again = succeed(host, command(subject, action))?;
            ensure!(changed(&again.stdout) == 0, "a second run changes something:\n{}", told(&again));
        }
        Ok(())
    }

    /// Is the attempt written down? A product whose last trace is gone was begun, too: its removal was all but done.
    fn has_begun(&self) -> Result<bool> {
        let path = journal(self.subject);
        if !self.host.exists(&path)? {
            return Ok(!self.action.installs());
        }
        let text = self.host.read(&path)?;
        Ok(text.lines().any(|line| line.contains(&format!(r#""action":"{}""#, self.action.name()))))
    }
}

fn journal(subject: &Subject) -> String {
    format!("/var/lib/surefoot/{}/journal", subject.product)
}

/// How many changes are told on standard output.
pub fn changed(stdout: &str) -> usize {
    let events = stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let kinds = ["resource_changed", "resource_undone"];
    events.filter(|event| kinds.iter().any(|kind| event["type"] == *kind)).count()
}

/// Runs surefoot and insists on exit code 0.
pub fn succeed(host: &Host, args: Vec<String>) -> Result<Output> {
    let output = host.exec(args)?;
    ensure!(output.success(), "`{}` exited {}:\n{}", output.command, output.code(), told(&output));
    Ok(output)
}

/// The end of what surefoot said, for people.
pub fn told(output: &Output) -> String {
    let dull = ["command_started", "command_ended", "progress", "resource_in_place", "plan"];
    let events = output.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = events.filter(|event| !dull.iter().any(|kind| event["type"] == *kind)).map(|event| {
        let said = ["resource", "text", "summary", "failure"]
            .map(|key| &event[key])
            .into_iter()
            .filter(|value| !value.is_null());
        let said = said.map(ToString::to_string).collect::<Vec<_>>().join(" ");
        format!("{} {said}", event["type"].as_str().unwrap_or_default())
    });
    let lines: Vec<String> = lines.collect();
    lines[lines.len().saturating_sub(25)..].join("\n") + "\n" + &output.stderr
}

/// Names and modes in surefoot's folder, with the masks that it sets for a while. Run logs are one a run.
pub fn remains(host: &Host) -> Result<String> {
    host.sh("test ! -e /var/lib/surefoot || find /var/lib/surefoot -printf '%p %M %u\\n' | sort; \
             find /run/systemd/system -lname /dev/null; \
             test -e /var/log/surefoot && echo logs || true")
}

/// The secrets on the host's disk, by name.
fn secrets(host: &Host, subject: &Subject) -> Result<BTreeMap<String, String>> {
    of_product(host, subject.product)
}

/// Those of them that were generated.
pub fn generated(host: &Host, product: &str) -> Result<BTreeMap<String, String>> {
    let path = format!("/var/lib/surefoot/{product}/inputs.json");
    let mut secrets = of_product(host, product)?;
    if secrets.is_empty() || !host.exists(&path)? {
        return Ok(BTreeMap::new());
    }
    let stored: Value = serde_json::from_str(&host.read(&path)?).context("inputs.json")?;
    let names = stored["generated"].as_array();
    secrets.retain(|name, _| names.is_some_and(|names| names.iter().any(|one| one == name)));
    Ok(secrets)
}

fn of_product(host: &Host, product: &str) -> Result<BTreeMap<String, String>> {
    let path = format!("/var/lib/surefoot/{product}/secrets.json");
    if !host.exists(&path)? {
        return Ok(BTreeMap::new());
    }
    let stored: Value = serde_json::from_str(&host.read(&path)?).context("secrets.json")?;
    let values = stored["values"].as_object().context("secrets.json has no values")?;
    let secret = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    Ok(values.iter().filter_map(secret).collect())
}

/// Runs a script with the secrets on the disk in its environment.
pub fn login(host: &Host, subject: &Subject, script: &str) -> Result<()> {
    let mut run = host.run(["bash", "-euc", script]);
    for (name, secret) in secrets(host, subject)? {
        run = run.env(&name, &secret);
    }
    run.output()?.ok().map(drop)
}

/// Everything that is installed answers.
pub fn logins(host: &Host, subject: &Subject, action: Action) -> Result<()> {
    if !action.installs() {
        return Ok(());
    }
    ensure!(!secrets(host, subject)?.is_empty(), "no secret is kept");
    subject.logins.iter().try_for_each(|script| login(host, subject, script))
}

//! Brings a service up and waits until it answers.

use std::time::Duration;

use anyhow::Result;
use distro::command::Output;
use distro::facts::Init;
use distro::patience::wait_until;
use distro::services::{self, Act, Logs, Unit};
use distro::{Class, Command, Fault, Host, Look};

use super::cause::explained;
use super::config::{Judgement, Seen};
use super::ready::{Answer, Ready};
use super::{Service, fresh};
use crate::{Change, Cx};

/// How long a service may take from its start until it answers.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long workers may take to be replaced.
const RENEWAL: Duration = Duration::from_secs(1);
/// How often they are looked at meanwhile.
const RENEWAL_INTERVAL: Duration = Duration::from_millis(20);
/// How long it may be seen neither running nor starting: a daemon that an init script left behind takes a moment to show.
const GRACE: Duration = Duration::from_secs(2);
/// How long one that is starting is asked whether it answers.
const MOMENT: Duration = Duration::from_secs(30);
/// How long one that answers may have another address open than it should.
const SETTLING: Duration = Duration::from_secs(10);
/// After this time the user is told what is waited for.
const SILENCE: Duration = Duration::from_secs(2);

/// What is to be done of a service, with everything that has to be known before.
#[derive(Debug)]
pub(crate) struct Turn {
    act: Act,
    /// As it was before.
    unit: Unit,
    /// What it will have read.
    seen: Seen,
    /// Where its logs ended.
    logs: Logs,
}

impl Service {
    /// Makes the changes, or waits for those that [`Service::begin`] has begun.
    pub(super) fn bring(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<()> {
        let launched = self.launched.take();
        let Some(Turn { act, unit, mut seen, logs }) =
            launched.map_or_else(|| self.prepare(cx, changes), |turn| Ok(Some(turn)))?
        else {
            return Ok(());
        };
        let workers = services::children(unit.main_pid);
        if let (Act::Reload, Some(Ready::Cluster { cluster, .. })) = (act, &self.ready) {
            cluster.check_logins(cx.host)?;
        }
        let unit = self.act(cx.host, act, logs)?;
        if act == Act::Reload {
            renewed(unit.main_pid, &workers)?;
        }
        seen.invocation.clone_from(&unit.invocation);
        seen.generation = self.generation(&unit);
        *self.brought.borrow_mut() = Some(serde_json::to_value(seen)?);
        Ok(())
    }

    /// Lets the service manager begin to start it, where nothing else has to be there first; says whether it has. What comes of it
    /// is seen by [`Service::bring`]: whoever starts a unit that is starting waits for that start.
    pub(super) fn begin(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<bool> {
        let starts = self.running && changes.iter().any(|change| change.item == "running");
        if !self.independent || !starts || cx.host.facts.init != Init::Systemd {
            return Ok(false);
        }
        let turn = self.prepare(cx, changes)?;
        let started = match &turn {
            Some(Turn { act: Act::Start, .. }) => services::launch(cx.host, &self.unit)?,
            _ => false,
        };
        // What is prepared is not prepared again, also where it is only waited for now.
        *self.launched.borrow_mut() = turn;
        Ok(started)
    }

    /// Does the cluster take logins while its unit is starting? Debian's wrapper of PostgreSQL looks at it for two seconds more before it says
    /// that it is started (`cluster_port_ready` in pg_ctlcluster).
    pub(super) fn answers_early(&self, host: &Host) -> Result<bool> {
        let Some(ready @ Ready::Cluster { .. }) = &self.ready else { return Ok(false) };
        let mut silent = true;
        let answers = wait_until(MOMENT, INTERVAL, |waited| {
            // A stop is heard by whoever waits for its start.
            if host.runner.stops() > 0 {
                return Ok(Some(false));
            }
            if silent && waited > SILENCE {
                silent = false;
                host.runner.note(&format!("waiting for {}: it has not answered yet", self.unit));
            }
            let unit = fresh(host, &self.unit)?;
            Ok(match (unit.starting && !has_failed(&unit), unit.has_job) {
                // Whoever else has its port may answer, too.
                (true, _) => (ready.ask(&host.runner)? == Answer::Ready && self.has_its_port()).then_some(true),
                // A busy systemd answers questions before it begins with a start.
                (false, true) => None,
                (false, false) => Some(false),
            })
        })?;
        Ok(answers == Some(true))
    }

    /// Does a cluster run that is not ready yet, as after a crash or with a backup? Started anew, it would recover from the beginning, and never come up where
    /// that takes longer than we wait.
    pub(super) fn recovers(&self, host: &Host, unit: &Unit) -> Result<bool> {
        let Some(ready @ Ready::Cluster { .. }) = &self.ready else { return Ok(false) };
        Ok(unit.starting && self.has_its_port() && matches!(ready.ask(&host.runner)?, Answer::NotYet(_)))
    }

    /// Everything that comes before the start, the restart or the reload; none of these where it is not to run, or does.
    fn prepare(&self, cx: &Cx<'_>, changes: &[Change]) -> Result<Option<Turn>> {
        let has = |item: &str| changes.iter().any(|change| change.item == item);
        let mut unit = fresh(cx.host, &self.unit)?;
        if unit.masked && !unit.masked_for_good {
            services::unmask_runtime(cx.host, std::slice::from_ref(&self.unit))?;
            unit = fresh(cx.host, &self.unit)?;
        }
        if unit.stopping && self.running {
            unit = self.stopped(cx.host)?;
        }
        let recovers = self.running && self.recovers(cx.host, &unit)?;
        if recovers {
            // A start of one that is starting waits for that.
            unit = self.act(cx.host, Act::Start, Logs::mark(&self.logs))?;
        }
        let redefined = unit.needs_reload;
        if unit.needs_reload || unit.masked {
            services::daemon_reload(cx.host)?;
            unit = fresh(cx.host, &self.unit)?;
        }
        if has("enabled") && unit.enabled != self.enabled {
            enable(cx.host, &self.unit, self.enabled)?;
        }
        if !has("running") && !has("configuration") {
            return Ok(None);
        }
        if !self.running {
            return stop(cx.host, &self.unit).map(|()| None);
        }
        self.check(cx.host)?;
        // Read before the start: what changes from now on, the service may not have.
        let (judgement, seen) = self.judge(cx, &unit)?;
        let act = self.act_for(&unit, judgement, redefined, has("running") && !recovers);
        Ok(Some(Turn { act, unit, seen, logs: Logs::mark(&self.logs) }))
    }

    /// Waits until it has stopped, as it was asked to. What keeps it from that (a Redis that cannot write its data goes on) may be mended by now: it is asked once more.
    fn stopped(&self, host: &Host) -> Result<Unit> {
        let told = Told { logs: Logs::mark(&self.logs), said: Vec::new() };
        let gone =
            || wait_until(SETTLING, INTERVAL, |_| Ok(Some(fresh(host, &self.unit)?).filter(|unit| !unit.stopping)));
        if let Some(unit) = gone()? {
            return Ok(unit);
        }
        services::end_again(host, &self.unit)?;
        if let Some(unit) = gone()? {
            return Ok(unit);
        }
        let message = format!("{} was asked to stop and goes on", self.unit);
        Err(self.fault(host, Class::Service, message, &fresh(host, &self.unit)?, &told).into())
    }

    /// What the service manager is asked to do. `redefined`: was its definition loaded anew? `afresh`: is it to be started, or started anew?
    pub(super) fn act_for(&self, unit: &Unit, judgement: Judgement, redefined: bool, afresh: bool) -> Act {
        match judgement {
            // A start of one that is starting waits for that.
            _ if !unit.active && (!unit.starting || self.group) => Act::Start,
            // Also where what is stale is seen by its answer alone.
            Judgement::Reload | Judgement::Right if self.reload && !redefined && !afresh => Act::Reload,
            _ => Act::Restart,
        }
    }

    /// Asks the program itself whether it would take its configuration.
    fn check(&self, host: &Host) -> Result<()> {
        let Some((program, args)) = self.check.split_first() else { return Ok(()) };
        let output = Command::new(program).args(args).output(&host.runner)?;
        if output.ok() {
            return Ok(());
        }
        Err(refused(&self.unit, &output).into())
    }

    /// Does `act` and waits until the service is ready. `logs` is where its logs ended.
    fn act(&self, host: &Host, act: Act, logs: Logs) -> Result<Unit> {
        let mut told = Told { logs, said: Vec::new() };
        let output = match services::act(host, act, &self.unit) {
            Ok(output) => output,
            Err(error) if Fault::class_of(&error) == Class::Timeout => {
                let unit = fresh(host, &self.unit)?;
                let message = format!("{} did not {act} in time", self.unit);
                told.said.push(error.to_string());
                return Err(self.fault(host, Class::Timeout, message, &unit, &told).into());
            }
            Err(error) => return Err(error),
        };
        // Where to look is in the advice.
        let hint = |line: &String| line.starts_with("Job for ") || line.starts_with("See \"systemctl status");
        told.said = output.tail.iter().filter(|line| !hint(line)).cloned().collect();
        if output.ran.exit != Some(0) {
            let unit = fresh(host, &self.unit)?;
            let message = format!("{} does not {act}{}", self.unit, because(&unit));
            return Err(self.fault(host, Class::Service, message, &unit, &told).command(output.ran).into());
        }
        self.wait(host, &told)
    }

    /// Waits until it runs and answers; gives up as soon as it is seen to have failed.
    fn wait(&self, host: &Host, told: &Told) -> Result<Unit> {
        let mut alive = Duration::ZERO;
        let mut at_work = Duration::ZERO;
        let mut first_restarts = None;
        let mut silent = true;
        let mut answers = None;
        let mut last = (Unit::default(), String::new());
        let ready = wait_until(LIMIT, INTERVAL, |waited| {
            if host.runner.stops() >= 2 {
                let fault = Fault::new(Class::Interrupted, format!("stopped while {} came up", self.unit));
                return Err(fault.advice("go on with --resume").into());
            }
            let unit = fresh(host, &self.unit)?;
            let restarts = *first_restarts.get_or_insert(unit.restarts);
            if unit.active || unit.starting {
                alive = waited;
            }
            let failed = has_failed(&unit) || unit.restarts > restarts;
            if failed || waited.saturating_sub(alive) > GRACE {
                let message = format!("{} started and died{}", self.unit, because(&unit));
                return Err(self.fault(host, Class::Service, message, &unit, told).into());
            }
            let answer = match &self.ready {
                _ if !unit.active || unit.starting => Answer::NotYet(format!("it is {}", unit.state)),
                None => Answer::Ready,
                Some(ready) => ready.ask(&host.runner)?,
            };
            let misplaced = if answer == Answer::Ready { self.misplaced(&Look::new(host)) } else { None };
            let answer = match misplaced {
                Some(said) => {
                    if waited.saturating_sub(*answers.get_or_insert(waited)) > SETTLING {
                        let message = format!("{} answers, and {said}", self.unit);
                        return Err(self.fault(host, Class::Service, message, &unit, told).into());
                    }
                    Answer::NotYet(said)
                }
                None => answer,
            };
            last = (unit.clone(), String::new());
            match answer {
                Answer::Ready => return Ok(Some(unit)),
                Answer::Refused(said) => {
                    let message = format!("{} refuses the login: {said}", self.unit);
                    let fault = self.fault(host, Class::Login, message, &unit, told);
                    return Err(fault
                        .advice(format!(
                            "something else sets its password or its users: look for it in {}",
                            self.config_names()
                        ))
                        .into());
                }
                Answer::NotYet(said) | Answer::Stale(said) => last.1 = said,
            }
            // A main process whose workers died at once, and are not replaced, goes on and never answers.
            if !matches!(self.ready, Some(Ready::Site { .. })) || !services::children(last.0.main_pid).is_empty() {
                at_work = waited;
            }
            if waited.saturating_sub(at_work) > GRACE {
                let message = format!("{} runs, and its worker processes died", self.unit);
                return Err(self.fault(host, Class::Service, message, &last.0, told).into());
            }
            if silent && waited > SILENCE {
                silent = false;
                host.runner.note(&format!("waiting for {}: {}", self.unit, last.1));
            }
            Ok(None)
        })?;
        ready.map_or_else(
            || {
                let (unit, said) = last;
                let expected = self.ready.as_ref().map_or_else(|| "its start".to_owned(), Ready::to_string);
                let message = format!("{} runs and does not answer within {} s", self.unit, LIMIT.as_secs());
                let fault = self.fault(host, Class::Timeout, message, &unit, told);
                // Where its own words tell why, what it was asked tells nothing.
                let asked = (fault.class == Class::Timeout).then(|| format!("{expected}: {said}"));
                Err(fault.evidence(asked).into())
            },
            Ok,
        )
    }

    /// A fault with all that is known of the service.
    fn fault(&self, host: &Host, class: Class, message: String, unit: &Unit, told: &Told) -> Fault {
        let of_service = services::evidence(host, &self.unit, unit, &told.logs);
        // systemctl only repeats that it failed; an init script's words are the service's own.
        let evidence = match host.facts.init {
            Init::Systemd => [told.said.clone(), of_service].concat(),
            Init::OpenRc | Init::Scripts => [of_service, told.said.clone()].concat(),
        };
        let advice = self.advice(host, unit, &evidence);
        let fault = Fault::new(class, message).evidence(evidence).advice(advice);
        // Who refuses a login is up, whatever it says besides.
        if class == Class::Login { fault } else { explained(fault, &self.unit) }
    }

    /// Where to look. What is to be done stands first: of many files not all are shown.
    fn advice(&self, host: &Host, unit: &Unit, evidence: &[String]) -> String {
        let name = &self.unit;
        let admins = unit.files.iter().filter(|path| path.starts_with("/etc/systemd/"));
        let admins: Vec<&str> = admins.map(String::as_str).collect();
        // The service itself has not said a word by then.
        if evidence.iter().any(|line| line.contains(": Failed at step ")) {
            let files = if admins.is_empty() { String::new() } else { format!(": {}", admins.join(", ")) };
            return format!(
                "systemd cannot run it as its definition says (`systemctl cat {name}`{files}): mend that, then go on with --resume"
            );
        }
        let names = [vec![self.config_names()], admins.into_iter().map(str::to_owned).collect()].concat().join(", ");
        format!(
            "mend what it complains about, then go on with --resume (`{}` shows more; its configuration: {names})",
            services::status_command(host, name)
        )
    }

    fn config_names(&self) -> String {
        let paths = self.config.iter().chain(&self.start_config);
        let names: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        if names.is_empty() { format!("that of {}", self.unit) } else { names.join(", ") }
    }
}

/// What was heard of an attempt to bring it up.
struct Told {
    logs: Logs,
    /// What the service manager said, or the service itself where an init script started it.
    said: Vec<String>,
}

/// Did its last start fail, whether or not the service manager tries again?
fn has_failed(unit: &Unit) -> bool {
    unit.state.starts_with("failed") || unit.state.contains("auto-restart")
}

/// How its last run ended, for the end of a sentence.
fn because(unit: &Unit) -> String {
    if unit.result.is_empty() { String::new() } else { format!(": {}", unit.result) }
}

/// A program said that it would not take its configuration.
pub(crate) fn refused(unit: &str, output: &Output) -> Fault {
    let said = output.tail.iter().find(|line| line.contains("emerg")).or(output.tail.first());
    let said = said.map_or(String::new(), |line| format!(": {line}"));
    let fault = output.fault(Class::Service, format!("the configuration of {unit} is refused{said}"));
    let advice = "mend what it names, see that `{}` is content, then run again with --resume";
    explained(fault.advice(advice.replace("{}", &output.ran.argv.join(" "))), unit)
}

/// Waits until the main process has replaced its `workers`: the reload of a server that does so returns before that. Those that
/// are still busy with a client, or are never replaced, are not waited for.
pub(crate) fn renewed(main_pid: u32, workers: &[(u32, u64)]) -> Result<()> {
    wait_until(RENEWAL, RENEWAL_INTERVAL, |_| {
        let now = services::children(main_pid);
        Ok((!workers.iter().any(|worker| now.contains(worker))).then_some(()))
    })
    .map(drop)
}

/// Enables or disables, and sees that it is so.
pub(super) fn enable(host: &Host, name: &str, enabled: bool) -> Result<()> {
    let act = if enabled { Act::Enable } else { Act::Disable };
    let output = services::act(host, act, name)?;
    if output.ok() {
        let done = || -> Result<bool> { Ok(fresh(host, name)?.enabled == enabled) };
        if done()? {
            return Ok(());
        }
        // Of a unit that others name, systemd remembers whether it was enabled when it read it.
        services::daemon_reload(host)?;
        if done()? {
            return Ok(());
        }
    }
    let fault = output.fault(Class::Service, format!("{name} cannot be {act}d"));
    Err(fault.advice(format!("find out why {name} cannot be {act}d, then run again with --resume")).into())
}

/// Stops, and sees that it is gone.
pub(crate) fn stop(host: &Host, name: &str) -> Result<()> {
    let output = services::act(host, Act::Stop, name)?;
    let gone = wait_until(GRACE, INTERVAL, |_| {
        let unit = fresh(host, name)?;
        Ok((!unit.active && !unit.starting).then_some(()))
    })?;
    if gone.is_some() {
        return Ok(());
    }
    let unit = fresh(host, name)?;
    let fault = output.fault(Class::Service, format!("{name} does not stop: it is {}", unit.state));
    Err(fault
        .evidence(services::evidence(host, name, &unit, &Logs::default()))
        .advice(format!("stop {name} by hand, then run again with --resume"))
        .into())
}

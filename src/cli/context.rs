//! From the command line to an exit code.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use ::console::Term;
use anyhow::Result;
use clap::FromArgMatches;
use distro::{Class, Facts, Fault, Host, Look, Runner, packages, selinux};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::wizard::Terminal;
use super::{Cli, Command, Form, Talk};
use crate::blueprint::Ask;
use crate::engine::event::{Bus, Event, Report, RunId, What};
use crate::engine::failure::Failure;
use crate::engine::redact::Redactor;
use crate::engine::state::Item;
use crate::preflight::{self, Check, Level};
use crate::report::Verbosity;
use crate::report::console::{self, Console};
use crate::report::json::JsonLines;
use crate::report::plan::PlanTold;
use crate::report::plan_view::{Options, plan_view};
use crate::report::run_log::{self, LOGS, RunLog};
use crate::report::status::{StatusTold, status_view, undo_view};
use crate::report::style::Style;

/// What every subcommand works with.
pub struct Context {
    /// How much is said.
    verbosity: Verbosity,
    /// Who is talked to on stderr.
    console: Arc<dyn Console>,
    /// Who gets JSON on stdout.
    json: Option<Arc<JsonLines<std::io::Stdout>>>,
    /// Is there data on stdout already?
    printed: Arc<AtomicBool>,
    /// Tells what happens.
    pub bus: Arc<Bus>,
    /// Knows the secrets.
    pub redactor: Arc<Redactor>,
    stops: Arc<AtomicUsize>,
    signal: Arc<AtomicI32>,
    /// When it began: what SELinux refused before has nothing to do with it.
    began: SystemTime,
    /// What to say with a failure: how to go on, and where the log is.
    pub after: std::sync::Mutex<After>,
}

/// What the failure card says besides the failure.
#[derive(Debug, Default, Clone)]
pub struct After {
    /// The command line that goes on.
    pub go_on: Option<String>,
    /// Path of the run log.
    pub log: Option<String>,
    /// Which resource was in hand, and of how many.
    pub position: Option<(usize, usize)>,
}

impl Context {
    /// `runs` says that the command changes the host, and tells of it event by event; any other tells what it found.
    fn new(talk: &Talk, runs: bool) -> Result<Self> {
        let redactor = Arc::new(Redactor::default());
        let verbosity = match (talk.quiet, talk.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, true) => Verbosity::Verbose,
            (false, false) => Verbosity::Normal,
        };
        let context = Self {
            verbosity,
            console: console::open(verbosity),
            json: (talk.output == Form::Json).then(|| Arc::new(JsonLines::stdout())),
            printed: Arc::default(),
            bus: Arc::new(Bus::new(redactor.clone())),
            redactor,
            stops: Arc::default(),
            signal: Arc::default(),
            began: SystemTime::now(),
            after: std::sync::Mutex::default(),
        };
        match &context.json {
            Some(json) if runs => context.bus.add(json.clone()),
            Some(json) => context.bus.add(Arc::new(OneDocument {
                json: json.clone(),
                console: context.console.clone(),
                printed: context.printed.clone(),
            })),
            None => context.bus.add(Arc::new(OnConsole(context.console.clone()))),
        }
        console::restore_on_panic(&context.console);
        context.listen_to_signals()?;
        Ok(context)
    }

    /// SIGINT and SIGTERM are counted: the first lets the resource in hand be finished, which is said, the second ends the child.
    /// SIGHUP is taken and ignored: a dropped SSH session does not stop a run.
    fn listen_to_signals(&self) -> Result<()> {
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let (stops, last, bus) = (self.stops.clone(), self.signal.clone(), self.bus.clone());
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if signal != SIGHUP {
                    last.store(signal, Ordering::SeqCst);
                    if stops.fetch_add(1, Ordering::SeqCst) == 0 {
                        bus.warn("stopping as soon as the resource in hand is done; once more ends its command");
                    }
                }
            }
        });
        Ok(())
    }

    /// Does stdout get JSON?
    pub fn json(&self) -> bool {
        self.json.is_some()
    }

    /// Is there somebody who can be asked?
    pub fn can_ask(&self) -> bool {
        is_terminal()
    }

    /// Who answers questions: the terminal, unless nobody is to be asked or nobody is there.
    pub fn asker(&self, yes: bool) -> Option<&'static dyn Ask> {
        (!yes && is_terminal()).then_some(&Terminal as &dyn Ask)
    }

    /// Asks whether to go on.
    ///
    /// # Errors
    /// Class `usage`, where nobody can be asked; `interrupted`, where the answer is Ctrl-C.
    pub fn confirm(&self, question: &str) -> Result<bool> {
        if !is_terminal() {
            return Err(Fault::new(Class::Usage, format!("there is no terminal to ask on: {question}"))
                .evidence(["standard input or standard error is no terminal"])
                .advice("look at the plan, then add --yes to go on without being asked")
                .into());
        }
        let answer = dialoguer::Confirm::new().with_prompt(question).default(false).interact_opt();
        answer.map(|answer| answer.unwrap_or(false)).map_err(|dialoguer::Error::IO(error)| match error.kind() {
            std::io::ErrorKind::Interrupted => {
                Fault::new(Class::Interrupted, "stopped at the question; nothing was changed").into()
            }
            _ => Fault::new(Class::Usage, format!("the question got no answer: {error}"))
                .advice("add --yes to go on without being asked")
                .into(),
        })
    }

    /// Shows what an install is about to do.
    pub fn show_plan(&self, plan: &PlanTold) {
        match &self.json {
            Some(json) => json.plan(plan),
            None if self.verbosity == Verbosity::Quiet => {}
            None => self.console.say(&plan_view(plan, &self.plan_options(Style::stderr(), &Term::stderr()))),
        }
    }

    /// Prints a plan that was asked for.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn print_plan(&self, plan: &PlanTold) -> Result<()> {
        match &self.json {
            Some(_) => self.print(&(serde_json::to_string_pretty(plan)? + "\n")),
            None => self.print(&plan_view(plan, &self.plan_options(Style::stdout(), &Term::stdout()))),
        }
        Ok(())
    }

    fn plan_options(&self, style: Style, term: &Term) -> Options {
        let rows = term.is_term().then(|| usize::from(term.size().0));
        Options { style, verbosity: self.verbosity, rows }
    }

    /// Lets errors among `checks` that the user wants to go on with be warnings.
    pub fn ignore(&self, checks: &mut [Check], ignored: &[String]) {
        for name in preflight::ignore(checks, ignored) {
            self.bus.warn(format!("--ignore '{name}': there is no such check; surefoot preflight shows their names"));
        }
    }

    /// Shows what the host lacks, and what may become a problem.
    pub fn show_checks(&self, checks: &[Check]) {
        for check in checks.iter().filter(|check| check.level == Level::Warning) {
            self.bus.warn(check.line());
        }
    }

    /// Prints all checks.
    ///
    /// # Errors
    /// Where they cannot be written as JSON.
    pub fn print_checks(&self, checks: &[Check]) -> Result<()> {
        self.print(&if self.json() { preflight::json(checks)? + "\n" } else { preflight::text(checks) });
        Ok(())
    }

    /// Prints what is installed.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn print_status(&self, products: &[StatusTold]) -> Result<()> {
        let text = if self.json() {
            serde_json::to_string_pretty(products)? + "\n"
        } else {
            status_view(products, &self.plan_options(Style::stdout(), &Term::stdout()))
        };
        self.print(&text);
        Ok(())
    }

    /// Shows what an uninstall is about to do; packages of `staying` are kept, each with why.
    ///
    /// # Errors
    /// Those of `staying`, which is asked where somebody is to see it.
    pub fn show_undo(
        &self,
        product: &str,
        parts: &[(String, Item)],
        staying: impl FnOnce() -> Result<BTreeMap<String, String>>,
        purge: bool,
    ) -> Result<()> {
        if self.verbosity > Verbosity::Quiet && !self.json() {
            self.console.say(&undo_view(product, parts, &staying()?, purge, &Style::stderr()));
        }
        Ok(())
    }

    /// Writes down from now on what happens in this run.
    pub fn write_run_log(&self, id: &RunId) {
        // Not over the bus, which waits for its listeners.
        let console = self.console.clone();
        let complain = Box::new(move |text: &str| console.say(text));
        self.bus.add(Arc::new(RunLog::open(Path::new(LOGS), &id.product, &id.run, complain)));
    }

    /// Looks at the host.
    ///
    /// # Errors
    /// Where it cannot be told what it is.
    pub fn host(&self) -> Result<Host> {
        for password in packages::passwords(Path::new("/")) {
            self.redactor.learn(&password);
        }
        let runner = Runner::new(self.bus.clone(), self.stops.clone());
        let mut host = Host { facts: Facts::gather(Path::new("/"))?, runner, root: nix::unistd::geteuid().is_root() };
        let look = Look::new(&host);
        if let Some(user) = look.caller()? {
            let group = look.group_name(user.gid)?;
            (host.facts.user, host.facts.user_home, host.facts.user_group) = (user.name, user.home, group);
        }
        Ok(host)
    }

    /// Writes data to stdout.
    pub fn print(&self, text: &str) {
        self.printed.store(true, Ordering::SeqCst);
        write_to(std::io::stdout(), text);
    }

    /// Changes what the failure card will say.
    pub fn after(&self, change: impl FnOnce(&mut After)) {
        change(&mut self.after.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tells a failure and gives its exit code.
    pub fn fail(&self, error: &anyhow::Error) -> i32 {
        let mut failure = Failure::of(error, self.bus.place());
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let changes_host = after.go_on.is_some();
        if failure.class != Class::Usage
            && let Some((evidence, advice)) = selinux::explain(&selinux::refusals(self.began))
        {
            failure.evidence.extend(evidence);
            failure.advice = format!("{}; {advice}", failure.advice);
        }
        // What was typed wrong is not typed again.
        failure.go_on = after.go_on.filter(|_| failure.class != Class::Usage);
        failure.log = after.log;
        failure.position = after.position;
        if failure.class == Class::Interrupted {
            // A terminal that is read key by key sends no signal for Ctrl-C.
            let (code, name) = match self.signal.load(Ordering::SeqCst) {
                SIGTERM => (143, "SIGTERM"),
                SIGINT => (130, "SIGINT"),
                _ => (130, "Ctrl-C"),
            };
            failure.exit_code = code;
            failure.evidence.push(format!("{name} came"));
        }
        let code = failure.exit_code;
        // What was to change the host and has no log is told again all the same. Who cannot write that down is told once.
        if changes_host && failure.log.is_none() && nix::unistd::geteuid().is_root() {
            run_log::keep_unlogged(Path::new(LOGS), &self.redactor.failure(failure.clone())).ok();
        }
        self.bus.say(What::Failed { failure: Box::new(failure) });
        code
    }
}

/// The console as a listener.
struct OnConsole(Arc<dyn Console>);

impl Report for OnConsole {
    fn event(&self, event: &Event) {
        self.0.event(event);
    }
}

/// Where stdout gets one document: that is the failure, unless there is data to print. All else is for people.
struct OneDocument {
    json: Arc<dyn Report>,
    console: Arc<dyn Console>,
    printed: Arc<AtomicBool>,
}

impl Report for OneDocument {
    fn event(&self, event: &Event) {
        if matches!(event.what, What::Failed { .. }) && !self.printed.swap(true, Ordering::SeqCst) {
            self.json.event(event);
        } else {
            self.console.event(event);
        }
    }
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Who does not read any more has seen enough.
fn write_to(mut out: impl Write, text: &str) {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// Runs the program and gives its exit code.
pub fn main() -> i32 {
    let parsed = super::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            write_to(std::io::stdout(), &error.render().to_string());
            return 0;
        }
        Err(error) => {
            write_to(std::io::stderr(), &error.render().to_string());
            return Class::Usage.exit_code();
        }
    };
    let runs = matches!(cli.command, Command::Install(_) | Command::Uninstall(_));
    let context = match Context::new(&cli.talk, runs) {
        Ok(context) => context,
        Err(error) => {
            write_to(std::io::stderr(), &format!("surefoot: {error:#}\n"));
            return Class::Internal.exit_code();
        }
    };
    let code = dispatch(&context, cli.command).unwrap_or_else(|error| context.fail(&error));
    context.console.restore();
    code
}

fn dispatch(context: &Context, command: Command) -> Result<i32> {
    match command {
        Command::Install(args) => super::install::run(context, &args),
        Command::Plan(args) => super::plan::run(context, &args),
        Command::Preflight(args) => super::preflight::run(context, &args),
        Command::Endpoints(args) => super::endpoints::run(context, &args),
        Command::Status(args) => super::status::run(context, &args),
        Command::Why(args) => super::why::why(Path::new(LOGS), args.product.as_deref(), context.json()).map(|()| 0),
        Command::Log(args) => {
            let ask = super::log::Ask {
                product: args.product.as_deref(),
                run: args.run.as_deref(),
                step: args.step.as_deref(),
                follow: args.follow,
                json: args.json || context.json(),
            };
            if let Some(nothing) = super::log::log(Path::new(LOGS), &ask)? {
                context.bus.warn(nothing);
            }
            Ok(0)
        }
        Command::Uninstall(args) => super::uninstall::run(context, &args),
        Command::Renew { file } => super::renew::run(context, &file),
        Command::Facts(args) => super::facts::run(context, args.json || context.json()),
        Command::Blueprint(command) => super::blueprint::run(context, &command),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut super::command(), "surefoot", &mut text);
            context.print(&String::from_utf8_lossy(&text));
            Ok(0)
        }
    }
}

/// Only root may change the host.
///
/// # Errors
/// Class `permission`.
pub fn need_root(host: &Host, what: &str) -> Result<()> {
    if host.root {
        return Ok(());
    }
    Err(Fault::new(Class::Permission, format!("{what} needs root"))
        .evidence([format!("effective user id {}", nix::unistd::geteuid())])
        .advice("run it with sudo, or as root")
        .into())
}

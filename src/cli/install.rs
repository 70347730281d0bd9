//! `surefoot install`.

use std::path::Path;

use anyhow::Result;
use distro::{Class, Fault, Host};

use super::context::{Context, need_root};
use super::product::{Product, Source, Unclear, choose, name_from};
use super::{InstallArgs, OnClone};
use crate::blueprint;
use crate::engine::event::{RunId, What, millis};
use crate::engine::install::{Install, Tally};
use crate::engine::journal::{Journal, Record};
use crate::engine::lock::Lock;
use crate::engine::plan::{self, Plan};
use crate::engine::planfile;
use crate::engine::session::Session;
use crate::engine::state::{LastRun, State};
use crate::engine::store::{self, Store};
use crate::engine::uninstall::{self, Taken};
use crate::preflight;
use crate::report::run_log::{self, LOGS};

/// Runs it.
///
/// # Errors
/// Every failure of an install.
pub fn run(context: &Context, args: &InstallArgs) -> Result<i32> {
    let args = &with_blueprint_of_plan(args)?;
    context.after(|after| after.go_on = Some(command_line(args)));
    let host = context.host()?;
    need_root(&host, "install")?;
    distro::os::supported(&host.facts)?;
    let resumed = if args.resume { Some(to_resume(context, args)?) } else { None };
    let name = resumed.clone().or(args.what.blueprint.as_deref().map(name_from)).unwrap_or_default();
    let id = run_id(&name, resumed.is_some())?;
    let _lock = Lock::take(&id.run, &name)?;
    context.bus.is_run(id.clone());
    settle_host(&host)?;

    let source = match resumed {
        Some(product) => Source::Stored(&args.what, product),
        None => Source::Given(&args.what),
    };
    let unclear = Unclear { ask: context.asker(args.yes), on_clone: args.on_clone, ignore: &args.ignore };
    let mut product = Product::load(context, &host, &source, &unclear)?;
    let id = RunId { product: product.blueprint.name().to_owned(), ..id };
    context.bus.is_run(id.clone());
    let log = run_log::path(Path::new(LOGS), &id.product, &id.run);
    context.write_run_log(&id);
    context.after(|after| after.log = Some(log.display().to_string()));

    let planned = product.plan(&host);
    if let (Some(file), Ok(plan)) = (&args.plan, &planned) {
        context.after(|after| after.go_on = None);
        planfile::refuse_other(file, &id.product, plan)?;
    }
    // From here on a failure leaves something to go on with, even where nothing was changed yet.
    let plan = match planned.and_then(|plan| check(context, &host, &product, args, plan)) {
        Ok(Some(plan)) => plan,
        Ok(None) => return Ok(0),
        // Nobody could be asked, or the answer was Ctrl-C: nothing was begun.
        Err(error) if matches!(Fault::class_of(&error), Class::Usage | Class::Interrupted) => return Err(error),
        Err(error) => {
            // Where that cannot be written down, the first failure is the one to be mended, and there is nothing to resume.
            if let Err(other) = begin(context, &host, &mut product, args, &id) {
                context.bus.warn(format!("nothing is written down of this run: {other:#}"));
            }
            return Err(error);
        }
    };
    begin(context, &host, &mut product, args, &id)?;
    let _files = has_work(&plan, args).then(|| distro::network::Files::write(&host)).transpose()?;

    let journal = Journal::open(&product.store.journal(), &id.product, &product.store.load()?.0)?;
    let mut session =
        Session::new(&host, &context.bus, &product.store, product.key.clone(), product.state.clone(), journal);
    context.bus.say(What::RunStarted {
        action: if args.resume { "resume" } else { "install" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: product.blueprint.title().to_owned(),
        log: log.display().to_string(),
        steps: plan.steps.len(),
        resources: plan.entries.len(),
    });
    let (orphans, bygone) = (plan.orphans.clone(), plan.bygone.clone());
    let expand =
        |facts: &distro::Facts| super::product::expand(&product.network, &product.blueprint, &product.inputs, facts);
    let mut install = Install::new(&mut session, &expand, &mut product.others);
    let done = install.run(plan);
    let (mut tally, mut position) = (install.tally, install.position);
    let mut taken = None;
    let done = done.and_then(|()| {
        if args.prune && !orphans.is_empty() {
            let orphaned = |id: &str| orphans.iter().chain(&bygone).any(|orphan| orphan == id);
            let taken = taken.insert(Taken::default());
            uninstall::take_back(&mut session, &orphaned, false, &mut product.others, taken)?;
            // Services that stay take up what is left of their configuration, and nothing that stays may have gone with the rest.
            let left =
                plan::make(&expand, &host, &distro::Facts::gather(Path::new("/"))?, &session.state, &session.key)?;
            let mut install = Install::new(&mut session, &expand, &mut product.others);
            let done = install.run(left);
            tally.changed += install.tally.changed;
            tally.restarted += install.tally.restarted;
            position = install.position;
            done?;
        }
        let forgotten: Vec<String> = bygone.into_iter().filter(|id| session.state.resources.contains_key(id)).collect();
        forgotten.into_iter().try_for_each(|resource| session.record_later(Record::Forgotten { resource }))
    });
    end(context, &mut session, &product, (tally, taken), position, done)
}

/// Ends the run: the outcome is written down and told.
fn end(
    context: &Context,
    session: &mut Session<'_>,
    product: &Product,
    (tally, pruned): (Tally, Option<Taken>),
    position: Option<(usize, usize)>,
    done: Result<()>,
) -> Result<i32> {
    let interrupted = done.as_ref().err().is_some_and(|error| Fault::class_of(error) == Class::Interrupted);
    let result = match (&done, interrupted) {
        (Ok(()), _) => "done",
        (Err(_), true) => "interrupted",
        (Err(_), false) => "failed",
    };
    let written =
        session.record(Record::End { result: result.to_owned(), in_place: tally.in_place, changed: tally.changed });
    context.after(|after| after.position = position);
    let code = match &done {
        Ok(()) => 0,
        Err(error) => context.fail(error),
    };
    context.bus.enter(None, None, None);
    let next = if done.is_ok() { next_lines(session, product)? } else { Vec::new() };
    context.bus.say(What::RunEnded {
        result: result.to_owned(),
        in_place: tally.in_place,
        changed: tally.changed,
        failed: usize::from(done.is_err() && !interrupted),
        restarted: tally.restarted,
        taken_back: pruned.as_ref().map(|taken| taken.done),
        kept: pruned.as_ref().map(|taken| taken.kept.len()),
        forgotten: false,
        took_ms: millis(context.bus.elapsed()),
        next,
    });
    written?;
    Ok(code)
}

/// What to do next.
fn next_lines(session: &Session<'_>, product: &Product) -> Result<Vec<String>> {
    let secrets = session.store.path("secrets.json").display().to_string();
    blueprint::next_lines(&product.blueprint, &product.inputs, &session.host.facts, &secrets)
}

/// Shows the plan, checks the host, and asks. None where the user says no.
fn check(context: &Context, host: &Host, product: &Product, args: &InstallArgs, plan: Plan) -> Result<Option<Plan>> {
    if !plan.is_done() || !plan.orphans.is_empty() {
        context.show_plan(&super::plan::told(product, &plan, &context.redactor));
    }
    if !plan.is_done() {
        let mut checks = product.checks(host, &plan, true)?;
        context.ignore(&mut checks, &args.ignore);
        context.show_checks(&checks);
        if let Some(fault) = preflight::refuse(&checks) {
            return Err(fault.into());
        }
    }
    if has_work(&plan, args) && !args.yes && !context.confirm("Make these changes?")? {
        context.bus.warn("nothing was changed");
        return Ok(None);
    }
    Ok(Some(plan))
}

/// Is there something to be brought, or to be taken back?
fn has_work(plan: &Plan, args: &InstallArgs) -> bool {
    !plan.is_done() || args.prune && !plan.orphans.is_empty()
}

/// Writes down what is begun: blueprint, inputs, secrets (made now, where they are generated), and, once they are on
/// disk, the attempt: a kill before it leaves a host on which nothing was begun.
fn begin(context: &Context, host: &Host, product: &mut Product, args: &InstallArgs, id: &RunId) -> Result<()> {
    product.inputs.generate()?;
    for secret in product.inputs.secrets() {
        context.redactor.learn(secret);
    }
    let store = &product.store;
    store.make()?;
    store::keep_key(&product.key)?;
    let (inputs, secrets) = product.inputs.stored_form()?;
    let network = product.network.stored_form()?;
    let machine = host.facts.machine_id.clone();
    let all: [(String, &[u8]); 4] = [
        ("inputs.json".into(), &inputs),
        ("secrets.json".into(), &secrets),
        (super::network::STORED.into(), &network),
        ("machine-id".into(), machine.as_bytes()),
    ];
    let mut news = Vec::new();
    for (name, bytes) in all {
        if store.kept(&name)?.as_deref() != Some(bytes) {
            news.push((name, bytes));
        }
    }
    store.keep(&news)?;
    store.keep_blueprint(&product.blueprint.files())?;
    let attempt = Record::Attempt {
        run: id.run.clone(),
        attempt: id.attempt,
        action: "install".to_owned(),
        surefoot: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: host.facts.boot_id.clone(),
        blueprint: product.blueprint.digest(),
        purge: false,
    };
    let mut journal = Journal::open(&store.journal(), &id.product, &product.content)?;
    let records: Vec<Record> = std::iter::once(attempt).chain(std::mem::take(&mut product.renames)).collect();
    product.state.take(&records[0]).map_err(anyhow::Error::msg)?;
    journal.write_all(records)?;
    let yes = if args.yes || !context.can_ask() { " --yes" } else { "" };
    context.after(|after| after.go_on = Some(format!("surefoot install --resume{yes}")));
    if args.on_clone == Some(OnClone::Renew) {
        context.bus.warn("the generated secrets are new: whoever used the old ones has to be told");
    }
    Ok(())
}

/// A survivor of a killed run, of whichever product, is waited for, and what it may have left in /run is cleaned up, before
/// anything is looked at.
pub fn settle_host(host: &Host) -> Result<()> {
    for product in Store::products() {
        let (_, state) = Store::new(&product).load().map_err(|error| error.context(format!("product '{product}'")))?;
        let same_boot = state.last.as_ref().is_some_and(|last| last.boot_id == host.facts.boot_id);
        if let Some((pid, start)) = state.child.filter(|_| same_boot) {
            distro::survivor::wait(host, pid, start)?;
        }
    }
    distro::network::clean()?;
    distro::guard::clean(host)
}

/// A plan knows its blueprint.
fn with_blueprint_of_plan(args: &InstallArgs) -> Result<InstallArgs> {
    let mut args = args.clone();
    if let (None, false, Some(file)) = (&args.what.blueprint, args.resume, &args.plan) {
        args.what.blueprint = Some(planfile::blueprint(file)?);
    }
    Ok(args)
}

/// The product whose run is gone on with: the one whose last install is unfinished, else the one whose last install is complete.
/// A kill may come when all is done and written down, and who resumes cannot know.
///
/// # Errors
/// Class `state`, where nothing was begun.
fn to_resume(context: &Context, args: &InstallArgs) -> Result<String> {
    let unfinished = |state: &State| is_unfinished(state.last.as_ref());
    let installs = |state: &State| state.last.as_ref().is_some_and(|last| last.action == "install");
    let named = args.what.blueprint.as_deref().map(name_from);
    let product = match choose(named.as_deref(), "resume", unfinished) {
        Err(error) if Fault::class_of(&error) == Class::State => choose(None, "resume", installs),
        other => other,
    };
    let why = match &product {
        // Nothing was begun, or the journal cannot be read, which is another matter.
        Err(error) if Store::products().is_empty() => format!("{error:#}"),
        Err(_) => return product,
        Ok(name) => match Store::new(name).load()?.1.last {
            Some(last) if last.action == "install" => return product,
            Some(_) => format!("there is nothing to resume: '{name}' was uninstalled last"),
            None => format!("there is nothing to resume: '{name}' was never begun on this host"),
        },
    };
    context.after(|after| after.go_on = Some("surefoot install BLUEPRINT".to_owned()));
    Err(Fault::new(Class::State, why)
        .advice("install it: name one of `surefoot blueprint list`, or the folder of the blueprint")
        .into())
}

fn is_unfinished(last: Option<&LastRun>) -> bool {
    last.is_some_and(|last| last.action == "install" && last.unfinished())
}

/// A resume is another attempt of the same run; where that is complete, everything is looked at in a new one.
fn run_id(product: &str, resume: bool) -> Result<RunId> {
    let last = if resume { Store::new(product).load()?.1.last } else { None };
    if let Some(last) = last.filter(|last| is_unfinished(Some(last))) {
        return Ok(RunId { run: last.run, attempt: last.attempt + 1, product: product.to_owned() });
    }
    Ok(RunId { run: new_run_id()?, attempt: 1, product: product.to_owned() })
}

/// A run is named after when it began, so that a list of them is in order, and a few random digits.
///
/// # Errors
/// Where the kernel's random source fails.
pub fn new_run_id() -> Result<String> {
    let mut mark = [0; 2];
    store::random(&mut mark)?;
    let began = crate::engine::event::now().replace(['-', ':'], "").replace('T', "-");
    let began = began.split('.').next().unwrap_or_default();
    Ok(format!("{began}-{:02x}{:02x}", mark[0], mark[1]))
}

/// The command line that was given, for the card of a failure that left nothing to resume. Values of `--set` are left out: one may
/// be a secret, given in the wrong place.
fn command_line(args: &InstallArgs) -> String {
    let mut line = "surefoot install".to_owned();
    if let Some(blueprint) = &args.what.blueprint {
        line.push_str(&format!(" {blueprint}"));
    }
    for text in &args.what.set {
        line.push_str(&text.split_once('=').map_or(String::new(), |(name, _)| format!(" --set {name}=…")));
    }
    for text in &args.what.set_file {
        line.push_str(&format!(" --set-file {text}"));
    }
    if let Some(answers) = &args.what.answers {
        line.push_str(&format!(" --answers {}", answers.display()));
    }
    if args.resume {
        line.push_str(" --resume");
    }
    if args.yes {
        line.push_str(" --yes");
    }
    line
}

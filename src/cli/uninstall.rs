//! `surefoot uninstall`: needs the journal and the originals, no blueprint and no inputs.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use distro::{Class, Fault};

use super::UninstallArgs;
use super::context::{Context, need_root};
use super::product::{choose, warn_of_torn};
use crate::blueprint::Blueprint;
use crate::engine::event::{RunId, What, millis};
use crate::engine::journal::{Journal, Record};
use crate::engine::lock::Lock;
use crate::engine::session::{self, Session};
use crate::engine::state::State;
use crate::engine::store::{self, Store};
use crate::engine::uninstall::{Taken, staying, take_back};
use crate::report::run_log::{self, LOGS};

/// Runs it.
///
/// # Errors
/// Every failure of an uninstall.
pub fn run(context: &Context, args: &UninstallArgs) -> Result<i32> {
    let named = args.product.as_deref().map_or(String::new(), |product| format!(" {product}"));
    let purge_flag = if args.purge { " --purge" } else { "" };
    context.after(|after| after.go_on = Some(format!("surefoot uninstall{named}{purge_flag}")));
    let host = context.host()?;
    need_root(&host, "uninstall")?;
    // A purge that was cut off at its very end has left nothing that tells of it.
    if args.resume && Store::products().is_empty() {
        Store::remove_rest()?;
        return nothing(context, "there is nothing to uninstall on this host");
    }
    let (what, fits): (_, fn(&State) -> bool) =
        if args.resume { ("resume", |state| is_uninstall(state)) } else { ("uninstall", |_| true) };
    let product = choose(args.product.as_deref(), what, fits)?;
    let store = Store::new(&product);
    let run = super::install::new_run_id()?;
    let lock = Lock::take(&run, &product)?;
    if !store.exists() {
        // What a purge was about to remove last may still be there. Where the journal was lost, originals and secrets stay.
        if args.purge {
            store.remove()?
        } else {
            Store::remove_rest()?
        }
        return nothing(context, &format!("nothing of '{product}' is on this host"));
    }
    let (content, state) = store.load()?;
    warn_of_torn(context, &store, &content);
    if args.resume && !is_uninstall(&state) {
        return Err(Fault::new(
            Class::State,
            format!("there is nothing to resume: no uninstall of '{product}' was begun"),
        )
        .advice(format!("run surefoot uninstall {product}"))
        .into());
    }
    let last = state.last.clone();
    // One that is complete is gone on with, too: a purge forgets the product only after it has written that down.
    let of_uninstall = last.as_ref().filter(|_| is_uninstall(&state));
    let purge = args.purge || of_uninstall.is_some_and(|last| last.purge);
    let id = match of_uninstall.filter(|last| last.unfinished()) {
        Some(last) => RunId { run: last.run.clone(), attempt: last.attempt + 1, product: product.clone() },
        None => RunId { run, attempt: 1, product: product.clone() },
    };
    lock.assign(&id.run, &product)?;
    context.bus.is_run(id.clone());
    super::install::settle_host(&host)?;
    let mut parts = state.to_undo();
    parts.retain(|(_, item)| purge || !matches!(item.undo, steps::Undo::PurgePackage { .. }));
    context.show_undo(&product, &parts, || staying(&host, &state), purge)?;
    if !args.yes && !context.confirm("Take this away?")? {
        context.bus.warn("nothing was changed");
        return Ok(0);
    }

    for secret in super::product::stored_secrets(&store)? {
        context.redactor.learn(&secret);
    }
    let log = run_log::path(Path::new(LOGS), &product, &id.run);
    context.write_run_log(&id);
    context.after(|after| after.log = Some(log.display().to_string()));
    let mut others = session::others(&store)?;
    let mut journal = Journal::open(&store.journal(), &product, &content)?;
    let attempt = Record::Attempt {
        run: id.run.clone(),
        attempt: id.attempt,
        action: "uninstall".to_owned(),
        surefoot: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: host.facts.boot_id.clone(),
        blueprint: String::new(),
        purge,
    };
    journal.write(attempt.clone())?;
    let mut session = Session::new(&host, &context.bus, &store, store::key(&host)?, state, journal);
    session.state.take(&attempt).map_err(anyhow::Error::msg)?;
    context.bus.say(What::RunStarted {
        action: "uninstall".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: Blueprint::from_stored(&store.blueprint())
            .map_or(product.clone(), |blueprint| blueprint.title().to_owned()),
        log: log.display().to_string(),
        steps: parts.iter().filter_map(|(id, _)| id.split('/').next()).collect::<BTreeSet<_>>().len(),
        resources: parts.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len(),
    });
    let mut taken = Taken::default();
    let done = take_back(&mut session, &|_| true, purge, &mut others, &mut taken);
    finish(context, &mut session, &store, purge, &taken, done)
}

/// Was it an uninstall that changed the host last?
fn is_uninstall(state: &State) -> bool {
    state.last.as_ref().is_some_and(|last| last.action == "uninstall")
}

fn finish(
    context: &Context,
    session: &mut Session<'_>,
    store: &Store,
    purge: bool,
    taken: &Taken,
    done: Result<()>,
) -> Result<i32> {
    let interrupted = done.as_ref().err().is_some_and(|error| Fault::class_of(error) == Class::Interrupted);
    let result = match &done {
        Ok(()) => "done",
        Err(_) if interrupted => "interrupted",
        Err(_) => "failed",
    };
    session.record(Record::End { result: result.to_owned(), in_place: 0, changed: taken.done })?;
    let forgotten = done.is_ok() && purge;
    if forgotten {
        store.remove()?;
    }
    let (code, next) = match &done {
        Ok(()) => (0, next_lines(taken, store.product(), purge)),
        Err(error) => (context.fail(error), Vec::new()),
    };
    context.bus.enter(None, None, None);
    context.bus.say(What::RunEnded {
        result: result.to_owned(),
        in_place: 0,
        changed: 0,
        failed: usize::from(done.is_err() && !interrupted),
        restarted: 0,
        taken_back: Some(taken.done),
        kept: Some(taken.kept.len()),
        forgotten,
        took_ms: millis(context.bus.elapsed()),
        next,
    });
    Ok(code)
}

fn next_lines(taken: &Taken, product: &str, purge: bool) -> Vec<String> {
    let mut next: Vec<String> = taken.kept.iter().map(|kept| format!("kept: {kept}")).collect();
    if !purge {
        next.push(format!(
            "data and generated passwords are kept for another install; surefoot uninstall {product} --purge removes them"
        ));
    }
    next
}

/// Nothing to do is no failure: an uninstall that was cut off at its very end is run again.
fn nothing(context: &Context, text: &str) -> Result<i32> {
    context.bus.warn(text);
    Ok(0)
}

//! `surefoot status`: the journal against the host. Needs no inputs: those of the last run are kept.

use anyhow::Result;
use distro::Host;

use super::context::{Context, need_root};
use super::product::{Product, Source, Unclear};
use super::{StatusArgs, WhatArgs};
use crate::engine::lock;
use crate::engine::state::{LastRun, State};
use crate::engine::store::Store;
use crate::report::status::StatusTold;

/// Runs it.
///
/// # Errors
/// Where a product's state cannot be read, or a probe had no answer.
pub fn run(context: &Context, args: &StatusArgs) -> Result<i32> {
    let host = context.host()?;
    need_root(&host, "status")?;
    let products = args.product.clone().map_or_else(Store::products, |product| vec![product]);
    let mut drift = false;
    let (mut all, mut failed) = (Vec::new(), None);
    for product in products {
        let told = match look(context, &host, &product) {
            Ok(told) => told,
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        // Who names one expects it to be there: a misspelt name must not look well.
        drift |= told.differs() || args.product.is_some() && !told.installed;
        all.push(told);
    }
    // What keeps one product from being looked at says nothing of the others. A program gets one document: the failure.
    if let Some(error) = failed {
        if !all.is_empty() && !context.json() {
            context.print_status(&all)?;
        }
        return Err(error);
    }
    context.print_status(&all)?;
    Ok(if args.exit_code && drift { 2 } else { 0 })
}

fn look(context: &Context, host: &Host, product: &str) -> Result<StatusTold> {
    let store = Store::new(product);
    let (_, state) = store.load()?;
    let last = state.last.as_ref().map(last_run);
    if !installed(&state) {
        return Ok(StatusTold { product: product.to_owned(), last, installed: false, plan: None });
    }
    let nothing = WhatArgs::default();
    let source = Source::Stored(&nothing, product.to_owned());
    let loaded = Product::load(context, host, &source, &Unclear::LOOK)?;
    let plan = loaded.plan(host)?;
    let plan = super::plan::told(&loaded, &plan, &context.redactor);
    Ok(StatusTold { product: product.to_owned(), last, installed: true, plan: Some(plan) })
}

/// Was it ever begun, and not taken away since?
fn installed(state: &State) -> bool {
    state.last.as_ref().is_some_and(|last| last.action != "uninstall" || last.unfinished())
}

fn last_run(last: &LastRun) -> String {
    let how = match &last.ended {
        Some(ended) => ended,
        None if lock::is_at_work(&last.run) == Some(true) => "at work",
        None => "cut off",
    };
    let attempts = if last.attempt > 1 { format!(", {} attempts", last.attempt) } else { String::new() };
    format!("{} {how}{attempts} ({})", last.action, last.run)
}

//! `surefoot preflight`.

use anyhow::Result;

use super::PreflightArgs;
use super::context::Context;
use super::product::{Product, Source, Unclear};
use crate::engine::plan::Plan;
use crate::preflight;

/// Runs it.
///
/// # Errors
/// Where blueprint or inputs are wrong, or the host does not have what is required.
pub fn run(context: &Context, args: &PreflightArgs) -> Result<i32> {
    let host = context.host()?;
    let product = Product::read(context, &host, &Source::Given(&args.what), &Unclear::LOOK)?;
    let plan = match product.look(&host) {
        // What the steps come to is not known there, and everything else is told all the same.
        Err(_) if distro::os::supported(&host.facts).is_err() => Plan::default(),
        plan => plan?,
    };
    let mut checks = product.checks(&host, &plan, false)?;
    context.ignore(&mut checks, &args.ignore);
    context.print_checks(&checks)?;
    match preflight::refuse(&checks) {
        Some(fault) => Err(fault.into()),
        None => Ok(0),
    }
}

//! `surefoot preflight`.

use anyhow::Result;

use super::PreflightArgs;
use super::context::Context;
use super::product::{Product, Source};
use crate::preflight;

/// Runs it.
///
/// # Errors
/// Where blueprint or inputs are wrong, or the host does not have what is required.
pub fn run(context: &Context, args: &PreflightArgs) -> Result<i32> {
    let host = context.host()?;
    let product = Product::load(context, &host, &Source::Given(&args.what), None, Some(super::OnClone::Keep))?;
    let plan = product.plan(&host)?;
    let mut checks = product.checks(&host, &plan, false)?;
    context.ignore(&mut checks, &args.ignore);
    context.print_checks(&checks)?;
    match preflight::refuse(&checks) {
        Some(fault) => Err(fault.into()),
        None => Ok(0),
    }
}

//! `surefoot plan`.

use anyhow::Result;
use steps::Probe;

use super::PlanArgs;
use super::context::Context;
use super::product::{Product, Source, Unclear};
use crate::blueprint::builtin_names;
use crate::engine::event::ChangeTold;
use crate::engine::plan::Plan;
use crate::engine::planfile;
use crate::engine::redact::Redactor;
use crate::engine::session;
use crate::engine::state::Item;
use crate::preflight::{self, Check};
use crate::report::plan::{Answer, Counts, InputTold, PlanTold, ResourceTold, SCHEMA, StepTold};

/// Runs it.
///
/// # Errors
/// Where blueprint or inputs are wrong, or a probe had no answer.
pub fn run(context: &Context, args: &PlanArgs) -> Result<i32> {
    let host = context.host()?;
    let product = Product::load(context, &host, &Source::Given(&args.what), &Unclear::LOOK)?;
    let plan = product.plan(&host)?;
    let mut told = told(&product, &plan, &context.redactor);
    if !plan.is_done() {
        told.warnings = preflight::warnings(&product.requires(&host)?).iter().map(Check::line).collect();
    }
    if let Some(path) = &args.out {
        let blueprint = from_everywhere(args.what.blueprint.as_deref().unwrap_or_default());
        planfile::write(path, product.blueprint.name(), &blueprint, &plan, serde_json::to_value(&told)?)?;
    }
    context.print_plan(&told)?;
    Ok(if args.exit_code && !plan.is_done() { 2 } else { 0 })
}

/// The name of a built-in blueprint, or an absolute path.
fn from_everywhere(blueprint: &str) -> String {
    let path = std::path::absolute(blueprint).ok().filter(|_| !builtin_names().contains(&blueprint));
    path.map_or(blueprint.to_owned(), |path| path.display().to_string())
}

/// A plan as it is shown, without what `redactor` knows; warnings are an install's checks.
pub fn told(product: &Product, plan: &Plan, redactor: &Redactor) -> PlanTold {
    let step = |step: &crate::engine::plan::Step| StepTold {
        id: step.id.clone(),
        kind: step.kind.clone(),
        resources: resources(product, plan, &step.id),
    };
    let mut steps: Vec<StepTold> = plan.steps.iter().filter(|step| step.skipped_by.is_none()).map(step).collect();
    let own: Vec<ResourceTold> = plan
        .entries
        .iter()
        .filter(|entry| plan.steps.iter().all(|step| step.id != entry.step))
        .map(|entry| resource(product, entry))
        .collect();
    for id in &plan.replaced {
        let step = id.split('/').next();
        let of_it = steps.iter_mut().find(|known| Some(known.id.as_str()) == step);
        of_it.into_iter().for_each(|step| step.resources.push(replaced(product, id)));
    }
    if !own.is_empty() {
        let id = crate::engine::plan::OWN_STEP.to_owned();
        steps.insert(0, StepTold { kind: id.clone(), id, resources: own });
    }
    // What is there now may hold what an input that is not visible any more has kept.
    for resource in steps.iter_mut().flat_map(|step| &mut step.resources) {
        redactor.changes(&mut resource.changes);
    }
    let counts = Counts::of(steps.iter().flat_map(|step| &step.resources));
    PlanTold {
        schema: SCHEMA,
        product: product.blueprint.name().to_owned(),
        title: product.blueprint.title().to_owned(),
        version: product.blueprint.version().to_owned(),
        digest: plan.digest(&product.key),
        inputs: product
            .inputs
            .told()
            .into_iter()
            .map(|(name, value, source)| InputTold { name, value, source })
            .collect(),
        steps,
        orphans: plan.orphans.clone(),
        warnings: Vec::new(),
        counts,
    }
}

fn resources(product: &Product, plan: &Plan, step: &str) -> Vec<ResourceTold> {
    plan.entries.iter().filter(|entry| entry.step == step).map(|entry| resource(product, entry)).collect()
}

/// What another resource takes the place of: all of it goes.
fn replaced(product: &Product, id: &str) -> ResourceTold {
    let known = product.state.resources.get(id);
    let items = known.into_iter().flat_map(|known| &known.items);
    let going = |item: &Item| ChangeTold {
        item: item.item.clone(),
        summary: format!("take back {}, which is not asked for any more", item.item),
        diff: None,
    };
    ResourceTold {
        id: id.to_owned(),
        stage: None,
        answer: Answer::Changes,
        why: None,
        ownership: known.map(|known| known.ownership().name().to_owned()),
        changes: items.map(going).collect(),
    }
}

fn resource(product: &Product, entry: &crate::engine::plan::Entry) -> ResourceTold {
    let (answer, why, changes) = match &entry.probe {
        Probe::InPlace(_) => (Answer::InPlace, None, Vec::new()),
        Probe::Changes(changes) => (Answer::Changes, None, session::told(changes)),
        Probe::Pending(why) => (Answer::Pending, Some(why.clone()), Vec::new()),
        Probe::Hidden(why) => (Answer::Hidden, Some(why.clone()), Vec::new()),
    };
    let ownership = product.state.resources.get(&entry.id).map(|known| known.ownership().name().to_owned());
    let stage = Some(entry.resource.stage().name().to_owned());
    ResourceTold { id: entry.id.clone(), stage, answer, why, ownership, changes }
}

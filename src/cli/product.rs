//! From a command line to a product: its blueprint, its inputs, what its journal says.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use distro::network::Setting;
use distro::{Class, Fault, Host};

use super::WhatArgs;
use super::context::Context;
use super::network;
use crate::blueprint::{self, Ask, Blueprint, ExpandedStep, Given, Inputs, Stored};
use crate::engine::journal::Content;
use crate::engine::plan::{self, Plan};
use crate::engine::session;
use crate::engine::state::State;
use crate::engine::store::{self, Machine, Store};
use crate::preflight::{self, Check};

/// A product on this host.
pub struct Product {
    /// What it is.
    pub blueprint: Blueprint,
    /// The answers.
    pub inputs: Inputs,
    /// How this host reaches others, as it is stored.
    pub network: Setting,
    /// Its folder.
    pub store: Store,
    /// Its journal.
    pub content: Content,
    /// What the journal says, with steps renamed as the blueprint says.
    pub state: State,
    /// Records that the renames stand for.
    pub renames: Vec<crate::engine::journal::Record>,
    /// States of the other products.
    pub others: HashMap<String, State>,
    /// Key of the stored digests.
    pub key: Vec<u8>,
}

/// Where blueprint and inputs come from.
pub enum Source<'a> {
    /// The command line.
    Given(&'a WhatArgs),
    /// The run that is gone on with; the command line may correct it.
    Stored(&'a WhatArgs, String),
}

/// What to do where something is not clear.
pub struct Unclear<'a> {
    /// Who answers what was not given.
    pub ask: Option<&'a dyn Ask>,
    /// Which secrets a clone has.
    pub on_clone: Option<super::OnClone>,
    /// Checks that are not to stop it.
    pub ignore: &'a [String],
}

impl Unclear<'_> {
    /// Nothing is going to be changed: nobody is asked.
    pub const LOOK: Self = Self { ask: None, on_clone: Some(super::OnClone::Keep), ignore: &[] };
}

impl Product {
    /// Loads it.
    ///
    /// # Errors
    /// Class `unsupported`, `blueprint`, `usage` (an input is missing or wrong), `state`.
    pub fn load(context: &Context, host: &Host, source: &Source<'_>, unclear: &Unclear<'_>) -> Result<Self> {
        distro::os::supported(&host.facts)?;
        Self::read(context, host, source, unclear)
    }

    /// The same, also where the host is not supported: for checks, which tell that among other things.
    ///
    /// # Errors
    /// As [`Product::load`], but for that.
    pub fn read(context: &Context, host: &Host, source: &Source<'_>, unclear: &Unclear<'_>) -> Result<Self> {
        let on_clone = unclear.on_clone;
        let (blueprint, args) = match source {
            Source::Given(args) => (Blueprint::load(name_of(args)?)?, *args),
            Source::Stored(args, product) => match &args.blueprint {
                Some(given) if given != product => (Blueprint::load(given)?, *args),
                _ => (Blueprint::from_stored(&Store::new(product).blueprint())?, *args),
            },
        };
        let store = Store::new(blueprint.name());
        // An ordinary user may plan, but not read what root wrote down.
        let (content, mut state) = if host.root { store.load()? } else { Default::default() };
        warn_of_torn(context, &store, &content);
        let mut stored = if host.root { stored_inputs(&store)? } else { Stored::default() };
        if !stored.is_empty() && store.machine(host)? == Machine::Other {
            match on_clone {
                Some(super::OnClone::Keep) => {}
                Some(super::OnClone::Renew) => stored.forget_generated(&blueprint),
                None => return Err(is_clone(&blueprint, host).into()),
            }
        }
        // Also those that are not used any more: they may stand in what is read from the host.
        for secret in stored.secrets() {
            context.redactor.learn(secret);
        }
        let resume = matches!(source, Source::Stored(..));
        let network = network::settle(context, host, &args.network, &args.set_file, &store, resume)?;
        let given = Given::new(&args.set, &args.set_file, args.answers.as_deref(), stored)?;
        // Nobody has to answer for a system that the blueprint is not for.
        let wrong = preflight::refuse_system(&host.facts, &blueprint.requires().os, unclear.ignore);
        let ask = unclear.ask.filter(|_| wrong.is_none());
        let mut inputs = blueprint::resolve(&blueprint, given, &host.facts, ask)
            .map_err(|error| wrong.map_or(error, anyhow::Error::from))?;
        // On a host that is not supported nothing of ours is found again.
        let supported = distro::os::supported(&host.facts).is_ok();
        if supported && host.root && on_clone != Some(super::OnClone::Renew) {
            recall(&blueprint, &mut inputs, &network, host)?;
        }
        for secret in inputs.secrets() {
            context.redactor.learn(secret);
        }
        let others = if host.root { session::others(&store)? } else { HashMap::new() };
        state.know_others(&others);
        let key = store::key(host)?;
        let mut renames = Vec::new();
        // Also where nothing is known yet: what is wrong with a step is told before an attempt begins.
        if supported {
            renames = plan::renames(&blueprint::expand(&blueprint, &inputs, &network, &host.facts)?, &state);
        }
        for record in &renames {
            state.take(record).map_err(anyhow::Error::msg)?;
        }
        Ok(Self { blueprint, inputs, network, store, content, state, renames, others, key })
    }

    /// The steps of the blueprint on a host with these facts, and before them what the network settings ask for.
    ///
    /// # Errors
    /// Class `blueprint` or `unsupported`.
    pub fn expand(&self, facts: &distro::Facts) -> Result<Vec<ExpandedStep>> {
        expand(&self.network, &self.blueprint, &self.inputs, facts)
    }

    /// Looks at everything, and insists that no other product wants something of it to be different.
    ///
    /// # Errors
    /// Where a probe had no answer, or two products want different things.
    pub fn plan(&self, host: &Host) -> Result<Plan> {
        let plan = self.look(host)?;
        self.refuse_conflicts(&plan)?;
        Ok(plan)
    }

    /// Looks at everything.
    ///
    /// # Errors
    /// Where a probe had no answer.
    pub fn look(&self, host: &Host) -> Result<Plan> {
        plan::make(&|facts| self.expand(facts), host, &host.facts, &self.state, &self.key)
    }

    /// Insists that no other product of this host wants something of the plan to be different.
    ///
    /// # Errors
    /// Class `conflict`.
    fn refuse_conflicts(&self, plan: &Plan) -> Result<()> {
        plan.refuse_conflicts(&self.others, &self.key)
    }

    /// What the blueprint requires of this host.
    ///
    /// # Errors
    /// Class `blueprint`, where a warning cannot be told.
    pub fn requires(&self, host: &Host) -> Result<preflight::Requires> {
        let warnings = blueprint::warnings(&self.blueprint, &self.inputs, &host.facts)?;
        Ok(preflight::Requires { warnings, ..self.blueprint.requires().into() })
    }

    /// Checks that the host has what the plan still needs; `now` says that changes are made right away.
    ///
    /// # Errors
    /// Where something could not be looked at.
    pub fn checks(&self, host: &Host, plan: &Plan, now: bool) -> Result<Vec<Check>> {
        let resources = plan.entries.iter().map(|entry| (entry.resource.as_ref(), &entry.probe));
        let fresh = self.state.resources.is_empty();
        let requires = self.requires(host)?;
        let mut checks = preflight::for_plan(host, &requires, resources, Path::new(store::ROOT), now, fresh)?;
        if let Err(error) = self.refuse_conflicts(plan) {
            checks.extend(Fault::find(&error).map(preflight::conflict));
        }
        Ok(checks)
    }
}

/// Names a torn last record, which is dropped.
pub fn warn_of_torn(context: &Context, store: &Store, content: &Content) {
    if content.torn > 0 {
        context.bus.warn(format!(
            "the last record of {} was torn ({} bytes) and is dropped: the run was cut off while it was written",
            store.journal().display(),
            content.torn
        ));
    }
}

/// The steps that [`Product::expand`] gives.
///
/// # Errors
/// As there.
pub fn expand(
    network: &Setting,
    blueprint: &Blueprint,
    inputs: &Inputs,
    facts: &distro::Facts,
) -> Result<Vec<ExpandedStep>> {
    let mut steps = network::step(network, blueprint.name(), facts)?;
    steps.extend(blueprint::expand(blueprint, inputs, network, facts)?);
    Ok(steps)
}

/// Shortest secret that is looked for on the host: a shorter one might stand there by chance.
const RECALLED: usize = 8;

/// A generated secret of a run that nothing is remembered of stands in the file that it was made for.
fn recall(blueprint: &Blueprint, inputs: &mut Inputs, network: &Setting, host: &Host) -> Result<()> {
    let pending = inputs.pending();
    if pending.is_empty() {
        return Ok(());
    }
    for step in blueprint::expand(blueprint, inputs, network, &host.facts)? {
        for (name, marker) in pending.iter().filter(|(_, marker)| marker.len() >= RECALLED) {
            for resource in &step.resources {
                if let Some((secret, path)) = resource.recall(marker)? {
                    inputs.recall(name, secret, path);
                }
            }
        }
    }
    Ok(())
}

/// What an earlier run stored: inputs, and secrets.
fn stored_inputs(store: &Store) -> Result<Stored> {
    Stored::parse(store.kept("inputs.json")?.as_deref(), store.kept("secrets.json")?.as_deref())
        .with_context(|| format!("reading the inputs that are kept below {}", store.path("").display()))
}

/// The secrets that an earlier run stored.
///
/// # Errors
/// Class `state`, where they are damaged.
pub fn stored_secrets(store: &Store) -> Result<Vec<String>> {
    let mut secrets: Vec<String> = stored_inputs(store)?.secrets().into_iter().map(str::to_owned).collect();
    if let Some(setting) = network::stored(store)? {
        secrets.extend(distro::Network::new(&setting, &[])?.secrets());
    }
    Ok(secrets)
}

fn is_clone(blueprint: &Blueprint, host: &Host) -> Fault {
    Fault::new(
        Class::State,
        format!("'{}' was installed on another machine, and this one is a copy of it", blueprint.name()),
    )
    .evidence([format!("machine-id here: {}", host.facts.machine_id)])
    .advice("say what becomes of the generated secrets: install --on-clone keep, or install --on-clone renew")
}

fn name_of(args: &WhatArgs) -> Result<&str> {
    args.blueprint.as_deref().ok_or_else(|| {
        let names = blueprint::builtin_names().join(", ");
        Fault::new(Class::Usage, "no blueprint is named")
            .advice(format!("name one: surefoot install NAME, where NAME is a path or one of {names}"))
            .into()
    })
}

/// `name`, where a product can be called so. It becomes a part of the paths of what is read, and removed.
///
/// # Errors
/// Class `usage`, where it cannot.
pub fn named(name: &str) -> Result<String, Fault> {
    if blueprint::is_product(name) {
        return Ok(name.to_owned());
    }
    Err(Fault::new(Class::Usage, format!("'{name}' is no name of a product: those are of a-z, 0-9 and '-'"))
        .advice("surefoot status lists the products of this host"))
}

/// The product that a command is about: the named one, else the only one that `fits`.
///
/// # Errors
/// Class `usage`, where that is not one.
pub fn choose(named: Option<&str>, what: &str, fits: impl Fn(&State) -> bool) -> Result<String> {
    if let Some(name) = named {
        return Ok(self::named(name)?);
    }
    let mut fitting = Vec::new();
    for product in Store::products() {
        if fits(&Store::new(&product).load()?.1) {
            fitting.push(product);
        }
    }
    match fitting.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Fault::new(Class::State, format!("there is nothing to {what} on this host"))
            .advice("surefoot status shows what is installed")
            .into()),
        several => Err(Fault::new(Class::Usage, format!("several products could be meant: {}", several.join(", ")))
            .advice(format!("name one: surefoot {what} NAME"))
            .into()),
    }
}

/// Name of a product, from its name or from the path of its blueprint.
pub fn name_from(given: &str) -> String {
    if Path::new(given).exists()
        && let Ok(blueprint) = Blueprint::load(given)
    {
        return blueprint.name().to_owned();
    }
    given.to_owned()
}

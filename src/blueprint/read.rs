//! From the text of a blueprint to what it says; everything that can be known to be wrong without a host.

use std::collections::BTreeMap;
use std::ops::Range;

use distro::{Class, Fault};
use steps::kinds::Entry;
use steps::kinds::settings::{Data, Field, Node};

use super::document::{Problems, Source, nearest, with_known};
use super::load::Files;
use super::model::{Blueprint, Step};
use super::sample;
use super::secret;
use super::spec::{Found, Input, InputSpec, Product, Requires, SOME_TYPES, STEP_KEYS, Scalar, Sort, StepHead, Warning};
use super::system::split_version;
use super::template::{Mistake, Scope, is_template};

/// Version of the format that this surefoot reads.
pub const SCHEMA: i64 = 1;

/// The keys of the top.
pub const TOP_KEYS: [&str; 6] = ["schema", "surefoot", "product", "inputs", "requires", "step"];

/// Reads a blueprint.
///
/// # Errors
/// Class `blueprint`, with everything that is wrong.
pub fn read(files: Files, kinds: &'static [Entry]) -> Result<Blueprint, Fault> {
    let source = Source { name: files.name, text: files.text, class: Class::Blueprint };
    let root = source.parse()?;
    let reader = Reader { source: &source, kinds };
    reader.version(&root)?;
    let mut problems = Problems::default();
    for field in root.fields() {
        if !TOP_KEYS.contains(&field.key.as_str()) {
            let message = with_known(&format!("unknown key '{}' at the top", field.key), &field.key, &TOP_KEYS);
            problems.add(source.fault(field.span.clone(), &message));
        }
    }
    let product = reader.product(&root, &mut problems);
    let requires = reader.requires(&root, &mut problems);
    let inputs = reader.inputs(&root, &mut problems);
    let steps = reader.steps(&root, &mut problems);
    let next = match root.field("product").and_then(|product| product.node.field("next")).map(|next| &next.node.data) {
        Some(Data::List(nodes)) => nodes.clone(),
        _ => Vec::new(),
    };
    let warnings = root.field("requires").map_or(&[][..], |requires| warnings(&requires.node)).to_vec();
    let Some(product) = product else {
        problems.into_result()?;
        return Err(source.fault(0..0, "the table [product] is missing"));
    };
    let blueprint = Blueprint {
        name: product.name,
        title: product.title,
        version: product.version,
        inputs,
        requires,
        warnings,
        steps,
        next,
        source: source.clone(),
        files: files.files,
        kinds,
    };
    reader.names(&blueprint, &mut problems);
    problems.into_result()?;
    Ok(blueprint)
}

struct Reader<'s> {
    source: &'s Source,
    kinds: &'static [Entry],
}

/// May a product be called so? A name is a part of paths.
pub fn is_product(name: &str) -> bool {
    is_id(name, "-")
}

fn is_id(text: &str, also: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || also.contains(c))
}

impl Reader<'_> {
    /// The format and the program fit. Comes first: a newer format may mean other keys.
    fn version(&self, root: &Node) -> Result<(), Fault> {
        let newer = "update surefoot, or take a blueprint that was written for this version";
        let Some(schema) = root.field("schema") else {
            return Err(self.source.fault(0..0, &format!("key 'schema' is missing; write schema = {SCHEMA}")));
        };
        match schema.node.data {
            Data::Integer(SCHEMA) => {}
            Data::Integer(number) if number > SCHEMA => {
                let message = format!("the blueprint has format {number}; this surefoot reads {SCHEMA}");
                return Err(self.source.fault(schema.node.span.clone(), &message).advice(newer));
            }
            _ => {
                let message = format!("schema is {}; expected {SCHEMA}", schema.node.describe());
                return Err(self.source.fault(schema.node.span.clone(), &message));
            }
        }
        let Some(wanted) = root.field("surefoot") else { return Ok(()) };
        let text = wanted.node.text().unwrap_or_default();
        let span = wanted.node.span.clone();
        let Ok(requirement) = semver::VersionReq::parse(text) else {
            let message = format!("surefoot is {}; expected versions such as \">= 0.1\"", wanted.node.describe());
            return Err(self.source.fault(span, &message));
        };
        let ours = env!("CARGO_PKG_VERSION");
        if semver::Version::parse(ours).is_ok_and(|ours| requirement.matches(&ours)) {
            return Ok(());
        }
        Err(self.source.fault(span, &format!("the blueprint needs surefoot {text}; this is {ours}")).advice(newer))
    }

    fn product(&self, root: &Node, problems: &mut Problems) -> Option<Product> {
        let Some(field) = root.field("product") else {
            problems.add(self.source.fault(0..0, "the table [product] is missing"));
            return None;
        };
        let read = field.node.read::<Product>().map_err(|misfit| self.source.misfit(&misfit, "[product]"));
        let product = problems.take(read)?;
        if !is_product(&product.name) {
            let at = field.node.field("name").map_or(field.span.clone(), |name| name.node.span.clone());
            let message = format!(
                "name of [product] is '{}'; expected at most 64 of a-z, 0-9 and '-', beginning with a letter",
                product.name
            );
            problems.add(self.source.fault(at, &message));
        }
        Some(product)
    }

    fn requires(&self, root: &Node, problems: &mut Problems) -> Requires {
        let Some(field) = root.field("requires") else { return Requires::default() };
        let read = field.node.read::<Requires>().map_err(|misfit| self.source.misfit(&misfit, "[requires]"));
        let Some(requires) = problems.take(read) else { return Requires::default() };
        for path in field.node.field("disk").map_or(&[][..], |disk| disk.node.fields()) {
            if !path.key.starts_with('/') {
                let message = format!("disk of [requires] names '{}'; expected an absolute path", path.key);
                problems.add(self.source.fault(path.span.clone(), &message));
            }
        }
        if let Some(Data::List(nodes)) = field.node.field("os").map(|os| &os.node.data) {
            for node in nodes {
                self.host_name(node.text().unwrap_or_default(), &node.span, problems);
            }
        }
        for (number, Warning { name, .. }) in requires.warning.iter().enumerate() {
            let message = if !is_id(name, "-") {
                format!(
                    "name of a [[requires.warning]] is '{name}'; expected at most 64 of a-z, 0-9 and '-', beginning with a letter"
                )
            } else if requires.warning[..number].iter().any(|other| other.name == *name) {
                format!("name = '{name}' is the name of another [[requires.warning]] already")
            } else {
                continue;
            };
            problems.add(self.source.fault(at(&warnings(&field.node)[number], "name"), &message));
        }
        requires
    }

    /// A family, a system, or a system with a version. Systems that nobody listed are accepted: there are many derivatives.
    fn host_name(&self, name: &str, span: &Range<usize>, problems: &mut Problems) {
        let (system, version) = split_version(name);
        let well_formed = is_id(system, "_-") && version.chars().all(|c| c.is_ascii_digit() || c == '.');
        if well_formed && (sample::HOSTS.contains(&system) || nearest(system, &sample::HOSTS).is_none()) {
            return;
        }
        let message =
            format!("'{name}' is not a family (debian), a system (ubuntu) or a version of one (ubuntu-22.04)");
        let message = match nearest(system, &sample::HOSTS) {
            Some(near) if version.is_empty() => format!("{message}; did you mean '{near}'?"),
            Some(near) => format!("{message}; did you mean '{near}-{version}'?"),
            None => message,
        };
        problems.add(self.source.fault(span.clone(), &message));
    }

    fn inputs(&self, root: &Node, problems: &mut Problems) -> Vec<InputSpec> {
        let Some(field) = root.field("inputs") else { return Vec::new() };
        if !matches!(field.node.data, Data::Table(_)) {
            problems.add(self.source.fault(field.span.clone(), "inputs is not a table; write [inputs.NAME]"));
        }
        field.node.fields().iter().filter_map(|field| self.input(field, problems)).collect()
    }

    fn input(&self, field: &Field, problems: &mut Problems) -> Option<InputSpec> {
        let name = &field.key;
        let place = format!("input '{name}'");
        if !is_id(name, "_") {
            let message = format!("{place}: expected at most 64 of a-z, 0-9 and '_', beginning with a letter");
            problems.add(self.source.fault(field.span.clone(), &message));
        }
        let read = field.node.read::<Input>().map_err(|misfit| self.source.misfit(&misfit, &place));
        let input = problems.take(read)?;
        for (key, types) in SOME_TYPES {
            let Some(found) = field.node.field(key).filter(|_| !types.contains(&input.sort)) else { continue };
            let types: Vec<&str> = types.iter().map(|sort| sort.name()).collect();
            let message =
                format!("key '{key}' of {place} is for type {}, not for {}", types.join(", "), input.sort.name());
            problems.add(self.source.fault(found.span.clone(), &message));
        }
        let mut say = |key: &str, message: String| {
            let at = field.node.field(key).map_or(field.span.clone(), |found| found.node.span.clone());
            problems.add(self.source.fault(at, &message));
        };
        if input.sort == Sort::Choice && input.choices.is_empty() {
            say("choices", format!("{place} has no choices; write choices = [\"…\", \"…\"]"));
        }
        if input.generate.is_some_and(|length| !(1..=1024).contains(&length)) {
            say("generate", format!("generate of {place} is not a length from 1 to 1024"));
        }
        if let (Some(min), Some(max)) = (input.min, input.max)
            && min > max
        {
            say("min", format!("min of {place} is larger than max"));
        }
        if let Some(length) = input.generate.map(|length| length as u64)
            && (input.min.is_some_and(|min| length < min.0) || input.max.is_some_and(|max| length > max.0))
        {
            say("generate", format!("generate of {place} is a length that its min or max does not allow"));
        }
        let pattern = input.pattern.as_deref().and_then(|pattern| {
            let whole = regex_lite::Regex::new(&format!("^(?:{pattern})$"));
            whole
                .map_err(|error| say("pattern", format!("pattern of {place} is not a regular expression: {error}")))
                .ok()
        });
        if let (Some(length), Some(pattern)) = (input.generate, &pattern)
            && !secret::samples(length.min(64)).all(|sample| pattern.is_match(&sample))
        {
            say("pattern", format!("pattern of {place} does not match whatever may be generated: letters and digits"));
        }
        let mut found = Vec::new();
        for Found { file, pattern } in &input.found {
            if !file.starts_with('/') {
                say("found", format!("found of {place}: '{file}' is not an absolute path"));
            }
            match regex_lite::Regex::new(pattern) {
                Ok(regex) if regex.captures_len() == 2 => found.push((file.clone(), regex)),
                Ok(_) => {
                    say("found", format!("found of {place}: the pattern {pattern} has to have one group: the value"))
                }
                Err(error) => {
                    say("found", format!("found of {place}: {pattern} is not a regular expression: {error}"));
                }
            }
        }
        let (node, span) = (field.node.clone(), field.span.clone());
        let spec = InputSpec { name: name.clone(), input, pattern, found, node, span };
        if let Some(default) = &spec.input.default
            && !matches!(default, Scalar::Text(text) if is_template(text))
            && let Err(why) = super::check::scalar(&spec, default)
        {
            problems.add(self.source.fault(spec.at("default"), &format!("default of {place}: {why}")));
        }
        Some(spec)
    }

    fn steps(&self, root: &Node, problems: &mut Problems) -> Vec<Step> {
        let Some(field) = root.field("step") else {
            problems.add(self.source.fault(0..0, "there is no [[step]]"));
            return Vec::new();
        };
        let Data::List(nodes) = &field.node.data else {
            let message = "step is not a list; write [[step]] with two pairs of brackets";
            problems.add(self.source.fault(field.span.clone(), message));
            return Vec::new();
        };
        let read: Vec<(Step, &Node)> =
            nodes.iter().filter_map(|node| Some((self.step(node, problems)?, node))).collect();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (step, node) in &read {
            let names = [("id", Some(&step.id)), ("was", step.was.as_ref())];
            for (key, name) in names.into_iter().filter_map(|(key, name)| Some((key, name?))) {
                if let Some(line) = seen.insert(name.clone(), step.line) {
                    let message = format!("{key} = '{name}' is the name of another step already, see line {line}");
                    problems.add(self.source.fault(at(node, key), &message));
                }
            }
            let is_lost = self.kinds.iter().any(|kind| kind.name == step.kind && !kind.outlives_step);
            if let Some(was) = step.was.as_ref().filter(|_| is_lost) {
                let message = format!(
                    "was = '{was}' does not carry a step of kind {}: its files have the step's name",
                    step.kind
                );
                problems.add(self.source.fault(at(node, "was"), &message).advice(format!("keep id = \"{was}\"")));
            }
        }
        let steps: Vec<Step> = read.into_iter().map(|(step, _)| step).collect();
        let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        for step in &steps {
            let all = std::iter::once(&step.settings).chain(step.on.iter().map(|(_, settings)| settings));
            for node in all.flat_map(texts) {
                let Some(id) = node.text().and_then(|text| text.strip_prefix("step:")) else { continue };
                if !is_template(id) && !ids.contains(&id) {
                    let message = with_known(&format!("step '{}' refers to unknown step '{id}'", step.id), id, &ids);
                    problems.add(self.source.fault(node.span.clone(), &message));
                }
            }
        }
        steps
    }

    fn step(&self, node: &Node, problems: &mut Problems) -> Option<Step> {
        let read = node.read::<StepHead>().map_err(|misfit| self.source.misfit(&misfit, "a [[step]]"));
        let head = problems.take(read)?;
        let at = |key: &str| at(node, key);
        for (key, id) in [("id", Some(&head.id)), ("was", head.was.as_ref())] {
            if let Some(id) = id.filter(|id| !is_id(id, "_-")) {
                let message = format!(
                    "{key} of a step is '{id}'; expected at most 64 of a-z, 0-9, '-' and '_', beginning with a letter"
                );
                problems.add(self.source.fault(at(key), &message));
            }
        }
        let known: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
        if !known.contains(&head.kind.as_str()) {
            let message = format!("step '{}' is of unknown kind '{}'", head.id, head.kind);
            problems.add(self.source.fault(at("kind"), &with_known(&message, &head.kind, &known)));
        }
        let mut on = Vec::new();
        if let Some(field) = node.field("on") {
            if !matches!(field.node.data, Data::Table(_)) {
                let message = format!("on of step '{}' is not a table; write [step.on.debian]", head.id);
                problems.add(self.source.fault(field.span.clone(), &message));
            }
            for host in field.node.fields() {
                self.host_name(&host.key, &host.span, problems);
                for setting in host.node.fields().iter().filter(|field| STEP_KEYS.contains(&field.key.as_str())) {
                    let message = format!("key '{}' of step '{}' cannot differ between hosts", setting.key, head.id);
                    problems.add(self.source.fault(setting.span.clone(), &message));
                }
                on.push((host.key.clone(), host.node.clone()));
            }
        }
        let settings = node.fields().iter().filter(|field| !STEP_KEYS.contains(&field.key.as_str())).cloned().collect();
        let line = self.source.line(node.span.start);
        Some(Step {
            when: head.when.map(|when| (when, at("when"))),
            id: head.id,
            kind: head.kind,
            was: head.was,
            settings: Node::new(node.span.clone(), Data::Table(settings)),
            on,
            line,
        })
    }

    /// Every name in every template and condition is one that will be there.
    fn names(&self, blueprint: &Blueprint, problems: &mut Problems) {
        let mut scope = Scope::new(&sample::facts("debian-12"), blueprint.product());
        let mut say = |node: &Range<usize>, mistakes: Vec<Mistake>| {
            for mistake in mistakes {
                problems.add(mistake_fault(self.source, node, &mistake));
            }
        };
        for spec in &blueprint.inputs {
            scope.withhold(&spec.name, "is declared after this");
        }
        // Inputs see those before them, and no secrets: what is made of a secret would not be known as one.
        for spec in &blueprint.inputs {
            if let Some(when) = &spec.input.when {
                say(&spec.at("when"), scope.unknown_names_in_condition(when));
            }
            if let Some(Scalar::Text(text)) = &spec.input.default {
                say(&spec.at("default"), scope.unknown_names(text));
            }
            if spec.is_secret() {
                scope.withhold(&spec.name, "is a secret, which has no place in conditions, defaults and warnings");
            } else {
                scope.set(&spec.name, minijinja::Value::from(true));
            }
        }
        for step in &blueprint.steps {
            if let Some((when, span)) = &step.when {
                say(span, scope.unknown_names_in_condition(when));
            }
        }
        for (warning, node) in blueprint.requires.warning.iter().zip(&blueprint.warnings) {
            if let Some(when) = &warning.when {
                say(&at(node, "when"), scope.unknown_names_in_condition(when));
            }
            for (key, text) in warning.texts() {
                say(&at(node, key), scope.unknown_names(text));
            }
        }
        for spec in blueprint.inputs.iter().filter(|spec| spec.is_secret()) {
            scope.set(&spec.name, minijinja::Value::from(true));
        }
        let settings = blueprint
            .steps
            .iter()
            .flat_map(|step| std::iter::once(&step.settings).chain(step.on.iter().map(|(_, settings)| settings)))
            .flat_map(texts);
        for node in settings.chain(&blueprint.next) {
            let text = node.text().unwrap_or_default();
            if is_template(text) {
                say(&node.span, scope.unknown_names(text));
            }
        }
    }
}

/// The tables of the warnings in the table [requires].
fn warnings(requires: &Node) -> &[Node] {
    match requires.field("warning").map(|warning| &warning.node.data) {
        Some(Data::List(nodes)) => nodes,
        _ => &[],
    }
}

/// Where the value of `key` stands, or `node` where it has no such key.
pub(super) fn at(node: &Node, key: &str) -> Range<usize> {
    node.field(key).map_or(node.span.clone(), |field| field.node.span.clone())
}

/// The texts in `node`, at any depth.
pub(super) fn texts(node: &Node) -> Vec<&Node> {
    match &node.data {
        Data::Text(_) => vec![node],
        Data::List(nodes) => nodes.iter().flat_map(texts).collect(),
        Data::Table(fields) => fields.iter().flat_map(|field| texts(&field.node)).collect(),
        _ => Vec::new(),
    }
}

/// The fault of a mistake in a template that stands at `span` of a file.
pub(super) fn mistake_fault(source: &Source, span: &Range<usize>, mistake: &Mistake) -> Fault {
    let text = source.text.get(span.clone()).unwrap_or_default();
    // TOML drops the first line end of a text of many lines.
    let dropped = usize::from(text.starts_with("\"\"\"\n") || text.starts_with("'''\n"));
    let lines = mistake.line - 1 + dropped;
    if lines == 0 {
        return source.fault(span.clone(), &mistake.message);
    }
    let offset = text.match_indices('\n').nth(lines - 1).map_or(0, |(at, _)| at + 1);
    source.fault(span.start + offset..span.start + offset, &mistake.message)
}

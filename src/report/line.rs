//! An event as one line of text: what a pipe gets, what the run log is read back as, what `-v` adds in a terminal.

use crate::engine::event::{ChangeTold, Event, Place, What};

use super::style::{clean, seconds, shell};
use super::{Verbosity, summary};

/// How many changes of a resource are told in one line.
const TOLD: usize = 3;

/// An event in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// From which verbosity on it is said.
    pub from: Verbosity,
    /// The words.
    pub text: String,
}

impl Line {
    /// The words for `event`.
    pub fn of(event: &Event) -> Self {
        let thing = || thing(&event.place);
        let line = |from, text: String| Self { from, text };
        let here = |from, text: String| line(from, at(&event.place, &text));
        match &event.what {
            What::RunStarted { action, title, steps, resources, log, .. } => {
                let attempt = if event.attempt > 1 { format!(", attempt {}", event.attempt) } else { String::new() };
                let size = size(*steps, *resources);
                line(Verbosity::Normal, format!("{action} {}: {title}, {size}{attempt}, log {log}", event.product))
            }
            What::StageStarted => {
                line(Verbosity::Verbose, format!("stage {}", event.place.stage.as_deref().unwrap_or("?")))
            }
            What::StepStarted { n: 0, .. } => here(Verbosity::Verbose, "for all steps".to_owned()),
            What::StepStarted { n, of } => here(Verbosity::Verbose, format!("step {n} of {of}")),
            What::StepEnded { changed, took_ms } => {
                let from = if *changed > 0 { Verbosity::Normal } else { Verbosity::Verbose };
                here(from, format!("{changed} changed in {}", seconds(*took_ms)))
            }
            What::ResourceInPlace => here(Verbosity::Verbose, format!("in place {}", thing())),
            What::ResourceChanging { changes, .. } => {
                here(Verbosity::Normal, format!("changing {}: {}", thing(), changes_in_words(changes)))
            }
            What::ResourceChanged { took_ms } => {
                here(Verbosity::Normal, format!("changed {} ({})", thing(), seconds(*took_ms)))
            }
            What::ResourceUndone { summary } => here(Verbosity::Normal, clean(summary).into_owned()),
            What::ResourceKept { why } => here(Verbosity::Normal, format!("kept {}: {why}", thing())),
            What::CommandStarted { argv } => here(Verbosity::Verbose, format!("$ {}", clean(&shell(argv)))),
            What::CommandLine { stream, text } if stream == "note" => here(Verbosity::Normal, clean(text).into_owned()),
            What::CommandLine { text, .. } => here(Verbosity::Verbose, format!("| {}", clean(text))),
            What::Progress { percent, text } => here(Verbosity::Verbose, format!("{percent:.0} % {}", clean(text))),
            What::CommandEnded { exit, took_ms } => {
                here(Verbosity::Verbose, format!("exit {exit} after {}", seconds(*took_ms)))
            }
            What::Warning { text } => line(Verbosity::Quiet, format!("warning: {}", clean(text))),
            What::Failed { failure } => {
                let message = clean(&failure.message);
                let text = format!("FAILED: {message} (class {}, exit code {})", failure.class, failure.exit_code);
                line(Verbosity::Quiet, at(&failure.place, &text))
            }
            What::RunEnded { result, took_ms, .. } => {
                line(Verbosity::Quiet, format!("{result} in {}: {}", seconds(*took_ms), summary(&event.what)))
            }
        }
    }
}

/// The diffs of an event, cleaned, a line each.
pub fn diffs(what: &What) -> Vec<String> {
    let What::ResourceChanging { changes, .. } = what else { return Vec::new() };
    let diffs = changes.iter().filter_map(|change| change.diff.as_deref());
    diffs.flat_map(str::lines).map(|line| clean(line).into_owned()).collect()
}

/// `create, mode 0644 -> 0600`, `install redis-server, redis-tools`; of many changes the first, and how many more.
pub fn changes_in_words(changes: &[ChangeTold]) -> String {
    let mut words = Vec::new();
    let mut verb = "";
    for ChangeTold { summary, .. } in changes.iter().take(TOLD) {
        let (first, rest) = summary.split_once(' ').unwrap_or((summary, ""));
        // Said once.
        words.push(clean(if first == verb && !rest.is_empty() { rest } else { summary }).into_owned());
        verb = first;
    }
    if changes.len() > TOLD {
        words.push(format!("and {} more", changes.len() - TOLD));
    }
    words.join(", ")
}

/// What is done to sets of packages in one transaction: the first of each set, which was asked for, before what came of it.
pub fn sets_in_words(sets: &[&[ChangeTold]]) -> String {
    let first = sets.iter().filter_map(|set| set.first());
    let rest = sets.iter().flat_map(|set| set.iter().skip(1));
    changes_in_words(&first.chain(rest).cloned().collect::<Vec<_>>())
}

/// Is it about a set of packages?
pub fn is_packages(place: &Place) -> bool {
    let resource = place.resource.as_deref().unwrap_or_default();
    sort_and_key(resource, place.step.as_deref().unwrap_or_default()).0 == "packages"
}

/// The resource of a place as `file /etc/x`.
pub fn thing(place: &Place) -> String {
    named(place.resource.as_deref().unwrap_or("?"), place.step.as_deref().unwrap_or_default())
}

/// A resource as `file /etc/x`; its step stands next to it.
pub fn named(resource: &str, step: &str) -> String {
    let (sort, key) = sort_and_key(resource, step);
    if key.is_empty() { sort } else { format!("{sort} {key}") }
}

/// What sort of resource it is, and which of them; the latter is empty where there is but one in a step.
pub fn sort_and_key(resource: &str, step: &str) -> (String, String) {
    let short = clean(short(resource, step)).into_owned();
    let (sort, key) = short.split_once(':').unwrap_or((&short, ""));
    let key = if (sort, key) == ("packages", "all") { "" } else { key };
    (sort.to_owned(), key.to_owned())
}

/// `3 steps, 17 resources`.
pub fn size(steps: usize, resources: usize) -> String {
    format!("{}, {}", count(steps, "step"), count(resources, "resource"))
}

/// A resource's id without its step, which stands next to it.
pub fn short<'a>(resource: &'a str, step: &str) -> &'a str {
    resource.strip_prefix(step).and_then(|rest| rest.strip_prefix('/')).unwrap_or(resource)
}

fn at(place: &Place, text: &str) -> String {
    match place.step.as_ref().or(place.stage.as_ref()) {
        Some(place) => format!("{place}: {text}"),
        None => text.to_owned(),
    }
}

/// `1 step`, `3 steps`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_told_before_what_came_of_it() {
        let set = |names: &[&str]| -> Vec<ChangeTold> {
            let told = |name: &&str| ChangeTold {
                item: format!("package {name}"),
                summary: format!("install {name}"),
                diff: None,
            };
            names.iter().map(told).collect()
        };
        let (redis, rabbitmq) = (set(&["redis-server", "liblzf1", "libjemalloc2"]), set(&["rabbitmq-server"]));
        let told = sets_in_words(&[&redis, &rabbitmq]);
        assert_eq!(told, "install redis-server, rabbitmq-server, liblzf1, and 1 more");
    }
}

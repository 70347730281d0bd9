//! The plan for people: one screen, whatever its size.

use crate::engine::event::ChangeTold;

use super::Verbosity;
use super::line::{changes_in_words, sort_and_key};
use super::plan::{Answer, Counts, PlanTold, ResourceTold, StepTold};
use super::style::{Ink, Style, clean, columns, padded};

/// How to show a plan.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For which stream.
    pub style: Style,
    /// `Verbose` shows every resource, every change and the diffs.
    pub verbosity: Verbosity,
    /// Rows to fold long lists into; none where there is no screen.
    pub rows: Option<usize>,
}

/// Fewest columns of the sort of a resource.
const SORT: usize = 10;
/// Most columns of a name, where what is done shall stand in a column.
const NAME: usize = 36;
/// Columns that are kept for what is done, where the name is long.
const HOW: usize = 16;

/// What becomes of a row that is longer than the screen is wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Long {
    /// It is one line all the same: there is no screen.
    Whole,
    /// What is done goes on below, in its column.
    Wrapped,
    /// Its end is left out, for a plan that has to be one screen.
    Cut,
}

/// `plan` as text, ending in a line end.
pub fn plan_view(plan: &PlanTold, options: &Options) -> String {
    let Some(rows) = options.rows else { return text(plan, options, Long::Whole, None) };
    let wrapped = text(plan, options, Long::Wrapped, None);
    if options.verbosity >= Verbosity::Verbose || wrapped.lines().count() < rows {
        return wrapped;
    }
    text(plan, options, Long::Cut, Some(rows))
}

fn text(plan: &PlanTold, options: &Options, long: Long, rows_free: Option<usize>) -> String {
    let style = &options.style;
    let mut out = vec![heading(plan, style)];
    let steps: Vec<(&StepTold, Vec<Row>)> =
        plan.steps.iter().map(|step| (step, rows_of(step, options))).filter(|(_, rows)| !rows.is_empty()).collect();
    let names = steps.iter().flat_map(|(_, rows)| rows).map(|row| columns(&row.what));
    let name = names.filter(|name| *name <= NAME).max().unwrap_or(0);
    let sorts = steps.iter().flat_map(|(_, rows)| rows).map(|row| columns(&row.sort));
    let sort = sorts.max().unwrap_or(0).max(SORT);
    let lists: Vec<usize> = steps.iter().map(|(_, rows)| rows.len()).collect();
    let warnings: Vec<String> = plan.warnings.iter().flat_map(|warning| warned(warning, style)).collect();
    let fixed = out.len() + lists.len() + plan.orphans.len().min(1) + warnings.len() + 7;
    let most = rows_free.map_or(usize::MAX, |rows| fold(&plan.inputs.len(), &lists, rows.saturating_sub(fixed)));
    let hint = format!("({})", style.paint(Ink::Faint, "surefoot plan -v"));
    let more = |hidden: usize| format!("    {} and {hidden} more {hint}", style.ellipsis());
    if !plan.inputs.is_empty() {
        out.push(String::new());
        out.extend(inputs(plan, style, most));
        if plan.inputs.len() > most {
            out.push(more(plan.inputs.len() - shown(plan.inputs.len(), most)));
        }
    }
    out.push(String::new());
    for (step, rows) in &steps {
        let words = Counts::of(&step.resources).in_words();
        let title = padded(&step.id, 16);
        out.push(fit(style, &format!("{}  {words}", style.paint(Ink::Strong, &title))));
        let shown = shown(rows.len(), most);
        for row in &rows[..shown] {
            out.extend(row.lines(style, (sort, name), long));
        }
        if shown < rows.len() {
            out.push(more(rows.len() - shown));
        }
    }
    let idle: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| !steps.iter().any(|(other, _)| other.id == step.id))
        .map(|step| step.id.as_str())
        .collect();
    if !idle.is_empty() {
        out.push(fit(style, &format!("in place: {}", idle.join(", "))));
    }
    if !plan.orphans.is_empty() {
        let list = plan.orphans.join(", ");
        out.push(fit(style, &format!("no longer in the blueprint (--prune removes them): {}", clean(&list))));
    }
    out.push(String::new());
    out.extend(warnings);
    out.push(style.paint(Ink::Strong, &plan.counts.in_words()));
    if plan.counts.hidden > 0 {
        out.push("root sees what is hidden".to_owned());
    }
    out.join("\n") + "\n"
}

fn warned(warning: &str, style: &Style) -> Vec<String> {
    let lines = style.wrap(&format!("warning: {}", clean(warning)), style.width);
    lines.iter().map(|line| style.paint(Ink::Care, line)).collect()
}

fn heading(plan: &PlanTold, style: &Style) -> String {
    let text = format!("{} {}  {}", plan.product, plan.version, clean(&plan.title));
    style.paint(Ink::Strong, &style.cut(&text, style.width))
}

fn inputs(plan: &PlanTold, style: &Style, most: usize) -> Vec<String> {
    let widest = |texts: &mut dyn Iterator<Item = usize>, most: usize| texts.max().unwrap_or(0).min(most);
    let name = widest(&mut plan.inputs.iter().map(|input| columns(&input.name)), 24);
    let value = widest(&mut plan.inputs.iter().map(|input| columns(&input.value)), 32);
    let rows = plan.inputs.iter().map(|input| {
        let told = style.cut(&clean(&input.value), value).into_owned();
        let row = format!("  {}  {}  ", padded(&input.name, name), padded(&told, value));
        fit(style, &format!("{row}{}", style.paint(Ink::Faint, &input.source)))
    });
    rows.take(shown(plan.inputs.len(), most)).collect()
}

/// How many of `count` are shown where `most` rows are free: the row that says how many more there are needs one, too.
fn shown(count: usize, most: usize) -> usize {
    if count <= most { count } else { most.saturating_sub(1).max(1) }
}

/// The most rows a list may have, so that all of them take at most `room` rows; at least 2.
fn fold(inputs: &usize, lists: &[usize], room: usize) -> usize {
    let lists = || lists.iter().chain(std::iter::once(inputs));
    let longest = lists().max().copied().unwrap_or(0);
    let fits = |most: &usize| lists().map(|list| (*list).min(*most)).sum::<usize>() <= room;
    (2..=longest).rev().find(fits).unwrap_or(2)
}

fn fit(style: &Style, text: &str) -> String {
    style.cut(text.trim_end(), style.width).into_owned()
}

/// A resource, or with `-v` one of its changes.
struct Row {
    mark: char,
    ink: Ink,
    sort: String,
    what: String,
    how: String,
    diff: Vec<String>,
}

impl Row {
    /// With the widths of the columns of sorts and names.
    fn lines(&self, style: &Style, (sort_width, name): (usize, usize), long: Long) -> Vec<String> {
        let width = style.width.saturating_sub(6);
        let (cut, how) = (long == Long::Cut, &self.how);
        let mark = style.paint(self.ink, &self.mark.to_string());
        let begin = format!("  {mark} {} ", padded(&self.sort, sort_width));
        let line = if self.what.is_empty() {
            format!("{begin}{how}")
        } else {
            // A name is seldom cut, and at its beginning: the end of a path tells more.
            let most = style.width.saturating_sub(columns(&begin) + 2 + columns(how).min(HOW));
            let what = if cut { end(style, &self.what, most) } else { self.what.clone() };
            format!("{begin}{}  {how}", padded(&what, name))
        };
        let mut lines = match long {
            Long::Cut => vec![fit(style, &line)],
            Long::Wrapped if columns(line.trim_end()) > style.width => self.wrapped(style, &begin, name),
            Long::Wrapped | Long::Whole => vec![line.trim_end().to_owned()],
        };
        lines.extend(self.diff.iter().map(|line| {
            let line = if cut { style.cut(line, width).into_owned() } else { line.clone() };
            let ink = match line.as_bytes().first() {
                Some(b'+') => Ink::Good,
                Some(b'-') => Ink::Bad,
                _ => Ink::Faint,
            };
            format!("      {}", style.paint(ink, &line))
        }));
        lines
    }

    /// After `begin`, with what is done in its column, or below the name, where that takes fewer lines or the column would break a path in two.
    fn wrapped(&self, style: &Style, begin: &str, name: usize) -> Vec<String> {
        let below = columns(begin);
        let column = if self.what.is_empty() { below } else { below + name + 2 };
        let wrap = |column: usize| -> Vec<String> {
            let lines = style.wrap(&self.how, style.width.saturating_sub(column));
            lines.iter().map(|line| " ".repeat(column) + line).collect()
        };
        let (beside, under) = (wrap(column), wrap(below));
        let head = format!("{begin}{}", self.what);
        let is_beside = self.what.is_empty() || columns(&self.what) <= name;
        let is_whole = self.how.split_whitespace().all(|word| column + columns(word) <= style.width);
        let is_under = !self.what.is_empty() && (!is_whole || under.len() + usize::from(is_beside) < beside.len());
        let lines = if is_under { under } else { beside };
        if is_under || !is_beside {
            return std::iter::once(head).chain(lines).collect();
        }
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        std::iter::once(padded(&head, column) + first.trim_start()).chain(lines).collect()
    }
}

fn rows_of(step: &StepTold, options: &Options) -> Vec<Row> {
    let verbose = options.verbosity >= Verbosity::Verbose;
    let wanted = |resource: &&ResourceTold| verbose || resource.answer != Answer::InPlace;
    step.resources.iter().filter(wanted).flat_map(|resource| rows_of_resource(resource, &step.id, verbose)).collect()
}

fn rows_of_resource(resource: &ResourceTold, step: &str, verbose: bool) -> Vec<Row> {
    let (sort, what) = sort_and_key(&resource.id, step);
    let why = clean(resource.why.as_deref().unwrap_or_default()).into_owned();
    let owned = match resource.ownership.as_deref() {
        Some(ownership) if verbose || ownership == "adopted" => format!("{ownership} "),
        _ => String::new(),
    };
    let row = |mark, ink, how: String| Row { mark, ink, sort: sort.clone(), what: what.clone(), how, diff: Vec::new() };
    match resource.answer {
        Answer::InPlace => vec![row('=', Ink::Faint, format!("{owned}in place"))],
        Answer::Pending => vec![row('?', Ink::Faint, format!("needs {why}"))],
        Answer::Hidden => vec![row('!', Ink::Care, format!("hidden: {why}"))],
        Answer::Changes if verbose => resource
            .changes
            .iter()
            .map(|change| {
                let (mark, ink) = mark_of(std::slice::from_ref(change));
                let diff = change.diff.iter().flat_map(|diff| diff.lines()).map(|line| clean(line).into_owned());
                Row { diff: diff.collect(), ..row(mark, ink, format!("{owned}{}", clean(&change.summary))) }
            })
            .collect(),
        Answer::Changes => {
            let (mark, ink) = mark_of(&resource.changes);
            vec![row(mark, ink, format!("{owned}{}", changes_in_words(&resource.changes)))]
        }
    }
}

/// `+` where something new is made, `-` where all of it goes away, else `~`: the first word of a summary says it.
fn mark_of(changes: &[ChangeTold]) -> (char, Ink) {
    let first = |change: &ChangeTold| change.summary.split_whitespace().next().unwrap_or_default().to_owned();
    let is = |words: &[&str], change: &ChangeTold| words.contains(&first(change).as_str());
    if changes.iter().any(|change| is(&["create", "install", "add"], change)) {
        ('+', Ink::Good)
    } else if !changes.is_empty() && changes.iter().all(|change| is(&["remove", "delete", "purge"], change)) {
        ('-', Ink::Bad)
    } else {
        ('~', Ink::Care)
    }
}

/// `text` in at most `width` columns, its beginning left out where it is longer.
fn end(style: &Style, text: &str, width: usize) -> String {
    let mut rest = text;
    while columns(rest) + if rest.len() < text.len() { columns(style.ellipsis()) } else { 0 } > width {
        let mut letters = rest.chars();
        if letters.next().is_none() {
            break;
        }
        rest = letters.as_str();
    }
    if rest.len() < text.len() { format!("{}{rest}", style.ellipsis()) } else { text.to_owned() }
}

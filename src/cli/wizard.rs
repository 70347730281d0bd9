//! Asks for inputs in a terminal, on stderr.
//!
//! Dialoguer takes a prompt for one row of the terminal when it clears it: more rows would be there twice once it is answered. So what
//! does not fit into the last row is written before, and it never has to be cleared.

use std::io;

use console::Term;
use dialoguer::{Confirm, Input, Password, Select};
use distro::{Class, Fault};

use crate::blueprint::{Ask, Question, Sort};
use crate::report::style::{Style, columns};

/// Stands in the row of the answer, where the question is above its explanation.
const ANSWER: &str = "  answer";
/// How narrow a question may become for the sake of what follows it in its last row.
const NARROWEST: usize = 20;

/// Asks on the terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal;

impl Ask for Terminal {
    fn ask(&self, question: &Question<'_>) -> anyhow::Result<Option<String>> {
        let answer = match question.spec.input.sort {
            Sort::Bool => yes_or_no(question),
            Sort::Choice => choice(question),
            Sort::Secret => secret(question),
            _ => text(question),
        };
        answer.map_err(|error| stopped(error, &question.spec.name))
    }
}

fn stopped(error: dialoguer::Error, name: &str) -> anyhow::Error {
    let dialoguer::Error::IO(error) = error;
    if error.kind() == io::ErrorKind::Interrupted {
        return Fault::new(Class::Interrupted, format!("stopped at the question for '{name}'; nothing was changed"))
            .advice("run it again, or give the inputs in a file with --answers FILE")
            .into();
    }
    Fault::new(Class::Usage, format!("the question for '{name}' got no answer: {error}"))
        .advice("give the inputs in a file with --answers FILE")
        .into()
}

fn yes_or_no(question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let mut confirm = Confirm::new().with_prompt(prompt(question, "", " [y/N] ")?);
    if let Some(default) = &question.default {
        confirm = confirm.default(default == "true");
    }
    Ok(Some(confirm.interact()?.to_string()))
}

fn choice(question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let choices = &question.spec.input.choices;
    let default = question.default.as_ref().and_then(|default| choices.iter().position(|choice| choice == default));
    let prompt = prompt(question, "", ":")?;
    let chosen = Select::new().with_prompt(prompt).items(choices).default(default.unwrap_or(0)).interact()?;
    Ok(choices.get(chosen).cloned())
}

fn secret(question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let generated = question.spec.input.generate.is_some();
    let prompt = prompt(question, if generated { " (empty: generate one)" } else { "" }, ": [hidden]")?;
    let password = |prompt: &str| Password::new().with_prompt(prompt).allow_empty_password(generated);
    loop {
        let answer = password(&prompt)
            .validate_with(|text: &String| if text.is_empty() { Ok(()) } else { check(question, text) })
            .interact()?;
        if answer.is_empty() {
            return Ok(None);
        }
        if password("The same once more").allow_empty_password(true).interact()? == answer {
            return Ok(Some(answer));
        }
        Term::stderr().write_line("the two differ")?;
    }
}

fn text(question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let default = question.default.as_deref();
    let shown = default.map_or(": ".to_owned(), |default| format!(" [{default}]: "));
    let prompt = prompt(question, "", &shown)?;
    let mut input = Input::<String>::new().with_prompt(&prompt).allow_empty(true);
    if let Some(default) = default {
        input = input.default(default.to_owned());
    }
    let is_default = |text: &str| default == Some(text);
    // The default may be shown rounded (a size), so that it is taken as it is, not as it is typed.
    let checked = |text: &String| {
        let typed = if is_default(text) { "" } else { text };
        clear_rows_above(columns(&prompt) + columns(&shown) + columns(typed));
        if is_default(text) { Ok(()) } else { check(question, text) }
    };
    let answer = input.validate_with(checked).interact_text()?;
    Ok(Some(answer).filter(|answer| !is_default(answer)))
}

/// Writes the question and its explanation, all but the row in which it is answered: that is the prompt. `more` belongs to the question,
/// `after` is what dialoguer writes behind it.
fn prompt(question: &Question<'_>, more: &str, after: &str) -> io::Result<String> {
    let input = &question.spec.input;
    let asked = format!("{}{more}", input.ask.as_deref().unwrap_or_default());
    let mut rows = rows(&asked, input.help.as_deref(), after, &Style::stderr());
    let prompt = rows.pop().unwrap_or_default();
    for row in rows {
        Term::stderr().write_line(&row)?;
    }
    Ok(prompt)
}

/// The rows of a question, the last of which leaves room for `after`, as far as there is any.
fn rows(asked: &str, help: Option<&str>, after: &str, style: &Style) -> Vec<String> {
    let Some(help) = help else {
        let fits = columns(asked) + columns(after) <= style.width;
        let narrow = style.width.saturating_sub(columns(after)).max(NARROWEST);
        return style.wrap(asked, if fits { style.width } else { narrow });
    };
    let help = style.wrap(help, style.width.saturating_sub(2)).into_iter().map(|row| format!("  {row}"));
    style.wrap(asked, style.width).into_iter().chain(help).chain([ANSWER.to_owned()]).collect()
}

/// What is wrong with an answer, in rows that dialoguer can count: it writes `error: ` before the first.
fn check(question: &Question<'_>, text: &str) -> Result<(), String> {
    let style = Style::stderr();
    (question.check)(text).map_err(|why| style.wrap(&why, style.width.saturating_sub(7)).join("\n       "))
}

/// Clears the rows that what was typed has taken above the last one, which dialoguer has cleared: it knows of no others.
fn clear_rows_above(columns: usize) {
    let above = columns.saturating_sub(1) / Style::stderr().width;
    // A row more on the screen is no reason to ask again.
    Term::stderr().clear_last_lines(above).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_in_a_row_that_has_room_for_it() {
        let style = Style { width: 40, colour: false, unicode: true };
        for (asked, help, after, wanted) in [
            ("Install RabbitMQ?", None, " [y/N] ", &["Install RabbitMQ?"][..]),
            ("Do you agree to all of these terms?", None, " [y/N] ", &["Do you agree to all of these", "terms?"]),
            ("Address of it", None, " [https://a.example.com/bbb]: ", &["Address of it"]),
            ("Address of the service", None, " [https://a.example.com]: ", &["Address of the", "service"]),
            (
                "Get one?",
                Some("It has to reach this host on port 80 by its name."),
                " [y/N] ",
                &["Get one?", "  It has to reach this host on port 80", "  by its name.", "  answer"],
            ),
        ] {
            assert_eq!(rows(asked, help, after, &style), wanted);
        }
    }
}

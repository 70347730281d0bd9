//! Asks for inputs in a terminal.

use anyhow::Result;
use dialoguer::{Confirm, Password, Select};
use distro::{Class, Fault};

use super::resolve::{Ask, Question};
use super::spec::Sort;

/// Asks on the terminal, on stderr.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal;

impl Ask for Terminal {
    fn ask(&self, question: &Question<'_>) -> Result<Option<String>> {
        let input = &question.spec.input;
        let prompt = match &input.help {
            Some(help) => format!("{}\n  {help}\n ", input.ask.as_deref().unwrap_or_default()),
            None => input.ask.clone().unwrap_or_default(),
        };
        let answer = match input.sort {
            Sort::Bool => yes_or_no(&prompt, question),
            Sort::Choice => choice(&prompt, question),
            Sort::Secret => secret(&prompt, question),
            _ => text(&prompt, question),
        };
        answer.map_err(|error| stopped(error, &question.spec.name))
    }
}

fn stopped(error: dialoguer::Error, name: &str) -> anyhow::Error {
    let dialoguer::Error::IO(error) = error;
    if error.kind() == std::io::ErrorKind::Interrupted {
        return Fault::new(Class::Interrupted, format!("stopped at the question for '{name}'; nothing was changed"))
            .advice("run it again, or give the inputs in a file with --answers FILE")
            .into();
    }
    Fault::new(Class::Usage, format!("the question for '{name}' got no answer: {error}"))
        .advice("give the inputs in a file with --answers FILE")
        .into()
}

fn yes_or_no(prompt: &str, question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let mut confirm = Confirm::new().with_prompt(prompt);
    if let Some(default) = &question.default {
        confirm = confirm.default(default == "true");
    }
    Ok(Some(confirm.interact()?.to_string()))
}

fn choice(prompt: &str, question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let choices = &question.spec.input.choices;
    let default = question.default.as_ref().and_then(|default| choices.iter().position(|choice| choice == default));
    let chosen = Select::new().with_prompt(prompt).items(choices).default(default.unwrap_or(0)).interact()?;
    Ok(choices.get(chosen).cloned())
}

fn secret(prompt: &str, question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let generated = question.spec.input.generate.is_some();
    let prompt = if generated { format!("{prompt} (empty: generate one)") } else { prompt.to_owned() };
    let password = |prompt: &str| Password::new().with_prompt(prompt).allow_empty_password(generated);
    loop {
        let answer = password(&prompt)
            .validate_with(|text: &String| if text.is_empty() { Ok(()) } else { (question.check)(text) })
            .interact()?;
        if answer.is_empty() {
            return Ok(None);
        }
        if password("The same once more").allow_empty_password(true).interact()? == answer {
            return Ok(Some(answer));
        }
        console::Term::stderr().write_line("the two differ")?;
    }
}

fn text(prompt: &str, question: &Question<'_>) -> dialoguer::Result<Option<String>> {
    let mut input = dialoguer::Input::<String>::new().with_prompt(prompt).allow_empty(true);
    if let Some(default) = &question.default {
        input = input.default(default.clone());
    }
    let is_default = |text: &str| question.default.as_deref() == Some(text);
    // The default may be shown rounded (a size), so that it is taken as it is, not as it is typed.
    let check = |text: &String| if is_default(text) { Ok(()) } else { (question.check)(text) };
    let answer = input.validate_with(check).interact_text()?;
    Ok(Some(answer).filter(|answer| !is_default(answer)))
}

//! The checks as text and as JSON.

use anyhow::Result;

use super::{Check, Level};

/// Columns of a terminal that is not asked how wide it is.
const WIDTH: usize = 80;

/// A block of lines a check, at most 80 columns wide where words allow.
pub fn text(checks: &[Check]) -> String {
    let names = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0).min(24);
    let indent = 9 + names + 2;
    let mut text = String::new();
    for check in checks {
        let level = match check.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        let mut lines = wrap(&check.measured, WIDTH - indent);
        lines.extend(check.evidence.iter().flat_map(|line| wrap(&format!("- {line}"), WIDTH - indent)));
        if check.required != check.measured {
            lines.extend(wrap(&format!("required: {}", check.required), WIDTH - indent));
        }
        if !check.advice.is_empty() {
            lines.extend(wrap(&format!("to do: {}", check.advice), WIDTH - indent));
        }
        for (number, line) in lines.iter().enumerate() {
            if number == 0 {
                text.push_str(&format!("{level:<9}{:<names$}  {line}\n", check.name));
            } else {
                text.push_str(&format!("{:indent$}{line}\n", ""));
            }
        }
    }
    text
}

/// An array of objects.
///
/// # Errors
/// None that could be caused by a check.
pub fn json(checks: &[Check]) -> Result<String> {
    Ok(serde_json::to_string_pretty(checks)?)
}

/// `text` in lines of at most `width` columns, broken between words; a longer word has a line for itself.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use distro::Class;

    use super::*;

    #[test]
    fn all_checks_in_eighty_columns() {
        let checks = [
            Check::new("memory", Class::Preflight, "15.2 GiB", "1 GiB"),
            Check::new("packages", Class::Package, "apt-get", "apt-get"),
            Check::new("host name", Class::Host, "'box' is not in /etc/hosts", "in /etc/hosts").warning("add it"),
            Check::new(
                "port 80",
                Class::Port,
                "held by apache2 (pid 812, apache2.service) on 0.0.0.0:80 and apache2 (pid 812, apache2.service) on [::]:80",
                "free for nginx.service",
            )
            .error("stop it"),
        ];
        insta::assert_snapshot!(text(&checks), @"
        ok       memory     15.2 GiB
                            required: 1 GiB
        ok       packages   apt-get
        warning  host name  'box' is not in /etc/hosts
                            required: in /etc/hosts
                            to do: add it
        error    port 80    held by apache2 (pid 812, apache2.service) on 0.0.0.0:80 and
                            apache2 (pid 812, apache2.service) on [::]:80
                            required: free for nginx.service
                            to do: stop it
        ");
        assert!(text(&checks).lines().all(|line| line.len() <= WIDTH));
        assert!(json(&checks).unwrap().contains("\"level\": \"error\""));
    }
}

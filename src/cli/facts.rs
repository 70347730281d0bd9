//! `surefoot facts`: what this host is.

use anyhow::Result;
use distro::Facts;
use serde_json::Value;

use super::context::Context;

/// Runs it: a table, or with `json` an object.
///
/// # Errors
/// Where the host cannot be recognised: os-release is missing or malformed.
pub fn run(context: &Context, json: bool) -> Result<i32> {
    context.print(&text(&context.host()?.facts, json)?);
    Ok(0)
}

fn text(facts: &Facts, json: bool) -> Result<String> {
    let facts = serde_json::to_value(facts)?;
    if json { Ok(serde_json::to_string_pretty(&facts)? + "\n") } else { Ok(table(&facts)) }
}

/// A line a fact: name and value.
fn table(facts: &Value) -> String {
    let fields = || facts.as_object().into_iter().flatten();
    let width = fields().map(|(name, _)| name.len()).max().unwrap_or(0);
    fields().map(|(name, value)| format!("{:<width$}  {}\n", name.replace('_', " "), shown(name, value))).collect()
}

fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Bool(value) => if *value { "yes" } else { "no" }.into(),
        Value::Number(bytes) if name == "memory" => {
            bytes.as_u64().map_or_else(|| bytes.to_string(), |bytes| steps::kinds::units::Size(bytes).to_string())
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_as_a_table() {
        let facts = serde_json::json!({
            "os": "debian", "package_manager": "apt", "major": 12, "codename": "", "container": null, "ipv6": true,
            "memory": 1_610_612_736_u64,
        });
        let wanted = "os               debian\npackage manager  apt\nmajor            12\ncodename         -\n\
                      container        -\nipv6             yes\nmemory           1.5 GiB\n";
        assert_eq!(table(&facts), wanted);
    }

    #[test]
    fn facts_of_this_host() {
        let gathered = Facts::gather(std::path::Path::new("/")).unwrap();
        let facts: Value = serde_json::from_str(&text(&gathered, true).unwrap()).unwrap();
        assert!(facts["os"].is_string() && facts["memory"].as_u64() > Some(0), "{facts}");
        assert_eq!(text(&gathered, false).unwrap().lines().count(), facts.as_object().unwrap().len());
    }
}

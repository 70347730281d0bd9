//! What programs get on stdout is what docs/json.md says: one document, with the fields of its tables and no others.

use anyhow::{Context, Result, ensure};
use lab::{Host, Suite, installed};
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::Path};

/// Fields of one table: the path of each, and its type.
type Fields = BTreeMap<String, String>;

/// The tables of docs/json.md by name.
fn documented() -> Result<BTreeMap<String, Fields>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md"))?;
    let tables = text.split("<!-- fields of ").skip(1).map(|rest| {
        let (name, table) = rest.split_once(" -->").context("a mark without an end")?;
        let table = table.split("<!-- end -->").next().unwrap_or_default();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
        let fields =
            rows.map(|(path, rest)| (path.to_owned(), rest.split(" | ").next().unwrap_or_default().to_owned()));
        Ok((name.to_owned(), fields.collect()))
    });
    tables.collect()
}

/// Compares an object, whose fields are those of `table` that begin with `before`.
fn compare(all: &BTreeMap<String, Fields>, table: &str, before: &str, value: &Value) -> Result<()> {
    let fields = all.get(table).with_context(|| format!("no table '{table}'"))?;
    let object = value.as_object().with_context(|| format!("{table}: {before} is no object: {value}"))?;
    for (key, value) in object {
        let path = format!("{before}{key}");
        let sort = fields.get(&path).with_context(|| format!("'{path}' of '{table}' is not documented"))?;
        let fits = match value {
            Value::Null => sort.contains("or null"),
            Value::Bool(_) => sort.starts_with("boolean"),
            Value::Number(_) => sort.starts_with("number"),
            Value::String(_) => sort.starts_with("string"),
            Value::Array(_) => sort.starts_with("list"),
            Value::Object(_) => sort.starts_with("object") || sort.starts_with("map"),
        };
        ensure!(fits || sort.starts_with("any"), "'{path}' of '{table}' should be {sort}: {value}");
        match value {
            Value::Object(_) if sort.contains("[`plan`]") => compare(all, "plan", "", value)?,
            Value::Object(_) if sort.starts_with("object") => compare(all, table, &format!("{path}."), value)?,
            Value::Array(list) if sort.starts_with("list of objects") => {
                list.iter().try_for_each(|one| compare(all, table, &format!("{path}[]."), one))?;
            }
            _ => {}
        }
    }
    let here = fields.iter().filter_map(|(path, sort)| Some((path.strip_prefix(before)?, sort)));
    let mut always = here.filter(|(key, sort)| !key.contains('.') && !sort.contains("optional"));
    let missing = always.find(|(key, _)| !object.contains_key(*key));
    ensure!(missing.is_none(), "'{}' of '{table}' is missing: {value}", missing.map_or("", |(key, _)| key));
    Ok(())
}

/// Runs it and compares its one document, or each object of it.
fn check(host: &Host, user: &str, command: &str, table: &str) -> Result<Value> {
    let words = ["surefoot"].into_iter().chain(command.split(' ')).chain(["--output", "json"]);
    let output = host.exec_as(user, words)?;
    let told: Value = serde_json::from_str(&output.stdout).with_context(|| format!("{command}: {output:?}"))?;
    let all = documented()?;
    match &told {
        Value::Array(list) => list.iter().try_for_each(|one| compare(&all, table, "", one)),
        one => compare(&all, table, "", one),
    }
    .with_context(|| format!("surefoot {command}, as {user}: {}", output.stdout))?;
    Ok(told)
}

#[test]
fn what_programs_get_has_the_documented_fields() -> Result<()> {
    let host = installed(Suite::Bookworm, "web")?.host().boot()?;
    host.sh("cp -r /root/web /srv/web && chmod 0600 /var/www/web-site/index.html")?;
    let status = check(&host, "root", "status", "status")?;
    ensure!(status[0]["plan"]["counts"]["changes"] == 1, "{status:#}");
    check(&host, "root", "plan /root/web", "plan")?;
    check(&host, "nobody", "plan services --set site=other.lab.test", "plan")?;
    check(&host, "root", "preflight services --set site=other.lab.test", "preflight")?;
    check(&host, "root", "endpoints services --set site=other.lab.test --set mongodb=true", "endpoints")?;
    check(&host, "root", "facts", "facts")?;
    for blueprint in ["services", "stackstorm", "/root/web"] {
        check(&host, "root", &format!("blueprint show {blueprint}"), "blueprint show")?;
    }
    check(&host, "root", "blueprint list", "blueprint list")?;
    check(&host, "root", "blueprint validate services", "blueprint validate")?;

    // The failure is the document where there is no data, and is for people where there is.
    let failed = host.exec(["surefoot", "plan", "nosuch", "--output", "json"])?.code_is(10)?;
    let told: Value = serde_json::from_str(&failed.stdout)?;
    ensure!(told["type"] == "failed" && told["failure"]["class"] == "usage", "{told:#}");
    host.surefoot("uninstall web --yes")?.ok()?;
    let status = check(&host, "root", "status", "status")?;
    ensure!(status[0]["installed"] == false && status[0].get("plan").is_none(), "{status:#}");
    Ok(())
}

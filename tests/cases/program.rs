//! The program as a file: static, small, quick to start, alone in an empty folder; what it says of itself.
#![expect(clippy::disallowed_methods, reason = "the program is started here, on this machine")]

use anyhow::{Result, ensure};
use lab::place;
use std::{
    fs,
    process::{Command, Output},
    time::{Duration, Instant},
};

const LIMIT: u64 = 12 << 20;

fn run(program: &str, args: &[&str]) -> Result<Output> {
    Ok(Command::new(program).args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output()?)
}

fn surefoot(args: &[&str]) -> Result<String> {
    let output = run(&place::surefoot()?.display().to_string(), args)?;
    ensure!(output.status.success(), "surefoot {}: {output:?}", args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn it_is_one_small_static_file() -> Result<()> {
    let program = place::surefoot()?;
    let size = fs::metadata(&program)?.len();
    ensure!(size <= LIMIT, "{size} bytes are more than {LIMIT}");
    let bytes = fs::read(&program)?;
    // ELF, 64 bits, little endian; a shared object, as position independent programs are.
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01") && bytes[16] == 3, "not position independent");
    let said = run("ldd", &[&program.display().to_string()])?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    ensure!(said.contains("statically linked"), "{said}");
    ensure!(!bytes.windows(7).any(|at| at == b".symtab"), "not stripped");
    Ok(())
}

#[test]
fn it_runs_in_an_empty_folder() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::copy(place::surefoot()?, folder.path().join("surefoot"))?;
    let root = folder.path().display().to_string();
    for (args, wanted) in [
        (["--version"].as_slice(), "surefoot "),
        (&["blueprint", "validate", "services"], "services 1.0 is valid"),
        (&["completions", "bash"], "complete -F"),
    ] {
        let args: Vec<&str> = [root.as_str(), "/surefoot"].into_iter().chain(args.iter().copied()).collect();
        let output = run("chroot", &args)?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains(wanted), "{args:?}: {output:?}");
    }
    // What it cannot know there, it says.
    let output = run("chroot", &[&root, "/surefoot", "facts"])?;
    ensure!(output.status.code().is_some_and(|code| (10..70).contains(&code)), "{output:?}");
    assert_eq!(fs::read_dir(folder.path())?.count(), 1, "it left something there");
    Ok(())
}

#[test]
fn it_starts_at_once() -> Result<()> {
    let program = place::surefoot()?.display().to_string();
    let time = || -> Result<Duration> {
        let started = Instant::now();
        run(&program, &["--version"])?;
        Ok(started.elapsed())
    };
    // The best of many: the machine does other things, too.
    let best = (0..100).map(|_| time()).collect::<Result<Vec<_>>>()?.into_iter().min();
    ensure!(best < Some(Duration::from_millis(10)), "{best:?}");
    Ok(())
}

#[test]
fn built_in_blueprints_are_what_the_schema_says() -> Result<()> {
    let schema: serde_json::Value = serde_json::from_str(&surefoot(&["blueprint", "schema"])?)?;
    let valid = jsonschema::validator_for(&schema).map_err(|error| anyhow::anyhow!("{error}"))?;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("blueprints");
    let mut seen = 0;
    for entry in fs::read_dir(folder)? {
        let Ok(text) = fs::read_to_string(entry?.path().join("blueprint.toml")) else { continue };
        let blueprint: serde_json::Value = toml::from_str(&text)?;
        let wrong: Vec<String> = valid.iter_errors(&blueprint).map(|error| error.to_string()).collect();
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        for break_it in ["unknown", "step"] {
            let mut other = blueprint.clone();
            other[break_it] = serde_json::json!([{ "id": "x", "kind": "no-such-kind" }]);
            ensure!(!valid.is_valid(&other), "the schema takes anything for '{break_it}'");
        }
        seen += 1;
    }
    let listed: serde_json::Value = serde_json::from_str(&surefoot(&["blueprint", "list", "--output", "json"])?)?;
    assert_eq!(listed.as_array().map(Vec::len), Some(seen));
    Ok(())
}

#[test]
fn help_can_be_worked_from() -> Result<()> {
    let help = surefoot(&["--help"])?;
    for wanted in ["Exit codes:", " 26  service ", "130  stopped by SIGINT", "SUREFOOT_OUTPUT", "blueprint list"] {
        ensure!(help.contains(wanted), "{wanted:?} is missing:\n{help}");
    }
    for command in ["install", "plan", "log", "uninstall"] {
        let help = surefoot(&["help", command])?;
        ensure!(help.contains("Examples:") && help.contains(&format!("surefoot {command}")), "{help}");
        ensure!(help.lines().all(|line| line.chars().count() <= 120), "{help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        ensure!(surefoot(&["completions", shell])?.contains("set-file"), "{shell}");
    }
    Ok(())
}

//! Programs on the machine that the lab runs on.

use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

/// Runs a program and returns its standard output.
///
/// # Errors
/// When it cannot be started or does not exit 0; the error carries both streams.
pub fn tool<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(args);
    output(&mut command)
}

/// Runs a prepared command, standard input from nowhere, and returns its standard output.
///
/// # Errors
/// When it cannot be started or does not exit 0; the error carries both streams.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .with_context(|| format!("cannot run `{shown}`"))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("`{shown}`: {}\n{stdout}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(stdout)
}

/// Runs a program and returns its standard output as it is.
///
/// # Errors
/// When it cannot be started or does not exit 0.
pub fn tool_bytes<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.args(args);
    let shown = shown(&command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}`: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

/// True when the program exits 0; its output is thrown away.
pub fn succeeds<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Feeds a program on its standard input and returns its standard output.
///
/// # Errors
/// When it cannot be started or does not exit 0.
pub fn fed<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>, input: &[u8]) -> Result<String> {
    let mut file = tempfile::tempfile()?;
    std::io::Write::write_all(&mut file, input)?;
    std::io::Seek::rewind(&mut file)?;
    let mut command = Command::new(program);
    command.args(args);
    let shown = shown(&command);
    let output =
        command.stdin(file).env("LC_ALL", "C.UTF-8").output().with_context(|| format!("cannot run `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}`: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

//! Fetching a single file the way apt fetches: with its proxies, its certificates and its errors.

use std::path::Path;

use anyhow::Result;

use super::said::{advice, blame, classify, complaints};
use super::{FETCH_LIMIT, FETCHING, retried};
use crate::{Class, Command, Fault, Host, files};

/// Where apt keeps the helper that fetches for package scripts.
pub(super) const HELPER: &str = "/usr/lib/apt/apt-helper";

/// What stands at `url`.
///
/// # Errors
/// Where it cannot be fetched: of the class that apt's complaints tell (`dns`, `http`, `proxy`, `tls`, `disk`).
pub fn fetch(host: &Host, url: &str) -> Result<Vec<u8>> {
    // Outside of the folders that apt reads, and gone with the next boot.
    let scratch = Path::new("/run/surefoot").join(format!("keyring-{}", std::process::id()));
    let mut fetched = Vec::new();
    retried(host, &format!("fetching {url}"), || {
        fetched = fetch_once(host, url, &scratch)?;
        Ok(())
    })?;
    Ok(fetched)
}

fn fetch_once(host: &Host, url: &str, scratch: &Path) -> Result<Vec<u8>> {
    let options = FETCHING.iter().flat_map(|option| ["-o", option]);
    let helper = Command::new(HELPER)
        .args(host.runner.network().apt_options().iter().copied())
        .args(options)
        .args(["download-file", url])
        .arg(scratch.display().to_string());
    let output = helper.limit(FETCH_LIMIT).output(&host.runner)?;
    let fetched = files::read(scratch)?;
    files::remove(scratch)?;
    if let Some(bytes) = fetched.filter(|_| output.ok()) {
        return Ok(bytes);
    }
    let complaints = complaints(&output);
    let class = classify(&complaints, &[]).unwrap_or(Class::Http);
    let evidence = if complaints.is_empty() { output.tail.clone() } else { complaints };
    let fault = Fault::new(class, format!("{url} cannot be fetched")).evidence(evidence).command(output.ran);
    let fault = fault.advice(advice(class, &output.tail));
    Err(blame(fault, &host.runner.network().proxy_hosts()).into())
}

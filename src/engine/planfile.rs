//! A plan in a file: `plan --out`, and `install --plan`, which refuses when the plan is no longer that one.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Result;
use distro::{Class, Fault, failure::io_fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Plan;
use super::store;

/// Version of the file's format.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct PlanFile {
    format: u32,
    product: String,
    /// The blueprint that it was made from: a built-in one, or an absolute path.
    blueprint: String,
    /// Hexadecimal; keys the digest, so that the file tells nobody what the plan's secrets are.
    salt: String,
    digest: String,
    /// For people: what the plan said when it was made.
    plan: Value,
}

/// Writes `plan` to `path`, 0600.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, product: &str, blueprint: &str, plan: &Plan, told: Value) -> Result<()> {
    let mut salt = [0; 16];
    store::random(&mut salt)?;
    let file = PlanFile {
        format: FORMAT,
        product: product.to_owned(),
        blueprint: blueprint.to_owned(),
        salt: salt.iter().map(|byte| format!("{byte:02x}")).collect(),
        digest: String::new(),
        plan: told,
    };
    let file = PlanFile { digest: plan.digest(file.salt.as_bytes()), ..file };
    let text = format!("{}\n", serde_json::to_string_pretty(&file)?);
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .map_err(|error| io_fault(&error, "write the plan", path))?;
    Ok(())
}

/// The blueprint that the plan in `path` was made from.
///
/// # Errors
/// Class `usage`, where the file is not a plan.
pub fn blueprint(path: &Path) -> Result<String> {
    Ok(read(path)?.blueprint)
}

fn read(path: &Path) -> Result<PlanFile> {
    let text = std::fs::read_to_string(path).map_err(|error| io_fault(&error, "read the plan", path))?;
    let file: PlanFile = serde_json::from_str(&text).map_err(|error| {
        Fault::new(Class::Usage, format!("{} is not a plan: {error}", path.display()))
            .advice("make one with surefoot plan --out FILE")
    })?;
    if file.format > FORMAT {
        return Err(Fault::new(
            Class::Usage,
            format!("{} has format {}, newer than this surefoot knows", path.display(), file.format),
        )
        .advice("make it again with this version: surefoot plan --out FILE")
        .into());
    }
    Ok(file)
}

/// Refuses a plan that is not the one in `path`.
///
/// # Errors
/// Class `usage`, where the file is not a plan of this product; class `conflict`, where the plan is another one now.
pub fn refuse_other(path: &Path, product: &str, plan: &Plan) -> Result<()> {
    let file = read(path)?;
    if file.product != product {
        return Err(Fault::new(
            Class::Usage,
            format!("{} is a plan for '{}', not for '{product}'", path.display(), file.product),
        )
        .advice("name the product that the plan was made for")
        .into());
    }
    if plan.digest(file.salt.as_bytes()) != file.digest {
        return Err(Fault::new(Class::Conflict, format!("the plan is no longer the one in {}", path.display()))
            .evidence(["the host, the inputs or the blueprint changed since it was made"])
            .advice("look at the new one with surefoot plan, and make the file again")
            .into());
    }
    Ok(())
}

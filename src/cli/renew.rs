//! `surefoot renew`: what the timer of a certificate runs.

use std::path::Path;

use anyhow::Result;
use distro::network::{self, Network};
use distro::{Class, Fault, files};
use steps::resources::acme_certificate::Request;

use super::context::{Context, need_root};
use super::network::stored;
use crate::engine::event::now;
use crate::engine::lock::Lock;
use crate::engine::store::Store;

/// Runs it.
///
/// # Errors
/// Class `state`, where `file` is not what an install wrote; where the authority does not renew the certificate, or nginx does not take it
/// up.
pub fn run(context: &Context, file: &Path) -> Result<i32> {
    let host = context.host()?;
    need_root(&host, "renewing a certificate")?;
    let request = read(file)?;
    let setting = stored(&Store::new(&request.product))?.unwrap_or_default();
    let network = Network::new(&setting, &network::own_names(&host.facts)?)?;
    for secret in network.secrets() {
        context.redactor.learn(&secret);
    }
    host.runner.use_network(network);
    let mut lock = None;
    let done = request.renew(&host, || {
        lock = Some(Lock::take(&format!("renewal, {}", now()), &request.product)?);
        Ok(())
    })?;
    context.print(&format!("{}\n", done.unwrap_or_else(|| "the certificate need not be renewed yet".to_owned())));
    Ok(0)
}

fn read(file: &Path) -> Result<Request, Fault> {
    let fault = |why: String| {
        Fault::new(Class::State, format!("{}: {why}", file.display()))
            .advice("run surefoot install once more for its product, which writes it anew")
    };
    let bytes =
        files::read(file).map_err(|error| fault(error.to_string()))?.ok_or_else(|| fault("there is none".into()))?;
    serde_json::from_slice(&bytes).map_err(|error| fault(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_install_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.renewal");
        let text = r#"{"product": "shop", "directory": "https://ca/", "names": ["a"], "account": "/a", "certificate": "/c", "key": "/k",
            "webroot": "/w"}"#;
        for (content, wanted) in
            [(Some(text), Ok("shop")), (Some("{}"), Err("missing field `product`")), (None, Err("there is none"))]
        {
            std::fs::remove_file(&path).ok();
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            match (read(&path), wanted) {
                (Ok(request), Ok(product)) => assert_eq!(request.product, product),
                (Err(fault), Err(part)) => {
                    assert!(fault.class == Class::State && fault.message.contains(part), "{fault}")
                }
                (found, _) => panic!("{content:?}: {found:?}"),
            }
        }
    }
}

//! `wait`: goes on when a port, a URL or a socket answers.

use std::time::Duration;

use anyhow::Result;
use distro::{Class, Fault, net};
use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;
use super::value::Turn;
use super::{Context, Kind};
use crate::Resource;
use crate::resources::wait::{Wait, What};

/// How long is waited where the step does not say.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until something answers, before the next step: one of `port`, `url` and `socket`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// TCP port that has to accept connections.
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// Name or address of the host whose port it is; this host, where it is not given.
    host: Option<String>,
    /// `http` or `https` URL that has to answer.
    url: Option<String>,
    /// Status codes that are an answer of the URL; every one below 400, where none are given.
    #[serde(default)]
    status: Vec<u16>,
    /// Take every certificate, for a service of this host that is asked under another name than its certificate's.
    #[serde(default)]
    any_certificate: bool,
    /// Path of a socket file that has to accept connections.
    socket: Option<String>,
    /// How long to wait, 30 s where it is not given.
    limit: Option<Span>,
    /// When it is waited for.
    #[serde(default)]
    stage: Turn,
}

impl Kind for Settings {
    const NAME: &'static str = "wait";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let refused = |why: &str| Fault::new(Class::Blueprint, format!("step '{}': {why}", cx.step()));
        let what = match (self.port, self.url, self.socket) {
            (Some(0), None, None) => return Err(refused("there is no port 0").into()),
            (Some(port), None, None) => {
                What::Port { host: self.host.clone().unwrap_or_else(|| "127.0.0.1".into()), port }
            }
            (None, Some(url), None) => {
                if cx.has_secret(&url) {
                    return Err(refused("'url' has a secret in it, and it is shown and logged").into());
                }
                net::split_url(&url).map_err(|error| refused(&format!("'url': {error}")))?;
                What::Url { url, status: self.status.clone(), any_certificate: self.any_certificate }
            }
            (None, None, Some(path)) if path.starts_with('/') => What::Socket { path: path.into() },
            (None, None, Some(path)) => {
                return Err(refused(&format!("'socket' is not an absolute path: '{path}'")).into());
            }
            _ => {
                let fault = refused("give one of 'port', 'url' and 'socket'");
                return Err(fault.advice("one step waits for one thing; write a step for each").into());
            }
        };
        if self.host.is_some() && !matches!(what, What::Port { .. }) {
            return Err(refused("'host' goes with 'port' only").into());
        }
        if (!self.status.is_empty() || self.any_certificate) && !matches!(what, What::Url { .. }) {
            return Err(refused("'status' and 'any_certificate' go with 'url' only").into());
        }
        let limit = self.limit.map_or(LIMIT, |span| span.0);
        Ok(vec![Box::new(Wait { what, limit, stage: self.stage.into() })])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expand(settings: serde_json::Value) -> Result<Vec<Box<dyn Resource>>> {
        crate::kinds::testing::Step::new("ready").expand::<Settings>(settings)
    }

    #[test]
    fn settings_and_what_is_waited_for() {
        for (settings, wanted) in [
            (json!({"port": 6379}), r#"Port { host: "127.0.0.1", port: 6379 }, limit: 30s"#),
            (json!({"port": 80, "host": "::1", "limit": "2 min"}), r#"Port { host: "::1", port: 80 }, limit: 120s"#),
            (json!({"socket": "/run/x", "limit": "500 ms"}), r#"Socket { path: "/run/x" }, limit: 500ms"#),
            (
                json!({"url": "https://localhost/", "status": [200, 401], "any_certificate": true}),
                r#"Url { url: "https://localhost/", status: [200, 401], any_certificate: true }, limit: 30s"#,
            ),
        ] {
            let resources = expand(settings).unwrap();
            assert_eq!(format!("{resources:?}"), format!("[Wait {{ what: {wanted}, stage: Configure }}]"));
        }
    }

    #[test]
    fn settings_that_contradict_each_other() {
        for (settings, wanted) in [
            (json!({}), "give one of 'port', 'url' and 'socket'"),
            (json!({"port": 1, "socket": "/x"}), "give one of 'port', 'url' and 'socket'"),
            (json!({"port": 0}), "there is no port 0"),
            (json!({"socket": "x"}), "'socket' is not an absolute path: 'x'"),
            (json!({"url": "ftp://x/"}), "'url': 'ftp://x/' is not an http or https URL"),
            (json!({"url": "http://x/?key=hunter2"}), "'url' has a secret in it, and it is shown and logged"),
            (json!({"url": "http://x/", "host": "y"}), "'host' goes with 'port' only"),
            (json!({"port": 1, "status": [200]}), "'status' and 'any_certificate' go with 'url' only"),
        ] {
            let error = expand(settings).unwrap_err();
            assert_eq!(Fault::class_of(&error), Class::Blueprint);
            assert_eq!(error.to_string(), format!("step 'ready': {wanted}"));
        }
    }
}

//! `http`: a conversation with a service of the host.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use distro::{net, services};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::units::Span;
use super::value::AbsolutePath;
use super::{Context, Kind, refused};
use crate::Resource;
use crate::resources::http::{Http, Request};

/// How long all of it may take, where the step does not say.
const LIMIT: Duration = Duration::from_secs(60);

/// Requests to a service of this host that have to be answered as expected. Where those of `look` are not, `command` is run, those of `act`
/// are sent, and then those of `look` again. Every certificate is good. What was answered once is remembered for as long as none of `units`
/// is started anew.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where: scheme, name and port, `https://shop.example.org:8443`. Whatever address the name has elsewhere, it is this host's that is asked.
    url: String,
    /// Requests that only look (and log in), in order.
    #[schemars(length(min = 1))]
    look: Vec<Asked>,
    /// Requests that do something, in order.
    #[serde(default)]
    act: Vec<Asked>,
    /// Program with arguments that makes the answers be as expected.
    #[serde(default)]
    command: Vec<String>,
    /// Services that answer.
    #[serde(default)]
    units: Vec<String>,
    /// Package: a new version of it makes `command` and `act` be done again.
    package: Option<String>,
    /// Files and folders: when their content changes, `command` and `act` are done again.
    #[serde(default)]
    config: Vec<AbsolutePath>,
    /// How long all of it may take, 1 min where it is not given.
    limit: Option<Span>,
}

/// A request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Path with its query. `<NAME>` stands for what an earlier answer of the same list had, also in `headers` and `json`.
    path: String,
    /// Method.
    #[serde(default = "get")]
    method: String,
    /// User who logs in (Basic), with `password`.
    user: Option<String>,
    /// The user's password.
    password: Option<String>,
    /// Headers by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Document that is sent, as JSON. Without it: none.
    json: Option<Value>,
    /// Status codes that are good; every one below 400, where none are given.
    #[serde(default)]
    status: Vec<u16>,
    /// Text that has to stand in the answer.
    contains: Option<String>,
    /// Values that have to stand in the document that is answered, by JSON pointer: `{ "/0/status" = "done" }`.
    #[serde(default)]
    expect: BTreeMap<String, Value>,
    /// Texts of that document that later requests need: names with JSON pointers, `{ token = "/token" }`.
    #[serde(default)]
    keep: BTreeMap<String, String>,
    /// Is it sent again until the answer is as expected? Only when something is done.
    #[serde(default)]
    wait: bool,
    /// Does the answer go on and on, as that of a stream of events? Then only its status counts.
    #[serde(default)]
    endless: bool,
}

fn get() -> String {
    "GET".to_owned()
}

impl Kind for Settings {
    const NAME: &'static str = "http";

    fn expand(self, cx: &dyn Context) -> Result<Vec<Box<dyn Resource>>> {
        let no = |what: &str, advice: &str| Err(refused(cx, what, advice));
        if self.look.is_empty() {
            return no("'look' is empty", "give the requests that show that it is in place");
        }
        net::split_url(&self.url)
            .map_err(|error| refused(cx, &format!("'url': {error}"), "write it as https://name"))?;
        if self.url.ends_with('/') || cx.has_secret(&self.url) {
            return no(
                "'url' ends in a slash, or has a secret in it",
                "write it as https://name, and paths for themselves",
            );
        }
        if self.command.iter().any(|word| cx.has_secret(word)) {
            return no(
                "'command' has a secret in it, and everybody can see arguments",
                "let it read the secret from a file",
            );
        }
        let requests = |list: Vec<Asked>| list.into_iter().map(|asked| asked.request(cx)).collect::<Result<Vec<_>>>();
        Ok(vec![Box::new(Http {
            name: cx.step().to_owned(),
            url: self.url,
            look: requests(self.look)?,
            command: self.command,
            act: requests(self.act)?,
            units: self.units.iter().map(|unit| services::full_name(unit)).collect(),
            package: self.package,
            config: self.config.into_iter().map(|AbsolutePath(path)| path.into()).collect(),
            limit: self.limit.map_or(LIMIT, |span| span.0),
            done: Cell::new(false),
        })])
    }
}

impl Asked {
    fn request(self, cx: &dyn Context) -> Result<Request> {
        let no = |what: String, advice: &str| Err(refused(cx, &what, advice));
        if !self.path.starts_with('/') || self.path.contains(char::is_whitespace) || cx.has_secret(&self.path) {
            return no(
                "a 'path' does not begin with a slash, or has a blank or a secret in it".to_owned(),
                "write it as /a?b=c",
            );
        }
        if let Some(pointer) =
            self.expect.keys().chain(self.keep.values()).find(|key| !key.is_empty() && !key.starts_with('/'))
        {
            return no(format!("'{pointer}' is no JSON pointer"), "write it as \"/0/status\"");
        }
        let login = match (self.user, self.password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some((user, password)),
            _ => return no("'user' and 'password' go together".to_owned(), "give both, or none"),
        };
        Ok(Request {
            method: self.method,
            path: self.path,
            login,
            headers: self.headers,
            json: self.json,
            status: self.status,
            contains: self.contains,
            expect: self.expect,
            keep: self.keep,
            wait: self.wait,
            endless: self.endless,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::{Step, names};

    #[test]
    fn a_conversation() {
        let look = json!([{"path": "/a", "user": "eve", "password": "hunter2", "keep": {"t": "/t"}}]);
        let settings = json!({"url": "https://a:8443", "look": look, "units": ["shop"], "command": ["/bin/x"]});
        let resources = Step::new("works").expand::<Settings>(settings).unwrap();
        assert_eq!(names(&resources), ["http works"]);
        assert_eq!(resources[0].units(), ["shop.service"]);
        assert!(!format!("{resources:?}").contains("hunter2"));
    }

    #[test]
    fn settings_that_cannot_be_meant() {
        let with = |request: Value| json!({"url": "http://a", "look": [request]});
        for (settings, wanted) in [
            (json!({"url": "http://a", "look": []}), "'look' is empty"),
            (json!({"url": "a", "look": [{"path": "/"}]}), "'url': the URL is not valid: relative URL without a base"),
            (json!({"url": "http://a/", "look": [{"path": "/"}]}), "'url' ends in a slash, or has a secret in it"),
            (
                json!({"url": "http://a", "look": [{"path": "/"}], "command": ["x", "hunter2"]}),
                "'command' has a secret in it, and everybody can see arguments",
            ),
            (with(json!({"path": "a"})), "a 'path' does not begin with a slash, or has a blank or a secret in it"),
            (
                with(json!({"path": "/hunter2"})),
                "a 'path' does not begin with a slash, or has a blank or a secret in it",
            ),
            (with(json!({"path": "/", "keep": {"a": "b"}})), "'b' is no JSON pointer"),
            (with(json!({"path": "/", "user": "a"})), "'user' and 'password' go together"),
        ] {
            let error = Step::new("works").expand::<Settings>(settings).unwrap_err();
            assert_eq!(error.to_string(), format!("step 'works': {wanted}"));
        }
    }
}

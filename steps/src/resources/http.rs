//! A conversation over HTTP with a service of this host.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use distro::net::{HttpAnswer, Question, http_question};
use distro::patience::pause;
use distro::{Class, Command, Fault};
use serde_json::{Value, json};

use super::service::read_config;
use crate::{Change, Claim, Cx, Probe, Resource, Stage, Undo};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to rest before something is asked again.
const INTERVAL: Duration = Duration::from_millis(100);
/// What a proxy answers for a server that does not run yet.
const NOT_YET: [u16; 3] = [502, 503, 504];

/// One request, and what has to come of it. `<name>` in path, headers and document stands for what an earlier answer had.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// Path with its query.
    pub path: String,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Document to send.
    pub json: Option<Value>,
    /// Status codes that are good; empty: every one below 400.
    pub status: Vec<u16>,
    /// What has to stand in the body.
    pub contains: Option<String>,
    /// What has to stand where in the document that is answered: values by JSON pointer.
    pub expect: BTreeMap<String, Value>,
    /// What later requests need of the answer: JSON pointers by name.
    pub keep: BTreeMap<String, String>,
    /// Is it asked again until the answer is as expected?
    pub wait: bool,
    /// Does the answer go on and on?
    pub endless: bool,
}

/// Requests that have to be answered as expected.
pub struct Http {
    /// Which one of the step's.
    pub name: String,
    /// `https://host:port`.
    pub url: String,
    /// They only look: where all of them are answered, it is in place.
    pub look: Vec<Request>,
    /// Program with arguments that is run before `act`.
    pub command: Vec<String>,
    /// They do something, where it is not in place.
    pub act: Vec<Request>,
    /// Units that answer: as long as none was started anew, what was answered once needs not be asked again.
    pub units: Vec<String>,
    /// Package whose new version makes everything be done anew.
    pub package: Option<String>,
    /// Files and folders whose new content makes everything be done anew.
    pub config: Vec<PathBuf>,
    /// How long all of it may take.
    pub limit: Duration,
    /// Was everything done just now? What was remembered before that is of no interest then.
    pub done: Cell<bool>,
}

/// Why a request is not answered as expected.
struct No {
    class: Class,
    why: String,
    evidence: Vec<String>,
}

impl Http {
    fn proof(&self, cx: &Cx<'_>, version: &str, stamps: &[String]) -> Result<String> {
        let mut parts = format!("{} {:?} {:?} {:?} {version} {stamps:?}", self.url, self.look, self.command, self.act);
        for unit in &self.units {
            parts.push_str(&format!(" {}", cx.look.unit(unit)?.invocation));
        }
        Ok(cx.digest(parts.as_bytes()))
    }

    fn version(&self, cx: &Cx<'_>) -> Result<String> {
        let Some(name) = &self.package else { return Ok(String::new()) };
        Ok(cx.look.package(name)?.map(|package| package.version).unwrap_or_default())
    }

    fn change(&self, why: &str) -> Probe {
        let what = match self.command.split_first() {
            Some((program, _)) => format!("run {}", program.rsplit('/').next().unwrap_or(program)),
            None => "try it".to_owned(),
        };
        Probe::Changes(vec![Change::new("requests", format!("{what} ({why})"), Undo::Nothing)])
    }

    /// All of `requests`, until `end` where there is one: then a server may take its time to come up.
    fn ask(&self, requests: &[Request], end: Option<Instant>) -> Result<Result<(), No>> {
        let mut kept = BTreeMap::new();
        for request in requests {
            loop {
                let (patient, asked) = self.one(request, &mut kept)?;
                let Err(no) = asked else { break };
                if !patient || end.is_none_or(|end| Instant::now() >= end) {
                    return Ok(Err(no));
                }
                pause(INTERVAL);
            }
        }
        Ok(Ok(()))
    }

    /// One request: was it answered as expected, and is it worth asking again?
    fn one(&self, request: &Request, kept: &mut BTreeMap<String, String>) -> Result<(bool, Result<(), No>)> {
        let url = format!("{}{}", self.url, filled(&request.path, kept));
        let headers: Vec<(String, String)> =
            request.headers.iter().map(|(name, value)| (name.clone(), filled(value, kept))).collect();
        let json = request.json.as_ref().map(|json| filled_in(json, kept));
        let question = Question {
            method: &request.method,
            url: &url,
            login: request.login.as_ref().map(|(user, password)| (user.as_str(), password.as_str())),
            headers: &headers,
            json: json.as_ref(),
            endless: request.endless,
        };
        // What is filled in may be a secret, so the request is told as it was written.
        let asked = format!("{} {}{}", request.method, self.url, request.path);
        Ok(match http_question(&question, ANSWER)? {
            Err(silence) => {
                let why = format!("{asked}: {silence}");
                (true, Err(No { class: silence.class(), why, evidence: Vec::new() }))
            }
            Ok(answer) => {
                let patient = request.wait || NOT_YET.contains(&answer.status);
                (patient, judge(request, &asked, &answer, kept))
            }
        })
    }
}

/// Is the answer as expected? Then what later requests need of it is kept.
fn judge(request: &Request, asked: &str, answer: &HttpAnswer, kept: &mut BTreeMap<String, String>) -> Result<(), No> {
    let status = answer.status;
    let good = if request.status.is_empty() { status < 400 } else { request.status.contains(&status) };
    let no = |class, why: String, evidence| Err(No { class, why: format!("{asked}: {why}"), evidence });
    let text = String::from_utf8_lossy(&answer.body);
    if !good {
        let class = if matches!(status, 401 | 403) { Class::Login } else { Class::Service };
        return no(class, format!("status {status}"), first_line(&text));
    }
    if let Some(wanted) = &request.contains
        && !text.contains(wanted.as_str())
    {
        return no(Class::Service, format!("'{wanted}' is not in the answer"), first_line(&text));
    }
    if request.expect.is_empty() && request.keep.is_empty() {
        return Ok(());
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        return no(Class::Service, "the answer is no JSON".to_owned(), first_line(&text));
    };
    for (pointer, wanted) in &request.expect {
        match document.pointer(pointer) {
            Some(found) if found == wanted => {}
            Some(found @ (Value::Array(_) | Value::Object(_))) => {
                return no(Class::Service, format!("{pointer} is not {wanted}"), vec![cut(&found.to_string())]);
            }
            Some(found) => return no(Class::Service, format!("{pointer} is {found}, not {wanted}"), Vec::new()),
            None => return no(Class::Service, format!("there is no {pointer} in the answer"), Vec::new()),
        }
    }
    for (name, pointer) in &request.keep {
        let Some(value) = document.pointer(pointer).and_then(Value::as_str) else {
            return no(Class::Service, format!("there is no text at {pointer} in the answer"), Vec::new());
        };
        kept.insert(name.clone(), value.to_owned());
    }
    Ok(())
}

fn first_line(text: &str) -> Vec<String> {
    text.lines().find(|line| !line.trim().is_empty()).map(cut).into_iter().collect()
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// `text` with what was kept in place of `<name>`.
fn filled(text: &str, kept: &BTreeMap<String, String>) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value))
}

fn filled_in(json: &Value, kept: &BTreeMap<String, String>) -> Value {
    match json {
        Value::String(text) => Value::String(filled(text, kept)),
        Value::Array(list) => list.iter().map(|one| filled_in(one, kept)).collect(),
        Value::Object(table) => table.iter().map(|(key, one)| (key.clone(), filled_in(one, kept))).collect(),
        other => other.clone(),
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("name", &self.name).field("url", &self.url).finish_non_exhaustive()
    }
}

impl Resource for Http {
    fn sort(&self) -> &'static str {
        "http"
    }

    fn key(&self) -> String {
        self.name.clone()
    }

    fn stage(&self) -> Stage {
        Stage::Configure
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn units(&self) -> Vec<String> {
        self.units.clone()
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        for unit in &self.units {
            let found = cx.look.unit(unit)?;
            if !found.exists {
                return Ok(Probe::Pending(format!("unit {unit}")));
            }
            if !found.active {
                return Ok(self.change(&format!("{unit} does not run")));
            }
        }
        let version = self.version(cx)?;
        let config = match read_config(cx.key, &self.config, "") {
            Err(_) if !cx.host.root => return Ok(Probe::Hidden(format!("what {} answers", self.url))),
            config => config?,
        };
        // Somebody may have used a file that was another for a while.
        let proof = self.proof(cx, &version, &config.stamps)?;
        let seen = cx.memory.seen(cx.id);
        let in_place = || Probe::InPlace(json!({ "proof": proof, "version": version, "config": config.digest }));
        if seen.and_then(|seen| seen["proof"].as_str()) == Some(&proof) {
            return Ok(in_place());
        }
        if !cx.host.root {
            return Ok(Probe::Hidden(format!("what {} answers", self.url)));
        }
        let last = |part: &str| seen.and_then(|seen| seen[part].as_str()).filter(|_| !self.done.get());
        if let Some(old) = last("version").filter(|old| *old != version) {
            return Ok(self.change(&format!("version {version} in place of {old}")));
        }
        if last("config").is_some_and(|old| old != config.digest) {
            return Ok(self.change("its files are others now"));
        }
        Ok(match self.ask(&self.look, None)? {
            Ok(()) => in_place(),
            Err(no) => self.change(&no.why),
        })
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        let end = Instant::now() + self.limit;
        if let Some((program, args)) = self.command.split_first() {
            let what = format!("running {program}");
            Command::new(program).args(args.iter().cloned()).limit(self.limit).run(
                &cx.host.runner,
                Class::Host,
                &what,
            )?;
        }
        for requests in [&self.act, &self.look] {
            if let Err(no) = self.ask(requests, Some(end))? {
                let units = self.units.iter().map(|unit| format!("see `journalctl -u {unit}`"));
                return Err(Fault::new(no.class, no.why)
                    .evidence(no.evidence)
                    .advice(units.collect::<Vec<_>>().join(", ") + ", then run again with --resume")
                    .into());
            }
        }
        self.done.set(true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            method: "GET".into(),
            path: "/a".into(),
            login: None,
            headers: BTreeMap::new(),
            json: None,
            status: Vec::new(),
            contains: None,
            expect: BTreeMap::new(),
            keep: BTreeMap::new(),
            wait: false,
            endless: false,
        }
    }

    #[test]
    fn answers_as_expected_and_others() {
        let expect =
            |pointer: &str, value: Value| Request { expect: [(pointer.to_owned(), value)].into(), ..request() };
        let keep = |pointer: &str| Request { keep: [("x".to_owned(), pointer.to_owned())].into(), ..request() };
        let status = |status| Request { status: vec![status], ..request() };
        let contains = |text: &str| Request { contains: Some(text.into()), ..request() };
        for (request, code, body, wanted) in [
            (request(), 204, "", None),
            (request(), 500, "\noh no\n", Some("status 500 [\"oh no\"]")),
            (status(401), 401, "", None),
            (status(200), 201, "", Some("status 201 []")),
            (contains("Storm"), 200, "StackStorm", None),
            (contains("Storm"), 200, "nginx", Some("'Storm' is not in the answer [\"nginx\"]")),
            (expect("/0/a", json!("b")), 200, r#"[{"a": "b"}]"#, None),
            (expect("/0/a", json!(1)), 200, r#"[{"a": "b"}]"#, Some("/0/a is \"b\", not 1 []")),
            (expect("/0/a", json!(1)), 200, "[]", Some("there is no /0/a in the answer []")),
            (expect("", json!(1)), 200, "[]", Some(" is not 1 [\"[]\"]")),
            (expect("/a", json!(1)), 200, "<html>", Some("the answer is no JSON [\"<html>\"]")),
            (keep("/a"), 200, r#"{"a": "b"}"#, None),
            (keep("/a"), 200, r#"{"a": 1}"#, Some("there is no text at /a in the answer []")),
        ] {
            let answer =
                HttpAnswer { status: code, headers: Vec::new(), body: body.as_bytes().to_vec(), certificate: None };
            let mut kept = BTreeMap::new();
            let said = judge(&request, "GET", &answer, &mut kept).err();
            let said = said.map(|no| format!("{} {:?}", no.why.trim_start_matches("GET: "), no.evidence));
            assert_eq!(said.as_deref(), wanted, "{request:?}");
            assert_eq!(kept.len(), usize::from(wanted.is_none() && !request.keep.is_empty()));
        }
    }

    #[test]
    fn what_was_kept_is_filled_in() {
        let kept = [("id".to_owned(), "7".to_owned())].into();
        assert_eq!(filled("/a/<id>/<ID>", &kept), "/a/7/<ID>");
        assert_eq!(filled_in(&json!({"a": ["<id>", 1]}), &kept), json!({"a": ["7", 1]}));
    }
}

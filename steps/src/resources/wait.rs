//! Something that must answer before what follows: a port, a URL, a socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use distro::net::{self, Silence};
use distro::{Class, Fault, Runner, patience};
use serde_json::Value;

use crate::{Change, Claim, Cx, Endpoint, Probe, Resource, Stage, Undo};

/// How long one try may take.
const TRY_LIMIT: Duration = Duration::from_secs(2);
/// How long to rest between tries.
const INTERVAL: Duration = Duration::from_millis(100);
/// At most so often it is told that we still wait.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What has to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A TCP port that accepts connections.
    Port {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A URL that answers with one of some status codes.
    Url {
        /// `http` or `https`, without user and password: it is shown.
        url: String,
        /// Status codes that are an answer; empty: every one below 400.
        status: Vec<u16>,
        /// Is every certificate good? For services of this host under another name than the one they are made for.
        any_certificate: bool,
    },
    /// A socket file that accepts connections.
    Socket {
        /// Absolute path.
        path: PathBuf,
    },
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Port { host, port } if host.contains(':') && !host.starts_with('[') => write!(f, "[{host}]:{port}"),
            Self::Port { host, port } => write!(f, "{host}:{port}"),
            Self::Url { url, .. } => f.write_str(url),
            Self::Socket { path } => path.display().fmt(f),
        }
    }
}

/// Waits until something answers.
#[derive(Clone, Debug)]
pub struct Wait {
    /// What has to answer.
    pub what: What,
    /// How long it is waited for.
    pub limit: Duration,
    /// Verify, or configure where later resources need the answer.
    pub stage: Stage,
}

/// Why something is not answering as it should.
#[derive(Debug)]
struct No {
    class: Class,
    why: String,
    evidence: Vec<String>,
}

impl From<Silence> for No {
    fn from(silence: Silence) -> Self {
        Self { class: silence.class(), why: silence.to_string(), evidence: Vec::new() }
    }
}

impl Resource for Wait {
    fn sort(&self) -> &'static str {
        "wait"
    }

    fn key(&self) -> String {
        self.what.to_string()
    }

    fn stage(&self) -> Stage {
        self.stage
    }

    fn claims(&self) -> Vec<Claim> {
        Vec::new()
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let url = match &self.what {
            What::Port { .. } => format!("tcp://{}", self.what),
            What::Url { url, .. } => match net::split_url(url) {
                Ok((host, port)) => format!("tcp://{host}:{port}"),
                Err(_) => return Vec::new(),
            },
            What::Socket { .. } => return Vec::new(),
        };
        vec![Endpoint { url, purpose: "has to answer before an install goes on".to_owned() }]
    }

    fn probe(&self, cx: &Cx<'_>) -> Result<Probe> {
        match ask(&self.what, &cx.host.runner, TRY_LIMIT)? {
            Ok(()) => Ok(Probe::InPlace(Value::Null)),
            Err(no) if no.class == Class::Permission && !cx.host.root => {
                Ok(Probe::Hidden(format!("only root may connect to {}", self.what)))
            }
            Err(no) => {
                let summary = format!("wait until it answers ({})", no.why);
                Ok(Probe::Changes(vec![Change::new("answer", summary, Undo::Nothing)]))
            }
        }
    }

    fn apply(&self, cx: &Cx<'_>, _: &[Change]) -> Result<()> {
        self.wait(&cx.host.runner)
    }
}

impl Wait {
    /// Asks until it answers.
    ///
    /// # Errors
    /// The class of the last try (`service` where it refused or gave a wrong answer, `timeout` where it kept silent, `tls`,
    /// `dns`) where it does not answer within the limit; `interrupted` where we were asked to stop.
    fn wait(&self, runner: &Runner) -> Result<()> {
        let mut last = None;
        let mut told = None;
        let answered = patience::wait_until(self.limit, INTERVAL, |waited| {
            let left = self.limit.saturating_sub(waited).clamp(INTERVAL, TRY_LIMIT);
            let Err(no) = ask(&self.what, runner, left)? else { return Ok(Some(())) };
            // Nothing is half made by a wait, so the first request to stop ends it.
            if runner.stops() > 0 {
                return Err(Fault::new(Class::Interrupted, format!("stopped while waiting for {}", self.what))
                    .evidence([no.why])
                    .advice("go on with --resume")
                    .into());
            }
            if told.is_none_or(|at| waited.saturating_sub(at) >= TELL_EVERY) {
                let (waited, limit) = (waited.as_secs(), self.limit.as_secs());
                runner.note(&format!("waiting for {} ({}), {waited} of {limit} s", self.what, no.why));
                told = Some(Duration::from_secs(waited));
            }
            last = Some(no);
            Ok(None)
        })?;
        match (answered, last) {
            (None, Some(no)) => Err(self.fault(no).into()),
            _ => Ok(()),
        }
    }

    fn fault(&self, no: No) -> Fault {
        let advice = match self.what {
            What::Port { .. } | What::Url { .. } => {
                "find out why what should listen there does not answer (`ss -ltnp`, `systemctl --failed`, `journalctl -e`), \
                 then go on with --resume"
            }
            What::Socket { .. } => {
                "find out why what should make this socket does not answer (`systemctl --failed`, `journalctl -e`), then go on \
                 with --resume"
            }
        };
        let message = format!("{} did not answer within {} s: {}", self.what, self.limit.as_secs(), no.why);
        Fault::new(no.class, message).evidence(no.evidence).advice(advice)
    }
}

/// Does it answer?
///
/// # Errors
/// Where it cannot be asked. A name that does not resolve yet is an answer: it may, once a host or a file is there.
fn ask(what: &What, runner: &Runner, limit: Duration) -> Result<Result<(), No>> {
    let asked = match what {
        What::Port { host, port } => net::connect_host(runner, host, *port, limit).map(|to| to.map(drop)),
        What::Socket { path } => Ok(knock(path, limit)),
        What::Url { url, status, any_certificate } => match net::http_probe(runner, url, *any_certificate, limit) {
            Ok(Ok(answer)) => return Ok(judge(&answer, status)),
            other => other.map(|answer| answer.map(drop)),
        },
    };
    match asked {
        Ok(answer) => Ok(answer.map_err(No::from)),
        Err(error) => match Fault::find(&error) {
            Some(fault) if fault.class == Class::Dns => {
                Ok(Err(No { class: Class::Dns, why: fault.message.clone(), evidence: fault.evidence.clone() }))
            }
            _ => Err(error),
        },
    }
}

fn knock(path: &Path, limit: Duration) -> Result<(), Silence> {
    net::connect(&net::Endpoint::Unix(path.to_owned()), limit).map(drop)
}

/// Is the status one of the wanted ones?
fn judge(answer: &net::HttpAnswer, wanted: &[u16]) -> Result<(), No> {
    if wanted.contains(&answer.status) || (wanted.is_empty() && answer.status < 400) {
        return Ok(());
    }
    let expected = match wanted {
        [] => "below 400".to_owned(),
        some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    };
    let body = String::from_utf8_lossy(&answer.body);
    let said = body.lines().map(str::trim).filter(|line| !line.is_empty()).take(3);
    Err(No {
        class: Class::Service,
        why: format!("status {}, wanted {expected}", answer.status),
        evidence: said.map(|line| line.chars().take(200).collect()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Arc, Mutex};

    use distro::command::{Listen, Told};

    use super::*;

    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Listen for Notes {
        fn told(&self, told: Told<'_>) {
            if let Told::Line { text, .. } = told {
                self.0.lock().unwrap().push(text.to_owned());
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
    fn listen() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn port_of(listener: &TcpListener) -> What {
        What::Port { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() }
    }

    fn wait(what: What, limit_ms: u64) -> Wait {
        Wait { what, limit: Duration::from_millis(limit_ms), stage: Stage::Configure }
    }

    #[test]
    fn a_port_that_listens_is_not_waited_for() {
        let listener = listen();
        let notes = Arc::new(Notes::default());
        let runner = Runner::new(notes.clone(), Arc::default());
        wait(port_of(&listener), 5000).wait(&runner).unwrap();
        assert!(notes.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_port_that_never_listens_is_class_service_and_told() {
        let what = port_of(&listen());
        let notes = Arc::new(Notes::default());
        let runner = Runner::new(notes.clone(), Arc::default());
        let error = wait(what.clone(), 300).wait(&runner).unwrap_err();
        let fault = Fault::find(&error).unwrap();
        assert_eq!(fault.class, Class::Service);
        assert!(fault.message.starts_with(&format!("{what} did not answer")), "{}", fault.message);
        assert!(fault.message.ends_with("nothing listens there"), "{}", fault.message);
        let notes = notes.0.lock().unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with(&format!("waiting for {what} (connection refused")), "{notes:?}");
    }

    #[test]
    fn a_request_to_stop_ends_the_wait() {
        let what = port_of(&listen());
        let runner = Runner::new(Arc::new(Notes::default()), Arc::new(AtomicUsize::new(1)));
        assert_eq!(Fault::class_of(&wait(what, 60_000).wait(&runner).unwrap_err()), Class::Interrupted);
    }

    /// Makes a socket file as soon as it is told that somebody waits.
    struct Late(PathBuf, Mutex<Option<UnixListener>>);

    impl Listen for Late {
        #[expect(clippy::disallowed_methods, reason = "the other side of what is tested")]
        fn told(&self, _: Told<'_>) {
            self.1.lock().unwrap().get_or_insert_with(|| UnixListener::bind(&self.0).unwrap());
        }
    }

    #[test]
    fn a_socket_that_appears_later_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let runner = Runner::new(Arc::new(Late(path.clone(), Mutex::default())), Arc::default());
        wait(What::Socket { path: path.clone() }, 5000).wait(&runner).unwrap();
        assert!(path.exists());
    }

    #[test]
    fn a_url_is_judged_by_its_status() {
        distro::net::install_tls_provider();
        let listener = listen();
        let url = format!("http://{}/health", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                if stream.read(&mut request).is_ok_and(|read| read > 0) {
                    let reply = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 8\r\n\r\n\nwarming";
                    stream.write_all(reply).ok();
                }
            }
        });
        let url = |status: &[u16]| What::Url { url: url.clone(), status: status.to_vec(), any_certificate: false };
        wait(url(&[200, 503]), 5000).wait(&Runner::quiet()).unwrap();
        for (status, wanted) in
            [(&[][..], "status 503, wanted below 400"), (&[200, 401], "status 503, wanted 200 or 401")]
        {
            let error = wait(url(status), 200).wait(&Runner::quiet()).unwrap_err();
            let fault = Fault::find(&error).unwrap();
            assert_eq!((fault.class, fault.evidence.as_slice()), (Class::Service, &["warming".to_owned()][..]));
            assert!(fault.message.ends_with(wanted), "{}", fault.message);
        }
    }

    #[test]
    fn a_name_that_does_not_resolve_is_waited_for_and_then_class_dns() {
        // Names below `invalid` exist nowhere (RFC 6761).
        let what = What::Port { host: "no-such-host.invalid".into(), port: 80 };
        let error = wait(what, 0).wait(&Runner::quiet()).unwrap_err();
        assert_eq!(Fault::class_of(&error), Class::Dns);
    }

    #[test]
    fn keys() {
        for (what, key) in [
            (What::Port { host: "127.0.0.1".into(), port: 6379 }, "127.0.0.1:6379"),
            (What::Port { host: "::1".into(), port: 80 }, "[::1]:80"),
            (What::Socket { path: "/run/x".into() }, "/run/x"),
            (What::Url { url: "http://x/".into(), status: vec![], any_certificate: false }, "http://x/"),
        ] {
            assert_eq!(wait(what, 0).key(), key);
        }
    }
}

//! The way of the ACME library to its authority: our own client, with this host's proxies, certificates and errors.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::RootCertStore;

use crate::net::outside::{self, exchange};
use crate::{Class, Fault, Runner};

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Asks while it is called: what it gives is there already.
pub(super) struct Client {
    pub runner: Runner,
    pub roots: Arc<RootCertStore>,
}

impl Client {
    pub fn new(runner: &Runner) -> Self {
        Self { runner: runner.clone(), roots: outside::roots(&runner.network()) }
    }

    fn ask(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = request.into_parts();
        let body = now(body.collect())?.map_or_else(|never| match never {}, |body| body.to_bytes());
        let kind = parts.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        let headers: Vec<(&str, &str)> = kind.map(|kind| ("Content-Type", kind)).into_iter().collect();
        let url = parts.uri.to_string();
        let what = (parts.method.as_str(), url.as_str());
        let whole = exchange(&self.runner, &self.roots, what, &headers, &body, LIMIT)
            .map_err(|unreached| Error::Other(unreached.fault))?;
        let head = whole.head;
        // Whoever is no authority says it in another form.
        let is_json = head.all("content-type").any(|kind| kind.contains("json"));
        if head.status >= 300 && !is_json && parts.method != "HEAD" {
            return Err(Error::Other(Box::new(stranger(&url, &head.line, &whole.body))));
        }
        let mut response = Response::builder().status(head.status);
        for (name, value) in &head.headers {
            response = response.header(name.as_str(), value.as_str());
        }
        Ok(BytesResponse::from(response.body(Full::new(Bytes::from(whole.body)))?))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(std::future::ready(self.ask(request)))
    }
}

/// What a future gives that never waits: nothing here does but [`Client`], which is done when it returns.
pub(super) fn now<T>(future: impl Future<Output = T>) -> Result<T, Error> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Error::Str("an answer that is there")),
    }
}

/// An answer that is none of an ACME server.
fn stranger(url: &str, line: &str, body: &[u8]) -> Fault {
    let said = outside::page(body);
    let evidence = if said.is_empty() { Vec::new() } else { vec![format!("it says: {said}")] };
    Fault::new(Class::Http, format!("{url} answers '{line}', and not as an ACME server does"))
        .evidence(evidence)
        .advice("check the URL of the directory, and whether something answers in its place; then run it again")
}

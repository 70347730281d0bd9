//! RabbitMQ's management API on this host.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use reqwest::Method;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;

use super::Silence;
use super::http::silence;

/// How much of an answer is read.
const ANSWER_BYTES: u64 = 16 << 20;

/// A login to the API. Never goes through a proxy.
pub struct Management<'a> {
    client: Client,
    address: SocketAddr,
    user: &'a str,
    password: &'a str,
    limit: Duration,
}

impl<'a> Management<'a> {
    /// Nothing is asked yet; each answer may take `limit`.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn new(address: SocketAddr, user: &'a str, password: &'a str, limit: Duration) -> Result<Self> {
        // No certificate is ever looked at: loading authorities would cost more than all questions.
        let client =
            Client::builder().no_proxy().redirect(Policy::none()).timeout(limit).tls_danger_accept_invalid_certs(true);
        Ok(Self { client: client.build()?, address, user, password, limit })
    }

    /// The answer's status and body. `path` is what comes after `/api/`.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn get(&self, path: &str) -> Result<(u16, Vec<u8>), Silence> {
        self.ask(Method::GET, path, None)
    }

    /// Sends `body`, in JSON.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn post(&self, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), Silence> {
        self.ask(Method::POST, path, Some(body))
    }

    /// Deletes.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn delete(&self, path: &str) -> Result<(u16, Vec<u8>), Silence> {
        self.ask(Method::DELETE, path, None)
    }

    fn ask(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<(u16, Vec<u8>), Silence> {
        let url = format!("http://{}/api/{path}", self.address);
        let mut request = self.client.request(method, url).basic_auth(self.user, Some(self.password));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().map_err(|error| silence(&error, self.limit))?;
        let status = response.status().as_u16();
        let mut answer = Vec::new();
        let read = response.take(ANSWER_BYTES).read_to_end(&mut answer);
        read.map_err(|error| Silence::of(&error, self.limit))?;
        Ok((status, answer))
    }
}

//! Certificates from an authority that speaks ACME (RFC 8555). It looks on port 80 of each name for what it gave (HTTP-01).

mod client;
mod door;
mod refusal;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, Key, NewOrder, Order, OrderStatus, Problem,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use self::client::{Client, now};
use self::door::Door;
use crate::patience::wait_until;
use crate::{Class, Fault, Host};

pub use door::clear;

/// How long an authority may take to look, and to sign.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked whether it is done.
const INTERVAL: Duration = Duration::from_millis(500);

/// What is wanted of an authority.
#[derive(Clone, Copy)]
pub struct Wanted<'w> {
    /// URL of its directory. Who asks has agreed to its terms of service.
    pub directory: &'w str,
    /// Key of the account, PEM; the account is made where there is none.
    pub account: &'w str,
    /// E-mail address of whom it may write to.
    pub contact: Option<&'w str>,
    /// Names of this host.
    pub names: &'w [String],
    /// Request for the certificate ([`crate::certificate::request`]), DER.
    pub request: &'w [u8],
    /// Folder that a web server has below `/.well-known/acme-challenge/`, where one runs.
    pub webroot: &'w Path,
}

/// The certificate, with those that lead to the authority's own, PEM.
///
/// # Errors
/// Where the authority does not give it: of the class of what is in the way, with its own words.
pub fn obtain(host: &Host, wanted: &Wanted<'_>) -> Result<String> {
    let told = |error: Error| anyhow::Error::from(refusal::told(wanted, error, &[]));
    let key = || -> Result<(Key, PrivateKeyDer<'static>), Error> {
        let der = PrivateKeyDer::from_pem_slice(wanted.account.as_bytes()).map_err(|_| Error::KeyRejected)?;
        let PrivateKeyDer::Pkcs8(pkcs8) = &der else { return Err(Error::KeyRejected) };
        Ok((Key::from_pkcs8_der(pkcs8.clone_key())?, der))
    };
    let names = wanted.names.join(", ");
    host.runner.note(&format!("asking {} for a certificate for {names}", authority(wanted.directory)));
    let builder = Account::builder_with_http(Box::new(Client::new(&host.runner)));
    let made = key().and_then(|key| now(builder.create_from_key(key, wanted.directory.to_owned()))?);
    let (account, _) = made.map_err(told)?;
    if let Some(contact) = wanted.contact {
        let contact = format!("mailto:{contact}");
        now(account.update_contacts(&[&contact])).flatten().map_err(told)?;
    }
    let identifiers: Vec<Identifier> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = now(account.new_order(&NewOrder::new(&identifiers))).flatten().map_err(told)?;
    let answers = answers(&mut order).map_err(told)?;
    if !answers.is_empty() {
        let door = Door::open(host, wanted.names, answers, wanted.webroot)?;
        prove(host, wanted, &mut order, &door)?;
    }
    now(order.finalize_csr(wanted.request)).flatten().map_err(told)?;
    let signed = wait(host, &mut order, |status| status == OrderStatus::Valid)?.map_err(told)?;
    if !signed {
        return Err(late(wanted, "did not sign", &[]).into());
    }
    let chain = now(order.certificate()).flatten().map_err(told)?;
    chain.ok_or_else(|| told(Error::Str("no certificate, although the order is done")))
}

/// Lets the authority look, and waits until it has.
fn prove(host: &Host, wanted: &Wanted<'_>, order: &mut Order, door: &Door) -> Result<()> {
    let told = |error: Error| anyhow::Error::from(refusal::told(wanted, error, &door.seen()));
    ready(order).map_err(told)?;
    host.runner.note(&format!("{} looks at port 80 of this host now", authority(wanted.directory)));
    let done = wait(host, order, |status| status != OrderStatus::Pending)?.map_err(told)?;
    if !done {
        return Err(late(wanted, "did not finish looking at port 80 of this host", &door.seen()).into());
    }
    if order.state().status != OrderStatus::Invalid {
        return Ok(());
    }
    Err(match denied(order).map_err(told)? {
        Some((name, problem)) => refusal::of_name(wanted, &name, &problem, &door.seen()).into(),
        None => told(Error::Str("why it gave the order up")),
    })
}

/// Waits until the order's status is `wanted`, or it is invalid. False: the time passed.
fn wait(
    host: &Host,
    order: &mut Order,
    wanted: impl Fn(OrderStatus) -> bool,
) -> Result<std::result::Result<bool, Error>> {
    let mut failed = None;
    let done = wait_until(PATIENCE, INTERVAL, |_| {
        if host.runner.stops() >= 2 {
            let fault = Fault::new(Class::Interrupted, "stopped while a certificate was waited for");
            return Err(fault.advice("go on with --resume").into());
        }
        let status = match now(order.refresh()).flatten() {
            Ok(state) => state.status,
            Err(error) => {
                failed = Some(error);
                return Ok(Some(()));
            }
        };
        Ok((status == OrderStatus::Invalid || wanted(status)).then_some(()))
    })?;
    Ok(failed.map_or(Ok(done.is_some()), Err))
}

/// What is to be found on port 80, by its token; nothing for names that are proven already.
fn answers(order: &mut Order) -> Result<BTreeMap<String, String>, Error> {
    let mut answers = BTreeMap::new();
    let mut names = order.authorizations();
    while let Some(name) = now(names.next())? {
        let mut name = name?;
        if name.status != AuthorizationStatus::Pending {
            continue;
        }
        let challenge = name.challenge(ChallengeType::Http01).ok_or(Error::Unsupported("HTTP-01"))?;
        answers.insert(challenge.token.clone(), challenge.key_authorization().as_str().to_owned());
    }
    Ok(answers)
}

/// Tells the authority that it can look.
fn ready(order: &mut Order) -> Result<(), Error> {
    let mut names = order.authorizations();
    while let Some(name) = now(names.next())? {
        let mut name = name?;
        if name.status == AuthorizationStatus::Pending
            && let Some(mut challenge) = name.challenge(ChallengeType::Http01)
        {
            now(challenge.set_ready()).flatten()?;
        }
    }
    Ok(())
}

/// The name that the authority was not content with, and what it says of it.
fn denied(order: &mut Order) -> Result<Option<(String, Problem)>, Error> {
    let mut names = order.authorizations();
    while let Some(name) = now(names.next())? {
        let mut name = name?;
        let state = now(name.refresh()).flatten()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            return Ok(Some((state.identifier().to_string(), problem)));
        }
    }
    Ok(None)
}

/// It took too long.
fn late(wanted: &Wanted<'_>, what: &str, seen: &[String]) -> Fault {
    let message = format!("{} {what} within {} s", authority(wanted.directory), PATIENCE.as_secs());
    Fault::new(Class::Timeout, message)
        .evidence(seen.iter().cloned())
        .advice("try again later: the authority may be busy")
}

/// Host of a directory, for people.
fn authority(directory: &str) -> String {
    super::split_url(directory).map_or_else(|_| directory.to_owned(), |(host, _)| host)
}

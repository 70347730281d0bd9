//! Certificates with their keys: made, and looked at. Texts are PEM; nothing here reads or writes a file.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SerialNumber};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use webpki::{EndEntityCert, KeyUsage};

use crate::net::outside::x509;

/// How long a certificate that we make is valid: browsers take no more than 398 days.
const VALID: Duration = Duration::from_secs(397 * DAY);
/// By how much the clocks of its readers may be slow.
const SLOW_CLOCKS: Duration = Duration::from_secs(3600);
/// Longest common name (RFC 5280, `ub-common-name`).
const COMMON_NAME: usize = 64;
const DAY: u64 = 24 * 3600;
/// With less time than this left a certificate is renewed.
pub const LEFT: Duration = Duration::from_secs(30 * DAY);
/// 9999-12-31, since 1970: certificates know no later day.
const END_OF_TIME: Duration = Duration::from_secs(253_402_214_400);

/// A new key: ECDSA P-256.
///
/// # Errors
/// Where there is no randomness.
pub fn new_key() -> Result<String> {
    Ok(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?.serialize_pem())
}

/// Is `key` one of ours, [`new_key`]'s?
pub fn is_own_key(key: &str) -> bool {
    KeyPair::from_pem(key).is_ok_and(|key| key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256))
}

/// A certificate for `names` (of hosts, and addresses), signed with its own `key`.
///
/// # Errors
/// Where a name cannot be one of a certificate, or the key is not ECDSA P-256.
pub fn self_signed(names: &[String], key: &str, now: SystemTime) -> Result<String> {
    let key = KeyPair::from_pem(key)?;
    anyhow::ensure!(key.is_compatible(&rcgen::PKCS_ECDSA_P256_SHA256), "the key is not ECDSA P-256");
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = names.iter().find(|name| name.len() <= COMMON_NAME) {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Made from the key where none is given, and browsers refuse a second certificate with the same.
    params.serial_number = Some(serial()?);
    let since_epoch = now.duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let moment = rcgen::date_time_ymd(1970, 1, 1) + since_epoch;
    params.not_before = moment - SLOW_CLOCKS;
    params.not_after = moment + VALID;
    Ok(params.self_signed(&key)?.pem())
}

fn serial() -> Result<SerialNumber> {
    let mut bytes = [0; 16];
    let random = ring::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("the kernel gives no random numbers"))?;
    // Positive, and of the same length always.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

/// A request (PKCS #10, DER) that an authority signs a certificate for `names` by, with our own `key`.
///
/// # Errors
/// Where a name cannot be one of a certificate, or the key cannot sign.
pub fn request(names: &[String], key: &str) -> Result<Vec<u8>> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&KeyPair::from_pem(key)?)?.der().to_vec())
}

/// What is wrong with a certificate or its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no certificate in the text, or one that cannot be read; says why.
    Certificate(String),
    /// There is no key in the text, or none that can be used; says why.
    Key(String),
    /// The key is not that of the first certificate, but of the one with this number, counted from 1, where there is one.
    Mismatch(Option<usize>),
    /// Valid no more, since so long.
    Expired(Duration),
    /// Valid for so long only.
    Ends(Duration),
    /// Not valid yet, and for so long.
    NotYet(Duration),
    /// The certificates after the first do not lead from it to the last; says why.
    Chain(String),
    /// It is not valid for this name.
    Name(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Certificate(why) => write!(f, "no certificate can be read: {why}"),
            Flaw::Key(why) => write!(f, "no private key can be read: {why}"),
            Flaw::Mismatch(None) => f.write_str("the key is not that of the certificate"),
            Flaw::Mismatch(Some(number)) => {
                write!(f, "the key is that of certificate {number} in the file, and has to be that of the first")
            }
            Flaw::Expired(since) => write!(f, "the certificate expired {} ago", days(*since)),
            Flaw::Ends(left) => write!(f, "the certificate expires in {}", days(*left)),
            Flaw::NotYet(until) => write!(f, "the certificate is not valid for another {}", days(*until)),
            Flaw::Chain(why) => write!(f, "the certificates of the file are no chain: {why}"),
            Flaw::Name(name) => write!(f, "the certificate is not valid for '{name}'"),
        }
    }
}

/// `3 days`, `20 hours`.
fn days(time: Duration) -> String {
    let (count, unit) = match time.as_secs() {
        seconds if seconds >= 2 * DAY => (seconds / DAY, "days"),
        seconds => (seconds / 3600, "hours"),
    };
    format!("{count} {unit}")
}

/// Bytes that some editors write before a text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Why nothing of a sort can be read from a text.
fn unreadable(text: &[u8], error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => none(text),
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the line '-----END {}-----' is missing", String::from_utf8_lossy(end_marker))
        }
        other => other.to_string(),
    }
}

/// That there is nothing of a sort in a text, and what there is in its place.
fn none(text: &[u8]) -> String {
    if text.starts_with(MARK) {
        return "it begins with a byte order mark (BOM): save it without".to_owned();
    }
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return "it is in UTF-16: save it as plain text".to_owned(),
        // A sequence whose length takes one byte or two.
        [0x30, 0x81 | 0x82, ..] | [0x30, 0x77, ..] => return "it is binary (DER or PKCS #12), not PEM".to_owned(),
        _ => {}
    }
    let text = String::from_utf8_lossy(text);
    let sort = text.lines().find_map(|line| line.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----"));
    sort.map_or("there is none".to_owned(), |sort| format!("there is none, but a {sort}"))
}

/// A certificate, with those that follow it in its file.
#[derive(Debug)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
}

impl Certificate {
    /// Reads all certificates of a file.
    ///
    /// # Errors
    /// [`Flaw::Certificate`]
    pub fn parse(text: &[u8]) -> Result<Self, Flaw> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
            .collect::<Result<_, _>>()
            .map_err(|error| Flaw::Certificate(unreadable(text, &error)))?;
        // With a mark before it the first one is none, to nginx too, and the next would be taken for it.
        if chain.is_empty() || text.starts_with(MARK) {
            return Err(Flaw::Certificate(none(text)));
        }
        let certificate = Self { chain };
        certificate.leaf()?;
        Ok(certificate)
    }

    fn leaf(&self) -> Result<EndEntityCert<'_>, Flaw> {
        let first = self.chain.first().ok_or_else(|| Flaw::Certificate("there is none".to_owned()))?;
        EndEntityCert::try_from(first).map_err(|error| Flaw::Certificate(error.to_string()))
    }

    /// The first certificate, as a server shows it.
    pub fn der(&self) -> &[u8] {
        self.chain.first().map_or(&[], |first| first.as_ref())
    }

    /// Can `key` prove it?
    ///
    /// # Errors
    /// [`Flaw::Key`], [`Flaw::Mismatch`].
    pub fn check_key(&self, key: &[u8]) -> Result<(), Flaw> {
        if String::from_utf8_lossy(key).contains("ENCRYPTED") {
            return Err(Flaw::Key("it is encrypted, and nobody is there to type its passphrase".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| Flaw::Key(unreadable(key, &error)))?;
        let key = ring::sign::any_supported_type(&key)
            .map_err(|_| Flaw::Key("it is neither RSA of 2048 bits or more, nor ECDSA P-256 or P-384".to_owned()))?;
        let proves =
            |chain: &[CertificateDer<'static>]| CertifiedKey::new(chain.to_vec(), key.clone()).keys_match().is_ok();
        if proves(&self.chain) {
            return Ok(());
        }
        let at = self.chain.iter().position(|one| proves(std::slice::from_ref(one)));
        Err(Flaw::Mismatch(at.map(|at| at + 1)))
    }

    /// Is it valid at `time`?
    ///
    /// # Errors
    /// [`Flaw::Expired`], [`Flaw::NotYet`].
    pub fn check_dates(&self, time: SystemTime) -> Result<(), Flaw> {
        // Dates are looked at before anything else, so that nothing has to be trusted.
        dated(&self.leaf()?, &[], &[], time).map(drop)
    }

    /// First and last moment that it is valid.
    ///
    /// # Errors
    /// [`Flaw::Certificate`]
    pub fn validity(&self) -> Result<(SystemTime, SystemTime), Flaw> {
        let end = UNIX_EPOCH + END_OF_TIME;
        let of = |time| match self.check_dates(time) {
            Err(Flaw::NotYet(until)) => Ok(time + until),
            Err(Flaw::Expired(since)) => Ok(time - since),
            Err(other) => Err(other),
            Ok(()) => Ok(time),
        };
        Ok((of(UNIX_EPOCH)?, of(end)?))
    }

    /// Has it to be renewed at `now`? With less than 30 days left, or less than a third of its time where that is shorter.
    ///
    /// # Errors
    /// [`Flaw::Expired`], [`Flaw::Ends`], where it has to be; [`Flaw::NotYet`].
    pub fn check_left(&self, now: SystemTime) -> Result<(), Flaw> {
        self.check_dates(now)?;
        // Certificates know no parts of a second.
        let now = UNIX_EPOCH + Duration::from_secs(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let (first, last) = self.validity()?;
        let left = last.duration_since(now).unwrap_or_default();
        let least = LEFT.min(last.duration_since(first).unwrap_or_default() / 3);
        if left < least { Err(Flaw::Ends(left)) } else { Ok(()) }
    }

    /// Does it sign itself, to go by the names in it?
    pub fn signs_itself(&self) -> bool {
        x509::read(self.der()).is_some_and(|told| told.issuer == told.subject)
    }

    /// Has it the name of no host at all, but perhaps a common name, which clients do not compare any more?
    ///
    /// # Errors
    /// [`Flaw::Certificate`]
    pub fn names_no_host(&self) -> Result<bool, Flaw> {
        Ok(self.leaf()?.valid_dns_names().next().is_none())
    }

    /// Do the certificates lead from the first to the last, each signed by the next, all of them valid at `time`? The last need not be
    /// one that anybody trusts.
    ///
    /// # Errors
    /// [`Flaw::Chain`], [`Flaw::Expired`], [`Flaw::NotYet`].
    pub fn check_chain(&self, time: SystemTime) -> Result<(), Flaw> {
        let [_, between @ .., last] = self.chain.as_slice() else { return Ok(()) };
        let anchor = webpki::anchor_from_trusted_cert(last).map_err(|error| Flaw::Chain(error.to_string()))?;
        match dated(&self.leaf()?, &[anchor], between, time)? {
            None => Ok(()),
            Some(webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey) => {
                Err(Flaw::Chain("the first is not signed by one of those after it".to_owned()))
            }
            // What nginx can serve, and we cannot check.
            Some(webpki::Error::UnsupportedSignatureAlgorithmContext(_)) => Ok(()),
            Some(other) => Err(Flaw::Chain(other.to_string())),
        }
    }

    /// Is it valid for `name`, of a host or an address?
    ///
    /// # Errors
    /// [`Flaw::Name`]
    pub fn check_name(&self, name: &str) -> Result<(), Flaw> {
        let flaw = || Flaw::Name(name.to_owned());
        // A pattern is looked for as one of the hosts that it stands for.
        let host = name.strip_prefix("*.").map_or_else(|| name.to_owned(), |rest| format!("any.{rest}"));
        let host = ServerName::try_from(host.as_str()).map_err(|_| flaw())?;
        self.leaf()?.verify_is_valid_for_subject_name(&host).map_err(|_| flaw())
    }
}

/// Looks for a way from `leaf` to one of `anchors`; what stands in it, unless it is a date.
fn dated(
    leaf: &EndEntityCert<'_>,
    anchors: &[rustls::pki_types::TrustAnchor<'_>],
    between: &[CertificateDer<'_>],
    time: SystemTime,
) -> Result<Option<webpki::Error>, Flaw> {
    let time = UnixTime::since_unix_epoch(time.duration_since(UNIX_EPOCH).unwrap_or_default());
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    let way = leaf.verify_for_usage(algorithms, anchors, between, time, KeyUsage::server_auth(), None, None);
    let apart = |one: UnixTime, other: UnixTime| Duration::from_secs(one.as_secs().abs_diff(other.as_secs()));
    match way {
        Ok(_) => Ok(None),
        Err(webpki::Error::CertExpired { time, not_after }) => Err(Flaw::Expired(apart(time, not_after))),
        Err(webpki::Error::CertNotValidYet { time, not_before }) => Err(Flaw::NotYet(apart(not_before, time))),
        Err(other) => Ok(Some(other)),
    }
}

#[cfg(test)]
mod tests;

//! What people want to know of a certificate that is not trusted: whose it is, who made it, and until when it is valid. DER, read
//! just as far (RFC 5280, 4.1).

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// What a certificate says of itself. Whether that is true is for others to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Name of who it is for, as openssl writes it: `O=Corp, CN=proxy`.
    pub subject: String,
    /// Name of who made it.
    pub issuer: String,
    /// First and last moment, `2026-01-31 12:00:00 UTC`.
    pub valid: (String, String),
}

/// Reads a certificate; none where it is not one.
pub fn read(der: &[u8]) -> Option<Told> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    let mut fields = Vec::new();
    while let Some((tag, content, after)) = element(rest) {
        fields.push((tag, content));
        rest = after;
    }
    // The version has a tag of its own, and is left out in version 1.
    let from = usize::from(fields.first()?.0 == 0xa0);
    let field = |number: usize| fields.get(from + number).map(|field| field.1);
    let (_, begin, after) = element(field(3)?)?;
    let (_, end, _) = element(after)?;
    Some(Told { issuer: name(field(2)?), subject: name(field(4)?), valid: (time(begin), time(end)) })
}

/// SHA-256 of a certificate, as everybody writes it.
pub fn fingerprint(der: &[u8]) -> String {
    let pairs: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// Tag, content and what follows of the first element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(bytes, _)| bytes.len() <= 4)?;
        (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

fn name(mut sets: &[u8]) -> String {
    let mut text = String::new();
    while let Some((_, set, after)) = element(sets) {
        sets = after;
        let Some((_, pair, _)) = element(set) else { continue };
        let Some((_, kind, rest)) = element(pair) else { continue };
        let Some((_, value, _)) = element(rest) else { continue };
        let kind = match kind {
            [0x55, 4, 3] => "CN",
            [0x55, 4, 6] => "C",
            [0x55, 4, 7] => "L",
            [0x55, 4, 8] => "ST",
            [0x55, 4, 10] => "O",
            [0x55, 4, 11] => "OU",
            _ => continue,
        };
        let value: String = String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).collect();
        let comma = if text.is_empty() { "" } else { ", " };
        write!(text, "{comma}{kind}={value}").ok();
    }
    if text.is_empty() { "(no name)".into() } else { text }
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let digits = text.trim_end_matches('Z');
    let full = match digits.len() {
        12 => format!("{}{digits}", if digits < "50" { "20" } else { "19" }),
        _ => digits.to_owned(),
    };
    let part = |from: usize, to: usize| full.get(from..to).unwrap_or("??").to_owned();
    let day = format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8));
    format!("{day} {}:{}:{} UTC", part(8, 10), part(10, 12), part(12, 14))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_read_as_openssl_does() {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let known = roots.iter().filter_map(|der| read(der)).find(|told| told.subject.contains("CN=ISRG Root X1"));
        let name = "C=US, O=Internet Security Research Group, CN=ISRG Root X1".to_owned();
        let valid = ("2015-06-04 11:04:38 UTC".to_owned(), "2035-06-04 11:04:38 UTC".to_owned());
        assert_eq!(known, Some(Told { subject: name.clone(), issuer: name, valid }));
        assert!(roots.iter().all(|der| read(der).is_some_and(|told| told.issuer.contains('='))));
    }

    #[test]
    fn what_is_none_is_none() {
        let whole = webpki_root_certs::TLS_SERVER_ROOT_CERTS[0].as_ref();
        for cut in (0..whole.len()).step_by(7) {
            assert!(read(&whole[..cut]).is_none(), "{cut}");
        }
        assert!(read(b"\x30\x84\xff\xff\xff\xff").is_none());
        assert_eq!(fingerprint(b"").len(), 95);
    }
}

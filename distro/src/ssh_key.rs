//! Keys of SSH users: made, and looked at. Nothing here reads or writes a file.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;

/// Name of the sort of key that is made here.
pub const SORT: &str = "ecdsa-sha2-nistp256";
const CURVE: &str = "nistp256";
/// A P-256 key as RFC 5915 has it: what stands before the private number, between it and the public point, and at which lengths.
const BEFORE: [u8; 7] = [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
const BETWEEN: [u8; 17] =
    [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0xa1, 0x44, 0x03, 0x42, 0x00];
const NUMBER: usize = 32;
const POINT: usize = 65;
const LABEL: &str = "EC PRIVATE KEY";

/// A new private key without passphrase: ECDSA P-256, in the PEM form that every OpenSSH, and Paramiko, reads.
///
/// # Errors
/// Where there is no randomness.
pub fn new_key() -> Result<String> {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let (whole, point) = (pair.serialize_der(), pair.public_key_raw().to_vec());
    // PKCS #8 has the same in an envelope, without the curve.
    let at =
        whole.windows(BEFORE.len() - 2).position(|bytes| bytes == &BEFORE[2..]).context("an unknown form of key")?;
    let at = at + BEFORE.len() - 2;
    let number = whole.get(at..at + NUMBER).filter(|_| point.len() == POINT).context("an unknown form of key")?;
    let text = STANDARD.encode([&BEFORE, number, &BETWEEN, &point].concat());
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    Ok(format!("-----BEGIN {LABEL}-----\n{}\n-----END {LABEL}-----\n", lines.join("\n")))
}

/// The public half of a key of our own making, in base64, as it stands in authorized_keys after [`SORT`]; none of another sort of key.
pub fn public_half(key: &str) -> Option<String> {
    let (begin, end) = (format!("-----BEGIN {LABEL}-----"), format!("-----END {LABEL}-----"));
    let text: String = key.trim().strip_prefix(&begin)?.strip_suffix(&end)?.split_whitespace().collect();
    let whole = STANDARD.decode(text).ok()?;
    let rest = whole.strip_prefix(&BEFORE)?;
    let point = rest.get(NUMBER..)?.strip_prefix(&BETWEEN).filter(|point| point.len() == POINT)?;
    let mut blob = Vec::new();
    for part in [SORT.as_bytes(), CURVE.as_bytes(), point] {
        blob.extend(u32::try_from(part.len()).ok()?.to_be_bytes());
        blob.extend(part);
    }
    Some(STANDARD.encode(blob))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_public_half() {
        let key = new_key().unwrap();
        let half = public_half(&key).unwrap();
        assert!(half.starts_with("AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBB"), "{half}");
        assert_eq!(public_half(&key.replace('\n', "\r\n")), Some(half));
        assert_ne!(public_half(&new_key().unwrap()), public_half(&key));
        let other = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
        for text in ["", other, &key.replace("EC ", "RSA "), &key[..key.len() - 50]] {
            assert_eq!(public_half(text), None, "{text}");
        }
    }
}

//! Passwords as RabbitMQ keeps them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256, Sha512};

/// Name of the algorithm that it makes hashes by, and we.
pub(super) const SHA256: &str = "rabbit_password_hashing_sha256";

/// A password as RabbitMQ keeps it. The salt is made of the name and the password, so that the same ones are the same file; it tells
/// nothing that the hash does not.
pub(super) fn hash(name: &str, password: &str) -> String {
    let mut salt = Sha256::digest(format!("surefoot {name}\0{password}")).to_vec();
    salt.truncate(4);
    STANDARD.encode([&salt[..], &Sha256::digest([&salt, password.as_bytes()].concat())].concat())
}

/// Is `hash`, made by `algorithm`, that of `password`?
pub(super) fn is_hash_of(hash: &str, algorithm: &str, password: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(hash) else { return false };
    let Some((salt, digest)) = bytes.split_at_checked(4) else { return false };
    let salted = [salt, password.as_bytes()].concat();
    match algorithm {
        SHA256 => digest == Sha256::digest(salted).as_slice(),
        "rabbit_password_hashing_sha512" => digest == Sha512::digest(salted).as_slice(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes() {
        // From the documentation of RabbitMQ: salt 908DC60A, password test12.
        let known = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        assert!(is_hash_of(known, SHA256, "test12"));
        assert!(!is_hash_of(known, SHA256, "test13") && !is_hash_of(known, "rabbit_password_hashing_md5", "test12"));
        assert!(!is_hash_of("", SHA256, "") && !is_hash_of("%", SHA256, ""));
        assert!(is_hash_of(&hash("a", "b"), SHA256, "b"));
        assert_ne!(hash("a", "b"), hash("c", "b"), "the same password of two users does not show");
    }
}

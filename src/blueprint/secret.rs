//! Secrets that are made here.

use anyhow::{Context, Result};

/// Letters and digits without those that look like others (0 O o, 1 l I i).
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A secret of `length` characters from the kernel's random numbers.
///
/// # Errors
/// Where the kernel gives none.
pub fn generate(length: usize) -> Result<String> {
    // Bytes from here on would make the first letters likelier than the last.
    let limit = 256 - 256 % ALPHABET.len();
    let mut secret = String::with_capacity(length);
    let mut bytes = [0; 64];
    while secret.len() < length {
        getrandom::fill(&mut bytes).context("asking the kernel for random numbers")?;
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < limit);
        secret.extend(fair.take(length - secret.len()).map(|byte| char::from(ALPHABET[byte % ALPHABET.len()])));
    }
    Ok(secret)
}

/// Texts of `length` that could be generated: each character alone, and all of them in turn.
pub fn samples(length: usize) -> impl Iterator<Item = String> {
    let of =
        move |alphabet: &'static [u8]| alphabet.iter().cycle().take(length).map(|byte| char::from(*byte)).collect();
    ALPHABET.chunks(1).chain([ALPHABET]).map(of)
}

/// What templates see of the secret `name` that will be generated later: a text of the right length that holds nothing, and
/// that (where there is room) no other secret has.
pub fn marker(name: &str, length: usize) -> String {
    let own: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("GeneratedWhenInstalled{own}").chars().rev().cycle().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_have_their_length_and_differ() {
        for length in [1, 8, 24, 64, 1024] {
            let secret = generate(length).unwrap();
            assert_eq!(secret.len(), length);
            assert!(secret.bytes().all(|byte| ALPHABET.contains(&byte)));
        }
        assert_ne!(generate(24).unwrap(), generate(24).unwrap());
        assert_eq!(marker("a", 64).len(), 64);
        assert_ne!(marker("a", 12), marker("b", 12));
    }
}

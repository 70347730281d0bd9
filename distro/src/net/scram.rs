//! The client's half of SCRAM (RFC 5802 with SHA-1, RFC 7677 with SHA-256): a login in which neither side tells the other the password, and
//! both prove that they know it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Most rounds that a server may ask for: each costs time, and servers ask for some thousands.
const MOST_ROUNDS: u32 = 1_000_000;

/// What is computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

/// A login under way.
pub(super) struct Scram {
    hash: Hash,
    nonce: String,
    /// What the client said first, without its header.
    first: String,
}

/// What the client says last, and what the server then has to prove.
pub(super) struct Proof {
    pub message: String,
    server: Vec<u8>,
}

impl Scram {
    /// A login as `user`.
    ///
    /// # Errors
    /// Where the kernel has no random numbers.
    pub fn new(hash: Hash, user: &str) -> Result<Self, getrandom::Error> {
        let mut random = [0; 24];
        getrandom::fill(&mut random)?;
        Ok(Self::with_nonce(hash, user, BASE64.encode(random)))
    }

    fn with_nonce(hash: Hash, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, first: format!("n={user},r={nonce}"), nonce }
    }

    /// What the client says first.
    pub fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The answer to what the server said first. `password` has to be ASCII, of which the prescribed normal form is the text itself.
    /// None where the server's words make no sense.
    pub fn answer(&self, server: &str, password: &str) -> Option<Proof> {
        let field = |name: &str| server.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = field("r=")?;
        let salt = BASE64.decode(field("s=")?).ok()?;
        let rounds: u32 = field("i=")?.parse().ok()?;
        if !nonce.starts_with(&self.nonce) || nonce == self.nonce || !(1..=MOST_ROUNDS).contains(&rounds) {
            return None;
        }
        // `biws` is the header `n,,` in base64.
        let last = format!("c=biws,r={nonce}");
        let messages = format!("{},{server},{last}", self.first);
        let (proof, server) = match self.hash {
            Hash::Sha1 => prove::<Hmac<Sha1>, Sha1>(password, &salt, rounds, &messages)?,
            Hash::Sha256 => prove::<Hmac<Sha256>, Sha256>(password, &salt, rounds, &messages)?,
        };
        Some(Proof { message: format!("{last},p={}", BASE64.encode(proof)), server })
    }
}

impl Proof {
    /// Did the server prove that it knows the password, too?
    pub fn is_met_by(&self, server: &str) -> bool {
        let proof = server.split(',').find_map(|part| part.strip_prefix("v="));
        proof.and_then(|text| BASE64.decode(text).ok()).is_some_and(|bytes| bytes == self.server)
    }
}

/// The client's proof, and the server's; `messages` is all that was said so far. None is never seen: a key of any length is one (RFC 2104).
fn prove<M: Mac + KeyInit + Clone, D: Digest>(
    password: &str,
    salt: &[u8],
    rounds: u32,
    messages: &str,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let mac = |key: &[u8], text: &[u8]| -> Option<Vec<u8>> {
        Some(<M as KeyInit>::new_from_slice(key).ok()?.chain_update(text).finalize().into_bytes().to_vec())
    };
    let salted = salted(&<M as KeyInit>::new_from_slice(password.as_bytes()).ok()?, salt, rounds);
    let client = mac(&salted, b"Client Key")?;
    let signature = mac(&D::digest(&client), messages.as_bytes())?;
    let proof = client.iter().zip(signature).map(|(byte, other)| byte ^ other).collect();
    Some((proof, mac(&mac(&salted, b"Server Key")?, messages.as_bytes())?))
}

/// PBKDF2 with one block (RFC 8018); `keyed` with the password.
fn salted<M: Mac + Clone>(keyed: &M, salt: &[u8], rounds: u32) -> Vec<u8> {
    let next = |text: &[u8]| keyed.clone().chain_update(text).finalize().into_bytes();
    let mut last = next(&[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last.to_vec();
    for _ in 1..rounds {
        last = next(&last);
        sum.iter_mut().zip(&last).for_each(|(byte, other)| *byte ^= other);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    const SERVER: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn example() -> Scram {
        Scram::with_nonce(Hash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO".into())
    }

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(example().first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let proof = example().answer(SERVER, "pencil").unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(proof.is_met_by("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for wrong in ["", "v=", "e=other-error", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G0="] {
            assert!(!proof.is_met_by(wrong), "{wrong}");
        }
        let other = example().answer(SERVER, "pencil2").unwrap();
        assert_ne!(other.message, proof.message);
    }

    /// That of RFC 5802.
    #[test]
    fn the_example_with_sha_1() {
        let scram = Scram::with_nonce(Hash::Sha1, "user", "fyko+d2lbbFgONRv9qkxdawL".into());
        let server = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
        let proof = scram.answer(server, "pencil").unwrap();
        assert_eq!(proof.message, "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
        assert!(proof.is_met_by("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="));
    }

    #[test]
    fn names_with_a_meaning_are_escaped() {
        assert_eq!(Scram::with_nonce(Hash::Sha256, "a,b=c", "x".into()).first(), "n,,n=a=2Cb=3Dc,r=x");
    }

    #[test]
    fn a_server_that_makes_no_sense_gets_no_answer() {
        for server in [
            "",
            "r=other,s=W22Z,i=4096",
            // Its half of the nonce is missing.
            "r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=?,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4000000000",
        ] {
            assert!(example().answer(server, "pencil").is_none(), "{server}");
        }
    }
}

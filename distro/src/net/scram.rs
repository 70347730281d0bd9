//! The client's half of SCRAM-SHA-256 (RFC 5802, RFC 7677): a login in which neither side tells the other the password, and both prove that
//! they know it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Most rounds that a server may ask for: each costs time, and servers ask for some thousands.
const MOST_ROUNDS: u32 = 1_000_000;

/// A login under way.
pub(super) struct Scram {
    nonce: String,
    /// What the client said first, without its header.
    first: String,
}

/// What the client says last, and what the server then has to prove.
pub(super) struct Proof {
    pub message: String,
    server: [u8; 32],
}

impl Scram {
    /// A login as `user`.
    ///
    /// # Errors
    /// Where the kernel has no random numbers.
    pub fn new(user: &str) -> Result<Self, getrandom::Error> {
        let mut random = [0; 24];
        getrandom::fill(&mut random)?;
        Ok(Self::with_nonce(user, BASE64.encode(random)))
    }

    fn with_nonce(user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { first: format!("n={user},r={nonce}"), nonce }
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
        let salted = salted(password.as_bytes(), &salt, rounds);
        let client = mac(&salted, b"Client Key");
        // `biws` is the header `n,,` in base64.
        let last = format!("c=biws,r={nonce}");
        let messages = format!("{},{server},{last}", self.first);
        let signature = mac(&Sha256::digest(client), messages.as_bytes());
        let mut proof = client;
        proof.iter_mut().zip(signature).for_each(|(byte, other)| *byte ^= other);
        let server = mac(&mac(&salted, b"Server Key"), messages.as_bytes());
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

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // A key of any length is one (RFC 2104), so that the other arm is never taken.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    keyed(key).chain_update(text).finalize().into_bytes().into()
}

/// PBKDF2 with HMAC-SHA-256 and one block (RFC 8018).
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 32] {
    let keyed = keyed(password);
    let next = |text: &[u8]| -> [u8; 32] { keyed.clone().chain_update(text).finalize().into_bytes().into() };
    let mut last = next(&[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last;
    for _ in 1..rounds {
        last = next(&last);
        sum.iter_mut().zip(last).for_each(|(byte, other)| *byte ^= other);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    const SERVER: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn example() -> Scram {
        Scram::with_nonce("user", "rOprNGfwEbeRWgbNEkqO".into())
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

    #[test]
    fn names_with_a_meaning_are_escaped() {
        assert_eq!(Scram::with_nonce("a,b=c", "x".into()).first(), "n,,n=a=2Cb=3Dc,r=x");
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

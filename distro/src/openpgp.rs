//! OpenPGP keyrings: which keys are in them. Signatures are left to the package manager; what counts here is that a keyring
//! holds the pinned keys and no other.
//!
//! Formats: RFC 9580 (packet headers 4.2, fingerprints 5.5.4, armor 6) and the version 5 keys of LibrePGP.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::Digest;

use crate::{Class, Fault};

/// A keyring as it was given, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyring {
    /// Its packets, without armor: the form that every apt reads.
    pub packets: Vec<u8>,
    /// Fingerprints of all primary keys, upper-case hexadecimal, in the order of the keyring, each once.
    pub fingerprints: Vec<String>,
}

impl Keyring {
    /// Reads a keyring, ASCII-armored or binary.
    ///
    /// # Errors
    /// Class `repository`, where it is something else (a web page), is damaged, holds a secret key or no key.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let packets = dearmor(bytes)?;
        let fingerprints = primary_fingerprints(&packets)?;
        Ok(Self { packets, fingerprints })
    }
}

/// `text` as a full fingerprint: upper-case hexadecimal without spaces or `0x`.
///
/// # Errors
/// Where it is not 40 (version 4) or 64 (later versions) hexadecimal digits: key ids are not accepted, they can be forged.
pub fn fingerprint(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_uppercase();
    let digits = digits.strip_prefix("0X").unwrap_or(&digits);
    if matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits.to_owned());
    }
    Err(format!("'{text}' is not a full fingerprint: it has 40 hexadecimal digits (64 for keys of version 6)"))
}

fn fault(message: impl std::fmt::Display) -> Fault {
    Fault::new(Class::Repository, format!("this is not a keyring: {message}"))
        .advice("get the key from where the vendor documents it, and compare its fingerprint")
}

/// The packets of `bytes`: of all public key blocks where it is ASCII-armored, else itself.
///
/// # Errors
/// Class `repository`, where there is neither armor nor a packet, or the armor is damaged.
pub fn dearmor(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Err(fault("it is empty")) };
    if first & 0x80 != 0 && !bytes.starts_with(b"\xef\xbb\xbf") {
        return Ok(bytes.to_vec());
    }
    let text = String::from_utf8_lossy(bytes);
    let start = text.trim_start_matches('\u{feff}').trim_start().lines().next().unwrap_or_default();
    let start: String = start.chars().take(60).collect();
    let mut packets = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        match line.trim_start_matches('\u{feff}') {
            "-----BEGIN PGP PUBLIC KEY BLOCK-----" => packets.extend(block(&mut lines)?),
            other if other.starts_with("-----BEGIN PGP ") => {
                return Err(fault(format_args!("it holds '{other}' where a public key belongs")));
            }
            _ => {}
        }
    }
    if !packets.is_empty() {
        return Ok(packets);
    }
    if start.starts_with('<') {
        return Err(fault("it is a web page (from a proxy or a login page?)").evidence([start]));
    }
    Err(fault(format_args!("it has neither armor nor packets and begins with '{start}'")).evidence([start]))
}

/// `packets` as ASCII armor.
pub fn armor(packets: &[u8]) -> String {
    let lines = |bytes: &[u8]| -> String {
        let text = BASE64_STANDARD.encode(bytes);
        (0..text.len()).step_by(64).map(|at| format!("{}\n", &text[at..text.len().min(at + 64)])).collect()
    };
    let checksum = &crc24(packets).to_be_bytes()[1..];
    let (begin, end) = ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----");
    format!("{begin}\n\n{}={}{end}\n", lines(packets), lines(checksum))
}

/// The checksum of armor.
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x00b7_04ce, |sum, byte| {
        (0..8).fold(sum ^ (u32::from(*byte) << 16), |sum, _| {
            let sum = sum << 1;
            if sum & 0x0100_0000 == 0 { sum } else { sum ^ 0x0186_4cfb }
        })
    })
}

/// One armored block, from behind its first line to its last.
fn block<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<u8>, Fault> {
    let mut data = String::new();
    let mut in_headers = true;
    for line in lines {
        if line == "-----END PGP PUBLIC KEY BLOCK-----" {
            let packets =
                BASE64_STANDARD.decode(&data).map_err(|error| fault(format_args!("its armor is damaged: {error}")))?;
            return if packets.is_empty() { Err(fault("its armor is empty")) } else { Ok(packets) };
        }
        if in_headers && (line.is_empty() || line.contains(": ")) {
            continue;
        }
        in_headers = false;
        // The checksum is a line of its own that begins with `=`; the pinned fingerprint says more than it could.
        if !line.starts_with('=') {
            data.push_str(line);
        }
    }
    Err(fault("its armor has no end: the file is cut off"))
}

/// Fingerprints of all primary keys in `packets`, in order, each once.
///
/// # Errors
/// Class `repository`, where it is not whole packets, holds a secret key or another thing that is no part of a public key, or
/// no key at all.
pub fn primary_fingerprints(packets: &[u8]) -> Result<Vec<String>, Fault> {
    let mut fingerprints = Vec::new();
    let mut rest = packets;
    while !rest.is_empty() {
        let (tag, body, after) = packet(rest)?;
        match tag {
            6 => {
                let fingerprint = of_key(body)?;
                if !fingerprints.contains(&fingerprint) {
                    fingerprints.push(fingerprint);
                }
            }
            5 | 7 => return Err(fault("it holds a secret key, which must never leave its owner")),
            // signature, marker, trust, user id, public subkey, user attribute, padding
            2 | 10 | 12 | 13 | 14 | 17 | 21 => {}
            other => return Err(fault(format_args!("it holds a packet of type {other}, which is no part of a key"))),
        }
        rest = after;
    }
    if fingerprints.is_empty() {
        return Err(fault("there is no key in it"));
    }
    Ok(fingerprints)
}

/// The packets of each key in `packets`, which were read before ([`primary_fingerprints`]).
pub fn keys(packets: &[u8]) -> Vec<&[u8]> {
    let (mut begins, mut rest) = (Vec::new(), packets);
    while let Ok((tag, _, after)) = packet(rest) {
        if tag == 6 {
            begins.push(packets.len() - rest.len());
        }
        rest = after;
    }
    let ends = begins.iter().skip(1).copied().chain([packets.len()]);
    begins.iter().zip(ends).map(|(begin, end)| &packets[*begin..end]).collect()
}

/// Are the primary keys in `packets` all RSA's? Those that cannot be read are not.
pub fn is_rsa(packets: &[u8]) -> bool {
    // Since version 4 the algorithm follows the version and four bytes of time; 1 to 3 are RSA (RFC 9580, 9.1).
    let is_rsa = |key: &[u8]| packet(key).is_ok_and(|(_, body, _)| matches!(body.get(5), Some(1..=3)));
    keys(packets).into_iter().all(is_rsa)
}

/// Type and body of the first packet, and what comes after it.
fn packet(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Fault> {
    let cut = || fault("its last packet is cut off");
    let (&header, rest) = bytes.split_first().ok_or_else(cut)?;
    if header & 0x80 == 0 {
        return Err(fault(format_args!("a packet begins with byte 0x{header:02x}")));
    }
    let (tag, length, rest) = if header & 0x40 != 0 {
        let (&first, rest) = rest.split_first().ok_or_else(cut)?;
        let (length, rest) = match first {
            0..=191 => (usize::from(first), rest),
            192..=223 => {
                let (&second, rest) = rest.split_first().ok_or_else(cut)?;
                ((usize::from(first) - 192) * 256 + usize::from(second) + 192, rest)
            }
            255 => number(rest, 4).ok_or_else(cut)?,
            _ => return Err(fault("it uses partial lengths, which keys must not")),
        };
        (header & 0x3f, length, rest)
    } else {
        let (length, rest) = match header & 3 {
            3 => return Err(fault("it holds a packet without a length, which keys must not")),
            code => number(rest, 1 << code).ok_or_else(cut)?,
        };
        ((header >> 2) & 0x0f, length, rest)
    };
    let (body, after) = rest.split_at_checked(length).ok_or_else(cut)?;
    Ok((tag, body, after))
}

/// The big-endian number in the first `size` bytes, and what comes after it.
fn number(bytes: &[u8], size: usize) -> Option<(usize, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(size)?;
    Some((digits.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)), rest))
}

/// Fingerprint of a public key packet's body.
fn of_key(body: &[u8]) -> Result<String, Fault> {
    let length = u32::try_from(body.len()).map_err(|_| fault("a key is too long"))?.to_be_bytes();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    let sha256 =
        |first: u8| hex(&sha2::Sha256::new().chain_update([first]).chain_update(length).chain_update(body).finalize());
    match body.first() {
        Some(4) if body.len() <= usize::from(u16::MAX) => {
            let digest =
                sha1::Sha1::new().chain_update([0x99]).chain_update(&length[2..]).chain_update(body).finalize();
            Ok(hex(&digest))
        }
        Some(5) => Ok(sha256(0x9a)),
        Some(6) => Ok(sha256(0x9b)),
        Some(version) => Err(fault(format_args!("it holds a key of version {version}, which cannot be pinned"))),
        None => Err(fault("it holds an empty key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, Runner};
    use std::path::Path;

    fn gpg(home: &Path, args: &[&str]) -> String {
        let home = home.to_str().unwrap();
        let common = ["--homedir", home, "--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""];
        let output = Command::new("gpg").args(common).args(args.iter().copied()).output(&Runner::quiet()).unwrap();
        assert!(output.ok(), "{:?}", output.tail);
        output.stdout
    }

    /// Makes a key and gives its fingerprint.
    fn make_key(home: &Path, algorithm: &str, name: &str) -> String {
        gpg(home, &["--quick-gen-key", name, algorithm, "default", "never"]);
        let list = gpg(home, &["--with-colons", "--list-keys", name]);
        list.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().trim_end_matches(':').to_owned()
    }

    #[test]
    fn fingerprints_are_those_that_gpg_tells() {
        let home = tempfile::tempdir().unwrap();
        let first = make_key(home.path(), "ed25519", "first@example.net");
        let second = make_key(home.path(), "rsa2048", "second@example.net");
        let binary = home.path().join("binary");
        let path = binary.to_str().unwrap();
        gpg(home.path(), &["--yes", "--output", path, "--export"]);
        let binary = std::fs::read(path).unwrap();
        let armored = gpg(home.path(), &["--armor", "--comment", "a: header", "--export"]);
        for bytes in [&binary[..], armored.as_bytes(), armored.replace('\n', "\r\n").as_bytes()] {
            let keyring = Keyring::read(bytes).unwrap();
            assert_eq!(keyring.fingerprints, [first.clone(), second.clone()]);
            assert_eq!(keyring.packets, binary);
        }
        assert_eq!(keys(&binary).into_iter().map(is_rsa).collect::<Vec<_>>(), [false, true]);
        assert!(!is_rsa(&binary));
        let one = gpg(home.path(), &["--armor", "--export", "second@example.net"]);
        let two = format!("# keys\n{one}\nand\n{}", gpg(home.path(), &["--armor", "--export", "first@example.net"]));
        assert_eq!(Keyring::read(two.as_bytes()).unwrap().fingerprints, [second, first]);

        for cut in 1..binary.len().min(200) {
            assert!(Keyring::read(&binary[..binary.len() - cut]).is_err() || cut > 100, "{cut}");
        }
        let secret = gpg(home.path(), &["--armor", "--export-secret-keys", "first@example.net"]);
        assert!(Keyring::read(secret.as_bytes()).unwrap_err().message.contains("PRIVATE KEY"));
        let secret = secret.replace("PRIVATE KEY BLOCK", "PUBLIC KEY BLOCK");
        assert!(Keyring::read(secret.as_bytes()).unwrap_err().message.contains("secret key"));
    }

    /// The version 6 key of RFC 9580, A.3, of which only the primary key packet counts.
    #[test]
    fn a_version_6_key_has_a_fingerprint() {
        let body = "0663877fe31b00000020f94da7bb48d60a61e567706a6587d0331999bb9d891a08242ead84543df895a3";
        let body: Vec<u8> =
            (0..body.len()).step_by(2).map(|at| u8::from_str_radix(&body[at..at + 2], 16).unwrap()).collect();
        let mut bytes = vec![0xc6, u8::try_from(body.len()).unwrap()];
        bytes.extend(&body);
        let expected = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9";
        assert_eq!(primary_fingerprints(&bytes).unwrap(), [expected]);
    }

    #[test]
    fn all_header_forms_are_read_and_the_rest_is_refused() {
        let body = [4, 0, 0, 0, 0, 1];
        let form = |header: &[u8]| [header, &body].concat();
        let expected = primary_fingerprints(&form(&[0xc6, 6])).unwrap();
        let whole: [&[u8]; 4] = [&[0xc6, 255, 0, 0, 0, 6], &[0x98, 6], &[0x99, 0, 6], &[0x9a, 0, 0, 0, 6]];
        for header in whole {
            assert_eq!(primary_fingerprints(&form(header)).unwrap(), expected, "{header:?}");
        }
        let long = [&[0xc6, 192, 0, 4][..], &[1; 191]].concat();
        assert_eq!(primary_fingerprints(&long).unwrap().len(), 1);
        let refused: [(&[u8], &str); 7] = [
            (&[0xc6, 7], "cut off"),
            (&[0xc6, 224], "partial"),
            (&[0x9b], "without a length"),
            (&[0x18, 6], "begins with byte 0x18"),
            (&[0xc6, 0], "an empty key"),
            (&[0xd1, 6], "no key"),
            (&[0xcb, 6], "type 11, which is no part of a key"),
        ];
        for (header, expected) in refused {
            let error = primary_fingerprints(&form(header)).unwrap_err();
            assert!(error.message.contains(expected), "{header:?}: {error}");
        }
        assert!(primary_fingerprints(&[0xc6, 1, 3]).unwrap_err().message.contains("version 3"));
    }

    #[test]
    fn what_is_no_keyring_is_named() {
        let begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n";
        let cases = [
            (String::new(), "empty"),
            ("<!DOCTYPE html>\n<title>Login".to_owned(), "web page"),
            ("404: Not Found".to_owned(), "begins with '404: Not Found'"),
            (format!("{begin}mQINBF"), "cut off"),
            (format!("{begin}m?INBF\n-----END PGP PUBLIC KEY BLOCK-----"), "damaged"),
            ("-----BEGIN PGP SIGNATURE-----\n".to_owned(), "'-----BEGIN PGP SIGNATURE-----'"),
        ];
        for (text, expected) in cases {
            let error = Keyring::read(text.as_bytes()).unwrap_err();
            assert_eq!(error.class, Class::Repository);
            assert!(error.message.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn only_full_fingerprints_pin() {
        let full = "9DC8 5822 9FC7 DD38 854A  E2D8 8D81 803C 0EBF CD88";
        assert_eq!(fingerprint(full).unwrap(), "9DC858229FC7DD38854AE2D88D81803C0EBFCD88");
        assert_eq!(fingerprint(&format!("0x{}", full.to_lowercase())).unwrap(), fingerprint(full).unwrap());
        for short in ["0EBFCD88", "8D81803C0EBFCD88", "", "zz", &format!("{full} 00")] {
            assert!(fingerprint(short).is_err(), "{short}");
        }
    }
}

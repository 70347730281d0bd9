use rcgen::{BasicConstraints, Issuer};

use super::*;

fn at(days: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(days * DAY)
}

/// 2027-06-01, about.
const NOW: u64 = 20_970;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn own(wanted: &[&str]) -> (Certificate, String, String) {
    let key = new_key().unwrap();
    let text = self_signed(&names(wanted), &key, at(NOW)).unwrap();
    (Certificate::parse(text.as_bytes()).unwrap(), text, key)
}

/// A certificate for `leaf.example` by an authority in between, by a root: leaf, between, root, key of the leaf, key of the one between.
fn chain() -> [String; 5] {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    };
    let ((root, root_key), (between, between_key)) = (authority("root"), authority("between"));
    let root_text = root.self_signed(&root_key).unwrap().pem();
    let root = Issuer::new(root, root_key);
    let between_text = between.signed_by(&between_key, &root).unwrap().pem();
    let between_key_text = between_key.serialize_pem();
    let between = Issuer::new(between, between_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(names(&["leaf.example", "*.wild.example"])).unwrap();
    leaf.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(NOW * DAY);
    leaf.not_after = leaf.not_before + Duration::from_secs(90 * DAY);
    let leaf_text = leaf.signed_by(&key, &between).unwrap().pem();
    [leaf_text, between_text, root_text, key.serialize_pem(), between_key_text]
}

#[test]
fn one_of_our_own() {
    let long = format!("{}.{}.example", "a".repeat(60), "b".repeat(60));
    let (made, text, key) = own(&[&long, "host.example", "10.0.0.7", "::1", "localhost"]);
    for name in [&long, "host.example", "10.0.0.7", "::1", "localhost"] {
        assert_eq!(made.check_name(name), Ok(()), "{name}");
    }
    for name in ["example", "other.example", "10.0.0.8", "a b"] {
        assert_eq!(made.check_name(name), Err(Flaw::Name(name.into())));
    }
    assert_eq!(made.check_key(key.as_bytes()), Ok(()));
    assert_eq!(made.check_dates(at(NOW)), Ok(()));
    assert_eq!(made.check_dates(at(NOW + 396)), Ok(()));
    assert_eq!(made.check_dates(at(NOW + 400)), Err(Flaw::Expired(Duration::from_secs(3 * DAY))));
    assert_eq!(made.check_dates(at(NOW - 1)), Err(Flaw::NotYet(Duration::from_secs(23 * 3600))));
    assert_eq!(made.check_chain(at(NOW)), Ok(()));
    assert_ne!(text, self_signed(&names(&["host.example"]), &key, at(NOW)).unwrap());
    assert!(self_signed(&names(&["ä"]), &key, at(NOW)).is_err());
}

#[test]
fn keys() {
    let (made, _, _) = own(&["a"]);
    let other = new_key().unwrap();
    assert_eq!(made.check_key(other.as_bytes()), Err(Flaw::Mismatch(None)));
    assert_eq!(made.check_key(b""), Err(Flaw::Key("there is none".into())));
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(matches!(made.check_key(encrypted), Err(Flaw::Key(why)) if why.contains("encrypted")));
    let [leaf, between, _, key, _] = chain();
    let turned = Certificate::parse((between + &leaf).as_bytes()).unwrap();
    assert_eq!(turned.check_key(key.as_bytes()), Err(Flaw::Mismatch(Some(2))));
}

#[test]
fn chains() {
    let [leaf, between, root, _, _] = chain();
    let [_, _, stranger, _, _] = chain();
    let no_way = || Err(Flaw::Chain("the first is not signed by one of those after it".to_owned()));
    for (texts, time, wanted) in [
        (vec![&leaf], NOW, Ok(())),
        (vec![&leaf, &between], NOW, Ok(())),
        (vec![&leaf, &between, &root], NOW, Ok(())),
        (vec![&leaf, &root], NOW, no_way()),
        (vec![&leaf, &stranger], NOW, no_way()),
        (vec![&leaf, &between, &stranger], NOW, no_way()),
        (vec![&leaf, &between], NOW + 91, Err(Flaw::Expired(Duration::from_secs(DAY)))),
    ] {
        let text: String = texts.into_iter().cloned().collect();
        assert_eq!(Certificate::parse(text.as_bytes()).unwrap().check_chain(at(time)), wanted);
    }
    let made = Certificate::parse(leaf.as_bytes()).unwrap();
    for (name, good) in
        [("leaf.example", true), ("*.wild.example", true), ("x.wild.example", true), ("*.example", false)]
    {
        assert_eq!(made.check_name(name).is_ok(), good, "{name}");
    }
}

#[test]
fn what_is_no_certificate() {
    let [_, _, _, key, _] = chain();
    for text in ["", "x", &key, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(Certificate::parse(text.as_bytes()), Err(Flaw::Certificate(_))), "{text}");
    }
}

#[test]
fn what_there_is_in_the_place_of_a_certificate_or_a_key_is_told() {
    let [leaf, between, _, key, _] = chain();
    let both = format!("{leaf}{between}");
    let certificate = |bytes: &[u8]| match Certificate::parse(bytes) {
        Err(Flaw::Certificate(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(Certificate::parse(both.replace('\n', "\r\n").as_bytes()).is_ok());
    assert!(Certificate::parse(format!("{key}# a comment\n{both}").as_bytes()).is_ok());
    let marked = |text: &str| [MARK, text.as_bytes()].concat();
    let mark = "it begins with a byte order mark (BOM): save it without";
    assert_eq!(certificate(&marked(&both)), mark);
    assert_eq!(certificate(&both.as_bytes()[..400]), "the line '-----END CERTIFICATE-----' is missing");
    assert_eq!(
        certificate(&both.encode_utf16().fold(vec![0xff, 0xfe], |mut bytes, unit| {
            bytes.extend(unit.to_le_bytes());
            bytes
        })),
        "it is in UTF-16: save it as plain text"
    );
    let parsed = Certificate::parse(both.as_bytes()).unwrap();
    assert_eq!(certificate(parsed.der()), "it is binary (DER or PKCS #12), not PEM");
    assert_eq!(
        certificate(both.replace(" CERT", " TRUSTED CERT").as_bytes()),
        "there is none, but a TRUSTED CERTIFICATE"
    );
    for (text, why) in [
        (marked(&key), mark),
        (leaf.clone().into_bytes(), "there is none, but a CERTIFICATE"),
        (
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap().secret_der().to_vec(),
            "it is binary (DER or PKCS #12), not PEM",
        ),
    ] {
        assert_eq!(parsed.check_key(&text), Err(Flaw::Key(why.to_owned())));
    }
}

#[test]
fn flaws_are_told() {
    for (flaw, told) in [
        (Flaw::Expired(Duration::from_secs(3 * DAY)), "the certificate expired 3 days ago"),
        (Flaw::NotYet(Duration::from_secs(7200)), "the certificate is not valid for another 2 hours"),
        (Flaw::Name("a".into()), "the certificate is not valid for 'a'"),
        (Flaw::Mismatch(None), "the key is not that of the certificate"),
    ] {
        assert_eq!(flaw.to_string(), told);
    }
}

#[test]
fn it_is_renewed_in_the_last_third_of_its_time_or_its_last_month() {
    let now = SystemTime::now();
    let key = new_key().unwrap();
    let made = Certificate::parse(self_signed(&["a".to_owned()], &key, now).unwrap().as_bytes()).unwrap();
    assert!(made.signs_itself());
    let (first, last) = made.validity().unwrap();
    assert_eq!(last.duration_since(first).unwrap(), VALID + SLOW_CLOCKS);
    let days = |days: u64| Duration::from_secs(days * DAY);
    assert_eq!(made.check_left(last - days(31)), Ok(()));
    assert!(matches!(made.check_left(last - days(29)), Err(Flaw::Ends(left)) if left == days(29)));
    assert!(matches!(made.check_left(last + days(1)), Err(Flaw::Expired(_))));
    // One for six days: a third of that.
    for (hours_left, due) in [(49, false), (47, true)] {
        let six = Certificate::parse(SIX_DAYS.as_bytes()).unwrap();
        let (first, last) = six.validity().unwrap();
        assert_eq!(last.duration_since(first).unwrap(), days(6));
        assert_eq!(six.check_left(last - Duration::from_secs(hours_left * 3600)).is_err(), due, "{hours_left} h");
    }
}

#[test]
fn a_request_has_the_names_and_is_signed_with_the_key() {
    let key = new_key().unwrap();
    let request = request(&["a.example".to_owned(), "b.example".to_owned()], &key).unwrap();
    for name in ["a.example", "b.example"] {
        assert!(request.windows(name.len()).any(|part| part == name.as_bytes()), "{name}");
    }
    assert!(is_own_key(&key) && !is_own_key("-----BEGIN PRIVATE KEY-----") && !is_own_key(""));
}

/// `openssl req -x509 -days 6 -subj /CN=a`
const SIX_DAYS: &str = "-----BEGIN CERTIFICATE-----
MIIBazCCARCgAwIBAgIUENImelXWP3oFXME3O+sv0OYptRUwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAeFw0yNjExMjQxODE5NDVaFw0yNjExMzAxODE5NDVaMAwx
CjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT2p7IN1EuiIUPh
7Po6ANJHd1eXkx6sPIVL6jXsxgvI+E2svxC8AHuEB1SOteeBxHZN1rXJuwEIrbgL
7Be7aHOlo1AwTjAdBgNVHQ4EFgQUHrkRAc7+2XQpiWOJMG70nRnMFsQwHwYDVR0j
BBgwFoAUHrkRAc7+2XQpiWOJMG70nRnMFsQwDAYDVR0TAQH/BAIwADAKBggqhkjO
PQQDAgNJADBGAiEAgfDQHpzHDI8pmg3O0bVJdmr4Ydl18PMmBTnbXySfTmcCIQDy
D0FTMz7EYzoYgar7YiEooPLG1Jv+IOIs0Y0HUxvnZQ==
-----END CERTIFICATE-----
";

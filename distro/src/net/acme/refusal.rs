//! What an authority says that does not give a certificate.

use instant_acme::{Error, Problem};

use super::{Wanted, authority};
use crate::{Class, Fault};

/// Prefix of the types of problems (RFC 8555, 6.7).
const URN: &str = "urn:ietf:params:acme:error:";

/// What `error` is, with `seen` of this host as evidence.
pub(super) fn told(wanted: &Wanted<'_>, error: Error, seen: &[String]) -> Fault {
    let who = authority(wanted.directory);
    let fault = match error {
        Error::Api(problem) => refused(&who, &problem),
        Error::Other(other) => match other.downcast::<Fault>() {
            Ok(fault) => *fault,
            Err(other) => odd(&who, &other.to_string()),
        },
        Error::KeyRejected => Fault::new(Class::State, "the key of the account with the authority cannot be read")
            .advice("move it away, so that another account is made; then run it again"),
        Error::Unsupported(what) => odd(&who, &format!("it does not do {what}")),
        Error::Json(error) => odd(&who, &error.to_string()),
        other => odd(&who, &other.to_string()),
    };
    fault.evidence(seen.iter().cloned())
}

/// The authority looked at `name` and was not content.
pub(super) fn of_name(wanted: &Wanted<'_>, name: &str, problem: &Problem, seen: &[String]) -> Fault {
    let who = authority(wanted.directory);
    let (class, why, advice) = match kind(problem) {
        "connection" => (
            Class::Http,
            format!("{who} cannot reach port 80 of {name}"),
            "see that the name leads to this host, and that firewalls and routers let port 80 through to it; then run it again",
        ),
        "dns" => (
            Class::Dns,
            format!("{who} cannot look up {name}"),
            "give the name an address in the DNS that the authority asks, then run it again",
        ),
        "caa" => (
            Class::Dns,
            format!("{who} may not give certificates for {name}"),
            "the domain's CAA record names other authorities: add this one to it, then run it again",
        ),
        "unauthorized" | "incorrectResponse" => (
            Class::Http,
            format!("{who} finds another host than this one under {name}"),
            "see that the name leads to this host, for IPv4 and IPv6, and that no proxy answers in its place; then run it again",
        ),
        "rateLimited" => return refused(&who, problem).evidence(seen.iter().cloned()),
        _ => (
            Class::Http,
            format!("{who} does not give a certificate for {name}"),
            "mend what it says, then run it again",
        ),
    };
    Fault::new(class, why).evidence(words(&who, problem)).evidence(seen.iter().cloned()).advice(advice)
}

/// It says no.
fn refused(who: &str, problem: &Problem) -> Fault {
    let (class, why, advice) = match kind(problem) {
        "rateLimited" => (
            Class::Http,
            "wants no more requests for now",
            "wait as long as it says, then run it again; for trials, name the directory of its staging environment",
        ),
        "externalAccountRequired" | "userActionRequired" | "unauthorized" | "accountDoesNotExist" => (
            Class::Login,
            "refuses the account",
            "do what it says; an account that it has closed is made anew once its key (*.account) is moved away",
        ),
        "invalidContact" | "unsupportedContact" => (
            Class::Blueprint,
            "does not take the e-mail address",
            "correct acme.contact, or leave it out; then run it again",
        ),
        "rejectedIdentifier" | "unsupportedIdentifier" | "caa" => (
            Class::Http,
            "gives no certificate for such a name",
            "give names that it serves (a public one none that only your own network knows), or another authority",
        ),
        "serverInternal" => (Class::Http, "failed", "try again later: it could not do it now"),
        _ => (Class::Http, "refuses", "mend what it says, then run it again"),
    };
    Fault::new(class, format!("{who} {why}")).evidence(words(who, problem)).advice(advice)
}

/// It is no ACME server, or a broken one.
fn odd(who: &str, said: &str) -> Fault {
    Fault::new(Class::Http, format!("{who} does not answer as an ACME server does: {said}"))
        .advice("check the URL of the directory, then run it again")
}

/// The type of a problem, without what all of them begin with.
fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(URN).unwrap_or(kind)
}

/// The authority's own words.
fn words(who: &str, problem: &Problem) -> Vec<String> {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(600).collect::<String>();
    let line =
        |kind: &str, detail: Option<&str>| clean(&format!("{who} says: {} ({kind})", detail.unwrap_or("no more")));
    let parts = problem.subproblems.iter();
    let parts = parts.map(|part| line(part.r#type.as_deref().unwrap_or_default(), part.detail.as_deref()));
    std::iter::once(line(problem.r#type.as_deref().unwrap_or_default(), problem.detail.as_deref()))
        .chain(parts)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted<'static> {
        Wanted {
            directory: "https://ca.example/directory",
            account: "",
            contact: None,
            names: &[],
            request: &[],
            webroot: std::path::Path::new("/w"),
        }
    }

    fn problem(kind: &str) -> Problem {
        serde_json::from_value(serde_json::json!({"type": format!("{URN}{kind}"), "detail": "too\n bad"})).unwrap()
    }

    #[test]
    fn problems_of_the_authority() {
        for (kind, class, message) in [
            ("rateLimited", Class::Http, "ca.example wants no more requests for now"),
            ("externalAccountRequired", Class::Login, "ca.example refuses the account"),
            ("rejectedIdentifier", Class::Http, "ca.example gives no certificate for such a name"),
            ("invalidContact", Class::Blueprint, "ca.example does not take the e-mail address"),
            ("orderNotReady", Class::Http, "ca.example refuses"),
        ] {
            let fault = told(&wanted(), Error::Api(problem(kind)), &["seen".to_owned()]);
            assert_eq!((fault.class, fault.message.as_str()), (class, message), "{kind}");
            assert_eq!(fault.evidence, [&format!("ca.example says: too bad ({URN}{kind})"), "seen"]);
            assert!(!fault.advice.is_empty());
        }
    }

    #[test]
    fn problems_with_a_name() {
        for (kind, class, message) in [
            ("connection", Class::Http, "ca.example cannot reach port 80 of a.example"),
            ("dns", Class::Dns, "ca.example cannot look up a.example"),
            ("unauthorized", Class::Http, "ca.example finds another host than this one under a.example"),
            ("caa", Class::Dns, "ca.example may not give certificates for a.example"),
            ("rateLimited", Class::Http, "ca.example wants no more requests for now"),
            ("tls", Class::Http, "ca.example does not give a certificate for a.example"),
        ] {
            let fault = of_name(&wanted(), "a.example", &problem(kind), &["seen".to_owned()]);
            assert_eq!((fault.class, fault.message.as_str()), (class, message), "{kind}");
            assert_eq!(fault.evidence, [&format!("ca.example says: too bad ({URN}{kind})"), "seen"]);
        }
    }

    #[test]
    fn what_our_own_client_says_stays() {
        let fault = Fault::new(Class::Proxy, "the proxy says no");
        let told = told(&wanted(), Error::Other(Box::new(fault)), &[]);
        assert_eq!((told.class, told.message.as_str()), (Class::Proxy, "the proxy says no"));
    }
}

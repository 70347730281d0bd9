//! Which hosts a blueprint can be installed on.

use std::cmp::Ordering;

use distro::Facts;

/// Is this host one that `wanted` names: `debian`, `ubuntu-22.04`, `debian >= 11`? The name is that of a system, of what it is
/// derived from, or of a family.
///
/// # Errors
/// Where it cannot be understood.
pub(super) fn matches(wanted: &str, facts: &Facts) -> Result<bool, String> {
    let (name, operator, version) = parse(wanted)
        .ok_or_else(|| format!("'{wanted}' is not a system such as debian, ubuntu-22.04 or \"debian >= 11\""))?;
    let family = serde_json::to_value(facts.family).ok().and_then(|family| family.as_str().map(str::to_owned));
    let found = if name == facts.os {
        &facts.version
    } else if name == facts.base || family.as_deref() == Some(name) {
        &facts.base_version
    } else {
        return Ok(false);
    };
    if operator.is_empty() {
        return Ok(true);
    }
    // What has no version is not released yet, and newer than everything that is.
    let order = if found.is_empty() { Ordering::Greater } else { numbers(found).cmp(&numbers(version)) };
    Ok(match operator {
        ">=" => order.is_ge(),
        ">" => order.is_gt(),
        "<=" => order.is_le(),
        "<" => order.is_lt(),
        // Version 9 is every 9.x.
        _ => !found.is_empty() && numbers(found).starts_with(&numbers(version)),
    })
}

/// Name, operator and version; the latter two empty where there are none.
fn parse(wanted: &str) -> Option<(&str, &str, &str)> {
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let is_version = |text: &str| !text.is_empty() && text.split('.').all(|part| part.parse::<u32>().is_ok());
    let wanted = wanted.trim();
    let (name, operator, version) = match wanted.find(['<', '>', '=']) {
        Some(at) => {
            let end = wanted[at..].find(|c| !matches!(c, '<' | '>' | '=')).map_or(wanted.len(), |length| at + length);
            (wanted[..at].trim(), &wanted[at..end], wanted[end..].trim())
        }
        None => match wanted.rsplit_once('-') {
            Some((name, version)) if is_version(version) => (name, "=", version),
            _ => return is_name(wanted).then_some((wanted, "", "")),
        },
    };
    let known = matches!(operator, "<" | "<=" | "=" | "==" | ">=" | ">");
    (known && is_name(name) && is_version(version)).then_some((name, operator, version))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::judge::tests::facts;

    #[test]
    fn systems_and_versions() {
        let debian = facts("ID=debian\nVERSION_ID=12\n");
        let mint = facts("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=21.3\nUBUNTU_CODENAME=jammy\n");
        let rocky = facts("ID=rocky\nID_LIKE=rhel\nVERSION_ID=9.3\n");
        let testing = facts("ID=debian\nVERSION_CODENAME=sid\n");
        for (wanted, facts, matched) in [
            ("debian", &debian, true),
            ("ubuntu", &debian, false),
            ("debian-12", &debian, true),
            ("debian-1", &debian, false),
            ("debian >= 11", &debian, true),
            ("debian>=12", &debian, true),
            ("debian > 12", &debian, false),
            ("debian <= 12", &debian, true),
            ("debian < 12", &debian, false),
            ("debian == 12", &debian, true),
            ("debian >= 9.13", &debian, true),
            ("debian", &mint, true),
            ("ubuntu >= 22.04", &mint, true),
            ("ubuntu-20.04", &mint, false),
            ("linuxmint >= 22", &mint, false),
            ("rocky-9", &rocky, true),
            ("rhel >= 8", &rocky, true),
            ("red_hat", &rocky, true),
            ("debian >= 11", &testing, true),
            ("debian <= 13", &testing, false),
        ] {
            assert_eq!(matches(wanted, facts), Ok(matched), "{wanted} on {}", facts.os);
        }
        for wanted in ["", "debian >=", "debian => 11", "debian >= eleven", ">= 11", "debian 11"] {
            assert!(matches(wanted, &debian).is_err(), "{wanted}");
        }
    }
}

//! The clock: one that stands before the day this program was built is wrong, and then no certificate and no signed repository is
//! valid.

use std::time::{Duration, SystemTime};

/// Seconds since 1970 of a day before this version, 2026-05-01; it moves with each release. A build with `SOURCE_DATE_EPOCH`
/// (reproducible-builds.org) takes that.
const RELEASED: u64 = 1_777_593_600;

/// When this program was built, at the earliest.
pub(super) fn built() -> SystemTime {
    let told = option_env!("SOURCE_DATE_EPOCH").and_then(|seconds| seconds.parse().ok());
    SystemTime::UNIX_EPOCH + Duration::from_secs(told.unwrap_or(RELEASED))
}

/// The day and minute of a time, in UTC.
pub(super) fn shown(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        Err(_) => "a time that no calendar has".into(),
    }
}

/// The time of a `Date` header (RFC 9110, 5.6.7).
pub(super) fn of_header(text: &str) -> Option<SystemTime> {
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(date.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_the_release() {
        let released = SystemTime::UNIX_EPOCH + Duration::from_secs(RELEASED);
        assert_eq!(shown(released), "2026-05-01 00:00 UTC");
        assert_eq!(of_header("Fri, 01 May 2026 00:00:00 GMT"), Some(released));
        assert_eq!(of_header("yesterday"), None);
        assert!(built() < SystemTime::now(), "{}", shown(built()));
    }
}

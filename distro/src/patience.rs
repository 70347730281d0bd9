//! Waiting for something that nothing announces. The only place that sleeps.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Asks `check` every `interval` until it gives something, at most for `limit`; `check` is told how long it has been. It is
/// asked at least once, and once more when the limit is reached. None: the limit passed.
///
/// # Errors
/// Those of `check`, which end the wait.
pub fn wait_until<T>(
    limit: Duration,
    interval: Duration,
    mut check: impl FnMut(Duration) -> Result<Option<T>>,
) -> Result<Option<T>> {
    let began = Instant::now();
    loop {
        let waited = began.elapsed();
        if let Some(answer) = check(waited)? {
            return Ok(Some(answer));
        }
        if waited >= limit {
            return Ok(None);
        }
        pause(interval.min(limit.saturating_sub(began.elapsed())));
    }
}

/// Waits before something is tried again.
#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_until_there_is_an_answer() {
        let mut asked = 0;
        let answer = wait_until(Duration::from_secs(5), Duration::from_millis(1), |_| {
            asked += 1;
            Ok((asked == 3).then_some("here"))
        });
        assert_eq!((answer.unwrap(), asked), (Some("here"), 3));
    }

    #[test]
    fn it_asks_once_more_when_the_limit_is_reached() {
        let mut told = Vec::new();
        let limit = Duration::from_millis(20);
        let answer = wait_until(limit, Duration::from_secs(60), |waited| {
            told.push(waited);
            Ok(None::<()>)
        });
        assert_eq!(answer.unwrap(), None);
        assert_eq!(told.len(), 2);
        assert!(told[1] >= limit);
    }

    #[test]
    fn an_error_ends_it() {
        let answer = wait_until(Duration::from_secs(60), Duration::ZERO, |_| anyhow::bail!("no") as Result<Option<()>>);
        assert_eq!(answer.unwrap_err().to_string(), "no");
    }
}

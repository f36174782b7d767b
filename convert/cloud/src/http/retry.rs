//! How long is waited before the next attempt.

use crate::TimeLimits;
use std::time::{Duration, SystemTime};

/// The pause after attempt `attempt` (from 1); `None` where no further one is due. What the server asks for counts
/// where it is longer, and ends the attempts where it is too long.
pub(super) fn pause(limits: &TimeLimits, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
    if attempt >= limits.attempts {
        return None;
    }
    let doubled = limits.pause.saturating_mul(1 << (attempt - 1).min(16)).min(limits.longest_pause);
    match asked {
        Some(asked) if asked > limits.longest_pause => None,
        Some(asked) => Some(asked.max(doubled)),
        // Many readers that were sent away together must not come back together.
        None => Some(doubled.mul_f64(0.5 + 0.5 * spread())),
    }
}

/// Somewhere from 0 to 1.
fn spread() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    f64::from(now.subsec_nanos() % 1009) / 1009.0
}

/// What `Retry-After` says (RFC 9110, section 10.2.3): seconds, or a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = super::head::number(value) {
        return Some(Duration::from_secs(seconds));
    }
    let then = crate::time::parse_http_date(value)?;
    Some(then.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let limits = TimeLimits {
            attempts: 4,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(3),
            ..TimeLimits::default()
        };
        for (attempt, most) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
            let pause = pause(&limits, attempt, None).unwrap().as_secs_f64();
            assert!((most / 2.0..=most).contains(&pause), "{attempt}: {pause}");
        }
        assert_eq!(pause(&limits, 4, None), None);
        assert_eq!(pause(&limits, 1, Some(Duration::from_secs(3))), Some(Duration::from_secs(3)));
        assert_eq!(pause(&limits, 2, Some(Duration::ZERO)), Some(Duration::from_secs(2)));
        assert_eq!(pause(&limits, 1, Some(Duration::from_secs(4))), None);
    }

    #[test]
    fn a_server_asks_in_seconds_or_with_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:27 GMT", now), Some(Duration::ZERO));
        for text in ["-1", "soon", "", "1.5"] {
            assert_eq!(retry_after(text, now), None, "{text}");
        }
    }
}

//! Times as people and other programs read them: UTC, RFC 3339, whole seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `time` as RFC 3339; one before 1970 is 1970.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH)).to_string()
}

/// The time of this moment.
pub(crate) fn now() -> String {
    rfc3339(SystemTime::now())
}

/// How long ago `time` was; a time to come is now.
pub(crate) fn age(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_and_never_before_1970() {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(1_709_208_000)), "2024-02-29T12:00:00Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }
}

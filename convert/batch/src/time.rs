//! Times as text: UTC, RFC 3339, milliseconds.

use std::time::SystemTime;

/// The time now.
pub(crate) fn now_text() -> String {
    text(SystemTime::now())
}

/// A time.
pub(crate) fn text(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// Seconds since 1970 of a time as text.
pub(crate) fn unix_seconds(text: &str) -> Option<f64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs_f64())
}

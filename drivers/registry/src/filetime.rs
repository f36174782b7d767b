//! Times as Windows counts them.

use std::time::{SystemTime, UNIX_EPOCH};

/// A FILETIME: units of 100 ns since 1601-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileTime(pub u64);

/// 1970-01-01 as a FILETIME.
const UNIX: u64 = 116_444_736_000_000_000;

impl FileTime {
    /// The FILETIME of a time of the host; times before 1970 become 1970.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(UNIX.saturating_add(u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn counts_from_1601() {
        let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        assert_eq!(FileTime::from_system(time), FileTime(126_444_736_000_000_000));
    }
}

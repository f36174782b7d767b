//! The ways in which clouds write times.

use std::time::{Duration, SystemTime};

/// RFC 3339 in whole seconds: `2026-11-30T19:27:08Z`.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Signatures of AWS: `20261130T192708Z`.
pub(crate) fn basic(time: SystemTime) -> String {
    rfc3339(time).replace(['-', ':'], "")
}

/// What `Expiration` of credentials says.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339_weak(text).ok().or_else(|| {
        // Some services write the offset of UTC out.
        humantime::parse_rfc3339_weak(&format!("{}Z", text.strip_suffix("+00:00")?)).ok()
    })
}

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The date of HTTP (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let weekday = DAYS.get((seconds / 86_400 % 7) as usize).unwrap_or(&"Thu");
    let text = rfc3339(time);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{weekday}, {} {} {} {} GMT", part(8, 10), month.unwrap_or(&"Jan"), part(0, 4), part(11, 19))
}

/// Reads [`http_date`] again; the two older notations are not taken.
pub(crate) fn parse_http_date(text: &str) -> Option<SystemTime> {
    let (_, date) = text.split_once(", ")?;
    let mut words = date.strip_suffix(" GMT")?.split(' ');
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}Z")).ok()
}

/// Whether `time` is so near that what ends then is not begun with.
pub(crate) fn is_near(time: SystemTime) -> bool {
    time.duration_since(SystemTime::now()).unwrap_or_default() < Duration::from_secs(300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_each_wants_them() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(rfc3339(time), "1994-11-06T08:49:37Z");
        assert_eq!(basic(time), "19941106T084937Z");
        assert_eq!(http_date(time), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(SystemTime::UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(parse_http_date(&http_date(time)), Some(time));
        assert_eq!(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), None);
        assert_eq!(parse_rfc3339("1994-11-06T08:49:37+00:00"), Some(time));
        assert_eq!(parse_rfc3339("1994-11-06T08:49:37Z"), Some(time));
    }
}

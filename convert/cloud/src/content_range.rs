//! `Content-Range`: which bytes an answer holds (RFC 9110, section 14.4).

use crate::http::number;

/// First byte, last byte and size of the whole, all in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte that the answer holds.
    pub first: u64,
    /// The last byte that it holds.
    pub last: u64,
    /// How many the object has.
    pub total: u64,
}

impl ContentRange {
    /// Reads `bytes 0-511/1048576`. `None` for anything else, as for a total of `*` and for ranges outside of the total.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.split_once(' ')?;
        let (range, total) = rest.trim_start().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let found = Self { first: number(first)?, last: number(last)?, total: number(total)? };
        (unit.eq_ignore_ascii_case("bytes") && found.first <= found.last && found.last < found.total)
            .then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_one_inside_of_its_total_is_one() {
        assert_eq!(ContentRange::parse("bytes 0-0/1"), Some(ContentRange { first: 0, last: 0, total: 1 }));
        let top = format!("bytes 5-9/{}", u64::MAX);
        assert_eq!(ContentRange::parse(&top), Some(ContentRange { first: 5, last: 9, total: u64::MAX }));
        for text in [
            "bytes 0-0/0",
            "bytes 0-1/1",
            "bytes 2-1/9",
            "bytes 0-0/*",
            "bytes */9",
            "0-0/1",
            "bytes +0-0/1",
            "bytes 0-0/1 ",
            "bytes -1-0/1",
            "bytes 0-0/18446744073709551616",
            "items 0-0/1",
            "",
            "bytes 0-0",
            "bytes 0- 0/1",
        ] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
    }
}

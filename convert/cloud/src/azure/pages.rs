//! Which pages of a blob hold something ("Get Page Ranges").

use crate::http::number;
use crate::xml;
use format_core::Result;

/// Pages that were written, or, in a difference, that were written or cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    /// First byte.
    pub start: u64,
    /// The byte behind the last.
    pub end: u64,
    /// In a difference: what was there is gone, and reads as zeros.
    pub is_clear: bool,
}

/// A checked answer of Get Page Ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageList {
    /// Ascending, not overlapping.
    pub ranges: Vec<PageRange>,
    /// Where more follow.
    pub next: Option<String>,
}

impl PageList {
    /// Reads an answer for a blob of `size` bytes.
    ///
    /// # Errors
    /// `Io` where ranges are no pages of 512 bytes, overlap, or lie outside.
    pub fn parse(body: &[u8], size: u64) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| xml::wrong("the list of pages is no text"))?;
        let document = xml::parse(text)?;
        let root = document.root_element();
        if root.tag_name().name() != "PageList" {
            return Err(xml::wrong("the list of pages is another document"));
        }
        let mut list = Self::default();
        for node in root.children().filter(|node| node.is_element()) {
            let is_clear = match node.tag_name().name() {
                "PageRange" => false,
                "ClearRange" => true,
                "NextMarker" => {
                    list.next = node
                        .text()
                        .map(str::to_owned)
                        .filter(|marker| !marker.is_empty() && marker.len() <= 4096);
                    continue;
                }
                _ => continue,
            };
            let place = |name| xml::text(node, name).and_then(number);
            let (Some(start), Some(last)) = (place("Start"), place("End")) else {
                return Err(xml::wrong("a range in the list of pages has no start or end"));
            };
            let end = last.checked_add(1).filter(|end| start < *end && *end <= size);
            let end = end.filter(|end| start % 512 == 0 && end % 512 == 0);
            let end = end.ok_or_else(|| {
                xml::wrong(format!(
                    "the list has pages from {start:#x} to {last:#x}, which the blob does not have"
                ))
            })?;
            list.ranges.push(PageRange { start, end, is_clear });
        }
        // Written and cleared ones may come in two sequences.
        list.ranges.sort_by_key(|range| range.start);
        if list.ranges.windows(2).any(|pair| matches!(pair, [a, b] if a.end > b.start)) {
            return Err(xml::wrong("ranges in the list of pages overlap"));
        }
        // What was written in several steps is told in several ranges.
        list.ranges.dedup_by(|next, before| {
            let is_one = before.end == next.start && before.is_clear == next.is_clear;
            if is_one {
                before.end = next.end;
            }
            is_one
        });
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &str) -> Result<PageList> {
        PageList::parse(format!("<?xml version=\"1.0\"?><PageList>{ranges}</PageList>").as_bytes(), 4096)
    }

    #[test]
    fn lists_are_read_and_checked() {
        let found = list("<ClearRange><Start>1024</Start><End>2047</End></ClearRange><PageRange><Start>0</Start><End>511</End></PageRange><NextMarker>m</NextMarker>").unwrap();
        let wanted = [
            PageRange { start: 0, end: 512, is_clear: false },
            PageRange { start: 1024, end: 2048, is_clear: true },
        ];
        assert_eq!((found.ranges.as_slice(), found.next.as_deref()), (wanted.as_slice(), Some("m")));
        assert_eq!(list("<NextMarker/>").unwrap(), PageList::default());
        let two = "<PageRange><Start>0</Start><End>511</End></PageRange><PageRange><Start>512</Start><End>1023</End></PageRange>";
        assert_eq!(list(two).unwrap().ranges, [PageRange { start: 0, end: 1024, is_clear: false }]);
        for (start, end) in [
            ("0", "510"),
            ("1", "511"),
            ("512", "511"),
            ("0", "4607"),
            ("0", "18446744073709551615"),
            ("-1", "511"),
            ("", "511"),
        ] {
            assert!(
                list(&format!("<PageRange><Start>{start}</Start><End>{end}</End></PageRange>")).is_err(),
                "{start} {end}"
            );
        }
        let one = "<PageRange><Start>0</Start><End>1023</End></PageRange>";
        assert!(list(&format!("{one}{one}")).is_err() && list("<PageRange/>").is_err());
        assert!(PageList::parse(b"<Error/>", 512).is_err());
    }
}

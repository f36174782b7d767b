//! What the examiner and the acquiring program wrote about the image: `header`, `header2`.

use crate::layout::MAX_HEADER;

/// Values longer than this are cut: EnCase allows 3000 characters.
const MAX_VALUE: usize = 3000;

/// The identifiers of a header and what they are called in `info`.
const NAMES: &[(&str, &str)] = &[
    ("c", "case-number"),
    ("n", "evidence-number"),
    ("a", "description"),
    ("e", "examiner"),
    ("t", "notes"),
    ("md", "model"),
    ("sn", "serial-number"),
    ("l", "device-label"),
    ("av", "acquired-with"),
    ("ov", "acquired-on"),
    ("m", "acquired-at"),
    ("u", "system-date"),
    ("pid", "process"),
];

/// Name and value of what a header says.
pub(crate) type Values = Vec<(&'static str, String)>;

/// The values of a packed header; `None` when it is damaged.
pub(crate) fn values(packed: &[u8]) -> Option<Values> {
    let text = text(&unpack(packed)?);
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
    lines.find(|line| *line == "main")?;
    let (names, values) = (lines.next()?.split('\t'), lines.next()?.split('\t'));
    let known = |(id, value): (&str, &str)| {
        let (_, name) = NAMES.iter().find(|(known, _)| *known == id)?;
        let value: String = value.chars().filter(|c| !c.is_control()).take(MAX_VALUE).collect();
        let value = if matches!(id, "m" | "u") { time(&value) } else { value };
        (!value.is_empty()).then_some((*name, value))
    };
    Some(names.zip(values).filter_map(known).collect())
}

/// The text between the tags of an `xhash` section, for any case of `tag`.
pub(crate) fn tagged(packed: &[u8], tag: &str) -> Option<String> {
    let text = text(&unpack(packed)?).to_ascii_lowercase();
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let start = text.find(&open)? + open.len();
    let len = text.get(start..)?.find(&close)?;
    text.get(start..start + len).map(|found| found.trim().to_owned())
}

/// What a zlib stream holds, if that is no more than a header can have.
fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut inflater = libdeflater::Decompressor::new();
    for len in [MAX_HEADER / 16, MAX_HEADER] {
        let mut bytes = vec![0; len];
        match inflater.zlib_decompress(packed, &mut bytes) {
            Ok(len) => {
                bytes.truncate(len);
                return Some(bytes);
            }
            Err(libdeflater::DecompressionError::InsufficientSpace) => {}
            Err(libdeflater::DecompressionError::BadData) => return None,
        }
    }
    None
}

/// UTF-16 with its mark, UTF-8, else a Windows code page, of which only the Latin letters are told.
fn text(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<_> = bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().copied().map(char::from).collect(),
        },
    }
}

/// Seconds since 1970 as a time in UTC; six numbers as the local time they are; all else as it is.
fn time(value: &str) -> String {
    if let Some(seconds) = value.parse::<u32>().ok().filter(|_| value.len() >= 8) {
        let (days, rest) = (i64::from(seconds / 86_400), seconds % 86_400);
        let (year, month, day) = date(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        return format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    }
    let numbers: Option<Vec<u32>> = value.split(' ').map(|part| part.parse().ok()).collect();
    match numbers.as_deref() {
        Some([year, month, day, hour, minute, second]) => {
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
        }
        _ => value.to_owned(),
    }
}

/// The date so many days after 1970-01-01. Years begin in March here, so that the leap day is the last of one.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(text: &[u8]) -> Vec<u8> {
        let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::fastest());
        let mut packed = vec![0; packer.zlib_compress_bound(text.len())];
        let len = packer.zlib_compress(text, &mut packed).unwrap();
        packed.truncate(len);
        packed
    }

    #[test]
    fn headers_of_all_tools_are_understood() {
        let plain = b"1\r\nmain\r\nc\tn\te\tm\tp\tr\r\ncase\t\tJ\xf6rg\t2002 3 4 10 19 59\t0\tn\r\n\r\n";
        let found = values(&pack(plain)).unwrap();
        let expected =
            [("case-number", "case"), ("examiner", "Jörg"), ("acquired-at", "2002-03-04T10:19:59")];
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
        let mut wide = vec![0xff, 0xfe];
        wide.extend("3\nmain\na\tm\tdc\nü\t1142163845\t\n\nsrce\n".encode_utf16().flat_map(u16::to_le_bytes));
        let found = values(&pack(&wide)).unwrap();
        let expected = [("description", "ü"), ("acquired-at", "2006-03-12T11:44:05Z")];
        assert_eq!(found, expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(values(&pack(b"1\nmain\na")), None);
        assert_eq!(values(b"no zlib"), None);
        assert_eq!(values(&pack(&vec![b'a'; MAX_HEADER + 1])), None);
        assert_eq!(tagged(&pack(b"<xhash>\n<SHA1> ab </SHA1>"), "sha1").as_deref(), Some("ab"));
        assert_eq!(tagged(&pack(b"<sha1>ab"), "sha1"), None);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, expected) in
            [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (19_782, (2024, 2, 29))]
        {
            assert_eq!(date(days), expected);
        }
        assert_eq!(time("12 11"), "12 11");
    }
}

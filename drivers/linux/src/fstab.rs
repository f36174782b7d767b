//! fstab(5), read and edited field by field.

use std::ops::Range;

/// One line of fstab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FstabEntry {
    /// Device, tag or remote name, as it stands there.
    pub device: String,
    /// Mount point; `none` for swap.
    pub point: String,
    /// File system type.
    pub kind: String,
    /// Options; empty when the line has none.
    pub options: Vec<String>,
}

impl FstabEntry {
    /// Whether `option` is set.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|set| set == option)
    }
}

/// Reads fstab(5). Lines that are no entry are left out.
#[must_use]
pub fn read_fstab(text: &str) -> Vec<FstabEntry> {
    text.lines().filter_map(parse_line).collect()
}

/// One line as an entry; `None` for comments, empty lines and lines with less than three fields.
pub(crate) fn parse_line(line: &str) -> Option<FstabEntry> {
    let field = |index| Some(line.get(fields(line).nth(index)?)?.to_owned());
    Some(FstabEntry {
        device: unescape(&field(0)?),
        point: unescape(&field(1)?),
        kind: field(2)?,
        options: field(3).map(|list| list.split(',').map(str::to_owned).collect()).unwrap_or_default(),
    })
}

/// The places of the fields in a line: separated by blanks, nothing after a `#` at the line's start.
pub(crate) fn fields(line: &str) -> impl Iterator<Item = Range<usize>> {
    let comment = line.trim_start().starts_with('#');
    let line = if comment { "" } else { line };
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.get(at..)?;
        let start = at + rest.find(|c: char| !c.is_ascii_whitespace())?;
        let rest = line.get(start..)?;
        let end = start + rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        at = end;
        Some(start..end)
    })
}

/// The line with field `index` replaced; missing fields before the end are not invented: `None` then.
pub(crate) fn with_field(line: &str, index: usize, value: &str) -> Option<String> {
    let place = fields(line).nth(index)?;
    Some(format!("{}{value}{}", line.get(..place.start)?, line.get(place.end..)?))
}

/// fstab(5): `\040` is a blank, likewise for tab, newline and backslash.
fn unescape(field: &str) -> String {
    if !field.contains('\\') {
        return field.to_owned();
    }
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_everything_else_is_not() {
        let text =
            "# comment\n\n /dev/xvda1\t/  ext4 defaults,noatime 0 1\r\nUUID=x /my\\040data xfs\nbad line\n";
        let entries = read_fstab(text);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].device, "/dev/xvda1");
        assert!(entries[0].has("noatime") && !entries[0].has("noa"));
        assert_eq!(entries[1].point, "/my data");
        assert!(entries[1].options.is_empty());
    }

    #[test]
    fn a_field_is_replaced_and_the_rest_stays() {
        let line = " /dev/xvda1\t/  ext4 defaults 0 1  # root";
        assert_eq!(with_field(line, 0, "UUID=1").unwrap(), " UUID=1\t/  ext4 defaults 0 1  # root");
        assert_eq!(with_field(line, 3, "ro").unwrap(), " /dev/xvda1\t/  ext4 ro 0 1  # root");
        assert_eq!(with_field("a b", 3, "x"), None);
        assert_eq!(with_field("#a b", 0, "x"), None);
    }
}

//! Volume groups: where LVM had each piece of each volume, and the bytes that make a partition a part of the group.

use crate::config::{Section, Value, parse};
use crate::error::ClonezillaError;
use crate::extents::is_gapless;

/// LVM's sectors, whatever the disk's are.
const SECTOR: u64 = 512;
/// Where the area for metadata begins in a physical volume.
const AREA: u64 = 4096;
/// Where the text begins in that area.
const TEXT: u64 = 512;
const INITIAL_CRC: u32 = 0xf597_a6cf;
const MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";

/// A volume group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) physical: Vec<Physical>,
    pub(crate) logical: Vec<Logical>,
    /// The text, as LVM wrote it.
    text: Vec<u8>,
}

/// A physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Physical {
    /// What the text calls it.
    pub(crate) key: String,
    /// Its UUID with hyphens.
    pub(crate) id: String,
    /// Where it was when the text was written, without /dev.
    pub(crate) device: String,
    /// Its size in bytes, 0 where it is not told.
    pub(crate) size: u64,
    /// Where its extents begin, in bytes.
    start: u64,
    /// Where its extents end, in bytes, if that is told.
    pub(crate) end: Option<u64>,
}

/// A logical volume of linear and striped segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logical {
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: u64,
    /// The type of a segment that is neither linear nor striped.
    pub(crate) other_type: Option<String>,
    pub(crate) is_visible: bool,
    pub(crate) columns: Vec<Column>,
}

/// One of the columns of a segment: plain bytes of a physical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The number in [`Group::physical`], and where in that, in bytes.
    pub(crate) physical: usize,
    pub(crate) place: u64,
    pub(crate) len: u64,
    /// Where in the volume the segment begins.
    pub(crate) base: u64,
    /// Bytes of a stripe, how many columns the segment has, and which this is.
    pub(crate) stripe: u64,
    pub(crate) columns: u64,
    pub(crate) column: u64,
}

impl Group {
    /// Reads the text `file` of the group `name`.
    pub(crate) fn parse(file: &str, name: &str, text: Vec<u8>) -> Result<Self, ClonezillaError> {
        let fault = |(what, at)| ClonezillaError::Text { file: file.into(), what, at };
        let all = parse(&String::from_utf8_lossy(&text)).map_err(fault)?;
        let bad = |what: &'static str, name: &str| ClonezillaError::Group {
            file: file.into(),
            what,
            name: name.into(),
        };
        let group = all.section(name).ok_or_else(|| bad("there is no section", name))?;
        let extent = group.number("extent_size").and_then(|sectors| sectors.checked_mul(SECTOR));
        let extent = extent.filter(|extent| *extent > 0).ok_or_else(|| bad("no extent size", name))?;
        let mut physical = Vec::new();
        for (key, one) in
            group.section("physical_volumes").map(|all| all.sections.as_slice()).unwrap_or_default()
        {
            let start = one.number("pe_start").and_then(|sectors| sectors.checked_mul(SECTOR));
            let count = one.number("pe_count");
            let end = count.map(|count| {
                let end = count.checked_mul(extent).and_then(|len| len.checked_add(start?));
                end.ok_or_else(|| bad("more extents than any disk has", key))
            });
            let id = one.text("id").map(str::to_owned).filter(|id| plain_id(id).is_some());
            physical.push(Physical {
                key: key.clone(),
                id: id.ok_or_else(|| bad("no UUID", key))?,
                device: one.text("device").unwrap_or_default().trim_start_matches("/dev/").to_owned(),
                size: one.number("dev_size").and_then(|sectors| sectors.checked_mul(SECTOR)).unwrap_or(0),
                start: start.ok_or_else(|| bad("no place of the extents", key))?,
                end: end.transpose()?,
            });
        }
        let mut logical = Vec::new();
        for (key, one) in
            group.section("logical_volumes").map(|all| all.sections.as_slice()).unwrap_or_default()
        {
            let volume = volume(key, one, extent, &physical);
            logical.push(volume.ok_or_else(|| bad("segments that cannot be", key))?);
        }
        Self { name: name.to_owned(), physical, logical, text }.checked(file)
    }

    /// On a disk the group's section stands first: LVM reads the group's name there. A backup has it last.
    fn text_on_disk(&self) -> Option<Vec<u8>> {
        let begins = |line: &[u8]| {
            let rest = line.strip_prefix(self.name.as_bytes());
            rest.is_some_and(|rest| rest.trim_ascii().starts_with(b"{"))
        };
        let mut at = 0;
        for line in self.text.split_inclusive(|byte| *byte == b'\n') {
            if begins(line) {
                let (before, section) = self.text.split_at(at);
                let mut text = [section, b"\n", before].concat();
                text.retain(|byte| *byte != 0);
                return Some(text);
            }
            at += line.len();
        }
        None
    }

    /// What lies before the extents of the physical volume with this number, which has `size` bytes: label and metadata.
    pub(crate) fn head(&self, number: usize, size: u64) -> Result<Vec<u8>, ClonezillaError> {
        let bad = |what: &'static str, name: &str| ClonezillaError::Group {
            file: format!("lvm_{}.conf", self.name),
            what,
            name: name.into(),
        };
        let one = self.physical.get(number).ok_or_else(|| bad("no physical volume", &number.to_string()))?;
        let mut text = self.text_on_disk().ok_or_else(|| bad("no line begins the section", &self.name))?;
        text.push(0);
        let area = one.start.min(64 << 20).saturating_sub(AREA);
        if TEXT + text.len() as u64 > area / 2 + TEXT || one.start > size {
            return Err(bad("there is no room for the metadata before the extents", &one.key));
        }
        if one.end.is_some_and(|end| end > size) {
            return Err(bad("the partition ends before the extents", &one.key));
        }
        let mut bytes = vec![0; (AREA + TEXT) as usize + text.len()];
        label(&mut bytes[512..1024], one, size, area);
        let (header, rest) = bytes[AREA as usize..].split_at_mut(TEXT as usize);
        rest.copy_from_slice(&text);
        header[4..20].copy_from_slice(MAGIC);
        header[20..24].copy_from_slice(&1u32.to_le_bytes());
        for (at, number) in [(24, AREA), (32, area), (40, TEXT), (48, text.len() as u64)] {
            header[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        header[56..60].copy_from_slice(&crc(&text).to_le_bytes());
        let sum = crc(&header[4..]);
        header[..4].copy_from_slice(&sum.to_le_bytes());
        Ok(bytes)
    }
}

/// The label's sector: which volume this is, and where its areas are.
fn label(sector: &mut [u8], one: &Physical, size: u64, area: u64) {
    sector[..8].copy_from_slice(b"LABELONE");
    sector[8..16].copy_from_slice(&1u64.to_le_bytes());
    sector[20..24].copy_from_slice(&32u32.to_le_bytes());
    sector[24..32].copy_from_slice(b"LVM2 001");
    sector[32..64].copy_from_slice(&plain_id(&one.id).unwrap_or([b'0'; 32]));
    // The size, the area of data and its end, the area of metadata; zeros end both lists.
    for (at, number) in [(64, size), (72, one.start), (104, AREA), (112, area)] {
        sector[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    let sum = crc(&sector[20..]);
    sector[16..20].copy_from_slice(&sum.to_le_bytes());
}

/// The 32 characters of a UUID, without its hyphens.
fn plain_id(id: &str) -> Option<[u8; 32]> {
    let plain: Vec<u8> = id.bytes().filter(|byte| *byte != b'-').collect();
    plain.try_into().ok().filter(|id: &[u8; 32]| id.iter().all(u8::is_ascii_alphanumeric))
}

fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!INITIAL_CRC);
    hasher.update(bytes);
    !hasher.finalize()
}

fn volume(name: &str, one: &Section, extent: u64, physical: &[Physical]) -> Option<Logical> {
    let is_visible = one.list("status").contains(&Value::Text("VISIBLE".into()));
    let (mut size, mut other_type, mut columns) = (0u64, None, Vec::new());
    let mut segments = Vec::new();
    for (_, segment) in one.sections.iter().filter(|(name, _)| name.starts_with("segment")) {
        let base = segment.number("start_extent")?.checked_mul(extent)?;
        let len = segment.number("extent_count")?.checked_mul(extent)?;
        let end = base.checked_add(len).filter(|end| i64::try_from(*end).is_ok())?;
        size = size.max(end);
        segments.push((base, len));
        let kind = segment.text("type")?;
        if kind != "striped" && kind != "linear" {
            other_type = Some(kind.to_owned());
            continue;
        }
        let stripes = segment.list("stripes");
        let count = segment.number("stripe_count")?;
        if stripes.len() as u64 != count.checked_mul(2)? || count == 0 || !len.is_multiple_of(count) {
            return None;
        }
        let stripe = if count == 1 { len } else { segment.number("stripe_size")?.checked_mul(SECTOR)? };
        if stripe == 0 && len > 0 {
            return None;
        }
        for (column, two) in stripes.chunks(2).enumerate() {
            let [Value::Text(key), Value::Number(first)] = two else { return None };
            let number = physical.iter().position(|one| one.key == *key)?;
            let place = first.checked_mul(extent)?.checked_add(physical.get(number)?.start)?;
            let len = len / count;
            place.checked_add(len).filter(|end| i64::try_from(*end).is_ok())?;
            let column = column as u64;
            columns.push(Column { physical: number, place, len, base, stripe, columns: count, column });
        }
    }
    let is_counted = one.number("segment_count").is_none_or(|count| count == segments.len() as u64);
    if !is_counted || !is_gapless(segments) {
        return None;
    }
    Some(Logical { name: name.to_owned(), size, other_type, is_visible, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"contents = "Text Format Volume Group"
version = 1
vg {
    extent_size = 8192
    physical_volumes {
        pv0 { id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg" device = "/dev/sda2" dev_size = 100000 pe_start = 2048 pe_count = 9 }
        pv1 { id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggh" device = "/dev/sdb" pe_start = 2048 pe_count = 9 }
    }
    logical_volumes {
        root { status = ["READ", "VISIBLE"] segment_count = 2
            segment1 { start_extent = 0 extent_count = 2 type = "striped" stripe_count = 1 stripes = [ "pv0", 3 ] }
            segment2 { start_extent = 2 extent_count = 4 type = "striped" stripe_count = 2 stripe_size = 128 stripes = [ "pv0", 0, "pv1", 1 ] }
        }
        thin { status = ["READ"] segment_count = 1 segment1 { start_extent = 0 extent_count = 1 type = "thin" } }
    }
}
"#;

    #[test]
    fn volumes_are_cut_into_columns() {
        let group = Group::parse("f", "vg", TEXT.into()).unwrap();
        let (root, mib) = (&group.logical[0], 1u64 << 20);
        assert_eq!((root.size, root.is_visible, root.columns.len()), (24 * mib, true, 3));
        assert_eq!(
            (root.columns[0].place, root.columns[0].len, root.columns[0].stripe),
            (13 * mib, 8 * mib, 8 * mib)
        );
        let last = &root.columns[2];
        assert_eq!((last.physical, last.place, last.len, last.base), (1, 5 * mib, 8 * mib, 8 * mib));
        assert_eq!((last.stripe, last.columns, last.column), (65536, 2, 1));
        assert_eq!(group.logical[1].other_type.as_deref(), Some("thin"));
        let head = group.head(0, 100_000 * 512).unwrap();
        assert_eq!((&head[512..520], &head[4100..4116]), (&b"LABELONE"[..], &MAGIC[..]));
        assert!(group.head(0, mib - 1).is_err(), "the extents begin behind the end");
    }

    #[test]
    fn nonsense_is_refused() {
        for (from, to) in [
            ("vg {", "other {"),
            ("extent_size = 8192", "extent_size = 0"),
            ("extent_size = 8192", "extent_size = 9999999999999999999"),
            ("\"pv0\", 3", "\"pv7\", 3"),
            ("\"pv0\", 3", "\"pv0\""),
            ("stripe_count = 1", "stripe_count = 0"),
            ("stripe_size = 128", "stripe_size = 0"),
            ("stripes = [ \"pv0\", 3 ]", "stripes = [ \"pv0\", 18446744073709551615 ]"),
            ("gggggg\"", "ggg\""),
            ("gggggh\"", "gggggg\""),
            ("segment_count = 2", "segment_count = 3"),
            ("start_extent = 2", "start_extent = 1"),
            ("start_extent = 2", "start_extent = 3"),
            ("\"pv0\", 3", "\"pv0\", 1"),
            ("\"pv1\", 1", "\"pv0\", 1"),
            ("\"pv0\", 3", "\"pv0\", 8"),
            ("pe_count = 9", "pe_count = 900"),
            ("pe_count = 9", "pe_count = 4"),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT);
            assert!(Group::parse("f", "vg", text.into()).is_err(), "{to}");
        }
    }
}

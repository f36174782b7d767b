//! A volume group as its metadata describes it: text to trusted types, no I/O.
//!
//! Names of fields are those of the metadata (LVM2 `lib/format_text/import_vsn1.c` reads the same ones). Extents are
//! counted in `extent_size`, which the text has in sectors of 512 bytes.

use crate::label::id;
use crate::text::{Node, Section, parse};
use format_core::{Error, Result};
use std::collections::BTreeMap;

pub(crate) const SECTOR: u64 = 512;
/// lvm(8), "VALID NAMES".
const MAX_NAME: usize = 127;

/// One version of a group. Equal when nothing that matters differs: the time of writing is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupText {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) seqno: u64,
    /// Bytes.
    pub(crate) extent_size: u64,
    pub(crate) status: Vec<String>,
    /// `none` when absent.
    pub(crate) lock_type: String,
    /// By the name that segments use (`pv0`).
    pub(crate) physical: BTreeMap<String, PhysicalText>,
    pub(crate) logical: Vec<LogicalText>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PhysicalText {
    pub(crate) id: String,
    /// First byte of extent 0.
    pub(crate) start: u64,
    /// Extents.
    pub(crate) count: u64,
    pub(crate) is_missing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogicalText {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) status: Vec<String>,
    /// Those that older versions of LVM do not know.
    pub(crate) flags: Vec<String>,
    /// Extents.
    pub(crate) count: u64,
    /// Contiguous from extent 0.
    pub(crate) segments: Vec<SegmentText>,
}

impl LogicalText {
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.status.iter().chain(&self.flags).any(|set| set == flag)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentText {
    /// Extents.
    pub(crate) start: u64,
    pub(crate) count: u64,
    pub(crate) kind: SegmentKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SegmentKind {
    /// Equal parts, each from an extent of a physical volume (or of a hidden logical volume, while it is moved).
    Striped {
        /// Bytes; 0 with one stripe.
        stripe_size: u64,
        stripes: Vec<(String, u64)>,
    },
    /// `origin` as it was when the snapshot was taken; `store` holds what changed since.
    Snapshot {
        origin: String,
        store: String,
        is_merging: bool,
        /// Sectors.
        chunk_size: Option<u64>,
    },
    /// A type whose content is not mapped natively, with its fields as they are written.
    Other(String, Section),
}

/// Parses the text of a metadata area.
///
/// # Errors
/// `Corrupt` when it is no volume group or contradicts itself, `Limit` when it is too large.
pub(crate) fn parse_group(text: &[u8]) -> Result<GroupText> {
    let file = parse(text)?;
    if file.text("contents")? != "Text Format Volume Group" || file.number("version")? != 1 {
        return Err(Error::corrupt("the metadata is no text format volume group of version 1"));
    }
    let mut sections = file.sections();
    let (Some((name, group)), None) = (sections.next(), sections.next()) else {
        return Err(Error::corrupt("the metadata does not describe exactly one volume group"));
    };
    read_group(name, group).map_err(|error| error.context(format!("volume group {name}")))
}

fn read_group(name: &str, group: &Section) -> Result<GroupText> {
    check_name(name)?;
    let extent_size = group.number("extent_size")?;
    if extent_size == 0 || extent_size > u64::from(u32::MAX) {
        return Err(Error::corrupt(format!("extent_size is {extent_size} sectors")));
    }
    let extent_size = extent_size * SECTOR;
    let mut physical = BTreeMap::new();
    for (name, section) in group.section("physical_volumes").into_iter().flat_map(Section::sections) {
        let found =
            read_physical(section, extent_size).map_err(|e| e.context(format!("physical volume {name}")))?;
        physical.insert(name.to_owned(), found);
    }
    let mut logical = Vec::new();
    for (name, section) in group.section("logical_volumes").into_iter().flat_map(Section::sections) {
        logical.push(read_logical(name, section).map_err(|e| e.context(format!("logical volume {name}")))?);
    }
    let distinct: std::collections::BTreeSet<_> =
        physical.values().map(|volume: &PhysicalText| &volume.id).collect();
    if distinct.len() != physical.len() {
        return Err(Error::corrupt("two physical volumes have the same id"));
    }
    Ok(GroupText {
        name: name.into(),
        id: id(group.text("id")?.as_bytes())?,
        seqno: group.number("seqno")?,
        extent_size,
        status: group.texts("status")?,
        lock_type: group.text("lock_type").unwrap_or("none").into(),
        physical,
        logical,
    })
}

fn check_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte);
    if name.is_empty()
        || name.len() > MAX_NAME
        || name.starts_with('-')
        || matches!(name, "." | "..")
        || !name.bytes().all(fits)
    {
        return Err(Error::corrupt("this cannot be a name"));
    }
    Ok(())
}

fn extents(section: &Section, name: &str) -> Result<u64> {
    let count = section.number(name)?;
    if count > u64::from(u32::MAX) {
        return Err(Error::corrupt(format!("{name} is {count}, extents are counted in 32 bits")));
    }
    Ok(count)
}

fn read_physical(section: &Section, extent_size: u64) -> Result<PhysicalText> {
    let start = section.number("pe_start")?.checked_mul(SECTOR);
    let count = extents(section, "pe_count")?;
    let end = start.and_then(|start| start.checked_add(count.checked_mul(extent_size)?));
    let (Some(start), Some(_)) = (start, end) else {
        return Err(Error::corrupt(format!("{count} extents end beyond all disks")));
    };
    let missing = |list: Vec<String>| list.iter().any(|flag| flag == "MISSING");
    let is_missing = missing(section.texts("status")?) || missing(section.texts("flags")?);
    Ok(PhysicalText { id: id(section.text("id")?.as_bytes())?, start, count, is_missing })
}

fn read_logical(name: &str, section: &Section) -> Result<LogicalText> {
    check_name(name)?;
    let mut segments = Vec::new();
    for (name, segment) in section.sections().filter(|(name, _)| name.starts_with("segment")) {
        segments.push(read_segment(segment).map_err(|error| error.context(name.to_owned()))?);
    }
    let written = section.number("segment_count")?;
    if written != segments.len() as u64 || segments.is_empty() {
        return Err(Error::corrupt(format!(
            "segment_count is {written}, there are {} segments",
            segments.len()
        )));
    }
    segments.sort_by_key(|segment: &SegmentText| segment.start);
    let mut count = 0;
    for segment in &segments {
        if segment.start != count {
            let text =
                format!("a segment starts at extent {}, the one before ends at {count}", segment.start);
            return Err(Error::corrupt(text));
        }
        count += segment.count;
    }
    let id = id(section.text("id")?.as_bytes())?;
    let (status, flags) = (section.texts("status")?, section.texts("flags")?);
    Ok(LogicalText { name: name.into(), id, status, flags, count, segments })
}

fn read_segment(segment: &Section) -> Result<SegmentText> {
    let (start, count) = (extents(segment, "start_extent")?, extents(segment, "extent_count")?);
    if count == 0 {
        return Err(Error::corrupt("a segment has no extents"));
    }
    let kind = match segment.text("type")? {
        "striped" | "linear" => read_striped(segment, count)?,
        "snapshot" => {
            let merging = segment.text("merging_store");
            let store = merging.as_ref().map_or_else(|_| segment.text("cow_store"), |store| Ok(*store))?;
            SegmentKind::Snapshot {
                origin: segment.text("origin")?.into(),
                store: store.into(),
                is_merging: merging.is_ok(),
                chunk_size: segment.number("chunk_size").ok(),
            }
        }
        other => SegmentKind::Other(other.into(), segment.clone()),
    };
    Ok(SegmentText { start, count, kind })
}

fn read_striped(segment: &Section, count: u64) -> Result<SegmentKind> {
    let written = segment.number("stripe_count")?;
    let list = segment.list("stripes")?;
    let (pairs, []) = list.as_chunks::<2>() else {
        return Err(Error::corrupt("stripes is no list of pairs"));
    };
    let mut stripes = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let [Node::Text(name), Node::Number(extent)] = pair else {
            return Err(Error::corrupt("stripes is no list of names and extents"));
        };
        let extent = u32::try_from(*extent)
            .map_err(|_| Error::corrupt(format!("a stripe begins at extent {extent}")))?;
        stripes.push((name.clone(), u64::from(extent)));
    }
    let number = stripes.len() as u64;
    if number == 0 || written != number || !count.is_multiple_of(number) {
        let text = format!("{count} extents in {written} stripes, of which {number} are listed");
        return Err(Error::corrupt(text));
    }
    let stripe_size = if number == 1 { 0 } else { segment.number("stripe_size")? };
    if number > 1 && (!stripe_size.is_power_of_two() || stripe_size > u64::from(u32::MAX)) {
        return Err(Error::corrupt(format!("stripe_size is {stripe_size} sectors")));
    }
    Ok(SegmentKind::Striped { stripe_size: stripe_size * SECTOR, stripes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PV: &str = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345";

    fn text(extra: &str, segment: &str) -> String {
        format!(
            "vg {{ id = \"{PV}\" seqno = 2 status = [\"RESIZEABLE\", \"READ\", \"WRITE\"] extent_size = 8192 {extra}\n\
             physical_volumes {{ pv0 {{ id = \"{PV}\" status = [\"ALLOCATABLE\"] pe_start = 2048 pe_count = 4 }} }}\n\
             logical_volumes {{ lv {{ id = \"{PV}\" status = [\"VISIBLE\"] segment_count = 1 segment1 {{ {segment} }} }} }} }}\n\
             contents = \"Text Format Volume Group\" version = 1"
        )
    }

    const LINEAR: &str =
        "start_extent = 0 extent_count = 2 type = \"striped\" stripe_count = 1 stripes = [\"pv0\", 1]";

    #[test]
    fn a_group_is_read() {
        let group = parse_group(text("", LINEAR).as_bytes()).unwrap();
        assert_eq!((group.name.as_str(), group.seqno, group.extent_size), ("vg", 2, 4 << 20));
        assert_eq!(group.physical["pv0"].start, 1 << 20);
        let kind = &group.logical[0].segments[0].kind;
        assert_eq!(*kind, SegmentKind::Striped { stripe_size: 0, stripes: vec![("pv0".into(), 1)] });
        let thin = "start_extent = 0 extent_count = 2 type = \"thin\"";
        let group = parse_group(text("lock_type = \"sanlock\"", thin).as_bytes()).unwrap();
        assert!(matches!(&group.logical[0].segments[0].kind, SegmentKind::Other(kind, _) if kind == "thin"));
        assert_eq!(group.lock_type, "sanlock");
    }

    #[test]
    fn one_thing_wrong_is_refused() {
        let good = text("", LINEAR);
        for (from, to) in [
            ("vg {", "-vg {"),
            ("vg {", ".. {"),
            ("seqno = 2", "seqno = -2"),
            ("seqno = 2", ""),
            ("extent_size = 8192", "extent_size = 0"),
            ("extent_size = 8192", "extent_size = 4294967296"),
            ("pe_count = 4", "pe_count = 4294967296"),
            ("pe_start = 2048", "pe_start = 36028797018963968"),
            ("segment_count = 1", "segment_count = 2"),
            ("start_extent = 0", "start_extent = 1"),
            ("extent_count = 2", "extent_count = 0"),
            ("extent_count = 2", "extent_count = 4294967296"),
            ("stripe_count = 1", "stripe_count = 2"),
            ("[\"pv0\", 1]", "[\"pv0\"]"),
            ("[\"pv0\", 1]", "[]"),
            ("[\"pv0\", 1]", "[\"pv0\", -1]"),
            ("[\"pv0\", 1]", "[1, \"pv0\"]"),
            ("Text Format", "Other"),
            ("version = 1", "version = 2"),
            (PV, "no-id"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert!(parse_group(bad.as_bytes()).is_err(), "{from} -> {to}");
        }
        for stripes in ["stripe_size = 3", "stripe_size = 0", ""] {
            let segment = format!(
                "start_extent = 0 extent_count = 2 type = \"striped\" stripe_count = 2 {stripes} stripes = [\"pv0\", 0, \"pv0\", 1]"
            );
            assert!(parse_group(text("", &segment).as_bytes()).is_err(), "{stripes}");
        }
    }
}

//! What the kernel's device mapper is told, so that a volume comes to be in the micro-VM as it does in the guest.

use std::fmt;
use std::sync::Arc;

/// Bytes in a sector, the unit of the device mapper, whatever the disk's is.
pub const SECTOR: u64 = 512;

/// A device of the device mapper (`dmsetup create`): its names, and its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The name below `/dev/mapper`, hyphens doubled as LVM does.
    pub name: String,
    /// What tools know its kind by: `LVM-…`, `CRYPT-LUKS2-…`. Programs of the guest look at it.
    pub uuid: String,
    /// The table, ascending and without gaps.
    pub lines: Vec<MappingLine>,
    /// Whether it must not be written.
    pub read_only: bool,
}

/// A line of a table: `START SECTORS TARGET ARGUMENTS…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingLine {
    /// Where it begins, in sectors.
    pub start: u64,
    /// How long it is, in sectors.
    pub sectors: u64,
    /// The target: `linear`, `striped`, `thin`, `crypt`, …
    pub target: String,
    /// Its arguments in order.
    pub arguments: Vec<MappingArgument>,
}

/// An argument of a target.
#[derive(Clone, PartialEq, Eq)]
pub enum MappingArgument {
    /// A word, or several with blanks between.
    Text(String),
    /// A word that nobody may see: a key.
    Secret(String),
    /// The device of a member: its place in the list that goes with the mapping.
    Member(usize),
    /// The device of another mapping, which is made before.
    Mapped(Arc<Mapping>),
}

impl fmt::Debug for MappingArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Secret(_) => f.write_str("(a secret)"),
            Self::Member(place) => write!(f, "member {place}"),
            Self::Mapped(mapping) => write!(f, "/dev/mapper/{}", mapping.name),
        }
    }
}

impl Mapping {
    /// Size in sectors.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.start.saturating_add(line.sectors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_printed() {
        let arguments =
            vec![MappingArgument::Text("aes-xts-plain64".into()), MappingArgument::Secret("c0ffee".into())];
        let line = MappingLine { start: 0, sectors: 8, target: "crypt".into(), arguments };
        let mapping = Mapping {
            name: "luks".into(),
            uuid: "CRYPT-LUKS2-x".into(),
            lines: vec![line],
            read_only: false,
        };
        let text = format!("{mapping:?}");
        assert!(text.contains("aes-xts-plain64") && !text.contains("c0ffee"), "{text}");
        assert_eq!(mapping.sectors(), 8);
    }
}

//! One extent line of a descriptor: `ACCESS SECTORS TYPE ["NAME" [OFFSET]]`.

use crate::error::VmdkError;
use crate::names::{host_name, is_decoded, is_device};

/// What is opened behind a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtentType {
    Flat,
    Sparse,
    Cowd,
    SeSparse,
    Zero,
}

/// A line, not yet judged.
#[derive(Clone, Debug)]
pub(crate) struct ExtentLine {
    access: String,
    pub(crate) sectors: u64,
    /// In capitals, as the specification spells it.
    pub(crate) extent_type: String,
    /// As the line spells it.
    pub(crate) name: String,
    /// Sectors into the file.
    pub(crate) offset: u64,
}

impl ExtentLine {
    pub(crate) fn parse(line: &str) -> Result<Self, VmdkError> {
        let bad = || VmdkError::Value { key: "extent line", value: line.chars().take(200).collect() };
        let (access, rest) = word(line).ok_or_else(bad)?;
        let (sectors, rest) = word(rest).ok_or_else(bad)?;
        let (extent_type, rest) = word(rest).ok_or_else(bad)?;
        let rest = rest.trim_start();
        let (name, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(bad)?,
            None => word(rest).unwrap_or_default(),
        };
        let offset = match word(rest) {
            Some((offset, _)) => offset.parse().map_err(|_| bad())?,
            None => 0,
        };
        Ok(Self {
            access: access.to_ascii_uppercase(),
            sectors: sectors.parse().map_err(|_| bad())?,
            extent_type: extent_type.to_ascii_uppercase(),
            name: name.to_owned(),
            offset,
        })
    }

    /// Whether `line` is one.
    pub(crate) fn is_one(line: &str) -> bool {
        let mut words = line.split_ascii_whitespace();
        let access = words.next().unwrap_or_default();
        let known = ["RW", "RDONLY", "NOACCESS"].iter().any(|known| known.eq_ignore_ascii_case(access));
        known && words.next().is_some_and(|word| !word.starts_with('='))
    }

    /// Whether the line means a device of the machine that wrote it.
    pub(crate) fn is_device(&self) -> bool {
        ["VMFSRDM", "VMFSRDMP", "VMFSRAW"].contains(&self.extent_type.as_str()) || is_device(&self.name)
    }

    /// What the line means, if it can be read.
    pub(crate) fn readable(&self) -> Result<ExtentType, VmdkError> {
        if self.is_device() {
            return Err(VmdkError::Device { what: self.extent_type.clone(), names: self.name.clone() });
        }
        let refused = || VmdkError::ExtentType {
            access: self.access.clone(),
            extent_type: self.extent_type.clone(),
            name: self.name.clone(),
        };
        if !["RW", "RDONLY"].contains(&self.access.as_str()) {
            return Err(refused());
        }
        let extent_type = match self.extent_type.as_str() {
            "FLAT" | "VMFS" => ExtentType::Flat,
            "SPARSE" => ExtentType::Sparse,
            "VMFSSPARSE" => ExtentType::Cowd,
            "SESPARSE" => ExtentType::SeSparse,
            "ZERO" => return Ok(ExtentType::Zero),
            _ => return Err(refused()),
        };
        if self.name.is_empty() {
            return Err(VmdkError::Missing { key: "file name of an extent" });
        }
        if extent_type != ExtentType::Flat && self.offset != 0 {
            return Err(VmdkError::SparseOffset { offset: self.offset });
        }
        Ok(extent_type)
    }

    /// The name to ask the gate for.
    pub(crate) fn host_name(&self, encoding: &str) -> Result<String, VmdkError> {
        if !is_decoded(&self.name) {
            return Err(VmdkError::FileName { what: "extent", encoding: encoding.to_owned() });
        }
        Ok(host_name(&self.name))
    }
}

/// The first word and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_every_spelling() {
        let parse = |line| {
            let line = ExtentLine::parse(line).unwrap();
            (line.sectors, line.readable().unwrap(), line.name, line.offset)
        };
        assert_eq!(parse("RW 9 FLAT \"a b.vmdk\" 7"), (9, ExtentType::Flat, "a b.vmdk".into(), 7));
        assert_eq!(parse("rw\t9  vmfs \"a.vmdk\""), (9, ExtentType::Flat, "a.vmdk".into(), 0));
        assert_eq!(parse("RDONLY 9 ZERO"), (9, ExtentType::Zero, String::new(), 0));
        assert_eq!(parse("RW 9 SESPARSE a.vmdk"), (9, ExtentType::SeSparse, "a.vmdk".into(), 0));
        let partition = "RW 63 FLAT \"a-pt.vmdk\" 0 partitionUUID x";
        assert_eq!(parse(partition), (63, ExtentType::Flat, "a-pt.vmdk".into(), 0));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let refused = |line| ExtentLine::parse(line).unwrap().readable().unwrap_err().to_string();
        assert!(refused("RW 9 FLAT \"\\\\.\\PhysicalDrive0\" 0").contains("PhysicalDrive0"));
        assert!(refused("RW 9 VMFSRDM \"a-rdm.vmdk\"").contains("a-rdm.vmdk"));
        assert!(refused("NOACCESS 9 FLAT \"a\"").contains("NOACCESS"));
        assert!(refused("RW 9 VSANSPARSE \"a\"").contains("VSANSPARSE"));
        assert!(refused("RW 9 SPARSE \"a\" 8").contains("0x8 sectors into its file"));
        assert!(refused("RW 9 FLAT").contains("has no file name"));
        for line in ["RW", "RW 9", "RW x FLAT \"a\"", "RW 9 FLAT \"a", "RW 9 FLAT \"a\" x", "RW -1 ZERO"] {
            assert!(ExtentLine::parse(line).is_err(), "{line}");
        }
    }
}

//! The backing file of an image that is written, named so that QEMU finds it too.

use crate::layout::MAX_BACKING_NAME;
use format_core::{Error, ErrorKind, ParentImage, Result};

/// Formats that QEMU opens as a backing file: our name, and QEMU's.
const QEMU_NAMES: [(&str, &str); 12] = [
    ("raw", "raw"),
    ("qcow2", "qcow2"),
    ("qcow1", "qcow"),
    ("qcow", "qcow"),
    ("qed", "qed"),
    ("vmdk", "vmdk"),
    ("vhd", "vpc"),
    ("vhdx", "vhdx"),
    ("vdi", "vdi"),
    ("parallels", "parallels"),
    ("dmg", "dmg"),
    ("cloop", "cloop"),
];

/// What the header says about the backing file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backing {
    pub name: String,
    /// As QEMU calls it. Without it QEMU would guess, and a guest could write any header into a raw disk.
    pub format: &'static str,
}

impl Backing {
    /// # Errors
    /// `Unsupported` for a parent that QEMU cannot open, `Limit` for a name that is too long.
    pub(crate) fn new(parent: &ParentImage) -> Result<Self> {
        let Some(&(_, format)) = QEMU_NAMES.iter().find(|(ours, _)| *ours == parent.format) else {
            let text = format!("QEMU has no backing files in the format {}", parent.format);
            return Err(Error::unsupported(text)
                .in_format(crate::FORMAT.name)
                .hint("convert the parent to qcow2 or raw, then write the difference to that"));
        };
        if parent.name.is_empty() || parent.name.contains('\0') {
            return Err(Error::usage(format!("{:?} cannot name a backing file", parent.name))
                .in_format(crate::FORMAT.name));
        }
        let name = without_protocol(&parent.name);
        let backing = Self { name, format };
        backing.check_len(MAX_BACKING_NAME as usize)?;
        Ok(backing)
    }

    /// # Errors
    /// `Limit` when the name has more than `room` bytes.
    pub(crate) fn check_len(&self, room: usize) -> Result<()> {
        if self.name.len() <= room {
            return Ok(());
        }
        let text = format!("the parent's name has {} bytes, the header has room for {room}", self.name.len());
        Err(Error::new(ErrorKind::Limit, text)
            .in_format(crate::FORMAT.name)
            .hint("use larger clusters or a shorter path"))
    }
}

/// QEMU takes what stands before a colon for a protocol (`nbd:…`, `json:…`) unless a slash comes first.
fn without_protocol(name: &str) -> String {
    match name.find([':', '/']) {
        Some(at) if name.as_bytes().get(at) == Some(&b':') => format!("./{name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(name: &str, format: &'static str) -> ParentImage {
        ParentImage {
            name: name.to_owned(),
            path: "/images/base".into(),
            format,
            virtual_size: 1 << 20,
            identity: None,
            chunk_size: 1,
            modified: None,
            details: format_core::Details::new(),
        }
    }

    #[test]
    fn a_colon_is_no_protocol() {
        for (name, wanted) in [
            ("base.raw", "base.raw"),
            ("json:{}", "./json:{}"),
            ("disk 12:30.raw", "./disk 12:30.raw"),
            (":", "./:"),
            ("folder/12:30.raw", "folder/12:30.raw"),
            ("/images/12:30.raw", "/images/12:30.raw"),
            ("../a:b", "../a:b"),
        ] {
            assert_eq!(Backing::new(&parent(name, "raw")).unwrap().name, wanted);
        }
    }

    #[test]
    fn formats_are_named_as_in_qemu() {
        for (ours, theirs) in [("vhd", "vpc"), ("qcow1", "qcow"), ("raw", "raw"), ("qcow2", "qcow2")] {
            assert_eq!(Backing::new(&parent("base", ours)).unwrap().format, theirs);
        }
        assert_eq!(Backing::new(&parent("base", "ewf")).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn names_that_a_header_cannot_hold_are_refused() {
        let kind = |name: &str| Backing::new(&parent(name, "raw")).map_err(|e| e.kind());
        assert_eq!(kind(""), Err(ErrorKind::Usage));
        assert_eq!(kind("a\0b"), Err(ErrorKind::Usage));
        assert_eq!(kind(&"a".repeat(1024)), Err(ErrorKind::Limit));
        assert!(kind(&"a".repeat(1023)).is_ok());
    }
}

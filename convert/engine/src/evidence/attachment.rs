//! Files that lie beside a disk as evidence: images of memory, above all. They are recognised, hashed and listed.

use serde::{Deserialize, Serialize};

/// What an attachment is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentKind {
    /// Memory of a Linux machine, by the module LiME.
    Lime,
    /// Memory of a Linux machine, by AVML with compression.
    Avml,
    /// An ELF core: vmcore of kdump, a dump of QEMU or VirtualBox.
    ElfCore,
    /// A vmcore of makedumpfile or diskdump.
    Kdump,
    /// The same as it comes through a pipe.
    FlattenedKdump,
    /// A crash dump of Windows (MEMORY.DMP).
    WindowsCrashDump,
    /// A dump of one process of Windows.
    WindowsMinidump,
    /// The memory of a hibernated Windows.
    WindowsHibernation,
    /// Nothing that is known.
    Other,
}

/// How many bytes [`recognise`] wants to see.
pub(super) const HEAD: usize = 64;

/// ELF, and the type of a core in its header.
const ELF: &[u8] = b"\x7fELF";
const ELF_CORE: u16 = 4;
const BIG_ENDIAN: u8 = 2;

/// What a file is that begins with `head`.
#[must_use]
pub fn recognise(head: &[u8]) -> AttachmentKind {
    let known: [(&[u8], AttachmentKind); 11] = [
        (b"EMiL", AttachmentKind::Lime),
        (b"AVML", AttachmentKind::Avml),
        (b"KDUMP   ", AttachmentKind::Kdump),
        (b"DISKDUMP", AttachmentKind::Kdump),
        (b"makedumpfile\0", AttachmentKind::FlattenedKdump),
        (b"PAGEDUMP", AttachmentKind::WindowsCrashDump),
        (b"PAGEDU64", AttachmentKind::WindowsCrashDump),
        (b"MDMP", AttachmentKind::WindowsMinidump),
        (b"hibr", AttachmentKind::WindowsHibernation),
        (b"HIBR", AttachmentKind::WindowsHibernation),
        (b"WAKE", AttachmentKind::WindowsHibernation),
    ];
    let found = known.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, kind)| *kind);
    found.unwrap_or(if is_elf_core(head) { AttachmentKind::ElfCore } else { AttachmentKind::Other })
}

fn is_elf_core(head: &[u8]) -> bool {
    let order = head.get(5).copied();
    let kind = head.get(16..).and_then(|bytes| bytes.first_chunk()).map(|bytes| match order {
        Some(BIG_ENDIAN) => u16::from_be_bytes(*bytes),
        _ => u16::from_le_bytes(*bytes),
    });
    head.starts_with(ELF) && kind == Some(ELF_CORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_memory_are_told_by_their_first_bytes() {
        let elf = |order: u8, kind: [u8; 2]| [b"\x7fELF\x02", &[order][..], &[0; 10], &kind].concat();
        for (head, kind) in [
            (b"EMiL\x01\0\0\0".to_vec(), AttachmentKind::Lime),
            (b"AVML\x02\0\0\0".to_vec(), AttachmentKind::Avml),
            (elf(1, [4, 0]), AttachmentKind::ElfCore),
            (elf(2, [0, 4]), AttachmentKind::ElfCore),
            (elf(1, [2, 0]), AttachmentKind::Other),
            (b"KDUMP   \x06".to_vec(), AttachmentKind::Kdump),
            (b"PAGEDU64".to_vec(), AttachmentKind::WindowsCrashDump),
            (b"EMi".to_vec(), AttachmentKind::Other),
            (Vec::new(), AttachmentKind::Other),
        ] {
            assert_eq!(recognise(&head), kind, "{head:x?}");
        }
    }
}

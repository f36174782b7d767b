//! Takes the kernel proper out of a `bzImage`: under emulation the kernel unpacks itself at a tenth of the speed.
//!
//! Sources: the kernel's `Documentation/arch/x86/boot.rst` (the fields `setup_sects`, `payload_offset`, `payload_length`), elf(5), and
//! `xen/include/public/elfnote.h` for the note that says that the kernel can be started directly (PVH).

use std::io::Read;

/// The largest kernel that is taken, packed or not.
const MAX_KERNEL: u64 = 256 << 20;
/// `XEN_ELFNOTE_PHYS32_ENTRY`.
const PHYS32_ENTRY: u32 = 18;
const PT_NOTE: u32 = 4;

/// The kernel as an ELF file that can be started directly; `None` when it is packed in a way that is not known here, or
/// has no such entry. Then it starts as it is.
pub(crate) fn unpack(image: &[u8]) -> Option<Vec<u8>> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let setup = match image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(*sectors),
    };
    let start = (setup + 1) * 512 + u32_at(image, 0x248)? as usize;
    let payload = image.get(start..start.checked_add(u32_at(image, 0x24c)? as usize)?)?;
    let kernel = unpack_payload(payload)?;
    has_direct_entry(&kernel)?.then_some(kernel)
}

fn unpack_payload(payload: &[u8]) -> Option<Vec<u8>> {
    // The last four bytes are the unpacked size, behind the packed stream.
    let packed = payload.get(..payload.len().checked_sub(4)?)?;
    if packed.starts_with(b"\xfd7zXZ\0") {
        read(liblzma::read::XzDecoder::new(packed))
    } else if packed.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        read(zstd::stream::read::Decoder::with_buffer(packed).ok()?.single_frame())
    } else if packed.starts_with(&[0x1f, 0x8b]) {
        // gzip ends in the same size, which is its own then.
        read(flate2::read::GzDecoder::new(payload))
    } else {
        None
    }
}

fn read(from: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_KERNEL).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether an ELF file has the note.
fn has_direct_entry(elf: &[u8]) -> Option<bool> {
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, entry, count) = (u64_at(elf, 0x20)?, u16_at(elf, 0x36)?, u16_at(elf, 0x38)?);
    for number in 0..usize::from(count) {
        let at = table.checked_add(number.checked_mul(usize::from(entry))?)?;
        if u32_at(elf, at)? != PT_NOTE {
            continue;
        }
        let start = u64_at(elf, at.checked_add(8)?)?;
        let notes = elf.get(start..start.checked_add(u64_at(elf, at.checked_add(32)?)?)?)?;
        if has_note(notes) {
            return Some(true);
        }
    }
    Some(false)
}

fn has_note(mut notes: &[u8]) -> bool {
    while let (Some(name), Some(content), Some(kind)) = (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
    {
        if kind == PHYS32_ENTRY && notes.get(12..15) == Some(b"Xen") {
            return true;
        }
        let padded = |length: u32| (length as usize).next_multiple_of(4);
        notes = notes.get(12 + padded(name) + padded(content)..).unwrap_or_default();
    }
    false
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_kernel_starts_as_it_is() {
        assert!(unpack(b"").is_none());
        assert!(unpack(&[0; 4096]).is_none());
        let mut image = vec![0xff; 4096];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        assert!(unpack(&image).is_none());
        assert!(!has_note(&[0xff; 64]));
    }
}

//! Headers and tables of the formats of virtual disks.

use super::{Found, Image, MOST, be, le};

const SECTOR: u64 = 512;

/// The header with its extensions, and the L1 table. The header of an encryption is not taken: it holds wrapped keys.
pub(super) fn qcow(image: &Image<'_>, head: &[u8], found: &mut Found) -> std::io::Result<()> {
    let version = be::<4>(head, 4).unwrap_or(0);
    found.format = if version == 1 { "qcow1" } else { "qcow2" };
    if !(2..=3).contains(&version) {
        found.add("header", 0, head.get(..48).unwrap_or_default().to_vec());
        return Ok(());
    }
    let bits = be::<4>(head, 20).unwrap_or(0);
    let (l1_len, l1_at) = (be::<4>(head, 36).unwrap_or(0), be::<8>(head, 40).unwrap_or(0));
    let fixed = if version == 2 { 72 } else { be::<4>(head, 100).unwrap_or(104) };
    if !(9..=21).contains(&bits) || !(72..=1024).contains(&fixed) {
        found.leave("the header of the qcow2 has impossible numbers");
        return Ok(());
    }
    // Extensions: kind, length and content, until kind 0; the name of the backing file is in info.json, without secrets.
    let mut end = fixed;
    while let Some(kind) = be::<4>(head, end as usize).filter(|kind| *kind != 0) {
        let len = be::<4>(head, end as usize + 4).unwrap_or(0).saturating_add(7) & !7;
        // Backing format, features, bitmaps, place of the encryption header. Not the data file: its name may have a login in it.
        let is_known = matches!(kind, 0xe279_2aca | 0x6803_f857 | 0x2385_2875 | 0x0537_be77);
        if !is_known || len > 1024 || end + 8 + len > head.len() as u64 {
            break;
        }
        end += 8 + len;
    }
    found.add("header", 0, head.get(..end as usize).unwrap_or_default().to_vec());
    let table = image.read(l1_at, l1_len.saturating_mul(8))?;
    let cluster = 1u64 << bits;
    let is_entry = |entry: &[u8]| {
        be::<8>(entry, 0).is_some_and(|entry| {
            let at = entry & 0x00ff_ffff_ffff_fe00;
            // The highest bit says that it is the only user; the rest is reserved.
            entry & 0x7f00_0000_0000_01ff == 0 && at % cluster == 0 && at < image.size
        })
    };
    take("l1-table", l1_at, table, 8, is_entry, found);
    Ok(())
}

/// The header, and the descriptor if there is one inside.
pub(super) fn vmdk(image: &Image<'_>, head: &[u8], found: &mut Found) -> std::io::Result<()> {
    found.format = "vmdk";
    // COWD has the name of its parent and what it was in its sector; KDMV's has numbers alone.
    let len = if head.starts_with(b"KDMV") { 79 } else { 48 };
    found.add("header", 0, head.get(..len).unwrap_or_default().to_vec());
    let (at, len) = (le::<8>(head, 28).unwrap_or(0), le::<8>(head, 36).unwrap_or(0));
    if head.starts_with(b"KDMV") && at > 0 && len > 0 {
        descriptor(image, at.saturating_mul(SECTOR), len.saturating_mul(SECTOR).min(64 << 10), found)?;
    }
    Ok(())
}

/// Text, as far as it is text.
pub(super) fn descriptor(image: &Image<'_>, offset: u64, len: u64, found: &mut Found) -> std::io::Result<()> {
    found.format = "vmdk";
    let mut bytes = image.read(offset, len)?;
    bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
    let is_text = |byte: &u8| byte.is_ascii_graphic() || b" \t\r\n".contains(byte) || *byte >= 0x80;
    let is_line = |line: &str| {
        let line = line.trim();
        let starts = ["RW ", "RDONLY ", "NOACCESS "];
        line.is_empty()
            || line.starts_with('#')
            || line.contains('=')
            || starts.iter().any(|start| line.starts_with(start))
    };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if bytes.starts_with(b"# Disk DescriptorFile") && bytes.iter().all(is_text) && text.lines().all(is_line) {
        found.add("descriptor", offset, bytes);
    } else {
        found.leave(format!("what should be the descriptor at {offset:#x} is none"));
    }
    Ok(())
}

/// The creator, both headers, both region tables and the table of metadata.
pub(super) fn vhdx(image: &Image<'_>, found: &mut Found) -> std::io::Result<()> {
    found.format = "vhdx";
    found.add("identifier", 0, image.read(0, 8 + 512)?);
    for (name, at) in [("header-1", 0x1_0000), ("header-2", 0x2_0000)] {
        let bytes = image.read(at, 80)?;
        if bytes.starts_with(b"head") {
            found.add(name, at, bytes)
        } else {
            found.leave(format!("no header at {at:#x}"))
        }
    }
    let mut metadata = None;
    for (name, at) in [("regions-1", 0x3_0000), ("regions-2", 0x4_0000)] {
        let bytes = image.read(at, 16 + 32 * 8)?;
        let count = le::<4>(&bytes, 8).unwrap_or(0);
        if !bytes.starts_with(b"regi") || count > 8 {
            found.leave(format!("no region table at {at:#x}"));
            continue;
        }
        let used = bytes.get(..16 + 32 * count as usize).unwrap_or_default().to_vec();
        // GUID 8B7CA206-4790-4B9A-B8FE-575F050F886E.
        let mark =
            [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];
        let entry = used.get(16..).unwrap_or_default().chunks(32).find(|entry| entry.starts_with(&mark));
        metadata = metadata.or(entry.and_then(|entry| le::<8>(entry, 16)));
        found.add(name, at, used);
    }
    if let Some(at) = metadata {
        let bytes = image.read(at, 32 + 32 * 64)?;
        let count = le::<2>(&bytes, 10).unwrap_or(0);
        if bytes.starts_with(b"metadata") && count <= 64 {
            found.add(
                "metadata-table",
                at,
                bytes.get(..32 + 32 * count as usize).unwrap_or_default().to_vec(),
            );
        } else {
            found.leave(format!("no table of metadata at {at:#x}"));
        }
    }
    Ok(())
}

/// The header, and the map of blocks.
pub(super) fn vdi(image: &Image<'_>, head: &[u8], found: &mut Found) -> std::io::Result<()> {
    found.format = "vdi";
    // The comment, which is somebody's text, is left out: 0x54 to 0x154.
    found.add("header", 0x40, head.get(0x40..0x54).unwrap_or_default().to_vec());
    found.add("header-2", 0x154, head.get(0x154..0x1c8).unwrap_or_default().to_vec());
    let (at, count) = (le::<4>(head, 0x154).unwrap_or(0), le::<4>(head, 0x180).unwrap_or(0));
    let map = image.read(at, count.saturating_mul(4))?;
    let is_entry =
        |entry: &[u8]| le::<4>(entry, 0).is_some_and(|block| block < count || block >= 0xffff_fffe);
    take("block-map", at, map, 4, is_entry, found);
    Ok(())
}

/// The footer and its copy, and the dynamic header; false where there is none of them.
pub(super) fn vhd(image: &Image<'_>, found: &mut Found) -> std::io::Result<bool> {
    let last = image.size.saturating_sub(SECTOR);
    // Its last 427 bytes are reserved.
    let footer = |at: u64| -> std::io::Result<Option<Vec<u8>>> {
        let bytes = image.read(at, 85)?;
        Ok(bytes.starts_with(b"conectix").then_some(bytes))
    };
    let (end, start) = (footer(last)?, footer(0)?);
    let Some(known) = end.as_ref().or(start.as_ref()).cloned() else { return Ok(false) };
    found.format = "vhd";
    if let Some(bytes) = end {
        found.add("footer", last, bytes);
    }
    if let Some(bytes) = start {
        found.add("footer-copy", 0, bytes);
    }
    let at = be::<8>(&known, 16).unwrap_or(u64::MAX);
    let header = image.read(at, 1024)?;
    if header.starts_with(b"cxsparse") && header.len() == 1024 {
        // To the parent's time; its name is in info.json, the locators follow.
        found.add("dynamic-header", at, header.get(..64).unwrap_or_default().to_vec());
        let (table, count) = (be::<8>(&header, 16).unwrap_or(u64::MAX), be::<4>(&header, 28).unwrap_or(0));
        let bat = image.read(table, count.saturating_mul(4))?;
        let sectors = image.size / SECTOR;
        let is_entry =
            |entry: &[u8]| be::<4>(entry, 0).is_some_and(|at| at == 0xffff_ffff || (at > 0 && at < sectors));
        take("bat", table, bat, 4, is_entry, found);
    }
    Ok(true)
}

/// A table all of whose entries could be some; else none of it.
fn take(
    name: &'static str,
    offset: u64,
    mut bytes: Vec<u8>,
    len: usize,
    is_entry: impl Fn(&[u8]) -> bool,
    found: &mut Found,
) {
    bytes.truncate(bytes.len() / len * len);
    match bytes.chunks(len).position(|entry| !is_entry(entry)) {
        None => {
            if bytes.len() as u64 == MOST {
                found.leave(format!("of the {name} all behind the first {MOST} bytes"));
            }
            found.add(name, offset, bytes);
        }
        Some(bad) => found
            .leave(format!("what should be the {name} at {offset:#x} is none: entry {bad} is impossible")),
    }
}

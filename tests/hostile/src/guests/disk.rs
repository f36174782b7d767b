//! Disks in pieces: bytes at their places and holes elsewhere, and what is changed of them.

use crate::Content;

pub(super) const SECTOR: u64 = 512;
pub(super) const MIB: u64 = 1 << 20;
/// Where a partition begins.
pub(super) const START: u64 = MIB;
/// What is kept or left out of a file that becomes a disk.
const PIECE: usize = 4096;

/// Bytes at their places. A later piece hides what an earlier one has there.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub(super) len: u64,
    pub(super) parts: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    pub(super) fn empty(len: u64) -> Self {
        Self { len, parts: Vec::new() }
    }

    /// These bytes, without the zeros.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            if piece.iter().all(|&byte| byte == 0) {
                continue;
            }
            let at = (number * PIECE) as u64;
            match parts.last_mut() {
                Some((start, before)) if *start + before.len() as u64 == at => before.extend(piece),
                _ => parts.push((at, piece.to_vec())),
            }
        }
        Self { len: bytes.len() as u64, parts }
    }

    /// The same with other bytes at a place.
    pub(super) fn put(mut self, at: u64, bytes: &[u8]) -> Self {
        self.parts.push((at, bytes.to_vec()));
        self
    }

    /// The bytes at a place.
    pub(super) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let (mut found, end) = (vec![0; len], at + len as u64);
        for (start, bytes) in &self.parts {
            let (from, to) = ((*start).max(at), (start + bytes.len() as u64).min(end));
            if from < to {
                let source = &bytes[(from - start) as usize..(to - start) as usize];
                found[(from - at) as usize..(to - at) as usize].copy_from_slice(source);
            }
        }
        found
    }

    /// The same with `change` done to the bytes at a place.
    pub(super) fn change(self, at: u64, len: usize, change: impl FnOnce(&mut [u8])) -> Self {
        let mut bytes = self.read(at, len);
        change(&mut bytes);
        self.put(at, &bytes)
    }

    /// The first place of these bytes, from `at` on, at a multiple of `step`.
    pub(super) fn find(&self, wanted: &[u8], at: u64, step: u64) -> Option<u64> {
        (at..self.len).step_by(step as usize).find(|&at| self.read(at, wanted.len()) == wanted)
    }

    /// One that ends earlier.
    pub(super) fn resized(mut self, len: u64) -> Self {
        for (at, bytes) in &mut self.parts {
            bytes.truncate(len.saturating_sub(*at) as usize);
        }
        Self { len, parts: self.parts }
    }

    /// This as the only partition of a disk, of a type.
    pub(super) fn in_partition(self, kind: u8) -> Self {
        let sectors = u32::try_from(self.len / SECTOR).unwrap_or(u32::MAX);
        let len = START + self.len + MIB;
        let table = mbr(&[Entry { flag: 0x80, kind, start: (START / SECTOR) as u32, sectors }]);
        Self::empty(len).put(0, &table).with(self, START)
    }

    /// The same with another disk's bytes in it.
    pub(super) fn with(mut self, other: Self, at: u64) -> Self {
        self.parts.extend(other.parts.into_iter().map(|(place, bytes)| (at + place, bytes)));
        self
    }

    pub(super) fn content(self) -> Content {
        Content::Sparse { len: self.len, parts: self.parts }
    }
}

/// An entry of an MBR.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) flag: u8,
    pub(super) kind: u8,
    pub(super) start: u32,
    pub(super) sectors: u32,
}

/// The first sector of a disk that GRUB starts from.
pub(super) fn mbr(entries: &[Entry]) -> [u8; 512] {
    let mut sector = [0; 512];
    sector[..4].copy_from_slice(b"\xeb\x63\x90\x00");
    sector[0x180..0x185].copy_from_slice(b"GRUB ");
    sector[440..444].copy_from_slice(&0x8a3c_51d7u32.to_le_bytes());
    for (number, entry) in entries.iter().enumerate() {
        let at = 446 + 16 * number;
        (sector[at], sector[at + 4]) = (entry.flag, entry.kind);
        sector[at + 8..at + 12].copy_from_slice(&entry.start.to_le_bytes());
        sector[at + 12..at + 16].copy_from_slice(&entry.sectors.to_le_bytes());
    }
    sector[510..].copy_from_slice(b"\x55\xaa");
    sector
}

/// Values that break arithmetic, for a field of `width` bytes: nothing, all bits, the sign.
pub(super) fn few(width: usize) -> Vec<(&'static str, u64)> {
    let all = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
    vec![("zero", 0), ("max", all), ("sign", all / 2 + 1)]
}

/// The same, and one.
pub(super) fn extremes(width: usize) -> Vec<(&'static str, u64)> {
    [few(width), vec![("one", 1)]].concat()
}

/// A field of `width` bytes, the lowest first.
pub(super) fn put_le(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
}

/// A field of `width` bytes, the highest first.
pub(super) fn put_be(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    bytes[at..at + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
}

pub(super) fn get_le(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A checksum of the CRC family with reflected bits; `state` is what it goes on from, and nothing is inverted at the end.
fn crc(polynomial: u32, state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| {
        (0..8)
            .fold(state ^ u32::from(*byte), |state, _| state >> 1 ^ (polynomial & (state & 1).wrapping_neg()))
    })
}

/// CRC-32 as Ethernet has it, not inverted.
pub(super) fn crc32(state: u32, bytes: &[u8]) -> u32 {
    crc(0xedb8_8320, state, bytes)
}

/// CRC-32C, not inverted.
pub(super) fn crc32c(state: u32, bytes: &[u8]) -> u32 {
    crc(0x82f6_3b78, state, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_catalogues() {
        assert_eq!(!crc32(!0, b"123456789"), 0xcbf4_3926);
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn pieces_read_as_the_last_one_says() {
        let bytes: Vec<u8> = (0..20_000u32).map(|at| if at < 9000 { 0 } else { at as u8 }).collect();
        let disk = Disk::of(&bytes).put(9500, b"new");
        let mut wanted = bytes;
        wanted[9500..9503].copy_from_slice(b"new");
        assert_eq!(disk.read(0, 20_000), wanted);
        assert_eq!(disk.find(b"new", 0, 1), Some(9500));
        assert_eq!((extremes(2)[1].1, few(8)[2].1), (0xffff, 1 << 63));
        assert_eq!(disk.clone().resized(9501).read(9500, 2), b"n\0");
    }
}

//! Members written from the kernel's `linux/raid/md_p.h`, without the crate's help; mdadm judges them.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_core::Volume;
use format_core::{Error, Result};
use std::sync::{Arc, Mutex};

pub const SPARE: u16 = 0xffff;
pub const FAULTY: u16 = 0xfffe;

/// A device in memory.
pub struct Memory(Mutex<Vec<u8>>);

impl Memory {
    pub fn new(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(bytes)))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Volume for Memory {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let bytes = self.0.lock().unwrap();
        let end = usize::try_from(offset).ok().and_then(|at| at.checked_add(buf.len()));
        let found =
            end.and_then(|end| bytes.get(end - buf.len()..end)).ok_or_else(|| Error::usage("outside"))?;
        buf.copy_from_slice(found);
        Ok(())
    }
    fn write_all_at(&self, offset: u64, from: &[u8]) -> Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let end = usize::try_from(offset).ok().and_then(|at| at.checked_add(from.len()));
        let target = end
            .and_then(|end| bytes.get_mut(end - from.len()..end))
            .ok_or_else(|| Error::usage("outside"))?;
        target.copy_from_slice(from);
        Ok(())
    }
}

/// What a superblock of version 1 says; sizes in sectors.
#[derive(Clone, Debug)]
pub struct Spec {
    pub version: &'static str,
    pub uuid: [u8; 16],
    pub name: &'static str,
    pub level: i32,
    pub layout: u32,
    pub chunk: u32,
    pub raid_disks: u32,
    pub size: u64,
    pub events: u64,
    pub resync_offset: u64,
    pub features: u32,
    pub data_offset: u64,
    pub data_size: u64,
    pub number: u32,
    pub roles: Vec<u16>,
    pub devflags: u8,
    /// Sectors of the whole device.
    pub device: u64,
}

impl Spec {
    /// Member `number` of a clean array of `disks` whose members hold `size` sectors each.
    pub fn new(version: &'static str, level: i32, disks: u32, size: u64, number: u32) -> Self {
        let data_offset = if version == "1.0" { 0 } else { 256 };
        Self {
            version,
            uuid: *b"0123456789abcdef",
            name: "host:7",
            level,
            layout: 0,
            chunk: if level == 1 { 0 } else { 128 },
            raid_disks: disks,
            size: if level > 0 { size } else { 0 },
            events: 20,
            resync_offset: u64::MAX,
            features: 0,
            data_offset,
            data_size: size,
            number,
            roles: (0..disks as u16).collect(),
            devflags: 0,
            device: data_offset + size + 64,
        }
    }

    pub fn place(&self) -> u64 {
        match self.version {
            "1.0" => (self.device - 16) / 8 * 8,
            "1.1" => 0,
            _ => 8,
        }
    }

    pub fn superblock(&self) -> Vec<u8> {
        let mut b = vec![0u8; 4096];
        let mut put = |at: usize, bytes: &[u8]| b[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &0xa92b_4efcu32.to_le_bytes());
        put(4, &1u32.to_le_bytes());
        put(8, &self.features.to_le_bytes());
        put(16, &self.uuid);
        put(32, self.name.as_bytes());
        put(64, &1_700_000_000u64.to_le_bytes());
        put(72, &self.level.to_le_bytes());
        put(76, &self.layout.to_le_bytes());
        put(80, &self.size.to_le_bytes());
        put(88, &self.chunk.to_le_bytes());
        put(92, &self.raid_disks.to_le_bytes());
        put(96, &8u32.to_le_bytes());
        put(128, &self.data_offset.to_le_bytes());
        put(136, &self.data_size.to_le_bytes());
        put(144, &self.place().to_le_bytes());
        put(160, &self.number.to_le_bytes());
        put(168, &[self.number as u8 + 1; 16]);
        put(184, &[self.devflags]);
        put(192, &1_700_000_001u64.to_le_bytes());
        put(200, &self.events.to_le_bytes());
        put(208, &self.resync_offset.to_le_bytes());
        put(220, &(self.roles.len() as u32).to_le_bytes());
        for (number, role) in self.roles.iter().enumerate() {
            put(256 + 2 * number, &role.to_le_bytes());
        }
        seal(&mut b);
        b
    }

    /// A device with `data` where the array's data lies, and 0x5a everywhere else.
    pub fn device(&self, data: &[u8]) -> Arc<Memory> {
        let mut bytes = vec![0x5a; self.device as usize * 512];
        let data_at = self.data_offset as usize * 512;
        bytes[data_at..data_at + data.len()].copy_from_slice(data);
        let at = self.place() as usize * 512;
        bytes[at..at + 4096].copy_from_slice(&self.superblock());
        Memory::new(bytes)
    }
}

/// Puts the checksum right: 32-bit words up to the last role are added, byte by byte here.
pub fn seal(b: &mut [u8]) {
    b[216..220].fill(0);
    let roles = u32::from_le_bytes(b[220..224].try_into().unwrap()) as usize;
    let end = (256 + 2 * roles).min(b.len());
    let sum: u64 = b[..end].iter().enumerate().map(|(at, &byte)| u64::from(byte) << (8 * (at % 4))).sum();
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    b[216..220].copy_from_slice(&(sum as u32).to_le_bytes());
}

/// A superblock of version 0.90 for a raid1, and the device with it.
pub fn old_device(disks: u32, number: u32, data: &[u8]) -> Arc<Memory> {
    let data_len = data.len().next_multiple_of(64 << 10);
    let mut words = vec![0u32; 1024];
    let kib = (data.len() / 1024) as u32;
    for (at, value) in [
        (0, 0xa92b_4efc),
        (1, 0),
        (2, 90),
        (4, 0),
        (5, 0x0123_4567),
        (6, 1_700_000_000),
        (7, 1),
        (8, kib),
        (9, disks),
        (10, disks),
        (11, 3),
        (13, 0x89ab_cdef),
        (14, 0x1111_2222),
        (15, 0x3333_4444),
        (32, 1_700_000_001),
        (33, 1),
        (34, disks),
        (35, disks),
        (39, 18),
        (41, 18),
        (43, u32::MAX),
        (992, number),
        (995, number),
        (996, 6),
    ] {
        words[at] = value;
    }
    for disk in 0..disks {
        let at = 128 + 32 * disk as usize;
        (words[at], words[at + 1], words[at + 2], words[at + 3], words[at + 4]) = (disk, 7, disk, disk, 6);
    }
    let sum: u64 = words.iter().map(|&word| u64::from(word)).sum();
    words[38] = ((sum & 0xffff_ffff) + (sum >> 32)) as u32;
    let mut bytes = vec![0x5a; data_len + (64 << 10)];
    bytes[..data.len()].copy_from_slice(data);
    for (at, word) in (data_len..).step_by(4).zip(&words) {
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    Memory::new(bytes)
}

pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

/// Deals the chunks of `content` to `disks` members, `copies` of each, like cards; what is not reached stays 0x5a.
pub fn dealt(content: &[u8], disks: usize, copies: usize, chunk: usize, size: usize) -> Vec<Vec<u8>> {
    let mut members = vec![Vec::new(); disks];
    let mut next = 0;
    for piece in content.chunks(chunk) {
        for _ in 0..copies {
            members[next].extend_from_slice(piece);
            next = (next + 1) % disks;
        }
    }
    members.iter_mut().for_each(|member: &mut Vec<u8>| member.resize(size, 0x5a));
    members
}

//! Superblocks of version 0.90: `mdp_super_t` of the kernel's `linux/raid/md_p.h`, 1024 words in the machine's own byte
//! order. Little-endian ones are read, others are named.

use crate::superblock::{LEN, MAGIC, Role, SECTOR, Superblock};
use format_core::{Bytes, Error, Result};

/// `MD_RESERVED_SECTORS`: the superblock begins at the last multiple of 64 KiB that leaves as much behind it.
const RESERVED: u64 = 128;
const MAX_DEVICES: u32 = 27;
const DESCRIPTORS: usize = 128;
const DESCRIPTOR: usize = 32;
const THIS_DISK: usize = 992;

mod disk_state {
    pub(super) const FAULTY: u32 = 1;
    pub(super) const SYNC: u32 = 1 << 2;
    pub(super) const REMOVED: u32 = 1 << 3;
    pub(super) const WRITE_MOSTLY: u32 = 1 << 9;
}

mod state {
    pub(super) const CLEAN: u32 = 1;
    pub(super) const CLUSTERED: u32 = 1 << 5;
    pub(super) const BITMAP_PRESENT: u32 = 1 << 8;
}

/// The place on a device, in sectors.
pub(crate) fn place(sectors: u64) -> Option<u64> {
    (sectors & !(RESERVED - 1)).checked_sub(RESERVED)
}

/// # Errors
/// `Corrupt` when it contradicts itself, `Unsupported` when it is big-endian.
pub(crate) fn parse(bytes: &[u8; LEN], version: &'static str, at: u64) -> Result<Option<Superblock>> {
    let b = Bytes::new(bytes, at);
    let word = |number: usize| b.u32_le(4 * number);
    if b.u32_be(0)? == MAGIC {
        return Err(Error::unsupported("the md superblock is big-endian").at(at));
    }
    if word(0)? != MAGIC || word(1)? != 0 {
        return Ok(None);
    }
    let (stored, computed) = (word(38)?, checksum(bytes, word(38)?));
    if stored != computed {
        return Err(
            Error::corrupt(format!("sb_csum is {stored:#010x}, the content gives {computed:#010x}")).at(at)
        );
    }
    let minor_version = word(2)?;
    if !(90..=91).contains(&minor_version) {
        return Err(Error::unsupported(format!("md superblock version 0.{minor_version}")).at(at));
    }
    let devices = word(9)?;
    let number = word(THIS_DISK)?;
    if devices > MAX_DEVICES || number >= MAX_DEVICES {
        return Err(Error::corrupt(format!("device {number} of {devices}, {MAX_DEVICES} fit")).at(at));
    }
    let mut roles = Vec::new();
    for device in 0..MAX_DEVICES as usize {
        let descriptor = DESCRIPTORS + DESCRIPTOR * device;
        roles.push(role(word(descriptor + 3)?, word(descriptor + 4)?));
    }
    let mut uuid = [0; 16];
    for (target, number) in uuid.as_chunks_mut::<4>().0.iter_mut().zip([5, 13, 14, 15]) {
        *target = word(number)?.to_le_bytes();
    }
    let flags = word(33)?;
    let unsupported = if minor_version == 91 {
        Some("its reshape has not ended; let it end in the guest before exporting".to_owned())
    } else if flags & state::CLUSTERED != 0 {
        Some("it is shared by a cluster".to_owned())
    } else {
        None
    };
    Ok(Some(Superblock {
        version,
        uuid,
        name: String::new(),
        minor: Some(word(11)?),
        member_uuid: String::new(),
        level: word(7)?.cast_signed(),
        layout: word(64)?,
        chunk: word(65)?.into(),
        raid_disks: word(10)?,
        size: u64::from(word(8)?) * 1024,
        events: u64::from(word(40)?) << 32 | u64::from(word(39)?),
        is_clean: flags & state::CLEAN != 0,
        has_bitmap: flags & state::BITMAP_PRESENT != 0,
        data_offset: 0,
        data_size: at,
        number,
        roles,
        is_recovering: false,
        is_write_mostly: word(THIS_DISK + 4)? & disk_state::WRITE_MOSTLY != 0,
        unsupported,
        reserved: vec![(at, RESERVED * SECTOR)],
    }))
}

fn role(raid_disk: u32, state: u32) -> Role {
    if state & (disk_state::FAULTY | disk_state::REMOVED) != 0 {
        Role::Faulty
    } else if state & disk_state::SYNC != 0 {
        Role::Active(raid_disk)
    } else {
        // A device that is being rebuilt is a spare to the next start.
        Role::Spare
    }
}

/// The sum of all words but the checksum, carries added.
fn checksum(bytes: &[u8; LEN], stored: u32) -> u32 {
    let words = bytes.as_chunks::<4>().0.iter();
    let sum = words.map(|&word| u64::from(u32::from_le_bytes(word))).sum::<u64>() - u64::from(stored);
    ((sum & 0xffff_ffff) + (sum >> 32)) as u32
}

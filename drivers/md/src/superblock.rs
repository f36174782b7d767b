//! What a member says of itself and its array, whichever version of superblock it has, and where it says it.

use crate::{version_0, version_1};
use driver_core::Volume;
use format_core::{Error, Result};

pub(crate) const SECTOR: u64 = 512;
/// Bytes that any superblock takes.
pub(crate) const LEN: usize = 4096;
pub(crate) const MAGIC: u32 = 0xa92b_4efc;

/// What a device is in its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds data, as this one of the array's devices.
    Active(u32),
    Spare,
    Faulty,
    Journal,
}

/// A member's superblock, checked. Sizes and places in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// `0.90`, `1.0`, `1.1`, `1.2`.
    pub(crate) version: &'static str,
    pub(crate) uuid: [u8; 16],
    /// Empty in version 0.90.
    pub(crate) name: String,
    /// Version 0.90: the number of the device, `md3`.
    pub(crate) minor: Option<u32>,
    /// Empty in version 0.90.
    pub(crate) member_uuid: String,
    pub(crate) level: i32,
    pub(crate) layout: u32,
    pub(crate) chunk: u64,
    pub(crate) raid_disks: u32,
    /// Used of each member; levels 0 and linear use all of `data_size`.
    pub(crate) size: u64,
    pub(crate) events: u64,
    /// Members are known to be alike.
    pub(crate) is_clean: bool,
    pub(crate) has_bitmap: bool,
    pub(crate) data_offset: u64,
    pub(crate) data_size: u64,
    /// This device's number, the index into the roles.
    pub(crate) number: u32,
    pub(crate) roles: Vec<Role>,
    /// Its content is still being rebuilt.
    pub(crate) is_recovering: bool,
    pub(crate) is_write_mostly: bool,
    /// What is under way or set up that is not done here, with the next step.
    pub(crate) unsupported: Option<String>,
    /// The superblock's own places, which data must not reach.
    pub(crate) reserved: Vec<(u64, u64)>,
}

impl Superblock {
    /// The array's UUID as `mdadm` prints it.
    #[must_use]
    pub fn uuid(&self) -> String {
        // Version 0.90 has four numbers, of which mdadm prints the digits.
        let words = self.uuid.as_chunks::<4>().0.iter().map(|&word| match self.minor {
            Some(_) => u32::from_le_bytes(word),
            None => u32::from_be_bytes(word),
        });
        words.map(|word| format!("{word:08x}")).collect::<Vec<_>>().join(":")
    }

    /// The array's name: as the superblock has it, or `md3`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.minor {
            Some(minor) => format!("md{minor}"),
            None if self.name.is_empty() => self.uuid(),
            None => self.name.clone(),
        }
    }

    /// Where the superblock lies on its device, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.reserved.first().map_or(0, |&(at, _)| at)
    }
}

/// The superblock of the array that `volume` is a member of; `None` when there is none.
///
/// # Errors
/// `Corrupt` when there is only a damaged one, `NeedsPerson` when there are several; what the volume reports.
pub fn probe(volume: &dyn Volume) -> Result<Option<Superblock>> {
    let sectors = volume.size() / SECTOR;
    let mut found: Vec<Superblock> = Vec::new();
    let mut damage = None;
    let places = version_1::places(sectors).into_iter().map(|place| (place, version_1::parse as Parse));
    let last = version_0::place(sectors).map(|place| (("0.90", place), version_0::parse as Parse));
    for ((version, at), parse) in places.chain(last) {
        let at = at * SECTOR;
        if at.checked_add(LEN as u64).is_none_or(|end| end > volume.size()) {
            continue;
        }
        let mut bytes = [0; LEN];
        volume.read_exact_at(at, &mut bytes)?;
        match parse(&bytes, version, at) {
            Ok(superblock) => found.extend(superblock),
            Err(error) => damage = damage.or(Some(error)),
        }
    }
    match (found.len(), damage) {
        (0, None) => Ok(None),
        (0, Some(error)) => Err(error.context("md superblock")),
        (1, _) => Ok(found.pop()),
        _ => {
            let versions: Vec<_> = found.iter().map(|superblock| superblock.version).collect();
            Err(Error::needs_person(format!(
                "it has several md superblocks (versions {}); remove the old one with mdadm --zero-superblock in the guest \
                 before exporting",
                versions.join(", ")
            )))
        }
    }
}

/// Bytes of a superblock, the version that lies there, and where it was read. `None` when it is none.
type Parse = fn(&[u8; LEN], &'static str, u64) -> Result<Option<Superblock>>;

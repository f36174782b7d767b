//! Devices as elements of the boot configuration name them.
//!
//! Microsoft does not document the bytes. The layout is what several sources agree on: published dumps of `BCD` for
//! MBR and GPT disks (mistyprojects, "BCDEdit: Devices Partition - Data"), ReactOS' boot/environ/include/bl.h
//! (`BL_DEVICE_DESCRIPTOR`), and programs that write such elements for machines that start by them (BCD-SYS). No
//! store of a real Windows was at hand to try it on: the tests hold the published dump.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 00 | 16 | GUID of the object with further options; zeros: none |
//! | 10 | 4 | kind: 0 block device, 2 partition by number, 4 network, 5 boot manager's, 6 partition, 8 searched for |
//! | 14 | 4 | flags |
//! | 18 | 4 | size from 10 on; 48 for a partition |
//! | 20 | 16 | partition: the GPT's GUID of it, or its first byte on the disk in 8 bytes |
//! | 30 | 4 | disk: 0 hard disk, 3 RAM disk, 5 file, 6 virtual disk; of a block device at 20 |
//! | 34 | 4 | hard disk: 0 GPT, 1 MBR, 2 neither |
//! | 38 | 16 | hard disk: the GPT's GUID, or the MBR's signature in 4 bytes |

use super::guid::Guid;
use std::fmt;

const KIND: usize = 0x10;
const PARTITION: usize = 0x20;
const DISK_KIND: usize = 0x30;
const TABLE: usize = 0x34;
const DISK: usize = 0x38;

/// A device that an element names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    /// That from which the boot manager was started.
    Boot,
    /// The first that has a certain file.
    Locate,
    /// A partition of a hard disk.
    Partition(Place),
    /// Something inside a file: a RAM disk, a virtual disk.
    Inside(&'static str),
    /// Anything else, or damaged.
    Unknown,
}

/// What tells a partition from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// By the MBR's signature of the disk and the partition's first byte.
    Mbr { signature: u32, offset: u64 },
    /// By the GPT's GUIDs of the disk and of the partition.
    Gpt { disk: Guid, partition: Guid },
}

impl Device {
    /// Reads the data of an element.
    pub(crate) fn parse(data: &[u8]) -> Self {
        match word(data, KIND) {
            Some(0) => inside(word(data, PARTITION)),
            Some(5) => Self::Boot,
            Some(6) if word(data, DISK_KIND) == Some(0) => {
                Place::parse(data).map_or(Self::Unknown, Self::Partition)
            }
            Some(6) => inside(word(data, DISK_KIND)),
            Some(8) => Self::Locate,
            _ => Self::Unknown,
        }
    }
}

/// The block devices that lie in a file.
fn inside(kind: Option<u32>) -> Device {
    match kind {
        Some(3) => Device::Inside("a RAM disk"),
        Some(5) => Device::Inside("a file"),
        Some(6) => Device::Inside("a virtual disk"),
        _ => Device::Unknown,
    }
}

impl Place {
    fn parse(data: &[u8]) -> Option<Self> {
        match word(data, TABLE)? {
            0 => Some(Self::Gpt { disk: Guid(bytes(data, DISK)?), partition: Guid(bytes(data, PARTITION)?) }),
            1 => Some(Self::Mbr {
                signature: word(data, DISK)?,
                offset: u64::from_le_bytes(bytes(data, PARTITION)?),
            }),
            _ => None,
        }
    }

    /// `data` with this partition instead of the one it names; `None` when that is none of the same kind of table.
    pub(crate) fn written_into(&self, data: &[u8]) -> Option<Vec<u8>> {
        let Device::Partition(old) = Device::parse(data) else { return None };
        let mut new = data.to_vec();
        match (self, old) {
            (Self::Mbr { signature, offset }, Self::Mbr { .. }) => {
                put(&mut new, PARTITION, &offset.to_le_bytes())?;
                put(&mut new, DISK, &signature.to_le_bytes())?;
            }
            (Self::Gpt { disk, partition }, Self::Gpt { .. }) => {
                put(&mut new, PARTITION, &partition.0)?;
                put(&mut new, DISK, &disk.0)?;
            }
            _ => return None,
        }
        Some(new)
    }

    /// Whether it is the same partition on a disk with another identity: what a disk looks like that was given a new
    /// one.
    pub(crate) fn differs_by_disk_only(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Mbr { offset, .. }, Self::Mbr { offset: other, .. }) => offset == other,
            (Self::Gpt { partition, .. }, Self::Gpt { partition: other, .. }) => partition == other,
            _ => false,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mbr { signature, offset } => {
                write!(f, "the partition at {offset:#x} of the disk with signature {signature:#010x}")
            }
            Self::Gpt { disk, partition } => write!(f, "partition {partition} of disk {disk}"),
        }
    }
}

fn bytes<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    bytes(data, at).map(u32::from_le_bytes)
}

fn put(data: &mut [u8], at: usize, new: &[u8]) -> Option<()> {
    data.get_mut(at..at.checked_add(new.len())?)?.copy_from_slice(new);
    Some(())
}

/// An element that names `place`, for tests.
#[cfg(test)]
pub(crate) fn element(place: &Place) -> Vec<u8> {
    let mut data = vec![0; 0x58];
    put(&mut data, KIND, &[6]).unwrap();
    put(&mut data, 0x18, &[0x48]).unwrap();
    put(&mut data, TABLE, &[u8::from(matches!(place, Place::Mbr { .. }))]).unwrap();
    place.written_into(&data).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Windows 8.1 on an MBR disk has as its `device`, as mistyprojects published it.
    fn published() -> Vec<u8> {
        let mut data = vec![0; 0x58];
        data[0x10] = 0x06;
        data[0x18] = 0x48;
        data[0x20..0x28].copy_from_slice(&[0x00, 0x00, 0xf0, 0x15, 0x00, 0x00, 0x00, 0x00]);
        data[0x34] = 0x01;
        data[0x38..0x3c].copy_from_slice(&[0xf1, 0xa8, 0xeb, 0xb3]);
        data
    }

    #[test]
    fn the_published_device_is_read_and_changed_where_it_must_be() {
        let old = Place::Mbr { signature: 0xb3eb_a8f1, offset: 0x15f0_0000 };
        assert_eq!(Device::parse(&published()), Device::Partition(old));
        assert_eq!(element(&old), published());
        let new = Place::Mbr { signature: 0x1234_abcd, offset: 0x10_0000 };
        let mut written = new.written_into(&published()).unwrap();
        assert_eq!(Device::parse(&written), Device::Partition(new));
        written[0x20..0x28].copy_from_slice(&published()[0x20..0x28]);
        written[0x38..0x3c].copy_from_slice(&published()[0x38..0x3c]);
        assert_eq!(written, published());
        let gpt = Place::Gpt { disk: Guid([1; 16]), partition: Guid([2; 16]) };
        assert_eq!(gpt.written_into(&published()), None);
        assert_eq!(Device::parse(&element(&gpt)), Device::Partition(gpt));
    }

    #[test]
    fn other_devices_are_told_apart() {
        let of = |kind: u8, at: usize, sub: u8| {
            let mut data = vec![0; 0x58];
            (data[KIND], data[at]) = (kind, sub);
            Device::parse(&data)
        };
        assert_eq!(of(5, 0x20, 0), Device::Boot);
        assert_eq!(of(8, 0x20, 0), Device::Locate);
        assert_eq!(of(0, 0x20, 3), Device::Inside("a RAM disk"));
        assert_eq!(of(6, 0x30, 6), Device::Inside("a virtual disk"));
        assert_eq!(of(2, 0x20, 1), Device::Unknown);
        assert_eq!(of(6, 0x34, 2), Device::Unknown);
    }

    #[test]
    fn a_device_that_was_cut_off_is_unknown() {
        for len in 0..0x58 {
            let cut = &published()[..len];
            let read = Device::parse(cut);
            assert!(matches!(read, Device::Unknown) == (len < 0x3c), "{len}: {read:?}");
        }
    }
}

//! The copy of the boot sector at the end of an NTFS partition, which lies behind its clusters: images of file systems seldom
//! have it.

/// The copy of a boot sector and where in the partition it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootCopy {
    /// Where in the partition it belongs, in bytes.
    pub offset: u64,
    /// The sector.
    pub sector: Vec<u8>,
}

impl BootCopy {
    /// The largest sector of NTFS.
    pub const MAX_SECTOR: usize = 4096;

    /// The copy for a partition of `size` bytes that begins with `head`; none when it is no NTFS, or when the place is
    /// among the bytes that an image has, which end at `known`.
    #[must_use]
    pub fn of(head: &[u8], known: u64, size: u64) -> Option<Self> {
        if head.get(3..11)? != b"NTFS    " {
            return None;
        }
        let sector_size = u16::from_le_bytes(*head.get(0x0b..)?.first_chunk()?);
        let sectors = u64::from_le_bytes(*head.get(0x28..)?.first_chunk()?);
        if !sector_size.is_power_of_two() || !(512..=Self::MAX_SECTOR).contains(&usize::from(sector_size)) {
            return None;
        }
        let offset = sectors.checked_mul(sector_size.into())?;
        let fits = offset >= known && offset.checked_add(sector_size.into())? <= size;
        let sector = head.get(..usize::from(sector_size))?.to_vec();
        fits.then_some(Self { offset, sector })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_lies_behind_the_last_sector_of_the_volume() {
        let mut head = vec![0; 4096];
        head[3..11].copy_from_slice(b"NTFS    ");
        head[0x0b..0x0d].copy_from_slice(&512u16.to_le_bytes());
        head[0x28..0x30].copy_from_slice(&99u64.to_le_bytes());
        let copy = BootCopy::of(&head, 96 * 512, 100 * 512).unwrap();
        assert_eq!((copy.offset, copy.sector.len()), (99 * 512, 512));
        assert_eq!(BootCopy::of(&head, 100 * 512, 100 * 512), None, "the place is a block's");
        assert_eq!(BootCopy::of(&head, 0, 100 * 512 - 1), None, "no room");
        head[0x28..0x30].fill(0xff);
        assert_eq!(BootCopy::of(&head, 0, u64::MAX), None);
        head[0x0c] = 0x10;
        assert_eq!(BootCopy::of(&head[..300], 0, u64::MAX), None);
    }
}

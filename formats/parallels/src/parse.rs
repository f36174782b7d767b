//! The header and the BAT of an expanding image: every check is here, and nothing here does I/O.

use crate::error::ParallelsError;
use crate::layout::{
    BAT_ENTRY_LEN, HEADER_LEN, Header, IN_USE, MAGIC, MAGIC_EXT, MAX_TRACKS, SECTOR, VERSION,
};
use binrw::BinRead;
use format_core::units::align_up;
use std::io::Cursor;

/// What an expanding image says about itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) virtual_size: u64,
    pub(crate) cluster_size: u64,
    pub(crate) bat_entries: u64,
    /// Bytes that a BAT entry counts in.
    pub(crate) unit: u64,
    pub(crate) data: u64,
    /// Whether `data` is where it has to be.
    pub(crate) is_data_sound: bool,
    pub(crate) in_use: bool,
    /// The Format Extension Cluster, which describes others.
    pub(crate) extension: Option<u64>,
    size: u64,
}

pub(crate) fn has_magic(head: &[u8]) -> bool {
    head.starts_with(&MAGIC) || head.starts_with(&MAGIC_EXT)
}

impl Image {
    /// Checks the start of a file of `size` bytes.
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN], size: u64) -> Result<Self, ParallelsError> {
        if !has_magic(bytes) {
            return Err(ParallelsError::NotParallels);
        }
        let header = Header::read(&mut Cursor::new(bytes)).map_err(|_| ParallelsError::TooShort { size })?;
        let found = header.version;
        if found != VERSION {
            return Err(ParallelsError::Version { found });
        }
        let found = header.tracks;
        if !(1..=MAX_TRACKS).contains(&found) {
            return Err(ParallelsError::Tracks { found });
        }
        let is_ext = header.magic == MAGIC_EXT;
        let sectors = header.nb_sectors;
        let virtual_size = sectors.checked_mul(SECTOR).filter(|_| is_ext || sectors <= u32::MAX.into());
        let virtual_size = virtual_size.ok_or(ParallelsError::Sectors { found: sectors })?;
        let cluster_size = u64::from(found) * SECTOR;
        let (entries, needed) = (header.nb_bat_entries, virtual_size.div_ceil(cluster_size));
        if needed > entries.into() {
            return Err(ParallelsError::BatTooSmall { entries, needed });
        }
        let bat_end = HEADER_LEN as u64 + u64::from(entries) * BAT_ENTRY_LEN;
        if bat_end > size {
            return Err(ParallelsError::BatPlace { end: bat_end, size });
        }
        // At most 16 GiB and a cluster.
        let earliest = align_up(bat_end, if is_ext { cluster_size } else { SECTOR }).unwrap_or(bat_end);
        let said = u64::from(header.data_off) * SECTOR;
        let is_data_sound = (said == 0 && !is_ext) || (earliest..=size.max(earliest)).contains(&said);
        Ok(Self {
            virtual_size,
            cluster_size,
            bat_entries: entries.into(),
            unit: if is_ext { cluster_size } else { SECTOR },
            data: if is_data_sound && said > 0 { said } else { earliest },
            is_data_sound,
            in_use: header.in_use == IN_USE,
            extension: (header.ext_off != 0).then(|| header.ext_off.saturating_mul(SECTOR)),
            size,
        })
    }

    /// How many clusters the disk has.
    pub(crate) fn clusters(&self) -> u64 {
        self.virtual_size.div_ceil(self.cluster_size)
    }

    /// Guest bytes of `cluster`: less than the cluster size at the end of the disk.
    pub(crate) fn cluster_len(&self, cluster: u64) -> u64 {
        let start = cluster.saturating_mul(self.cluster_size);
        self.virtual_size.saturating_sub(start).min(self.cluster_size)
    }

    /// Where the BAT says that `cluster` is, if it is here at all.
    ///
    /// Only the bytes that the disk uses have to be there: a last cluster that ends with the disk loses nothing.
    pub(crate) fn place(&self, cluster: u64, entry: u32) -> Result<Option<u64>, ParallelsError> {
        if entry == 0 {
            return Ok(None);
        }
        // 32 bits times 2^28 at most.
        let (offset, length, size) = (u64::from(entry) * self.unit, self.cluster_len(cluster), self.size);
        let end = HEADER_LEN as u64 + self.bat_entries * BAT_ENTRY_LEN;
        if offset < end {
            return Err(ParallelsError::ClusterInBat { cluster, offset, end });
        }
        if offset + length > size {
            return Err(ParallelsError::ClusterPlace { cluster, offset, length, size });
        }
        Ok(Some(offset))
    }
}

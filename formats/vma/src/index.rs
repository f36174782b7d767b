//! A file is walked once, from head to head, and each cluster's place noted.

use crate::error::VmaError;
use crate::layout::{FIXED_LEN, HEAD_LEN, SLOTS};
use crate::map::{Filling, Map, Place};
use crate::parse::{Extent, Header, header_len};
use format_core::{Error, Opener, Result, Storage};

/// The index of one file.
pub(crate) struct Index {
    pub(crate) map: Map,
    /// Number of the first cluster of each device in the map.
    pub(crate) first: Vec<u64>,
    /// Clusters with data by device.
    pub(crate) filled: Vec<u64>,
    /// Extents whose head has a wrong checksum, which is ignored.
    pub(crate) ignored: u64,
}

/// Counts the clusters of each device that were seen.
#[derive(Debug)]
pub(crate) struct Seen(Vec<u64>);

impl Seen {
    pub(crate) fn new(header: &Header) -> Self {
        Self(vec![0; header.devices.len()])
    }

    pub(crate) fn count(&mut self, device: usize) {
        if let Some(seen) = self.0.get_mut(device) {
            *seen += 1;
        }
    }

    /// All clusters of all disks have to be there when the file ends at `end`.
    pub(crate) fn check(&self, header: &Header, end: u64) -> Result<(), VmaError> {
        for (device, seen) in header.devices.iter().zip(&self.0) {
            let total = device.clusters();
            if *seen < total && !device.is_memory() {
                let (name, missing) = (device.name.clone(), total - seen);
                return Err(VmaError::Missing { name, missing, total, end });
            }
        }
        Ok(())
    }
}

/// Reads and checks the header.
pub(crate) fn load(storage: &dyn Storage, ignore_checksums: bool) -> Result<Header> {
    let size = storage.size();
    if size < FIXED_LEN as u64 {
        return Err(VmaError::TooShort { size }.into());
    }
    let mut bytes = vec![0; FIXED_LEN];
    storage.read_exact_at(0, &mut bytes)?;
    let header = header_len(&bytes)?;
    if header > size {
        return Err(VmaError::HeaderCut { header, size }.into());
    }
    bytes.resize(header as usize, 0);
    storage.read_exact_at(0, &mut bytes)?;
    Header::parse(&bytes, ignore_checksums)
}

/// Walks the extents; `each` is told the place of a head and the extent.
pub(crate) fn walk(
    storage: &dyn Storage,
    header: &Header,
    ignore_checksums: bool,
    mut each: impl FnMut(u64, &Extent) -> Result<()>,
) -> Result<()> {
    let end = storage.size();
    let mut at = header.len;
    while at < end {
        let cut = |what, need| Error::from(VmaError::Cut { what, need, end }).at(at);
        if end - at < HEAD_LEN as u64 {
            return Err(cut("the head of an extent", HEAD_LEN as u64));
        }
        let mut head = [0; HEAD_LEN];
        storage.read_exact_at(at, &mut head)?;
        let extent = header.extent(&head, ignore_checksums).map_err(|e| e.at(at))?;
        let len = HEAD_LEN as u64 + extent.stored();
        if end - at < len {
            return Err(cut("an extent", len));
        }
        each(at, &extent)?;
        at += len;
    }
    Ok(())
}

/// Indexes a file.
pub(crate) fn build(
    storage: &dyn Storage,
    header: &Header,
    ignore_checksums: bool,
    opener: &dyn Opener,
) -> Result<Index> {
    let (mut first, mut clusters) = (Vec::new(), 0_u64);
    for device in &header.devices {
        first.push(clusters);
        clusters = clusters.saturating_add(if device.is_memory() { 0 } else { device.clusters() });
    }
    // A head lists 59 clusters at most: what a short file cannot hold takes no memory.
    let size = storage.size();
    let most = ((size - header.len).div_ceil(HEAD_LEN as u64)).saturating_mul(SLOTS as u64);
    if clusters > most {
        return Err(VmaError::TooFew { wanted: clusters, most, size }.into());
    }
    let mut map = Filling::new(clusters, || opener.scratch())?;
    let mut seen = Seen::new(header);
    let (mut filled, mut ignored) = (vec![0; header.devices.len()], 0);
    walk(storage, header, ignore_checksums, |at, extent| {
        ignored += u64::from(extent.ignored.is_some());
        let mut host = at + HEAD_LEN as u64;
        for slot in extent.slots() {
            let place = Place { host, mask: slot.mask };
            host += slot.stored();
            let Some(device) = header.devices.get(slot.device).filter(|device| !device.is_memory()) else {
                continue;
            };
            let base = first.get(slot.device).copied().unwrap_or(0);
            if !map.put(base + u64::from(slot.cluster), place)? {
                let (name, cluster) = (device.name.clone(), slot.cluster);
                return Err(Error::from(VmaError::Twice { name, cluster }).at(at));
            }
            seen.count(slot.device);
            if let Some(filled) = filled.get_mut(slot.device) {
                *filled += u64::from(slot.mask != 0);
            }
        }
        Ok(())
    })?;
    seen.check(header, size)?;
    Ok(Index { map: map.finish()?, first, filled, ignored })
}

//! What must hold before anything is changed: every chain belongs to one file or folder and is as long as that says.
//!
//! Clusters that are marked as used and belong to nothing are no obstacle: they stay.

use crate::boot_sector::{Geometry, Root};
use crate::error::FatError;
use crate::folder::Folder;
use crate::table::Table;
use driver_core::Volume;
use format_core::Result;

/// Bytes of all folders together (a million entries).
const MAX_FOLDERS: u64 = 32 << 20;

/// One bit for each cluster.
struct Claims(Vec<u64>);

impl Claims {
    fn claim(&mut self, clusters: &[u32], what: &str) -> Result<()> {
        for &cluster in clusters {
            let bit = 1u64 << (cluster % 64);
            match self.0.get_mut(cluster as usize / 64) {
                Some(word) if *word & bit == 0 => *word |= bit,
                _ => return Err(FatError::Shared { what: what.to_owned(), cluster }.into()),
            }
        }
        Ok(())
    }
}

/// Walks all folders and chains.
pub(crate) fn check(volume: &dyn Volume, table: &Table, geometry: &Geometry) -> Result<()> {
    if let Some(at) = table.find_difference()? {
        return Err(FatError::CopiesDiffer(at).into());
    }
    let mut claims = Claims(vec![0; (geometry.clusters as usize + 2) / 64 + 1]);
    let mut folders = vec![(geometry.root, String::from("/"))];
    let mut bytes = 0;
    while let Some((place, path)) = folders.pop() {
        let folder = Folder::load(volume, table, geometry, place)?;
        claims.claim(&folder.clusters, &format!("{path:?}"))?;
        bytes += folder.len();
        if bytes > MAX_FOLDERS {
            return Err(FatError::TooManyFolders(MAX_FOLDERS).into());
        }
        if let Some(number) = folder.find_behind_end() {
            return Err(FatError::BehindEnd { what: format!("{path:?}"), number }.into());
        }
        for entry in folder.entries(geometry) {
            let path = format!("{}/{}", path.trim_end_matches('/'), entry.name);
            if entry.is_folder() {
                folders.push((Root::Cluster(entry.first), path));
            } else {
                let clusters = content_chain(table, geometry, entry.first, entry.size, &format!("{path:?}"))?;
                claims.claim(&clusters, &format!("{path:?}"))?;
            }
        }
    }
    Ok(())
}

/// The clusters of a file, which must be exactly as many as its size says.
fn content_chain(table: &Table, geometry: &Geometry, first: u32, size: u32, what: &str) -> Result<Vec<u32>> {
    let needed = u64::from(size).div_ceil(geometry.cluster);
    let differs = |clusters| FatError::FileLength {
        what: what.to_owned(),
        size: size.into(),
        clusters,
        cluster: geometry.cluster,
    };
    if first == 0 && needed == 0 {
        return Ok(Vec::new());
    }
    if needed > geometry.clusters.into() {
        return Err(differs(geometry.clusters.into()).into());
    }
    let chain = table.chain(first, needed, what)?.ok_or_else(|| differs(needed + 1))?;
    if chain.len() as u64 != needed {
        return Err(differs(chain.len() as u64).into());
    }
    Ok(chain)
}

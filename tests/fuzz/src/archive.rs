//! What targets of archives share: headers with right checksums, and an opener that takes everything inside for raw.

use crate::Patched;
use format_core::{
    Access, DenyAll, Disk, Error, Gate, InnerImage, LayerContext, Opener, Result, Storage, StorageReader,
};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

const BLOCK: u64 = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Puts the checksums of the headers right in which something was patched.
pub fn seal_headers(image: &mut Patched) {
    for place in image.places() {
        let at = place / BLOCK * BLOCK;
        let mut block = image.bytes(at, BLOCK as usize);
        if !block[257..].starts_with(b"ustar") {
            continue;
        }
        block[CHECKSUM].fill(b' ');
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        image.patch(at + CHECKSUM.start as u64, format!("{sum:06o}\0 ").as_bytes());
    }
}

/// The context of a room whose files hold raw disks.
#[must_use]
pub fn raw_inside(pick: Option<&str>) -> LayerContext {
    let access = Access { pick: pick.map(str::to_owned), ..Access::default() };
    LayerContext { access, opener: Arc::new(RawOpener), ..LayerContext::new(Arc::new(DenyAll)) }
}

struct RawOpener;

impl Opener for RawOpener {
    fn open(&self, storage: Arc<dyn Storage>, _: &str, gate: Arc<dyn Gate>) -> Result<InnerImage> {
        let open = format_raw::FORMAT.open_layer.expect("raw is read");
        let layer = open(storage, &LayerContext::new(gate))?;
        let disk = Disk::new(vec![layer.into()])?;
        Ok(InnerImage { disk, format: Some(&format_raw::FORMAT), warnings: Vec::new() })
    }

    fn unpacked(&self, storage: Arc<dyn Storage>, _: &str) -> Result<Arc<dyn Storage>> {
        Ok(storage)
    }

    fn reader(&self, storage: Arc<dyn Storage>, _: &str) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(StorageReader::new(storage)))
    }

    fn scratch(&self) -> Result<File> {
        Err(Error::unsupported("no files here"))
    }
}

//! What was written for Google Cloud, read again.

use crate::error::TarError;
use crate::members::{Index, own, plain_name};
use format_core::{Extent, Layer, LayerContext, Result, Storage, check_guest_range};
use std::sync::Arc;

/// The only name that Google Cloud takes.
pub(crate) const NAME: &str = "disk.raw";

struct Disk(Arc<dyn Storage>);

/// Opens the archive, which may have been unpacked before.
pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let name = context.name.as_deref().unwrap_or("disk.raw.tar.gz");
    let storage =
        if is_plain(storage.as_ref())? { storage } else { context.opener.unpacked(storage, name)? };
    let index = Index::load(&storage)?;
    match index.members.as_slice() {
        [only] if plain_name(&only.name) == NAME && index.disks.len() == 1 => {
            Ok(Box::new(Disk(only.storage(&storage).map_err(own)?)))
        }
        members => {
            let names = members.iter().take(5).map(|member| format!("{:?}", member.name));
            let found = match members.len() {
                0 => "nothing".to_owned(),
                _ => names.collect::<Vec<_>>().join(", "),
            };
            Err(TarError::NotGcp { found }.into())
        }
    }
}

fn is_plain(storage: &dyn Storage) -> Result<bool> {
    let mut head = [0; 512];
    let len = storage.size().min(512) as usize;
    storage.read_exact_at(0, &mut head[..len])?;
    Ok(tar_members::is_tar(&head))
}

impl Layer for Disk {
    fn format(&self) -> &'static str {
        crate::GCP.name
    }

    fn virtual_size(&self) -> u64 {
        self.0.size()
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.0.data_at(offset)
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_guest_range(self.0.size(), offset, buf.len() as u64)?;
        self.0.read_exact_at(offset, buf)
    }
}

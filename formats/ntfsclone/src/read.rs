//! An image as a layer.

use crate::error::NtfscloneError;
use crate::index::Index;
use crate::layout::{HEADER_LEN, NEXT};
use crate::parse::Image;
use format_core::{
    BootCopy, Details, Error, Extent, ExtentKind, HostRange, Layer, LayerContext, Result, Storage, Warning,
    check_guest_range,
};
use std::sync::Arc;

/// Read at once, commands included.
const PIECE: usize = 1 << 20;

/// An opened image.
pub(crate) struct NtfscloneLayer {
    storage: Arc<dyn Storage>,
    pub(crate) image: Image,
    pub(crate) index: Index,
    boot: Option<BootCopy>,
    warnings: Vec<Warning>,
}

enum Place {
    Nothing,
    /// The cluster's command is at this place; the byte is that far in the cluster.
    Cluster {
        host: u64,
        inside: u64,
    },
    Boot(usize),
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    Ok(Box::new(load(storage, context)?))
}

/// Reads the header and finds all clusters.
pub(crate) fn load(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<NtfscloneLayer> {
    let mut header = [0; HEADER_LEN];
    if storage.size() < HEADER_LEN as u64 {
        return Err(NtfscloneError::Magic.into());
    }
    storage.read_exact_at(0, &mut header)?;
    let image = Image::parse(&header)?;
    let index = Index::build(storage.as_ref(), image, context)?;
    let mut layer = NtfscloneLayer { storage, image, index, boot: None, warnings: image.doubts() };
    let known = image.clusters * image.cluster_size;
    if !layer.index.has_tail && known < image.virtual_size {
        let mut head = vec![0; BootCopy::MAX_SECTOR.min(known as usize)];
        layer.read_exact_at(0, &mut head)?;
        layer.boot = BootCopy::of(&head, known, image.virtual_size);
    }
    Ok(layer)
}

impl NtfscloneLayer {
    /// What is at `offset`, and for how many bytes that goes on.
    fn place(&self, offset: u64) -> Result<(Place, u64)> {
        let (size, end) = (self.image.cluster_size, self.image.virtual_size);
        let (cluster, inside) = (offset / size, offset % size);
        let run = self.index.find(cluster)?;
        if let Some(run) = run.filter(|run| run.cluster <= cluster) {
            let number = cluster - run.cluster;
            let host = run.host.saturating_add(number * (size + 1));
            let len = (run.count - number) * size - inside;
            return Ok((Place::Cluster { host, inside }, len.min(end - offset)));
        }
        let next = run.map_or(end, |run| end.min(run.cluster.saturating_mul(size)));
        let Some(boot) = &self.boot else { return Ok((Place::Nothing, next - offset)) };
        let behind = boot.offset.saturating_add(boot.sector.len() as u64);
        Ok(match offset {
            before if before < boot.offset => (Place::Nothing, next.min(boot.offset) - offset),
            _ if offset < behind => (Place::Boot((offset - boot.offset) as usize), behind - offset),
            _ => (Place::Nothing, next - offset),
        })
    }

    /// Reads from clusters that follow each other: many at once, and their commands are taken out.
    fn read_clusters(&self, mut host: u64, inside: u64, mut buf: &mut [u8]) -> Result<()> {
        let size = self.image.cluster_size as usize;
        let mut skip = inside as usize;
        if skip + buf.len() <= size {
            return self.storage.read_exact_at(host.saturating_add(1 + inside), buf);
        }
        let per_piece = (PIECE / (size + 1)).max(1);
        let mut piece = Vec::new();
        while !buf.is_empty() {
            let clusters = (skip + buf.len()).div_ceil(size).min(per_piece);
            let bytes = (clusters * size - skip).min(buf.len());
            // The last cluster of the device is shorter, so no more is read than is wanted.
            piece.resize(skip + bytes + clusters, 0);
            self.storage.read_exact_at(host, &mut piece)?;
            for cluster in piece.chunks(size + 1) {
                let (command, data) = cluster.split_first().unwrap_or((&NEXT, &[]));
                if *command != NEXT {
                    let text = "a cluster's command changed while the image was read";
                    return Err(Error::corrupt(text).in_format(crate::FORMAT.name).at(host));
                }
                let data = data.get(std::mem::take(&mut skip)..).unwrap_or_default();
                let (now, rest) = buf.split_at_mut(data.len().min(buf.len()));
                now.copy_from_slice(&data[..now.len()]);
                buf = rest;
            }
            host = host.saturating_add(piece.len() as u64);
        }
        Ok(())
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.image.virtual_size, offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }
}

impl Layer for NtfscloneLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.image.virtual_size
    }

    fn chunk_size(&self) -> u64 {
        self.image.cluster_size
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let (place, len) = self.place(offset)?;
        let is_nothing = matches!(place, Place::Nothing);
        let kind = if is_nothing { ExtentKind::Unallocated } else { ExtentKind::Data };
        Ok(Extent { offset, len, kind })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let (place, len) = self.place(at)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            match (place, &self.boot) {
                (Place::Cluster { host, inside }, _) => self.read_clusters(host, inside, now)?,
                (Place::Boot(from), Some(boot)) => now.copy_from_slice(&boot.sector[from..from + len]),
                _ => now.fill(0),
            }
            (at, buf) = (at + len as u64, rest);
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let (Place::Cluster { host, inside }, len) = self.place(offset).ok()? else { return None };
        let len = len.min(self.image.cluster_size - inside);
        Some(HostRange { storage: Arc::clone(&self.storage), offset: host + 1 + inside, len })
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn details(&self) -> Details {
        self.image.details()
    }
}

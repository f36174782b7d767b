//! A qcow image as a layer.

use crate::cipher::{SECTOR_LEN, SectorCipher, passphrase};
use crate::error::QcowError;
use crate::parse::Cluster;
use crate::table::{Tables, load_header};
use format_core::units::SECTOR;
use format_core::{
    Details, Error, Extent, ExtentKind, HostRange, Layer, LayerContext, ParentRef, Result, Storage, Warning,
    check_guest_range,
};
use std::sync::{Arc, Mutex, PoisonError};

struct QcowLayer {
    storage: Arc<dyn Storage>,
    tables: Tables,
    cipher: Option<SectorCipher>,
    /// The compressed cluster that was read in parts last, by its place.
    unpacked: Mutex<Option<(u64, Arc<[u8]>)>>,
    mtime: u32,
    parent: Option<ParentRef>,
    warnings: Vec<Warning>,
}

pub(crate) fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let (image, backing) = load_header(storage.as_ref()).map_err(|e| e.context("load header"))?;
    let parent = backing.map(|name| ParentRef { names: vec![name], format: None, identity: None });
    let (mut cipher, mut warnings) = (None, Vec::new());
    if image.is_encrypted {
        let key = context.access.key.as_ref().ok_or(QcowError::NoKey)?;
        cipher = Some(SectorCipher::new(key));
        let newline =
            if passphrase(key).contains(&b'\n') { ", and the key has a newline, which counts" } else { "" };
        let text = format!("the image's AES encryption cannot tell a wrong key{newline}: look at the result");
        warnings.push(Warning::new("qcow1-aes-key", text));
    }
    Ok(Box::new(QcowLayer {
        storage,
        tables: Tables::new(image.geometry),
        cipher,
        unpacked: Mutex::default(),
        mtime: image.mtime,
        parent,
        warnings,
    }))
}

impl QcowLayer {
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        check_guest_range(self.virtual_size(), offset, len).map_err(|e| e.in_format(crate::FORMAT.name))
    }

    /// Plain clusters that lie at `host`, for the disk's `offset`.
    fn read_plain(&self, mut host: u64, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        let Some(cipher) = &self.cipher else { return self.storage.read_exact_at(host, buf) };
        let mut one = [0; SECTOR_LEN];
        while !buf.is_empty() {
            let (sector, skip) = (offset / SECTOR, (offset % SECTOR) as usize);
            let len = if skip == 0 && buf.len() >= SECTOR_LEN {
                let len = buf.len() / SECTOR_LEN * SECTOR_LEN;
                let (whole, _) = buf.split_at_mut(len);
                self.storage.read_exact_at(host, whole)?;
                cipher.decrypt(sector, whole);
                len
            } else {
                // Clusters lie at multiples of a sector on both sides.
                self.storage.read_exact_at(host - skip as u64, &mut one)?;
                cipher.decrypt(sector, &mut one);
                let part = one.get(skip..).unwrap_or_default();
                buf.iter_mut().zip(part).for_each(|(to, from)| *to = *from);
                part.len().min(buf.len())
            };
            buf = buf.get_mut(len..).unwrap_or_default();
            host += len as u64;
            offset += len as u64;
        }
        Ok(())
    }

    fn read_compressed(&self, offset: u64, len: u64, inside: u64, buf: &mut [u8]) -> Result<()> {
        let cluster_size = self.chunk_size();
        if buf.len() as u64 == cluster_size {
            return self.unpack(offset, len, buf);
        }
        let kept = || self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept().as_ref().filter(|(at, _)| *at == offset).map(|(_, cluster)| Arc::clone(cluster));
        let cluster = match found {
            Some(cluster) => cluster,
            None => {
                let mut cluster = vec![0; cluster_size as usize];
                self.unpack(offset, len, &mut cluster)?;
                let cluster: Arc<[u8]> = cluster.into();
                *kept() = Some((offset, Arc::clone(&cluster)));
                cluster
            }
        };
        let part = cluster.get(inside as usize..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(part.ok_or_else(|| Error::contract("a read left its compressed cluster"))?);
        Ok(())
    }

    /// Decompresses a whole cluster. Compressed clusters are never encrypted.
    fn unpack(&self, offset: u64, len: u64, cluster: &mut [u8]) -> Result<()> {
        let mut packed = vec![0; len as usize];
        self.storage.read_exact_at(offset, &mut packed)?;
        let cluster_size = cluster.len() as u64;
        let why = match libdeflater::Decompressor::new().deflate_decompress(&packed, cluster) {
            Ok(found) if found == cluster.len() => return Ok(()),
            Ok(found) => format!("the stream ends after {found:#x} bytes"),
            Err(error) => error.to_string(),
        };
        Err(QcowError::Decompress { offset, len, cluster_size, why }.into())
    }
}

impl Layer for QcowLayer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.tables.geometry.size
    }

    fn chunk_size(&self) -> u64 {
        self.tables.geometry.cluster_size()
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.check_range(offset, 1)?;
        let run = self.tables.run_at(self.storage.as_ref(), offset)?;
        let is_data = run.cluster != Cluster::Unallocated;
        let kind = if is_data { ExtentKind::Data } else { ExtentKind::Unallocated };
        Ok(Extent { offset, len: run.len, kind })
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        self.check_range(offset, buf.len() as u64)?;
        let mut at = offset;
        while !buf.is_empty() {
            let run = self.tables.run_at(self.storage.as_ref(), at)?;
            let len = usize::try_from(run.len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            match run.cluster {
                Cluster::Unallocated => now.fill(0),
                Cluster::Data(host) => self.read_plain(host + run.inside, at, now)?,
                Cluster::Compressed { offset, len } => self.read_compressed(offset, len, run.inside, now)?,
            }
            buf = rest;
            at += len as u64;
        }
        Ok(())
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        self.check_range(offset, 1).ok()?;
        let run = self.tables.run_at(self.storage.as_ref(), offset).ok()?;
        match run.cluster {
            Cluster::Data(host) if self.cipher.is_none() => Some(HostRange {
                storage: Arc::clone(&self.storage),
                offset: host + run.inside,
                len: run.len,
            }),
            _ => None,
        }
    }

    fn is_compressed_at(&self, offset: u64) -> bool {
        let inside = self.check_range(offset, 1).is_ok();
        inside
            && matches!(
                self.tables.run_at(self.storage.as_ref(), offset),
                Ok(run) if matches!(run.cluster, Cluster::Compressed { .. })
            )
    }

    fn details(&self) -> Details {
        let mut details = Details::new();
        details.insert("cluster-size".into(), self.chunk_size().into());
        details.insert("encrypted".into(), self.cipher.is_some().into());
        if self.mtime != 0 {
            details.insert("backing-file-mtime".into(), self.mtime.into());
        }
        details
    }

    fn parent(&self) -> Option<&ParentRef> {
        self.parent.as_ref()
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

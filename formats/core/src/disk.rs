//! The guest's disk: a checked chain of layers, flattened.

use crate::{Error, Extent, ExtentKind, HostRange, Layer, Result};
use std::sync::Arc;

/// A whole disk over a chain of layers, top first. Cheap to clone, safe from many threads.
///
/// Every answer of a layer is checked here, so callers get ascending, contiguous extents of Data and Zero or an
/// error, never a loop.
#[derive(Clone)]
pub struct Disk {
    layers: Arc<[Arc<dyn Layer>]>,
    size: u64,
}

/// One run of a map: see [`Disk::map_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// Guest offset in bytes.
    pub offset: u64,
    /// Guest bytes.
    pub len: u64,
    /// Which image of the chain decides, 0 for the top; the last one where none holds anything.
    pub depth: usize,
    /// Data, zeros, or nowhere allocated.
    pub kind: ExtentKind,
    /// Where the data lie plain in the host storage.
    pub host_offset: Option<u64>,
    /// Whether the data are compressed.
    pub is_compressed: bool,
}

/// What one look through the chain found: an extent of Data or Zero, and who holds the data.
struct Resolved<'a> {
    extent: Extent,
    layer: Option<&'a dyn Layer>,
}

impl Disk {
    /// A disk over `layers`, the top one first. Its size is the top layer's.
    ///
    /// # Errors
    /// `Contract` when there is no layer.
    pub fn new(layers: Vec<Arc<dyn Layer>>) -> Result<Self> {
        let size = layers.first().ok_or_else(|| Error::contract("a disk without layers"))?.virtual_size();
        Ok(Self { layers: layers.into(), size })
    }

    /// A disk of one layer.
    pub(crate) fn over(layer: Arc<dyn Layer>) -> Self {
        let size = layer.virtual_size();
        Self { layers: Arc::new([layer]), size }
    }

    /// A disk of `size` bytes that are all zeros.
    #[must_use]
    pub fn blank(size: u64) -> Self {
        Self { layers: Arc::new([Arc::new(Blank(size)) as Arc<dyn Layer>]), size }
    }

    /// The same disk with one more layer on top.
    #[must_use]
    pub fn with_top(&self, top: Arc<dyn Layer>) -> Self {
        let size = top.virtual_size();
        let layers = std::iter::once(top).chain(self.layers.iter().cloned()).collect();
        Self { layers, size }
    }

    /// The same disk with zeros at its end until it has `size` bytes.
    #[must_use]
    pub fn grown_to(&self, size: u64) -> Self {
        if size <= self.size { self.clone() } else { self.with_top(Arc::new(Blank(size))) }
    }

    /// The first `size` bytes of the disk, which hides what lies beyond for good.
    #[must_use]
    pub fn cut_to(&self, size: u64) -> Self {
        if size >= self.size {
            return self.clone();
        }
        Self { layers: Arc::new([Arc::new(Beginning { disk: self.clone(), size }) as Arc<dyn Layer>]), size }
    }

    /// Size in bytes.
    #[must_use]
    pub fn virtual_size(&self) -> u64 {
        self.size
    }

    /// The layers, top first.
    #[must_use]
    pub fn layers(&self) -> &[Arc<dyn Layer>] {
        &self.layers
    }

    /// The run of Data or Zero that starts at `offset`.
    ///
    /// # Errors
    /// `Usage` at or beyond the end; what the layers report; `Contract` when a layer breaks its contract.
    pub fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(self.resolve(offset)?.extent)
    }

    /// The runs of Data and Zero from `start` to `end` (clipped to the disk), coalesced.
    #[must_use]
    pub fn extents(&self, start: u64, end: u64) -> Extents<'_> {
        Extents { disk: self, next: start, end: end.min(self.size), pending: None, failed: false }
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// `Usage` when the range leaves the disk; what the layers report.
    pub fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size) {
            let (len, size) = (buf.len(), self.size);
            return Err(Error::usage(format!(
                "{len:#x} bytes wanted at {offset:#x} of a disk of {size:#x} bytes"
            )));
        }
        let mut at = offset;
        while !buf.is_empty() {
            let found = self.resolve(at)?;
            let len = usize::try_from(found.extent.len).unwrap_or(usize::MAX).min(buf.len());
            let (now, rest) = buf.split_at_mut(len);
            match found.layer {
                Some(layer) => layer.read_exact_at(at, now)?,
                None => now.fill(0),
            }
            buf = rest;
            at += len as u64;
        }
        Ok(())
    }

    /// What is at `offset`, for maps: the run of one kind in one image of the chain.
    ///
    /// # Errors
    /// As [`Disk::extent_at`].
    pub fn map_at(&self, offset: u64) -> Result<MapEntry> {
        let mut len = self.resolve(offset)?.extent.len;
        for (depth, layer) in self.layers.iter().enumerate() {
            if offset >= layer.virtual_size() {
                break;
            }
            let extent = checked_extent(layer.as_ref(), offset)?;
            len = len.min(extent.len);
            if extent.kind == ExtentKind::Unallocated {
                continue;
            }
            let is_data = extent.kind == ExtentKind::Data;
            let host = if is_data { layer.host_range(offset).filter(|host| host.len > 0) } else { None };
            len = match &host {
                Some(host) => len.min(host.len),
                // The next chunk may lie plain.
                None if is_data => len.min(layer.chunk_size().max(1) - offset % layer.chunk_size().max(1)),
                None => len,
            };
            let is_compressed = is_data && layer.is_compressed_at(offset);
            return Ok(MapEntry {
                offset,
                len,
                depth,
                kind: extent.kind,
                host_offset: host.map(|h| h.offset),
                is_compressed,
            });
        }
        let depth = self.layers.len().saturating_sub(1);
        Ok(MapEntry {
            offset,
            len,
            depth,
            kind: ExtentKind::Unallocated,
            host_offset: None,
            is_compressed: false,
        })
    }

    /// Where the data from `offset` lie plain in a host storage, if they do; clipped to the extent there.
    ///
    /// # Errors
    /// As [`Disk::extent_at`].
    pub fn host_range(&self, offset: u64) -> Result<Option<HostRange>> {
        let found = self.resolve(offset)?;
        let range = found.layer.and_then(|layer| layer.host_range(offset));
        Ok(range.map(|range| HostRange { len: range.len.min(found.extent.len), ..range }))
    }

    fn resolve(&self, offset: u64) -> Result<Resolved<'_>> {
        if offset >= self.size {
            return Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a disk of {:#x} bytes",
                self.size
            )));
        }
        let mut len = self.size - offset;
        for layer in self.layers.iter() {
            if offset >= layer.virtual_size() {
                break;
            }
            let extent = checked_extent(layer.as_ref(), offset)?;
            len = len.min(extent.len);
            match extent.kind {
                ExtentKind::Data => {
                    let extent = Extent { offset, len, kind: ExtentKind::Data };
                    return Ok(Resolved { extent, layer: Some(layer.as_ref()) });
                }
                ExtentKind::Zero => break,
                ExtentKind::Unallocated => {}
            }
        }
        Ok(Resolved { extent: Extent { offset, len, kind: ExtentKind::Zero }, layer: None })
    }
}

fn checked_extent(layer: &dyn Layer, offset: u64) -> Result<Extent> {
    let extent = layer.extent_at(offset)?;
    let end = extent.offset.checked_add(extent.len);
    if extent.offset == offset && extent.len > 0 && end.is_some_and(|end| end <= layer.virtual_size()) {
        return Ok(extent);
    }
    let (start, len, size) = (extent.offset, extent.len, layer.virtual_size());
    Err(Error::contract(format!(
        "asked at {offset:#x}, answered {start:#x}+{len:#x} in a layer of {size:#x} bytes"
    ))
    .in_format(layer.format()))
}

/// The beginning of a disk as one layer.
struct Beginning {
    disk: Disk,
    size: u64,
}

impl Layer for Beginning {
    fn format(&self) -> &'static str {
        "beginning"
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let extent = self.disk.extent_at(offset)?;
        match self.size.checked_sub(offset) {
            Some(left) if left > 0 => Ok(Extent { len: extent.len.min(left), ..extent }),
            _ => Err(Error::usage(format!(
                "extent asked for at {offset:#x} of a disk of {:#x} bytes",
                self.size
            ))),
        }
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        crate::check_guest_range(self.size, offset, buf.len() as u64)?;
        self.disk.read_exact_at(offset, buf)
    }

    fn host_range(&self, offset: u64) -> Option<HostRange> {
        let range = self.disk.host_range(offset).ok().flatten()?;
        Some(HostRange { len: range.len.min(self.size.checked_sub(offset)?), ..range })
    }
}

/// A layer without data: all it has is a size.
struct Blank(u64);

impl Layer for Blank {
    fn format(&self) -> &'static str {
        "blank"
    }

    fn virtual_size(&self) -> u64 {
        self.0
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let len = self.0.checked_sub(offset).filter(|&len| len > 0);
        let len = len
            .ok_or_else(|| Error::usage(format!("extent asked for at {offset:#x} of {:#x} bytes", self.0)))?;
        Ok(Extent { offset, len, kind: ExtentKind::Unallocated })
    }

    fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(0);
        Ok(())
    }
}

/// Iterator of [`Disk::extents`]. Ends after the first error.
pub struct Extents<'a> {
    disk: &'a Disk,
    next: u64,
    end: u64,
    pending: Option<Extent>,
    failed: bool,
}

impl Extents<'_> {
    fn look(&mut self) -> Option<Result<Extent>> {
        if self.next >= self.end {
            return None;
        }
        let found =
            self.disk.extent_at(self.next).map(|e| Extent { len: e.len.min(self.end - e.offset), ..e });
        if let Ok(extent) = &found {
            self.next = extent.end();
        }
        Some(found)
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut run = self.pending.take();
        loop {
            match (run, self.look()) {
                (_, Some(Err(error))) => {
                    self.failed = true;
                    return Some(Err(error));
                }
                (Some(mut whole), Some(Ok(part))) if whole.kind == part.kind => {
                    whole.len += part.len;
                    run = Some(whole);
                }
                (None, Some(Ok(part))) => run = Some(part),
                (Some(whole), more) => {
                    self.pending = more.and_then(Result::ok);
                    return Some(Ok(whole));
                }
                (None, None) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// A layer over a string: letters are data, `0` zero, `.` unallocated; one byte each.
    struct Text(&'static str, usize);

    impl Layer for Text {
        fn format(&self) -> &'static str {
            "text"
        }
        fn virtual_size(&self) -> u64 {
            self.0.len() as u64
        }
        fn chunk_size(&self) -> u64 {
            1
        }
        fn extent_at(&self, offset: u64) -> Result<Extent> {
            let kind = match self.0.as_bytes()[offset as usize] {
                b'0' => ExtentKind::Zero,
                b'.' => ExtentKind::Unallocated,
                _ => ExtentKind::Data,
            };
            Ok(Extent { offset, len: self.1 as u64, kind })
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            buf.copy_from_slice(&self.0.as_bytes()[offset as usize..][..buf.len()]);
            Ok(())
        }
    }

    fn disk(layers: &[&'static str]) -> Disk {
        Disk::new(layers.iter().map(|text| Arc::new(Text(text, 1)) as Arc<dyn Layer>).collect()).unwrap()
    }

    #[test]
    fn zero_hides_the_parent_and_a_short_parent_ends_in_zeros() {
        let disk = disk(&["a.0..b..", "xyzxy.", "qqqqqqqq"]);
        let mut bytes = [1; 8];
        disk.read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"ay\0xyb\0\0");
        let runs: Vec<_> =
            disk.extents(0, 99).map(|e| e.unwrap()).map(|e| (e.offset, e.len, e.kind)).collect();
        use ExtentKind::{Data, Zero};
        assert_eq!(runs, [(0, 2, Data), (2, 1, Zero), (3, 3, Data), (6, 2, Zero)]);
        assert_eq!(disk.extents(1, 4).count(), 3);
    }

    #[test]
    fn a_layer_that_lies_is_a_contract_error_not_a_loop() {
        for len in [0, 9] {
            let disk = Disk::new(vec![Arc::new(Text("abc", len))]).unwrap();
            let errors: Vec<_> = disk.extents(0, 3).filter_map(Result::err).collect();
            assert_eq!(errors.iter().map(Error::kind).collect::<Vec<_>>(), [ErrorKind::Contract], "{len}");
        }
        assert!(Disk::new(vec![]).is_err());
    }

    #[test]
    fn a_grown_disk_ends_in_zeros() {
        let disk = disk(&["ab"]).grown_to(5);
        let mut bytes = [1; 5];
        disk.read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"ab\0\0\0");
        assert_eq!(disk.grown_to(3).virtual_size(), 5, "never shorter");
    }

    #[test]
    fn what_was_cut_off_never_comes_back() {
        let cut = disk(&["a.c", "xyz"]).cut_to(2);
        assert_eq!(cut.virtual_size(), 2);
        assert_eq!(cut.extents(0, 9).map(|e| e.unwrap().len).sum::<u64>(), 2);
        let mut bytes = [1; 4];
        cut.grown_to(4).read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"ay\0\0");
    }

    #[test]
    fn nothing_outside_the_disk_is_read() {
        let disk = disk(&["abc"]);
        assert_eq!(disk.read_exact_at(2, &mut [0; 2]).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(disk.extent_at(3).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(disk.extents(3, 10).count(), 0);
    }
}

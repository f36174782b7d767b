//! What one persistent bitmap says has changed. Only a bitmap that promises to hold every change is taken: what it does not tell would be
//! missing in the copy.

use crate::bitmaps::{self, Bitmap};
use crate::error::Qcow2Error;
use crate::layout::*;
use crate::open::load_header;
use crate::parse::Header;
use crate::read::read_words;
use crate::table::Geometry;
use format_core::{AscendingRanges, RangeSet, Result, Storage, bit_run_lsb};

/// The ranges of the current disk that the bitmap `name` calls dirty.
pub(crate) fn by_bitmap(storage: &dyn Storage, name: &str) -> Result<RangeSet> {
    let header = load_header(storage)?;
    let bitmap = find(storage, &header, name)?;
    let shape = shape(&bitmap, &header.geometry).map_err(|why| fault(&bitmap, why))?;
    let table = read_words(storage, bitmap.table_offset, shape.entries)?;
    let clusters = clusters(&table, &shape, &header.geometry).map_err(|why| fault(&bitmap, why))?;
    let mut dirty = Dirty { shape, ranges: AscendingRanges::default() };
    let mut bytes = vec![0; header.geometry.cluster_size() as usize];
    for (index, cluster) in clusters.iter().enumerate() {
        let part = bytes.get_mut(..shape.bytes_in(index)).unwrap_or_default();
        match cluster {
            Cluster::Clean => continue,
            Cluster::Dirty => part.fill(0xff),
            Cluster::At(offset) => storage.read_exact_at(*offset, part)?,
        }
        dirty.add(index, part);
    }
    Ok(dirty.ranges.into_set())
}

fn fault(bitmap: &Bitmap, why: BitmapFault) -> format_core::Error {
    let name = crate::details::list(std::iter::once(&*bitmap.name));
    match why {
        BitmapFault::Unusable(why) => Qcow2Error::BitmapUnusable { name, why },
        BitmapFault::Broken(why) => Qcow2Error::BitmapBroken { name, at: bitmap.table_offset, why },
    }
    .into()
}

/// Why a bitmap cannot be used.
#[derive(Debug, PartialEq, Eq)]
enum BitmapFault {
    /// It does not hold every change, as it says itself.
    Unusable(&'static str),
    /// It contradicts the specification.
    Broken(&'static str),
}

/// The one bitmap of this name, which has to say that it holds every change.
fn find(storage: &dyn Storage, header: &Header, name: &str) -> Result<Bitmap> {
    if header.bitmaps_are_stale() {
        return Err(Qcow2Error::BitmapsStale.into());
    }
    let all = bitmaps::load(storage, header)?;
    let mut called = all.iter().filter(|bitmap| *bitmap.name == *name.as_bytes());
    let Some(bitmap) = called.next() else {
        let names = match all.len() {
            0 => "none".to_owned(),
            _ => crate::details::list(all.iter().map(|bitmap| &*bitmap.name)),
        };
        return Err(Qcow2Error::NoBitmap { name: format_core::printable(name), names }.into());
    };
    if called.next().is_some() {
        return Err(fault(bitmap, BitmapFault::Broken("the directory has two of this name")));
    }
    Ok(bitmap.clone())
}

/// The sizes of a bitmap that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Bytes of the disk that one bit stands for, as a power of two.
    granularity_bits: u32,
    cluster_size: u64,
    virtual_size: u64,
    /// Bytes of bits that the disk needs.
    len: u64,
    /// Entries of the bitmap table: as many clusters as these bytes fill.
    entries: usize,
}

impl Shape {
    /// The bytes of bits in the cluster with this index.
    fn bytes_in(&self, index: usize) -> usize {
        self.len.saturating_sub(index as u64 * self.cluster_size).min(self.cluster_size) as usize
    }
}

/// Checks the directory entry of a bitmap against the image ("Bitmap directory", "Bitmap table").
fn shape(bitmap: &Bitmap, geometry: &Geometry) -> Result<Shape, BitmapFault> {
    use BitmapFault::{Broken, Unusable};
    if bitmap.kind != BITMAP_DIRTY_TRACKING {
        return Err(Unusable("it is of a type that is not known"));
    }
    if bitmap.flags & !(BITMAP_IN_USE | BITMAP_AUTO | BITMAP_EXTRA_COMPATIBLE) != 0 {
        return Err(Broken("reserved flags are set"));
    }
    if bitmap.flags & BITMAP_IN_USE != 0 {
        return Err(Unusable(
            "it is marked as in use: a program has the image open, or was killed while it had",
        ));
    }
    if bitmap.flags & BITMAP_AUTO == 0 {
        return Err(Unusable("it is disabled: what was written since is not in it"));
    }
    if bitmap.extra_data_size > 0 && bitmap.flags & BITMAP_EXTRA_COMPATIBLE == 0 {
        return Err(Unusable("it has extra data that only the program knows that wrote it"));
    }
    let granularity_bits = u32::from(bitmap.granularity_bits);
    if !(MIN_GRANULARITY_BITS..=MAX_GRANULARITY_BITS).contains(&granularity_bits) {
        return Err(Broken("its granularity is not of 512 bytes to 2 GiB"));
    }
    let (cluster_size, virtual_size) = (geometry.cluster_size(), geometry.virtual_size);
    let len = virtual_size.div_ceil(1 << granularity_bits).div_ceil(8);
    let entries = len.div_ceil(cluster_size);
    if entries.saturating_mul(cluster_size) > MAX_BITMAP_BYTES.max(cluster_size) {
        return Err(Broken("it has more than 512 MiB of bits, which QEMU opens no image with"));
    }
    if u64::from(bitmap.table_entries) != entries {
        return Err(Broken("its table has another length than the size of the disk wants"));
    }
    if !bitmap.table_offset.is_multiple_of(cluster_size) || bitmap.table_offset == 0 {
        return Err(Broken("its table does not begin at a cluster"));
    }
    let end = bitmap.table_offset.checked_add(entries * ENTRY_SIZE);
    if end.is_none_or(|end| end > geometry.file_size) {
        return Err(Broken("its table leaves the file"));
    }
    Ok(Shape { granularity_bits, cluster_size, virtual_size, len, entries: entries as usize })
}

/// What an entry of the bitmap table stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cluster {
    /// All bits are 0.
    Clean,
    /// All bits are 1.
    Dirty,
    /// The bits lie at this host offset.
    At(u64),
}

/// Checks the entries of the table. A cluster that two of them name is refused: a file of a few bytes could claim bits without end.
fn clusters(table: &[u64], shape: &Shape, geometry: &Geometry) -> Result<Vec<Cluster>, BitmapFault> {
    let mut clusters = Vec::with_capacity(table.len());
    for (index, &entry) in table.iter().enumerate() {
        let offset = entry & OFFSET_MASK;
        let cluster = match (offset, entry & !OFFSET_MASK) {
            (0, 0) => Cluster::Clean,
            (0, BITMAP_ALL_ONES) => Cluster::Dirty,
            (_, 0) => Cluster::At(offset),
            _ => return Err(BitmapFault::Broken("an entry of its table has reserved bits set")),
        };
        if !offset.is_multiple_of(shape.cluster_size) {
            return Err(BitmapFault::Broken("an entry of its table names no cluster"));
        }
        let end = offset.checked_add(shape.bytes_in(index) as u64);
        if end.is_none_or(|end| end > geometry.file_size) {
            return Err(BitmapFault::Broken("an entry of its table leaves the file"));
        }
        clusters.push(cluster);
    }
    let mut places: Vec<u64> = table.iter().map(|entry| entry & OFFSET_MASK).filter(|&at| at != 0).collect();
    places.sort_unstable();
    if places.iter().zip(places.iter().skip(1)).any(|(one, next)| one == next) {
        return Err(BitmapFault::Broken("two entries of its table name the same cluster"));
    }
    Ok(clusters)
}

/// Bits to ranges.
struct Dirty {
    shape: Shape,
    ranges: AscendingRanges,
}

impl Dirty {
    /// Adds the bits of the cluster `index`: the least significant bit of a byte comes first ("Bitmap data").
    fn add(&mut self, index: usize, bits: &[u8]) {
        let first = index as u64 * self.shape.cluster_size * 8;
        let (mut at, end) = (0, bits.len() * 8);
        while at < end {
            let (is_dirty, run) = bit_run_lsb(bits, at, end);
            if is_dirty {
                let start = (first + at as u64) << self.shape.granularity_bits;
                let stop = (first + (at + run) as u64) << self.shape.granularity_bits;
                // The last bit, and those that only fill up its byte, can stand for what lies behind the disk.
                if start < self.shape.virtual_size {
                    self.ranges.add(start, stop.min(self.shape.virtual_size));
                }
            }
            at += run;
        }
    }
}

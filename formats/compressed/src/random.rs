//! A compressed file at any place: units are unpacked alone, by as many threads as ask, and the last ones are kept.

use crate::error::{PackedError, Result};
use crate::index::{Index, Unit};
use format_core::{Error, Extent, ExtentKind, Storage, is_zero};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Memory for unpacked units, whatever the file and the number of threads: one unit of the largest size.
const BUDGET: u64 = crate::index::MAX_UNIT;
/// A unit that shrank to this part of its size may be zeros.
const ZERO_RATIO: u64 = 256;
/// What stands for nothing in the file is short; longer ones are read from their start to their end.
const MAX_NOTHING: u64 = 64 << 10;
/// Extents are put together from this many units at most.
const EXTENT_UNITS: usize = 1024;

/// How units of one format are unpacked.
pub(crate) trait Codec: Send + Sync {
    /// Unpacks all of `packed`, which lies at `host`, into all of `out`, and compares every checksum on the way.
    fn unpack(&self, packed: &[u8], host: u64, out: &mut [u8]) -> Result<()>;
}

/// The unpacked bytes of a file.
pub(crate) struct Random<C> {
    format: &'static str,
    storage: Arc<dyn Storage>,
    index: Index,
    codec: C,
    kept: Mutex<Kept>,
    changed: Condvar,
    /// The packed bytes of a unit that was all zeros, and its size: the same bytes stand for the same content.
    zeros: Mutex<Option<(Vec<u8>, u64)>>,
}

/// Units in memory.
#[derive(Default)]
struct Kept {
    slots: HashMap<usize, Slot>,
    /// Bytes of all slots.
    used: u64,
    clock: u64,
}

enum Slot {
    /// Somebody is unpacking it.
    Busy,
    Ready {
        bytes: Arc<Vec<u8>>,
        used_at: u64,
    },
}

/// Takes a unit out again that was not unpacked after all.
struct Claim<'a, C: Codec> {
    random: &'a Random<C>,
    unit: Unit,
}

impl<C: Codec> Drop for Claim<'_, C> {
    fn drop(&mut self) {
        let mut kept = self.random.kept();
        if let Some(Slot::Busy) = kept.slots.get(&self.unit.number) {
            kept.slots.remove(&self.unit.number);
            kept.used -= self.unit.guest_len;
        }
        drop(kept);
        self.random.changed.notify_all();
    }
}

impl Kept {
    /// Makes room for a unit and takes it; not when others have to finish first.
    fn claim(&mut self, unit: Unit, only_with_room: bool) -> bool {
        while self.used + unit.guest_len > BUDGET {
            let idle = self.slots.iter().filter_map(|(number, slot)| match slot {
                Slot::Ready { bytes, used_at } if Arc::strong_count(bytes) == 1 => Some((*used_at, *number)),
                _ => None,
            });
            let Some((_, oldest)) = idle.min() else { break };
            if let Some(Slot::Ready { bytes, .. }) = self.slots.remove(&oldest) {
                self.used -= bytes.len() as u64;
            }
        }
        let fits = self.used + unit.guest_len <= BUDGET;
        let is_busy = self.slots.values().any(|slot| matches!(slot, Slot::Busy));
        if !fits && (is_busy || only_with_room) {
            return false;
        }
        self.slots.insert(unit.number, Slot::Busy);
        self.used += unit.guest_len;
        true
    }
}

/// The file at any place by `index`; none where that says that there is nothing, and there is something.
pub(crate) fn open<C: Codec + 'static>(
    format: &'static str,
    storage: &Arc<dyn Storage>,
    index: Index,
    codec: C,
) -> Result<Option<Arc<dyn Storage>>> {
    let random = Random::new(format, Arc::clone(storage), index, codec);
    Ok(if random.is_true()? { Some(Arc::new(random)) } else { None })
}

impl<C: Codec> Random<C> {
    fn new(format: &'static str, storage: Arc<dyn Storage>, index: Index, codec: C) -> Self {
        let (kept, changed, zeros) = (Mutex::default(), Condvar::new(), Mutex::default());
        Self { format, storage, index, codec, kept, changed, zeros }
    }

    /// Every read compares the index with a unit, but where it says that there is nothing nobody reads: that is tried here.
    fn is_true(&self) -> Result<bool> {
        if self.size() > 0 {
            return Ok(true);
        }
        for unit in (0..self.index.len()).map_while(|number| self.index.unit(number)) {
            if unit.host_len > MAX_NOTHING
                || self.codec.unpack(&self.packed(unit)?, unit.host, &mut []).is_err()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unit_at(&self, offset: u64) -> format_core::Result<Unit> {
        self.index.unit_at(offset).ok_or_else(|| {
            Error::contract(format!("no unit of the file holds {offset:#x}")).in_format(self.format)
        })
    }

    fn packed(&self, unit: Unit) -> Result<Vec<u8>> {
        let mut packed = vec![0; unit.host_len as usize];
        self.storage.read_exact_at(unit.host, &mut packed)?;
        Ok(packed)
    }

    fn unpack(&self, unit: Unit, out: &mut [u8]) -> format_core::Result<()> {
        let mut unpack = || self.codec.unpack(&self.packed(unit)?, unit.host, out);
        unpack().map_err(|e: PackedError| e.named(self.format))
    }

    /// The whole of a unit, from memory or unpacked.
    fn whole(&self, unit: Unit) -> format_core::Result<Arc<Vec<u8>>> {
        let mut kept = self.kept();
        loop {
            kept.clock += 1;
            let now = kept.clock;
            if let Some(Slot::Ready { bytes, used_at }) = kept.slots.get_mut(&unit.number) {
                *used_at = now;
                return Ok(Arc::clone(bytes));
            }
            if kept.slots.contains_key(&unit.number) {
                // Who would only wait unpacks what will be asked for next.
                let next = self.index.unit(unit.number + 1);
                let next = next.filter(|next| !kept.slots.contains_key(&next.number));
                if let Some(next) = next.filter(|next| kept.claim(*next, true)) {
                    drop(kept);
                    // Whoever reads it is told what is wrong with it.
                    let _ = self.fill(Claim { random: self, unit: next });
                    kept = self.kept();
                    continue;
                }
            } else if kept.claim(unit, false) {
                drop(kept);
                return self.fill(Claim { random: self, unit });
            }
            kept = self.changed.wait(kept).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fill(&self, claim: Claim<'_, C>) -> format_core::Result<Arc<Vec<u8>>> {
        let unit = claim.unit;
        let mut bytes = vec![0; unit.guest_len as usize];
        self.unpack(unit, &mut bytes)?;
        let bytes = Arc::new(bytes);
        let mut kept = self.kept();
        kept.clock += 1;
        let slot = Slot::Ready { bytes: Arc::clone(&bytes), used_at: kept.clock };
        kept.slots.insert(unit.number, slot);
        Ok(bytes)
    }

    fn may_be_zeros(&self, unit: Unit) -> bool {
        unit.host_len <= unit.guest_len / ZERO_RATIO
    }

    /// Whether a unit is all zeros. It is unpacked to know it, but for one that was packed into the same bytes as another.
    fn is_zeros(&self, unit: Unit) -> Result<bool> {
        let packed = self.packed(unit)?;
        let known = || self.zeros.lock().unwrap_or_else(PoisonError::into_inner);
        if known().as_ref().is_some_and(|(zeros, len)| *len == unit.guest_len && *zeros == packed) {
            return Ok(true);
        }
        let zeros = is_zero(&self.whole(unit)?);
        if zeros {
            *known() = Some((packed, unit.guest_len));
        }
        Ok(zeros)
    }
}

impl<C: Codec> Storage for Random<C> {
    fn size(&self) -> u64 {
        self.index.size()
    }

    fn read_exact_at(&self, offset: u64, mut buf: &mut [u8]) -> format_core::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.size()) {
            let (len, size) = (buf.len(), self.size());
            let text = format!("{len:#x} bytes wanted at {offset:#x}, the unpacked data end at {size:#x}");
            return Err(Error::corrupt(text).in_format(self.format));
        }
        let mut at = offset;
        while !buf.is_empty() {
            let unit = self.unit_at(at)?;
            let inside = (at - unit.guest) as usize;
            let len = buf.len().min(unit.guest_len as usize - inside);
            let (now, rest) = buf.split_at_mut(len);
            if len as u64 == unit.guest_len && !self.kept().slots.contains_key(&unit.number) {
                self.unpack(unit, now)?;
            } else if let Some(part) = self.whole(unit)?.get(inside..inside + len) {
                now.copy_from_slice(part);
            }
            (buf, at) = (rest, at + len as u64);
        }
        Ok(())
    }

    fn data_at(&self, offset: u64) -> format_core::Result<Extent> {
        if offset >= self.size() {
            let size = self.size();
            return Err(Error::usage(format!("extent asked for at {offset:#x} of {size:#x} unpacked bytes")));
        }
        let unit = self.unit_at(offset)?;
        let rest = unit.guest + unit.guest_len - offset;
        // A unit that cannot be unpacked is data: reading it says what is wrong.
        if self.may_be_zeros(unit) && self.is_zeros(unit).unwrap_or(false) {
            return Ok(Extent { offset, len: rest, kind: ExtentKind::Zero });
        }
        let more = (unit.number + 1..self.index.len().min(unit.number + EXTENT_UNITS))
            .map_while(|number| self.index.unit(number))
            .take_while(|unit| !self.may_be_zeros(*unit));
        let len = rest + more.map(|unit| unit.guest_len).sum::<u64>();
        Ok(Extent { offset, len, kind: ExtentKind::Data })
    }
}

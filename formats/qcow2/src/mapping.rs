//! Which host bytes stand for which guest bytes: decides where a write goes and what its L2 entries say.

use crate::allocate::{Allocator, RefcountTable};
use crate::layout::*;
use crate::options::Plan;
use format_core::{Error, Result, StateReader, StateWriter, TargetStorage, is_zero};
use std::ops::Range;

/// The tables of an image that is written. Only the L1 table is in memory.
pub(crate) struct Mapping {
    allocator: Allocator,
    /// Host offsets of the L2 tables, 0 where there is none.
    l1: Vec<u64>,
    l1_offset: u64,
    /// The cluster that was written last, where more parts of it may follow.
    begun: Option<Begun>,
}

/// A cluster of which only a part was mentioned so far.
struct Begun {
    cluster: u64,
    state: Cluster,
}

/// One guest cluster. The bitmaps are those of an extended L2 entry, a bit for each subcluster.
#[derive(Clone, Copy, Default)]
struct Cluster {
    /// Host offset of its bytes, 0 for none.
    host: u64,
    allocated: u32,
    zero: u32,
}

/// What has to be put into the file for some guest bytes.
#[derive(Default)]
pub(crate) struct Writes {
    /// Host offset, and which of the bytes go there.
    pub data: Vec<(u64, Range<usize>)>,
    /// Host bytes that must read as zeros.
    pub zeros: Vec<(u64, u64)>,
    /// L2 entries and their host offset.
    pub entries: Vec<(u64, Vec<u8>)>,
}

/// Guest bytes within one cluster.
struct Piece {
    cluster: u64,
    /// Where in the cluster.
    from: u64,
    /// Which of the caller's bytes.
    bytes: Range<usize>,
}

impl Mapping {
    /// A mapping for an empty file: header and L1 table have their place.
    pub(crate) fn new(plan: &Plan, target: &dyn TargetStorage) -> Result<Self> {
        let mut allocator = Allocator::new(plan.cluster_bits, plan.refcount_order);
        target.zero_range(0, plan.cluster_size())?;
        allocator.clusters(1, target)?;
        let l1_offset = match plan.l1_clusters() {
            // An empty disk has no table, but QEMU wants its place to be aligned.
            0 => 0,
            clusters => allocator.clusters(clusters, target)?,
        };
        Ok(Self { allocator, l1: vec![0; plan.l1_entries as usize], l1_offset, begun: None })
    }

    /// What [`Mapping::restored`] needs to go on from here; a cluster of which parts are missing is not in it.
    pub(crate) fn save(&self) -> Vec<u8> {
        self.allocator.save(StateWriter::default().list(&self.l1)).bytes()
    }

    /// The mapping of an interrupted run. The L1 table has its place from the start.
    pub(crate) fn restored(plan: &Plan, state: &[u8]) -> Result<Self> {
        let mut state = StateReader::new(state);
        let l1: Vec<u64> = state.list_of(plan.l1_entries as usize)?;
        let allocator = Allocator::restored(plan.cluster_bits, plan.refcount_order, &mut state)?;
        state.end()?;
        if !l1.iter().all(|&table| allocator.is_place(table)) {
            return Err(Error::corrupt("the L1 table of the interrupted run leaves the file")
                .in_format(crate::FORMAT.name));
        }
        let l1_offset = if plan.l1_entries == 0 { 0 } else { plan.cluster_size() };
        Ok(Self { allocator, l1, l1_offset, begun: None })
    }

    /// Where the clusters that were handed out end, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.allocator.end()
    }

    /// Takes back entries that an interrupted run wrote later than its state says.
    pub(crate) fn forget(
        &self,
        plan: &Plan,
        target: &dyn TargetStorage,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let (per_table, entry) = (plan.clusters_per_table(), plan.entry_size());
        let (mut cluster, end) = (offset >> plan.cluster_bits, (offset + len).div_ceil(plan.cluster_size()));
        while cluster < end {
            let next = end.min((cluster / per_table + 1) * per_table);
            if let Some(&table) = self.l1.get((cluster / per_table) as usize).filter(|table| **table != 0) {
                target.zero_range(table + cluster % per_table * entry, (next - cluster) * entry)?;
            }
            cluster = next;
        }
        Ok(())
    }

    /// Takes places for `bytes` at guest offset `offset`.
    pub(crate) fn plain(
        &mut self,
        plan: &Plan,
        target: &dyn TargetStorage,
        offset: u64,
        bytes: &[u8],
    ) -> Result<Writes> {
        let mut writes = Writes::default();
        for piece in pieces(plan, offset, bytes.len()) {
            let mut state = self.begun(piece.cluster)?;
            let mut units = Vec::new();
            for (index, unit) in units_of(plan, &piece) {
                // The caller finds zero chunks; only zeros in a part of a chunk are left to find.
                if plan.extended_l2 && is_zero(bytes.get(unit.clone()).unwrap_or_default()) {
                    state.zero |= u32::from(plan.backing.is_some()) << index;
                } else {
                    state.allocated |= 1 << index;
                    units.push((index, unit));
                }
            }
            if state.host == 0 && state.allocated != 0 {
                state.host = self.allocator.clusters(1, target)?;
            }
            for (index, unit) in units {
                writes.add_data(state.host + index * plan.unit_size(), unit, plan.unit_size());
            }
            self.set(plan, target, piece.cluster, state, &mut writes)?;
        }
        Ok(writes)
    }

    /// Hides the parent at `len` bytes from `offset` by zeros.
    pub(crate) fn zeros(
        &mut self,
        plan: &Plan,
        target: &dyn TargetStorage,
        offset: u64,
        len: usize,
    ) -> Result<Writes> {
        let mut writes = Writes::default();
        for piece in pieces(plan, offset, len) {
            let mut state = self.begun(piece.cluster)?;
            if plan.version < 3 {
                // Version 2 has no zero clusters.
                state = Cluster { host: self.allocator.clusters(1, target)?, allocated: 1, zero: 0 };
                writes.zeros.push((state.host, plan.cluster_size()));
            } else {
                state.zero |= units_of(plan, &piece).fold(0, |bits, (index, _)| bits | 1 << index);
            }
            self.set(plan, target, piece.cluster, state, &mut writes)?;
        }
        Ok(writes)
    }

    /// Takes a place for a compressed cluster of `len` bytes: its host offset, and where its L2 entry goes.
    pub(crate) fn compressed(
        &mut self,
        plan: &Plan,
        target: &dyn TargetStorage,
        offset: u64,
        len: u64,
    ) -> Result<(u64, u64)> {
        let entry = self.entry_place(plan, target, offset >> plan.cluster_bits)?;
        Ok((self.allocator.packed(len, target)?, entry))
    }

    /// Writes the L1 table and the reference counts. Returns where they are.
    pub(crate) fn finish(self, target: &dyn TargetStorage) -> Result<(u64, RefcountTable)> {
        let mark = |&table: &u64| if table == 0 { 0 } else { table | COPIED };
        let l1: Vec<u8> = self.l1.iter().flat_map(|table| mark(table).to_be_bytes()).collect();
        if !l1.is_empty() {
            target.write_all_at(self.l1_offset, &l1)?;
        }
        Ok((self.l1_offset, self.allocator.finish(target)?))
    }

    /// What the cluster has so far.
    fn begun(&self, cluster: u64) -> Result<Cluster> {
        match &self.begun {
            Some(begun) if begun.cluster == cluster => Ok(begun.state),
            // Its earlier parts are no longer known: a new entry would lose them.
            Some(begun) if begun.cluster > cluster => {
                let text = format!("guest cluster {cluster:#x} comes after {:#x}", begun.cluster);
                Err(Error::contract(text).in_format(crate::FORMAT.name))
            }
            _ => Ok(Cluster::default()),
        }
    }

    fn set(
        &mut self,
        plan: &Plan,
        target: &dyn TargetStorage,
        cluster: u64,
        state: Cluster,
        writes: &mut Writes,
    ) -> Result<()> {
        if plan.in_parts() {
            self.begun = Some(Begun { cluster, state });
        }
        if state.allocated | state.zero != 0 {
            let place = self.entry_place(plan, target, cluster)?;
            writes.add_entry(place, state, plan.extended_l2);
        }
        Ok(())
    }

    /// Host offset of the cluster's L2 entry, in a new table if need be.
    fn entry_place(&mut self, plan: &Plan, target: &dyn TargetStorage, cluster: u64) -> Result<u64> {
        let per_table = plan.clusters_per_table();
        let table = self
            .l1
            .get_mut((cluster / per_table) as usize)
            .ok_or_else(|| Error::contract("a cluster lies behind the L1 table"))?;
        if *table == 0 {
            *table = self.allocator.clusters(1, target)?;
            target.zero_range(*table, plan.cluster_size())?;
        }
        Ok(*table + cluster % per_table * plan.entry_size())
    }
}

impl Writes {
    fn add_data(&mut self, host: u64, bytes: Range<usize>, unit_size: u64) {
        let (len, end) = (bytes.len() as u64, bytes.end);
        match self.data.last_mut() {
            Some((start, before)) if *start + before.len() as u64 == host && before.end == bytes.start => {
                before.end = end;
            }
            _ => self.data.push((host, bytes)),
        }
        if len < unit_size {
            self.zeros.push((host + len, unit_size - len));
        }
    }

    fn add_entry(&mut self, place: u64, state: Cluster, extended_l2: bool) {
        let copied = if state.host == 0 { 0 } else { state.host | COPIED };
        let standard_zero = if extended_l2 || state.zero == 0 { 0 } else { L2_ZERO };
        let (entry, mut bytes) = match self.entries.pop() {
            Some((start, bytes)) if start + bytes.len() as u64 == place => (start, bytes),
            Some(other) => {
                self.entries.push(other);
                (place, Vec::new())
            }
            None => (place, Vec::new()),
        };
        bytes.extend((copied | standard_zero).to_be_bytes());
        if extended_l2 {
            bytes.extend(state.zero.to_be_bytes());
            bytes.extend(state.allocated.to_be_bytes());
        }
        self.entries.push((entry, bytes));
    }
}

/// Cuts guest bytes at the borders of clusters.
fn pieces(plan: &Plan, offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let (cluster_size, cluster_bits) = (plan.cluster_size(), plan.cluster_bits);
    let mut done = 0usize;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let from = at % cluster_size;
        let next = len.min(done.saturating_add((cluster_size - from) as usize));
        let piece = Piece { cluster: at >> cluster_bits, from, bytes: done..next };
        done = next;
        (!piece.bytes.is_empty()).then_some(piece)
    })
}

/// Cuts a piece into units: the index of each in its cluster, and which of the caller's bytes it is.
fn units_of(plan: &Plan, piece: &Piece) -> impl Iterator<Item = (u64, Range<usize>)> + use<> {
    let (first, unit_size, end) = (piece.from / plan.unit_size(), plan.unit_size() as usize, piece.bytes.end);
    let starts = piece.bytes.clone().step_by(unit_size);
    (first..).zip(starts.map(move |start| start..end.min(start + unit_size)))
}

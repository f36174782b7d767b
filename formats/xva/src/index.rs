//! A file is walked once without its data, and each run of blocks noted.

use crate::error::XvaError;
use crate::ova::Ova;
use crate::tape::FileTape;
use crate::walk::{Item, SumKind, Walk};
use format_core::{ExtentKind, Result, Run, Storage, Warning};
use std::sync::Arc;

/// Runs of all disks together: 32 bytes each.
const MAX_RUNS: usize = 2 << 20;
/// Members that are named in warnings.
const MAX_NAMED: usize = 8;

/// Blocks of one length that follow each other on the disk, at equal distances in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocks {
    /// On the disk.
    offset: u64,
    /// In the file.
    host: u64,
    count: u32,
    len: u32,
    /// From one block of the file to the next.
    step: u32,
}

/// Where the blocks of one disk lie.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Blocks>);

/// The index of a file.
pub(crate) struct Index {
    pub(crate) ova: Ova,
    /// `ova.xml` as it is.
    pub(crate) text: Vec<u8>,
    /// By disk.
    pub(crate) places: Vec<Places>,
    pub(crate) has_data: Vec<bool>,
    pub(crate) blocks: u64,
    pub(crate) sums: Option<SumKind>,
    pub(crate) warnings: Vec<Warning>,
}

impl Places {
    /// Adds a block behind the others. `true` when it began a new run.
    fn push(&mut self, offset: u64, host: u64, len: u32) -> bool {
        if let Some(last) = self.0.last_mut() {
            let end = last.offset + u64::from(last.count) * u64::from(last.len);
            let from_last = host.checked_sub(last.host + u64::from(last.count - 1) * u64::from(last.step));
            let step = from_last.and_then(|step| u32::try_from(step).ok());
            let fits = last.count == 1 || step == Some(last.step);
            if let Some(step) = step.filter(|_| end == offset && len == last.len && fits)
                && let Some(count) = last.count.checked_add(1)
            {
                (last.step, last.count) = (step, count);
                return false;
            }
        }
        self.0.push(Blocks { offset, host, count: 1, len, step: 0 });
        true
    }

    /// The run at `offset` of a disk of `size` bytes: up to the end of a block for data that are to be read, up to the end
    /// of all the blocks that follow each other for `whole`.
    pub(crate) fn run_at(&self, offset: u64, size: u64, whole: bool) -> Run {
        let next = self.0.partition_point(|blocks| blocks.offset <= offset);
        if let Some(blocks) = next.checked_sub(1).and_then(|at| self.0.get(at)) {
            let (inside, len) = (offset - blocks.offset, u64::from(blocks.len));
            let total = len * u64::from(blocks.count);
            if inside < total {
                let host = blocks.host + inside / len * u64::from(blocks.step) + inside % len;
                let left = if whole { total - inside } else { len - inside % len };
                return Run { kind: ExtentKind::Data, len: left, host };
            }
        }
        let end = self.0.get(next).map_or(size, |blocks| blocks.offset);
        Run { kind: ExtentKind::Zero, len: end - offset, host: 0 }
    }
}

/// Indexes a file.
pub(crate) fn build(storage: Arc<dyn Storage>) -> Result<Index> {
    let mut walk = Walk::new(FileTape::new(storage))?;
    let mut places: Vec<_> = walk.ova.disks.iter().map(|_| Places::default()).collect();
    let (mut runs, mut blocks, mut sums, mut others) = (0, 0, None, Vec::new());
    while let Some(item) = walk.next()? {
        match item {
            Item::Block { disk, len, offset, host, .. } if len > 0 => {
                blocks += 1;
                let Some(places) = places.get_mut(disk) else { continue };
                // A block has 1 GiB at most.
                runs += usize::from(places.push(offset, host, len as u32));
                if runs > MAX_RUNS {
                    return Err(XvaError::Pieces { most: MAX_RUNS }.into());
                }
            }
            Item::Sum { kind, .. } => sums = Some(kind),
            Item::Other { name } if others.len() < MAX_NAMED => others.push(name),
            Item::Block { .. } | Item::Table { .. } | Item::Other { .. } => {}
        }
    }
    let has_data = (0..walk.ova.disks.len()).map(|disk| walk.sequence.has(disk)).collect();
    let warnings = other_members(&others).into_iter().collect();
    Ok(Index { ova: walk.ova, text: walk.text, places, has_data, blocks, sums, warnings })
}

/// Files that are not of the format.
pub(crate) fn other_members(names: &[String]) -> Option<Warning> {
    (!names.is_empty()).then(|| {
        let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        Warning::new(
            "xva-other-files",
            format!("the export holds files that no XVA has: {}", names.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_at_equal_distances_are_one_run() {
        let mut places = Places::default();
        let added: Vec<_> =
            [(0, 1000, 100), (100, 1150, 100), (200, 1300, 100), (300, 1451, 100), (500, 2000, 7)]
                .map(|(offset, host, len)| places.push(offset, host, len))
                .into();
        assert_eq!(added, [true, false, false, true, true]);
        let data = |len, host| Run { kind: ExtentKind::Data, len, host };
        let zero = |len| Run { kind: ExtentKind::Zero, len, host: 0 };
        assert_eq!(places.run_at(0, 600, true), data(300, 1000));
        assert_eq!(places.run_at(150, 600, true), data(150, 1200));
        assert_eq!(places.run_at(150, 600, false), data(50, 1200));
        assert_eq!(places.run_at(399, 600, false), data(1, 1550));
        assert_eq!(places.run_at(400, 600, true), zero(100));
        assert_eq!(places.run_at(503, 600, true), data(4, 2003));
        assert_eq!(places.run_at(507, 600, true), zero(93));
    }
}

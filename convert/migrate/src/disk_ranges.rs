//! Where bytes of a volume lie on the disks, as far as that is one place for each byte, or the same content in several.

use crate::block_device::BlockDevice;
use driver_core::{Mapping, MappingArgument, MappingLine, SECTOR};
use std::ops::Range;
use std::sync::Arc;

type Members = [Arc<BlockDevice>];

/// Shows `visit` the disk and the bytes of it that hold `range` of `device`. What is not mapped here (levels other than 1 of
/// RAID, thin volumes, snapshots and their origins, encryption) is not shown.
pub(crate) fn each_on_disk(
    device: &BlockDevice,
    range: Range<u64>,
    visit: &mut dyn FnMut(usize, Range<u64>),
) {
    match device {
        BlockDevice::Part { disk, start, size } => {
            let range = range.start.min(*size)..range.end.min(*size);
            if range.start < range.end {
                visit(*disk, start.saturating_add(range.start)..start.saturating_add(range.end));
            }
        }
        BlockDevice::Array { mirrors, .. } => {
            for (member, start) in mirrors {
                let place = start.saturating_add(range.start)..start.saturating_add(range.end);
                each_on_disk(member, place, visit);
            }
        }
        BlockDevice::Mapped { mapping, members, .. } => each_mapped(mapping, members, &range, visit),
    }
}

fn each_mapped(
    mapping: &Mapping,
    members: &Members,
    range: &Range<u64>,
    visit: &mut dyn FnMut(usize, Range<u64>),
) {
    for line in &mapping.lines {
        let start = line.start.saturating_mul(SECTOR);
        let end = start.saturating_add(line.sectors.saturating_mul(SECTOR));
        let inside = range.start.max(start)..range.end.min(end);
        if inside.start >= inside.end {
            continue;
        }
        let Some(stripes) = Stripes::of(line, members) else { continue };
        stripes.each(inside.start - start..inside.end - start, &mut |member, place| {
            each_on_disk(member, place, visit);
        });
    }
}

/// A line of `linear` or `striped`.
struct Stripes<'a> {
    /// Bytes.
    chunk: u64,
    /// Each with its first byte.
    members: Vec<(&'a BlockDevice, u64)>,
}

impl<'a> Stripes<'a> {
    fn of(line: &MappingLine, members: &'a Members) -> Option<Self> {
        let (chunk, list) = match (line.target.as_str(), line.arguments.as_slice()) {
            ("linear", list) => (line.sectors, list),
            ("striped", [MappingArgument::Text(shape), list @ ..]) => {
                let (count, chunk) = shape.split_once(' ')?;
                let is_whole = count.parse().is_ok_and(|count: usize| list.len() == count.saturating_mul(2));
                (chunk.parse().ok().filter(|_| is_whole)?, list)
            }
            _ => return None,
        };
        let mut found = Vec::new();
        for pair in list.chunks(2) {
            let [MappingArgument::Member(index), MappingArgument::Text(start)] = pair else { return None };
            let start = start.parse::<u64>().ok()?.checked_mul(SECTOR)?;
            found.push((members.get(*index)?.as_ref(), start));
        }
        let chunk = chunk.checked_mul(SECTOR).filter(|chunk| *chunk > 0)?;
        let row = chunk.checked_mul(found.len() as u64).filter(|row| *row > 0);
        row.map(|_| Self { chunk, members: found })
    }

    /// The bytes of the line that `range` has on each member: whole rows in one piece, what is before and behind by chunks.
    fn each(&self, range: Range<u64>, visit: &mut dyn FnMut(&BlockDevice, Range<u64>)) {
        let row = self.chunk * self.members.len() as u64;
        let (first, last) = (range.start.div_ceil(row), range.end / row);
        if first >= last {
            return self.chunks(range, visit);
        }
        self.chunks(range.start..first * row, visit);
        for (member, start) in &self.members {
            visit(member, start + first * self.chunk..start + last * self.chunk);
        }
        self.chunks(last * row..range.end, visit);
    }

    fn chunks(&self, range: Range<u64>, visit: &mut dyn FnMut(&BlockDevice, Range<u64>)) {
        let (mut at, count) = (range.start, self.members.len() as u64);
        while at < range.end {
            let (number, inside) = (at / self.chunk, at % self.chunk);
            let len = (self.chunk - inside).min(range.end - at);
            if let Some((member, start)) = self.members.get((number % count) as usize) {
                let place = start + number / count * self.chunk + inside;
                visit(member, place..place + len);
            }
            at += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MappingArgument::{Member, Text};

    fn device(lines: Vec<(u64, u64, &str, Vec<MappingArgument>)>) -> BlockDevice {
        let lines = lines.into_iter().map(|(start, sectors, target, arguments)| MappingLine {
            start,
            sectors,
            target: target.into(),
            arguments,
        });
        let (name, uuid) = Default::default();
        let mapping = Arc::new(Mapping { name, uuid, lines: lines.collect(), read_only: false });
        let part = |disk| Arc::new(BlockDevice::Part { disk, start: 1 << 20, size: 1 << 30 });
        BlockDevice::Mapped { mapping, members: Arc::new([part(0), part(1), part(2)]), beside: Vec::new() }
    }

    /// Against the arithmetic of the kernel's documentation, byte for byte of a sector's size.
    #[test]
    fn stripes_lie_where_the_device_mapper_has_them() {
        let shape = Text("3 2".into());
        let arguments = vec![
            shape,
            Member(1),
            Text("8".into()),
            Member(0),
            Text("16".into()),
            Member(2),
            Text("0".into()),
        ];
        let device = device(vec![
            (0, 10, "linear", vec![Member(2), Text("100".into())]),
            (10, 60, "striped", arguments),
            (70, 10, "thin", vec![Member(0), Text("1".into())]),
        ]);
        let expected = |sector: u64| match sector {
            0..10 => Some((2, 100 + sector)),
            10..70 => {
                let (chunk, inside) = ((sector - 10) / 2, (sector - 10) % 2);
                let (disk, start) = [(1, 8), (0, 16), (2, 0)][(chunk % 3) as usize];
                Some((disk, start + chunk / 3 * 2 + inside))
            }
            _ => None,
        };
        for start in 0..80 {
            for end in start + 1..=80 {
                let mut found = Vec::new();
                each_on_disk(&device, start * SECTOR..end * SECTOR, &mut |disk, range| {
                    let sectors = (range.start - (1 << 20)) / SECTOR..(range.end - (1 << 20)) / SECTOR;
                    found.extend(sectors.map(|sector| (disk, sector)));
                });
                let mut wanted: Vec<_> = (start..end).filter_map(expected).collect();
                found.sort_unstable();
                wanted.sort_unstable();
                assert_eq!(found, wanted, "{start} to {end}");
            }
        }
    }
}

//! Level 10: near, far and offset.
//!
//! Near is dealt like level 0, each chunk several times. Far and offset deal the chunks once like level 0; each further
//! copy lies one member on, and further down: by a whole section of the members (far), or in the next row (offset).

use crate::map::Layout;
use crate::superblock::Superblock;

/// Level 10, far or offset.
pub(crate) struct Far {
    pub(crate) chunk: u64,
    pub(crate) copies: u64,
    /// Bytes from a copy to the next one, which lies on another member.
    pub(crate) stride: u64,
    /// Rows from one row of first copies to the next.
    pub(crate) step: u64,
    /// Members among which the copies of a chunk go round; what is left over belongs to the last set.
    pub(crate) set: u64,
}

impl Far {
    /// The member behind `member` in its set.
    fn next(&self, member: u64, count: u64) -> u64 {
        let (left, last) = (count % self.set, (count / self.set - 1) * self.set);
        let next = member + 1;
        if left > 0 && next > last {
            (next - last) % (self.set + left) + last
        } else {
            next % self.set + member / self.set * self.set
        }
    }

    /// Member and place of each copy of the byte at `offset`.
    pub(crate) fn places(&self, offset: u64, count: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let number = offset / self.chunk;
        let first = number / count * self.step * self.chunk + offset % self.chunk;
        let members = std::iter::successors(Some(number % count), move |&at| Some(self.next(at, count)));
        members.zip(0..self.copies).map(move |(member, copy)| (member, first + copy * self.stride))
    }
}

/// Level 10: `layout` holds the near copies, the far copies, the bit for offset, and how the members are grouped
/// (the kernel's `raid10.c`, `setup_geo`). Also the array's size in bytes.
pub(crate) fn layout(fresh: &Superblock) -> Result<(Layout, u64), String> {
    let count = u64::from(fresh.raid_disks);
    let (near, far) = (u64::from(fresh.layout & 0xff), u64::from(fresh.layout >> 8 & 0xff));
    if near == 0 || far == 0 || near * far > count {
        return Err(format!("its layout has {near} near and {far} far copies on {count} devices"));
    }
    let (rows, chunk) = (fresh.size / fresh.chunk, fresh.chunk);
    let size = (rows / far).checked_mul(count).and_then(|chunks| (chunks / near).checked_mul(chunk));
    let size = size.ok_or("it is larger than all disks")?;
    let set = match fresh.layout >> 17 {
        0 => count,
        1 => count / far,
        2 => near * far,
        _ => 0,
    };
    let is_offset = fresh.layout >> 16 & 1 == 1;
    match (near, far) {
        (_, 1) if fresh.layout >> 16 == 0 => Ok((Layout::Rows { chunk, copies: near }, size)),
        (1, 2..) if set >= far => {
            let (stride, step) = if is_offset { (chunk, far) } else { (rows / far * chunk, 1) };
            Ok((Layout::Far(Far { chunk, copies: far, stride, step, set }), size))
        }
        _ => Err(format!(
            "raid10 with the layout {:#x} is not mapped here; copy its content to a raid1 or a near layout in the guest \
             before exporting",
            fresh.layout
        )),
    }
}

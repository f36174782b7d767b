//! Writing an archive without a map: the disk as it is, in any order, or in order through a pipe.

use crate::sparse::{CHUNK, Plan, finish};
use format_core::{Error, Needs, Order, Packed, Result, Sink, TargetStorage};
use tar_members::{BLOCK, end_len, padding};

struct PlainSink {
    target: Box<dyn TargetStorage>,
    size: u64,
    header: [u8; 512],
    is_sequential: bool,
}

pub(crate) fn create(target: Box<dyn TargetStorage>, plan: Plan) -> Result<Box<dyn Sink>> {
    let header = plan.member(plan.size).header()?;
    let is_sequential = target.is_sequential();
    if is_sequential {
        target.write_all_at(0, &header)?;
    } else {
        target.set_len(BLOCK + plan.size)?;
    }
    Ok(Box::new(PlainSink { target, size: plan.size, header, is_sequential }))
}

impl PlainSink {
    fn check(&self, offset: u64, len: u64) -> Result<()> {
        if offset.checked_add(len).is_some_and(|end| end <= self.size) {
            return Ok(());
        }
        let text = format!("{len:#x} bytes at {offset:#x} of a disk of {:#x} bytes", self.size);
        Err(Error::contract(text).in_format(crate::FORMAT.name))
    }
}

impl Sink for PlainSink {
    fn needs(&self) -> Needs {
        let order = if self.is_sequential { Order::Ascending } else { Order::Any };
        Needs { order, chunk_size: CHUNK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(bytes) = data else {
            return Err(Error::contract("tar archives hold no encoded chunks"));
        };
        self.check(offset, bytes.len() as u64)?;
        self.target.write_all_at(BLOCK + offset, bytes)
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        self.check(offset, len)?;
        self.target.zero_range(BLOCK + offset, len)
    }

    fn flush(&self) -> Result<()> {
        self.target.sync()
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let data_end = BLOCK + self.size;
        if !self.is_sequential {
            return finish(self.target, data_end, &self.header);
        }
        let members_end = data_end + padding(data_end);
        self.target.set_len(members_end + end_len(members_end))?;
        self.target.commit()
    }
}

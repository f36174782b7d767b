//! One disk of an export that is read from its start to its end. Each block is compared with its checksum on the way.

use crate::container::entries;
use crate::error::XvaError;
use crate::index::other_members;
use crate::ova::Ova;
use crate::tape::{StreamTape, Tape};
use crate::verify::{Verifier, read_sum, read_table};
use crate::walk::{Item, Walk};
use format_core::{ChunkStream, Error, LayerContext, MAX_CHUNK, Result, StreamChunk, Warning};
use std::io::Read;

/// The target gets its size before the data come that show whether it is true: a larger one than any storage of XenServer
/// has (16 TiB) with room for years to come is not believed.
const MAX_SIZE: u64 = 64 << 40;

struct XvaStream {
    walk: Walk<StreamTape>,
    verifier: Verifier,
    /// Index in the export.
    disk: usize,
    size: u64,
    /// The block that is being read: its number, and where its next bytes belong.
    block: Option<(u64, u64)>,
    table: Option<Vec<u8>>,
    others: Vec<String>,
    warnings: Vec<Warning>,
    has_ended: bool,
}

pub(crate) fn open(from: Box<dyn Read + Send>, context: &LayerContext) -> Result<Box<dyn ChunkStream>> {
    let walk = Walk::new(StreamTape::new(from))?;
    let wanted = context.access.pick.as_deref();
    // What is there is known at the end only.
    let is_expected = |disk: usize| walk.ova.disks.get(disk).is_some_and(|vdi| vdi.is_expected);
    let chosen = walk.ova.chosen(wanted, |_| true);
    let disk = pick(&walk.ova, &chosen, wanted)?;
    let size = walk.ova.disks.get(disk).map_or(0, |vdi| vdi.size);
    if size > MAX_SIZE {
        let disk = walk.ova.name(disk, None);
        return Err(XvaError::Unbelievable { disk, size, most: MAX_SIZE }.into());
    }
    Ok(Box::new(XvaStream {
        verifier: Verifier::new(&walk.ova),
        warnings: walk.ova.warning(&chosen, is_expected).into_iter().collect(),
        walk,
        disk,
        size,
        block: None,
        table: None,
        others: Vec::new(),
        has_ended: false,
    }))
}

/// The disk that the operator wants, by its name, its label or its number.
fn pick(ova: &Ova, chosen: &[usize], wanted: Option<&str>) -> Result<usize> {
    ova.judge(chosen, wanted)?;
    let entries = entries(ova, chosen, wanted);
    let known = || {
        let label = |disk: &usize| ova.disks.get(*disk).map(|vdi| vdi.label.as_str()).unwrap_or_default();
        let named =
            entries.iter().zip(chosen).map(|(entry, disk)| format!("{} ({:?})", entry.name, label(disk)));
        format!("the disks are {}", named.collect::<Vec<_>>().join(", "))
    };
    let index = match wanted {
        Some(wanted) => {
            let by_number = || wanted.parse().ok().filter(|index: &usize| *index < chosen.len());
            let found = entries.iter().position(|entry| entry.name == wanted).or_else(by_number);
            found.ok_or_else(|| Error::usage(format!("no disk is called {wanted:?}")).hint(known()))?
        }
        None if chosen.len() == 1 => 0,
        None if chosen.is_empty() => {
            return Err(Error::unsupported("the export holds no disk").in_format(crate::FORMAT.name));
        }
        None => {
            return Err(Error::usage(format!("it holds {} disks", chosen.len()))
                .hint(format!("pick one with --pick NAME; {}", known())));
        }
    };
    chosen.get(index).copied().ok_or_else(|| Error::contract(format!("disk {index} of the export")))
}

impl XvaStream {
    /// The next bytes of the block at hand; `None` when it has no more.
    fn piece(&mut self) -> Result<Option<StreamChunk>> {
        let Some((number, offset)) = self.block else { return Ok(None) };
        let len = self.walk.left().min(MAX_CHUNK);
        if len == 0 {
            self.verifier.end(self.disk, number);
            self.block = None;
            return Ok(None);
        }
        let mut data = vec![0; len as usize];
        self.walk.read(&mut data)?;
        self.verifier.update(&data);
        self.block = Some((number, offset + len));
        Ok(Some(StreamChunk { offset, data }))
    }

    fn step(&mut self) -> Result<()> {
        match self.walk.next()? {
            Some(Item::Block { disk, number, offset, .. }) if disk == self.disk => {
                self.verifier.begin();
                self.block = Some((number, offset));
            }
            Some(Item::Sum { disk, number, kind, .. })
                if disk == self.disk && self.walk.ova.has_inline_sums =>
            {
                let at = self.walk.tape.at();
                let said = read_sum(&mut self.walk)?;
                let compared = self.verifier.compare(&self.walk.ova, disk, number, kind, &said);
                compared.map_err(|e| Error::from(e).at(at))?;
            }
            Some(Item::Table { .. }) if !self.walk.ova.has_inline_sums => {
                self.table = Some(read_table(&mut self.walk)?);
            }
            Some(Item::Other { name }) if self.others.len() < 8 => self.others.push(name),
            Some(_) => {}
            None => {
                self.has_ended = true;
                let (size, at) = (self.size, self.walk.tape.at());
                if size > 0 && !self.walk.sequence.has(self.disk) {
                    // A medium that is described and not exported.
                    let disk = self.walk.ova.name(self.disk, None);
                    return Err(XvaError::Missing { disk, end: 0, size, at }.into());
                }
                let text = self.table.take();
                self.verifier.table(&self.walk.ova, text.as_deref(), &mut |error| Err(error.into()))?;
                self.warnings.extend(other_members(&self.others));
                self.walk.tape.drain()?;
            }
        }
        Ok(())
    }
}

impl ChunkStream for XvaStream {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn virtual_size(&self) -> u64 {
        self.size
    }

    fn next_chunk(&mut self) -> Result<Option<StreamChunk>> {
        loop {
            if let Some(chunk) = self.piece()? {
                return Ok(Some(chunk));
            }
            if self.has_ended {
                return Ok(None);
            }
            self.step()?;
        }
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

//! Blocks are compared with their checksums.

use crate::error::XvaError;
use crate::ova::Ova;
use crate::table::{self, BlockSum};
use crate::tape::Tape;
use crate::walk::{Item, SumKind, Walk};
use format_core::{Error, Result, Tick};
use sha1::{Digest, Sha1};
use std::hash::Hasher;
use twox_hash::XxHash64;

/// What is read and hashed at once.
const PIECE: usize = 1 << 20;
/// The longest member that can be a checksum.
const MAX_SUM: u64 = 128;

/// The checksums of the block at hand.
pub(crate) struct Verifier {
    has_inline_sums: bool,
    /// The kind of checksum that the last block had: of the first one both are made.
    kind: Option<SumKind>,
    sha1: Option<Sha1>,
    xxh64: Option<XxHash64>,
    /// For the table at the end of old exports.
    sums: Vec<BlockSum>,
}

impl Verifier {
    pub(crate) fn new(ova: &Ova) -> Self {
        Self { has_inline_sums: ova.has_inline_sums, kind: None, sha1: None, xxh64: None, sums: Vec::new() }
    }

    /// A block begins.
    pub(crate) fn begin(&mut self) {
        self.sha1 = (!self.has_inline_sums || self.kind != Some(SumKind::Xxh64)).then(Sha1::new);
        self.xxh64 =
            (self.has_inline_sums && self.kind != Some(SumKind::Sha1)).then(|| XxHash64::with_seed(0));
    }

    /// The next bytes of the block.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.sha1 {
            hash.update(bytes);
        }
        if let Some(hash) = &mut self.xxh64 {
            hash.write(bytes);
        }
    }

    /// A block whose checksum is in the table ends.
    pub(crate) fn end(&mut self, disk: usize, number: u64) {
        if !self.has_inline_sums
            && let Some(hash) = &self.sha1
        {
            self.sums.push(BlockSum { disk, number, sum: hash.clone().finalize().into() });
        }
    }

    /// Compares the block with its checksum.
    pub(crate) fn compare(
        &mut self,
        ova: &Ova,
        disk: usize,
        number: u64,
        kind: SumKind,
        said: &[u8],
    ) -> Result<(), XvaError> {
        let name = || ova.disks.get(disk).map(|vdi| vdi.reference.clone()).unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        let said = said.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        let (found, len) = match kind {
            SumKind::Sha1 => (self.sha1.take().map(|hash| hex(&hash.finalize())), 40),
            SumKind::Xxh64 => (self.xxh64.take().map(|hash| format!("{:016X}", hash.finish())), 16),
        };
        let found = found.ok_or(XvaError::MixedSums)?;
        if said.len() != len || !said.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let found = said.chars().take(80).collect();
            return Err(XvaError::BadSum { disk: name(), number, found });
        }
        self.kind = Some(kind);
        if !said.eq_ignore_ascii_case(&found) {
            return Err(XvaError::Mismatch { disk: name(), number, said: said.to_owned(), found });
        }
        Ok(())
    }

    /// Compares the blocks of old exports with the table; `each` is told what is wrong.
    pub(crate) fn table(
        &mut self,
        ova: &Ova,
        text: Option<&[u8]>,
        each: &mut dyn FnMut(XvaError) -> Result<()>,
    ) -> Result<()> {
        let sums = std::mem::take(&mut self.sums);
        match text {
            Some(text) => table::compare(ova, sums, text, each),
            None if self.has_inline_sums || sums.is_empty() => Ok(()),
            None => each(XvaError::NoTable),
        }
    }
}

/// The current member, which is a checksum.
pub(crate) fn read_sum<T: Tape>(walk: &mut Walk<T>) -> Result<Vec<u8>> {
    // What is longer is none, and is told as that.
    let mut text = vec![0; walk.left().min(MAX_SUM) as usize];
    walk.read(&mut text)?;
    Ok(text)
}

/// The current member, which is the table of checksums.
pub(crate) fn read_table<T: Tape>(walk: &mut Walk<T>) -> Result<Vec<u8>> {
    let len = walk.left();
    if len > table::MAX_LEN {
        return Err(XvaError::TooLong { what: "the table of checksums", len, most: table::MAX_LEN }.into());
    }
    let mut text = vec![0; len as usize];
    walk.read(&mut text)?;
    Ok(text)
}

/// Reads all blocks, or those of one disk. `report` is told what is wrong and where; its error ends the work.
pub(crate) fn run<T: Tape>(
    walk: &mut Walk<T>,
    only: Option<usize>,
    tick: Tick<'_>,
    report: &mut dyn FnMut(XvaError, u64) -> Result<()>,
) -> Result<()> {
    let mut verifier = Verifier::new(&walk.ova);
    let mut piece = vec![0; PIECE];
    let is_wanted = |disk: usize| only.is_none_or(|only| only == disk);
    let mut table = None;
    while let Some(item) = walk.next()? {
        let at = walk.tape.at();
        match item {
            Item::Block { disk, number, .. } if is_wanted(disk) => {
                verifier.begin();
                while walk.left() > 0 {
                    let len = walk.left().min(PIECE as u64);
                    let now = piece.get_mut(..len as usize).unwrap_or_default();
                    walk.read(now)?;
                    verifier.update(now);
                    tick(len)?;
                }
                verifier.end(disk, number);
            }
            Item::Sum { disk, number, kind, .. } if is_wanted(disk) && walk.ova.has_inline_sums => {
                let said = read_sum(walk)?;
                if let Err(error) = verifier.compare(&walk.ova, disk, number, kind, &said) {
                    report(error, at)?;
                }
            }
            Item::Table { .. } if !walk.ova.has_inline_sums => table = Some(read_table(walk)?),
            _ => {}
        }
    }
    let end = walk.tape.at();
    verifier.table(&walk.ova, table.as_deref(), &mut |error: XvaError| report(error, end))
}

/// What a copy of one disk runs beside its own work.
pub(crate) fn prove<T: Tape>(tape: T, disk: usize, tick: Tick<'_>) -> Result<()> {
    let mut walk = Walk::new(tape)?;
    run(&mut walk, Some(disk), tick, &mut |error, at| {
        Err(Error::from(error).with_kind(format_core::ErrorKind::Mismatch).at(at))
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

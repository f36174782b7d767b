//! From the name of a file to all parts of its disk.

use crate::error::RawError;
use crate::layout::{PartName, Place};
use format_core::{Error, ErrorKind, FileStorage, Gate, Result, Storage, Warning};
use rustix::io::Errno;
use std::sync::Arc;

/// More parts than this are not opened: each is an open file.
const MAX_PARTS: usize = 10_000;

/// How many parts are looked for behind one that is not there, before it is taken for the end.
const LOOK_AHEAD: usize = 2;

/// What belongs to a disk besides its first file.
#[derive(Default)]
pub(crate) struct Further {
    pub(crate) parts: Vec<Arc<dyn Storage>>,
    pub(crate) warnings: Vec<Warning>,
}

/// The further parts of the disk whose first file is called `name`.
pub(crate) fn further_parts(name: &str, gate: &dyn Gate) -> Result<Further> {
    let Some(part) = PartName::parse(name) else { return Ok(Further::default()) };
    let others = match part.place() {
        Place::First { unless } => unless.into_iter().collect(),
        Place::Later { first } => first,
    };
    for first in others {
        if look(gate, &first)?.is_some() {
            return Err(RawError::LaterPart { first }.into());
        }
    }
    if matches!(part.place(), Place::Later { .. }) {
        let text = format!("{name:?} is named like a part of a split disk, but is read as a disk of its own");
        let warnings = part.is_counted().then(|| Warning::new("raw-lone-part", text)).into_iter().collect();
        return Ok(Further { parts: Vec::new(), warnings });
    }
    let parts = follow(part, gate)?;
    let mut warnings = Vec::new();
    if !parts.is_empty() {
        let text = format!("{name:?} and the {} parts after it were read as one disk", parts.len());
        warnings.push(Warning::new("raw-parts-joined", text));
    }
    Ok(Further { parts, warnings })
}

fn follow(first: PartName, gate: &dyn Gate) -> Result<Vec<Arc<dyn Storage>>> {
    let (mut parts, mut last) = (Vec::<Arc<dyn Storage>>::new(), first);
    'parts: loop {
        let candidates = last.next();
        for candidate in &candidates {
            let found = look(gate, &candidate.to_string()).map_err(|e| too_many_files(e, parts.len()))?;
            if let Some(storage) = found {
                if parts.len() + 1 >= MAX_PARTS {
                    return Err(RawError::TooManyParts { limit: MAX_PARTS }.into());
                }
                parts.push(Arc::new(storage));
                last = candidate.clone();
                continue 'parts;
            }
        }
        for candidate in candidates {
            nothing_behind(candidate, gate)?;
        }
        return Ok(parts);
    }
}

/// A part behind a missing one means that the disk would be short.
fn nothing_behind(missing: PartName, gate: &dyn Gate) -> Result<()> {
    let mut at = missing.clone();
    for _ in 0..LOOK_AHEAD {
        let Some(next) = at.next().into_iter().next() else { return Ok(()) };
        if look(gate, &next.to_string())?.is_some() {
            let (missing, found) = (missing.to_string(), next.to_string());
            return Err(RawError::MissingPart { missing, found }.into());
        }
        at = next;
    }
    Ok(())
}

/// The file of this name, if there is one. What the gate denies is an error: nobody knows whether a part is behind it.
fn look(gate: &dyn Gate, name: &str) -> Result<Option<FileStorage>> {
    match gate.open(name) {
        Ok(found) => Ok(Some(found.storage)),
        Err(error) if error.kind() == ErrorKind::SourceMissing => Ok(None),
        Err(error) => Err(error.context(format!("look for the part {name:?} of a split disk"))),
    }
}

fn too_many_files(error: Error, opened: usize) -> Error {
    let system = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    match system.and_then(Errno::from_io_error) {
        Some(Errno::MFILE | Errno::NFILE) => RawError::TooManyFiles { opened: opened + 1 }.into(),
        _ => error,
    }
}

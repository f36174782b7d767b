//! What is known of zeros, read ahead.

use super::fault::Fault;
use super::pool::Pool;
use super::status::StatusRuns;
use crate::wire::ALLOCATION;
use format_core::units::align_down;
use format_core::{Error, Extent, ExtentKind, Result};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// What a server is asked about at once. It answers for less where there is much to say.
pub(crate) const WINDOW: u64 = 1 << 30;
/// Answers that are kept, at most a MiB each.
const KEPT: usize = 8;

/// Answers of the server that were asked for last. Who asks for what another thread has just asked for waits for that answer.
#[derive(Default)]
pub(crate) struct ExtentCache(Mutex<VecDeque<StatusRuns>>);

impl ExtentCache {
    /// The run of data or zeros that starts at `offset`.
    pub(crate) fn at(&self, pool: &Pool, offset: u64) -> Result<Extent> {
        let size = pool.facts.size;
        if offset >= size {
            return Err(Error::usage(format!(
                "extent asked for at {offset:#x} of an export of {size:#x} bytes"
            )));
        }
        let Some(context) = pool.facts.context(ALLOCATION) else {
            return Ok(Extent { offset, len: size - offset, kind: ExtentKind::Data });
        };
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = answers.iter().find_map(|runs| runs.at(offset));
        if found.is_none() {
            let start = align_down(offset, pool.facts.min_block);
            let runs = ask(pool, ALLOCATION, context, |flags| flags & 0b10 != 0, start)?;
            found = runs.at(offset);
            answers.push_front(runs);
            answers.truncate(KEPT);
        }
        let (end, is_zero) =
            found.ok_or_else(|| Error::contract("an answer does not begin where it was asked"))?;
        let kind = if is_zero { ExtentKind::Zero } else { ExtentKind::Data };
        Ok(Extent { offset, len: end - offset, kind })
    }
}

/// The block status from `start` on; a server that cannot tell has loud bytes there, and reading them shows what they are.
pub(crate) fn ask(
    pool: &Pool,
    name: &str,
    context: u32,
    quiet: super::status::Quiet,
    start: u64,
) -> Result<StatusRuns> {
    let stop = start.saturating_add(WINDOW).min(pool.facts.size);
    let len = u32::try_from(stop - start).unwrap_or(1 << 30);
    pool.run(|connection| {
        // Each connection has numbers of its own.
        let context = connection.facts.context(name).unwrap_or(context);
        match connection.status(context, quiet, start, len) {
            Err(Fault::Answer(_)) => Ok(StatusRuns::loud(start, stop)),
            other => other,
        }
    })
}

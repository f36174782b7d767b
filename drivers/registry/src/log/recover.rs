//! Which logs apply, in which order, and what comes out.

use super::incremental::{NewLog, latest_after};
use super::old::OldLog;
use super::report::{Applied, Dropped, LogStep, Recovered, Replay};
use super::{Log, is_after};
use crate::base_block::{BaseBlock, set_words};
use crate::check::check;
use crate::error::{Fault, Result as Checked};
use crate::fields::{le32, le64, put};
use crate::filetime::FileTime;
use crate::hive::Hive;
use crate::layout::{BASE_BLOCK, MAX_HIVE, SECTOR, base, bin};
use format_core::Result;

/// Makes a hive consistent with what its transaction logs hold, as Windows would when it loads it. A clean hive comes back
/// as it is.
///
/// The result was walked whole: a replay that does not end in a whole hive is none.
///
/// # Errors
/// `NeedsPerson`: the hive is dirty, and its logs do not make it whole. `Unsupported`: no hive, or another version than
/// 1.3 to 1.6. `Limit`: more than 256 MiB. `Corrupt`: a field of the base block is wrong although its checksum is right.
pub fn recover(primary: Vec<u8>, logs: &[Log<'_>]) -> Result<Recovered> {
    Ok(try_recover(primary, logs)?)
}

/// The primary file's own base block, as far as it is of use.
#[derive(Clone, Copy)]
enum Own {
    Valid(BaseBlock),
    /// Its checksum is wrong. What its fields say is only good for comparing.
    Damaged {
        sequence: Option<u32>,
        last_written: Option<FileTime>,
    },
}

fn try_recover(mut primary: Vec<u8>, logs: &[Log<'_>]) -> Checked<Recovered> {
    if primary.len() as u64 > MAX_HIVE {
        return Err(Fault::hive_size(primary.len() as u64));
    }
    let own = match BaseBlock::of_primary(&primary) {
        Ok(base) if !base.is_dirty() => {
            let steps = steps(logs, base.primary_sequence);
            return Ok(Recovered { bytes: primary, replay: Replay { steps, ..Replay::default() } });
        }
        Ok(base) => Own::Valid(base),
        Err(fault @ (Fault::Checksum { .. } | Fault::NotRegf { .. })) => {
            if primary.get(BASE_BLOCK..BASE_BLOCK + 4) != Some(bin::SIGNATURE) {
                return Err(fault);
            }
            Own::Damaged {
                sequence: le32(&primary, base::PRIMARY_SEQUENCE),
                last_written: le64(&primary, base::LAST_WRITTEN).map(FileTime),
            }
        }
        Err(fault) => return Err(fault),
    };
    let mut replay = Replay { was_dirty: true, ..Replay::default() };
    let sequence = match apply_new(&mut primary, own, logs, &mut replay)? {
        Ok(last) => last.wrapping_add(1),
        Err(why_new) => apply_old(&mut primary, own, logs, &mut replay)?.map_err(|why_old| {
            let why =
                [why_new, why_old].into_iter().filter(|why| !why.is_empty()).collect::<Vec<_>>().join("; ");
            let why = if why.is_empty() { "there is none with content".to_owned() } else { why };
            Fault::NotRecovered { why }
        })?,
    };
    set_words(
        &mut primary,
        &[
            (base::PRIMARY_SEQUENCE, sequence),
            (base::SECONDARY_SEQUENCE, sequence),
            (base::FILE_TYPE, base::PRIMARY),
        ],
    )?;
    replay.steps = steps(logs, sequence);
    let bytes =
        whole(primary).map_err(|fault| Fault::NotRecovered { why: format!("after the replay, {fault}") })?;
    Ok(Recovered { bytes, replay })
}

/// The bytes again, if they are a whole hive.
fn whole(bytes: Vec<u8>) -> Checked<Vec<u8>> {
    let hive = Hive::load(bytes)?;
    check(&hive)?;
    Ok(hive.space.into_file())
}

/// Makes room for hive bins data of `bins_size` bytes, and says so in the base block. What is new lies whole in the logs.
fn resize(primary: &mut Vec<u8>, bins_size: u32, logs: &[Log<'_>]) -> Checked<()> {
    let end = BASE_BLOCK as u64 + u64::from(bins_size);
    if end > MAX_HIVE {
        return Err(Fault::hive_size(end));
    }
    let all = primary.len() as u64 + logs.iter().map(|log| log.bytes.len() as u64).sum::<u64>();
    if end > all {
        let why =
            format!("a log says that the hive has {end:#x} bytes, hive and logs together have {all:#x}");
        return Err(Fault::NotRecovered { why });
    }
    if (primary.len() as u64) < end {
        primary.resize(end as usize, 0);
    }
    set_words(primary, &[(base::BINS_SIZE, bins_size)])
}

/// Puts the copy of a log's base block in place of a damaged one.
fn take_base_block(primary: &mut [u8], log: &Log<'_>, replay: &mut Replay) -> Checked<()> {
    let copy = log.bytes.get(..SECTOR).unwrap_or_default();
    if !put(primary, 0, copy) {
        return Err(Fault::NotRecovered { why: "the primary file is shorter than a base block".to_owned() });
    }
    replay.base_block_from = Some(log.file);
    set_words(primary, &[(base::FILE_TYPE, base::PRIMARY)])
}

/// Why logs do not apply, as one sentence. Empty logs have nothing to say.
fn reasons(found: &[(Log<'_>, &'static str)]) -> String {
    let reasons = found.iter().map(|(log, why)| format!("{}: {why}", log.file));
    reasons.collect::<Vec<_>>().join(", ")
}

/// Logs of the given file types, by the beginning of their base block.
fn of_types<'a>(logs: &[Log<'a>], types: &[u32]) -> impl Iterator<Item = Log<'a>> {
    let has_type = |log: &&Log<'_>| le32(log.bytes, base::FILE_TYPE).is_some_and(|it| types.contains(&it));
    logs.iter().filter(has_type).copied()
}

/// Applies logs of the new format. Returns the last sequence number, or why none applies.
fn apply_new(
    primary: &mut Vec<u8>,
    own: Own,
    logs: &[Log<'_>],
    replay: &mut Replay,
) -> Checked<std::result::Result<u32, String>> {
    let chain = match chain_of(own, logs)? {
        Ok(chain) => chain,
        Err(why) => return Ok(Err(why)),
    };
    let Some(newest) = chain.last() else { return Ok(Err(String::new())) };
    let last = newest.last();
    let torn = chain.iter().filter_map(|log| {
        let (sequence, why) = log.torn?;
        Some(Dropped { log: log.log.file, sequence, why })
    });
    replay.dropped = torn.filter(|entry| entry.sequence == last.wrapping_add(1)).collect();
    nothing_later(logs, last, &replay.dropped)?;
    if matches!(own, Own::Damaged { .. }) {
        take_base_block(primary, &newest.log, replay)?;
    }
    for log in &chain {
        for entry in &log.entries {
            resize(primary, entry.bins_size, logs)?;
            let flags = le32(primary, base::FLAGS).unwrap_or_default() & !base::FLAG_TRANSACTIONS;
            set_words(primary, &[(base::FLAGS, flags | entry.flags & base::FLAG_TRANSACTIONS)])?;
            let bytes = entry.apply(primary);
            replay.applied.push(Applied { log: log.log.file, sequence: entry.sequence, bytes });
        }
    }
    Ok(Ok(last))
}

/// The logs of the new format that apply, in their order and without a gap, at least one; or why none does.
fn chain_of<'a>(own: Own, logs: &[Log<'a>]) -> Checked<std::result::Result<Vec<NewLog<'a>>, String>> {
    let (mut chain, mut unfit) = (Vec::new(), Vec::new());
    for log in of_types(logs, &[base::LOG_NEW]) {
        match NewLog::parse(log) {
            Ok(parsed) => match own {
                // Entries that end before the hive was written whole are in it.
                Own::Valid(base) if is_after(base.secondary_sequence, parsed.first()) => {
                    unfit.push((log, "its entries are older than the hive"));
                }
                _ => chain.push(parsed),
            },
            Err(why) => unfit.push((log, why)),
        }
    }
    let Some(start) = chain.first().map(NewLog::first) else { return Ok(Err(reasons(&unfit))) };
    chain.sort_by_key(|log| log.first().wrapping_sub(start).cast_signed());
    match own {
        Own::Damaged { .. } => start_of_damaged(&mut chain),
        Own::Valid(base) => {
            let (first, expected) = (chain.first().map_or(0, NewLog::first), base.secondary_sequence);
            if first != expected {
                let why = format!("the first log entry is {first}, the hive waits for {expected}");
                return Err(Fault::NotRecovered { why });
            }
        }
    }
    // What comes behind a gap is refused later on.
    let follows = |pair: &[NewLog<'_>]| matches!(pair, [a, b] if a.last().wrapping_add(1) == b.first());
    let used = 1 + chain.windows(2).take_while(|pair| follows(pair)).count();
    chain.truncate(used);
    Ok(Ok(chain))
}

/// Without a base block nothing says which entries the hive has already. Those of the newest log it may lack; those of
/// another only when they lead up to it without a gap, and then it does no harm to write them once more.
fn start_of_damaged(chain: &mut Vec<NewLog<'_>>) {
    while let [.., before, newest] = chain.as_slice()
        && chain.len() > 1
        && before.last().wrapping_add(1) != newest.first()
    {
        let at = chain.len() - 2;
        chain.remove(at);
    }
}

/// Only the newest entry can be torn. When there are newer ones behind it, the logs themselves are damaged, and a hive
/// without those entries would not be what the guest last had.
fn nothing_later(logs: &[Log<'_>], last: u32, torn: &[Dropped]) -> Checked<()> {
    let latest = logs.iter().filter_map(|log| Some((log.file, latest_after(log, last)?)));
    for (file, sequence) in latest {
        if !torn.iter().any(|entry| entry.log == file && entry.sequence == sequence) {
            let why = format!(
                "{file} holds entry {sequence}, and those between {last} and it are damaged or missing"
            );
            return Err(Fault::NotRecovered { why });
        }
    }
    Ok(())
}

/// Applies the log of the old format that belongs to the hive. Returns the sequence number for the result, or why none
/// applies.
fn apply_old(
    primary: &mut Vec<u8>,
    own: Own,
    logs: &[Log<'_>],
    replay: &mut Replay,
) -> Checked<std::result::Result<u32, String>> {
    let (mut best, mut unfit): (Option<OldLog<'_>>, _) = (None, Vec::new());
    for log in of_types(logs, &base::LOGS_OLD) {
        match OldLog::parse(log) {
            Ok(parsed) if !belongs(&parsed.base, own, primary) => {
                unfit.push((log, "its time is not that of the hive"));
            }
            Ok(parsed) => {
                let sequence = |log: &OldLog<'_>| log.base.primary_sequence;
                if best.as_ref().is_none_or(|best| is_after(sequence(&parsed), sequence(best))) {
                    best = Some(parsed);
                }
            }
            Err(why) => unfit.push((log, why)),
        }
    }
    let Some(log) = best else { return Ok(Err(reasons(&unfit))) };
    let mut highest = log.base.primary_sequence;
    match own {
        Own::Valid(base) if is_after(base.primary_sequence, highest) => highest = base.primary_sequence,
        Own::Valid(_) => {}
        Own::Damaged { .. } => take_base_block(primary, &log.log, replay)?,
    }
    resize(primary, log.base.bins_size, logs)?;
    let bytes = log.apply(primary);
    replay.applied.push(Applied { log: log.log.file, sequence: log.base.primary_sequence, bytes });
    Ok(Ok(highest.wrapping_add(1)))
}

/// Whether a log was written for the hive as it is: both have the same time. Where the base block is damaged, the first
/// bin has the time; or, if that was not written yet, the damaged base block and the log agree on time and number.
fn belongs(log: &BaseBlock, own: Own, primary: &[u8]) -> bool {
    match own {
        Own::Valid(base) => base.last_written == log.last_written,
        Own::Damaged { sequence, last_written } => {
            let of_bin = le64(primary, BASE_BLOCK + bin::TIMESTAMP).map(FileTime);
            of_bin == Some(log.last_written)
                || (last_written, sequence) == (Some(log.last_written), Some(log.primary_sequence))
        }
    }
}

/// What is to be done with the logs of a hive whose sequence numbers are `sequence`.
fn steps(logs: &[Log<'_>], sequence: u32) -> Vec<LogStep> {
    let step = |log: &Log<'_>| LogStep {
        log: log.file,
        empty: log.bytes.iter().any(|byte| *byte != 0),
        is_required: latest_after(log, sequence.wrapping_sub(1)).is_some(),
    };
    logs.iter().map(step).collect()
}

//! A new snapshot as a target.

use super::BLOCK;
use super::api::{Api, Sum, is_snapshot};
use super::listing::wrong;
use crate::aws::Services;
use crate::ec2::Ec2;
use crate::{CloudOptions, pieces};
use format_core::units::GIB;
use format_core::{Error, ErrorKind, RangeSet, Result, TargetStorage};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Blocks that may wait for their other parts: 32 MiB.
const PARTIAL: usize = 64;
/// Checksums that are kept for the one over all: of 512 GiB of data. Beyond that, it is left out, as the service allows.
const MAX_SUMS: usize = 1 << 20;
/// How often and how long it is looked whether a snapshot is complete: four hours.
const LOOKS: u32 = 1440;
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// What was written so far.
#[derive(Default)]
struct Written {
    /// In bytes, whole blocks.
    sent: RangeSet,
    /// In order of the blocks; `None` once there are too many.
    sums: Option<BTreeMap<u64, Sum>>,
    /// Blocks of which a part is here.
    partial: HashMap<u64, (Vec<u8>, RangeSet)>,
    /// It was told to be complete, and is AWS's now.
    is_over: bool,
}

/// A snapshot that is being written by the EBS direct APIs. It is complete only after [`TargetStorage::commit`]; one that is dropped before is
/// deleted, and where that is not allowed, AWS ends it after its time (3 days).
pub struct EbsTarget {
    api: Api,
    ec2: Ec2,
    id: String,
    size: u64,
    has_parent: bool,
    between_looks: Duration,
    written: Mutex<Written>,
}

impl EbsTarget {
    /// Begins a snapshot for a volume of `gib` GiB; with a parent, a snapshot of the same owner, only what differs from that is to
    /// be written.
    ///
    /// # Errors
    /// `Usage` for sizes and ids that are none; `NeedsPerson` without credentials; what the service refuses.
    pub fn start(
        gib: u64,
        parent: Option<&str>,
        region: Option<&str>,
        options: &CloudOptions,
    ) -> Result<Self> {
        if gib == 0 || gib > 65_536 {
            return Err(Error::usage(format!(
                "a volume of {gib} GiB was asked for, 1 to 65536 are possible"
            )));
        }
        if parent.is_some_and(|parent| !is_snapshot(parent)) {
            return Err(Error::usage("the parent is no id of a snapshot"));
        }
        let services = Services::new(options, region)?;
        let (api, ec2) = (Api(services.service("ebs")?), Ec2::of(&services)?);
        let once = uuid::Uuid::new_v4().to_string();
        let started = api.start(gib, parent, "written by rehome", &once)?;
        if started.volume_size != gib {
            return Err(wrong(&format!(
                "tells of a volume of {} GiB, {gib} were asked for",
                started.volume_size
            )));
        }
        // Emulators say 512 and take what is written as the service does.
        if started.block_size > BLOCK {
            return Err(wrong(&format!(
                "wants blocks of {} bytes, {BLOCK} are documented",
                started.block_size
            )));
        }
        let written = Written { sums: Some(BTreeMap::new()), ..Written::default() };
        let between_looks = BETWEEN_LOOKS.min(options.limits.longest_pause);
        let size = gib * GIB;
        Ok(Self {
            api,
            ec2,
            id: started.snapshot_id,
            size,
            has_parent: parent.is_some(),
            between_looks,
            written: Mutex::new(written),
        })
    }

    /// The id of the new snapshot.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, index: u64, block: &[u8]) -> Result<()> {
        let sum = self.api.put(&self.id, index, block)?;
        let mut written = self.lock();
        written.sent.add(index * BLOCK, BLOCK);
        if let Some(sums) = &mut written.sums {
            sums.insert(index, sum);
            if sums.len() > MAX_SUMS {
                written.sums = None;
            }
        }
        Ok(())
    }

    /// Adds a part of block `index`; the block is sent when all of it is here.
    fn join(&self, index: u64, at: u64, part: &[u8]) -> Result<()> {
        let mut written = self.lock();
        if written.sent.run_at(index * BLOCK).0 {
            return Err(Error::contract(format!(
                "a part of block {index} is written after all of it was sent"
            )));
        }
        if written.partial.len() >= PARTIAL && !written.partial.contains_key(&index) {
            return Err(Error::unsupported(format!(
                "parts of more than {PARTIAL} blocks of 512 KiB are written at a time: a snapshot takes whole ones"
            ))
            .hint("write a raw disk: --target-format raw"));
        }
        let (block, filled) =
            written.partial.entry(index).or_insert_with(|| (vec![0; BLOCK as usize], RangeSet::default()));
        let place = usize::try_from(at).ok().and_then(|at| block.get_mut(at..at + part.len()));
        place.ok_or_else(|| Error::contract("a part leaves its block"))?.copy_from_slice(part);
        filled.add(at, part.len() as u64);
        if filled.total() < BLOCK {
            return Ok(());
        }
        let Some((block, _)) = written.partial.remove(&index) else { return Ok(()) };
        drop(written);
        self.send(index, &block)
    }

    /// What is only partly here: the rest of a new volume is zeros, of one with a parent it is what that has.
    fn send_partial(&self) -> Result<()> {
        let partial: Vec<_> = self.lock().partial.drain().collect();
        for (index, (block, _)) in partial {
            if self.has_parent {
                return Err(Error::unsupported(format!(
                    "block {index} was written in part, and the rest of it is the parent's: whole blocks are needed"
                )));
            }
            self.send(index, &block)?;
        }
        Ok(())
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Destination,
                format!("{len:#x} bytes at {offset:#x} leave the volume of {:#x} bytes", self.size),
            )
            .hint("name a larger volume: ebs://new?size=GIB")),
        }
    }
}

impl TargetStorage for EbsTarget {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        pieces::write(offset, bytes, BLOCK, &|at, part| {
            let whole = part.len() as u64 == BLOCK && !self.lock().partial.contains_key(&(at / BLOCK));
            if whole { self.send(at / BLOCK, part) } else { self.join(at / BLOCK, at % BLOCK, part) }
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.check(len, 0)
    }

    fn sync(&self) -> Result<()> {
        // A block that was answered for is stored.
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        self.send_partial()?;
        let (changed, sum) = {
            let written = self.lock();
            let sum = written.sums.as_ref().map(|sums| {
                let mut all = Sha256::new();
                sums.values().for_each(|sum| all.update(sum));
                Sum::from(all.finalize())
            });
            (written.sent.total() / BLOCK, sum)
        };
        let mut status = self.api.complete(&self.id, changed, sum)?;
        self.lock().is_over = true;
        for _ in 0..LOOKS {
            match status.as_str() {
                "completed" => return Ok(()),
                "pending" => {}
                _ => {
                    return Err(Error::new(
                        ErrorKind::Io,
                        format!("the new snapshot {} did not come about", self.id),
                    ));
                }
            }
            std::thread::sleep(self.between_looks);
            status = self.ec2.snapshot_state(&self.id)?;
        }
        Err(Error::new(ErrorKind::Temporary, format!("the new snapshot {} is still not complete", self.id))
            .hint("all was written; look at its state with aws ec2 describe-snapshots"))
    }

    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.check(offset, len)?;
        if !self.has_parent {
            return Ok(());
        }
        let zeros = vec![0; BLOCK as usize];
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let part = (BLOCK - at % BLOCK).min(end - at);
            self.write_all_at(at, zeros.get(..part as usize).unwrap_or_default())?;
            at += part;
        }
        Ok(())
    }

    fn is_blank(&self) -> bool {
        !self.has_parent
    }

    fn name(&self) -> Option<&str> {
        Some(&self.id)
    }
}

impl Drop for EbsTarget {
    fn drop(&mut self) {
        if !self.lock().is_over {
            let _ = self.ec2.discard(&self.id);
        }
    }
}

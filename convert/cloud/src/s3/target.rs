//! A new object of S3 as a target.

use super::journal::{Journal, Part, Told};
use super::store::{S3Store, is_missing};
use super::upload::Upload;
use super::{Bucket, parts};
use crate::CloudOptions;
use crate::http::{Failure, Method, Request};
use crate::open::Writing;
use crate::url::Url;
use format_core::{Claim, Error, ErrorKind, Result, TargetStorage, codes};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

const MIB: u64 = 1 << 20;
/// The smallest and the largest part, in bytes. Parts are in memory until they are sent.
const PART: (u64, u64) = (16 * MIB, 64 * MIB);
/// How many parts an object may have.
const MAX_PARTS: u64 = 10_000;
/// Bytes that are on their way at a time, besides the part that is being filled.
const UNDER_WAY: u64 = 64 * MIB;
/// The journal is written after each part at first, and less often when it is long.
const PARTS_EACH: usize = 500;

/// A new object that is uploaded in parts, from its start to its end. It has its name only after [`TargetStorage::commit`], and replaces
/// nothing.
///
/// Under a claim it keeps a journal. A run that ends early leaves both upload and journal, and the next one does not send again what is there:
/// each part that it comes to is compared by its SHA-256, so that nothing of another disk gets into the object. Without a claim nothing is
/// left.
pub struct S3Target {
    bucket: Arc<Bucket>,
    upload: Arc<Upload>,
    url: Url,
    key: String,
    part: u64,
    claim: Option<Box<dyn Claim>>,
    /// What an earlier run left, by number.
    there: Arc<HashMap<u64, Part>>,
    kept: Arc<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// Bytes before the buffer.
    sent: u64,
    /// How long the object is to be.
    len: u64,
    parts: Vec<Part>,
    under_way: VecDeque<JoinHandle<Result<Part>>>,
    journal: Option<Journal>,
    /// How many parts the journal tells of.
    told: usize,
    is_over: bool,
    /// Nothing of it is worth to be kept.
    is_lost: bool,
}

/// What is written to before the first byte.
struct Begun {
    upload: Upload,
    there: HashMap<u64, Part>,
    journal: Option<Journal>,
}

impl S3Target {
    /// Begins the upload of an object, or goes on with one.
    ///
    /// # Errors
    /// `Destination` where there is an object of that name; `Unsupported` for more than 618 GiB; `Temporary` where another run
    /// has taken over; else as any request.
    pub fn create(
        bucket: &str,
        key: &str,
        region: Option<&str>,
        writing: Writing,
        options: &CloudOptions,
    ) -> Result<Self> {
        let Writing { size, claim, restart } = writing;
        // What a format adds to a disk is little; a raw one has its size exactly.
        let part = (size.div_ceil(MAX_PARTS - 100)).next_multiple_of(MIB).max(PART.0);
        if part > PART.1 {
            let most = (MAX_PARTS - 100) * PART.1 / (1 << 30);
            return Err(Error::unsupported(format!(
                "an object of {size} bytes was asked for, up to {most} GiB can be uploaded"
            )));
        }
        let bucket = Arc::new(Bucket::open(bucket, region, options)?);
        let url = bucket.object(key)?;
        let mut found = match &claim {
            Some(_) => Some(Journal::find(S3Store(Arc::clone(&bucket)), key)?),
            None => None,
        };
        let begun = begin(&bucket, &url, part, claim.as_deref(), restart, &mut found);
        let Begun { upload, there, journal } = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let is_left = found.as_ref().is_some_and(|(journal, _)| journal.is_there());
                claim.iter().for_each(|claim| claim.release(!is_left));
                return Err(error);
            }
        };
        let told = in_order(&there).len();
        let state = Mutex::new(State { journal, told, ..State::default() });
        let (upload, there, key) = (Arc::new(upload), Arc::new(there), key.to_owned());
        Ok(Self { bucket, upload, url, key, part, claim, there, kept: Arc::default(), state })
    }

    /// How many parts an earlier run left here, and the bytes of each.
    #[must_use]
    pub fn found(&self) -> (u64, u64) {
        (self.there.len() as u64, self.part)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, state: &mut State, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = (self.part as usize).saturating_sub(state.buffer.len());
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            if state.buffer.capacity() == 0 {
                state.buffer.reserve_exact(self.part as usize);
            }
            state.buffer.extend_from_slice(now);
            bytes = rest;
            if state.buffer.len() as u64 == self.part {
                self.send(state)?;
            }
        }
        Ok(())
    }

    fn add_zeros(&self, state: &mut State, mut len: u64) -> Result<()> {
        let zeros = vec![0; MIB.min(len) as usize];
        while len > 0 {
            let now = len.min(MIB);
            self.add(state, zeros.get(..now as usize).unwrap_or_default())?;
            len -= now;
        }
        Ok(())
    }

    /// Sends the buffer as the next part, takes what came of earlier ones, and waits for them where many are under way.
    fn send(&self, state: &mut State) -> Result<()> {
        let is_full = |state: &State| (state.under_way.len() as u64 + 1) * self.part > UNDER_WAY;
        while state.under_way.front().is_some_and(|oldest| oldest.is_finished() || is_full(state))
            && let Some(oldest) = state.under_way.pop_front()
        {
            self.arrived(state, oldest)?;
        }
        let number = (state.parts.len() + state.under_way.len() + 1) as u64;
        if number > MAX_PARTS {
            return Err(Error::new(
                ErrorKind::Destination,
                "the image is longer than was said when its upload began",
            ));
        }
        let body = std::mem::take(&mut state.buffer);
        state.sent += body.len() as u64;
        let (upload, there, kept) =
            (Arc::clone(&self.upload), Arc::clone(&self.there), Arc::clone(&self.kept));
        let work = move || {
            let sha256: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
            if let Some(known) = there.get(&number).filter(|known| known.sha256 == sha256) {
                kept.fetch_add(1, Ordering::Relaxed);
                return Ok(known.clone());
            }
            Ok(Part { etag: upload.put(number, &body)?, sha256 })
        };
        let thread = std::thread::Builder::new().name("s3 part".into()).spawn(work);
        state.under_way.push_back(thread.map_err(|e| Error::io("cannot start a thread for an upload", e))?);
        Ok(())
    }

    /// Takes what came of a part, and tells the journal.
    fn arrived(&self, state: &mut State, thread: JoinHandle<Result<Part>>) -> Result<()> {
        state.parts.push(ended(thread)?);
        if state.parts.len() > state.told + state.parts.len() / PARTS_EACH {
            self.tell(state)?;
        }
        Ok(())
    }

    /// What an earlier run left stays told until this one has more: a part that was replaced since has another ETag there.
    fn tell(&self, state: &mut State) -> Result<()> {
        let Some(journal) = state.journal.as_mut().filter(|_| state.parts.len() > state.told) else {
            return Ok(());
        };
        journal.write(&self.upload.id, self.part, &state.parts)?;
        state.told = state.parts.len();
        Ok(())
    }

    fn complete(&self, state: &mut State) -> Result<()> {
        let at = state.sent + state.buffer.len() as u64;
        self.add_zeros(state, state.len.saturating_sub(at))?;
        if !state.buffer.is_empty() || state.sent == 0 {
            self.send(state)?;
        }
        while let Some(oldest) = state.under_way.pop_front() {
            self.arrived(state, oldest)?;
        }
        self.tell(state)?;
        // From here on others see it: only the run that holds the claim may do that. One that is stopped between this question and the next
        // request meets an upload that was given up.
        if let Some(claim) = &self.claim {
            claim.check()?;
        }
        let etags: Vec<&str> = state.parts.iter().map(|part| part.etag.as_str()).collect();
        match self.upload.complete(&etags) {
            Ok(answer) => parts::completed(&answer.body).map(drop),
            // The answer to an earlier attempt may have been lost.
            Err(Failure::Refused(refusal))
                if matches!(refusal.status, 404 | 412) && refusal.attempts > 1 && self.is_there(state)? =>
            {
                Ok(())
            }
            Err(Failure::Refused(refusal))
                if refusal.status == 412 || is_object(&self.bucket, &self.url)? =>
            {
                state.is_lost = true;
                Err(exists(&self.url))
            }
            Err(Failure::Refused(refusal)) if refusal.status == 404 => Err(self.upload.gone()),
            Err(Failure::Refused(refusal)) if refusal.is("InvalidPart") => {
                Err(Error::new(ErrorKind::Temporary, refusal.to_string())
                    .hint("another process replaced a part of the upload; run the same command again"))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Whether the object is the one that was completed: its ETag ends in the number of parts.
    fn is_there(&self, state: &State) -> Result<bool> {
        let answer = match self.bucket.service.send(&Request::new(Method::Head, self.url.clone())) {
            Err(Failure::Refused(refusal)) if is_missing(&refusal) => return Ok(false),
            answer => answer?,
        };
        let ending = format!("-{}\"", state.parts.len());
        let is_as_long = answer.head.length() == Some(state.sent);
        Ok(is_as_long && answer.head.get("etag").is_some_and(|etag| etag.ends_with(&ending)))
    }

    /// Leaves what there is for the next run; false where there is nothing, or it is not this run's any more.
    fn keep(&self, state: &mut State) -> bool {
        let Some(claim) = &self.claim else { return false };
        let is_nothing = state.parts.is_empty() && self.there.is_empty();
        !(state.is_lost || is_nothing)
            && match claim.check().and_then(|()| self.tell(state)) {
                Ok(()) => true,
                // Where nobody can tell, nothing is given up that may still be of use.
                Err(error) => error.code().id != codes::LEASE_LOST.id,
            }
    }
}

/// Finds the upload to go on with, or begins one.
fn begin(
    bucket: &Arc<Bucket>,
    url: &Url,
    part: u64,
    claim: Option<&dyn Claim>,
    restart: bool,
    found: &mut Option<(Journal, Option<Told>)>,
) -> Result<Begun> {
    let is_taken = is_object(bucket, url)?;
    let mut there = HashMap::new();
    let mut left = None;
    if let Some((journal, told)) = found {
        if let Some(told) = told.take() {
            let upload = Upload::of(bucket, url, told.upload);
            let may_go_on = !is_taken && !restart && told.part == part;
            // A run that may still be at work would write into the same upload: giving that up keeps it out.
            if may_go_on
                && claim.is_some_and(|claim| !claim.is_fresh())
                && let Some(parts) = upload.parts()?
            {
                there = known(told.parts, &parts, part);
                left = Some(upload);
            } else {
                upload.abort()?;
            }
        }
        if left.is_none() {
            journal.remove()?;
        }
    }
    if is_taken {
        return Err(exists(url));
    }
    let upload = match left {
        Some(upload) => upload,
        None => Upload::begin(bucket, url)?,
    };
    if let Some((journal, _)) = found
        && let Err(error) = journal.write(&upload.id, part, &in_order(&there))
    {
        let _ = if there.is_empty() { upload.abort() } else { Ok(()) };
        return Err(error);
    }
    Ok(Begun { upload, there, journal: found.take().map(|(journal, _)| journal) })
}

/// The parts that both the journal and S3 tell of.
fn known(
    told: Vec<Part>,
    listed: &std::collections::BTreeMap<u64, (String, u64)>,
    len: u64,
) -> HashMap<u64, Part> {
    let plain = |etag: &str| etag.trim_matches('"').to_owned();
    let numbered = (1..).zip(told);
    let is_there = |(number, part): &(u64, Part)| {
        listed.get(number).is_some_and(|(etag, size)| plain(etag) == plain(&part.etag) && *size <= len)
    };
    numbered.filter(is_there).collect()
}

/// From the first on, as a journal has them.
fn in_order(there: &HashMap<u64, Part>) -> Vec<Part> {
    (1..).map_while(|number| there.get(&number).cloned()).collect()
}

fn is_object(bucket: &Bucket, url: &Url) -> Result<bool> {
    match bucket.service.send(&Request::new(Method::Head, url.clone())) {
        Ok(_) => Ok(true),
        // What may not be looked at: the condition at the end decides.
        Err(Failure::Refused(refusal)) if is_missing(&refusal) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

fn ended(thread: JoinHandle<Result<Part>>) -> Result<Part> {
    thread.join().unwrap_or_else(|_| Err(Error::contract("the upload of a part ended without saying how")))
}

fn exists(url: &Url) -> Error {
    Error::new(ErrorKind::Destination, format!("{url} is there already, and nothing is replaced"))
        .with_code(&codes::DESTINATION_EXISTS)
        .hint("choose another name, or delete the object first")
}

impl TargetStorage for S3Target {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.lock();
        let at = state.sent + state.buffer.len() as u64;
        let gap = offset.checked_sub(at).ok_or_else(|| {
            Error::contract(format!(
                "bytes are written at {offset:#x} of an upload that is at {at:#x} already"
            ))
        })?;
        self.add_zeros(&mut state, gap)?;
        self.add(&mut state, bytes)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut state = self.lock();
        let at = state.sent + state.buffer.len() as u64;
        if len < at {
            return Err(Error::contract(format!("an upload of {at:#x} bytes is to have only {len:#x}")));
        }
        state.len = len;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        // What is under way is waited for at the end; nothing of an upload is there before that.
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let mut state = self.lock();
        self.complete(&mut state)?;
        state.is_over = true;
        // The object is there: what cannot be removed beside it now is removed by the next run.
        let is_clean = state.journal.as_mut().is_none_or(|journal| journal.remove().is_ok());
        if let Some(claim) = &self.claim {
            claim.release(is_clean);
        }
        Ok(())
    }

    fn is_sequential(&self) -> bool {
        true
    }

    fn name(&self) -> Option<&str> {
        self.key.rsplit('/').next()
    }
}

impl Drop for S3Target {
    fn drop(&mut self) {
        let mut state = self.lock();
        if state.is_over {
            return;
        }
        // A part that arrives after the upload was given up would be kept, and paid for. What comes after one that failed is sent again.
        let mut is_whole = true;
        for thread in std::mem::take(&mut state.under_way) {
            match ended(thread) {
                Ok(part) if is_whole => state.parts.push(part),
                _ => is_whole = false,
            }
        }
        let is_kept = self.keep(&mut state);
        let is_clean = !is_kept && self.upload.abort().is_ok();
        if is_clean && let Some(journal) = &mut state.journal {
            let _ = journal.remove();
        }
        if let Some(claim) = &self.claim {
            claim.release(is_clean);
        }
    }
}

//! Implementations that break the contract, one line each: the checks must notice, and name the line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use conformance::{
    Content, Outcome, Recorder, check_abandoned, check_digests, check_flat, check_hostile, check_layer,
    check_lookups, check_over_parent, check_refused, check_sink, flatten,
};
use format_core::{
    CreateRequest, Disk, Error, Extent, ExtentKind, Format, Layer, LayerContext, Needs, Order, Packed,
    Result, Sink, Storage, TargetStorage, is_zero,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a fake layer does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Nothing,
    /// None: zeros are Zero instead of Unallocated.
    ZeroHides,
    EmptyExtent,
    WrongOffset,
    BeyondTheEnd,
    ExtentOutside,
    DataIsZero,
    KindChanges,
    Short,
    SharedCursor,
    ReadsOutside,
    PanicsOutside,
    Changing,
    SmallerThanItIs,
}

/// Bytes as 4 KiB chunks of Data or Zero, with one lie.
struct Fake {
    bytes: Vec<u8>,
    lie: Lie,
    cursor: AtomicU64,
}

const CHUNK: u64 = 4096;

impl Fake {
    fn new(bytes: &[u8], lie: Lie) -> Self {
        Self { bytes: bytes.to_vec(), lie, cursor: AtomicU64::new(0) }
    }
}

impl Layer for Fake {
    fn format(&self) -> &'static str {
        "fake"
    }

    fn virtual_size(&self) -> u64 {
        match self.lie {
            Lie::SmallerThanItIs => self.bytes.len() as u64 - 512,
            _ => self.bytes.len() as u64,
        }
    }

    fn chunk_size(&self) -> u64 {
        CHUNK
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let size = self.virtual_size();
        if offset >= size {
            return match self.lie {
                Lie::ExtentOutside => Ok(Extent { offset, len: 1, kind: ExtentKind::Zero }),
                _ => Err(Error::usage("outside")),
            };
        }
        let end = (offset / CHUNK + 1) * CHUNK;
        let end = end.min(size);
        let empty = is_zero(&self.bytes[(offset / CHUNK * CHUNK) as usize..end as usize]);
        let kind = match self.lie {
            Lie::DataIsZero => ExtentKind::Zero,
            Lie::KindChanges if !offset.is_multiple_of(CHUNK) => ExtentKind::Data,
            Lie::KindChanges | Lie::ZeroHides if empty => ExtentKind::Zero,
            _ if empty => ExtentKind::Unallocated,
            _ => ExtentKind::Data,
        };
        Ok(match self.lie {
            Lie::EmptyExtent if offset >= size / 2 => Extent { offset, len: 0, kind },
            Lie::WrongOffset if offset >= size / 2 => Extent { offset: offset - 1, len: end - offset, kind },
            Lie::BeyondTheEnd => Extent { offset, len: end - offset + CHUNK, kind },
            _ => Extent { offset, len: end - offset, kind },
        })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let size = self.virtual_size();
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= size);
        let Some(end) = end else {
            return match self.lie {
                Lie::ReadsOutside => Ok(()),
                Lie::PanicsOutside => panic!("index out of range"),
                _ => Err(Error::usage("outside")),
            };
        };
        let source = &self.bytes[offset as usize..end as usize];
        match self.lie {
            Lie::Short => {
                let half = source.len().div_ceil(2);
                buf[..half].copy_from_slice(&source[..half]);
            }
            Lie::SharedCursor => {
                self.cursor.store(offset, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(50));
                let at = self.cursor.load(Ordering::SeqCst) as usize;
                let len = source.len().min(self.bytes.len() - at);
                buf[..len].copy_from_slice(&self.bytes[at..at + len]);
            }
            Lie::Changing => {
                buf.copy_from_slice(source);
                let reads = self.cursor.fetch_add(1, Ordering::SeqCst);
                buf.iter_mut().for_each(|byte| *byte = byte.wrapping_add((reads / 2) as u8));
            }
            _ => buf.copy_from_slice(source),
        }
        Ok(())
    }
}

fn content() -> Vec<u8> {
    let mut bytes = Content::mixed(300 * 1024, 20_000, 41).bytes;
    bytes[64 * 1024..128 * 1024].fill(0);
    bytes[200 * 1024..240 * 1024].fill(0);
    bytes
}

#[track_caller]
fn breaks(line: u8, outcome: Outcome) {
    match outcome {
        Err(violation) => assert_eq!(violation.line, line, "{violation}"),
        Ok(()) => panic!("a breach of line {line} was not noticed"),
    }
}

#[test]
fn an_honest_layer_passes() {
    let layer: Arc<dyn Layer> = Arc::new(Fake::new(&content(), Lie::Nothing));
    check_layer(layer.as_ref(), &content()).unwrap();
    check_over_parent(&layer, &content(), &flatten).unwrap();
    check_digests(&Disk::new(vec![layer]).unwrap(), &content()).unwrap();
}

#[test]
fn line_1_extents_that_are_empty_misplaced_or_outside() {
    for lie in [Lie::EmptyExtent, Lie::WrongOffset, Lie::BeyondTheEnd, Lie::ExtentOutside, Lie::KindChanges] {
        let bytes = content()[..300 * 1024 - 100].to_vec();
        breaks(1, check_layer(&Fake::new(&bytes, lie), &bytes));
    }
}

#[test]
fn line_1_an_extent_that_reads_the_whole_table() {
    breaks(1, check_lookups(&Format { open_layer: Some(open_slow), ..Format::NONE }, content()));
}

#[test]
fn line_2_data_that_is_called_zero_or_a_wrong_size() {
    breaks(2, check_layer(&Fake::new(&content(), Lie::DataIsZero), &content()));
    breaks(2, check_layer(&Fake::new(&content(), Lie::SmallerThanItIs), &content()));
}

/// A chain in which Zero hides nothing.
fn see_through(child: Arc<dyn Layer>, _: Arc<dyn Layer>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; child.virtual_size() as usize];
    child.read_exact_at(0, &mut bytes)?;
    for (at, byte) in bytes.iter_mut().enumerate() {
        if child.extent_at(at as u64)?.kind != ExtentKind::Data {
            *byte = 0xff;
        }
    }
    Ok(bytes)
}

/// A chain that repeats a short parent to the end of the child.
fn wrapped_around(child: Arc<dyn Layer>, parent: Arc<dyn Layer>) -> Result<Vec<u8>> {
    let parent =
        Fake::new(&vec![0xff; parent.virtual_size().max(child.virtual_size()) as usize], Lie::Nothing);
    flatten(child, Arc::new(parent))
}

#[test]
fn line_2_zero_that_does_not_hide_the_parent() {
    let layer: Arc<dyn Layer> = Arc::new(Fake::new(&content(), Lie::ZeroHides));
    check_over_parent(&layer, &content(), &flatten).unwrap();
    breaks(2, check_over_parent(&layer, &content(), &see_through));
}

#[test]
fn line_4_a_short_parent_that_does_not_end_in_zeros() {
    let layer: Arc<dyn Layer> = Arc::new(Fake::new(&content(), Lie::Nothing));
    breaks(4, check_over_parent(&layer, &content(), &wrapped_around));
}

#[test]
fn line_3_reads_that_are_short_share_a_cursor_or_leave_the_disk() {
    for lie in [Lie::Short, Lie::SharedCursor, Lie::ReadsOutside] {
        breaks(3, check_layer(&Fake::new(&content(), lie), &content()));
    }
}

#[test]
fn line_5_extents_of_a_disk_that_are_not_flat() {
    use ExtentKind::{Data, Unallocated, Zero};
    let run = |list: &[(u64, u64, ExtentKind)]| {
        let list: Vec<_> = list.iter().map(|&(offset, len, kind)| Ok(Extent { offset, len, kind })).collect();
        check_flat(list.into_iter(), 100)
    };
    run(&[(0, 40, Data), (40, 60, Zero)]).unwrap();
    breaks(5, run(&[(0, 40, Data), (40, 60, Data)]));
    breaks(5, run(&[(0, 40, Data), (41, 59, Zero)]));
    breaks(5, run(&[(0, 40, Data), (30, 70, Zero)]));
    breaks(5, run(&[(0, 40, Data), (40, 60, Unallocated)]));
    breaks(5, run(&[(0, 40, Data)]));
    breaks(5, check_flat(std::iter::repeat_with(|| Ok(Extent { offset: 0, len: 0, kind: Data })), 100));
    breaks(5, check_flat([Err(Error::corrupt("table"))].into_iter(), 100));
}

#[test]
fn line_5_a_disk_refuses_layers_that_lie() {
    for lie in [Lie::EmptyExtent, Lie::WrongOffset, Lie::BeyondTheEnd] {
        check_refused(Arc::new(Fake::new(&content()[..300 * 1024 - 100], lie))).unwrap();
    }
    breaks(5, check_refused(Arc::new(Fake::new(&content(), Lie::Nothing))));
}

#[test]
fn line_6_a_caller_that_overlaps_disorders_or_forgets() {
    let disk = vec![7; 8192];
    let needs = Needs { order: Order::Ascending, chunk_size: 4096, packed: false };
    let give = |parts: &[(u64, usize)]| {
        let recorder = Recorder::new(disk.len(), needs);
        for &(offset, len) in parts {
            recorder.write_at(offset, Packed::Plain(&disk[..len])).unwrap();
        }
        recorder.check(&disk)
    };
    give(&[(0, 4096), (4096, 4096)]).unwrap();
    breaks(6, give(&[(0, 8192), (4096, 4096)]));
    breaks(6, give(&[(4096, 4096), (0, 4096)]));
    breaks(6, give(&[(0, 100), (4096, 4096)]));
    breaks(6, give(&[(0, 4096)]));
}

#[test]
fn line_7_and_6_sinks_that_leave_rubbish() {
    let contents = [Content::mixed(400_000 / 512 * 512, 30_000, 42)];
    check_sink(&fake(Fault::Nothing), &[], &contents).unwrap();
    breaks(7, check_sink(&fake(Fault::IgnoresZero), &[], &contents));
    breaks(6, check_sink(&fake(Fault::RubbishWhereUnmentioned), &[], &contents));
    breaks(6, check_sink(&fake(Fault::LosesTheTail), &[], &[Content::dense(5 * 4096 + 512)]));
}

#[test]
fn line_8_sinks_that_commit_too_early() {
    let abandoned = |fault| {
        let folder = tempfile::tempdir().unwrap();
        check_abandoned(&fake(fault), &[], folder.path())
    };
    abandoned(Fault::Nothing).unwrap();
    breaks(8, abandoned(Fault::CommitsOnDrop));
    breaks(8, abandoned(Fault::HidesFailure));
    breaks(8, check_sink(&fake(Fault::NeverCommits), &[], &[Content::dense(512)]));
}

#[test]
fn line_9_panics_and_hangs() {
    breaks(9, check_layer(&Fake::new(&content(), Lie::PanicsOutside), &content()));
    let panics = Format { open_layer: Some(open_indexing), ..Format::NONE };
    breaks(9, check_hostile(&panics, &[1; 8192]));
    let hangs = Format { open_layer: Some(open_sleeping), ..Format::NONE };
    breaks(9, check_hostile(&hangs, &[1; 8192]));
}

#[test]
fn line_10_content_that_depends_on_the_reader() {
    let disk = Disk::new(vec![Arc::new(Fake::new(&content(), Lie::Changing))]).unwrap();
    breaks(10, check_digests(&disk, &content()));
}

/// What a fake sink does wrong. Its image is the disk's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    IgnoresZero,
    RubbishWhereUnmentioned,
    LosesTheTail,
    CommitsOnDrop,
    HidesFailure,
    NeverCommits,
}

type Create = fn(Box<dyn TargetStorage>, &CreateRequest) -> Result<Box<dyn Sink>>;

fn fake(fault: Fault) -> Format {
    let create: Create = match fault {
        Fault::Nothing => |t, r| FakeSink::create(t, r, Fault::Nothing),
        Fault::IgnoresZero => |t, r| FakeSink::create(t, r, Fault::IgnoresZero),
        Fault::RubbishWhereUnmentioned => |t, r| FakeSink::create(t, r, Fault::RubbishWhereUnmentioned),
        Fault::LosesTheTail => |t, r| FakeSink::create(t, r, Fault::LosesTheTail),
        Fault::CommitsOnDrop => |t, r| FakeSink::create(t, r, Fault::CommitsOnDrop),
        Fault::HidesFailure => |t, r| FakeSink::create(t, r, Fault::HidesFailure),
        Fault::NeverCommits => |t, r| FakeSink::create(t, r, Fault::NeverCommits),
    };
    Format { name: "fake", create: Some(create), open_layer: Some(open_plain), ..Format::NONE }
}

struct FakeSink {
    target: Option<Box<dyn TargetStorage>>,
    size: u64,
    fault: Fault,
}

impl FakeSink {
    fn create(
        target: Box<dyn TargetStorage>,
        request: &CreateRequest,
        fault: Fault,
    ) -> Result<Box<dyn Sink>> {
        let size = request.virtual_size;
        target.set_len(size)?;
        if matches!(fault, Fault::IgnoresZero | Fault::RubbishWhereUnmentioned) {
            target.write_all_at(0, &vec![0xaa; size as usize])?;
        }
        Ok(Box::new(Self { target: Some(target), size, fault }))
    }

    fn target(&self) -> &dyn TargetStorage {
        self.target.as_deref().unwrap()
    }
}

impl Sink for FakeSink {
    fn needs(&self) -> Needs {
        Needs { order: Order::Any, chunk_size: CHUNK, packed: false }
    }

    fn write_at(&self, offset: u64, data: Packed<'_>) -> Result<()> {
        let Packed::Plain(bytes) = data else { return Err(Error::contract("encoded")) };
        let bytes = match self.fault {
            Fault::LosesTheTail => &bytes[..bytes.len() / CHUNK as usize * CHUNK as usize],
            _ => bytes,
        };
        match self.target().write_all_at(offset, bytes) {
            Err(_) if self.fault == Fault::HidesFailure => Ok(()),
            other => other,
        }
    }

    fn zero_at(&self, offset: u64, len: u64) -> Result<()> {
        assert!(offset + len <= self.size);
        match self.fault {
            Fault::IgnoresZero => Ok(()),
            _ => self.target().write_all_at(offset, &vec![0; len as usize]),
        }
    }

    fn flush(&self) -> Result<()> {
        if self.fault == Fault::HidesFailure { Ok(()) } else { self.target().sync() }
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        match (self.fault, self.target.take()) {
            (Fault::NeverCommits, _) | (_, None) => Ok(()),
            (Fault::HidesFailure, Some(target)) => {
                let _ = target.commit();
                Ok(())
            }
            (_, Some(target)) => target.commit(),
        }
    }
}

impl Drop for FakeSink {
    fn drop(&mut self) {
        if let (Fault::CommitsOnDrop, Some(target)) = (self.fault, self.target.take()) {
            let _ = target.commit();
        }
    }
}

fn all_of(storage: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; storage.size() as usize];
    storage.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn open_plain(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    Ok(Box::new(Fake::new(&all_of(storage.as_ref()), Lie::Nothing)))
}

/// Trusts that a header is there.
fn open_indexing(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let bytes = all_of(storage.as_ref());
    let table = usize::from(bytes[0]) * 1000;
    Ok(Box::new(Fake::new(&bytes[table..table + 100], Lie::Nothing)))
}

/// Works as long as a number in the file says.
fn open_sleeping(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let bytes = all_of(storage.as_ref());
    if bytes.contains(&0xff) {
        std::thread::sleep(conformance::TIME_LIMIT * 2);
    }
    Ok(Box::new(Fake::new(&bytes, Lie::Nothing)))
}

/// Asks the storage once per chunk before it answers.
struct Slow(Arc<dyn Storage>, Fake);

impl Layer for Slow {
    fn format(&self) -> &'static str {
        "slow"
    }
    fn virtual_size(&self) -> u64 {
        self.1.virtual_size()
    }
    fn chunk_size(&self) -> u64 {
        CHUNK
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        (0..self.0.size() / CHUNK).try_for_each(|i| self.0.read_exact_at(i * CHUNK, &mut [0; 8]))?;
        self.1.extent_at(offset)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.1.read_exact_at(offset, buf)
    }
}

fn open_slow(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let fake = Fake::new(&all_of(storage.as_ref()), Lie::Nothing);
    Ok(Box::new(Slow(storage, fake)))
}

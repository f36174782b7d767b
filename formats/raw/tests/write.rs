//! The writer: into files, pipes and places that hold old bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_core::{
    CreateRequest, ErrorKind, FileTarget, MemTarget, Order, Packed, PipeTarget, Result, Sink, TargetStorage,
};
use format_raw::FORMAT;
use proptest::prelude::*;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};

fn create(target: Box<dyn TargetStorage>, size: u64, options: &[(&str, &str)]) -> Result<Box<dyn Sink>> {
    let options = options.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    FORMAT.create.unwrap()(target, &CreateRequest { virtual_size: size, options, parent: None })
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A device of a fixed size that is full of 0xaa.
#[derive(Clone)]
struct Stale(Arc<Mutex<Vec<u8>>>);

impl TargetStorage for Stale {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.lock().unwrap()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn set_len(&self, _: u64) -> Result<()> {
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.write_all_at(offset, &vec![0; len as usize])
    }
    fn is_blank(&self) -> bool {
        false
    }
    fn commit(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// What is done with a run of chunks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Write,
    Zero,
    Skip,
}

fn deliver(sink: Box<dyn Sink>, steps: &[(Step, usize)]) {
    let mut at = 0;
    for &(step, len) in steps {
        match step {
            Step::Write => sink.write_at(at, Packed::Plain(&vec![7; len])).unwrap(),
            Step::Zero => sink.zero_at(at, len as u64).unwrap(),
            Step::Skip => {}
        }
        at += len as u64;
    }
    sink.finish().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_not_written_is_zero_everywhere(
        steps in prop::collection::vec(
            (prop_oneof![Just(Step::Write), Just(Step::Zero), Just(Step::Skip)], 1usize..9000), 0..12),
    ) {
        let disk: Vec<u8> = steps
            .iter()
            .flat_map(|&(step, len)| vec![if step == Step::Write { 7 } else { 0 }; len])
            .collect();
        let size = disk.len() as u64;
        let pipe = Shared::default();
        deliver(create(Box::new(PipeTarget::new(Box::new(pipe.clone()))), size, &[]).unwrap(), &steps);
        prop_assert_eq!(&*pipe.0.lock().unwrap(), &disk);
        let stale = Stale(Arc::new(Mutex::new(vec![0xaa; disk.len() + 5000])));
        deliver(create(Box::new(stale.clone()), size, &[]).unwrap(), &steps);
        let found = stale.0.lock().unwrap();
        prop_assert_eq!(&found[..disk.len()], &disk[..]);
        prop_assert!(found[disk.len()..].iter().all(|&byte| byte == 0xaa), "touched behind the disk");
        for options in [&[][..], &[("preallocation", "full")], &[("preallocation", "off")]] {
            let memory = MemTarget::default();
            deliver(create(Box::new(memory.clone()), size, options).unwrap(), &steps);
            prop_assert_eq!(&memory.committed_bytes().unwrap(), &disk);
        }
    }
}

#[test]
fn full_takes_all_the_room_and_off_none() {
    let folder = tempfile::tempdir().unwrap();
    let size = 3 << 20;
    for (value, least, most) in [("full", size, size + (1 << 20)), ("off", 0, 64 << 10)] {
        let path = folder.path().join(value);
        let target = Box::new(FileTarget::create(&path, false).unwrap());
        let sink = create(target, size, &[("preallocation", value)]).unwrap();
        sink.zero_at(0, 1 << 20).unwrap();
        sink.finish().unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), size);
        let taken = metadata.blocks() * 512;
        assert!((least..=most).contains(&taken), "{value} takes {taken:#x} bytes");
    }
    let error = create(Box::new(MemTarget::default()), 1, &[("preallocation", "falloc")]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn only_what_has_to_grow_at_its_end_wants_an_order() {
    let order =
        |target: Box<dyn TargetStorage>, options| create(target, 8192, options).unwrap().needs().order;
    assert_eq!(order(Box::<MemTarget>::default(), &[]), Order::Any);
    assert_eq!(order(Box::<MemTarget>::default(), &[("preallocation", "full")]), Order::Ascending);
    assert_eq!(order(Box::new(PipeTarget::new(Box::new(std::io::sink()))), &[]), Order::Ascending);
    let stale = Stale(Arc::new(Mutex::new(vec![0xaa; 8192])));
    assert_eq!(order(Box::new(stale), &[]), Order::Any);
    let full = create(Box::<MemTarget>::default(), 8192, &[("preallocation", "full")]).unwrap();
    full.zero_at(4096, 4096).unwrap();
    let error = full.write_at(0, Packed::Plain(&[1; 4096])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
}

#[test]
fn old_bytes_are_overwritten_in_any_order_and_once() {
    let stale = Stale(Arc::new(Mutex::new(vec![0xaa; 6 * 4096])));
    let sink = create(Box::new(stale.clone()), 5 * 4096, &[]).unwrap();
    sink.write_at(3 * 4096, Packed::Plain(&[3; 4096])).unwrap();
    sink.write_at(4096, Packed::Plain(&[1; 4096])).unwrap();
    for (offset, len) in [(4096, 4096), (0, 8192), (3 * 4096 + 1, 1)] {
        assert_eq!(sink.zero_at(offset, len).unwrap_err().kind(), ErrorKind::Contract, "{offset:#x}");
    }
    sink.finish().unwrap();
    let found = stale.0.lock().unwrap();
    let blocks: Vec<_> =
        found.chunks(4096).map(|block| (block[0], block.iter().all(|b| *b == block[0]))).collect();
    assert_eq!(blocks, [(0, true), (1, true), (0, true), (3, true), (0, true), (0xaa, true)]);
}

#[test]
fn nothing_is_written_behind_the_disk() {
    let memory = MemTarget::default();
    let sink = create(Box::new(memory), 5000, &[]).unwrap();
    for (offset, len) in [(4096, 905), (5000, 1), (u64::MAX, 1), (0, 5001)] {
        assert_eq!(sink.zero_at(offset, len).unwrap_err().kind(), ErrorKind::Contract);
        let bytes = vec![1; len as usize];
        assert_eq!(sink.write_at(offset, Packed::Plain(&bytes)).unwrap_err().kind(), ErrorKind::Contract);
    }
    let encoded = Packed::Encoded { bytes: Vec::new(), guest_len: 1 };
    assert_eq!(sink.write_at(0, encoded).unwrap_err().kind(), ErrorKind::Contract);
}

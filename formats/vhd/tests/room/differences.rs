//! Differencing images that are written: their bytes, and what a chain of them reads as. The reader is judged by chains
//! of Windows and of vhd-util in the collection of images.

use crate::maker::{HEADER, LOCATORS, NAME, PARENT, content, open_file, utf16_le};
use format_core::{
    CreateRequest, Disk, ErrorKind, Layer, MemTarget, Order, Packed, ParentImage, PipeTarget, Result, Sink,
    TargetStorage,
};
use format_vhd::FORMAT;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

const MIB: u64 = 1 << 20;
const CHUNK: usize = 4096;
const ID: &str = "83ed0ec3-24c8-49a6-a959-5e4bf1288bfb";

fn parent(virtual_size: u64) -> ParentImage {
    ParentImage {
        name: "base.vhd".into(),
        path: "/vm/base.vhd".into(),
        format: "vhd",
        virtual_size,
        identity: Some(ID.into()),
        chunk_size: 2 * MIB,
        // One day after the format's first.
        modified: Some(UNIX_EPOCH + Duration::from_secs(946_684_800 + 86_400)),
        details: serde_json::Map::new(),
    }
}

fn request(parent: ParentImage, options: &[(&str, &str)]) -> CreateRequest {
    let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    CreateRequest { virtual_size: parent.virtual_size, options, parent: Some(parent) }
}

fn create(target: MemTarget, request: &CreateRequest) -> Result<Box<dyn Sink>> {
    FORMAT.create.unwrap()(Box::new(target), request)
}

fn number(file: &[u8], at: usize) -> usize {
    u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize
}

#[test]
fn the_structures_are_as_specified() {
    let target = MemTarget::default();
    let size = 5 * MIB + 3 * 512;
    let sink = create(target.clone(), &request(parent(size), &[])).unwrap();
    assert_eq!(sink.needs().chunk_size, CHUNK as u64);
    sink.write_at(2 * MIB + CHUNK as u64, Packed::Plain(&[7; 2 * CHUNK])).unwrap();
    sink.zero_at(4 * MIB - CHUNK as u64, 2 * CHUNK as u64).unwrap();
    sink.write_at(5 * MIB, Packed::Plain(&[9; 3 * 512])).unwrap();
    sink.finish().unwrap();
    let file = target.committed_bytes().unwrap();
    let footer = &file[..512];
    assert!(file.ends_with(footer));
    assert_eq!((number(footer, 60), number(footer, 20)), (4, 512), "disk type and data offset");
    let header = &file[HEADER..HEADER + 1024];
    assert_eq!(header[PARENT..PARENT + 16], *uuid::Uuid::parse_str(ID).unwrap().as_bytes());
    assert_eq!(number(header, PARENT + 16), 86_400, "parent time stamp");
    let name: Vec<u8> = "base.vhd\0".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert!(header[NAME..].starts_with(&name));
    for (index, (code, path)) in [(b"W2ku", r"\vm\base.vhd"), (b"W2ru", r".\base.vhd")].iter().enumerate() {
        let entry = LOCATORS + index * 24;
        let (space, len, at) =
            (number(header, entry + 4), number(header, entry + 8), number(header, entry + 20));
        assert_eq!((&header[entry..entry + 4], space, at), (&code[..], 512, 0x800 + index * 512));
        assert_eq!(file[at..at + len], utf16_le(path));
    }
    assert!(header[LOCATORS + 48..].iter().all(|byte| *byte == 0), "no more locators");
    let entries: Vec<usize> = (0..3).map(|block| number(&file, 0x600 + block * 4)).collect();
    // Data on pages of 4 KiB, the bitmap in the sector before.
    let first = 7;
    assert_eq!(entries, [u32::MAX as usize, first, first + 4096 + 8]);
    let bitmap = |entry: usize| &file[entry * 512..entry * 512 + 512];
    let mut expected = [0; 512];
    (expected[1], expected[2], expected[511]) = (0xff, 0xff, 0xff);
    assert_eq!(bitmap(entries[1]), expected);
    expected = [0; 512];
    (expected[0], expected[256]) = (0xff, 0b1110_0000);
    assert_eq!(bitmap(entries[2]), expected, "the last chunk of the disk has three sectors");
    let layer = open_file(file).unwrap();
    let wanted = layer.parent().unwrap();
    assert_eq!((wanted.names.as_slice(), wanted.identity.as_deref()), (&["base.vhd".into()][..], Some(ID)));
}

#[test]
fn names_that_are_hard_to_say() {
    let names = |name: &str, path: &str| {
        let image = ParentImage { name: name.into(), path: path.into(), ..parent(MIB) };
        let target = MemTarget::default();
        create(target.clone(), &request(image, &[]))?.finish()?;
        Ok::<_, format_core::Error>(
            open_file(target.committed_bytes().unwrap()).unwrap().parent().unwrap().names.clone(),
        )
    };
    assert_eq!(names("../a b/bäse.vhd", "/x/a b/bäse.vhd").unwrap(), ["../a b/bäse.vhd", "bäse.vhd"]);
    let long = "x".repeat(256);
    assert_eq!(names(&long, &format!("/{long}")).unwrap(), [long]);
    for (name, path) in [("a\\b.vhd", "/a\\b.vhd"), ("a:b.vhd", "/a:b.vhd"), ("", "/"), ("a", "")] {
        assert_eq!(names(name, path).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let longest = "x".repeat(33_000);
    assert_eq!(names(&longest, &longest).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn requests_that_cannot_be_done_are_refused() {
    let refused = |image: ParentImage, size: u64, options: &[(&str, &str)], kind, what: &str| {
        let request = CreateRequest { virtual_size: size, ..request(image, options) };
        let error = create(MemTarget::default(), &request).err().unwrap();
        assert!(error.to_string().contains(what) && error.kind() == kind, "{error}");
    };
    use ErrorKind::{Unsupported, Usage};
    refused(ParentImage { format: "raw", ..parent(MIB) }, MIB, &[], Unsupported, "is a vhd image, not raw");
    refused(parent(MIB), 2 * MIB, &[], Unsupported, "the size of its parent, 0x100000 bytes, not 0x200000");
    refused(parent(MIB + 1), MIB + 1, &[], Unsupported, "the size of its parent, 0x100001 bytes");
    let nil = "00000000-0000-0000-0000-000000000000".to_owned();
    for identity in [None, Some(nil), Some("?".into())] {
        refused(ParentImage { identity, ..parent(MIB) }, MIB, &[], Unsupported, "has no unique id");
    }
    refused(parent(32 * MIB), 32 * MIB, &[("subformat", "fixed")], Usage, "cannot be a difference");
    refused(parent(32 * MIB), 32 * MIB, &[("azure", "on")], Usage, "cannot be a difference");
    let sink = create(MemTarget::default(), &request(parent(MIB), &[])).unwrap();
    for error in
        [sink.write_at(512, Packed::Plain(&[0; CHUNK])).unwrap_err(), sink.zero_at(0, 512).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Contract);
    }
}

#[test]
fn a_pipe_takes_fixed_images_alone() {
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let written = Written::default();
    let pipe = || Box::new(PipeTarget::new(Box::new(written.clone())));
    let plain = |subformat: &str| CreateRequest {
        virtual_size: MIB,
        options: [("subformat".into(), subformat.into())].into(),
        parent: None,
    };
    for request in [plain("dynamic"), request(parent(MIB), &[])] {
        let error = FORMAT.create.unwrap()(pipe(), &request).err().unwrap();
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("a pipe"), "{error}");
    }
    let sink = FORMAT.create.unwrap()(pipe(), &plain("fixed")).unwrap();
    assert_eq!(sink.needs().order, Order::Ascending);
    sink.zero_at(0, MIB / 4).unwrap();
    sink.write_at(MIB / 4, Packed::Plain(&[5; 1 << 16])).unwrap();
    sink.finish().unwrap();
    let found = content(open_file(written.0.lock().unwrap().clone()).unwrap());
    let five = MIB as usize / 4..(MIB as usize / 4) + (1 << 16);
    assert!(found.iter().enumerate().all(|(at, byte)| (*byte == 5) == five.contains(&at)));
    assert_eq!(found.len() as u64, MIB);
}

#[test]
fn a_failing_target_leaves_no_image() {
    for writes in 0..30 {
        let target = MemTarget::failing_after(writes);
        let sink = create(target.clone(), &request(parent(8 * MIB), &[])).unwrap();
        let written = sink
            .write_at(0, Packed::Plain(&[1; CHUNK]))
            .and_then(|()| sink.zero_at(3 * MIB, 2 * MIB))
            .and_then(|()| sink.finish());
        assert_eq!(written.is_ok(), target.committed_bytes().is_some(), "{writes}");
        if written.is_ok() {
            assert!(writes > 10, "every step is counted: {writes}");
            return;
        }
    }
    panic!("it never succeeds");
}

/// A target that held other bytes before, as a device does.
#[derive(Clone)]
struct Used(Arc<Mutex<Vec<u8>>>);

impl Used {
    fn put(&self, offset: u64, len: usize, bytes: impl FnOnce(&mut [u8])) {
        let mut file = self.0.lock().unwrap();
        bytes(&mut file[offset as usize..offset as usize + len]);
    }
}

impl TargetStorage for Used {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.put(offset, bytes.len(), |place| place.copy_from_slice(bytes));
        Ok(())
    }
    fn zero_range(&self, offset: u64, len: u64) -> Result<()> {
        self.put(offset, len as usize, |place| place.fill(0));
        Ok(())
    }
    fn set_len(&self, _: u64) -> Result<()> {
        Ok(())
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn commit(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn what_the_target_held_before_is_not_read() {
    let whole = |subformat: &str| CreateRequest {
        virtual_size: 8 * MIB,
        options: [("subformat".into(), subformat.into())].into(),
        parent: None,
    };
    for request in [whole("dynamic"), whole("fixed"), request(parent(8 * MIB), &[])] {
        let differs = request.parent.is_some();
        // A fixed disk is found by its footer at the end.
        let is_fixed = request.options.values().any(|value| value == "fixed");
        let size = if is_fixed { (8 << 20) + 512 } else { 24 << 20 };
        let target = Used(Arc::new(Mutex::new(vec![0xee; size])));
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        sink.write_at(3 * MIB, Packed::Plain(&[7; 1 << 16])).unwrap();
        sink.zero_at(5 * MIB, 1 << 16).unwrap();
        sink.finish().unwrap();
        let layer = {
            let file = target.0.lock().unwrap().clone();
            open_file(file).unwrap()
        };
        let mut found = vec![1; 8 << 20];
        layer.read_exact_at(0, &mut found).unwrap();
        let seven = 3 << 20..(3 << 20) + (1 << 16);
        assert!(found.iter().enumerate().all(|(at, byte)| *byte == if seven.contains(&at) { 7 } else { 0 }));
        if differs {
            let kinds = [0, 3, 4, 5, 6].map(|mib| layer.extent_at(mib * MIB).unwrap().kind);
            use format_core::ExtentKind::{Data, Unallocated};
            assert_eq!(kinds, [Unallocated, Data, Unallocated, Data, Unallocated]);
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Nothing,
    Zero,
    Data(u8),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Runs of chunks in any order; a run may cross blocks.
    #[test]
    fn a_written_difference_is_what_differs(
        runs in prop::collection::vec(
            (1..700usize, prop_oneof![
                Just(Operation::Nothing),
                Just(Operation::Zero),
                any::<u8>().prop_map(Operation::Data),
            ], any::<u32>()),
            1..12,
        ),
        cut in 0..8usize,
    ) {
        let size = runs.iter().map(|(len, ..)| len).sum::<usize>() * CHUNK - cut * 512;
        let mut expected: Vec<u8> = (0..size).map(|at| (at / 512 % 100) as u8 + 1).collect();
        let target = MemTarget::default();
        let whole = CreateRequest { virtual_size: size as u64, ..CreateRequest::default() };
        let sink = create(target.clone(), &whole).unwrap();
        sink.write_at(0, Packed::Plain(&expected)).unwrap();
        sink.finish().unwrap();
        let base: Arc<dyn Layer> = open_file(target.committed_bytes().unwrap()).unwrap().into();
        let identity = base.identity().map(str::to_owned);

        let target = MemTarget::default();
        let image = ParentImage { identity: identity.clone(), ..parent(size as u64) };
        let sink = create(target.clone(), &request(image, &[])).unwrap();
        let mut at = 0;
        let mut turns: Vec<_> = runs.iter().map(|(len, operation, turn)| {
            let start = at;
            at += len * CHUNK;
            (*turn, start, at.min(size), operation)
        }).collect();
        turns.sort_by_key(|(turn, ..)| *turn);
        for (_, from, to, operation) in &turns {
            match operation {
                Operation::Nothing => {}
                Operation::Zero => {
                    expected[*from..*to].fill(0);
                    sink.zero_at(*from as u64, (to - from) as u64).unwrap();
                }
                Operation::Data(value) => {
                    expected[*from..*to].fill(*value);
                    sink.write_at(*from as u64, Packed::Plain(&expected[*from..*to])).unwrap();
                }
            }
        }
        sink.finish().unwrap();
        let top: Arc<dyn Layer> = open_file(target.committed_bytes().unwrap()).unwrap().into();
        prop_assert!(top.warnings().is_empty());
        prop_assert_eq!(top.parent().unwrap().identity.clone(), identity);
        for (_, from, to, operation) in &turns {
            let extent = top.extent_at(*from as u64).unwrap();
            let is_parents = extent.kind == format_core::ExtentKind::Unallocated;
            prop_assert_eq!(is_parents, matches!(operation, Operation::Nothing), "{:#x}-{:#x}", from, to);
        }
        let mut found = vec![0xee; size];
        Disk::new(vec![top, base]).unwrap().read_exact_at(0, &mut found).unwrap();
        prop_assert!(found == expected);
    }
}

#[test]
fn an_image_that_replaces_another_has_its_identity() {
    for subformat in ["fixed", "dynamic"] {
        let target = MemTarget::default();
        let mut whole = request(parent(MIB), &[("identity", ID), ("subformat", subformat)]);
        whole.parent = None;
        create(target.clone(), &whole).unwrap().finish().unwrap();
        let file = target.committed_bytes().unwrap();
        let footer = &file[file.len() - 512..];
        assert_eq!(footer[68..84], *uuid::Uuid::parse_str(ID).unwrap().as_bytes(), "{subformat}");
        for wrong in ["", "x", "00000000-0000-0000-0000-000000000000"] {
            whole.options.insert("identity".into(), wrong.into());
            let error = create(MemTarget::default(), &whole).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage, "{wrong}");
        }
    }
}

//! Differencing images that are written: their bytes, and what a chain of them reads as. The reader is judged by chains
//! of Windows in the collection of images.

use crate::maker::{BAT, METADATA, item_entry_at, open};
use format_core::{
    CreateRequest, Disk, ErrorKind, ExtentKind, FileStorage, FileTarget, Layer, MemStorage, MemTarget,
    Packed, ParentImage, PipeTarget, Result, Sink, TargetStorage,
};
use format_vhdx::FORMAT;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const MIB: u64 = 1 << 20;
const LINKAGE: &str = "83ed0ec3-24c8-49a6-a959-5e4bf1288bfb";

fn parent(virtual_size: u64) -> ParentImage {
    ParentImage {
        name: "base.vhdx".into(),
        path: "/vm/base.vhdx".into(),
        format: "vhdx",
        virtual_size,
        identity: Some(LINKAGE.into()),
        chunk_size: MIB,
        modified: None,
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

fn layer(target: &MemTarget) -> Arc<dyn Layer> {
    open(Arc::new(MemStorage(target.committed_bytes().unwrap()))).unwrap().into()
}

fn number(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap())
}

fn short(file: &[u8], at: usize) -> usize {
    u16::from_le_bytes(file[at..at + 2].try_into().unwrap()).into()
}

#[test]
fn the_structures_are_as_specified() {
    let target = MemTarget::default();
    let size = 9 * MIB + 3 * 512;
    let mut image = parent(size);
    image.details.insert("virtual-disk-id".into(), "00112233-4455-6677-8899-aabbccddeeff".into());
    let sink = create(target.clone(), &request(image, &[])).unwrap();
    assert_eq!(sink.needs().chunk_size, 4096);
    sink.write_at(2 * MIB + 4096, Packed::Plain(&[7; 2 * 4096])).unwrap();
    sink.zero_at(4 * MIB, 3 * MIB).unwrap();
    sink.write_at(8 * MIB, Packed::Plain(&vec![8; MIB as usize])).unwrap();
    sink.write_at(9 * MIB, Packed::Plain(&[9; 3 * 512])).unwrap();
    sink.finish().unwrap();
    let file = target.committed_bytes().unwrap();
    let entries: Vec<u64> = (0..5).map(|block| number(&file, BAT + block * 8)).collect();
    let bitmap = 4 * MIB as usize;
    // Absent, some of it, zeros, some of it, all of it up to the end of the disk.
    assert_eq!(entries, [0, 5 * MIB + 7, 2, 7 * MIB + 7, 9 * MIB + 6]);
    assert_eq!(number(&file, BAT + 2048 * 8), bitmap as u64 | 6, "behind the blocks of the chunk");
    assert!((5..2048).all(|block| number(&file, BAT + block * 8) == 0));
    let (mut expected, per_block) = (vec![0; MIB as usize], 512);
    expected[per_block + 1..per_block + 3].fill(0xff);
    expected[3 * per_block..3 * per_block + 256].fill(0xff);
    expected[4 * per_block..4 * per_block + 256].fill(0xff);
    expected[4 * per_block + 256] = 0b111;
    assert!(file[bitmap..bitmap + MIB as usize] == expected);
    assert_eq!(file.len() as u64, 11 * MIB);

    let item = |index: usize| METADATA + number(&file, item_entry_at(index) + 16) as usize % (1 << 32);
    assert_eq!(number(&file, item(0)), (2 << 32) + 2 * MIB, "has a parent, blocks of 2 MiB");
    let disk = uuid::uuid!("00112233-4455-6677-8899-aabbccddeeff");
    assert_eq!(file[item(2)..item(2) + 16], disk.to_bytes_le(), "the same disk to its guest");
    assert_eq!(file[item_entry_at(5) + 24..item_entry_at(5) + 28], [4, 0, 0, 0], "required");
    let locator = item(5);
    assert_eq!(short(&file, locator + 18), 2);
    let text = |at: usize, length: usize| {
        let units = file[locator + at..locator + at + length].chunks(2);
        String::from_utf16(&units.map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect::<Vec<_>>())
            .unwrap()
    };
    let pairs: Vec<(String, String)> = [locator + 20, locator + 32]
        .into_iter()
        .map(|entry| {
            let (key, value) = (number(&file, entry) as u32, number(&file, entry) >> 32);
            (text(key as usize, short(&file, entry + 8)), text(value as usize, short(&file, entry + 10)))
        })
        .collect();
    let braced = format!("{{{LINKAGE}}}");
    let wanted = [("parent_linkage", braced.as_str()), ("relative_path", r".\base.vhdx")];
    assert!(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(wanted));
    let details = layer(&target).details();
    assert_eq!(
        (&details["subformat"], &details["parent-linkage"]),
        (&"differencing".into(), &LINKAGE.into())
    );
}

#[test]
fn names_go_around() {
    let name = |name: &str| {
        let target = MemTarget::default();
        create(target.clone(), &request(ParentImage { name: name.into(), ..parent(MIB) }, &[]))?.finish()?;
        Ok::<_, format_core::Error>(layer(&target).parent().unwrap().names[0].clone())
    };
    for good in ["../a b/bäse.vhdx", "sub/base.vhdx", "..x"] {
        assert_eq!(name(good).unwrap(), good);
    }
    for bad in ["a\\b", "a:b", "", &"x".repeat(33_000)] {
        assert_eq!(name(bad).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

#[test]
fn requests_that_cannot_be_done_are_refused() {
    let refused = |request: &CreateRequest, kind, what: &str| {
        let error = create(MemTarget::default(), request).err().unwrap();
        assert!(error.to_string().contains(what) && error.kind() == kind, "{error}");
    };
    use ErrorKind::{Unsupported, Usage};
    let of = |image: ParentImage| request(image, &[]);
    refused(&of(ParentImage { format: "vhd", ..parent(MIB) }), Unsupported, "is a vhdx image, not vhd");
    let grown = CreateRequest { virtual_size: 2 * MIB, ..of(parent(MIB)) };
    refused(&grown, Unsupported, "0x100000 bytes, not 0x200000");
    for identity in [None, Some("00000000-0000-0000-0000-000000000000".to_owned())] {
        refused(&of(ParentImage { identity, ..parent(MIB) }), Unsupported, "has no DataWriteGuid");
    }
    let mut large = parent(MIB);
    large.details.insert("logical-sector-size".into(), 4096.into());
    let other = request(large.clone(), &[("logical_sector_size", "512")]);
    refused(&other, Unsupported, "of its parent, 4096 bytes, not 512");
    refused(&request(parent(MIB), &[("subformat", "fixed")]), Usage, "cannot be a difference");
    assert_eq!((FORMAT.size_step)(&of(large.clone())), 4096);
    let sink = create(MemTarget::default(), &of(large)).unwrap();
    assert_eq!(sink.needs().chunk_size, 32768);
    sink.zero_at(0, MIB).unwrap();
    for error in [
        sink.write_at(4096, Packed::Plain(&[0; 32768])).unwrap_err(),
        sink.zero_at(0, 4096).unwrap_err(),
        sink.write_at(0, Packed::Plain(&[0; 32768])).unwrap_err(),
        sink.zero_at(0, MIB).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Contract);
    }
    let pipe = Box::new(PipeTarget::new(Box::new(std::io::sink())));
    let error = FORMAT.create.unwrap()(pipe, &of(parent(MIB))).err().unwrap();
    assert!(error.kind() == Unsupported && error.to_string().contains("a pipe"), "{error}");
}

#[test]
fn a_failing_target_leaves_no_image() {
    for writes in 0..30 {
        let target = MemTarget::failing_after(writes);
        let sink = create(target.clone(), &request(parent(8 * MIB), &[])).unwrap();
        let written = sink
            .write_at(0, Packed::Plain(&[1; 4096]))
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

/// Writes at both sides of the border between two chunks, each with its bitmap block.
#[test]
fn every_block_size_and_sector_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.vhdx");
    for sector in [512, 4096] {
        for block in (0..9).map(|shift| MIB << shift) {
            let chunk = (1 << 23) * sector;
            let mut image = parent(chunk + 2 * block);
            image.details.insert("logical-sector-size".into(), sector.into());
            let size = (block.to_string(), sector.to_string());
            let target = Box::new(FileTarget::create(&path, true).unwrap());
            let sink = FORMAT.create.unwrap()(target, &request(image, &[("block_size", &size.0)])).unwrap();
            let bytes: Vec<u8> = (0..16 * sector).map(|at| (at / 512 % 255) as u8 + 1).collect();
            let start = chunk - 8 * sector;
            sink.write_at(start, Packed::Plain(&bytes)).unwrap();
            sink.zero_at(chunk + block, block).unwrap();
            sink.finish().unwrap();
            let layer = open(Arc::new(FileStorage::open(&path).unwrap())).unwrap();
            let mut found = vec![0; bytes.len()];
            layer.read_exact_at(start, &mut found).unwrap();
            assert!(found == bytes, "{size:?}");
            let kind = |at: u64| layer.extent_at(at).map(|extent| (extent.kind, extent.len)).unwrap();
            assert_eq!(kind(start), (ExtentKind::Data, 8 * sector));
            assert_eq!(kind(chunk), (ExtentKind::Data, 8 * sector));
            assert_eq!(kind(start - 512), (ExtentKind::Unallocated, 512));
            assert_eq!(kind(chunk + 8 * sector).0, ExtentKind::Unallocated);
            assert_eq!(kind(chunk + block), (ExtentKind::Zero, block));
        }
    }
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
        let target = Used(Arc::new(Mutex::new(vec![0xee; 24 << 20])));
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        sink.write_at(3 * MIB, Packed::Plain(&[7; 1 << 16])).unwrap();
        sink.zero_at(5 * MIB, 1 << 16).unwrap();
        sink.finish().unwrap();
        let layer = open(Arc::new(MemStorage(target.0.lock().unwrap().clone()))).unwrap();
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
        large in any::<bool>(),
    ) {
        let sector = if large { 4096 } else { 512 };
        let chunk = 8 * sector;
        let runs: Vec<_> =
            runs.into_iter().map(|(len, operation, turn)| (if large { len.div_ceil(8) } else { len }, operation, turn)).collect();
        let size = runs.iter().map(|(len, ..)| len).sum::<usize>() * chunk - cut * sector;
        let mut expected: Vec<u8> = (0..size).map(|at| (at / 512 % 100) as u8 + 1).collect();
        let target = MemTarget::default();
        let options = [("logical_sector_size".into(), sector.to_string())].into();
        let sink = create(target.clone(), &CreateRequest { virtual_size: size as u64, options, parent: None }).unwrap();
        sink.write_at(0, Packed::Plain(&expected)).unwrap();
        sink.finish().unwrap();
        let base = layer(&target);
        let identity = base.identity().map(str::to_owned);

        let target = MemTarget::default();
        let image = ParentImage { identity: identity.clone(), details: base.details(), ..parent(size as u64) };
        let sink = create(target.clone(), &request(image, &[])).unwrap();
        let mut at = 0;
        let mut turns: Vec<_> = runs.iter().map(|(len, operation, turn)| {
            let start = at;
            at += len * chunk;
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
        let top = layer(&target);
        prop_assert!(top.warnings().is_empty());
        prop_assert_eq!(top.parent().unwrap().identity.clone(), identity);
        for (_, from, to, operation) in &turns {
            let is_parents = top.extent_at(*from as u64).unwrap().kind == ExtentKind::Unallocated;
            prop_assert_eq!(is_parents, matches!(operation, Operation::Nothing), "{:#x}-{:#x}", from, to);
        }
        let mut found = vec![0xee; size];
        Disk::new(vec![top, base]).unwrap().read_exact_at(0, &mut found).unwrap();
        prop_assert!(found == expected);
    }
}

#[test]
fn an_image_that_replaces_another_has_its_identity() {
    let disk = "a1b7c0d2-5b63-4bfe-9e6d-1f6b2e0f9a10";
    let target = MemTarget::default();
    let mut whole = request(parent(MIB), &[("identity", LINKAGE), ("disk_id", disk)]);
    whole.parent = None;
    create(target.clone(), &whole).unwrap().finish().unwrap();
    let found = layer(&target);
    assert_eq!(found.identity(), Some(LINKAGE));
    assert_eq!(found.details()["virtual-disk-id"], disk);
    for wrong in ["", "x", "00000000-0000-0000-0000-000000000000"] {
        for key in ["identity", "disk_id"] {
            whole.options = [(key.to_owned(), wrong.to_owned())].into();
            let error = create(MemTarget::default(), &whole).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage, "{key}={wrong}");
        }
    }
}

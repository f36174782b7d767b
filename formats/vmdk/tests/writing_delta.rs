//! Children that are written on a parent, judged by qemu-img and read as a chain; and disks of any shape.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod builder;
mod writer;

use builder::{noise, read};
use format_core::{Error, ErrorKind, FileTarget, MemTarget, ParentImage};
use proptest::prelude::*;
use std::path::Path;
use writer::{GRAIN, create, create_child, give, judge, open, qemu_img};

/// What a chunk of the child is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Chunk {
    Parent,
    Zeros,
    Data(u64),
}

fn parent_image(name: &str, bytes: &[u8]) -> ParentImage {
    let layer = builder::open(bytes).unwrap();
    ParentImage {
        name: name.into(),
        path: Path::new("/nowhere").join(name),
        format: "vmdk",
        virtual_size: layer.virtual_size(),
        identity: layer.identity().map(str::to_owned),
        chunk_size: layer.chunk_size(),
        modified: None,
        details: layer.details(),
    }
}

/// Writes a child as the engine does and says what its disk is.
fn write_child(
    path: &Path,
    base: &[u8],
    parent: ParentImage,
    options: &[(&str, &str)],
    chunks: &[Chunk],
) -> Vec<u8> {
    let target = FileTarget::create(&path.join("child.vmdk"), true).unwrap();
    let sink = create_child(Box::new(target), base.len() as u64, options, Some(parent)).unwrap();
    let mut top = base.to_vec();
    for (number, part) in top.chunks_mut(GRAIN).enumerate() {
        let offset = (number * GRAIN) as u64;
        match chunks.get(number).unwrap_or(&Chunk::Parent) {
            Chunk::Parent => {}
            Chunk::Zeros => {
                part.fill(0);
                sink.zero_at(offset, part.len() as u64).unwrap();
            }
            Chunk::Data(seed) => {
                part.copy_from_slice(&noise(*seed, part.len()));
                give(sink.as_ref(), offset, part).unwrap();
            }
        }
    }
    sink.flush().unwrap();
    sink.finish().unwrap();
    top
}

/// qemu-img and the reader agree on the chain below `child.vmdk`.
fn judge_chain(path: &Path, top: &[u8], create_type: &str) {
    std::fs::write(path.join("top.raw"), top).unwrap();
    judge(path, "child.vmdk", "top.raw", create_type);
    qemu_img(path, &["convert", "-f", "vmdk", "-O", "raw", "child.vmdk", "back.raw"]);
    assert!(std::fs::read(path.join("back.raw")).unwrap() == top);
    assert_eq!(open(&path.join("child.vmdk")).unwrap().chain.len(), 2);
}

fn base_disk(len: usize) -> Vec<u8> {
    let mut raw = noise(7, len);
    // A hole, and zeros that are in no grain of their own.
    raw[len / 2..][..(3 * GRAIN).min(len / 3)].fill(0);
    raw
}

#[test]
fn a_child_shows_its_parent_but_for_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let len = 12 * GRAIN + 5 * 512;
    let base = base_disk(len);
    std::fs::write(path.join("base.raw"), &base).unwrap();
    let chunks = [
        Chunk::Data(1),
        Chunk::Zeros,
        Chunk::Parent,
        Chunk::Zeros,
        Chunk::Zeros,
        Chunk::Data(2),
        Chunk::Data(3),
        Chunk::Data(4),
    ];
    for parent_type in ["monolithicSparse", "streamOptimized"] {
        let option = format!("subformat={parent_type}");
        qemu_img(path, &["convert", "-f", "raw", "-O", "vmdk", "-o", &option, "base.raw", "bäse.vmdk"]);
        let parent = parent_image("bäse.vmdk", &std::fs::read(path.join("bäse.vmdk")).unwrap());
        for create_type in ["monolithicSparse", "twoGbMaxExtentSparse"] {
            let mut chunks = chunks.to_vec();
            for last in [Chunk::Parent, Chunk::Zeros, Chunk::Data(5)] {
                chunks.resize(12, Chunk::Parent);
                chunks.push(last);
                let options = [("subformat", create_type)];
                let top = write_child(path, &base, parent.clone(), &options, &chunks);
                judge_chain(path, &top, create_type);
                chunks.truncate(8);
            }
            let info = qemu_img(path, &["info", "-f", "vmdk", "child.vmdk"]);
            assert!(info.contains("backing file: bäse.vmdk"), "{info}");
        }
    }
}

#[test]
fn a_parent_that_was_changed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let base = base_disk(4 * GRAIN);
    let write = |seed: u64| {
        let target = FileTarget::create(&path.join("base.vmdk"), true).unwrap();
        let sink = create(Box::new(target), base.len() as u64, &[]).unwrap();
        sink.write_at(0, format_core::Packed::Plain(&noise(seed, GRAIN))).unwrap();
        sink.finish().unwrap();
        std::fs::read(path.join("base.vmdk")).unwrap()
    };
    let bytes = write(1);
    let top =
        write_child(path, &read(&bytes).unwrap(), parent_image("base.vmdk", &bytes), &[], &[Chunk::Zeros]);
    judge_chain(path, &top, "monolithicSparse");
    write(2);
    let image = open(&path.join("child.vmdk"));
    assert_eq!(image.err().unwrap().kind(), ErrorKind::Corrupt);
}

#[test]
fn parents_that_cannot_be_are_refused() {
    let target = MemTarget::default();
    create(Box::new(target.clone()), 4 << 20, &[]).unwrap().finish().unwrap();
    let good = parent_image("base.vmdk", &target.committed_bytes().unwrap());
    let refusal = |parent: ParentImage, options: &[(&str, &str)]| -> Option<Error> {
        create_child(Box::new(MemTarget::default()), 4 << 20, options, Some(parent)).err()
    };
    assert!(refusal(good.clone(), &[]).is_none());
    for subformat in ["monolithicFlat", "twoGbMaxExtentFlat", "streamOptimized", "vmfs"] {
        let error = refusal(good.clone(), &[("subformat", subformat)]).unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{subformat}: {error}");
    }
    assert_eq!(refusal(good.clone(), &[("zeroed_grain", "off")]).unwrap().kind(), ErrorKind::Usage);
    let cid = |cid: Option<&str>| ParentImage { identity: cid.map(str::to_owned), ..good.clone() };
    for wrong in [
        ParentImage { format: "qcow2", ..good.clone() },
        ParentImage { virtual_size: (4 << 20) + 512, ..good.clone() },
        ParentImage { name: "a\"\nparentCID=1".into(), ..good.clone() },
        cid(None),
        cid(Some("ffffffff")),
        cid(Some("nonsense")),
    ] {
        let error = refusal(wrong.clone(), &[]).unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{wrong:?}: {error}");
    }
    // A reader would look for another file.
    for name in [" base.vmdk", "base.vmdk ", "a:b.vmdk", r"a\b.vmdk", r"C:\a.vmdk", "/vmfs/volumes/a.vmdk"] {
        let error = refusal(ParentImage { name: name.into(), ..good.clone() }, &[]).unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
    }
    let long = ParentImage { name: "x".repeat(11_000), ..good };
    assert_eq!(refusal(long, &[]).unwrap().kind(), ErrorKind::Unsupported);
}

/// The disk of a sparse extent by its own tables, walked without the reader's code.
fn walk(extent: &[u8]) -> Vec<u8> {
    let number = |at: usize, len: usize| {
        extent[at..at + len].iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
    };
    let (capacity, grain, redundant, directory) =
        (number(12, 8) * 512, number(20, 8) * 512, number(48, 8) * 512, number(56, 8) * 512);
    let mut disk = Vec::new();
    for index in 0..capacity.div_ceil(grain) {
        let entry =
            |directory: usize| number(number(directory + index / 512 * 4, 4) * 512 + index % 512 * 4, 4);
        assert_eq!(entry(directory), entry(redundant), "the directories differ");
        match entry(directory) * 512 {
            0 | 512 => disk.resize(disk.len() + grain, 0),
            at => disk.extend(&extent[at..at + grain]),
        }
    }
    disk.truncate(capacity);
    disk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any disk in any order, in every subformat that keeps plain bytes.
    #[test]
    fn any_disk_in_any_order(
        sectors in 1usize..1400,
        seeds in prop::collection::vec(0u64..4, 11),
        order in Just((0..11usize).collect::<Vec<_>>()).prop_shuffle(),
        subformat in prop::sample::select(vec!["monolithicSparse", "twoGbMaxExtentSparse", "monolithicFlat", "twoGbMaxExtentFlat", "vmfs"]),
    ) {
        let mut raw = vec![0; sectors * 512];
        let target = MemTarget::default();
        let sink = create(Box::new(target.clone()), raw.len() as u64, &[("subformat", subformat)]).unwrap();
        for number in order.into_iter().filter(|number| number * GRAIN < sectors * 512) {
            let end = raw.len().min((number + 1) * GRAIN);
            let part = &mut raw[number * GRAIN..end];
            match seeds[number] {
                0 => continue,
                1 => {}
                seed => part.copy_from_slice(&noise(seed, part.len())),
            }
            give(sink.as_ref(), (number * GRAIN) as u64, part).unwrap();
        }
        sink.finish().unwrap();
        let others: Vec<_> = target.committed_siblings().into_values().collect();
        let found = match subformat {
            "monolithicSparse" => walk(&target.committed_bytes().unwrap()),
            "twoGbMaxExtentSparse" => walk(&others[0]),
            _ => others[0].clone(),
        };
        prop_assert!(found == raw);
    }

    /// Any child of any size, by qemu-img.
    #[test]
    fn any_child(
        sectors in 1usize..700,
        picks in prop::collection::vec(0u64..5, 6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let base = base_disk(sectors * 512);
        std::fs::write(path.join("base.raw"), &base).unwrap();
        qemu_img(path, &["convert", "-f", "raw", "-O", "vmdk", "base.raw", "base.vmdk"]);
        let parent = parent_image("base.vmdk", &std::fs::read(path.join("base.vmdk")).unwrap());
        let chunks: Vec<_> = picks.iter().map(|&pick| match pick {
            0 | 1 => Chunk::Parent,
            2 => Chunk::Zeros,
            seed => Chunk::Data(seed),
        }).collect();
        let top = write_child(path, &base, parent, &[], &chunks);
        judge_chain(path, &top, "monolithicSparse");
    }
}

#[test]
fn an_image_that_replaces_another_has_its_identity() {
    let write = |options: &[(&str, &str)]| {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let request = format_core::CreateRequest { virtual_size: 1 << 20, options, parent: None };
        let target = format_core::MemTarget::default();
        let sink = format_vmdk::FORMAT.create.unwrap()(Box::new(target.clone()), &request)?;
        sink.finish().map(|()| target.committed_bytes().unwrap())
    };
    let text = String::from_utf8_lossy(&write(&[("identity", "0BadCafe")]).unwrap()).into_owned();
    assert!(text.contains("\nCID=0badcafe\n"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("ddb.longContentID") && line.ends_with("0badcafe\"")));
    for wrong in ["", "badcafe", "0badcafe0", "+badcafe", "ffffffff"] {
        assert_eq!(
            write(&[("identity", wrong)]).unwrap_err().kind(),
            format_core::ErrorKind::Usage,
            "{wrong}"
        );
    }
    let stream = [("identity", "0badcafe"), ("subformat", "streamOptimized")];
    assert_eq!(write(&stream).unwrap_err().kind(), format_core::ErrorKind::Usage);
}

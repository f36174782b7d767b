//! A thin volume that grows while it is edited, judged by thin_check and e2fsck. Needs root, qemu and a kernel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use driver_core::{GuestFs, Mapping, MappingArgument, MappingLine, Ownership};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use support::{host, image, mounted, run, serve, start, text};

/// Blocks of the pool, of the volume, and their size.
const POOL: u64 = 1600;
const VOLUME: u64 = 1024;
const BLOCK: usize = 64 << 10;
const SECTORS: u64 = BLOCK as u64 / 512;

/// Puts the blocks of `plain` that are not zero into a pool, last one first.
fn make_pool(plain: &Path, metadata: &Path, data: &Path) {
    let content = fs::read(plain).unwrap();
    let data = File::options().write(true).open(data).unwrap();
    let used: Vec<_> =
        content.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0)).collect();
    let mut xml = format!(
        "<superblock uuid=\"\" time=\"0\" transaction=\"1\" data_block_size=\"{SECTORS}\" nr_data_blocks=\"{POOL}\">\n\
         <device dev_id=\"1\" mapped_blocks=\"{}\" transaction=\"0\" creation_time=\"0\" snap_time=\"0\">\n",
        used.len()
    );
    for (place, (number, block)) in used.iter().enumerate() {
        let at = (used.len() - 1 - place) as u64;
        data.write_all_at(block, at * BLOCK as u64).unwrap();
        writeln!(xml, "<single_mapping origin_block=\"{number}\" data_block=\"{at}\" time=\"0\"/>").unwrap();
    }
    xml += "</device>\n</superblock>\n";
    let file = metadata.with_extension("xml");
    fs::write(&file, xml).unwrap();
    run("thin_restore", &["-i", text(&file), "-o", text(metadata)]);
}

/// The volume's bytes by the pool's metadata, and how many blocks it has.
fn read_volume(metadata: &Path, data: &Path) -> (Vec<u8>, usize) {
    let dump = run("thin_dump", &["-f", "human_readable", text(metadata)]);
    let data = File::open(data).unwrap();
    let (mut content, mut count) = (vec![0; VOLUME as usize * BLOCK], 0);
    // `[10..12] -> [4..6], time = 0` and `[10] -> [4]`, with `(` or `[` and `)`.
    for line in dump.lines().filter(|line| line.contains("->")) {
        let numbers: Vec<u64> =
            line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
        let (from, at, length) = match numbers[..] {
            [from, to, at, ..] if line.contains("..") => (from, at, to - from + 1),
            [from, at, ..] => (from, at, 1),
            _ => panic!("{line}"),
        };
        for block in 0..length {
            let place = (from + block) as usize * BLOCK;
            data.read_exact_at(&mut content[place..place + BLOCK], (at + block) * BLOCK as u64).unwrap();
            count += 1;
        }
    }
    (content, count)
}

fn line(sectors: u64, target: &str, arguments: Vec<MappingArgument>) -> Vec<MappingLine> {
    vec![MappingLine { start: 0, sectors, target: target.into(), arguments }]
}

#[test]
fn a_thin_volume_gets_blocks_of_its_pool() {
    let folder = tempfile::tempdir().unwrap();
    let plain = image(folder.path(), "plain", (VOLUME * BLOCK as u64) >> 20);
    run("mkfs.ext4", &["-q", text(&plain)]);
    let metadata = image(folder.path(), "metadata", 4);
    let data = image(folder.path(), "data", (POOL * BLOCK as u64) >> 20);
    make_pool(&plain, &metadata, &data);
    let before = read_volume(&metadata, &data);
    assert!(before.0 == fs::read(&plain).unwrap());

    let served = serve(folder.path(), "s", &[&metadata, &data]);
    let vm = start(&host(), &served);
    let members = [vm.part(0, 0, 4 << 20).unwrap(), vm.part(1, 0, POOL * BLOCK as u64).unwrap()];
    let word = |text: &str| MappingArgument::Text(text.into());
    let arguments =
        vec![MappingArgument::Member(0), MappingArgument::Member(1), word(&SECTORS.to_string()), word("0")];
    let pool = Mapping {
        name: "vg-pool-tpool".into(),
        uuid: String::new(),
        lines: line(POOL * SECTORS, "thin-pool", arguments),
        read_only: false,
    };
    let volume = Mapping {
        name: "vg-root".into(),
        uuid: format!("LVM-{}", "b".repeat(64)),
        lines: line(VOLUME * SECTORS, "thin", vec![MappingArgument::Mapped(Arc::new(pool)), word("1")]),
        read_only: false,
    };
    let device = vm.map(&volume, &members).unwrap();
    let mut fs = vm.mount(&device, "ext4", "").unwrap();
    let file: Vec<u8> = (0..4_000_000_u32).map(|n| ((n * 11) >> 3) as u8 | 1).collect();
    fs.create_file("/new", &file, Ownership::ROOT_FILE).unwrap();
    vm.stop().unwrap();
    drop(served);

    run("thin_check", &[text(&metadata)]);
    let (content, count) = read_volume(&metadata, &data);
    assert!(count > before.1 + 50, "{count} blocks, {} before", before.1);
    std::fs::write(&plain, content).unwrap();
    run("e2fsck", &["-fn", text(&plain)]);
    mounted(&plain, "ro", |root| assert!(std::fs::read(root.join("new")).unwrap() == file));
}

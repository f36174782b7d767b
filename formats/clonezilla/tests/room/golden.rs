//! Everything is put where it was.

use crate::builder::{Folder, mbr, open, sample, sample_with_gpt};
use format_clonezilla::FORMAT;
use format_core::{Score, SourceFolder};

#[test]
fn everything_is_put_in_its_place() {
    let disks = sample().disks().unwrap();
    let disk = &disks[0];
    assert_eq!((disks.len(), disk.len()), (1, 8192 * 512));
    let is = |from: usize, to: usize, byte: u8| disk[from..to].iter().all(|found| *found == byte);
    assert!(is(0, 446, 0x33) && disk[510..512] == [0x55, 0xaa]);
    assert!(is(512, 512_000, 0x44), "what lies between the first sector and the first partition");
    assert!(is(512_000, 812_000, 0x11) && is(812_000, 1_024_000, 0x12), "pieces");
    assert!(is(2048 * 512, 2048 * 512 + 700_000, 0x22) && is(2048 * 512 + 700_000, 4096 * 512, 0));
    let swap = &disk[4096 * 512..4096 * 512 + 4096];
    assert_eq!(&swap[4086..], b"SWAPSPACE2");
    assert_eq!(
        (&swap[1024..1032], &swap[1036..1038], &swap[1052..1055]),
        (&[1, 0, 0, 0, 127, 0, 0, 0][..], &[0x11, 0x11][..], &b"sw\0"[..])
    );
    assert!(is(5120 * 512, 8192 * 512, 0));
}

#[test]
fn a_folder_is_recognised_by_its_lists() {
    let probe = |folder: &Folder| (FORMAT.probe_folder)(&SourceFolder::open(folder.write().path()).unwrap());
    assert_eq!(probe(&sample()), Score::Magic);
    assert_eq!(probe(&sample().without("clonezilla-img")), Score::No);
    assert_eq!(probe(&sample().without("disk").without("parts")), Score::No);
}

#[test]
fn several_disks_and_lone_partitions_are_told() {
    let folder = sample().with("disk", "sdb sda\n").with("sdb.dd-img.aa", vec![7; 1024]);
    let disks = folder.disks().unwrap();
    assert_eq!(
        (disks[0].len(), disks[1].len()),
        (1024, 8192 * 512),
        "only its content tells how large sdb was"
    );
    let folder = sample().with("parts", "sda1\n").without("disk").without("sda2.ext4-ptcl-img.uncomp");
    let directory = folder.write();
    let container = open(directory.path()).unwrap();
    assert!(container.warnings().iter().any(|warning| warning.code == "clonezilla-parts-only"));
    let opened = container.open_disk(0).unwrap();
    assert_eq!(opened.warnings[0].code, "clonezilla-not-saved");
    assert!(container.completeness().unwrap().is_empty());
    let details = opened.disk.layers()[0].details();
    assert_eq!(details["partitions"][0]["start"], 512_000);
    assert_eq!(details["partition-table"], "mbr");
}

#[test]
fn bytes_are_never_taken_for_an_image() {
    // A guest can write into its partition what it likes.
    let trick = [&b"partclone-image\0"[..], &[9; 1000]].concat();
    let folder = sample().without("sda1.dd-img.ab").with("sda1.dd-img.aa", &trick);
    assert!(folder.disks().unwrap()[0][512_000..].starts_with(&trick));
}

#[test]
fn large_sectors_are_counted_right() {
    let folder = sample()
        .with("sda-mbr", mbr(&[(0x83, 200, 200), (0x83, 400, 300)]))
        .with("sda-pt.sf", "label: dos\nsector-size: 4096\n\n/dev/sda1 : start= 200, size= 200, type=83\n/dev/sda2 : start= 400, size= 300, type=83\n")
        .with("sda-pt.parted", "Disk /dev/sda: 1024s\nSector size (logical/physical): 4096B/4096B\nPartition Table: msdos\n");
    let disk = &folder.disks().unwrap()[0];
    assert_eq!((disk.len(), disk[200 * 4096], disk[400 * 4096]), (4 << 20, 0x11, 0x22));
}

#[test]
fn both_gpts_are_put_in_their_places() {
    let folder = sample_with_gpt();
    let disk = &folder.disks().unwrap()[0];
    assert_eq!(disk.len(), 8192 * 512);
    assert!(disk[..34 * 512] == folder.0["sda-gpt-1st"] && disk[8159 * 512..] == folder.0["sda-gpt-2nd"]);
    // Where sectors are large, the entries of the second are not all in the folder.
    let cut = folder.0["sda-gpt-2nd"][512 * 5..].to_vec();
    assert!(folder.with("sda-gpt-2nd", cut).disks().unwrap()[0] == *disk);
}

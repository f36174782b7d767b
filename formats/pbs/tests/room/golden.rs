//! Good snapshots of every kind.

use crate::builder::*;
use format_core::{ErrorKind, ExtentKind, OpenOptions, check_image, open_image};

const ALL: [Wrap; 4] = [Wrap::Plain, Wrap::Packed, Wrap::Sealed, Wrap::SealedPacked];

#[test]
fn every_wrapping_gives_the_same_disk() {
    // The last chunk is short.
    let wanted = sample(10 * CHUNK + 777, 1);
    for how in ALL {
        let store = Store::simple(how, &wanted);
        let container = open_keyed(&store, &store.simple_path()).unwrap();
        assert_eq!(container.disks()[0].name, "drive-scsi0");
        assert_eq!(container.disks()[0].virtual_size, Some(wanted.len() as u64));
        let disk = disk(&container, 0).unwrap();
        assert!(content(&disk).unwrap() == wanted, "{how:?}");
        for (at, len) in [(0, 1), (CHUNK - 3, 7), (CHUNK / 2, 3 * CHUNK), (wanted.len() - 5, 5)] {
            let mut part = vec![0; len];
            disk.read_exact_at(at as u64, &mut part).unwrap();
            assert!(part == wanted[at..at + len], "{how:?} {at}+{len}");
        }
        let report = container.check(&|_| Ok(())).unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.total_chunks, report.allocated_chunks), (11, 10));
        assert_eq!(container.completeness().unwrap(), []);
        let files = container.machine_files().unwrap();
        assert_eq!(files[0].name, "qemu-server.conf");
        assert!(files[0].bytes.starts_with(b"name: test"));
        let warned: Vec<_> = container.warnings().iter().map(|warning| warning.code).collect();
        assert!(warned.is_empty(), "{warned:?}");
        assert_eq!(container.details()["notes"], "a note");
    }
}

#[test]
fn chunks_of_zeros_are_known_by_their_digests_and_need_no_file() {
    for (how, zeros) in [(Wrap::Packed, 4 * CHUNK), (Wrap::SealedPacked, 4 * CHUNK)] {
        let mut wanted = vec![0; zeros + 2 * CHUNK + 100];
        wanted[zeros..zeros + 2 * CHUNK].copy_from_slice(&sample(2 * CHUNK, 3));
        let store = Store::simple(how, &wanted);
        let container = open_keyed(&store, &store.simple_path()).unwrap();
        let disk = disk(&container, 0).unwrap();
        let extents: Vec<_> = disk.extents(0, u64::MAX).map(Result::unwrap).collect();
        let kinds: Vec<_> = extents.iter().map(|extent| (extent.len as usize, extent.kind)).collect();
        let (zero, data) = (ExtentKind::Zero, ExtentKind::Data);
        assert_eq!(kinds, [(zeros, zero), (2 * CHUNK, data), (100, zero)]);
        let data: Vec<_> = wanted.chunks(CHUNK).filter(|chunk| chunk.iter().any(|byte| *byte != 0)).collect();
        std::fs::remove_dir_all(store.root().join(".chunks")).unwrap();
        std::fs::create_dir(store.root().join(".chunks")).unwrap();
        for chunk in data {
            store.put_chunk(chunk, how);
        }
        assert!(content(&disk).unwrap() == wanted);
        assert_eq!(container.completeness().unwrap(), []);
    }
}

#[test]
fn the_same_content_has_the_same_id_in_two_snapshots() {
    let store = Store::new();
    let first = sample(6 * CHUNK + 9, 5);
    let mut second = first.clone();
    second[2 * CHUNK + 1] ^= 1;
    for (time, content) in [("2026-11-22T02:00:00Z", &first), ("2026-11-23T02:00:00Z", &second)] {
        let mut snapshot = store.snapshot(&format!("vm/100/{time}"));
        snapshot.disk("drive-scsi0.img.fidx", content, &[Wrap::Packed, Wrap::Plain]);
        snapshot.write();
    }
    let disks = ["2026-11-22", "2026-11-23"].map(|day| {
        let access = format_core::Access { at: Some(day.into()), ..Default::default() };
        disk(&open_with(&store.root().join("vm/100"), access).unwrap(), 0).unwrap()
    });
    assert!(content(&disks[0]).unwrap() == first && content(&disks[1]).unwrap() == second);
    let ids = |number: usize| {
        disks.each_ref().map(|disk| {
            let layer = &disk.layers()[0];
            layer.content_id_at((number * CHUNK + 3) as u64).unwrap()
        })
    };
    for number in 0..7 {
        let [one, other] = ids(number);
        assert_eq!(one == other, number != 2, "chunk {number}");
        assert_eq!(one.inside, 3);
        assert_eq!(one.len, if number == 6 { 6 } else { CHUNK as u64 - 3 });
    }
}

#[test]
fn several_disks_come_with_the_boot_disk_first() {
    let store = Store::new();
    let mut snapshot = store.snapshot(&format!("vm/100/{TIME}"));
    for (number, name) in ["efidisk0", "scsi0", "scsi1", "virtio0"].iter().enumerate() {
        let content = sample(2 * CHUNK + number, number as u64 + 10);
        snapshot.disk(&format!("drive-{name}.img.fidx"), &content, &[Wrap::Packed]);
    }
    snapshot.blob("qemu-server.conf.blob", b"boot: order=virtio0;scsi1\n", Wrap::Plain);
    snapshot.write();
    let container = open(&store.simple_path()).unwrap();
    let names: Vec<_> = container.disks().iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["drive-virtio0", "drive-scsi1", "drive-scsi0", "drive-efidisk0"]);
    assert!(read(&container).unwrap() == sample(2 * CHUNK + 3, 13));
    let image = open_image(&store.simple_path(), &OpenOptions::new(FORMATS, None)).err().unwrap();
    assert_eq!(image.kind(), ErrorKind::Usage);
}

#[test]
fn a_named_index_is_its_disk() {
    let wanted = sample(5 * CHUNK, 8);
    let store = Store::simple(Wrap::Packed, &wanted);
    let path = store.simple_path().join("drive-scsi0.img.fidx");
    let opened = open_image(&path, &OpenOptions::new(FORMATS, None)).unwrap();
    assert!(content(&opened.disk).unwrap() == wanted);
    let checked = check_image(&path, &OpenOptions::new(FORMATS, None), &|_| Ok(())).unwrap();
    assert!(checked[0].report.is_clean());
    // Away from its datastore it has no data.
    let lone = tempfile::tempdir().unwrap();
    std::fs::copy(&path, lone.path().join("a.fidx")).unwrap();
    let opened = open_image(&lone.path().join("a.fidx"), &OpenOptions::new(FORMATS, None)).unwrap();
    let error = content(&opened.disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceMissing, "{error}");
}

#[test]
fn many_threads_read_at_once() {
    let wanted = sample(64 * CHUNK + 1, 21);
    let store = Store::simple(Wrap::SealedPacked, &wanted);
    let disk = disk(&open_keyed(&store, &store.simple_path()).unwrap(), 0).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (disk, wanted) = (&disk, &wanted);
            scope.spawn(move || {
                for step in 0..200 {
                    let at = (step * 7919 + thread * 1000) % (wanted.len() - 2000);
                    let mut part = vec![0; 2000];
                    disk.read_exact_at(at as u64, &mut part).unwrap();
                    assert!(part == wanted[at..at + 2000]);
                }
            });
        }
    });
}

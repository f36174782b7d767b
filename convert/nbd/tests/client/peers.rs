//! Reading from servers of other projects.

use crate::kit::{at, limits, nbdkit, noise, qemu_nbd, run, striped, write_sparse};
use convert_nbd::{CommandConnector, NbdDisk};
use format_core::{Error, ErrorKind, ExtentKind, Storage};
use std::path::Path;
use std::sync::Arc;

/// Reads all of it as a copy does: zeros are not read.
fn copied(disk: &NbdDisk) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; disk.size() as usize];
    let mut at = 0;
    while at < disk.size() {
        let extent = disk.data_at(at)?;
        assert!(extent.offset == at && extent.len > 0 && extent.end() <= disk.size());
        if extent.kind == ExtentKind::Data {
            disk.read_exact_at(at, &mut bytes[at as usize..extent.end() as usize])?;
        }
        at = extent.end();
    }
    Ok(bytes)
}

/// Ranges at random, from several threads.
fn check_ranges(disk: &NbdDisk, wanted: &[u8]) {
    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            scope.spawn(move || {
                let places = noise(8 * 200, worker + 1);
                for place in places.chunks_exact(8) {
                    let place = u64::from_le_bytes(place.try_into().unwrap());
                    let start = (place >> 20) as usize % wanted.len();
                    let len = (place as usize & 0x3_ffff).min(wanted.len() - start);
                    let mut buf = vec![0xaa; len];
                    disk.read_exact_at(start as u64, &mut buf).unwrap();
                    assert!(buf == wanted[start..start + len], "{start:#x} {len:#x}");
                }
            });
        }
    });
    assert_eq!(
        disk.read_exact_at(wanted.len() as u64 - 1, &mut [0; 2]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert!(disk.data_at(wanted.len() as u64).is_err());
}

fn in_folder(len: usize) -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = striped(len);
    write_sparse(&folder.path().join("disk.raw"), &bytes);
    (folder, bytes)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn qemu_nbd_is_read_over_several_connections() {
    let (folder, bytes) = in_folder(20 << 20);
    let (file, socket) = (text(&folder.path().join("disk.raw")), folder.path().join("s"));
    let _server = qemu_nbd(&socket, &["-r", "-f", "raw", "-x", "a b", &file]);
    let disk = NbdDisk::connect(&at(&socket, "a%20b"), &limits()).unwrap();
    assert!(disk.is_read_only() && disk.knows_zeros());
    assert!(copied(&disk).unwrap() == bytes);
    check_ranges(&disk, &bytes);
    assert_eq!(disk.data_at(0).unwrap().kind, ExtentKind::Zero);

    let error = NbdDisk::connect(&at(&socket, "other"), &limits()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert!(error.to_string().contains("a b"), "{error}");
    let listed = NbdDisk::list(&at(&socket, ""), &limits()).unwrap();
    assert_eq!(
        listed.iter().map(|export| (export.name.as_str(), export.size)).collect::<Vec<_>>(),
        [("a b", Some(20 << 20))]
    );
    let gone = NbdDisk::connect(&at(&folder.path().join("none"), ""), &limits()).err().unwrap();
    assert_eq!(gone.kind(), ErrorKind::SourceMissing);
}

#[test]
fn a_dirty_bitmap_tells_what_was_written_since() {
    let folder = tempfile::tempdir().unwrap();
    let (image, socket) = (text(&folder.path().join("disk.qcow2")), folder.path().join("s"));
    run("qemu-img", &["create", "-q", "-f", "qcow2", &image, "64M"]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 1 0 1M", &image]);
    run("qemu-img", &["bitmap", "--add", "-g", "64k", &image, "since"]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 2 3M 100k", "-c", "write -P 2 50M 64k", &image]);
    // Bitmaps that are exported must not change: both programs want that.
    let _server = qemu_nbd(&socket, &["-r", "-f", "qcow2", "-B", "since", &image]);
    let disk = NbdDisk::connect(&at(&socket, ""), &limits()).unwrap();
    let ranges: Vec<_> = disk.bitmap("since").unwrap().iter().collect();
    assert_eq!(ranges, [(3 << 20, 128 << 10), (50 << 20, 64 << 10)]);
    let map = run(
        "nbdinfo",
        &["--map=qemu:dirty-bitmap:since", &format!("nbd+unix:///?socket={}", socket.display())],
    );
    let theirs: Vec<(u64, u64)> = map
        .lines()
        .map(|line| line.split_whitespace().map(|word| word.parse().unwrap_or(0)).collect::<Vec<u64>>())
        .filter(|words| words[2] == 1)
        .map(|words| (words[0], words[1]))
        .collect();
    assert_eq!(ranges, theirs);
    let error = disk.bitmap("other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert!(error.to_string().contains("qemu:dirty-bitmap:since"), "{error}");
}

#[test]
fn nbdkit_is_read_whatever_its_filters_do() {
    let (folder, bytes) = in_folder(6 << 20);
    let file = text(&folder.path().join("disk.raw"));
    for (number, filters) in [
        &["--filter=noextents"][..],
        &[
            "--filter=blocksize-policy",
            "blocksize-minimum=4096",
            "blocksize-preferred=4096",
            "blocksize-maximum=64k",
            "blocksize-error-policy=error",
        ],
        &["--filter=rate", "rate=400M"],
        &["--filter=delay", "delay-read=5ms"],
        &["--filter=nozero", "--no-sr"],
        &["--filter=multi-conn", "multi-conn-mode=disable"],
    ]
    .into_iter()
    .enumerate()
    {
        let socket = folder.path().join(number.to_string());
        let after: Vec<&str> = filters.iter().copied().filter(|word| !word.starts_with('-')).collect();
        let before: Vec<&str> = filters.iter().copied().filter(|word| word.starts_with('-')).collect();
        let arguments = [&before[..], &["-r", "file", &file], &after[..]].concat();
        let _server = nbdkit(&socket, &arguments);
        let disk = NbdDisk::connect(&at(&socket, ""), &limits()).unwrap();
        assert!(copied(&disk).unwrap() == bytes, "{filters:?}");
        check_ranges(&disk, &bytes);
        let sector = if number == 1 { Some(4096) } else { None };
        assert_eq!(disk.sector_size(), sector, "{filters:?}");
    }
}

#[test]
fn bad_sectors_are_errors_of_the_disk() {
    let (folder, bytes) = in_folder(2 << 20);
    let (file, map) = (text(&folder.path().join("disk.raw")), folder.path().join("map"));
    std::fs::write(&map, "# Mapfile\n0 ? 1\n0x0 0x100000 +\n0x100000 0x400 -\n0x100400 0xffc00 +\n").unwrap();
    let socket = folder.path().join("s");
    let map = format!("ddrescue-mapfile={}", map.display());
    let _server = nbdkit(&socket, &["--filter=ddrescue", "-r", "file", &file, &map]);
    let disk = NbdDisk::connect(&at(&socket, ""), &limits()).unwrap();
    let error = disk.read_exact_at(0x100200, &mut [0; 512]).unwrap_err();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Io, "RH-DEVICE-FAILING"), "{error}");
    let mut buf = vec![0; 0x1000];
    disk.read_exact_at(0x100400, &mut buf).unwrap();
    assert!(buf == bytes[0x100400..0x101400]);
}

#[test]
fn a_program_is_spoken_with_on_its_standard_input_and_output() {
    let (folder, bytes) = in_folder(5 << 20);
    let file = text(&folder.path().join("disk.raw"));
    let words = ["nbdkit", "-s", "-r", "file", &file].iter().map(Into::into).collect();
    let disk = NbdDisk::over(Arc::new(CommandConnector::new(words)), "", &limits()).unwrap();
    assert!(copied(&disk).unwrap() == bytes);
    check_ranges(&disk, &bytes);
    let none = Arc::new(CommandConnector::new(vec!["/nowhere/program".into()]));
    assert_eq!(NbdDisk::over(none, "", &limits()).err().unwrap().kind(), ErrorKind::SourceMissing);
    let silent = Arc::new(CommandConnector::new(vec!["true".into()]));
    assert_eq!(NbdDisk::over(silent, "", &limits()).err().unwrap().kind(), ErrorKind::Temporary);
}

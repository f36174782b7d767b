//! Snapshots, external data files, bitmaps and what `info` tells, judged by QEMU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod disks;

use disks::{image_of, mixed, read_all, run};
use format_core::{
    Access, Error, ErrorKind, Format, Layer, LayerContext, OpenOptions, OpenedImage, open_image,
};
use format_core::{FileStorage, FolderGate, Key};
use format_qcow2::FORMAT;
use std::path::Path;
use std::sync::Arc;

static FORMATS: &[&Format] = &[&FORMAT];

fn open(path: &Path, snapshot: Option<&str>) -> Result<OpenedImage, Error> {
    let access = Access { snapshot: snapshot.map(str::to_owned), ..Access::default() };
    open_image(path, &OpenOptions { access, ..OpenOptions::new(FORMATS, Some(&FORMAT)) })
}

fn layer(path: &Path, key: Option<&str>) -> Box<dyn Layer> {
    let folder = path.parent().unwrap().to_owned();
    let mut context = LayerContext::new(Arc::new(FolderGate::new(folder, Arc::new([]))));
    context.access.key = key.map(|key| Key::new(key.into()));
    FORMAT.open_layer.unwrap()(Arc::new(FileStorage::open(path).unwrap()), &context).unwrap()
}

fn assert_same(found: &[u8], wanted: &[u8], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}: size");
    assert_eq!(found.iter().zip(wanted).position(|(a, b)| a != b), None, "{what}: first differing byte");
}

fn codes(image: &OpenedImage) -> Vec<&str> {
    image.warnings.iter().map(|warning| warning.code).collect()
}

/// An image with two snapshots, between which it was written to and made larger.
fn with_snapshots(path: &Path, options: &str) {
    run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "-o", options, "a.qcow2", "2M"]);
    let write = |command: &str| run(path, "qemu-io", &["-f", "qcow2", "-c", command, "a.qcow2"]);
    write("write -P 1 0 1M");
    run(path, "qemu-img", &["snapshot", "-c", "before", "a.qcow2"]);
    write("write -P 2 512k 256k");
    write("write -z 0 64k");
    run(path, "qemu-img", &["resize", "-q", "a.qcow2", "3M"]);
    write("write -P 3 2500k 100k");
    run(path, "qemu-img", &["snapshot", "-c", "1", "a.qcow2"]);
    write("write -P 4 0 3M");
}

#[test]
fn each_snapshot_is_the_disk_that_qemu_shows() {
    for options in ["cluster_size=64k", "cluster_size=512", "extended_l2=on,cluster_size=16k"] {
        let folder = tempfile::tempdir().unwrap();
        let (path, image) = (folder.path(), folder.path().join("a.qcow2"));
        with_snapshots(path, options);
        // The second has the id of the first as its name: the id goes first.
        for (snapshot, size) in [
            ("before", 2 << 20),
            ("1", 2 << 20),
            ("2", 3 << 20),
            ("snapshot.name=1", 3 << 20),
            ("snapshot.id=1", 2 << 20),
        ] {
            run(
                path,
                "qemu-img",
                &["convert", "-f", "qcow2", "-l", snapshot, "-O", "raw", "a.qcow2", "out.raw"],
            );
            let opened = open(&image, Some(snapshot)).unwrap();
            assert_eq!(codes(&opened), ["qcow2-snapshots"]);
            assert_eq!(opened.disk.virtual_size(), size);
            let wanted = std::fs::read(path.join("out.raw")).unwrap();
            // qemu-img gives a snapshot the size of the current disk.
            assert_same(&read_all(&opened.disk).unwrap(), &wanted[..size as usize], snapshot);
        }
        let error = open(&image, Some("after")).map(|_| ()).unwrap_err();
        assert_eq!(
            (error.kind(), error.hint_text()),
            (ErrorKind::Usage, Some(r#"the image has "before", "1""#))
        );
    }
}

#[test]
fn snapshots_are_listed_as_in_qemu() {
    let folder = tempfile::tempdir().unwrap();
    with_snapshots(folder.path(), "compat=1.1");
    let theirs = run(folder.path(), "qemu-img", &["info", "--output=json", "a.qcow2"]);
    let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
    let ours = layer(&folder.path().join("a.qcow2"), None).details();
    assert_eq!(ours["snapshots"], theirs["snapshots"]);
}

/// Our details of an image against those of `qemu-img info`.
fn assert_details(path: &Path, key: Option<&str>) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let theirs = run(path.parent().unwrap(), "qemu-img", &["info", "--output=json", name]);
    let theirs: serde_json::Value = serde_json::from_str(&theirs).unwrap();
    let mut theirs = theirs["format-specific"]["data"].as_object().unwrap().clone();
    if theirs["compat"] == "0.10" {
        theirs.retain(|key, _| {
            ["compat", "compression-type", "refcount-bits", "encrypt"].contains(&key.as_str())
        });
    }
    assert_eq!(layer(path, key).details(), theirs);
}

#[test]
fn details_are_those_of_qemu() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for options in [
        "compat=0.10",
        "compat=1.1,lazy_refcounts=on,refcount_bits=1",
        "extended_l2=on,compression_type=zstd,refcount_bits=64",
        "data_file=data.bin",
        "data_file=data.bin,data_file_raw=on",
    ] {
        let _ = std::fs::remove_file(path.join("data.bin"));
        let create = ["create", "-q", "-f", "qcow2", "-o", options, "a.qcow2", "1M"];
        run(path, "qemu-img", &create);
        // QEMU looks for a data file in the current directory.
        assert_details(&path.join("a.qcow2"), None);
    }
    run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "a.qcow2", "1M"]);
    run(path, "qemu-img", &["bitmap", "--add", "a.qcow2", "one"]);
    run(path, "qemu-img", &["bitmap", "--add", "--disable", "-g", "4k", "a.qcow2", "two"]);
    assert_details(&path.join("a.qcow2"), None);
    let opened = open(&path.join("a.qcow2"), None).unwrap();
    assert_eq!(codes(&opened), ["qcow2-bitmaps"]);
    assert!(opened.warnings[0].message.contains(r#"2 dirty bitmaps are left out ("one", "two")"#));
    std::fs::write(path.join("key"), "k").unwrap();
    let secret = "secret,id=s,file=key";
    let aes = "encrypt.format=aes,encrypt.key-secret=s";
    run(path, "qemu-img", &["create", "-q", "--object", secret, "-f", "qcow2", "-o", aes, "a.qcow2", "1M"]);
    assert_details(&path.join("a.qcow2"), Some("k"));
}

#[test]
fn external_data_files_are_read_beside_the_image() {
    for options in ["data_file_raw=off", "data_file_raw=on", "extended_l2=on", "cluster_size=512"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let disk = mixed(3 << 20, 100_000, 21);
        std::fs::write(path.join("in.raw"), &disk).unwrap();
        let options = format!("data_file=data.bin,{options}");
        run(path, "qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "-o", &options, "in.raw", "a.qcow2"]);
        run(
            path,
            "qemu-io",
            &["-f", "qcow2", "-c", "write -z 1M 70k", "-c", "write -P 5 1200k 9k", "a.qcow2"],
        );
        run(path, "qemu-img", &["convert", "-f", "qcow2", "-O", "raw", "a.qcow2", "out.raw"]);
        let wanted = std::fs::read(path.join("out.raw")).unwrap();
        let opened = open(&path.join("a.qcow2"), None).unwrap();
        assert_same(&read_all(&opened.disk).unwrap(), &wanted, &options);
        assert_eq!(opened.chain[0].parts[0].path, path.join("data.bin"));
        let range = opened.disk.host_range(1200 << 10).unwrap().unwrap();
        let mut stored = [0; 512];
        range.storage.read_exact_at(range.offset, &mut stored).unwrap();
        assert_eq!(stored, [5; 512]);
        std::fs::remove_file(path.join("data.bin")).unwrap();
        let error = open(&path.join("a.qcow2"), None).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceMissing);
    }
}

#[test]
fn a_data_file_that_is_cut_off_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("in.raw"), [7; 1 << 20]).unwrap();
    let args = ["convert", "-f", "raw", "-O", "qcow2", "-o", "data_file=data.bin", "in.raw", "a.qcow2"];
    run(path, "qemu-img", &args);
    std::fs::OpenOptions::new().write(true).open(path.join("data.bin")).unwrap().set_len(512 << 10).unwrap();
    let opened = open(&path.join("a.qcow2"), None).unwrap();
    let error = read_all(&opened.disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("it points to 0x80000, the file ends at 0x80000"), "{error}");
}

/// A backing file that is shorter than its child, with its format not said.
#[test]
fn a_short_backing_file_of_unsaid_format_is_probed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("in.raw"), mixed(1_000_448, 50_000, 22)).unwrap();
    run(
        path,
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", "-o", "compat=0.10", "in.raw", "base.qcow2"],
    );
    let child = ["-u", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "a.qcow2", "3M"];
    run(path, "qemu-img", &[&["create", "-q"][..], &child].concat());
    run(path, "qemu-io", &["-f", "qcow2", "-c", "write -P 9 900k 200k", "a.qcow2"]);
    run(path, "qemu-img", &["convert", "-f", "qcow2", "-O", "raw", "a.qcow2", "out.raw"]);
    let wanted = std::fs::read(path.join("out.raw")).unwrap();
    // QEMU no longer makes images without the format of their backing file: the extension is made unknown.
    let mut image = std::fs::read(path.join("a.qcow2")).unwrap();
    let extension = image.windows(4).position(|window| window == [0xe2, 0x79, 0x2a, 0xca]).unwrap();
    image[extension] = 0;
    std::fs::write(path.join("a.qcow2"), image).unwrap();
    let opened = open(&path.join("a.qcow2"), None).unwrap();
    assert_eq!(opened.chain.len(), 2);
    assert_same(&read_all(&opened.disk).unwrap(), &wanted, "chain");
}

#[test]
fn compressed_data_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("in.raw"), [7; 256 << 10]).unwrap();
    run(path, "qemu-img", &["convert", "-c", "-f", "raw", "-O", "qcow2", "in.raw", "a.qcow2"]);
    run(path, "qemu-io", &["-f", "qcow2", "-c", "write -P 5 64k 64k", "a.qcow2"]);
    let layer = layer(&path.join("a.qcow2"), None);
    assert_eq!(
        [0, 64 << 10, 200 << 10, 256 << 10].map(|at| layer.is_compressed_at(at)),
        [true, false, true, false]
    );
}

/// A broken snapshot table is an error for who wants a snapshot, and a warning for who does not.
#[test]
fn broken_snapshot_tables_harm_only_snapshots() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = (folder.path(), folder.path().join("a.qcow2"));
    with_snapshots(path, "cluster_size=64k");
    let good = std::fs::read(&image).unwrap();
    let current = read_all(&open(&image, None).unwrap().disk).unwrap();
    let table = u64::from_be_bytes(good[64..72].try_into().unwrap()) as usize;
    for (at, bytes, kind, text) in [
        (60, &[0, 1, 0, 1][..], ErrorKind::Limit, "the image has 65537 snapshots"),
        (60, &[0, 0, 0xff, 0], ErrorKind::Corrupt, "leaves the file or the limit"),
        (64, &[0xff; 8], ErrorKind::Corrupt, "snapshot 0 of 2 at 0xffffffffffffffff leaves the file"),
        (table + 36, &[0xff; 4], ErrorKind::Corrupt, "snapshot 0 of 2 at"),
        (table + 8, &[0; 4], ErrorKind::Corrupt, "l1_size is 0, a disk of 0x200000 bytes needs 1"),
        (table + 8, &[0xff; 4], ErrorKind::Limit, "the L1 table has 4294967295 entries"),
        (table, &[0xff; 6], ErrorKind::Corrupt, "the L1 table of 0x8 bytes at 0xffffff"),
        (table + 48, &[0xff; 8], ErrorKind::Limit, "the L1 table has"),
    ] {
        let mut broken = good.clone();
        broken[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&image, &broken).unwrap();
        let error = open(&image, Some("before")).map(|_| ()).expect_err(text);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "wanted {text:?} in {error}");
        let opened = open(&image, None).unwrap();
        assert_eq!(codes(&opened), ["qcow2-snapshots"]);
        assert_same(&read_all(&opened.disk).unwrap(), &current, text);
    }
}

#[test]
fn broken_bitmap_directories_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, image) = (folder.path(), folder.path().join("a.qcow2"));
    run(path, "qemu-img", &["create", "-q", "-f", "qcow2", "a.qcow2", "1M"]);
    run(path, "qemu-img", &["bitmap", "--add", "a.qcow2", "one"]);
    let good = std::fs::read(&image).unwrap();
    let extension = good.windows(4).position(|window| window == [0x23, 0x85, 0x28, 0x75]).unwrap() + 8;
    for (at, bytes, text) in [
        (extension, &[0xff; 4][..], "QEMU opens no such directory"),
        (extension, &[0, 0, 0, 2], "an entry leaves the directory"),
        (extension + 8, &[0, 0, 0, 0, 0, 0xff], "it leaves the file"),
        (extension + 8, &[0xff; 8], "QEMU opens no such directory"),
        (extension + 16, &[0xff; 8], "it leaves the file"),
    ] {
        let mut broken = good.clone();
        broken[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&image, &broken).unwrap();
        let opened = open(&image, None).unwrap();
        assert_eq!(codes(&opened), ["qcow2-bitmaps"]);
        assert!(opened.warnings[0].message.contains(text), "{}", opened.warnings[0].message);
    }
}

/// A file may claim 64 MiB of names; what is told of them stays small.
#[test]
fn many_and_long_names_are_told_in_part() {
    let table_of = |count: u32, name: &[u8]| {
        let mut image = image_of(&[7; 65536], 65536, &[]).unwrap();
        let table = image.len() as u64;
        image[60..64].copy_from_slice(&count.to_be_bytes());
        image[64..72].copy_from_slice(&table.to_be_bytes());
        for _ in 0..count {
            let mut entry = image[40..48].to_vec(); // the L1 table's place
            entry.extend(1u32.to_be_bytes());
            entry.extend([name.len() as u16, name.len() as u16].iter().flat_map(|len| len.to_be_bytes()));
            entry.resize(40, 0);
            entry.extend([name, name].concat());
            entry.resize(entry.len().next_multiple_of(8), 0);
            image.extend(entry);
        }
        image
    };
    let told = |image: Vec<u8>| {
        let layer = disks::open_layer(image).unwrap();
        let details = layer.details();
        (details["snapshots"].as_array().unwrap().len(), serde_json::Value::from(details).to_string().len())
    };
    let (listed, len) = told(table_of(60, &[0xff; 65535]));
    assert_eq!(listed, 60);
    assert!(len < 60 * 2 * 4096, "{len} characters");
    assert_eq!(told(table_of(5000, b"a")).0, 4096);
    assert_eq!(told(table_of(3, b"a")).0, 3);
}

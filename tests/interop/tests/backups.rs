//! Backups, packages and compressed images of the collection, opened as an operator does: by their name alone. Each must give
//! the recorded disks, from the file and, where the format can be read so, on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_all::FORMATS;
use format_core::{
    ChunkStream, Disk, ErrorKind, Key, OpenOptions, OpenedImage, Result, check_image, is_zero, open_flow,
    open_images,
};
use interop::corpus::corpus;
use interop::sha256;
use std::path::{Path, PathBuf};

/// SHA-256 of base/base.raw and base/odd.raw.
const BASE: &str = "2b66ce4528748714d4da038901a34f90d6915be5c71ba3730e36a01869194b15";
const ODD: &str = "21ed0c16a08b96b37ae4d12613e7930e6dffe44ae0058958651d968d6929daed";
const ODD_BY_VIRTUALBOX: &str = "7a8641355621c5e625520deeab70f41099aa82f91b3d3d8826ee68c28a4fec4a";
const EXT2: &str = "a6c2f0e39afe6c6ab432ca5465349fcefe8dc944398e97b2d957d3f89dbb5d80";

/// Files that were made for testing, and the disks in them, in their order.
const MADE: &[(&str, &[&str])] = &[
    ("raw/base.bz2", &[BASE]),
    // Its window is larger than the disk, which is all that it takes.
    ("raw/base.long31.zst", &[BASE]),
    ("raw/base.lz4", &[BASE]),
    ("raw/base.lzo", &[BASE]),
    ("raw/base.multi.xz", &[BASE]),
    ("raw/base.multiframe.zst", &[BASE]),
    ("raw/base.multimember.gz", &[BASE]),
    ("raw/base.pbzip2.bz2", &[BASE]),
    ("raw/base.pigz.gz", &[BASE]),
    ("raw/base.pixz.xz", &[BASE]),
    ("raw/base.raw.000", &[BASE]),
    ("raw/base.raw.gz", &[BASE]),
    ("raw/base.raw.gz.aa", &[BASE]),
    ("raw/base.single.xz", &[BASE]),
    ("raw/base.zst", &[BASE]),
    ("raw/gcp-oldgnu.tar.gz", &[BASE]),
    ("raw/pax-0.0.tar.gz", &[BASE]),
    ("raw/pax-1.0.tar.gz", &[BASE]),
    ("ova/two-sha1.ova", &[BASE, ""]),
    ("ova/two-sha256.ova", &[BASE, ""]),
    ("ova/two-sha512.ova", &[BASE, ""]),
    ("vma/vzdump-qemu-100.vma", &[BASE, ODD]),
    ("vma/vzdump-qemu-100.vma.gz", &[BASE, ODD]),
    ("vma/vzdump-qemu-100.vma.zst", &[BASE, ODD]),
    ("xva/xva-img.xva", &[BASE]),
    ("partclone/odd.dd-img.ptcl", &[ODD]),
    ("ewf/plain.E01", &[BASE]),
    ("ewf/stream.E01", &[ODD]),
    ("pbs/plain/vm/100", &[BASE, ODD]),
];

/// The same for files of other projects.
const FOREIGN: &[(&str, &[&str])] = &[
    ("dfvfs/ext2.E01", &[EXT2]),
    ("dfvfs/ext2.split.E01", &[EXT2]),
    ("ewf-forensic/exfat1.E01", &["af6f974495187c35050d5c66d271617a1ec00d446adcf8590d7042ad2bf02bb7"]),
    (
        "ewf-forensic/gpt_130_partitions.E01",
        &["004dd9e988f7e282f21c9e65865c43a8f2f754238e473e81b170bdbbaa5a9c63"],
    ),
    ("ewfacquire/ewf-encase6-best.E01", &[ODD_BY_VIRTUALBOX]),
    ("ewfacquire/ewf-ewfx-empty-block.e01", &[ODD_BY_VIRTUALBOX]),
    ("ewfacquire/ewf-ftk-best.E01", &[ODD_BY_VIRTUALBOX]),
    ("plaso/image-split.E01", &["694da90e9fc6858c6dd77450add177670eb450534c3fecee2633356d6a969b98"]),
    ("sleuthkit/image.E01", &["0add63db3dc87ee60438e0fb94b526462502ba9f87e7a78bb0efe858668b1108"]),
    ("ntfs-3g/ntfsclone.img", &["e3612c182b8010e3599b5eb93bff427c7d824e85bdc2ddbe46e378e3ba814eb9"]),
    ("partclone/pc-ext4-nocrc.img", &["d88dd5f6774526a94ad74e061c6a4245fef302e03c917277fb4043e30ed8b434"]),
    ("partclone/pc-ext4.img", &["d88dd5f6774526a94ad74e061c6a4245fef302e03c917277fb4043e30ed8b434"]),
    (
        "virtualbox/ova/deb-ovf10.ova",
        &[
            "8543e1ffd81e55c3aa7216f2221f77d9f49a817184a9689b4dcfbd6c36f072b6",
            "d71620caf3f3a3c2e1a87f5e4e1200426cc679795c94e39d731b1e0683b01f65",
        ],
    ),
];

/// Files that must end in an error that says why.
const REJECTED: &[&str] = &[
    "ewf-forensic/bogus.E01",
    "ewf-forensic/fuzz-crash-recover-alloc-too-big.E01",
    "ewf-forensic/zeros_128s.Ex01",
    "glance/testserver-bad-ovf.ova",
    "glance/testserver-not-tar.ova",
    "glance/testserver.ova",
    "osv-scalibr/ova/testdata/valid.ova",
    "osv-scalibr/ova/testdata/invalid.ova",
];

fn unpacked(corpus: &Path, name: &str) -> PathBuf {
    interop::corpus::unpacked(corpus, name, env!("CARGO_TARGET_TMPDIR"))
}

fn options() -> OpenOptions {
    OpenOptions::new(FORMATS, None)
}

/// What is wrong with the disks at `path`.
fn wrong_with(path: &Path, wanted: &[&str], options: &OpenOptions) -> Result<Option<String>> {
    let opened = open_images(path, options)?;
    if opened.len() != wanted.len() {
        return Ok(Some(format!("{} disks, {} are recorded", opened.len(), wanted.len())));
    }
    for (index, (image, wanted)) in opened.iter().zip(wanted).enumerate() {
        let found = sha256(&image.disk)?;
        if !wanted.is_empty() && found != *wanted {
            return Ok(Some(format!("disk {index} reads as {found}, recorded is {wanted}")));
        }
        if let Some(text) = compare_with_flow(path, index, image, options)? {
            return Ok(Some(text));
        }
    }
    let checked = check_image(path, options, &|_| Ok(()))?;
    Ok(checked
        .iter()
        .find(|checked| checked.report.errors > 0)
        .map(|found| format!("{:?}", found.report.findings)))
}

/// What is read on the way must be the same disk.
fn compare_with_flow(
    path: &Path,
    index: usize,
    image: &OpenedImage,
    options: &OpenOptions,
) -> Result<Option<String>> {
    let mut options = options.clone();
    options.access.pick = image.inside.as_ref().map(|_| index.to_string());
    let Some(flow) = open_flow(path, &options)? else { return Ok(None) };
    println!("{}: disk {index} also on the way", path.display());
    same_as(&image.disk, flow.stream)
}

fn same_as(disk: &Disk, mut stream: Box<dyn ChunkStream>) -> Result<Option<String>> {
    let (size, mut at, mut ended) = (disk.virtual_size(), 0, false);
    if stream.virtual_size() != size {
        return Ok(Some(format!("{} bytes on the way, {size} in the file", stream.virtual_size())));
    }
    while !ended {
        let (next, data) =
            stream.next_chunk()?.map_or((size, Vec::new()), |chunk| (chunk.offset, chunk.data));
        ended = data.is_empty();
        while at < next {
            let mut gap = vec![1; (next - at).min(4 << 20) as usize];
            disk.read_exact_at(at, &mut gap)?;
            if !is_zero(&gap) {
                return Ok(Some(format!("nothing comes on the way at {at:#x}")));
            }
            at += gap.len() as u64;
        }
        let mut expected = vec![0; data.len()];
        disk.read_exact_at(at, &mut expected)?;
        if expected != data {
            return Ok(Some(format!("something else comes on the way at {at:#x}")));
        }
        at += data.len() as u64;
    }
    Ok(None)
}

/// Tries all, and tells all that is wrong.
fn check_all(folder: &Path, table: &[(&str, &[&str])], plain: impl Fn(&Path, &str) -> PathBuf) {
    let mut wrong = Vec::new();
    for (name, disks) in table {
        // What is called .img may be a disk on which somebody wrote these bytes: its format has to be named.
        let named = name
            .strip_suffix(".img")
            .map(|_| if name.starts_with("ntfs-3g") { "ntfsclone" } else { "partclone" });
        let format = named.map(|named| interop::format_named(named).unwrap());
        match wrong_with(&plain(folder, name), disks, &OpenOptions::new(FORMATS, format)) {
            Ok(None) => println!("{name}: as recorded"),
            Ok(Some(text)) => wrong.push(format!("{name}: {text}")),
            Err(error) => wrong.push(format!("{name}: {:?}: {error}", error.kind())),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
}

/// The file of the collection, whose own compression is not part of it. Segments lie beside each other.
fn foreign(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let (parent, file) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    for entry in std::fs::read_dir(parent).unwrap() {
        let packed = entry.unwrap().path();
        let begins = packed.file_name().unwrap().to_str().unwrap().starts_with(stem);
        if begins && packed.extension().is_some_and(|extension| extension == "gz") {
            let plain = packed.with_extension("");
            if !plain.exists() {
                let script = "gzip -dcq \"$1\" >\"$2.$$\" && mv \"$2.$$\" \"$2\"";
                let (from, to) = (packed.to_str().unwrap(), plain.to_str().unwrap());
                interop::run("gzip", 60, "bash", &["-euc", script, "bash", from, to]);
            }
        }
    }
    path
}

#[test]
fn backups_made_for_testing_read_as_recorded() {
    let Some(corpus) = corpus() else { return };
    check_all(&unpacked(&corpus, "made"), MADE, |folder, name| folder.join(name));
}

#[test]
fn backups_of_other_projects_read_as_recorded() {
    let Some(corpus) = corpus() else { return };
    let folder = unpacked(&corpus, "third-party").join("third-party");
    check_all(&folder, FOREIGN, foreign);
    for name in REJECTED {
        let path = foreign(&folder, name);
        let error = match open_images(&path, &options()) {
            Ok(opened) => sha256(&opened.first().unwrap().disk).expect_err(name),
            Err(error) => error,
        };
        let meant = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::SourceMissing, ErrorKind::Limit];
        assert!(meant.contains(&error.kind()), "{name}: {:?}: {error}", error.kind());
        println!("{name}: rejected: {error}");
    }
}

#[test]
fn a_restic_repository_opens_with_its_password() {
    let Some(corpus) = corpus() else { return };
    let path = unpacked(&corpus, "made").join("restic/repo");
    let error = open_images(&path, &options()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
    let mut with_key = options();
    with_key.access.key = Some(Key::new(b"pw\n".to_vec()));
    with_key.access.at = Some("0".into());
    assert_eq!(wrong_with(&path, &[BASE], &with_key).unwrap(), None);
    with_key.access.key = Some(Key::new(b"wrong".to_vec()));
    let error = open_images(&path, &with_key).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NeedsPerson, "{error}");
}

#[test]
fn a_borg_repository_has_an_archive_for_each_chunker() {
    let Some(corpus) = corpus() else { return };
    let path = unpacked(&corpus, "made").join("borg/repo-plain");
    for (archive, disk) in [("fixed", BASE), ("fixsparse", BASE), ("buz", ODD)] {
        let mut at = options();
        at.access.at = Some(archive.to_owned());
        assert_eq!(wrong_with(&path, &[disk], &at).unwrap(), None, "{archive}");
    }
}

/// What is unused in a file system is not in a Clonezilla folder: it reads as zeros, and everything else as it was.
#[test]
fn a_clonezilla_folder_is_the_whole_disk() {
    let Some(corpus) = corpus() else { return };
    let folder = unpacked(&corpus, "made");
    let opened = open_images(&folder.join("clonezilla/img"), &options()).unwrap();
    let (disk, base) = (&opened.first().unwrap().disk, std::fs::read(folder.join("base/base.raw")).unwrap());
    assert_eq!((opened.len(), disk.virtual_size()), (1, base.len() as u64));
    let mut found = vec![0; base.len()];
    disk.read_exact_at(0, &mut found).unwrap();
    let mut missing = 0;
    for (at, (found, base)) in found.chunks(512).zip(base.chunks(512)).enumerate() {
        assert!(found == base || is_zero(found), "sector {at} is neither as it was nor zeros");
        missing += usize::from(found != base);
    }
    assert!(missing < base.len() / 512 / 4, "{missing} sectors are missing");
    // Both partition tables, and the gap before the first partition.
    let table = 34 * 512;
    assert!(found[..1 << 20] == base[..1 << 20] && found[base.len() - table..] == base[base.len() - table..]);
}

/// Points in time are chosen from outside.
#[test]
fn an_older_point_in_time_can_be_asked_for() {
    let Some(corpus) = corpus() else { return };
    let path = unpacked(&corpus, "made").join("restic/repo");
    let at = |at: &str| {
        let mut options = options();
        options.access.key = Some(Key::new(b"pw".to_vec()));
        options.access.at = Some(at.to_owned());
        open_images(&path, &options)
    };
    let newest = at("latest").unwrap();
    let points = newest.first().unwrap().inside.as_ref().unwrap().container.points().to_vec();
    assert_eq!(points.len(), 2);
    assert!(points[1].is_chosen);
    let oldest = at("0").unwrap();
    assert!(oldest.first().unwrap().inside.as_ref().unwrap().container.points()[0].is_chosen);
    assert_eq!(at("9").err().unwrap().kind(), ErrorKind::Usage);
}

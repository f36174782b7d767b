//! Folders that `tests/guests/clonezilla-save.sh` saves with the tools of Clonezilla become the disks that were saved.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_all::FORMATS;
use format_core::{Disk, ErrorKind, OpenOptions, check_image, is_zero, open_images};
use interop::run;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// A disk in the making.
struct Raw {
    path: PathBuf,
    file: File,
}

impl Raw {
    fn new(folder: &Path, name: &str, size: u64, table: &str) -> Self {
        let path = folder.join(name);
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        if !table.is_empty() {
            let script = folder.join("table");
            std::fs::write(&script, table).unwrap();
            let command = format!("sfdisk -q {} < {}", path.display(), script.display());
            run("fdisk", 20, "sh", &["-c", &command]);
        }
        Self { path, file }
    }

    /// Makes a file system of `len` bytes in a file beside the disk, and puts it where `place` says.
    fn file_system(&self, len: u64, make: &str, mut place: impl FnMut(&File, &[u8])) {
        let path = self.path.with_extension("part");
        File::create(&path).unwrap().set_len(len).unwrap();
        run(
            "e2fsprogs dosfstools ntfs-3g util-linux xfsprogs",
            60,
            "sh",
            &["-c", &format!("{make} {} >/dev/null", path.display())],
        );
        place(&self.file, &std::fs::read(&path).unwrap());
        std::fs::remove_file(path).unwrap();
    }

    fn put(&self, mib: u64, len: u64, make: &str) {
        self.file_system(len * MIB, make, |file, bytes| file.write_all_at(bytes, mib * MIB).unwrap());
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}

/// Some files, for `mkfs -d`.
fn tree(folder: &Path) -> String {
    let tree = folder.join("tree/sub");
    std::fs::create_dir_all(&tree).unwrap();
    for number in 0..40u32 {
        let text: Vec<u8> = (0..number * 900).flat_map(|at| (at ^ number << 16).to_le_bytes()).collect();
        std::fs::write(tree.join(format!("file{number}")), text).unwrap();
    }
    folder.join("tree").display().to_string()
}

/// Saves disks with `compression` in small pieces.
fn save(disks: &[&Raw], out: &Path, compression: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/clonezilla-save.sh");
    let disks: Vec<_> = disks.iter().map(|disk| disk.path.display().to_string()).collect();
    let output = Command::new("timeout")
        .arg("120")
        .arg(script)
        .args([&disks.join(","), out.to_str().unwrap()])
        .env("COMPRESSION", compression)
        .env("PIECE", "300K")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "packages partclone, parted, gdisk, fdisk, util-linux, lvm2: {text}");
}

fn options() -> OpenOptions {
    OpenOptions::new(FORMATS, None)
}

/// The disks in a folder, and how many warnings there were.
fn disks(folder: &Path) -> (Vec<Vec<u8>>, usize) {
    let opened = open_images(folder, &options()).unwrap();
    let warnings = opened.iter().map(|image| image.warnings.len()).sum();
    (opened.iter().map(|image| read(&image.disk)).collect(), warnings)
}

fn read(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0xee; disk.virtual_size() as usize];
    for (number, piece) in bytes.chunks_mut(999_999).enumerate() {
        disk.read_exact_at(number as u64 * 999_999, piece).unwrap();
    }
    for extent in disk.extents(0, u64::MAX) {
        let extent = extent.unwrap();
        let range = extent.offset as usize..extent.end() as usize;
        assert!(extent.kind == format_core::ExtentKind::Data || is_zero(&bytes[range]));
    }
    bytes
}

/// Sectors that differ and are not zeros, which unused blocks become.
fn differing(ours: &[u8], original: &[u8]) -> Vec<usize> {
    assert_eq!(ours.len(), original.len());
    let both = ours.chunks(512).zip(original.chunks(512)).enumerate();
    both.filter(|(_, (ours, original))| ours != original && !is_zero(ours))
        .map(|(sector, _)| sector)
        .collect()
}

/// What the original has and ours does not, in sectors.
fn lost(ours: &[u8], original: &[u8]) -> Vec<usize> {
    let both = ours.chunks(512).zip(original.chunks(512)).enumerate();
    both.filter(|(_, (ours, original))| ours != original).map(|(sector, _)| sector).collect()
}

fn check_clean(folder: &Path) {
    let checked = check_image(folder, &options(), &|_| Ok(())).unwrap();
    assert!(checked.iter().all(|image| image.report.is_clean()), "{checked:?}");
}

/// A checker of the partition at `start`, which must find nothing.
fn fsck(bytes: &[u8], start: u64, len: u64, checker: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part");
    std::fs::write(&path, &bytes[start as usize..(start + len) as usize]).unwrap();
    run("e2fsprogs dosfstools ntfs-3g", 60, "sh", &["-c", &format!("{checker} {} 2>&1", path.display())]);
}

/// The compressions that the program knows; all of them, or none at all, are in the list.
fn compressions() -> Vec<&'static str> {
    let known =
        |extension: &&str| FORMATS.iter().any(|f| f.unpack.is_some() && f.extensions.contains(extension));
    ["gz", "zst", "xz", "lz4", "bz2", "lzo"].into_iter().filter(known).chain(["uncomp"]).collect()
}

#[test]
fn a_disk_with_a_gpt_is_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let disk = Raw::new(
        folder,
        "disk.raw",
        140 * MIB + 512 * 7,
        "label: gpt\nstart=2048,size=33M,type=uefi\nsize=40M\nsize=12M\nsize=8M,type=swap\nsize=1M,name=\"odd, one\"\n",
    );
    disk.put(1, 33, "mkfs.vfat -F 32");
    disk.put(34, 40, &format!("mkfs.ext4 -q -F -b 1024 -d {}", tree(folder)));
    disk.put(74, 12, "mkntfs -q -F -Q");
    disk.put(86, 8, "mkswap -L swapping -U 11111111-2222-3333-4444-555555555555");
    let noise: Vec<u8> =
        (0..MIB as u32 / 4).flat_map(|at| (at.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    disk.file.write_all_at(&noise, 94 * MIB).unwrap();
    let original = disk.bytes();
    for compression in compressions() {
        let out = folder.join(compression);
        save(&[&disk], &out, compression);
        let (disks, _) = disks(&out);
        assert_eq!(disks.len(), 1);
        let ours = &disks[0];
        assert_eq!(differing(ours, &original), Vec::<usize>::new(), "{compression}");
        // Nothing is lost outside of file systems, and of NTFS and swap not their ends.
        let outside = lost(ours, &original).into_iter().map(|sector| sector as u64 * 512 / MIB);
        assert!(
            outside.clone().all(|mib| (1..86).contains(&mib)),
            "{compression}: {:?}",
            outside.collect::<Vec<_>>()
        );
        fsck(ours, MIB, 33 * MIB, "fsck.fat -n");
        fsck(ours, 34 * MIB, 40 * MIB, "e2fsck -fn");
        fsck(ours, 74 * MIB, 12 * MIB, "ntfsfix -n");
        check_clean(&out);
    }
}

#[test]
fn logical_partitions_are_linked_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let disk = Raw::new(
        folder,
        "disk.raw",
        64 * MIB,
        "label: dos\nlabel-id: 0x12345678\nstart=2048,size=10M,bootable\nstart=22528,size=40M,type=5\nstart=24576,size=10M\n\
         start=47104,size=4M,type=82\nstart=57344,size=10M,type=83\n",
    );
    disk.put(1, 10, "mkfs.ext4 -q -F");
    disk.put(12, 10, "mkfs.ext4 -q -F");
    disk.put(23, 4, "mkswap");
    disk.put(28, 10, "mkfs.ext4 -q -F");
    let out = folder.join("out");
    save(&[&disk], &out, "uncomp");
    let (disks, warnings) = disks(&out);
    let original = disk.bytes();
    assert_eq!((differing(&disks[0], &original), warnings), (Vec::<usize>::new(), 0));
    std::fs::write(folder.join("ours"), &disks[0]).unwrap();
    let dump = |name: &str| {
        let text = run("fdisk", 20, "sfdisk", &["-d", folder.join(name).to_str().unwrap()]);
        text.replace(folder.join(name).to_str().unwrap(), "")
    };
    assert_eq!(dump("ours"), dump("disk.raw"));
    for (start, len) in [(1, 10), (12, 10), (28, 10)] {
        fsck(&disks[0], start * MIB, len * MIB, "e2fsck -fn");
    }
    check_clean(&out);
    // Without the first table of the chain, and with the tables of an old sfdisk only.
    std::fs::remove_file(out.join("sda2-ebr")).unwrap();
    std::fs::remove_file(out.join("sda-pt.parted")).unwrap();
    let mut old = "# partition table of /dev/sda\nunit: sectors\n\n".to_owned();
    for (number, start, size, id) in [
        (1, 2048, 20480, "83"),
        (2, 22528, 81920, "5"),
        (5, 24576, 20480, "83"),
        (6, 47104, 8192, "82"),
        (7, 57344, 20480, "83"),
    ] {
        writeln!(old, "/dev/sda{number} : start={start:9}, size={size:9}, Id={id}").unwrap();
    }
    std::fs::write(out.join("sda-pt.sf"), old).unwrap();
    std::fs::write(out.join("sda-chs.sf"), "cylinders=64\nheads=64\nsectors=32\n").unwrap();
    std::fs::write(folder.join("ours"), only_disk(&out)).unwrap();
    assert_eq!(dump("ours"), dump("disk.raw"));
}

fn only_disk(folder: &Path) -> Vec<u8> {
    disks(folder).0.remove(0)
}

/// LVM's tools, on loop devices.
fn lvm(arguments: &str) -> String {
    let config = "devices { use_devicesfile=0 scan=[\"/dev\"] obtain_device_list_from_udev=0 external_device_info_source=\"none\" } \
                  activation { udev_sync=0 udev_rules=0 monitoring=0 } global { use_lvmpolld=0 notify_dbus=0 event_activation=0 } \
                  backup { backup=0 archive=0 }";
    // The kernel's device mapper is not needed, and may not be there.
    let command = format!("LVM_SUPPRESS_FD_WARNINGS=1 lvm {arguments} --driverloaded n --config '{config}'");
    run("lvm2", 60, "sh", &["-c", &command])
}

/// Loop devices of a file's range, detached in the end.
struct Loops(Vec<String>);

impl Loops {
    fn attach(&mut self, path: &Path, start: u64, len: u64) -> String {
        let (start, len) = (start.to_string(), len.to_string());
        let arguments = ["--find", "--show", "-o", &start, "--sizelimit", &len, path.to_str().unwrap()];
        let device = run("mount", 20, "losetup", &arguments).trim().to_owned();
        self.0.push(device.clone());
        device
    }

    fn detach(&mut self) {
        for device in self.0.drain(..) {
            let _ = Command::new("losetup").args(["-d", &device]).status();
        }
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.detach();
    }
}

#[test]
fn volume_groups_are_rebuilt_over_two_disks() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let first = Raw::new(
        folder,
        "first.raw",
        100 * MIB,
        "label: dos\nstart=2048,size=10M\nstart=22528,size=80M,type=8e\n",
    );
    let second = Raw::new(folder, "second.raw", 70 * MIB, "");
    first.put(1, 10, "mkfs.ext4 -q -F");
    let mut loops = Loops(Vec::new());
    let (one, two) = (loops.attach(&first.path, 11 * MIB, 80 * MIB), loops.attach(&second.path, 0, 70 * MIB));
    let group = format!("clonezilla{}", std::process::id());
    lvm(&format!("pvcreate -q -ff -y {one} {two}"));
    lvm(&format!("vgcreate -q -s 1M {group} {one} {two}"));
    // Two segments of a linear volume with another between them, a striped one, a swap area.
    lvm(&format!("lvcreate -q -an -Zn -Wn -n root -l 20 {group} {one}"));
    lvm(&format!("lvcreate -q -an -Zn -Wn -n swap -l 4 {group} {one}"));
    lvm(&format!("lvextend -q -l +12 {group}/root {one}"));
    lvm(&format!("lvcreate -q -an -Zn -Wn -n var -i 2 -I 64 -l 30 {group} {one} {two}"));
    lvm(&format!("vgchange -q -an {group}"));
    loops.detach();
    let extents =
        |file: &File, from: u64, to: u64, bytes: &[u8]| file.write_all_at(bytes, (from + to) * MIB).unwrap();
    // Extents begin at 1 MiB of each; those of the striped volume at 36 of the first and 0 of the second.
    let at = 11 + 1;
    let tree = tree(folder);
    first.file_system(32 * MIB, &format!("mkfs.ext4 -q -F -d {tree}"), |file, bytes| {
        extents(file, at, 0, &bytes[..20 << 20]);
        extents(file, at, 24, &bytes[20 << 20..]);
    });
    first.file_system(4 * MIB, "mkswap", |file, bytes| extents(file, at, 20, bytes));
    first.file_system(30 * MIB, &format!("mkfs.ext4 -q -F -d {tree}"), |file, bytes| {
        for (number, stripe) in bytes.chunks(65536).enumerate() {
            let row = number as u64 / 2 * 65536;
            let (file, start) =
                if number.is_multiple_of(2) { (file, (at + 36) * MIB) } else { (&second.file, MIB) };
            file.write_all_at(stripe, start + row).unwrap();
        }
    });
    let out = folder.join("out");
    save(&[&first, &second], &out, "uncomp");
    let (disks, warnings) = disks(&out);
    assert_eq!((disks.len(), warnings), (2, 0));
    for (ours, original, area) in [(&disks[0], first.bytes(), 11), (&disks[1], second.bytes(), 0)] {
        // All but the label and the metadata, which LVM writes with the history of the group.
        let outside = |sector: &usize| !(area * 2048..area * 2048 + 2048).contains(sector);
        let differ: Vec<_> = differing(ours, &original).into_iter().filter(outside).collect();
        assert_eq!(differ, Vec::<usize>::new());
    }
    // What LVM makes of it.
    for (name, ours) in ["a.raw", "b.raw"].iter().zip(&disks) {
        std::fs::write(folder.join(name), ours).unwrap();
    }
    loops.attach(&folder.join("a.raw"), 11 * MIB, 80 * MIB);
    loops.attach(&folder.join("b.raw"), 0, 70 * MIB);
    let found =
        lvm(&format!("lvs --noheadings --nosuffix --units m -o lv_name,lv_size,stripes,segtype {group}"));
    let words = found.split_whitespace().collect::<Vec<_>>().join(" ");
    // A line for each segment.
    assert_eq!(words, "root 32.00 1 linear root 32.00 1 linear swap 4.00 1 linear var 30.00 2 striped");
    assert!(lvm(&format!("vgck {group}")).is_empty());
    for device in loops.0.clone() {
        lvm(&format!("pvck {device}"));
    }
    check_clean(&out);
}

#[test]
fn what_is_missing_or_damaged_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let disk =
        Raw::new(folder, "disk.raw", 40 * MIB, "label: dos\nstart=2048,size=10M\nstart=22528,size=20M\n");
    disk.put(1, 10, &format!("mkfs.ext4 -q -F -d {}", tree(folder)));
    disk.put(11, 20, "mkfs.ext4 -q -F");
    let out = folder.join("out");
    save(&[&disk], &out, "uncomp");
    check_clean(&out);
    let error = |kind: ErrorKind, reason: &str| {
        let error = open_images(&out, &options()).err().unwrap_or_else(|| panic!("{reason}"));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        // The check tells the same: as a finding, or as its own error where nothing can be opened.
        match check_image(&out, &options(), &|_| Ok(())) {
            Ok(checked) => assert!(!checked[0].report.is_clean(), "{reason}"),
            Err(error) => assert_eq!(error.kind(), kind, "{error}"),
        }
    };
    let move_away = |name: &str, reason: &str, kind: ErrorKind| {
        std::fs::rename(out.join(name), folder.join("away")).unwrap();
        error(kind, reason);
        std::fs::rename(folder.join("away"), out.join(name)).unwrap();
    };
    move_away(
        "sda1.ext4-ptcl-img.uncomp.ab",
        "sda1.ext4-ptcl-img.uncomp.ab is missing",
        ErrorKind::SourceMissing,
    );
    move_away(
        "sda1.ext4-ptcl-img.uncomp.aa",
        "sda1.ext4-ptcl-img.uncomp.aa is missing",
        ErrorKind::SourceMissing,
    );
    move_away("sda-mbr", "sda-mbr, with the table, is missing", ErrorKind::SourceMissing);
    // A changed byte of a block is found by a read and by the check.
    let piece = out.join("sda1.ext4-ptcl-img.uncomp.ac");
    let good = std::fs::read(&piece).unwrap();
    let mut bad = good.clone();
    bad[1000] ^= 1;
    std::fs::write(&piece, bad).unwrap();
    let report = &check_image(&out, &options(), &|_| Ok(())).unwrap()[0].report;
    assert!(report.errors > 0 && report.findings[0].message.contains("the checksum of"), "{report:?}");
    std::fs::write(&piece, good).unwrap();
    // Other programs' compression, and encryption.
    let names = |from: &str, to: &str| {
        for entry in std::fs::read_dir(&out).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().replace(from, to);
            std::fs::rename(&path, path.with_file_name(name)).unwrap();
        }
    };
    names("img.uncomp", "img.lrz");
    error(ErrorKind::Unsupported, "compressed with lrzip");
    names("img.lrz", "img.uncomp");
    std::fs::write(out.join("luks-dev.list"), "/dev/sda2 /dev/mapper/ocs_luks_kH2\n").unwrap();
    check_clean(&out);
    std::fs::write(out.join("ecryptfs.info"), "disk_of_img=\"sda\"\n").unwrap();
    error(ErrorKind::NeedsPerson, "eCryptfs");
    std::fs::remove_file(out.join("ecryptfs.info")).unwrap();
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("sda2.") {
            std::fs::remove_file(path).unwrap();
        }
    }
    error(ErrorKind::NeedsPerson, "sda2 was encrypted with LUKS");
    std::fs::remove_file(out.join("luks-dev.list")).unwrap();
    error(ErrorKind::SourceMissing, "sda2 was saved, and no file with its content");
    // Not saved at all: zeros, and a warning.
    std::fs::write(out.join("parts"), "sda1\n").unwrap();
    let opened = &open_images(&out, &options()).unwrap()[0];
    assert!(
        opened.warnings.iter().any(|warning| warning.code == "clonezilla-not-saved"),
        "{:?}",
        opened.warnings
    );
}

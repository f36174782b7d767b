//! Initramfs archives of a guest: cpio members that lie, and what unpacks to more than there is memory.

use super::disk::{Disk, MIB};
use super::tools::{KERNEL, Tree, Workshop, initramfs, member, raw_member};
use super::{SEEN, case, moved};
use crate::{Case, Run};
use std::io::Write as _;
use std::process::{Command, Stdio};

fn runs() -> Vec<Run> {
    moved(SEEN)
}

/// A guest whose initramfs is this.
fn guest(archive: &[u8]) -> Disk {
    let shop = Workshop::new();
    let tree = Tree::debian().file(&format!("/boot/initrd.img-{KERNEL}"), archive);
    let size = format!("{}K", 8192 + archive.len().div_ceil(1024));
    shop.ext(&tree, &["-b", "4096", "-O", "^has_journal"], &size, "").in_partition(0x83)
}

fn one(name: &str, about: &str, archive: &[u8]) -> Case {
    case(&format!("initramfs/{name}"), about, guest(archive), runs())
}

/// What a program makes of some bytes.
fn packed(package: &str, program: &[&str], bytes: &[u8]) -> Vec<u8> {
    let child = Command::new("timeout")
        .args(["60"])
        .args(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("cannot run {program:?} (package {package}): {error}"));
    let mut input = child.stdin.take().expect("a pipe");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{program:?} (package {package})");
    output.stdout
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = members();
    cases.extend(bombs());
    cases.extend(nested());
    cases
}

fn members() -> Vec<Case> {
    let good = initramfs(&["ext4", "nvme"]);
    let end = member("TRAILER!!!", 0, b"");
    let with = |bytes: Vec<u8>| [bytes, good.clone()].concat();
    let mut found = Vec::new();
    // Every number of a header at its extremes; the first one is that of the first folder.
    for (name, field) in
        [("inode", 0), ("mode", 1), ("links", 4), ("size", 6), ("name-size", 11), ("check", 12)]
    {
        for value in
            [&b"00000000"[..], b"00000001", b"ffffffff", b"80000000", b"7fffffff", b"-0000001", b"zzzzzzzz"]
        {
            let mut bytes = good.clone();
            bytes[6 + 8 * field..14 + 8 * field].copy_from_slice(value);
            let value = String::from_utf8_lossy(value).replace('-', "minus");
            found.push(one(&format!("{name}-{value}"), "a number of a member", &bytes));
        }
    }
    let thousands: Vec<u8> =
        (0..60_000).flat_map(|number| member(&format!("d/{number}"), 0o100_644, b"")).collect();
    let modules: Vec<u8> = (0..20_000)
        .flat_map(|number| {
            member(&format!("usr/lib/modules/{KERNEL}/kernel/m{number}.ko"), 0o100_644, b"\x7fELF")
        })
        .collect();
    let deep = (0..2000).fold(String::from("a"), |path, _| path + "/a");
    let links: Vec<u8> = (0..2000)
        .flat_map(|number| {
            member(&format!("l{number}"), 0o120_777, format!("l{}", (number + 1) % 2000).as_bytes())
        })
        .collect();
    let names: [&[u8]; 8] = [
        b"../../../../../../tmp/rehome-hostile-out",
        b"/etc/passwd",
        b"",
        b".",
        b"..",
        b"a\nb\x1b[2J",
        b"\xff\xfe",
        b"lib/../../x",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let bytes = with(raw_member(name, 0o100_644, 4, name.len() as u32 + 1, b"data"));
        found.push(one(&format!("name-{number}"), "a name that no member should have", &bytes));
    }
    let list = [
        ("empty", "nothing", Vec::new()),
        ("end-alone", "only the end", end.clone()),
        ("no-end", "members without an end", good[..good.len() - end.len()].to_vec()),
        ("cut", "an archive that ends in a member", good[..good.len() / 2].to_vec()),
        ("60000-members", "60,000 members", [thousands, good.clone()].concat()),
        (
            "20000-modules",
            "20,000 modules",
            [good[..good.len() - end.len()].to_vec(), modules, end.clone()].concat(),
        ),
        ("deep", "a path of 2000 folders", with(member(&deep, 0o100_644, b""))),
        ("name-4g", "a name of 4 GiB", with(raw_member(b"x", 0o100_644, 0, u32::MAX, b""))),
        ("link-ring", "2000 links in a ring", with(links)),
        (
            "link-out",
            "a folder that is a link out of the archive",
            with([member("usr", 0o120_777, b"/../../../tmp"), member("usr/x", 0o100_644, b"x")].concat()),
        ),
        ("own-link", "a link to itself", with(member("lib", 0o120_777, b"lib"))),
        ("many-ends", "20,000 archives of nothing", end.repeat(20_000)),
        (
            "zeros-between",
            "1 MiB of zeros between archives",
            [good.clone(), vec![0; MIB as usize], good.clone()].concat(),
        ),
        ("device", "a device", with(member("dev/sda", 0o060_600, b""))),
        ("zeros", "8 MiB of zeros", vec![0; 8 << 20]),
        ("noise", "noise", vec![0xa5; 1 << 20]),
    ];
    found.extend(list.into_iter().map(|(name, about, bytes)| one(name, about, &bytes)));
    found
}

/// A frame of zstd whose blocks are 128 KiB of the same byte, in four bytes each.
fn zstd_zeros(mib: u32) -> Vec<u8> {
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    let blocks = mib * 8;
    for number in 0..blocks {
        let header = (0x2_0000u32 << 3) | 2 | u32::from(number + 1 == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// Little that becomes very much: zeros, which are what may stand between archives, and a file of zeros.
fn bombs() -> Vec<Case> {
    let zeros = vec![0; 64 << 20];
    // A member of 2 GiB, of which only the header is not zeros.
    let head = raw_member(b"bomb", 0o100_644, 1 << 31, 5, b"");
    let kinds: [(&str, &str, &[&str]); 5] = [
        ("gzip", "gzip", &["gzip", "-1nc"]),
        ("xz", "xz-utils", &["xz", "-0c", "--check=crc32"]),
        ("bzip2", "bzip2", &["bzip2", "-1c"]),
        ("lz4", "lz4", &["lz4", "-lc"]),
        ("lzma", "xz-utils", &["xz", "-0c", "--format=lzma"]),
    ];
    let mut found = Vec::new();
    for (name, package, program) in kinds {
        let (part, head) = (packed(package, program, &zeros), packed(package, program, &head));
        found.push(one(&format!("bomb-{name}"), "4 GiB of zeros", &part.repeat(64)));
        found.push(one(
            &format!("bomb-{name}-file"),
            "a file of 2 GiB of zeros",
            &[head, part.repeat(32)].concat(),
        ));
    }
    found.push(one("bomb-zstd", "16 GiB of zeros in one frame", &zstd_zeros(16 << 10)));
    found.push(one("bomb-zstd-frames", "4 GiB of zeros in frames of 1 MiB", &zstd_zeros(1).repeat(4096)));
    found.push(many(&packed("bzip2", &["bzip2", "-1c"], &zeros).repeat(64)));
    let window = [b"\x28\xb5\x2f\xfd\x00\xff".to_vec(), vec![0x55; 4096]].concat();
    found.push(one("zstd-window", "a frame that wants a window of terabytes", &window));
    let lzma =
        [b"\x5d\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00".to_vec(), vec![0x55; 4096]].concat();
    found.push(one("lzma-dictionary", "a dictionary of 4 GiB", &lzma));
    let lz4 = [b"\x02\x21\x4c\x18".to_vec(), b"\xff\xff\xff\x7f".to_vec(), vec![0xff; 4096]].concat();
    found.push(one("lz4-block", "a block of 2 GiB", &lz4));
    found
}

/// A guest with sixty kernels whose archives are all this one.
fn many(archive: &[u8]) -> Case {
    let tree = (0..60).fold(Tree::debian(), |tree, number| {
        let version = format!("5.{number}");
        tree.file(&format!("/boot/vmlinuz-{version}"), b"MZ")
            .file(&format!("/boot/initrd.img-{version}"), archive)
            .file(&format!("/usr/lib/modules/{version}/modules.dep"), b"")
    });
    let disk = Workshop::new().ext(&tree, &["-b", "4096", "-O", "^has_journal"], "32M", "");
    case(
        "initramfs/bomb-60-kernels",
        "4 GiB of zeros in each of sixty archives",
        disk.in_partition(0x83),
        runs(),
    )
}

fn nested() -> Vec<Case> {
    let good = initramfs(&["ext4", "nvme"]);
    let twice = (0..30).fold(good.clone(), |bytes, _| packed("gzip", &["gzip", "-1nc"], &bytes));
    let parts = (0..300).fold(Vec::new(), |mut bytes, _| {
        bytes.extend(packed("gzip", &["gzip", "-1nc"], &good));
        bytes
    });
    let half = packed("xz-utils", &["xz", "-0c", "--check=crc32"], &good);
    vec![
        one("nested-30", "gzip in gzip, thirty deep", &twice),
        one("parts-300", "300 archives, each packed", &parts),
        one("half-xz", "half a packed archive", &half[..half.len() / 2]),
    ]
}

//! FAT: boot sectors, chains and folders of an EFI system partition.

use super::disk::{Disk, extremes, put_le};
use super::tools::Workshop;
use super::{case, inspect, inspect_json, plan, read};
use crate::{Case, Run};

fn volume(bits: &str, size: u64) -> Disk {
    let shop = Workshop::new();
    shop.blank("volume", size);
    shop.run(
        "dosfstools",
        "mkfs.vfat",
        &["-i", "12345678", "--invariant", "-F", bits, "-s", "1", "-n", "SYSTEM", "volume"],
    );
    std::fs::create_dir_all(shop.path("EFI/BOOT")).expect("a folder");
    shop.write("EFI/BOOT/BOOTX64.EFI", &[b'M'; 5000]);
    std::fs::create_dir_all(shop.path("EFI/debian")).expect("a folder");
    shop.write("EFI/debian/grub.cfg", b"configfile /boot/grub/grub.cfg\n");
    shop.write("EFI/debian/a rather long name that takes several entries.txt", b"text\n");
    shop.run("mtools", "mcopy", &["-Q", "-s", "-i", "volume", "EFI", "::/"]);
    shop.disk("volume")
}

/// Looks at the volume and everything on it.
fn looked() -> Vec<Run> {
    read("/EFI")
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (bits, size) in [("12", 1 << 20), ("16", 5 << 20), ("32", 34 << 20)] {
        let base = volume(bits, size);
        cases.extend(fields(bits, &base));
        cases.extend(chains(bits, &base));
    }
    cases
}

fn fields(bits: &str, base: &Disk) -> Vec<Case> {
    let mut fields = vec![
        ("sector-size", 11, 2),
        ("cluster-size", 13, 1),
        ("reserved", 14, 2),
        ("tables", 16, 1),
        ("root-entries", 17, 2),
        ("sectors-16", 19, 2),
        ("media", 21, 1),
        ("table-16", 22, 2),
        ("hidden", 28, 4),
        ("sectors-32", 32, 4),
    ];
    if bits == "32" {
        fields.extend([
            ("table-32", 36, 4),
            ("flags", 40, 2),
            ("version", 42, 2),
            ("root", 44, 4),
            ("info", 48, 2),
            ("backup", 50, 2),
        ]);
    }
    let mut found = Vec::new();
    for (name, at, width) in fields {
        for (what, value) in extremes(width) {
            let disk = base.clone().change(0, 512, |bytes| put_le(bytes, at, width, value));
            found.push(case(
                &format!("fat/{bits}-{name}-{what}"),
                "a field of the boot sector",
                disk.in_partition(0xef),
                looked(),
            ));
        }
    }
    for len in [512, 1024, 40_000] {
        let cut = base.clone().resized(len).in_partition(0xef);
        found.push(case(&format!("fat/{bits}-cut-{len}"), "a volume that ends early", cut, looked()));
    }
    found
}

/// Where the parts of a volume lie.
struct Layout {
    bits: u64,
    table: u64,
    data: u64,
}

impl Layout {
    fn of(bits: &str, base: &Disk) -> Self {
        let boot = base.read(0, 512);
        let get = |at: usize, width: usize| super::disk::get_le(&boot, at, width);
        let (reserved, tables, entries) = (get(14, 2), get(16, 1), get(17, 2));
        let len = if bits == "32" { get(36, 4) } else { get(22, 2) };
        let bits = bits.parse().expect("a number");
        Self { bits, table: reserved * 512, data: (reserved + tables * len + entries * 32 / 512) * 512 }
    }

    /// The volume with this entry of the table.
    fn link(&self, disk: Disk, cluster: u64, next: u64) -> Disk {
        match self.bits {
            12 => disk.change(self.table + cluster * 3 / 2, 2, |bytes| {
                let before = super::disk::get_le(bytes, 0, 2);
                let value = if cluster.is_multiple_of(2) {
                    before & 0xf000 | next & 0xfff
                } else {
                    before & 0xf | (next & 0xfff) << 4
                };
                put_le(bytes, 0, 2, value);
            }),
            16 => disk.change(self.table + 2 * cluster, 2, |bytes| put_le(bytes, 0, 2, next & 0xffff)),
            _ => disk.change(self.table + 4 * cluster, 4, |bytes| put_le(bytes, 0, 4, next & 0xffff_ffff)),
        }
    }
}

fn chains(bits: &str, base: &Disk) -> Vec<Case> {
    let layout = Layout::of(bits, base);
    let one = |name: &str, about: &str, disk: Disk| {
        case(&format!("fat/{bits}-{name}"), about, disk.in_partition(0xef), looked())
    };
    let first = base.find(b"EFI        \x10", 0, 32).expect("the folder EFI");
    let folder = super::disk::get_le(&base.read(first, 32), 26, 2);
    let inside = layout.data + (folder - 2) * 512;
    let file = base.find(b"BOOTX64 EFI", 0, 32).expect("the loader");
    let cluster = super::disk::get_le(&base.read(file, 32), 26, 2);
    let mut found = Vec::new();
    for (name, next) in [
        ("own", folder),
        ("zero", 0),
        ("one", 1),
        ("bad", 0x0fff_fff7),
        ("max", 0x0fff_fff6),
        ("file", cluster),
    ] {
        found.push(one(
            &format!("folder-chain-{name}"),
            "a chain of a folder",
            layout.link(base.clone(), folder, next),
        ));
        found.push(one(
            &format!("file-chain-{name}"),
            "a chain of a file",
            layout.link(base.clone(), cluster, next),
        ));
    }
    let ring = layout.link(layout.link(base.clone(), folder, folder + 1), folder + 1, folder);
    found.push(one("folder-ring", "a chain of two clusters in a ring", ring));
    for (name, value) in [("own", folder), ("zero", 0), ("one", 1), ("max", 0xffff)] {
        // `EFI/BOOT` leads to `EFI`, or elsewhere.
        let disk = base.clone().change(inside + 64, 32, |bytes| {
            put_le(bytes, 26, 2, value);
            put_le(bytes, 20, 2, if value == 0xffff { value } else { 0 });
        });
        found.push(one(&format!("folder-is-{name}"), "a folder that is another one", disk));
    }
    for (name, size) in [("max", 0xffff_ffff), ("more", 6000), ("zero", 0)] {
        found.push(one(
            &format!("size-{name}"),
            "a file of another length than its chain",
            base.clone().change(file, 32, |bytes| put_le(bytes, 28, 4, size)),
        ));
    }
    for (number, text) in [
        &b"..         "[..],
        b"\x1b[2J   EXE",
        b"A/B     C  ",
        b"\x05\xe5\xff\xfe    \x00\x01\x02",
        b"           ",
    ]
    .into_iter()
    .enumerate()
    {
        found.push(one(&format!("name-{number}"), "a name of a file", base.clone().put(file, text)));
    }
    let long = base.find(b"\x43", inside, 32).or_else(|| base.find(b"\x44", inside, 32));
    if let Some(at) = long.or_else(|| base.find(b"\x45", inside, 32)) {
        for (what, value) in extremes(1) {
            found.push(one(
                &format!("long-order-{what}"),
                "the number of an entry of a long name",
                base.clone().change(at, 32, |bytes| put_le(bytes, 0, 1, value)),
            ));
        }
        let steers = base.clone().put(at + 1, b"\x1b\0[\x002\0J\0\x07\0");
        found.push(case(
            &format!("fat/{bits}-long-steers"),
            "a long name that steers the terminal",
            steers.in_partition(0xef),
            [looked(), vec![inspect(&[0]), inspect_json(&[0]), plan("kvm", &[78])]].concat(),
        ));
    }
    found
}

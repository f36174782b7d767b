//! Partition tables, and what refers to them from inside: device elements of the BCD and MountedDevices.
//!
//! A partition device of the BCD is 88 bytes: 16 of options, the kind of device (6) at 0x10, flags, its length (0x48) at
//! 0x18, then the partition at 0x20 (MBR: its offset in bytes; GPT: its GUID), the kind of the disk at 0x30 (0: a disk), the
//! kind of its table at 0x34 (MBR 1, GPT 0), and the disk at 0x38 (MBR: the signature; GPT: the GUID). The MBR form is from a
//! public description with an example of Windows 8.1 (mistyprojects, "Devices Partition - Data"), which names the same places
//! for GPT; that the kind of table is 0 for GPT was NOT VERIFIED against a store of Windows.
//!
//! MountedDevices: signature and offset for MBR, as in real hives; `DMIO:ID:` and the partition's GUID for GPT, as in public
//! format descriptions (dtFabric's `mounted_devices`).

use crate::recipe::{Layout, Recipe, Special};
use crate::tools::{arg, run, text};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Bytes of a sector.
pub(crate) const SECTOR: u64 = 512;
const MIB: u64 = 1 << 20;

/// What a partition holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    /// The EFI system partition.
    Esp,
    /// Microsoft's reserved partition: nothing.
    Reserved,
    /// The boot manager of a BIOS machine.
    BootManager,
    /// C:.
    System,
    /// The recovery environment.
    Recovery,
    /// Data of the user.
    Data,
}

/// A partition.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) holds: Holds,
    /// First sector and number of sectors.
    pub(crate) start: u64,
    pub(crate) sectors: u64,
    pub(crate) guid: String,
}

/// A disk and its partitions.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) gpt: bool,
    pub(crate) dynamic: bool,
    /// Bytes of the disk.
    pub(crate) size: u64,
    /// Disk signature (MBR).
    pub(crate) signature: u32,
    pub(crate) guid: String,
    pub(crate) partitions: Vec<Partition>,
}

/// The disks of a recipe: the system's first.
pub(crate) fn tables(recipe: &Recipe) -> Vec<Table> {
    use Holds::{BootManager, Data, Esp, Recovery, Reserved, System};
    let sizes: &[(Holds, u64)] = match recipe.layout {
        Layout::BiosReserved => &[(BootManager, 24), (System, 136)],
        Layout::BiosSingle => &[(System, 136)],
        Layout::Uefi { .. } => &[(Esp, 36), (Reserved, 16), (System, 136), (Recovery, 16)],
    };
    let mut tables = vec![table(recipe, 0, recipe.is_uefi(), sizes)];
    if recipe.has(Special::DataDisk) {
        tables.push(table(recipe, 1, false, &[(Data, 32)]));
    }
    tables
}

fn table(recipe: &Recipe, disk: u64, gpt: bool, sizes: &[(Holds, u64)]) -> Table {
    let id = |what: u64| identity(recipe.name, disk * 100 + what);
    let mut start = MIB / SECTOR;
    let mut partitions = Vec::new();
    for (at, (holds, mib)) in sizes.iter().enumerate() {
        let sectors = mib * MIB / SECTOR;
        partitions.push(Partition { holds: *holds, start, sectors, guid: guid(id(at as u64 + 1)) });
        start += sectors;
    }
    Table {
        gpt,
        dynamic: recipe.has(Special::DynamicDisk),
        size: start * SECTOR + MIB,
        signature: (id(0) >> 64) as u32,
        guid: guid(id(0)),
        partitions,
    }
}

/// A number that is the same for every build.
fn identity(name: &str, what: u64) -> u128 {
    let start = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128 ^ u128::from(what);
    name.bytes().fold(start, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

/// A number as a GUID of version 4.
fn guid(number: u128) -> String {
    let hex = format!("{:032X}", number & !(0xf << 76) | 4 << 76);
    format!("{}-{}-{}-A{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[17..20], &hex[20..])
}

/// A GUID as Windows stores it: the first three groups are little-endian.
fn stored(guid: &str) -> Vec<u8> {
    let groups: Vec<Vec<u8>> = guid
        .split('-')
        .map(|group| {
            (0..group.len()).step_by(2).map(|at| u8::from_str_radix(&group[at..at + 2], 16).unwrap())
        })
        .map(Iterator::collect)
        .collect();
    let turned = groups[..3].iter().flat_map(|group| group.iter().rev());
    turned.chain(groups[3..].iter().flatten()).copied().collect()
}

impl Partition {
    /// Where it begins, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.start * SECTOR
    }

    /// How long it is, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.sectors * SECTOR
    }

    fn kind(&self, table: &Table) -> &'static str {
        match self.holds {
            Holds::Esp => "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
            Holds::Reserved => "E3C9E316-0B5C-4DB8-817D-F92DF00215AE",
            Holds::Recovery => "DE94BBA4-06D1-4D40-A16A-BFD50179D6AC",
            _ if table.gpt => "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
            _ if table.dynamic => "42",
            _ => "7",
        }
    }

    fn label(&self) -> &'static str {
        match self.holds {
            Holds::Esp => "EFI system partition",
            Holds::Reserved => "Microsoft reserved partition",
            _ => "Basic data partition",
        }
    }
}

impl Table {
    /// The partition that holds this.
    pub(crate) fn find(&self, holds: Holds) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.holds == holds)
    }

    /// The partition that the firmware starts from; a disk for data has none.
    pub(crate) fn boot(&self) -> Option<&Partition> {
        [Holds::Esp, Holds::BootManager, Holds::System].into_iter().find_map(|holds| self.find(holds))
    }

    /// A device element of the BCD for a partition.
    pub(crate) fn device(&self, partition: &Partition) -> Vec<u8> {
        let mut bytes = vec![0; 88];
        let mut put = |at: usize, data: &[u8]| bytes[at..at + data.len()].copy_from_slice(data);
        put(0x10, &6u32.to_le_bytes());
        put(0x18, &0x48u64.to_le_bytes());
        if self.gpt {
            put(0x20, &stored(&partition.guid));
            put(0x38, &stored(&self.guid));
        } else {
            put(0x20, &partition.offset().to_le_bytes());
            put(0x34, &1u32.to_le_bytes());
            put(0x38, &self.signature.to_le_bytes());
        }
        bytes
    }

    /// What MountedDevices says about a partition.
    pub(crate) fn mounted(&self, partition: &Partition) -> Vec<u8> {
        if self.gpt {
            return [b"DMIO:ID:".as_slice(), &stored(&partition.guid)].concat();
        }
        [self.signature.to_le_bytes().as_slice(), &partition.offset().to_le_bytes()].concat()
    }

    /// The script that sfdisk makes the table from.
    fn script(&self) -> String {
        let mut script = if self.gpt {
            format!("label: gpt\nlabel-id: {}\nfirst-lba: 34\n", self.guid)
        } else {
            format!("label: dos\nlabel-id: 0x{:08x}\n", self.signature)
        };
        script += "unit: sectors\n\n";
        for partition in &self.partitions {
            write!(
                script,
                "start={}, size={}, type={}",
                partition.start,
                partition.sectors,
                partition.kind(self)
            )
            .unwrap();
            if self.gpt {
                write!(script, ", uuid={}, name=\"{}\"", partition.guid, partition.label()).unwrap();
                if partition.holds == Holds::Recovery {
                    script += ", attrs=\"RequiredPartition GUID:63\"";
                }
            } else if self.boot().is_some_and(|boot| boot.start == partition.start) {
                script += ", bootable";
            }
            script += "\n";
        }
        script
    }

    /// Makes an empty disk with this table.
    pub(crate) fn make(&self, disk: &Path) {
        std::fs::File::create(disk).unwrap().set_len(self.size).unwrap();
        let mut sfdisk = Command::new("timeout")
            .args(["60", "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", arg(disk)])
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        sfdisk.stdin.take().unwrap().write_all(self.script().as_bytes()).unwrap();
        assert!(sfdisk.wait().unwrap().success(), "sfdisk refused {}", self.script());
        let verified = run("sfdisk", &["--verify", arg(disk)]);
        assert!(verified.status.success(), "{}", text(&verified));
        if !self.gpt {
            self.boot_code(disk);
        }
        if self.dynamic {
            self.private_header(disk);
        }
    }

    /// Something in the place of the boot code, so that nobody takes the first sector for unused.
    fn boot_code(&self, disk: &Path) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(disk).unwrap();
        file.write_all_at(b"\x33\xc0\x8e\xd0\xbc\x00\x7c\xf4phony boot code", 0).unwrap();
    }

    /// The head of a logical disk manager's database, in sector 6 and in the last sector, as the kernel's reader of such
    /// disks expects it (block/partitions/ldm): magic, version 2.11, identifiers, and where the database lies. The database
    /// itself is not there.
    fn private_header(&self, disk: &Path) {
        use std::os::unix::fs::FileExt;
        let sectors = self.size / SECTOR;
        let mut head = vec![0; 512];
        let mut put = |at: usize, data: &[u8]| head[at..at + data.len()].copy_from_slice(data);
        put(0, b"PRIVHEAD");
        put(0x0c, &[0, 2, 0, 11]);
        put(0x30, self.guid.to_lowercase().as_bytes());
        put(0x11b, &63u64.to_be_bytes());
        put(0x123, &(sectors - 2048 - 63).to_be_bytes());
        put(0x12b, &(sectors - 2048).to_be_bytes());
        put(0x133, &2048u64.to_be_bytes());
        let file = std::fs::OpenOptions::new().write(true).open(disk).unwrap();
        file.write_all_at(&head, 6 * SECTOR).unwrap();
        file.write_all_at(&head, self.size - SECTOR).unwrap();
    }
}

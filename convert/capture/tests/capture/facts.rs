//! A machine of files in the place of `/sys` and `/proc`.

use convert_capture::{MachineFacts, Roots, volatile_facts};
use driver_machine::{Bus, FirmwareKind};
use std::path::Path;

fn write(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A server with an NVMe disk (EFI, /boot, LVM), a SATA data disk, a bond of two adapters, and a loop device.
fn machine() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, content) in [
        ("sys/block/nvme0n1/dev", "259:0\n"),
        ("sys/block/nvme0n1/size", "2097152\n"),
        ("sys/block/nvme0n1/queue/logical_block_size", "512\n"),
        ("sys/block/nvme0n1/queue/rotational", "0\n"),
        ("sys/block/nvme0n1/device/model", "ACME SSD  \n"),
        ("sys/block/nvme0n1/device/serial", "S123\n"),
        ("sys/block/nvme0n1/wwid", "eui.0025\n"),
        ("sys/block/nvme0n1/nvme0n1p1/partition", "1\n"),
        ("sys/block/nvme0n1/nvme0n1p1/dev", "259:1\n"),
        ("sys/block/nvme0n1/nvme0n1p1/start", "2048\n"),
        ("sys/block/nvme0n1/nvme0n1p1/size", "204800\n"),
        ("sys/block/nvme0n1/nvme0n1p2/partition", "2\n"),
        ("sys/block/nvme0n1/nvme0n1p2/dev", "259:2\n"),
        ("sys/block/nvme0n1/nvme0n1p2/start", "206848\n"),
        ("sys/block/nvme0n1/nvme0n1p2/size", "1800000\n"),
        ("sys/block/nvme0n1/nvme0n1p2/holders/dm-0/x", ""),
        ("sys/block/dm-0/dev", "253:0\n"),
        ("sys/block/dm-0/dm/name", "vg-root\n"),
        ("sys/block/dm-0/dm/uuid", "LVM-abc\n"),
        ("sys/block/sda/dev", "8:0\n"),
        ("sys/block/sda/size", "4096\n"),
        ("sys/block/sda/ro", "1\n"),
        ("sys/block/loop0/dev", "7:0\n"),
        ("sys/block/loop0/size", "100\n"),
        ("sys/block/sr0/size", "0\n"),
        ("sys/class/net/eno1/address", "52:54:00:00:00:01\n"),
        ("sys/class/net/eno1/device/vendor", "x"),
        ("sys/class/net/eno1/mtu", "9000\n"),
        ("sys/class/net/lo/address", "00:00:00:00:00:00\n"),
        ("sys/firmware/efi/x", ""),
        ("sys/class/dmi/id/sys_vendor", "ACME\n"),
        ("sys/class/dmi/id/product_name", "Server 9\n"),
        ("sys/class/dmi/id/product_uuid", "4C4C4544-0000-1000-8000-000000000001\n"),
        ("sys/class/tpm/tpm0/tpm_version_major", "2\n"),
        ("proc/sys/kernel/hostname", "web.example.org\n"),
        (
            "proc/cpuinfo",
            "processor\t: 0\nphysical id\t: 0\ncore id\t: 0\nmodel name\t: ACME\n\nprocessor\t: 1\nphysical id\t: 0\ncore id\t: 1\n\n",
        ),
        ("proc/meminfo", "MemTotal:       16311234 kB\n"),
        (
            "proc/self/mountinfo",
            "1 0 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n2 1 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n3 1 8:0 / /data ro - xfs /dev/sda ro\n",
        ),
        ("proc/swaps", "Filename Type Size Used Priority\n"),
        ("proc/101/comm", "postgres\n"),
        ("proc/101/stat", "101 (post (gres) 1) S 1 101 101 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1\n"),
        ("proc/101/status", "Name:\tpostgres\nUid:\t70\t70\t70\t70\n"),
        ("proc/101/cmdline", "postgres\0-D\0/data\0"),
        ("etc/adjtime", "0.0 0 0\n0\nLOCAL\n"),
        ("etc/os-release", "NAME=X\nPRETTY_NAME=\"ACME Linux 9\"\n"),
    ] {
        write(root, name, content);
    }
    folder
}

#[test]
fn a_machine_is_described_for_a_migration() {
    let folder = machine();
    let facts = MachineFacts::read(&Roots::at(folder.path()), &[]).unwrap();
    let paths: Vec<_> =
        facts.disks.iter().map(|disk| (disk.path.as_str(), disk.size, disk.bus.as_str())).collect();
    assert_eq!(paths, [("/dev/nvme0n1", 1 << 30, "nvme"), ("/dev/sda", 2 << 20, "scsi")]);
    let first = &facts.disks[0];
    assert_eq!(
        (first.model.as_deref(), first.identity()),
        (Some("ACME SSD"), format!("eui.0025, {} bytes", 1u64 << 30))
    );
    let places: Vec<_> = first.all_mounts().iter().map(|mount| mount.place.clone()).collect();
    assert_eq!(places, ["/boot/efi", "/"], "{first:?}");
    assert!(facts.disks[1].all_mounts()[0].read_only && facts.disks[1].read_only);
    assert_eq!((facts.databases.clone(), facts.adapters.len()), (vec!["postgres".to_owned()], 1));
    assert_eq!((facts.platform.firmware.as_str(), facts.platform.tpm.as_deref()), ("uefi", Some("2.0")));
    let json = serde_json::to_vec(&facts).unwrap();
    let facts = MachineFacts::from_json(&json).unwrap();
    let machine = facts.to_machine(&["web-nvme0n1.qcow2".into(), "web-sda.qcow2".into()]).unwrap();
    assert_eq!(
        (machine.firmware.kind, machine.cpu.count, machine.memory_mib),
        (FirmwareKind::Uefi, 2, 16128)
    );
    assert!(machine.disks[0].boot && machine.disks[0].bus == Bus::Nvme && !machine.disks[1].boot);
    assert_eq!(machine.nics[0].mac.unwrap().to_string().to_lowercase(), "52:54:00:00:00:01");
    // Anybody can send these.
    for wrong in [&b""[..], b"{}", b"[1,2", &vec![b'['; 10_000]] {
        assert!(MachineFacts::from_json(wrong).is_err());
    }
}

#[test]
fn disks_that_are_named_are_taken_whatever_they_are() {
    let folder = machine();
    let roots = Roots::at(folder.path());
    let facts = MachineFacts::read(&roots, &["/dev/loop0".into(), "/dev/dm-0".into()]);
    assert!(facts.is_err(), "dm-0 has no size here");
    let facts = MachineFacts::read(&roots, &["/dev/loop0".into()]).unwrap();
    assert_eq!((facts.disks.len(), facts.disks[0].size), (1, 51_200));
    let error = MachineFacts::read(&roots, &["/etc/passwd".into()]).unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::SourceMissing);
}

#[test]
fn what_runs_is_recorded() {
    let folder = machine();
    let facts = volatile_facts(&Roots::at(folder.path()));
    let process = &facts.processes[0];
    assert_eq!(
        (process.pid, process.parent, process.user, process.started),
        (101, Some(1), Some(70), Some(4711))
    );
    assert_eq!((process.name.as_str(), process.arguments.len()), ("post (gres) 1", 3));
    assert!(facts.lists.iter().any(|list| list.file == "/proc/self/mountinfo" && list.lines.len() == 3));
}

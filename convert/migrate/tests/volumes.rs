//! Guests whose root lies on LVM, on md, or on LVM on md: found, edited through the whole stack, and clean afterwards.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../../../drivers/md/tests/maker/mod.rs"]
mod maker;
#[path = "../../../drivers/lvm/tests/tools/mod.rs"]
mod tools;

use convert_migrate::{Inspection, inspect_disks, plan_for};
use driver_core::VolumeId;
use format_core::{OpenOptions, Overlay, open_image};
use maker::Spec;
use std::path::Path;
use std::sync::Arc;
use tools::{Disks, Run, deal, sbin, size_of};

const MIB: usize = 1 << 20;

/// A file system with these files, as mke2fs makes it.
fn ext4(size: usize, uuid: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for (path, content) in files {
        let path = tree.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let (image, tree, size) = (folder.path().join("fs"), tree.to_str().unwrap(), format!("{}k", size / 1024));
    let options = "root_owner=0:0";
    let args = ["-q", "-t", "ext4", "-U", uuid, "-E", options, "-d", tree, image.to_str().unwrap(), &size];
    let made = sbin("mke2fs", &args);
    assert!(made.status.success(), "mke2fs (package e2fsprogs): {made:?}");
    std::fs::read(image).unwrap()
}

const ROOT: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a11";
const BOOT: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a12";
const VAR: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a13";
const SYSTEM_DEVICES: &str = "/etc/lvm/devices/system.devices";

fn root(size: usize, fstab: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut files = vec![
        ("/etc/os-release", "ID=debian\nVERSION_ID=12\nNAME=Debian\n"),
        ("/etc/fstab", fstab),
        (SYSTEM_DEVICES, "VERSION=1.1.2\nIDTYPE=sys_serial IDNAME=vol0 DEVNAME=/dev/nvme0n1p2 PVID=x\n"),
    ];
    files.extend_from_slice(more);
    ext4(size, ROOT, &files)
}

/// The file system is clean, and the file is as expected.
fn judge(image: &[u8], file: &str, check: impl Fn(&str) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    std::fs::write(&path, image).unwrap();
    let path = path.to_str().unwrap();
    let checked = sbin("e2fsck", &["-fn", path]);
    assert!(checked.status.success(), "{checked:?}");
    let content = sbin("debugfs", &["-R", &format!("cat {file}"), path]).stdout;
    let content = String::from_utf8(content).unwrap();
    assert!(check(&content), "{file}: {content}");
}

fn is_there(image: &[u8], file: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fs");
    std::fs::write(&path, image).unwrap();
    let output = sbin("debugfs", &["-R", &format!("stat {file}"), path.to_str().unwrap()]);
    String::from_utf8(output.stdout).unwrap().contains("Inode:")
}

/// A disk with MBR partitions of type and content, each from a whole MiB.
fn disk(partitions: &[(u8, &[u8])]) -> Vec<u8> {
    let mut disk = vec![0; MIB];
    disk[440..444].copy_from_slice(&[1, 2, 3, 4]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (number, (kind, content)) in partitions.iter().enumerate() {
        let (entry, start) = (446 + 16 * number, disk.len());
        disk[entry + 4] = *kind;
        disk[entry + 8..entry + 12].copy_from_slice(&((start / 512) as u32).to_le_bytes());
        disk[entry + 12..entry + 16].copy_from_slice(&((content.len() / 512) as u32).to_le_bytes());
        disk.extend_from_slice(content);
        disk.resize(disk.len().next_multiple_of(MIB) + MIB, 0);
    }
    disk
}

/// The machine's disks as overlays over files.
struct Machine {
    _folder: tempfile::TempDir,
    overlays: Vec<Arc<Overlay>>,
}

impl Machine {
    fn of(disks: &[Vec<u8>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let raw = format_all::FORMATS.iter().find(|format| format.is_called("raw")).copied();
        let open = |(number, content): (usize, &Vec<u8>)| {
            let path = folder.path().join(format!("{number}.raw"));
            std::fs::write(&path, content).unwrap();
            Overlay::new(
                open_image(Path::new(&path), &OpenOptions::new(format_all::FORMATS, raw)).unwrap().disk,
            )
        };
        let overlays = disks.iter().enumerate().map(open).collect();
        Self { _folder: folder, overlays }
    }

    fn inspect(&self) -> Inspection {
        inspect_disks(&self.overlays).unwrap()
    }

    /// Plans and applies what fits a target; the disks as they are then.
    fn edited(&self) -> Vec<Vec<u8>> {
        let mut inspection = self.inspect();
        let plan = plan_for(
            &inspection,
            driver_targets::target(driver_core::Platform::HyperV, driver_core::Firmware::Bios, None).unwrap(),
            &[],
            &driver_core::Wishes::NONE,
        )
        .unwrap();
        let edits: Vec<_> = plan.edits.iter().map(|edit| edit.path.as_str()).collect();
        assert!(edits.contains(&SYSTEM_DEVICES), "{edits:?}");
        driver_core::apply(inspection.tree.as_mut().unwrap(), &plan.edits).unwrap();
        let whole = |overlay: &Arc<Overlay>| {
            let disk = overlay.disk();
            let mut bytes = vec![0; disk.virtual_size() as usize];
            disk.read_exact_at(0, &mut bytes).unwrap();
            bytes
        };
        self.overlays.iter().map(whole).collect()
    }
}

fn place(inspection: &Inspection, point: &str) -> VolumeId {
    inspection.guest.mounts.iter().find(|mount| mount.point == point).unwrap().place
}

/// Takes a volume's content out of the disks again.
fn taken(disks: &[Vec<u8>], map: &[Run], volume: &str) -> Vec<u8> {
    let mut content = vec![0; size_of(map, volume)];
    for run in map.iter().filter(|run| run.volume == volume) {
        let piece = if run.stripes.len() == 1 { run.len } else { run.stripe_size };
        let mut places = run.stripes.clone();
        for (turn, target) in content[run.start..run.start + run.len].chunks_mut(piece).enumerate() {
            let count = places.len();
            let (disk, at) = &mut places[turn % count];
            target.copy_from_slice(&disks[*disk][*at..*at + target.len()]);
            *at += target.len();
        }
    }
    content
}

#[test]
fn root_on_lvm_over_two_disks() {
    let Some(group) = Disks::blank(2, 20) else { return };
    group.lvm("pvcreate @0 @1");
    group.lvm("vgcreate -s 512k vg-0 @0 @1");
    group.lvm("lvcreate -an -Zn -Wn -l 12 -n root vg-0 @0");
    group.lvm("lvcreate -an -Zn -Wn -i 2 -I 64k -l 16 -n va-r vg-0");
    group.lvm("lvextend -l +12 vg-0/root @1");
    let (map, mut volumes) = (group.map(), group.contents());
    let fstab = "/dev/mapper/vg--0-root / ext4 defaults 0 1\n/dev/vg-0/va-r /var ext4 defaults 0 2\n\
                 /dev/nvme0n1p1 /boot ext4 defaults 0 2\n";
    let menu = "menuentry 'x' {\n\tlinux /vmlinuz-1 root=/dev/mapper/vg--0-root ro\n}\n";
    let root = root(size_of(&map, "root"), fstab, &[("/var/.keep", ""), ("/boot/.keep", "")]);
    deal(&mut volumes, &map, "root", &root);
    deal(&mut volumes, &map, "va-r", &ext4(size_of(&map, "va-r"), VAR, &[("/log/x", "x")]));
    let boot = ext4(4 * MIB, BOOT, &[("/grub/grub.cfg", menu)]);
    let first = disk(&[(0x83, &boot), (0x8e, &volumes[0])]);
    let machine = Machine::of(&[first, volumes[1].clone()]);

    let inspection = machine.inspect();
    let guest = &inspection.guest;
    assert_eq!(guest.os.as_ref().unwrap().id, "debian");
    let placed: Vec<_> =
        ["/", "/var", "/boot"].iter().map(|point| guest.place_name(place(&inspection, point))).collect();
    assert_eq!(placed, ["/dev/mapper/vg--0-root", "/dev/mapper/vg--0-va--r", "disk 0, partition 1"]);
    let json = serde_json::to_value(guest).unwrap();
    assert_eq!(json["groups"][0]["name"], "vg-0");
    assert_eq!(json["groups"][0]["parts"][0]["place"], serde_json::json!({ "disk": 0, "partition": 2 }));
    assert_eq!(json["groups"][0]["parts"][1]["place"], serde_json::json!({ "disk": 1, "partition": 0 }));
    assert_eq!(json["volumes"][1]["layout"], "striped");
    assert_eq!(json["mounts"][0]["volume"], 0);
    assert_eq!(json["disks"][0]["partitions"][1]["file_system"]["kind"], "LVM2_member");
    for spec in [format!("UUID={ROOT}"), "/dev/vg-0/root".into(), "/dev/disk/by-id/dm-name-vg--0-root".into()]
    {
        assert_eq!(guest.resolve_device(&spec), Some(place(&inspection, "/")), "{spec}");
    }
    drop(inspection);

    let after = machine.edited();
    let pv_at = 6 * MIB;
    let after_volumes = [after[0][pv_at..pv_at + 20 * MIB].to_vec(), after[1].clone()];
    let edited = taken(&after_volumes, &map, "root");
    judge(&edited, "/etc/fstab", |text| {
        text.contains("/dev/mapper/vg--0-root / ext4") && text.contains(&format!("UUID={BOOT} /boot"))
    });
    assert!(!is_there(&edited, SYSTEM_DEVICES) && is_there(&root, SYSTEM_DEVICES));
    judge(&taken(&after_volumes, &map, "va-r"), "/log/x", |text| text == "x");
    judge(&after[0][MIB..MIB + 4 * MIB], "/grub/grub.cfg", |text| {
        text.contains("root=/dev/mapper/vg--0-root ro")
    });
    // LVM's own first MiB, and what belongs to no volume, is as it was.
    let mut expected = volumes.clone();
    for name in ["root", "va-r"] {
        deal(&mut expected, &map, name, &taken(&after_volumes, &map, name));
    }
    assert!(expected == after_volumes);
    // The groups are what LVM sees on the written disks, too.
    let judge = Disks::new(&after_volumes).unwrap();
    judge.lvm("vgck vg-0");

    // Without its second disk nothing of the group can be used, and it says so.
    let alone = Machine::of(&[disk(&[(0x83, &boot), (0x8e, &volumes[0])])]).inspect();
    assert!(alone.tree.is_none());
    assert!(alone.guest.obstacles.iter().any(|text| text.contains("on none of the disks; add its disk")));
    let warnings = &alone.guest.groups[0].warnings;
    assert!(
        warnings.iter().any(|text| text.contains("1 of its 2 parts is on none of these disks")),
        "{warnings:?}"
    );
}

/// A member of a raid1 with this content.
fn member(version: &'static str, number: u32, content: &[u8], change: impl Fn(&mut Spec)) -> Vec<u8> {
    let mut spec = Spec::new(version, 1, 2, (content.len() / 512) as u64, number);
    change(&mut spec);
    spec.device(content).bytes()
}

const MDADM_CONF: &str = "ARRAY /dev/md0 metadata=1.0 UUID=30313233:34353637:38396162:63646566\n";

#[test]
fn root_on_a_mirror_that_looks_like_a_plain_file_system() {
    let fstab = "/dev/md0 / ext4 defaults 0 1\n";
    let content = root(8 * MIB, fstab, &[("/etc/mdadm/mdadm.conf", MDADM_CONF)]);
    let halves = [0, 1].map(|number| member("1.0", number, &content, |spec| spec.name = "other"));
    let machine = Machine::of(&[disk(&[(0xfd, &halves[0])]), disk(&[(0xfd, &halves[1])])]);
    let inspection = machine.inspect();
    let guest = &inspection.guest;
    assert_eq!(guest.place_name(place(&inspection, "/")), "/dev/md0");
    assert_eq!(guest.resolve_device("/dev/md/other"), guest.resolve_device("/dev/md0"));
    assert_eq!((guest.groups.len(), guest.groups[0].warnings.len()), (1, 0));
    drop(inspection);
    let after = machine.edited();
    let [first, second] = [&after[0], &after[1]].map(|disk| &disk[MIB..MIB + halves[0].len()]);
    for (half, before) in [first, second].iter().zip(&halves) {
        judge(&half[..content.len()], "/etc/fstab", |text| text == fstab);
        assert!(!is_there(&half[..content.len()], SYSTEM_DEVICES));
        assert!(half[content.len()..] == before[content.len()..], "superblocks are as they were");
    }
    assert!(first[..content.len()] == second[..content.len()], "both halves are the same");

    // The same halves on whole disks under a partition table are refused: the table may be the array's.
    let mut whole = member("1.0", 0, &[0; MIB], |_| {});
    whole[..512].copy_from_slice(&disk(&[(0x83, &[0; 512])])[..512]);
    let guest = Machine::of(&[whole]).inspect().guest;
    assert!(
        guest.obstacles.iter().any(|text| text.contains("the whole disk is a member")),
        "{:?}",
        guest.obstacles
    );
}

#[test]
fn half_of_a_mirror_is_not_edited() {
    let content = root(8 * MIB, "/dev/md7 / ext4 defaults 0 1\n", &[]);
    let half = member("1.2", 0, &content, |_| {});
    let inspection = Machine::of(&[disk(&[(0xfd, &half)])]).inspect();
    let fs = inspection.guest.file_system(place(&inspection, "/")).unwrap();
    assert!(fs.not_editable.as_ref().unwrap().contains("counts on its member 1"), "{fs:?}");
    let warnings = &inspection.guest.groups[0].warnings;
    assert!(
        warnings[0].contains("degraded") && warnings[1].contains("give their images too"),
        "{warnings:?}"
    );
}

#[test]
fn root_on_lvm_on_a_mirror() {
    let Some(group) = Disks::blank(1, 16) else { return };
    group.lvm("pvcreate @0");
    group.lvm("vgcreate -s 512k system @0");
    group.lvm("lvcreate -an -Zn -Wn -l 24 -n root system");
    let (map, mut volumes) = (group.map(), group.contents());
    let root = root(size_of(&map, "root"), "/dev/system/root / ext4 defaults 0 1\n", &[]);
    deal(&mut volumes, &map, "root", &root);
    let halves = [0, 1].map(|number| member("1.2", number, &volumes[0], |_| {}));
    // One half in a partition, the other on a whole disk.
    let machine = Machine::of(&[disk(&[(0xfd, &halves[0])]), halves[1].clone()]);
    let inspection = machine.inspect();
    let guest = &inspection.guest;
    assert_eq!(guest.place_name(place(&inspection, "/")), "/dev/mapper/system-root");
    assert_eq!(guest.groups[1].parts[0].place, guest.resolve_device("/dev/md7"));
    drop(inspection);
    let after = machine.edited();
    let data = 256 * 512;
    let first = &after[0][MIB + data..MIB + data + volumes[0].len()];
    let second = &after[1][data..data + volumes[0].len()];
    assert!(first == second, "both halves are the same");
    let edited = taken(&[first.to_vec()], &map, "root");
    judge(&edited, "/etc/fstab", |text| text == "/dev/system/root / ext4 defaults 0 1\n");
    assert!(!is_there(&edited, SYSTEM_DEVICES));
    assert!(first[..MIB] == volumes[0][..MIB], "LVM's own first MiB is as it was");
}

#[test]
fn a_group_of_another_kernel_on_an_array_of_another_kernel() {
    let Some(mut images) = tools::foreign(&["dissect.target/volumes/md-nested.bin.gz"]) else { return };
    let guest = Machine::of(&[images.remove(0)]).inspect().guest;
    let kinds: Vec<_> = guest.groups.iter().map(|group| (group.kind, group.obstacle.clone())).collect();
    assert_eq!(kinds, [(driver_core::GroupKind::Md, None), (driver_core::GroupKind::Lvm, None)]);
    assert!(guest.volumes.iter().skip(1).all(|volume| volume.devices[0].starts_with("/dev/mapper/")));
}

#[test]
fn a_thin_root_needs_a_person() {
    let Some(group) = Disks::blank(1, 16) else { return };
    group.lvm("pvcreate @0");
    group.lvm("vgcreate -s 512k vg @0");
    group.lvm("lvcreate -an -Zn -Wn -l 2 -n root vg");
    let mut image = group.contents().remove(0);
    let text = tools::text_of(&image).replacen("type = \"striped\"", "type = \"thin\"", 1);
    tools::set_text(&mut image, &text);
    let inspection = Machine::of(&[image]).inspect();
    assert!(inspection.tree.is_none());
    let text = inspection.guest.obstacles.join("\n");
    assert!(
        text.contains("logical volume vg/root: it is a thin volume") && text.contains("in the guest"),
        "{text}"
    );
}

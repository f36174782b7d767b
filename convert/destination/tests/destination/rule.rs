//! The rule, asked of volumes that are there, are not, or are others.

use crate::bench::{Bench, fails, inside, tool};
use convert_destination::{CODE, Destination, Device, Host, Place, Required, VolumeKind, init};
use format_core::Result;
use std::path::{Path, PathBuf};

fn check(folder: &Path, required: Required) -> Result<Place> {
    Destination::new(folder, required).check(&Host::system())
}

fn below(folder: &Path) -> Result<Place> {
    check(folder, Required::SubfolderOfVolume)
}

#[test]
fn only_a_folder_below_a_mounted_volume_will_do() {
    inside("rule::only_a_folder_below_a_mounted_volume_will_do", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        let place = below(&vms).unwrap();
        assert_eq!((place.folder.as_path(), place.volume.kind), (vms.as_path(), VolumeKind::Disk));
        assert_eq!(
            place.volume.uuid.as_deref(),
            Some(tool(&["findmnt", "-n", "-o", "UUID", point.to_str().unwrap()]).as_str())
        );
        let avail = tool(&["df", "-B1", "--output=avail", point.to_str().unwrap()]);
        assert_eq!(place.free_bytes.to_string(), avail.lines().last().unwrap().trim());
        fails(below(&point), 73, &[CODE, "is a mount point", "mkdir"]);
        assert!(check(&point, Required::Exists).is_ok());
        // The file system is full of nothing when it is not mounted.
        tool(&["umount", point.to_str().unwrap()]);
        fails(below(&vms), 73, &[CODE, "does not exist"]);
        fails(below(&point), 73, &[CODE, "lies on the disk that this host runs from"]);
        std::fs::create_dir(&vms).unwrap();
        fails(below(&vms), 73, &[CODE, "lies on the disk that this host runs from"]);
        std::fs::write(point.join("file"), "").unwrap();
        fails(check(&point.join("file"), Required::Exists), 73, &[CODE, "is not a folder"]);
        fails(check(&point.join("file/x"), Required::Exists), 73, &[CODE, "is not a folder"]);
    });
}

#[test]
fn memory_bind_mounts_and_read_only_volumes_will_not_do() {
    inside("rule::memory_bind_mounts_and_read_only_volumes_will_not_do", |bench| {
        let memory = bench.dir("ram");
        tool(&["mount", "-t", "tmpfs", "none", memory.to_str().unwrap()]);
        std::fs::create_dir(memory.join("vms")).unwrap();
        fails(below(&memory.join("vms")), 73, &[CODE, "lies in memory (tmpfs)"]);
        // A folder of the root disk under another name is the root disk.
        let (origin, bound) = (bench.dir("origin/vms"), bench.dir("bound"));
        tool(&["mount", "--bind", origin.parent().unwrap().to_str().unwrap(), bound.to_str().unwrap()]);
        fails(below(&bound.join("vms")), 73, &[CODE, "lies on the disk that this host runs from"]);
        let (point, vms) = bench.destination("backup", "xfs", "rw");
        tool(&["mount", "-o", "remount,ro", point.to_str().unwrap()]);
        fails(below(&vms), 73, &["is mounted read-only"]);
    });
}

#[test]
fn links_are_judged_by_where_they_lead() {
    inside("rule::links_are_judged_by_where_they_lead", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        let link = |to: &Path, name: &Path| -> PathBuf {
            std::os::unix::fs::symlink(to, name).unwrap();
            name.to_path_buf()
        };
        let into = link(&vms, &bench.path("into"));
        assert_eq!(below(&into).unwrap().folder, vms);
        let out = link(&bench.dir("elsewhere"), &point.join("out"));
        fails(below(&out), 73, &[CODE, "lies on the disk that this host runs from"]);
        tool(&["umount", point.to_str().unwrap()]);
        fails(below(&into), 73, &[CODE, "does not exist"]);
        let circle = link(&bench.path("circle"), &bench.path("circle"));
        fails(below(&circle), 74, &["cannot be opened"]);
    });
}

#[test]
fn expectations_are_held_against_what_is_mounted() {
    inside("rule::expectations_are_held_against_what_is_mounted", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        let (_, other) = bench.destination("other", "ext4", "rw");
        let device = tool(&["findmnt", "-n", "-o", "SOURCE", point.to_str().unwrap()]);
        let uuid = tool(&["findmnt", "-n", "-o", "UUID", point.to_str().unwrap()]);
        let link = bench.path("by-label");
        std::os::unix::fs::symlink(&device, &link).unwrap();
        let host = Host::system();
        let expected = |folder: &Path, device: &Device| {
            let base = Destination::new(folder, Required::SubfolderOfVolume);
            let destination =
                Destination { mount_point: Some(point.clone()), device: Some(device.clone()), ..base };
            destination.check(&host)
        };
        for is in [Device::Uuid(uuid.to_uppercase()), Device::Source(device.into()), Device::Source(link)] {
            expected(&vms, &is).unwrap();
            fails(
                expected(&other, &is),
                73,
                &[CODE, &format!("its volume is mounted at {}", point.display())],
            );
        }
        for is in [Device::Uuid("aaaa-bbbb".into()), Device::Source("/dev/null".into())] {
            fails(expected(&vms, &is), 73, &[CODE, "not on "]);
        }
    });
}

#[test]
fn the_table_of_file_systems_knows_what_is_not_mounted() {
    inside("rule::the_table_of_file_systems_knows_what_is_not_mounted", |bench| {
        // A mount point that lies on a volume, and not on the root disk.
        let (point, vms) = bench.destination("srv", "ext4", "rw");
        let fstab = bench.path("fstab");
        std::fs::write(&fstab, format!("LABEL=x {}/ ext4 noauto\n", vms.display())).unwrap();
        let host = Host { fstab, ..Host::system() };
        let images = vms.join("images");
        std::fs::create_dir(&images).unwrap();
        let check = |folder: &Path, required: Required| Destination::new(folder, required).check(&host);
        fails(check(&images, Required::SubfolderOfVolume), 73, &[CODE, "no volume is mounted at", "mount /"]);
        fails(init(&host, &images), 73, &[CODE, "is not mounted"]);
        assert!(check(&images, Required::Exists).is_ok());
        std::fs::create_dir(point.join("beside")).unwrap();
        assert!(check(&point.join("beside"), Required::SubfolderOfVolume).is_ok());
    });
}

#[test]
fn a_destination_survives_as_json() {
    let destination = Destination {
        mount_point: Some("/mnt/b".into()),
        device: Some(Device::Uuid("ABCD-1234".into())),
        ..Destination::new("/mnt/b/vms", Required::Marked(None))
    };
    let text = serde_json::to_string(&destination).unwrap();
    assert_eq!(serde_json::from_str::<Destination>(&text).unwrap(), destination);
    let least = r#"{"folder":"/a","required":"subfolder-of-volume"}"#;
    let least: Destination = serde_json::from_str(least).unwrap();
    assert_eq!(least, Destination::new("/a", Required::SubfolderOfVolume));
}

#[test]
fn hostile_names_of_mounts_are_nothing_special() {
    inside("rule::hostile_names_of_mounts_are_nothing_special", |bench| {
        hostile(bench);
    });
}

fn hostile(bench: &Bench) {
    use std::os::unix::ffi::OsStringExt;
    let names = [
        &b"a b"[..],
        b"line\nbreak",
        "gr\u{fc}n \u{1f4be}".as_bytes(),
        b"\xff\xfe",
        b"back\\040slash",
        b"$(touch pwned)'\"",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let device = bench.volume(&format!("{number}.img"), "ext4");
        let point = bench.folder.join(std::ffi::OsString::from_vec(name.to_vec()));
        std::fs::create_dir(&point).unwrap();
        let status = std::process::Command::new("mount").arg(&device).arg(&point).status().unwrap();
        assert!(status.success());
        let vms = point.join("vms");
        std::fs::create_dir(&vms).unwrap();
        assert_eq!(below(&vms).unwrap().folder, vms);
        let id = init(&Host::system(), &point).unwrap().0.id;
        assert!(check(&point, Required::Marked(Some(id))).is_ok());
        let isolation = convert_destination::Isolation::Unmount;
        bench.leave(&vms, &isolation).unwrap();
        fails(check(&point, Required::Marked(Some(id))), 73, &[CODE]);
        assert_eq!(bench.enter(&vms).unwrap().mounted.len(), 1, "{}", point.display());
        assert!(check(&point, Required::Marked(Some(id))).is_ok());
        assert!(vms.is_dir());
        bench.leave(&vms, &isolation).unwrap();
        tool(&["losetup", "-d", &device]);
    }
}

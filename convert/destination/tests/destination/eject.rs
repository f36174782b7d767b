//! A USB disk that this machine does not have: a sysfs made of files over a loop device, and a thread as the kernel that
//! takes the disk away when it is told to.

use crate::bench::{Bench, fails, inside, is_mounted, tool, with};
use convert_destination::{Entered, Host, Isolation, Left};
use format_core::Result;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const UNIT: &str = "devices/pci0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0";

/// A machine with the disk sdz, whose partitions are `devices`.
fn plug_in(bench: &Bench, devices: &[&str], bus: &str) -> Host {
    let (sys, dev) = (bench.path("sys"), bench.path("dev"));
    for folder in [&sys, &dev] {
        let _ = fs::remove_dir_all(folder);
    }
    let unit = sys.join(UNIT.replace("usb2", bus));
    let disk = unit.join("block/sdz");
    let folders = [disk.join("holders"), sys.join("block"), sys.join("class/block"), sys.join("dev/block")];
    for folder in folders.iter().chain([&dev]) {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(disk.join("dev"), "8:400\n").unwrap();
    fs::write(unit.join("delete"), "").unwrap();
    let port = sys.join("devices/pci0").join(bus).join("2-1");
    fs::write(port.join("remove"), "").unwrap();
    fs::write(port.join("idVendor"), "1234\n").unwrap();
    symlink(&unit, disk.join("device")).unwrap();
    symlink(&disk, sys.join("block/sdz")).unwrap();
    fs::write(dev.join("sdz"), "").unwrap();
    for (number, device) in (1..).zip(devices) {
        let part = disk.join(format!("sdz{number}"));
        fs::create_dir_all(part.join("holders")).unwrap();
        let device_number = tool(&["lsblk", "-n", "-d", "-o", "MAJ:MIN", device]).trim().to_owned();
        let name = Path::new(device).file_name().unwrap();
        fs::write(part.join("dev"), format!("{device_number}\n")).unwrap();
        fs::write(part.join("partition"), format!("{number}\n")).unwrap();
        fs::write(part.join("uevent"), format!("DEVNAME={}\n", name.display())).unwrap();
        fs::write(part.join("size"), "655360\n").unwrap();
        symlink(&part, sys.join("class/block").join(format!("sdz{number}"))).unwrap();
        symlink(&part, sys.join("dev/block").join(device_number)).unwrap();
        symlink(device, dev.join(name)).unwrap();
    }
    Host { sys, dev, ..Host::system() }
}

/// Takes the disk away when `delete` is written to, as the kernel does.
fn kernel(host: &Host, devices: &[&str]) -> std::thread::JoinHandle<()> {
    let sys = host.sys.clone();
    let devices: Vec<String> = devices.iter().map(|device| (*device).to_owned()).collect();
    std::thread::spawn(move || {
        while fs::read_to_string(sys.join(UNIT).join("delete")).unwrap() != "1" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fs::remove_file(sys.join("block/sdz")).unwrap();
        fs::remove_dir_all(sys.join("dev/block")).unwrap();
        fs::remove_dir_all(sys.join(UNIT)).unwrap();
        devices.iter().for_each(|device| drop(tool(&["losetup", "-d", device])));
    })
}

fn leave(bench: &Bench, host: &Host, folder: &Path) -> Result<Left> {
    with(host, &bench.path("state"), &[], |it| it.leave(folder, &Isolation::Eject))
}

fn enter(bench: &Bench, host: &Host, folder: &Path) -> Result<Entered> {
    with(host, &bench.path("state"), &[], |it| it.enter(folder))
}

fn destination(bench: &Bench) -> (PathBuf, PathBuf, String) {
    let (point, vms) = bench.destination("backup", "ext4", "nosuid,nodev");
    let device = tool(&["findmnt", "-n", "-o", "SOURCE", point.to_str().unwrap()]);
    (point, vms, device)
}

#[test]
fn the_disk_goes_and_a_person_brings_it_back() {
    inside("eject::the_disk_goes_and_a_person_brings_it_back", |bench| {
        let (point, vms, device) = destination(bench);
        let host = plug_in(bench, &[&device], "usb2");
        let before = crate::bench::findmnt(&point);
        let taking = kernel(&host, &[&device]);
        let left = leave(bench, &host, &vms).unwrap();
        taking.join().unwrap();
        assert_eq!((left.detached.as_deref(), left.already), (Some("sdz"), false));
        assert!(left.verified.iter().any(|line| line.contains("switched off")), "{:?}", left.verified);
        assert_eq!(fs::read_to_string(host.sys.join("devices/pci0/usb2/2-1/remove")).unwrap(), "1");
        assert!(!is_mounted(&point));
        assert!(leave(bench, &host, &vms).unwrap().already);
        fails(enter(bench, &host, &vms), 78, &["it was ejected (sdz)", "plug the disk in"]);
        let device = bench.attach("backup.img");
        let host = plug_in(bench, &[&device], "usb2");
        assert_eq!(enter(bench, &host, &vms).unwrap().how, Some("eject"));
        assert_eq!(crate::bench::findmnt(&point), before);
        assert_eq!(bench.records(), 0);
    });
}

#[test]
fn disks_that_are_no_usb_disks_or_are_in_use_stay() {
    inside("eject::disks_that_are_no_usb_disks_or_are_in_use_stay", |bench| {
        let (point, vms, device) = destination(bench);
        let refused = |host: &Host, code: u8, says: &[&str]| {
            fails(leave(bench, host, &vms), code, says);
            assert!(is_mounted(&point) && bench.records() == 0);
        };
        refused(&Host::system(), 69, &["is no USB disk", "--how unmount"]);
        refused(&plug_in(bench, &[&device], "ata2"), 69, &["is no USB disk"]);
        let host = plug_in(bench, &[&device], "usb2");
        let disk = host.sys.join(UNIT).join("block/sdz");
        fs::create_dir(disk.join("sdz1/holders/dm-0")).unwrap();
        refused(&host, 78, &["is used by dm-0", "cryptsetup close"]);
        fs::remove_dir(disk.join("sdz1/holders/dm-0")).unwrap();
        // A kernel that does not take it away.
        fails(leave(bench, &host, &vms), 75, &["is still there after it was detached"]);
        assert_eq!(fs::read_to_string(host.sys.join(UNIT).join("delete")).unwrap(), "1");
        assert!(!is_mounted(&point));
        // A killed run goes on where it was.
        fs::write(host.sys.join(UNIT).join("delete"), "").unwrap();
        let taking = kernel(&host, &[&device]);
        assert!(!leave(bench, &host, &vms).unwrap().already);
        taking.join().unwrap();
    });
}

#[test]
fn all_partitions_go_and_come_back_the_lowest_first() {
    inside("eject::all_partitions_go_and_come_back_the_lowest_first", |bench| {
        let (point, vms, device) = destination(bench);
        // The second partition is mounted on a folder of the first, and a second time elsewhere.
        let second = bench.volume("second.img", "xfs");
        let inner = bench.mount(&second, "backup/inner", "noexec");
        let again = bench.mount(&second, "again", "noexec");
        let host = plug_in(bench, &[&device, &second], "usb2");
        let before = [&point, &inner, &again].map(|point| crate::bench::findmnt(point));
        let taking = kernel(&host, &[&device, &second]);
        let left = leave(bench, &host, &vms).unwrap();
        taking.join().unwrap();
        assert_eq!(left.unmounted.len(), 3);
        assert!(!is_mounted(&point) && !is_mounted(&inner) && !is_mounted(&again));
        let (second, device) = (bench.attach("second.img"), bench.attach("backup.img"));
        let host = plug_in(bench, &[&device, &second], "usb2");
        assert_eq!(enter(bench, &host, &vms).unwrap().mounted.len(), 3);
        assert_eq!([&point, &inner, &again].map(|point| crate::bench::findmnt(point)), before);
    });
}

//! A USB disk that this machine does not have: a sysfs made of files over a loop device, and a thread as the kernel that
//! takes the disk away when it is told to.

use crate::bench::{Bench, fails, inside, is_mounted, tool, with};
use convert_destination::{Entered, Host, Isolation, Left};
use format_core::Result;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const UNIT: &str = "devices/pci0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0";

/// A machine with the disk sdz, whose first partition is `device`.
fn plug_in(bench: &Bench, device: &str, bus: &str) -> Host {
    let (sys, dev) = (bench.path("sys"), bench.path("dev"));
    for folder in [&sys, &dev] {
        let _ = fs::remove_dir_all(folder);
    }
    let unit = sys.join(UNIT.replace("usb2", bus));
    let disk = unit.join("block/sdz");
    for folder in [
        disk.join("sdz1/holders"),
        disk.join("holders"),
        sys.join("block"),
        sys.join("dev/block"),
        dev.clone(),
    ] {
        fs::create_dir_all(folder).unwrap();
    }
    let number = tool(&["lsblk", "-n", "-d", "-o", "MAJ:MIN", device]).trim().to_owned();
    let loop_name = Path::new(device).file_name().unwrap();
    fs::write(disk.join("dev"), "8:400\n").unwrap();
    fs::write(disk.join("sdz1/dev"), format!("{number}\n")).unwrap();
    fs::write(disk.join("sdz1/partition"), "1\n").unwrap();
    fs::write(disk.join("sdz1/uevent"), format!("DEVNAME={}\n", loop_name.display())).unwrap();
    fs::write(unit.join("delete"), "").unwrap();
    let port = sys.join("devices/pci0").join(bus).join("2-1");
    fs::write(port.join("remove"), "").unwrap();
    fs::write(port.join("idVendor"), "1234\n").unwrap();
    symlink(&unit, disk.join("device")).unwrap();
    symlink(&disk, sys.join("block/sdz")).unwrap();
    fs::write(disk.join("sdz1/size"), "655360\n").unwrap();
    fs::create_dir_all(sys.join("class/block")).unwrap();
    symlink(disk.join("sdz1"), sys.join("class/block/sdz1")).unwrap();
    symlink(disk.join("sdz1"), sys.join("dev/block").join(number)).unwrap();
    symlink(device, dev.join(loop_name)).unwrap();
    fs::write(dev.join("sdz"), "").unwrap();
    Host { sys, dev, ..Host::system() }
}

/// Takes the disk away when `delete` is written to, as the kernel does.
fn kernel(host: &Host, device: &str) -> std::thread::JoinHandle<()> {
    let (sys, device) = (host.sys.clone(), device.to_owned());
    std::thread::spawn(move || {
        while fs::read_to_string(sys.join(UNIT).join("delete")).unwrap() != "1" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        fs::remove_file(sys.join("block/sdz")).unwrap();
        fs::remove_dir_all(sys.join("dev/block")).unwrap();
        fs::remove_dir_all(sys.join(UNIT)).unwrap();
        tool(&["losetup", "-d", &device]);
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
        let host = plug_in(bench, &device, "usb2");
        let before = crate::bench::findmnt(&point);
        let taking = kernel(&host, &device);
        let left = leave(bench, &host, &vms).unwrap();
        taking.join().unwrap();
        assert_eq!((left.detached.as_deref(), left.already), (Some("sdz"), false));
        assert!(left.verified.iter().any(|line| line.contains("switched off")), "{:?}", left.verified);
        assert_eq!(fs::read_to_string(host.sys.join("devices/pci0/usb2/2-1/remove")).unwrap(), "1");
        assert!(!is_mounted(&point));
        assert!(leave(bench, &host, &vms).unwrap().already);
        fails(enter(bench, &host, &vms), 78, &["it was ejected (sdz)", "plug the disk in"]);
        let device = bench.attach("backup.img");
        let host = plug_in(bench, &device, "usb2");
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
        refused(&plug_in(bench, &device, "ata2"), 69, &["is no USB disk"]);
        let host = plug_in(bench, &device, "usb2");
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
        let taking = kernel(&host, &device);
        assert!(!leave(bench, &host, &vms).unwrap().already);
        taking.join().unwrap();
    });
}

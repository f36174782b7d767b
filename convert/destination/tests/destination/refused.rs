//! What is not unmounted, and why.

use crate::bench::{Bench, fails, findmnt, inside, is_mounted, tool};
use convert_destination::{CODE, Isolation};
use std::path::Path;

fn refused(bench: &Bench, folder: &Path, code: u8, says: &[&str]) {
    let before = tool(&["findmnt", "-n", "-l"]);
    fails(bench.leave(folder, &Isolation::Unmount), code, says);
    assert_eq!(tool(&["findmnt", "-n", "-l"]), before);
    assert_eq!(bench.records(), 0);
}

#[test]
fn what_others_need_stays() {
    inside("refused::what_others_need_stays", |bench| {
        refused(bench, &bench.dir("root/vms"), 2, &["never unmounted"]);
        refused(bench, Path::new("/"), 2, &["never unmounted"]);
        refused(bench, &bench.path("missing"), 73, &[CODE, "does not exist"]);
        let bound = bench.dir("bound");
        tool(&["mount", "--bind", bench.dir("root").to_str().unwrap(), bound.to_str().unwrap()]);
        refused(bench, &bound, 2, &["never unmounted"]);
        let memory = bench.dir("memory");
        tool(&["mount", "-t", "tmpfs", "none", memory.to_str().unwrap()]);
        refused(bench, &memory, 69, &["lies in memory"]);
        // Below it, beside it, and a part of it.
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        let nested = point.join("nested");
        std::fs::create_dir(&nested).unwrap();
        tool(&["mount", "-t", "tmpfs", "none", nested.to_str().unwrap()]);
        refused(bench, &vms, 78, &["is mounted below", "findmnt -R"]);
        tool(&["umount", nested.to_str().unwrap()]);
        let again = bench.dir("again");
        tool(&["mount", "--bind", vms.to_str().unwrap(), again.to_str().unwrap()]);
        refused(bench, &vms, 78, &["is also mounted at", "umount "]);
        tool(&["umount", point.to_str().unwrap()]);
        refused(bench, &again, 69, &["shows only the folder /vms"]);
        assert!(is_mounted(&again));
    });
}

#[test]
fn what_the_program_needs_stays() {
    inside("refused::what_the_program_needs_stays", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        let before = findmnt(&point);
        for keep in [point.join("log"), point.join("not/yet/there"), vms.join("web.raw")] {
            let said = bench.leave_keeping(&vms, &Isolation::Unmount, std::slice::from_ref(&keep));
            fails(said, 2, &["is needed while that is unmounted"]);
        }
        let host = convert_destination::Host::system();
        let said =
            crate::bench::with(&host, &point.join("state"), &[], |it| it.leave(&vms, &Isolation::Unmount));
        fails(said, 2, &["is needed while that is unmounted"]);
        assert_eq!(findmnt(&point), before);
        bench.leave_keeping(&vms, &Isolation::Unmount, &[bench.path("log")]).unwrap();
    });
}

#[test]
fn what_would_not_come_back_stays() {
    inside("refused::what_would_not_come_back_stays", |bench| {
        let image = bench.path("disk.img");
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        tool(&["mkfs.ext4", "-q", image.to_str().unwrap()]);
        let point = bench.mount(image.to_str().unwrap(), "point", "loop");
        refused(bench, &point, 69, &["vanishes when it is unmounted", "losetup --find --show"]);
        let over = bench.dir("over");
        let layers = ["lower", "upper", "work"].map(|name| bench.dir(name).display().to_string());
        let options = format!("lowerdir={},upperdir={},workdir={}", layers[0], layers[1], layers[2]);
        tool(&["mount", "-t", "overlay", "-o", &options, "overlay", over.to_str().unwrap()]);
        refused(bench, &over, 69, &["has no entry in /etc/fstab"]);
    });
}

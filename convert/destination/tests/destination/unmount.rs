//! Unmounted after the last write, as it was before the next.

use crate::bench::{Holding, fails, findmnt, inside, is_mounted, text, tool, try_tool};
use convert_destination::{CODE, Isolation, init};
use std::path::Path;
use std::time::{Duration, Instant};

const UNMOUNT: Isolation = Isolation::Unmount;

#[test]
fn the_volume_goes_and_comes_back_with_its_options() {
    inside("unmount::the_volume_goes_and_comes_back_with_its_options", |bench| {
        for (name, fs, options) in [
            ("ext", "ext4", "nosuid,nodev,noexec,noatime,errors=remount-ro,commit=17"),
            ("plain", "ext4", "rw"),
            ("sync", "ext4", "sync,dirsync,strictatime,nodiratime"),
            ("lazy", "ext4", "lazytime,nosymfollow"),
            ("xfs", "xfs", "nosuid,nodev,noatime,inode64,logbsize=64k"),
        ] {
            let (point, vms) = bench.destination(name, fs, options);
            let id = init(&convert_destination::Host::system(), &vms).unwrap().0.id;
            let before = findmnt(&point);
            let left = bench.leave(&vms, &UNMOUNT).unwrap();
            assert_eq!((left.how, left.already), ("unmount", false));
            assert_eq!(left.unmounted, [point.display().to_string()]);
            assert!(left.verified.iter().any(|line| line.contains("exclusive use")), "{:?}", left.verified);
            assert!(!is_mounted(&point) && !vms.exists());
            // Again: nothing is done, everything is looked at.
            let again = bench.leave(&vms, &UNMOUNT).unwrap();
            assert!(again.already && again.verified.len() == left.verified.len(), "{again:?}");
            let entered = bench.enter(&vms).unwrap();
            assert_eq!((entered.how, entered.mounted.len()), (Some("unmount"), 1));
            assert_eq!(entered.place.marker.map(|marker| marker.id), Some(id));
            assert_eq!(findmnt(&point), before);
            assert_eq!(std::fs::read_to_string(vms.join("web.raw")).unwrap(), "content");
            assert_eq!(bench.records(), 0);
            let entered = bench.enter(&vms).unwrap();
            assert_eq!((entered.how, entered.mounted.len()), (None, 0));
        }
    });
}

#[test]
fn a_subvolume_comes_back_as_that_subvolume() {
    inside("unmount::a_subvolume_comes_back_as_that_subvolume", |bench| {
        let device = bench.volume("disk.img", "btrfs");
        let whole = bench.mount(&device, "whole", "rw");
        tool(&["btrfs", "subvolume", "create", whole.join("back up").to_str().unwrap()]);
        std::fs::create_dir(whole.join("back up/vms")).unwrap();
        tool(&["umount", whole.to_str().unwrap()]);
        let point = bench.mount(&device, "point", "nodev,noatime,compress=zstd:3,subvol=back up");
        let before = findmnt(&point);
        bench.leave(&point.join("vms"), &UNMOUNT).unwrap();
        assert!(!is_mounted(&point));
        bench.enter(&point.join("vms")).unwrap();
        assert_eq!(findmnt(&point), before);
        assert!(before.contains("back"), "{before}");
    });
}

#[test]
fn who_keeps_it_busy_is_named_and_waited_for() {
    inside("unmount::who_keeps_it_busy_is_named_and_waited_for", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        let busy = |says: &[&str]| {
            let begun = Instant::now();
            fails(bench.leave(&vms, &UNMOUNT), 75, says);
            assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait");
            assert!(is_mounted(&point), "it must never be unmounted lazily");
        };
        {
            let sleeper = Holding::start(&["sleep", "100"], &vms);
            busy(&[&format!("sleep (process {}: its working folder)", sleeper.id()), "fuser -vm"]);
        }
        {
            let file = vms.join("web.raw");
            let _tail = Holding::start(&["tail", "-f", file.to_str().unwrap()], Path::new("/"));
            busy(&["tail (process ", "open file ", "web.raw"]);
        }
        {
            std::fs::copy("/bin/sleep", vms.join("program")).unwrap();
            let program = vms.join("program");
            let _program = Holding::start(&[program.to_str().unwrap(), "100"], Path::new("/"));
            busy(&["program (process ", "its program"]);
        }
        {
            std::fs::File::create(vms.join("inner.img")).unwrap().set_len(1 << 20).unwrap();
            let inner = tool(&["losetup", "--find", "--show", vms.join("inner.img").to_str().unwrap()]);
            busy(&["the kernel (loop", "inner.img"]);
            tool(&["losetup", "-d", &inner]);
        }
        {
            let swap = vms.join("swap");
            tool(&[
                "dd",
                "if=/dev/zero",
                &format!("of={}", swap.display()),
                "bs=1M",
                "count=8",
                "status=none",
            ]);
            tool(&["chmod", "600", swap.to_str().unwrap()]);
            tool(&["mkswap", swap.to_str().unwrap()]);
            tool(&["swapon", swap.to_str().unwrap()]);
            let said = bench.leave(&vms, &UNMOUNT);
            tool(&["swapoff", swap.to_str().unwrap()]);
            fails(said, 75, &["the kernel (swap file "]);
        }
        // Who ends in time is no matter.
        let _short = Holding::start(&["sleep", "0.7"], &vms);
        bench.leave(&vms, &UNMOUNT).unwrap();
        bench.enter(&vms).unwrap();
    });
}

#[test]
fn a_volume_that_another_namespace_sees_is_not_isolated() {
    inside("unmount::a_volume_that_another_namespace_sees_is_not_isolated", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        {
            let _other = Holding::start(&["unshare", "--mount", "sleep", "100"], Path::new("/"));
            fails(
                bench.leave(&vms, &UNMOUNT),
                75,
                &["is still mounted for other processes: sleep (process "],
            );
            assert!(!is_mounted(&point));
            // It stays that way, and is said again.
            fails(bench.leave(&vms, &UNMOUNT), 75, &["is still mounted for other processes"]);
        }
        let left = bench.leave(&vms, &UNMOUNT).unwrap();
        assert!(!left.already, "{left:?}");
        bench.enter(&vms).unwrap();
        assert!(vms.is_dir());
    });
}

#[test]
fn the_volume_is_found_by_its_uuid_and_no_other_takes_its_place() {
    inside("unmount::the_volume_is_found_by_its_uuid_and_no_other_takes_its_place", |bench| {
        let (point, vms) = bench.destination("backup", "xfs", "nodev");
        let before = findmnt(&point);
        let device = tool(&["findmnt", "-n", "-o", "SOURCE", point.to_str().unwrap()]);
        bench.leave(&vms, &UNMOUNT).unwrap();
        // Unplugged.
        tool(&["losetup", "-d", &device]);
        fails(bench.enter(&vms), 73, &[CODE, "is not there", "plug the disk in"]);
        // Another disk comes in under its name.
        let other = bench.volume("other.img", "xfs");
        fails(bench.enter(&vms), 73, &[CODE, "is not there"]);
        // And under its place.
        tool(&["mount", &other, point.to_str().unwrap()]);
        fails(bench.enter(&vms), 73, &[CODE, ", where ", "umount "]);
        tool(&["umount", point.to_str().unwrap()]);
        // Plugged in again, an automounter was faster.
        let device = bench.attach("backup.img");
        let away = bench.mount(&device, "away", "rw");
        fails(bench.enter(&vms), 73, &[CODE, &format!("is mounted at {}", away.display())]);
        assert!(!is_mounted(&point));
        tool(&["umount", away.to_str().unwrap()]);
        bench.enter(&vms).unwrap();
        assert_eq!(findmnt(&point), before);
        // The mount point is another's, or gone.
        bench.leave(&vms, &UNMOUNT).unwrap();
        std::fs::remove_dir(&point).unwrap();
        fails(bench.enter(&vms), 73, &[CODE, "is gone", "mkdir -p"]);
        std::os::unix::fs::symlink(bench.dir("trap"), &point).unwrap();
        fails(bench.enter(&vms), 73, &[CODE, "is not a folder"]);
    });
}

#[test]
fn an_automounters_folder_is_made_again() {
    inside("unmount::an_automounters_folder_is_made_again", |bench| {
        tool(&["mount", "-t", "tmpfs", "none", "/media"]);
        let device = bench.volume("disk.img", "ext4");
        let point = Path::new("/media/ann/BACKUP");
        std::fs::create_dir_all(point).unwrap();
        tool(&["mount", &device, point.to_str().unwrap()]);
        bench.leave(point, &UNMOUNT).unwrap();
        std::fs::remove_dir_all("/media/ann").unwrap();
        bench.enter(point).unwrap();
        assert!(is_mounted(point));
    });
}

#[test]
fn a_state_that_others_can_write_is_not_believed() {
    inside("unmount::a_state_that_others_can_write_is_not_believed", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "rw");
        let state = bench.dir("state");
        let mode = |mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&state, mode).unwrap();
        };
        mode(0o777);
        fails(bench.leave(&vms, &UNMOUNT), 77, &["others can write"]);
        fails(bench.enter(&vms), 77, &["others can write"]);
        assert!(is_mounted(&point));
        mode(0o755);
        tool(&["chown", "1000", state.to_str().unwrap()]);
        fails(bench.leave(&vms, &UNMOUNT), 77, &["others can write"]);
        tool(&["chown", "0", state.to_str().unwrap()]);
        bench.leave(&vms, &UNMOUNT).unwrap();
        std::fs::write(state.join("isolated-0.json"), "{}").unwrap();
        fails(bench.enter(&bench.path("another")), 78, &["is no record of an isolation"]);
    });
}

#[test]
fn two_runs_do_not_meet_and_a_hand_that_helps_is_seen() {
    inside("unmount::two_runs_do_not_meet_and_a_hand_that_helps_is_seen", |bench| {
        let (point, vms) = bench.destination("backup", "ext4", "noatime");
        let device = tool(&["findmnt", "-n", "-o", "SOURCE", point.to_str().unwrap()]);
        bench.leave(&vms, &UNMOUNT).unwrap();
        {
            let state = bench.path("state");
            let _lock = Holding::start(&["flock", state.to_str().unwrap(), "sleep", "100"], Path::new("/"));
            fails(bench.enter(&vms), 75, &["another run isolates or restores"]);
        }
        // The lock is that of a program which flock started, too.
        let said = try_tool(&["pkill", "-x", "sleep"]);
        assert!(said.status.success(), "{}", text(&said.stderr));
        std::thread::sleep(Duration::from_millis(200));
        // Mounted by hand: that is noticed, and the next run isolates it anew.
        tool(&["mount", &device, point.to_str().unwrap()]);
        let left = bench.leave(&vms, &UNMOUNT).unwrap();
        assert!(!left.already && !is_mounted(&point));
        bench.enter(&vms).unwrap();
        // As it was mounted last.
        assert!(!findmnt(&point).contains("noatime"));
        bench.leave(&vms, &UNMOUNT).unwrap();
        let how = Isolation::NetworkDown { interface: "lo".into(), yes_i_lose_network: true };
        fails(bench.leave(&vms, &how), 2, &["is isolated already, by unmount"]);
    });
}

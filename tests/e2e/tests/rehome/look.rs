//! Looking into images: what is mounted is what the kernel mounts of the same bytes, and nothing of a guest gets out of the folder that
//! was named.

use crate::bench::{Bench, Mounted, is_root, signal};
use crate::guest;
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Child;

/// A mount that runs; it ends with the test.
struct Looking {
    child: Child,
    told: Value,
    _mounted: Mounted,
}

impl Looking {
    fn start(bench: &Bench, images: &[&str]) -> Self {
        std::fs::create_dir_all(bench.path("m")).unwrap();
        let mut child = bench.spawn(&[&["mount", "--output", "json"][..], images, &["m"]].concat());
        let (mut text, mut byte) = (Vec::new(), [0]);
        let stdout = child.stdout.as_mut().unwrap();
        while !text.ends_with(b"\n}\n") && stdout.read(&mut byte).unwrap() == 1 {
            text.push(byte[0]);
        }
        let told = serde_json::from_slice::<Value>(&text).expect("what is mounted, as JSON");
        Self { child, told, _mounted: Mounted(bench.path("m")) }
    }

    fn places(&self) -> Vec<&str> {
        self.told["places"].as_array().unwrap().iter().map(|place| place["path"].as_str().unwrap()).collect()
    }

    /// Most memory that was resident, in KiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn ends(mut self) -> String {
        let start = std::time::Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed().as_secs() < 20, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        said
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Four partitions, of which the kernel mounts two, mtools reads one, and ntfs-3g one.
const FOUR: &str = "set -e; mkdir -p tree/etc/deep tree/many k
    echo one >tree/etc/one; head -c 3000001 /dev/urandom >tree/large; : >tree/empty
    for number in $(seq 300); do echo $number >tree/many/file$number; done
    cp -r tree flat; ln -s etc/one tree/link; ln -s /nowhere tree/dangling; chmod 750 tree/etc/deep; chmod 4755 tree/etc/one
    printf end | dd of=tree/sparse bs=1 seek=50000000 status=none
    truncate -s 480M disk.raw
    printf 'start=2048,size=81920,type=c\nstart=83968,size=122880,type=83\nstart=206848,size=81920,type=7\nstart=288768,size=655360,type=83\n' | sfdisk -q disk.raw
    truncate -s 40M 1; mkfs.vfat -F 32 1 >/dev/null; mcopy -s -i 1 flat/* ::
    mkfs.ext4 -q -F -d tree 2 60M
    truncate -s 40M 3; mkfs.ntfs -q -Q -F 3 >/dev/null 2>&1; ntfs-3g 3 k; cp -r flat/. k/; umount k
    truncate -s 320M 4; mkfs.xfs -q 4; mount -o loop 4 k; cp -a tree/. k/; umount k
    for part in 1:1 2:41 3:101 4:141; do dd if=${part%:*} of=disk.raw bs=1M seek=${part#*:} conv=notrunc,sparse status=none; done";

#[test]
fn what_is_mounted_is_what_others_read() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.bash(FOUR).ends(0);
    bench.qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "disk.qcow2"]);
    let before = bench.fingerprint("disk.qcow2");
    let looking = Looking::start(&bench, &["disk.qcow2"]);
    let partitions = ["partitions/1.raw", "partitions/2.raw", "partitions/3.raw", "partitions/4.raw"];
    let expected = [&["disk.raw"][..], &partitions, &["fs/1", "fs/2", "fs/3", "fs/4"]].concat();
    assert_eq!(looking.places(), expected);
    bench.qemu_img(&["convert", "-f", "qcow2", "-O", "raw", "disk.qcow2", "copy.raw"]);
    bench
        .bash("set -e; cmp m/disk.raw copy.raw; for n in 1 2 3 4; do cmp m/partitions/$n.raw $n; done")
        .ends(0);
    bench
        .bash(
            "set -e; mount -o ro,loop,noload m/partitions/2.raw k; rm -rf k/lost+found 2>/dev/null || true
        diff -r --no-dereference k m/fs/2; umount k
        mount -o ro,loop,norecovery,nouuid m/partitions/4.raw k; diff -r --no-dereference k m/fs/4; umount k
        ntfs-3g -o ro m/partitions/3.raw k; diff -r k m/fs/3; umount k; diff -r flat m/fs/1",
        )
        .ends(0);
    // What diff does not look at.
    let stat = "stat -c '%n %a %u %g %s %N' etc etc/one etc/deep link dangling large sparse";
    let theirs = bench.bash(&format!("cd tree && {stat}")).ends(0).stdout;
    for number in [2, 4] {
        let ours = bench.bash(&format!("cd m/fs/{number} && {stat}")).ends(0).stdout;
        let sizes = |text: &str| -> Vec<String> {
            // A folder's size is the file system's own.
            text.lines()
                .filter(|line| !line.starts_with("etc ") && !line.starts_with("etc/deep "))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(sizes(&ours), sizes(&theirs), "fs/{number}");
    }
    assert!(bench.path("m/fs/3/MANY/File7").exists(), "names of Windows have no case");
    for refused in
        ["touch m/new", "touch m/fs/2/new", "rm m/fs/2/large", "echo x >m/disk.raw", "ls m/fs/2/none"]
    {
        assert_ne!(bench.bash(refused).code, Some(0), "{refused}");
    }
    signal(&looking.child, "TERM");
    assert_eq!(looking.ends(), "");
    assert_eq!(std::fs::read_dir(bench.path("m")).unwrap().count(), 0);
    assert_eq!(bench.fingerprint("disk.qcow2"), before);
}

#[test]
fn a_large_file_is_read_in_flat_memory() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.bash("set -e; mkdir tree; truncate -s 3G tree/large; head -c 8000000 /dev/urandom | dd of=tree/large bs=1M seek=2000 conv=notrunc status=none
        printf end >>tree/large; mkfs.ext4 -q -F -d tree part 64M").ends(0);
    let looking = Looking::start(&bench, &["part", "-f", "raw"]);
    assert_eq!(looking.places(), ["disk.raw", "fs/0"]);
    bench.bash("cmp tree/large m/fs/0/large").ends(0);
    assert!(looking.peak() < 150_000, "{} KiB", looking.peak());
    bench.bash("umount m").ends(0);
    looking.ends();
    bench.bash("set -o pipefail; /usr/bin/time -f %M -o peak \"$REHOME\" cat part -f raw /large | cmp - tree/large").ends(0);
    let peak: u64 = String::from_utf8(bench.read("peak")).unwrap().trim().parse().unwrap();
    assert!(peak < 150_000, "{peak} KiB");
    bench.rehome(&["cp-out", "part", "-f", "raw", "/large", "copy"]).ends(0);
    bench.bash("cmp copy tree/large").ends(0);
    assert!(bench.path("copy").metadata().unwrap().blocks() * 512 < 64 << 20, "holes stay holes");
}

#[test]
fn a_guest_is_seen_as_it_mounts_itself() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    guest::build(&bench, "guest.raw", &[], |tree| {
        std::fs::write(tree.join("etc/secret"), "x").unwrap();
        std::fs::set_permissions(tree.join("etc/secret"), std::fs::Permissions::from_mode(0o4600)).unwrap();
        std::os::unix::fs::symlink("fstab", tree.join("etc/link")).unwrap();
    });
    let looking = Looking::start(&bench, &["guest.raw"]);
    assert!(looking.places().ends_with(&["fs/1", "guest"]));
    assert_eq!(bench.read("m/guest/etc/hostname"), b"web01\n");
    bench.bash("diff -r --no-dereference m/guest m/fs/1").ends(0);
    // Somebody looks at a file when it ends.
    let held = std::fs::File::open(bench.path("m/guest/etc/hostname")).unwrap();
    signal(&looking.child, "INT");
    looking.ends();
    drop(held);
    assert!(!bench.path("m/guest").exists());

    let cat = |path: &str| bench.rehome(&["cat", "guest.raw", path]);
    assert_eq!(cat("/etc/hostname").ends(0).stdout, "web01\n");
    assert_eq!(cat("/etc/link").ends(0).stdout, cat("/etc/fstab").ends(0).stdout);
    for (path, code) in [("/etc", 2), ("/none", 66), ("etc/fstab", 2)] {
        cat(path).ends(code);
    }
    let listed = bench.rehome(&["ls", "guest.raw", "/etc", "--output", "json"]).ends(0).json();
    let entry = |name: &str| {
        listed["entries"].as_array().unwrap().iter().find(|e| e["name"] == name).unwrap().clone()
    };
    assert_eq!((&entry("secret")["mode"], &entry("secret")["size"]), (&"4600".into(), &1.into()));
    assert_eq!((&entry("link")["kind"], &entry("link")["target"]), (&"link".into(), &"fstab".into()));
    let text = bench.rehome(&["ls", "guest.raw", "--partition", "1", "/etc"]).ends(0).stdout;
    assert!(text.contains("-rwS------"), "{text}");
    assert!(text.contains("link -> fstab"), "{text}");
    let wrong = bench.rehome(&["ls", "guest.raw", "--partition", "7"]).ends(2);
    assert!(wrong.stderr.contains("--partition 1 (ext4)"), "{}", wrong.stderr);
}

#[test]
fn what_is_copied_out_is_whole_and_stays_where_it_belongs() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    // A tree that wants out: a link, then things below a folder of the same name, and names that are paths.
    bench.bash("set -e; mkdir -p tree/a/etc tree/a/dirk tree/elsewhere; echo theirs >tree/a/dirk/stolen; ln -s ../../../../elsewhere tree/a/link
        echo x >tree/a/plain; chmod 6755 tree/a/plain; mkfifo tree/a/pipe; chmod 555 tree/a/etc; echo y >tree/a/zzzzzzz
        mkfs.ext4 -q -F -O ^metadata_csum,^dir_index -d tree part 16M; mkdir -p out elsewhere; echo mine >elsewhere/stolen").ends(0);
    let run = |args: &[&str]| bench.rehome(&[&["cp-out", "part", "-f", "raw"][..], args].concat());
    let told = run(&["/a", "out/a", "--output", "json"]).ends(0).json();
    assert_eq!(
        (&told["files"], &told["links"], &told["skipped"]),
        (&3.into(), &1.into(), &1.into()),
        "{told}"
    );
    bench.bash("set -e; rm tree/a/pipe; diff -r --no-dereference tree/a out/a; test -z \"$(find out -name '*.partial')\"").ends(0);
    let mode = |path: &str| bench.path(path).symlink_metadata().unwrap().mode() & 0o7777;
    assert_eq!([mode("out/a/plain"), mode("out/a/etc")], [0o755, 0o555]);
    assert!(!bench.path("out/a/pipe").exists());
    // It is there already; then with --force.
    run(&["/a", "out"]).ends(73);
    run(&["/a", "out", "--force"]).ends(0);
    run(&["/a/plain", "out"]).ends(0);
    run(&["/a/plain", "out"]).ends(73);
    // A host's link where the guest has a folder.
    bench.bash("rm -rf out/a/dirk; ln -s ../../elsewhere out/a/dirk").ends(0);
    run(&["/a", "out", "--force"]).ends(73);
    assert_eq!(bench.read("elsewhere/stolen"), b"mine\n");

    // Two entries with one name, the link first, and names with a slash and of dots: written into the folder's block.
    bench.bash(r"set -e; perl -0pi -e 's{zzzzzzz}{../../q}; ' part; perl -0pi -e 's{\x04\x07link}{\x04\x07dirk}' part").ends(0);
    bench.bash("rm -rf out; mkdir out").ends(0);
    for more in [&[][..], &["--force"]] {
        let told = run(&[&["/a", "out", "--output", "json"], more].concat()).ends(1).json();
        assert_eq!(told["incomplete"], 2, "{told}");
    }
    assert!(!bench.path("q").exists() && !bench.path("../q").exists());
    assert_eq!(bench.read("elsewhere/stolen"), b"mine\n");
    assert_eq!(bench.bash("ls elsewhere").ends(0).stdout, "stolen\n");
}

#[test]
fn a_logical_volume_is_shown_with_its_files() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let made = bench.bash("set -e; mkdir -p tree/www lock; echo hello >tree/www/index.html; mkfs.ext4 -q -F -d tree fs 16M
        truncate -s 40M disk.raw; loop=$(losetup --find --show disk.raw); trap 'losetup -d $loop' EXIT
        config=\"devices{filter=[\\\"a|^$loop\\$|\\\",\\\"r|.*|\\\"] use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source=\\\"none\\\"}
        activation{udev_sync=0 udev_rules=0 monitoring=0} global{locking_dir=\\\"$PWD/lock\\\" use_lvmpolld=0 notify_dbus=0 event_activation=0} backup{backup=0 archive=0}\"
        lvm() { command lvm \"$1\" --driverloaded n --config \"$config\" \"${@:2}\"; }
        lvm pvcreate -q $loop; lvm vgcreate -q vg-0 $loop; lvm lvcreate -q -an -Zn -Wn -l 4 -n srv vg-0
        start=$(lvm pvs --noheadings --units b --nosuffix -o pe_start $loop); dd if=fs of=$loop bs=1M oflag=seek_bytes seek=$((start)) status=none");
    made.ends(0);
    let looking = Looking::start(&bench, &["disk.raw"]);
    assert_eq!(looking.places(), ["disk.raw", "volumes/vg-0/srv.raw", "fs/vg-0/srv"]);
    bench.bash("set -e; cmp fs m/volumes/vg-0/srv.raw; diff -r tree/www m/fs/vg-0/srv/www").ends(0);
    let args = ["cat", "disk.raw", "--volume", "vg-0/srv", "/www/index.html"];
    assert_eq!(bench.rehome(&args).ends(0).stdout, "hello\n");
    signal(&looking.child, "TERM");
    looking.ends();
}

#[test]
fn what_cannot_be_mounted_is_said() {
    let bench = Bench::new();
    bench.disk("disk.raw", 1 << 20, &[]);
    std::fs::create_dir_all(bench.path("full/x")).unwrap();
    for (args, code) in [
        (&["disk.raw", "none"][..], 73),
        (&["disk.raw", "full"], 73),
        (&["disk.raw", "disk.raw"], 73),
        (&["none.raw", "full"], 66),
        (&["disk.raw"], 2),
    ] {
        bench.rehome(&[&["mount"][..], args].concat()).ends(code);
    }
    let told = bench.rehome(&["ls", "disk.raw"]).ends(2).stderr;
    assert!(told.contains("no file system was found"), "{told}");
}

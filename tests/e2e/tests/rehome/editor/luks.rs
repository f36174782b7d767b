//! Encrypted volumes: opened by a key of the operator, edited inside, judged by QEMU or by another implementation of the cipher.

use super::{
    EXT4, Recipe, cut_out_result, differs_as_planned, migrate, on_disk, plant_tool, strings, tree, why,
};
use crate::bench::{Bench, Mounted, is_root};
use crate::guest::{KERNEL, initramfs};
use serde_json::Value;

const KEY: &str = "correct horse battery staple";

/// A guest on ext4 in a container that QEMU makes.
fn luks1(bench: &Bench) {
    EXT4.make_part(bench, |_| {});
    bench.write("key", KEY);
    let secret = "secret,id=s,file=key";
    let options = "key-secret=s,iter-time=10";
    bench.qemu_img(&[
        "convert", "-f", "raw", "-O", "luks", "--object", secret, "-o", options, "part.img", "luks.img",
    ]);
    on_disk(bench, "luks.img", "server.raw");
}

#[test]
fn a_guest_in_luks_1_is_edited_with_its_key_alone() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    luks1(&bench);
    let source = bench.fingerprint("server.raw");
    let before = tree(&bench, "part.img", "noload");
    assert!(why(&migrate(&bench, &[]).ends(78)).contains("--key-file"));
    bench.write("wrong", "correct horse");
    let found = why(&migrate(&bench, &["--key-file", "wrong"]).ends(78));
    assert!(found.contains("no key that was given opens it"), "{found}");
    migrate(&bench, &["--key-file", "none"]).ends(66);
    assert!(!bench.path("vm").exists());

    let run = migrate(&bench, &["--key-file", "wrong", "--key-file", "key"]).ends(0);
    let report = run.json();
    assert_eq!(report["editor"]["editor"], "native");
    assert_eq!(bench.fingerprint("server.raw"), source);
    cut_out_result(&bench, "luks.img", "after.luks");
    let image = "driver=luks,key-secret=s,file.filename=after.luks";
    let secret = "secret,id=s,file=key";
    bench.qemu_img(&["convert", "--object", secret, "--image-opts", image, "-O", "raw", "after.img"]);
    bench.tool("e2fsprogs", "e2fsck", &["-fn", "after.img"]);
    differs_as_planned(&before, &tree(&bench, "after.img", "noload"), &report, str::to_owned);

    // Neither the key nor what it protects is in what is handed over; the copies for undoing are the operator's.
    assert!(!run.stdout.contains(KEY) && !run.stderr.contains(KEY));
    let line = format!(
        "grep -rlaE \"{KEY}|the customer's|GRUB_CMDLINE_LINUX=\" vm after.luks --exclude-dir web01.undo"
    );
    let told = bench.bash(&line);
    assert!(told.stdout.lines().all(|file| file == "vm/web01.report.json"), "{told:?}");
    let told = bench.bash(&format!("grep -c '{KEY}' vm/web01.report.json"));
    assert_eq!(told.stdout, "0\n");
}

#[test]
fn what_is_in_luks_is_looked_at_with_the_key() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    luks1(&bench);
    bench.write("typed", format!("{KEY}\n"));
    for key in ["key", "typed"] {
        let text = bench.rehome(&["cat", "server.raw", "/srv/data", "--key-file", key]).ends(0).stdout;
        assert_eq!(text, "the customer's\n");
    }
    let listed = bench.rehome(&["ls", "server.raw", "/etc", "--key-file", "key"]).ends(0).stdout;
    assert!(listed.contains("fstab") && listed.contains("netplan"), "{listed}");
    let refused = bench.rehome(&["ls", "server.raw", "/etc"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("--key-file"), "{refused:?}");

    bench.bash("mkdir m").ends(0);
    let mut child = bench.spawn(&["mount", "server.raw", "m", "--key-file", "key"]);
    let mounted = Mounted(bench.path("m"));
    let found = || bench.bash("find m -path '*/srv/data' | head -1").stdout.trim().to_owned();
    super::until(std::time::Duration::from_secs(20), "mounting", || !found().is_empty());
    assert_eq!(bench.read(&found()), b"the customer's\n");
    drop(mounted);
    assert!(child.wait().unwrap().success());
}

/// Where the content of the containers that cryptsetup makes here begins.
const CONTENT: u64 = 16 << 20;

/// Makes the container `luks.img` of so many MiB, empty; its UUID.
fn luks2(bench: &Bench, mib: u64) -> String {
    bench.write("key", KEY);
    bench.write("crypt.py", include_str!("crypt.py"));
    let format = "cryptsetup luksFormat -q --type luks2 --sector-size 4096 --pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    let dump =
        "cryptsetup luksDump -q --dump-volume-key --volume-key-file volume.key --key-file key luks.img";
    let line = format!(
        "set -e; truncate -s {}M luks.img; {format} luks.img key; {dump} >dump; cryptsetup luksUUID luks.img",
        mib + 16
    );
    bench.bash(&line).ends(0).stdout.trim().to_owned()
}

/// Encrypts the file `plain` into the container `luks.img`, which becomes the guest's disk.
fn fill(bench: &Bench, plain: &str) {
    bench.bash(&format!("python3 crypt.py encrypt volume.key luks.img {plain} {CONTENT} 4096")).ends(0);
    on_disk(bench, "luks.img", "server.raw");
}

/// The migrated container's content as `plain`. Its header is the source's.
fn decrypt_result(bench: &Bench, plain: &str) {
    cut_out_result(bench, "luks.img", "after.luks");
    bench.bash(&format!("cmp -n {CONTENT} luks.img after.luks")).ends(0);
    bench.bash(&format!("python3 crypt.py decrypt volume.key after.luks {plain} {CONTENT} 4096")).ends(0);
}

#[test]
fn a_volume_group_in_luks_2_is_edited_by_both() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    luks2(&bench, EXT4.mib + 2);
    // A kernel takes no blocks that are smaller than the container's sectors.
    let mkfs = "mkfs.ext4 -q -F -b 4096 part.img";
    let recipe = Recipe { fstab: "/dev/mapper/vg-root / ext4 defaults 0 1\n", mkfs, ..EXT4 };
    recipe.make_part(&bench, |_| {});
    let before = tree(&bench, "part.img", "noload");
    // The kernel's device mapper is not needed where a volume is one piece at the start of the group.
    let lvm = "--driverloaded n --config 'devices{use_devicesfile=0 filter=[\"a|^'$d'$|\",\"r|.*|\"]} \
               global{locking_dir=\"'$PWD'\" event_activation=0} backup{backup=0 archive=0}'";
    let line = format!(
        "set -e; truncate -s {}M group.img; d=$(losetup -f --show group.img); trap 'losetup -d $d' EXIT
         lvm pvcreate -q {lvm} --dataalignment 1m $d; lvm vgcreate -q {lvm} -s 1m vg $d
         lvm lvcreate -q {lvm} -an -Zn -Wn -L {}m -n root vg; lvm pvs {lvm} --noheadings -o pe_start --units b $d",
        EXT4.mib + 2,
        EXT4.mib
    );
    let start = bench.bash(&line).ends(0).stdout;
    assert!(start.lines().any(|line| line.trim() == "1048576B"), "{start}");
    bench.bash("dd if=part.img of=group.img bs=1M seek=1 conv=notrunc,sparse status=none").ends(0);
    fill(&bench, "group.img");
    let source = bench.fingerprint("server.raw");
    for editor in ["native", "microvm"] {
        let report = migrate(&bench, &["--key-file", "key", "--editor", editor, "--force"]).ends(0).json();
        assert_eq!(report["editor"]["editor"], editor);
        assert_eq!(report["guest"]["mounts"][0]["device"], "/dev/mapper/vg-root", "{report}");
        decrypt_result(&bench, "after.group");
        bench.bash(&format!("cmp -n {} group.img after.group", 1 << 20)).ends(0);
        bench
            .bash(&format!("dd if=after.group of=after.img bs=1M skip=1 count={} status=none", EXT4.mib))
            .ends(0);
        bench.tool("e2fsprogs", "e2fsck", &["-fn", "after.img"]);
        differs_as_planned(&before, &tree(&bench, "after.img", "noload"), &report, str::to_owned);
    }
    assert_eq!(bench.fingerprint("server.raw"), source);
}

#[test]
fn btrfs_in_luks_2_is_edited_in_the_micro_vm_under_the_name_in_crypttab() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let recipe = Recipe {
        mib: 64,
        fstab: "/dev/mapper/vault / btrfs defaults,subvol=@ 0 0\n",
        mkfs: "mkfs.btrfs -q -M part.img",
        options: "rw",
        fill: "btrfs -q subvolume create mnt/@ && cp -a tree/. mnt/@/",
    };
    let uuid = luks2(&bench, recipe.mib);
    recipe.make_part(&bench, |tree| {
        plant_tool(tree, "ls /dev/mapper >/srv/seen && cat /srv/image >/boot/initrd.img-$3");
        let modules = ["btrfs", "ext4", "nvme", "virtio_pci", "virtio_blk", "virtio_net"];
        std::fs::write(tree.join("srv/image"), initramfs(&modules)).unwrap();
        std::fs::write(tree.join("etc/crypttab"), format!("vault UUID={uuid} none luks,discard\n")).unwrap();
    });
    fill(&bench, "part.img");
    let source = bench.fingerprint("server.raw");
    let before = tree(&bench, "part.img", "subvolid=5");

    assert!(why(&migrate(&bench, &[]).ends(78)).contains("--key-file"));
    let mut report = migrate(&bench, &["--key-file", "key", "--rebuild-initramfs"]).ends(0).json();
    assert_eq!(report["editor"]["editor"], "microvm");
    assert!(strings(&report["editor"]["reasons"]).contains("btrfs"), "{report}");
    assert_eq!(bench.fingerprint("server.raw"), source);

    decrypt_result(&bench, "after.img");
    bench.tool("btrfs-progs", "btrfs", &["check", "--readonly", "after.img"]);
    let after = tree(&bench, "after.img", "subvolid=5");
    let seen = bench.bash("mkdir m && mount -o loop,ro after.img m && cat m/@/srv/seen; umount m");
    assert!(seen.stdout.lines().any(|name| name == "vault"), "{seen:?}");
    let written = |path: &str| Value::from_iter([("path", Value::from(path))]);
    report["edits"].as_array_mut().unwrap().push(written("/srv/seen"));
    differs_as_planned(&before, &after, &report, |path| format!("/@{path}"));
    let image = format!("/@/boot/initrd.img-{KERNEL}");
    assert_eq!(after[&image]["content"], before["/@/srv/image"]["content"]);
}

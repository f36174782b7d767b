//! btrfs: subvolumes as distributions lay them out.

use super::{EXT4, Recipe, cut_out_result, differs_as_planned, migrate, plant_programs, strings, tree, why};
use crate::bench::{Bench, is_root};

/// Fifteen MiB of programs and files fit without a split into data and metadata.
const BTRFS: Recipe<'static> = Recipe { mib: 96, mkfs: "mkfs.btrfs -q -M part.img", ..EXT4 };

const UBUNTU: &str = "set -e
    for name in @ @home @boot; do btrfs -q subvolume create mnt/$name; done
    cp -a tree/. mnt/@/ && mv mnt/@/boot/* mnt/@boot/ && mkdir mnt/@/home && echo hers >mnt/@home/file
    btrfs -q subvolume snapshot -r mnt/@ mnt/@before
    mkdir mnt/@/.snapshots && btrfs -q subvolume snapshot -r mnt/@ mnt/@/.snapshots/1
    chattr +C mnt/@home; dd if=/dev/urandom of=mnt/@home/nocow bs=1M count=1 status=none";

/// Where a path of the guest is, seen from the top of the file system.
fn in_subvolumes(path: &str) -> String {
    if path.starts_with("/boot/") { path.replacen("/boot", "/@boot", 1) } else { format!("/@{path}") }
}

/// Whether the host's tools find it whole and the snapshot `path` is read-only.
fn judge(bench: &Bench, part: &str, snapshots: &[&str]) {
    bench.tool("btrfs-progs", "btrfs", &["check", "--readonly", part]);
    for path in snapshots {
        let line = format!(
            "mkdir m && mount -o loop,ro,subvolid=5 {part} m && btrfs property get m/{path} ro; umount m; rmdir m"
        );
        assert_eq!(bench.bash(&line).ends(0).stdout.trim(), "ro=true", "{path}");
    }
}

#[test]
fn subvolumes_of_fstab_are_edited_and_snapshots_are_not() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let fstab = "/dev/xvda1 / btrfs defaults,subvol=@ 0 0\n/dev/xvda1 /home btrfs subvol=/@home 0 0\n\
                 /dev/xvda1 /boot btrfs defaults,subvol=@boot 0 0\n";
    let recipe = Recipe { fstab, fill: UBUNTU, ..BTRFS };
    recipe.build(&bench, |tree| plant_programs(tree, &["/bin/btrfs"]));
    let source = bench.fingerprint("server.raw");
    let before = tree(&bench, "part.img", "subvolid=5");
    let native = migrate(&bench, &["--editor", "native"]).ends(78);
    assert!(why(&native).contains("root file system"), "{native:?}");

    let report = migrate(&bench, &[]).ends(0).json();
    assert_eq!(report["editor"]["editor"], "microvm");
    assert!(strings(&report["editor"]["reasons"]).contains("btrfs"), "{report}");
    let checks = report["editor"]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 1, "one file system, however often it is mounted");
    assert_eq!((&checks[0]["kind"], &checks[0]["clean"]), (&"btrfs".into(), &true.into()), "{checks:?}");
    assert_eq!(bench.fingerprint("server.raw"), source);

    cut_out_result(&bench, "part.img", "after.img");
    judge(&bench, "after.img", &["@before", "@/.snapshots/1"]);
    let after = tree(&bench, "after.img", "subvolid=5");
    differs_as_planned(&before, &after, &report, in_subvolumes);
    bench.rehome(&["verify", "vm/web01.qcow2"]).ends(0);
    let args =
        ["migrate", "vm/web01.qcow2", "--to", "kvm", "--out", "again", "--output", "json", "--dry-run"];
    let again = bench.rehome(&args).ends(0).json();
    assert_eq!((&again["edits"], &again["obstacles"]), (&serde_json::json!([]), &serde_json::json!([])));
}

#[test]
fn the_default_subvolume_is_the_root() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let fill = "set -e
        btrfs -q subvolume create mnt/@; mkdir -p mnt/@/.snapshots/1
        btrfs -q subvolume create mnt/@/.snapshots/1/snapshot; cp -a tree/. mnt/@/.snapshots/1/snapshot/
        mkdir mnt/@/.snapshots/2; btrfs -q subvolume snapshot -r mnt/@/.snapshots/1/snapshot mnt/@/.snapshots/2/snapshot
        btrfs -q subvolume set-default mnt/@/.snapshots/1/snapshot";
    let recipe = Recipe { fstab: "/dev/xvda1 / btrfs defaults 0 0\n", fill, ..BTRFS };
    recipe.build(&bench, |_| {});
    let before = tree(&bench, "part.img", "subvolid=5");
    let report = migrate(&bench, &["--editor", "microvm"]).ends(0).json();
    assert_eq!(strings(&report["editor"]["reasons"]), "it was asked for");
    cut_out_result(&bench, "part.img", "after.img");
    judge(&bench, "after.img", &["@/.snapshots/2/snapshot"]);
    let after = tree(&bench, "after.img", "subvolid=5");
    differs_as_planned(&before, &after, &report, |path| format!("/@/.snapshots/1/snapshot{path}"));
}

#[test]
fn two_systems_in_subvolumes_are_left_to_a_person() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    let fill =
        "for name in @ old; do btrfs -q subvolume create mnt/$name && cp -a tree/. mnt/$name/ || exit; done";
    let recipe = Recipe { fstab: "/dev/xvda1 / btrfs defaults 0 0\n", fill, ..BTRFS };
    recipe.build(&bench, |_| {});
    let found = why(&migrate(&bench, &[]).ends(78));
    assert!(found.contains("subvolume @") && found.contains("subvolume old"), "{found}");
    assert!(!bench.path("vm").exists());
}

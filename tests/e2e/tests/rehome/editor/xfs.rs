//! XFS: what rehome itself leaves out, a kernel does.

use super::{XFS, cut_out_result, differs_as_planned, migrate, plant_programs, strings, tree};
use crate::bench::{Bench, is_root};

#[test]
fn an_xfs_guest_is_edited_in_the_micro_vm_and_only_as_planned() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    XFS.build(&bench, |tree| {
        plant_programs(tree, &["/sbin/xfs_repair"]);
        std::fs::hard_link(tree.join("srv/data"), tree.join("srv/again")).unwrap();
        let line =
            "cd tree/srv && chown 1234:56 data && chmod 4711 data && setfattr -n user.note -v mine data &&
                    mknod node c 1 3 && mkfifo pipe && truncate -s 3G sparse && chown -h 7:8 ../bin &&
                    chown 99:98 ../etc/fstab && setfattr -n user.note -v kept ../etc/fstab";
        bench.bash(line).ends(0);
    });
    // Listing 3 GiB of holes would only take time.
    bench.bash("mkdir m && mount -o loop,nouuid part.img m && truncate -s 5M m/srv/sparse && umount m && rmdir m").ends(0);
    super::on_disk(&bench, "part.img", "server.raw");
    let source = bench.fingerprint("server.raw");
    let before = tree(&bench, "part.img", "nouuid,norecovery");

    let native = migrate(&bench, &["--editor", "native"]).ends(78).json();
    assert_eq!(native["editor"]["editor"], "native");
    assert!(strings(&native["obstacles"]).contains("XFS is edited in place only"), "{native}");
    assert!(!bench.path("vm").exists());

    let report = migrate(&bench, &["--editor", "auto"]).ends(0).json();
    assert_eq!(report["outcome"], "done");
    let editor = &report["editor"];
    assert_eq!(editor["editor"], "microvm");
    assert!(strings(&editor["reasons"]).contains("XFS is edited in place only"), "{editor}");
    assert!(editor["start_seconds"].as_f64().unwrap() > 0.0 && editor["microvm"].is_string(), "{editor}");
    let check = &editor["checks"][0];
    assert_eq!(
        (&check["point"], &check["kind"], &check["clean"]),
        (&"/".into(), &"xfs".into(), &true.into())
    );
    assert!(check["tool"].as_str().unwrap().contains("xfs_repair"), "{check}");
    assert_eq!(bench.json_of("vm/web01.report.json"), report);
    assert_eq!(bench.fingerprint("server.raw"), source);

    cut_out_result(&bench, "part.img", "after.img");
    bench.tool("xfsprogs", "xfs_repair", &["-n", "-f", "-o", "force_geometry", "after.img"]);
    let after = tree(&bench, "after.img", "nouuid,norecovery");
    differs_as_planned(&before, &after, &report, str::to_owned);
    // What is replaced keeps what belongs to the file and not to its content.
    for key in ["mode", "owner", "attributes"] {
        assert_eq!(before["/etc/fstab"][key], after["/etc/fstab"][key]);
    }
    assert!(!after.contains_key("/etc/udev/rules.d/70-persistent-net.rules"), "it is removed");
    bench.rehome(&["verify", "vm/web01.qcow2"]).ends(0);

    let args =
        ["migrate", "vm/web01.qcow2", "--to", "kvm", "--out", "again", "--output", "json", "--dry-run"];
    let again = bench.rehome(&args).ends(0).json();
    assert_eq!(
        (again["edits"].as_array().unwrap().len(), again["obstacles"].as_array().unwrap().len()),
        (0, 0)
    );
    assert_eq!(again["editor"]["editor"], "native", "{again}");
}

/// Disks that the guest does not mount: nothing of them changes, not even a log is replayed, and one that is damaged stops nothing.
#[test]
fn what_the_guest_does_not_mount_stays_as_it_is() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    XFS.build(&bench, |_| {});
    bench
        .bash(
            "for kind in xfs ext4 btrfs; do
                 truncate -s 320M $kind.raw && mkfs.$kind -q $kind.raw && mkdir m && mount -o loop $kind.raw m
                 echo kept >m/file && sync && echo more >m/late && xfs_io -c fsync m/late
                 if [ $kind != btrfs ]; then xfs_io -x -c 'shutdown -f' m; else cp --sparse=always $kind.raw cut.raw; fi
                 umount m && rmdir m
             done
             mv cut.raw btrfs.raw
             cp ext4.raw clean.raw && { e2fsck -fy clean.raw >/dev/null || test $? -lt 4; }
             truncate -s 320M bad.raw && mkfs.xfs -q bad.raw && xfs_db -x -c 'sb 0' -c 'p rootino' bad.raw | grep -o '[0-9]*$' >root
             xfs_db -x -c \"inode $(cat root)\" -c 'stack' bad.raw | grep -m 1 -o 'byte offset [0-9]*' | grep -o '[0-9]*$' >at
             dd if=/dev/urandom of=bad.raw bs=1 seek=$(cat at) count=512 conv=notrunc status=none",
        )
        .ends(0);
    let disks = ["xfs.raw", "ext4.raw", "btrfs.raw", "clean.raw", "bad.raw"];
    let args =
        ["migrate", "server.raw", "--to", "kvm", "--out", "vm", "--output", "json", "--editor", "microvm"];
    let report = bench.rehome(&[&args, &disks[..]].concat()).ends(0).json();
    assert_eq!(report["outcome"], "done");
    let all = report["disks"].as_array().unwrap();
    assert_eq!(all.len(), 6);
    assert!(!all[0]["changed"].as_array().unwrap().is_empty());
    for (disk, name) in all.iter().skip(1).zip(disks) {
        assert_eq!(disk["changed"], serde_json::json!([]), "{name}");
        assert_eq!(disk["digest"], disk["source_digest"], "{name}");
    }
    assert_eq!(report["replays"], serde_json::json!([]));
    assert!(
        report["warnings"].to_string().contains("disk 5, partition 0: "),
        "the damaged one is told: {report}"
    );
}

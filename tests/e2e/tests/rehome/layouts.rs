//! How the guest lies on its disks: several of them, hybrid tables, no table at all.

use crate::bench::{Bench, MIB};
use crate::guest::{self, ROOT_UUID};

const KVM_MODULES: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_net"];
const VAR_UUID: &str = "5f1c0c1e-6d3a-4b0e-9b57-2f6c5d0c7a13";

/// A disk that is one file system, as a Xen PV guest has it.
fn whole_disk_guest(bench: &Bench, name: &str, root: &'static str) {
    guest::build(bench, "table.raw", &KVM_MODULES, move |tree| {
        std::fs::write(tree.join("etc/fstab"), format!("{root} / ext4 rw 0 1\n")).unwrap();
    });
    guest::cut_out(bench, "table.raw", name);
    std::fs::remove_file(bench.path("table.raw")).unwrap();
}

#[test]
fn inspect_takes_all_disks_of_a_machine() {
    let bench = Bench::new();
    guest::build(&bench, "root.raw", &KVM_MODULES, |tree| {
        let fstab = format!("/dev/xvda1 / ext4 rw 0 1\nUUID={VAR_UUID} /var ext4 rw 0 2\n");
        std::fs::write(tree.join("etc/fstab"), fstab).unwrap();
    });
    bench.tool("e2fsprogs", "mkfs.ext4", &["-q", "-F", "-U", VAR_UUID, "var.raw", "8M"]);
    let alone = bench.rehome(&["inspect", "root.raw", "--output", "json"]).ends(0).json();
    assert_eq!(
        (&alone["virtual_size"], &alone["further_images"]),
        (&(25 * MIB).into(), &serde_json::Value::Null)
    );
    assert!(alone["guest"]["obstacles"][0].as_str().unwrap().contains("/var is on UUID="), "{alone}");
    let both = bench.rehome(&["inspect", "root.raw", "var.raw", "--output", "json"]).ends(0).json();
    assert_eq!(both["image"], alone["image"]);
    assert_eq!(both["further_images"][0]["virtual_size"], 8 * MIB);
    assert_eq!(both["guest"]["obstacles"], serde_json::json!([]));
    assert_eq!(both["guest"]["mounts"][1]["disk"], 1);
    let text = bench.rehome(&["inspect", "root.raw", "var.raw"]).ends(0).stdout;
    assert!(text.contains("Image, disk 1\n  var.raw") && text.contains("Partitions, disk 0 (MBR)"), "{text}");
    bench.rehome(&["inspect", "root.raw", "nope"]).ends(66);
}

#[test]
fn a_hybrid_mbr_is_shown() {
    let bench = Bench::new();
    bench.bash("truncate -s 24M disk.raw && sgdisk -n 1:2048:20000 -n 2:20480:40000 -h 2 disk.raw").ends(0);
    let found = bench.rehome(&["inspect", "disk.raw", "--output", "json"]).ends(0).json();
    assert_eq!(found["guest"]["disks"][0]["table"], "gpt");
    assert_eq!(found["guest"]["disks"][0]["hybrid"][0]["partition"], 2);
    assert!(
        bench.rehome(&["inspect", "disk.raw"]).ends(0).stdout.contains("Partitions (GPT with a hybrid MBR)")
    );
}

#[test]
fn a_disk_without_a_table_needs_wrap() {
    let bench = Bench::new();
    for (name, root) in [("xvda.raw", "/dev/xvda"), ("xvda1.raw", "/dev/xvda1")] {
        whole_disk_guest(&bench, name, root);
        let found = bench.rehome(&["inspect", name, "--output", "json"]).ends(0).json();
        assert_eq!(found["guest"]["os"]["id"], "debian");
        assert_eq!(found["guest"]["boot"]["host_loader"], "/boot/grub/grub.cfg");
        for target in found["readiness"].as_array().unwrap() {
            assert_eq!(target["verdict"], "blocked", "nothing starts it by itself: {target}");
        }
        assert!(found["readiness"].to_string().contains("'migrate --wrap' makes one"));
        let run = bench.rehome(&["migrate", name, "--to", "kvm", "--out", "vm"]).ends(78);
        assert!(run.stderr.contains("with --wrap it gets one"), "{run:?}");
        let run = bench.rehome(&["migrate", name, "--to", "xen", "--out", "vm"]).ends(78);
        assert!(run.stderr.contains("pygrub") && run.stderr.contains("--wrap"), "{run:?}");
    }
    let args = ["migrate", "xvda.raw", "--to", "kvm", "--wrap", "--firmware", "uefi", "--out", "vm"];
    bench.rehome(&args).ends(2);
    guest::build(&bench, "table.raw", &KVM_MODULES, |_| {});
    bench.rehome(&["migrate", "table.raw", "--to", "kvm", "--wrap", "--out", "vm"]).ends(2);
}

#[test]
fn a_wrapped_disk_holds_the_source_behind_a_table() {
    let bench = Bench::new();
    for (name, root) in [("xvda.raw", "/dev/xvda"), ("xvda1.raw", "/dev/xvda1")] {
        whole_disk_guest(&bench, name, root);
        let before = bench.fingerprint(name);
        let args = ["migrate", name, "--to", "kvm", "--wrap", "--out", "vm", "--force", "--output", "json"];
        let plan = bench.rehome(&[&args[..], &["--dry-run"]].concat()).ends(0).json();
        assert!(plan["warnings"].to_string().contains("no-boot-loader"));
        let report = bench.rehome(&args).ends(0).json();
        assert_eq!(bench.fingerprint(name), before);
        let disk = &report["disks"][0];
        assert_eq!((&disk["virtual_size"], &disk["wrapped"]["offset"]), (&(25 * MIB).into(), &MIB.into()));
        assert_eq!(report["machine"]["disks"][0]["size_bytes"], 25 * MIB);
        let step = report["next_step"].as_str().unwrap();
        assert!(
            step.contains("grub-install") && step.contains(&format!("root=UUID={ROOT_UUID} ro")),
            "{step}"
        );
        let digest = bench.rehome(&["digest", name, "--output", "json"]).ends(0).json();
        assert_eq!(disk["source_digest"], digest["digest"], "the source's own digest");
        let manifest = bench.json_of("vm/web01.qcow2.rehome.json");
        assert_eq!(manifest["source"]["offset"], MIB);
        assert_eq!(manifest["source"]["digest"], digest["digest"]);
        bench.rehome(&["verify", "vm/web01.qcow2"]).ends(0);

        bench.qemu_img(&["convert", "-f", "qcow2", "-O", "raw", "vm/web01.qcow2", "result.raw"]);
        let table = bench.tool("fdisk", "sfdisk", &["--json", "result.raw"]);
        let table: serde_json::Value = serde_json::from_str(&table).unwrap();
        let (table, partition) = (&table["partitiontable"], &table["partitiontable"]["partitions"][0]);
        assert_eq!((&table["label"], &table["id"]), (&"dos".into(), &"0x5f1c0c1e".into()));
        assert_eq!(table["partitions"].as_array().unwrap().len(), 1);
        assert_eq!((&partition["start"], &partition["size"]), (&2048.into(), &(24 * MIB / 512).into()));
        assert_eq!((&partition["type"], &partition["bootable"]), (&"83".into(), &true.into()));

        // The source's bytes, but where edits are listed.
        let (source, result) = (bench.read(name), bench.read("result.raw"));
        let changed: Vec<(u64, u64)> = serde_json::from_value(disk["changed"].clone()).unwrap();
        let differing: Vec<u64> = (0..)
            .zip(source.iter().zip(&result[MIB as usize..]))
            .filter(|(_, (a, b))| a != b)
            .map(|(at, _)| at + MIB)
            .collect();
        let is_planned = |at: &u64| changed.iter().any(|(start, len)| (*start..start + len).contains(at));
        assert!(!differing.is_empty() && differing.iter().all(is_planned));
        assert!(changed.iter().all(|(start, _)| *start >= MIB), "the table is no edit: {changed:?}");
        assert!(result[512..MIB as usize].iter().all(|byte| *byte == 0));
        assert_eq!(result.len() as u64, 25 * MIB);

        let after = guest::content(&bench, "result.raw");
        let fstab = String::from_utf8_lossy(&after["/etc/fstab"].1).into_owned();
        assert_eq!(fstab, format!("UUID={ROOT_UUID} / ext4 rw 0 1\n"));
        let mount = "mkdir mnt && mount -o loop,ro,offset=1048576 result.raw mnt && cat mnt/etc/hostname && umount mnt && rmdir mnt";
        assert_eq!(bench.bash(mount).ends(0).stdout, "web01\n");
        // Nothing claims that it starts.
        let again = bench.rehome(&["inspect", "result.raw", "--output", "json"]).ends(0).json();
        assert_eq!(again["guest"]["boot"]["bios"], serde_json::Value::Null);
        bench.rehome(&["migrate", "result.raw", "--to", "kvm", "--out", "again"]).ends(78);
    }
}

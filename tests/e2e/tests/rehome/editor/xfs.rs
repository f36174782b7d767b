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

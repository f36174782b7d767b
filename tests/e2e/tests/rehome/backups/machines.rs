//! Machines that move straight from a backup or a package.

use crate::bench::Bench;
use crate::guest::{self, HYPERV_MODULES};
use std::path::Path;

const CONF: &str = "boot: order=scsi1\ncores: 3\nmemory: 1536\nname: web01\nscsihw: virtio-scsi-pci\n\
    net0: virtio=52:54:00:01:02:03,bridge=vmbr0\nscsi0: local:vm-7-disk-1,size=32M\nscsi1: local:vm-7-disk-0,size=25M\n";

/// A backup as Proxmox makes it; the boot disk is the second in it.
fn vma(bench: &Bench) {
    std::fs::write(bench.path("qemu-server.conf"), CONF).unwrap();
    bench.disk("data.raw", 32 << 20, &[(1 << 20, 100_000)]);
    let saver = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/vma-save.py");
    let args = ["vzdump.vma", "qemu-server.conf", "drive-scsi0=data.raw", "drive-scsi1=server.raw"];
    bench.tool("python3", saver.to_str().unwrap(), &args);
    bench.tool("zstd", "zstd", &["-q", "vzdump.vma"]);
}

fn bench_with_guest() -> Bench {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &HYPERV_MODULES, |_| {});
    bench
}

#[test]
fn a_proxmox_backup_becomes_a_machine_of_hyper_v() {
    let bench = bench_with_guest();
    vma(&bench);
    for source in ["vzdump.vma", "vzdump.vma.zst"] {
        let before = bench.fingerprint(source);
        let run = bench
            .rehome(&["migrate", source, "--to", "hyperv", "--out", "vm", "--output", "json", "--force"]);
        let report = run.ends(0).json();
        assert_eq!(
            (report["machine"]["cpu"]["count"].as_u64(), report["machine"]["memory_mib"].as_u64()),
            (Some(3), Some(1536))
        );
        // The configuration's boot order decides which disk is the first.
        assert_eq!(report["disks"][0]["virtual_size"], 25u64 << 20, "{report}");
        assert_eq!(report["disks"][1]["virtual_size"], 32u64 << 20);
        bench.qemu_img(&["compare", "-f", "vhdx", "-F", "raw", "vm/web01-disk1.vhdx", "data.raw"]);
        assert!(report["edits"].as_array().is_some_and(|edits| !edits.is_empty()));
        assert_eq!(bench.fingerprint(source), before);
        bench.bash("rm -r vm").ends(0);
    }
    // One of the disks, by its name or number, from the file or on the way.
    for (source, pick) in
        [("vzdump.vma", "drive-scsi0"), ("vzdump.vma.zst", "1"), ("vzdump.vma.zst", "drive-scsi0")]
    {
        let run =
            bench.rehome(&["convert", source, "out.raw", "--pick", pick, "--force", "--verify"]).ends(0);
        assert!(!run.stderr.contains("temporary file"), "{run:?}");
        assert_eq!(bench.read("out.raw"), bench.read("data.raw"));
    }
    bench.bash("zstd -qdc vzdump.vma.zst | \"$REHOME\" convert - piped.raw --pick drive-scsi1").ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "raw", "piped.raw", "server.raw"]);
    for args in
        [&["convert", "vzdump.vma", "x.raw"][..], &["convert", "vzdump.vma", "x.raw", "--pick", "scsi9"]]
    {
        let run = bench.rehome(args).ends(2);
        assert!(run.stderr.contains("drive-scsi1, drive-scsi0"), "{run:?}");
    }
    bench.rehome(&["info", "vzdump.vma", "--at", "0"]).ends(2);
    bench.rehome(&["info", "server.raw", "--pick", "1"]).ends(2);
}

#[test]
fn a_cut_or_damaged_backup_is_named_and_nothing_is_written() {
    let bench = bench_with_guest();
    vma(&bench);
    let len = bench.read("vzdump.vma").len();
    bench
        .bash(&format!(
            "head -c {} vzdump.vma > cut.vma; head -c -5000 vzdump.vma.zst > cut.vma.zst",
            len - 70_000
        ))
        .ends(0);
    for source in ["cut.vma", "cut.vma.zst"] {
        for command in ["inspect", "info", "check"] {
            let run = bench.rehome(&[command, source]);
            assert!(matches!(run.code, Some(1 | 65)), "{command} {source}: {run:?}");
        }
        bench.rehome(&["convert", source, "out.raw", "--pick", "1"]).ends(65);
        bench.rehome(&["migrate", source, "--to", "kvm", "--out", "vm"]).ends(65);
        assert!(!bench.path("out.raw").exists() && !bench.path("vm").exists());
    }
    let run = bench.rehome(&["info", "cut.vma"]).ends(65);
    assert!(
        run.stderr.contains("missing") || run.stderr.contains("truncated") || run.stderr.contains("ends"),
        "{run:?}"
    );
}

#[test]
fn a_package_is_written_whole_and_goes_on_to_another_definition() {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &["vmw_pvscsi", "vmxnet3", "sd_mod"], |_| {});
    let args = [
        "migrate",
        "server.raw",
        "--to",
        "vmware",
        "--definition",
        "ova",
        "--out",
        "ova",
        "--output",
        "json",
    ];
    let report = bench.rehome(&args).ends(0).json();
    assert_eq!(report["package"], "web01.ova");
    let listed = bench.tool("tar", "tar", &["-tf", "ova/web01.ova"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["web01.ovf", "web01.vmdk", "web01.mf"]);
    // The loose files are gone; the manifest is that of the members.
    assert!(!bench.path("ova/web01.vmdk").exists() && !bench.path("ova/web01.ovf").exists());
    let line = "mkdir x && tar -C x -xf ova/web01.ova && cd x && sed 's/SHA256(\\(.*\\))= \\(.*\\)/\\2  \\1/' web01.mf | sha256sum -c";
    bench.bash(line).ends(0);
    bench.qemu_img(&["check", "-f", "vmdk", "x/web01.vmdk"]);
    bench.rehome(&["check", "ova/web01.ova"]).ends(0);
    let report = bench
        .rehome(&[
            "migrate",
            "ova/web01.ova",
            "--to",
            "vmware",
            "--definition",
            "vmx",
            "--out",
            "vmx",
            "--output",
            "json",
        ])
        .ends(0)
        .json();
    assert_eq!(report["machine"]["name"], "web01");
    bench.qemu_img(&["check", "-f", "vmdk", "vmx/web01.vmdk"]);
    // A member that was changed: the manifest is compared beside the copy.
    let at = bench.read("ova/web01.ova").len() as u64 / 2;
    bench.bash("cp ova/web01.ova bad.ova").ends(0);
    bench.flip("bad.ova", at);
    bench.rehome(&["check", "bad.ova"]).ends(1);
    let run = bench.rehome(&["migrate", "bad.ova", "--to", "vmware", "--out", "bad"]);
    assert_eq!(run.code, Some(65), "{run:?}");
    assert!(!bench.path("bad/web01.vmdk").exists());
}

//! Formats of other programs, made by these programs, each as an operator would read it.

use crate::bench::{Bench, MIB};

fn bench_with_disk() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", 9 * MIB, &[(0, 70_000), (5 * MIB, 3 * MIB)]);
    bench
}

#[test]
fn evidence_of_ewfacquire() {
    let bench = bench_with_disk();
    let args =
        "-u -q -f encase6 -c fast -S 1MiB -t case -D d -C 1 -E 2 -e me -N n -m fixed -M physical disk.raw";
    bench.bash(&format!("ewfacquire {args} < /dev/null > log 2>&1 || {{ cat log; exit 1; }}")).ends(0);
    bench.rehome(&["convert", "case.E01", "out.qcow2", "--verify"]).ends(0);
    bench.rehome(&["compare", "out.qcow2", "disk.raw"]).ends(0);
    bench.rehome(&["check", "case.E01"]).ends(0);
    bench.bash("mv case.E02 away").ends(0);
    let run = bench.rehome(&["inspect", "case.E01"]);
    assert!(matches!(run.code, Some(1 | 65 | 66)) && format!("{run:?}").contains("case.E02"), "{run:?}");
}

#[test]
fn repositories_of_restic_and_borg() {
    let bench = bench_with_disk();
    std::fs::write(bench.path("password"), "secret\n").unwrap();
    bench
        .bash("export RESTIC_PASSWORD_FILE=password; restic -q -r rr init && restic -q -r rr backup disk.raw && \
               printf changed | dd of=disk.raw conv=notrunc bs=1 seek=5 status=none && restic -q -r rr backup disk.raw")
        .ends(0);
    let args = ["convert", "rr", "out.raw", "--key-file", "password", "--force"];
    bench.rehome(&args).ends(0);
    assert_eq!(bench.read("out.raw"), bench.read("disk.raw"));
    bench.rehome(&[&args[..], &["--at", "0"]].concat()).ends(0);
    assert_ne!(bench.read("out.raw"), bench.read("disk.raw"));
    bench.rehome(&["convert", "rr", "none.raw"]).ends(78);
    let borg = "export BORG_BASE_DIR=$PWD/base; borg init -e none br && borg create --chunker-params fixed,1048576 br::monday disk.raw";
    bench.bash(borg).ends(0);
    bench.rehome(&["convert", "br", "out.raw", "--force"]).ends(0);
    assert_eq!(bench.read("out.raw"), bench.read("disk.raw"));
    // What their own programs hand over comes through a pipe.
    bench.bash("export BORG_BASE_DIR=$PWD/base; borg extract --stdout br::monday disk.raw | \"$REHOME\" convert -f raw - piped.qcow2").ends(0);
    bench.rehome(&["compare", "piped.qcow2", "disk.raw"]).ends(0);
}

#[test]
fn file_systems_of_partclone_and_ntfsclone() {
    let bench = Bench::new();
    bench.bash("truncate -s 24M ext4 ntfs; mkfs.ext4 -q ext4; mkntfs -qFf ntfs > log 2>&1").ends(0);
    bench.bash("partclone.ext4 -q -c -s ext4 -o ext4.ptcl > log 2>&1 || { cat log; exit 1; }").ends(0);
    bench.bash("ntfsclone -q --save-image -o ntfs.img ntfs > log 2>&1 || { cat log; exit 1; }").ends(0);
    bench.bash("zstd -q ext4.ptcl").ends(0);
    for source in ["ext4.ptcl", "ext4.ptcl.zst"] {
        bench.rehome(&["convert", source, "out.raw", "--force", "--verify"]).ends(0);
        bench.tool("e2fsprogs", "e2fsck", &["-fn", "out.raw"]);
    }
    bench.rehome(&["convert", "ntfs.img", "ntfs.raw", "--verify"]).ends(2);
    bench.rehome(&["convert", "-f", "ntfsclone", "ntfs.img", "ntfs.raw", "--verify"]).ends(0);
    bench.tool("ntfs-3g", "ntfsfix", &["-n", "ntfs.raw"]);
}

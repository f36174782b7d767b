//! The destination's volume: checked, taken out of reach, brought back. In a mount and a network namespace of its own.

use crate::bench::{Bench, Run, is_root};

/// A bench whose `disk` is mounted by the beginning of each script of bash.
fn bench() -> Option<Bench> {
    if !is_root() {
        return None;
    }
    let bench = Bench::new();
    std::fs::create_dir(bench.path("my disk")).unwrap();
    std::fs::File::create(bench.path("disk.img")).unwrap().set_len(64 << 20).unwrap();
    bench.tool("e2fsprogs", "mkfs.ext4", &["-q", "disk.img"]);
    Some(bench)
}

/// Runs `script` with `my disk` mounted and `d` for the command. The loop device goes with its last mount, or at the end.
fn run(bench: &Bench, script: &str) -> Run {
    let whole = format!(
        "set -u; d() {{ \"$REHOME\" \"${{@:1:1}}\" \"${{@:2:1}}\" destination \"${{@:3}}\"; }}; \
         loop=$(losetup --find --show disk.img); \
         trap 'rc=$?; umount \"my disk\" 2>/dev/null; losetup -d \"$loop\"; exit $rc' EXIT; \
         mount -o nosuid,nodev,noatime \"$loop\" 'my disk'; mkdir -p 'my disk/vms'; {script}"
    );
    std::fs::write(bench.path("script"), whole).unwrap();
    bench.bash("unshare --mount --net --propagation private bash script")
}

const JSON: &str = "--output json";

#[test]
fn what_is_not_mounted_ends_before_the_first_byte() {
    let Some(bench) = bench() else { return };
    let checked = run(&bench, &format!("d {JSON} check 'my disk/vms'")).ends(0).json();
    assert_eq!(checked["volume"]["fs_type"], "ext4");
    assert_eq!(checked["on_root_disk"], false);
    let said = run(&bench, &format!("d {JSON} check 'my disk'")).ends(73);
    assert!(said.json()["error"]["message"].as_str().unwrap().contains("PATH_NOT_FOUND (-403)"), "{said:?}");
    assert!(said.stderr.contains("hint: make a folder for the images: mkdir 'my disk'/images"), "{said:?}");
    let marked = run(&bench, &format!("d {JSON} init 'my disk'")).ends(0).json();
    let id = marked["id"].as_str().unwrap();
    run(&bench, &format!("d {JSON} check 'my disk' --id {id}")).ends(0);
    let away = format!("umount 'my disk'; d {JSON} check 'my disk' --id {id}");
    assert!(run(&bench, &away).ends(73).stderr.contains("holds no marker of a destination"));
    run(&bench, &format!("d {JSON} check 'my disk' --id x")).ends(2);
}

#[test]
fn out_of_reach_and_back() {
    let Some(bench) = bench() else { return };
    let options = "grep 'my.040disk' /proc/self/mountinfo | cut -d ' ' -f 6";
    let said = run(&bench, &format!("d {JSON} isolate 'my disk/vms' --how unmount --state state >&2 && ! {options} | grep . && \
         ! d {JSON} check 'my disk/vms' --state state >&2 && d {JSON} restore 'my disk/vms' --state state >&2 && {options}"))
    .ends(0);
    assert_eq!(said.stdout, "rw,nosuid,nodev,noatime\n");
    assert!(said.stderr.contains("isolated by unmount: PATH_NOT_FOUND (-403)"), "{said:?}");
    let busy =
        format!("exec 9<'my disk/vms'; d {JSON} isolate 'my disk' --how unmount --state state --wait 0");
    let said = run(&bench, &busy).ends(75);
    assert!(said.stderr.contains("is in use by bash (process "), "{said:?}");
    let not_there = "d --progress none isolate 'my disk' --how network-down --interface nope --state state";
    assert!(run(&bench, not_there).ends(2).stderr.contains("there is no network interface nope"));
    let eject = "d --progress none isolate 'my disk' --how eject --state state";
    assert!(run(&bench, eject).ends(69).stderr.contains("is no USB disk"));
}

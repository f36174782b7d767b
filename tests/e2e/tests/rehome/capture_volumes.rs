//! `capture --lvm-snapshot`. Kernels of test machines have no device mapper, so commands of LVM stand in here that record how they are called, and
//! hand out copies of a loop device: what is judged is what we ask of LVM, and that nothing is ever left.

use crate::bench::{Bench, MIB, is_root, noise, signal};
use crate::capture::{Loop, Server, arguments, capture};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// What `lvs` answers: about the volume's device, its group, and snapshots.
const LVS: &str = r#"
for last; do :; done
say() { echo "{\"report\":[{\"lv\":[$1]}]}"; exit 0; }
case "$last" in
    /dev/nothing) echo "  Volume group \"nothing\" not found" >&2; exit 5 ;;
    /dev/*) say '{"vg_name":"vg0","lv_name":"data"}' ;;
    vg0)
        rows='{"lv_name":"data"}'
        for one in "$STATE"/rehome-*; do [ -e "$one" ] && rows="$rows,{\"lv_name\":\"${one##*/}\"}"; done
        say "$rows" ;;
    vg0/*)
        [ -e "$STATE/${last#vg0/}" ] || { echo "  Failed to find logical volume \"$last\"" >&2; exit 5; }
        full=$(cat "$STATE/full" 2>/dev/null || echo 12.34)
        say "{\"lv_name\":\"${last#vg0/}\",\"lv_path\":\"$(cat "$STATE/${last#vg0/}")\",\"lv_attr\":\"sri-a-s---\",\"data_percent\":\"$full\",\"lv_snapshot_invalid\":\"0\"}" ;;
esac
exit 5
"#;

const LVCREATE: &str = r#"
echo "lvcreate $*" >>"$STATE/log"
[ -e "$STATE/refuse" ] && { echo "  Volume group \"vg0\" has insufficient free space" >&2; exit 5; }
while [ $# -gt 0 ]; do
    [ "$1" = --name ] && name=$2
    shift
done
[ -e "$STATE/slow" ] && sleep 3
cp --sparse=always "$STATE/../disk.raw" "$STATE/image-$name"
device=$(losetup -f -r --show "$STATE/image-$name")
echo "$device" >"$STATE/$name"
"#;

const LVREMOVE: &str = r#"
echo "lvremove $*" >>"$STATE/log"
for last; do :; done
name=${last#vg0/}
[ -e "$STATE/$name" ] || { echo "  Failed to find logical volume" >&2; exit 5; }
[ -e "$STATE/busy" ] && { rm "$STATE/busy"; echo "  Logical volume $last in use." >&2; exit 5; }
losetup -d "$(cat "$STATE/$name")"
rm "$STATE/$name" "$STATE/image-$name"
"#;

/// A volume, and a server at which these commands come first.
fn volume(bench: &Bench) -> (Server, Loop) {
    assert!(is_root(), "loop devices are made by root");
    bench.bash("mkdir bin state").ends(0);
    for (name, script) in [("lvs", LVS), ("lvcreate", LVCREATE), ("lvremove", LVREMOVE)] {
        let state = bench.path("state").display().to_string();
        bench.write(&format!("bin/{name}"), format!("#!/bin/sh\nSTATE={state}\n{script}"));
    }
    bench.bash("chmod 755 bin/*").ends(0);
    let bin = bench.path("bin").display().to_string();
    let server = Server::with(bench, &format!("SetEnv PATH={bin}:/usr/sbin:/usr/bin:/sbin:/bin\n"));
    bench.disk("disk.raw", 64 * MIB, &[(0, 40 * MIB)]);
    (server, Loop::new(bench, "disk.raw", ""))
}

fn snapshots(bench: &Bench) -> Vec<String> {
    let names = std::fs::read_dir(bench.path("state")).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with("rehome-")).collect()
}

fn log(bench: &Bench) -> String {
    std::fs::read_to_string(bench.path("state/log")).unwrap_or_default()
}

#[track_caller]
fn soon(what: &str, seconds: u64, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(seconds), "{what}: not in {seconds} s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes to the volume all the time, as its file system would.
fn writer(device: &Loop) -> impl Drop {
    struct Writer(std::process::Child);
    impl Drop for Writer {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let script = "i=0; while :; do dd if=/dev/urandom of=\"$1\" bs=64k count=1 seek=$((i % 600)) conv=notrunc,fsync status=none; i=$((i + 7)); done";
    Writer(Command::new("sh").args(["-c", script, "sh", &device.0]).spawn().unwrap())
}

#[test]
fn a_volume_that_is_written_to_is_captured_as_it_was() {
    let bench = Bench::new();
    let (_server, device) = volume(&bench);
    // The moment of the snapshot is kept by the one who takes it.
    bench
        .bash("sed -i 's|^device=|cp \"$STATE/image-$name\" \"$STATE/kept\"; device=|' bin/lvcreate")
        .ends(0);
    bench.write("state/busy", "");
    let writing = writer(&device);
    let json = capture(&bench, &device, &["--lvm-snapshot=8M", "--out", "out"]).ends(0).json();
    drop(writing);
    assert_eq!(json["disks"][0]["consistency"], "snapshot", "{json}");
    assert_eq!(json["warnings"].as_array().unwrap().len(), 0, "{json}");
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "state/kept", &device.image("out")]);
    bench.rehome(&["verify", &device.image("out")]).ends(0);
    let log = log(&bench);
    let lines: Vec<_> = log.lines().collect();
    let name = lines[1].split("vg0/").nth(1).unwrap();
    assert!(name.len() == "rehome-".len() + 16, "{log}");
    let create = format!("lvcreate --snapshot --permission r --yes --name {name} --size 8388608b vg0/data");
    let remove = format!("lvremove --force --yes vg0/{name}");
    // In use once: asked again.
    assert_eq!(lines, [create, remove.clone(), remove]);
    assert_eq!(snapshots(&bench), Vec::<String>::new());
    // Again, here, and only what changed.
    let line = format!(
        "PATH=\"$PWD/bin:$PATH\" \"$REHOME\" --output json capture {} --lvm-snapshot --sync --out out",
        device.0
    );
    let json = bench.bash(&line).ends(0).json();
    assert_eq!(json["disks"][0]["consistency"], "snapshot", "{json}");
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &device.image("out")]);
    assert!(self::log(&bench).contains("--extents 20%ORIGIN vg0/data"));
    assert_eq!(snapshots(&bench), Vec::<String>::new());
}

#[test]
fn a_snapshot_goes_whoever_is_killed() {
    let bench = Bench::new();
    let (_server, device) = volume(&bench);
    let all = arguments(&device.0, &["--lvm-snapshot", "--out", "out", "--rate-limit", "2M"]);
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    // This program: the end of its connection is heard at the other side.
    let mut child = bench.spawn(&all);
    soon("a snapshot", 60, || snapshots(&bench).len() == 1);
    signal(&child, "KILL");
    child.wait().unwrap();
    soon("its end", 60, || snapshots(&bench).is_empty());
    // The program there: its keeper hears of it. This one ends, too.
    let mut child = bench.spawn(&all);
    soon("a snapshot", 60, || snapshots(&bench).len() == 1);
    assert_eq!(kill_agents(&device.0), 1);
    soon("its end", 60, || snapshots(&bench).is_empty());
    assert!(!child.wait().unwrap().success());
    // While it is being made.
    bench.write("state/slow", "");
    let mut child = bench.spawn(&all);
    let made = log(&bench).lines().count();
    soon("a creation", 60, || log(&bench).lines().count() > made);
    assert_eq!(kill_agents(&device.0), 1);
    signal(&child, "KILL");
    child.wait().unwrap();
    soon("the snapshot that came later", 60, || snapshots(&bench).len() == 1);
    soon("its end", 60, || snapshots(&bench).is_empty());
    std::fs::remove_file(bench.path("state/slow")).unwrap();
    // Nothing of all this looks finished, and the next run goes on.
    assert!(!bench.path(&device.image("out")).exists());
    let json = capture(&bench, &device, &["--lvm-snapshot", "--out", "out"]).ends(0).json();
    assert_eq!(json["disks"][0]["consistency"], "snapshot");
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &device.image("out")]);
    assert_eq!(snapshots(&bench), Vec::<String>::new());
}

/// Kills what keeps snapshots of the device at its side; tells how many there were.
fn kill_agents(device: &str) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let is_one = words.first().is_some_and(|word| word.ends_with("rehome"))
            && words.iter().any(|word| word == "snapshot")
            && words.iter().any(|word| word == device);
        if is_one {
            let id = entry.file_name().into_string().unwrap();
            assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
            count += 1;
        }
    }
    count
}

#[test]
fn a_snapshot_without_room_is_no_image() {
    let bench = Bench::new();
    let (_server, device) = volume(&bench);
    bench.write("state/full", "100.00");
    let run = capture(&bench, &device, &["--lvm-snapshot=1M", "--out", "out"]).ends(75);
    assert!(run.stderr.contains("is full") && run.stderr.contains("--lvm-snapshot=20G"), "{run:?}");
    assert!(!bench.path(&device.image("out")).exists());
    assert_eq!(snapshots(&bench), Vec::<String>::new());
    std::fs::remove_file(bench.path("state/full")).unwrap();
    // The copy so far is gone on with; it is brought up to what the volume is now.
    let disk = std::fs::OpenOptions::new().write(true).open(&device.0).unwrap();
    disk.write_all_at(&noise(5, 1 << 20), 50 * MIB).unwrap();
    disk.sync_all().unwrap();
    drop(disk);
    capture(&bench, &device, &["--lvm-snapshot=8M", "--out", "out"]).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &device.image("out")]);
}

#[test]
fn what_cannot_be_snapshot_is_told() {
    let bench = Bench::new();
    let (_server, device) = volume(&bench);
    bench.write("state/refuse", "");
    let run = capture(&bench, &device, &["--lvm-snapshot", "--out", "out"]).ends(69);
    assert!(run.stderr.contains("insufficient free space"), "{run:?}");
    assert_eq!(snapshots(&bench), Vec::<String>::new());
    std::fs::remove_file(bench.path("state/refuse")).unwrap();
    // One of another run is named, and left alone.
    bench.write("state/rehome-0123456789abcdef", "/dev/null\n");
    let json = capture(&bench, &device, &["--lvm-snapshot", "--out", "out"]).ends(0).json();
    assert_eq!(json["warnings"][0]["code"], "capture-snapshot-left", "{json}");
    assert_eq!(snapshots(&bench), ["rehome-0123456789abcdef"]);
    let frozen = ["capture", "ssh://box/dev/loop0", "--lvm-snapshot", "--freeze", "/", "--out", "o"];
    bench.rehome(&frozen).ends(2);
    bench.rehome(&["capture", "ssh://box/dev/loop0", "--lvm-snapshot=much", "--out", "o"]).ends(2);
    // What LVM does not know, and a machine without it.
    bench.bash("sed -i 's|/dev/nothing|/dev/*|' bin/lvs").ends(0);
    let run = capture(&bench, &device, &["--lvm-snapshot", "--out", "other"]).ends(69);
    assert!(run.stderr.contains("no logical volume of LVM"), "{run:?}");
}

//! A night's work from a job file: many formats, bad sources, a report for whoever comes in the morning; and a destination that is
//! out of reach before and after.

use crate::bench::{Bench, MIB, Run, is_root};
use std::fmt::Write;

/// Sources in the formats that people have, of one disk; the last three are packed.
const SOURCES: [&str; 9] =
    ["a.raw", "a.qcow2", "a.vmdk", "a.vhdx", "a.vhd", "a.vdi", "a.raw.gz", "a.raw.zst", "a.tar"];
const TARGETS: [&str; 6] = ["qcow2", "vhdx", "vmdk", "vhd", "vdi", "raw"];
/// What is wrong with a source, and the exit code for it.
const BAD: [(&str, &str, i64); 5] = [
    ("cut", "cut.vmdk", 65),
    ("header", "header.qcow2", 65),
    ("gone", "gone.raw", 66),
    ("locked", "locked.qcow2", 78),
    ("packed", "packed.raw.gz", 65),
];
const JOBS: usize = 200;
const MIGRATIONS: usize = 3;

fn job(text: &mut String, id: &str, source: &str, more: &str) {
    writeln!(text, "[[job]]\nid = \"{id}\"\nsource = \"{source}\"\n{more}").unwrap();
}

fn sources(bench: &Bench) {
    bench.disk("a.raw", 3 * MIB, &[(0, 400_000), (2 * MIB, 100_000)]);
    for image in &SOURCES[1..] {
        bench.rehome(&["convert", "a.raw", image]).ends(0);
    }
    bench.bash("rm -f *.rehome.json *.rehome.blocks").ends(0);
    for (from, to, len) in [("a.vmdk", "cut.vmdk", 200_000), ("a.raw.gz", "packed.raw.gz", 150_000)] {
        bench.write(to, &bench.read(from)[..len]);
    }
    bench.write("header.qcow2", b"QFI\xfb\0\0\0\x03 and no more");
    let secret = ["--object", "secret,id=s,data=key", "-o", "encrypt.format=luks,encrypt.key-secret=s"];
    bench.qemu_img(&[&["create", "-q", "-f", "qcow2"][..], &secret, &["locked.qcow2", "1M"]].concat());
}

fn job_file(bench: &Bench) {
    let mut text = "version = 1\n[batch]\nname = \"the night\"\noutput = \"out\"\njobs = 4\nretries = 0\n\
                    [defaults]\nverify = true\n"
        .to_owned();
    for (id, source, _) in BAD {
        job(&mut text, id, source, "target_format = \"qcow2\"");
    }
    for number in 0..MIGRATIONS {
        let sample = env!("CARGO_MANIFEST_DIR").to_owned() + "/../../samples/ec2-debian";
        let more = format!("kind = \"migrate\"\nto = \"hyperv\"\nmachine = \"{sample}.json\"\nwave = 1");
        job(&mut text, &format!("machine{number}"), &format!("{sample}.vmdk"), &more);
    }
    for number in 0..JOBS - BAD.len() - MIGRATIONS {
        let (source, target) = (SOURCES[number % SOURCES.len()], TARGETS[number % TARGETS.len()]);
        job(&mut text, &format!("disk{number:03}"), source, &format!("target_format = \"{target}\""));
    }
    bench.write("jobs.toml", text);
    std::fs::create_dir(bench.path("out")).unwrap();
}

fn run(bench: &Bench) -> Run {
    bench.rehome(&["--output", "json", "batch", "run", "jobs.toml"])
}

#[test]
fn two_hundred_jobs_come_to_their_right_ends_and_the_report_says_so() {
    let bench = Bench::new();
    sources(&bench);
    job_file(&bench);
    let said = run(&bench).ends(65).json();
    let good = JOBS - BAD.len();
    assert_eq!(said["counts"]["done"], good, "{said}");
    assert_eq!((&said["counts"]["failed"], &said["counts"]["held"]), (&4.into(), &1.into()), "{said}");
    for (id, _, code) in BAD {
        let state = bench.json_of(&format!("out/.rehome-batch/jobs/{id}.json"));
        assert_eq!(state["exit_code"], code, "{state}");
        assert!(state["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{state}");
    }
    // Every tenth by a foreign eye; all were read back by the jobs.
    for number in (0..good - MIGRATIONS).step_by(10) {
        let (target, id) = (TARGETS[number % TARGETS.len()], format!("disk{number:03}"));
        let name = if target == "vhd" { "vpc" } else { target };
        let image = format!("out/{id}/{id}.{target}");
        bench.qemu_img(&["compare", "-f", "raw", "-F", name, "a.raw", &image]);
    }

    let report = bench.json_of("out/.rehome-batch/report.json");
    assert_eq!(report["report"], "batch-v1");
    assert_eq!(report["totals"]["states"], serde_json::json!({"done": good, "failed": 4, "held": 1}));
    let text = String::from_utf8(bench.read("out/.rehome-batch/report.txt")).unwrap();
    assert!(text.starts_with(&format!("FAILED: {good} of {JOBS} jobs are done; 4 failed, 1 ")), "{text}");
    assert!(text.lines().count() <= 60 && BAD.iter().all(|(id, ..)| text.contains(id)), "{text}");
    let page = String::from_utf8(bench.read("out/.rehome-batch/report.html")).unwrap();
    assert!(page.contains("machine2") && page.contains("disk191") && !page.contains("<script"));
    assert!(bench.path("out/.rehome-batch/support.tar.gz").is_file(), "a bundle at the first failure");

    let again = run(&bench).ends(65).json();
    assert_eq!(again["already_done"], good, "{again}");
    assert_eq!(again["read_bytes"], 0, "{again}");
}

/// What happens to a volume in a namespace of its own, so that no other test holds its mounts.
const NIGHTS: &str = r#"
set -eux
device=$(losetup --find --show volume)
trap 'umount mnt 2>/dev/null || true; losetup -d "$device"' EXIT
mount -o nosuid,noatime "$device" mnt
mkdir mnt/out
rc=0; "$REHOME" batch run jobs.toml 2>refused || rc=$?; [ $rc = 2 ]
"$REHOME" --output json batch run jobs.toml --state state >first
! grep "$PWD/mnt" /proc/self/mountinfo
[ -z "$(ls -A mnt)" ]
# Another job in the morning: the volume comes back as it was mounted, and goes again.
cat more >>jobs.toml
"$REHOME" --output json batch run jobs.toml --state state >second
! grep "$PWD/mnt" /proc/self/mountinfo
mount "$device" mnt
cp mnt/out/one/one.qcow2 mnt/out/two/two.vhdx .
umount mnt
# Gone without our doing: nothing is written to the disk below.
mkdir mnt/out
sed -i 's/^isolate.*/destination = { volume = true }/' jobs.toml
rc=0; "$REHOME" batch run jobs.toml --state state2 2>gone || rc=$?; [ $rc = 73 ]
[ -z "$(ls -A mnt/out)" ]
"#;

#[test]
fn a_destination_is_there_for_the_batch_and_out_of_reach_after_it() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    bench.disk("a.raw", 3 * MIB, &[(0, 400_000)]);
    bench.bash("truncate -s 64M volume && mkfs.ext4 -q -F volume && mkdir mnt state").ends(0);
    let job = |id: &str, format: &str| {
        format!("[[job]]\nid = \"{id}\"\nsource = \"a.raw\"\ntarget_format = \"{format}\"\n")
    };
    let batch = "version = 1\n[batch]\noutput = \"mnt/out\"\nisolate = { how = \"unmount\" }\n";
    bench.write("jobs.toml", batch.to_owned() + &job("one", "qcow2"));
    bench.write("more", job("two", "vhdx"));
    bench.write("nights", NIGHTS);
    bench.bash("unshare --mount --propagation private bash nights").ends(0);
    assert!(String::from_utf8(bench.read("refused")).unwrap().contains("--state"));
    assert_eq!(bench.json_of("first")["counts"]["done"], 1);
    let second = bench.json_of("second");
    assert_eq!((&second["already_done"], &second["counts"]["done"]), (&1.into(), &2.into()), "{second}");
    for (image, format) in [("one.qcow2", "qcow2"), ("two.vhdx", "vhdx")] {
        bench.qemu_img(&["compare", "-f", "raw", "-F", format, "a.raw", image]);
    }
    let gone = String::from_utf8(bench.read("gone")).unwrap();
    assert!(gone.contains("PATH_NOT_FOUND (-403)"), "{gone}");
}

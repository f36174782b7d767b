//! Names that strangers chose, wherever they stand in images and guests: on no way to a person's eyes do they steer anything, and no line
//! is theirs alone.

use crate::bench::{Bench, MIB, Run};
use crate::guest::{self, HYPERV_MODULES};
use std::path::Path;

/// Colours and titles by ESC and by C1, an answer that a terminal would type, a bell, a line of their own, and text turned around.
const EVIL: &str = "a\x1b[31m\u{9b}2J\x1b]0;t\x07\x1b[c\r\nerror: FORGED\n\u{202e}b\u{85}\u{61c}\u{feff}";
/// The same for places that XML and other texts allow.
const EVIL_IN_XML: &str = "a\u{9b}2J\u{202e}b\u{85}\u{2066}\u{200f}c";

fn steers(c: char) -> bool {
    let unseen = matches!(c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    unseen || (c.is_control() && c != '\n' && c != '\t')
}

#[track_caller]
fn assert_tame(what: &str, text: &str) {
    if let Some(at) = text.find(steers) {
        panic!("{what}: {:?}", text[at..].chars().take(40).collect::<String>());
    }
    assert!(!text.lines().any(|line| line.trim_start().starts_with("error: FORGED")), "{what}: {text}");
}

/// Runs it for people, for programs and with progress.
#[track_caller]
fn shown(bench: &Bench, args: &[&str]) -> [Run; 2] {
    [&[][..], &["--output", "json", "--progress", "json"]].map(|how| {
        let run = bench.rehome(&[how, args].concat());
        assert!(run.code.is_some_and(|code| !matches!(code, 70 | 101 | 124)), "{args:?}: {run:#?}");
        assert_tame(&format!("{args:?} stdout"), &run.stdout);
        assert_tame(&format!("{args:?} stderr"), &run.stderr);
        if !how.is_empty() && run.stdout.starts_with(['{', '[']) {
            run.json();
        }
        run
    })
}

/// Every text file that a run left.
fn assert_tame_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            assert_tame_files(&path);
        } else if [".json", ".ndjson", ".log", ".html", ".txt", ".prom"].iter().any(|end| name.ends_with(end))
        {
            let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
            assert_tame(&path.display().to_string(), &text);
        }
    }
}

#[test]
fn names_of_files() {
    let bench = Bench::new();
    let (raw, copy) =
        (format!("{}.raw", EVIL.replace('/', "_")), format!("{}.qcow2", EVIL.replace('/', "_")));
    bench.disk(&raw, 8 * MIB, &[(0, 70_000)]);
    for args in [
        &["convert", &raw, &copy][..],
        &["convert", &raw, &copy],
        &["info", &copy],
        &["map", &copy],
        &["check", &copy],
        &["verify", &copy],
        &["compare", &raw, &copy],
        &["diff", &raw, &copy],
        &["chain", &copy],
        &["inspect", &copy],
        &["digest", &copy],
        &["measure", &raw, "-O", "vhdx"],
        &["ls", &copy, "/"],
        &["convert", "--sync", &raw, &copy],
        &["migrate", &raw, "--to", "kvm", "--out", &raw],
        &["support-bundle", "--image", &copy, "-o", "b.tar.gz"],
        &["explain", EVIL],
        &[EVIL],
        &["convert", "--rate-limit", EVIL, &raw, "x.raw"],
        &["convert", &format!("--{EVIL}"), &raw, "x.raw"],
        &["report", "show", &raw],
        &["batch", "run", &raw],
        &["batch", "status", "--state", &raw],
    ] {
        shown(&bench, args);
    }
    let manifest = bench.json_of(&format!("{copy}.rehome.json"));
    assert_eq!(manifest["image"]["name"], copy.as_str(), "programs get it whole");
    assert_tame_files(&bench.path("."));
}

#[test]
fn names_in_images() {
    let bench = Bench::new();
    bench.disk("disk.raw", 8 * MIB, &[(0, 70_000)]);
    // Snapshots of qcow2, and a parent that is not there.
    bench.qemu_img(&["convert", "-O", "qcow2", "disk.raw", "snap.qcow2"]);
    bench.qemu_img(&["snapshot", "-c", EVIL, "snap.qcow2"]);
    for args in [
        &["info", "snap.qcow2"][..],
        &["chain", "snap.qcow2"],
        &["convert", "--snapshot", "none", "snap.qcow2", "x.raw"],
        &["convert", "--force", "snap.qcow2", "y.qcow2"],
        &["check", "snap.qcow2"],
    ] {
        shown(&bench, args);
    }
    let told = bench.rehome(&["info", "snap.qcow2", "--output", "json"]).ends(0).json().to_string();
    assert!(told.contains(&serde_json::json!(EVIL).to_string()), "programs get it whole: {told}");
    let parent = format!("gone{EVIL}.raw");
    bench.qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", &parent, "child.qcow2", "8M"]);
    for command in ["info", "inspect", "check", "digest"] {
        shown(&bench, &[command, "child.qcow2"]);
    }
    // Members of archives.
    let make = "import tarfile, sys, os\n\
                t = tarfile.open('a.tar', 'w')\n\
                t.add('disk.raw', arcname=os.environ['EVIL'] + '/disk.raw')\n\
                t.add('disk.raw', arcname=os.environ['EVIL'] + '/disk' + os.environ['EVIL'] + '.img')\n";
    bench.write("make.py", make);
    bench.write("evil", EVIL);
    bench.bash("EVIL=$(cat evil) python3 make.py").ends(0);
    for args in [
        &["info", "a.tar"][..],
        &["inspect", "a.tar"],
        &["convert", "a.tar", "x.raw"],
        &["convert", "--pick", EVIL, "a.tar", "x.raw"],
        &["convert", "--all", "a.tar", "all"],
        &["digest", "a.tar"],
    ] {
        shown(&bench, args);
    }
    // Names and labels of partitions.
    bench.bash("truncate -s 64M gpt.raw; sgdisk -n 1:2048:40000 -n 2:43008:80000 gpt.raw >/dev/null").ends(0);
    bench.bash("sgdisk -c \"1:$(cat evil)\" gpt.raw >/dev/null; truncate -s 16M p; mkfs.ext4 -q -F -L \"$(head -c 12 evil)\" p; dd if=p of=gpt.raw bs=1M seek=1 conv=notrunc status=none").ends(0);
    for args in [&["inspect", "gpt.raw"][..], &["diff", "gpt.raw", "p"], &["ls", "gpt.raw", "/"]] {
        shown(&bench, args);
    }
    assert_tame_files(&bench.path("."));
}

/// A machine whose description has such a name, and a guest that says such things of itself.
#[test]
fn names_of_machines_and_guests() {
    let bench = Bench::new();
    guest::build(&bench, "web.raw", &HYPERV_MODULES, |tree| {
        std::fs::write(tree.join("etc/hostname"), EVIL).unwrap();
        let release = format!(
            "ID=debian\nVERSION_ID=\"12{EVIL_IN_XML}\"\nPRETTY_NAME=\"Debian {}\"\n",
            EVIL.replace('\n', " ")
        );
        std::fs::write(tree.join("etc/os-release"), release).unwrap();
        let folder = tree.join("root").join(EVIL.replace('/', "_"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("x"), "x").unwrap();
    });
    bench.write("web.xml", format!(
        "<domain type='kvm'><name>{EVIL_IN_XML}</name><memory unit='MiB'>512</memory><vcpu>1</vcpu><os><type arch='x86_64'>hvm</type></os>\
         <devices><disk type='file' device='disk'><source file='/x/{EVIL_IN_XML}.raw'/><target dev='vda' bus='virtio'/></disk>\
         <interface type='network'><mac address='52:54:00:01:02:03'/><source network='{EVIL_IN_XML}'/></interface></devices></domain>"));
    let folder = format!("/root/{}", EVIL.replace('/', "_"));
    for args in [
        &["inspect", "web.raw"][..],
        &["ls", "-l", "web.raw", "/root"],
        &["ls", "web.raw", &folder],
        &["cp-out", "web.raw", &folder, "copied"],
        &["cat", "web.raw", &format!("{folder}/no")],
        &["migrate", "web.raw", "--to", "hyperv", "--out", "plan", "--dry-run"],
        &["migrate", "web.raw", "--to", "hyperv", "--out", "vm", "--force"],
        &["migrate", "web.raw", "--machine", "web.xml", "--to", "hyperv", "--out", "vm2", "--force"],
        &["migrate", "web.raw", "--machine", "web.xml", "--to", "kvm", "--out", "vm3", "--force"],
        &["migrate", "web.raw", "--name", EVIL, "--to", "hyperv", "--out", "vm4", "--force"],
    ] {
        shown(&bench, args);
    }
    let reports: Vec<_> = std::fs::read_dir(bench.path("vm"))
        .map(|entries| {
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.to_string_lossy().ends_with(".report.json"))
                .collect()
        })
        .unwrap_or_default();
    assert_eq!(reports.len(), 1, "the guest's own name does not keep it from being migrated");
    let report = reports[0].to_str().unwrap();
    for format in ["text", "html", "json"] {
        let run = bench.rehome(&["report", "show", report, "--format", format]).ends(0);
        assert_tame(format, &run.stdout);
    }
    bench.bash("rm -rf copied").ends(0);
    assert_tame_files(&bench.path("."));
}

#[test]
fn names_of_jobs_in_logs_events_and_pages() {
    let bench = Bench::new();
    let source = format!("{EVIL}.raw");
    bench.disk(&source, MIB, &[(0, 70_000)]);
    std::fs::create_dir(bench.path("out")).unwrap();
    let task = |id: &str, source: &str| {
        let output = format!("out/{id}.qcow2");
        let task = serde_json::json!({
            "id": id, "title": EVIL, "command": ["convert", source, output], "outputs": [output], "source_key": source, "fingerprint": EVIL,
        });
        task.to_string() + "\n"
    };
    bench.write("tasks", task("good", &source) + &task("gone", &format!("{EVIL}.gone")));
    let state = ["--state", "out/.rehome-batch"];
    let args = [
        "batch",
        "run",
        "--tasks",
        "tasks",
        "--retry-wait",
        "0",
        "--metrics",
        "m.prom",
        "--status-file",
        "s.json",
    ];
    let [first, _] = shown(&bench, &args);
    assert_eq!(first.code, Some(66), "{first:#?}");
    shown(&bench, &[&["batch", "status"], &state[..]].concat());
    shown(&bench, &[&["batch", "status", "--nagios"], &state[..]].concat());
    shown(&bench, &[&["batch", "report"], &state[..]].concat());
    shown(&bench, &["report", "show", "out/.rehome-batch/report.json"]);
    shown(&bench, &["report", "show", "out/.rehome-batch/report.json", "--format", "html"]);
    assert!(
        bench.path("out/.rehome-batch/jobs/good.log").exists()
            && bench.path("out/.rehome-batch/events.ndjson").exists()
    );
    assert_tame_files(&bench.path("."));
}

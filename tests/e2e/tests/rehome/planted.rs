//! Whoever can write to a destination can put links, pipes and other names of files there before a run comes: nothing is written through
//! them, and nothing waits for them.

use crate::bench::{Bench, MIB, Run};
use crate::guest::{self, HYPERV_MODULES};
use std::os::unix::fs::MetadataExt;

const PRECIOUS: &[u8] = b"precious";

/// What is put under a name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Trick {
    Link,
    LinkToNothing,
    OtherName,
    Pipe,
    Folder,
}

const TRICKS: [Trick; 5] = [Trick::Link, Trick::LinkToNothing, Trick::OtherName, Trick::Pipe, Trick::Folder];

fn plant(bench: &Bench, name: &str, trick: Trick) {
    let _ = std::fs::remove_file(bench.path("victim"));
    bench.write("victim", PRECIOUS);
    let (path, victim) = (bench.path(name), bench.path("victim"));
    match trick {
        Trick::Link => std::os::unix::fs::symlink(victim, path).unwrap(),
        Trick::LinkToNothing => std::os::unix::fs::symlink(bench.path("nothing"), path).unwrap(),
        Trick::OtherName => std::fs::hard_link(victim, path).unwrap(),
        Trick::Pipe => drop(bench.tool("coreutils", "mkfifo", &[name])),
        Trick::Folder => std::fs::create_dir(path).unwrap(),
    }
}

/// The run ended by itself, well or refusing, and wrote nowhere else.
#[track_caller]
fn assert_unharmed(bench: &Bench, what: &str, run: &Run) -> bool {
    assert!(matches!(run.code, Some(0 | 73)), "{what}: {run:#?}");
    assert!(!run.stderr.contains("panicked"), "{what}: {run:#?}");
    assert_eq!(bench.read("victim"), PRECIOUS, "{what}: {run:#?}");
    assert!(!bench.path("nothing").exists(), "{what}: {run:#?}");
    run.code == Some(0)
}

/// A file of its own.
#[track_caller]
fn assert_own(bench: &Bench, name: &str, what: &str) {
    let found = bench.path(name).symlink_metadata().unwrap();
    assert!(found.is_file() && found.nlink() == 1, "{what}: {name}");
}

#[test]
fn no_name_of_a_conversion_leads_elsewhere() {
    let suffixes = [
        "",
        ".partial",
        ".partial.journal",
        ".partial.sync",
        ".partial.named",
        ".rehome.json",
        ".rehome.json.partial",
        ".rehome.json.partial.journal",
        ".rehome.blocks",
        ".rehome.blocks.partial",
    ];
    for suffix in suffixes {
        for trick in TRICKS {
            for more in [&[][..], &["--force"], &["--also", "md5"]] {
                let bench = Bench::new();
                bench.disk("disk.raw", MIB, &[(0, 70_000)]);
                plant(&bench, &format!("out.qcow2{suffix}"), trick);
                let what = format!("{suffix} {trick:?} {more:?}");
                let run = bench.rehome(&[&["convert", "disk.raw", "out.qcow2"], more].concat());
                if assert_unharmed(&bench, &what, &run) {
                    for name in ["out.qcow2", "out.qcow2.rehome.json", "out.qcow2.rehome.blocks"] {
                        assert_own(&bench, name, &what);
                    }
                    bench.rehome(&["verify", "out.qcow2"]).ends(0);
                } else if !suffix.is_empty() {
                    assert!(!bench.path("out.qcow2").exists(), "refused before the copy: {what}");
                }
            }
        }
    }
}

#[test]
fn an_image_of_several_files_is_no_way_either() {
    for name in ["out-flat.vmdk", "out-flat.vmdk.partial", "out-flat.vmdk.partial.journal"] {
        for trick in [Trick::Link, Trick::LinkToNothing, Trick::OtherName, Trick::Pipe] {
            let bench = Bench::new();
            bench.disk("disk.raw", MIB, &[(0, 70_000)]);
            plant(&bench, name, trick);
            let what = format!("{name} {trick:?}");
            let args = ["convert", "-o", "subformat=monolithicFlat", "disk.raw", "out.vmdk"];
            if assert_unharmed(&bench, &what, &bench.rehome(&args)) {
                assert_own(&bench, "out-flat.vmdk", &what);
            }
        }
    }
}

#[test]
fn no_name_of_a_migration_leads_elsewhere() {
    let source = Bench::new();
    guest::build(&source, "web01.raw", &HYPERV_MODULES, |_| {});
    let names = [
        "web01.vhdx",
        "web01.vhdx.partial",
        "web01.vhdx.rehome.json",
        "web01.ps1",
        "web01.ps1.partial",
        "web01.report.json",
        "web01.report.json.partial",
        "web01.unfinished",
        "web01.undo",
    ];
    for name in names {
        for trick in TRICKS {
            let bench = Bench::new();
            std::fs::create_dir(bench.path("vm")).unwrap();
            plant(&bench, &format!("vm/{name}"), trick);
            let what = format!("{name} {trick:?}");
            let path = source.path("web01.raw");
            let args = ["migrate", path.to_str().unwrap(), "--to", "hyperv", "--out", "vm", "--force"];
            if assert_unharmed(&bench, &what, &bench.rehome(&args)) {
                for own in ["vm/web01.vhdx", "vm/web01.ps1", "vm/web01.report.json"] {
                    assert_own(&bench, own, &what);
                }
            }
        }
    }
}

#[test]
fn a_batch_keeps_its_state_where_it_was_told_to() {
    let line = serde_json::json!({
        "id": "a", "command": ["convert", "disk.raw", "out/a.qcow2"], "outputs": ["out/a.qcow2"], "source_key": "a", "fingerprint": "1",
    });
    let run = |bench: &Bench| {
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
            "s",
        ];
        bench.rehome(&args)
    };
    let names = [
        "out/.rehome-batch",
        "out/.rehome-batch/jobs",
        "out/.rehome-batch/events.ndjson",
        "out/.rehome-batch/tasks.ndjson",
        "out/.rehome-batch/report.json",
        "out/.rehome-batch/jobs/a.log",
        "out/.rehome-batch/jobs/a.outcome.json",
        "out/.rehome-batch/jobs/a.outcome.json.partial",
        "out/.rehome-lease",
        "out/.rehome-lease/a.published",
        "out/a.qcow2.partial",
        "m.prom",
        "s",
    ];
    for name in names {
        for trick in [Trick::Link, Trick::LinkToNothing, Trick::OtherName, Trick::Pipe] {
            let bench = Bench::new();
            bench.disk("disk.raw", MIB, &[(0, 70_000)]);
            bench.write("tasks", line.to_string() + "\n");
            let folder = bench.path(name);
            std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
            plant(&bench, name, trick);
            // What reads its own state from a pipe that nobody writes would wait: `timeout` would end it.
            assert_unharmed(&bench, &format!("{name} {trick:?}"), &run(&bench));
        }
    }
    // The folder elsewhere that a link names gets nothing, and loses nothing.
    for name in ["out/.rehome-batch", "out/.rehome-lease"] {
        let bench = Bench::new();
        bench.disk("disk.raw", MIB, &[(0, 70_000)]);
        bench.write("tasks", line.to_string() + "\n");
        std::fs::create_dir(bench.path("out")).unwrap();
        std::fs::create_dir(bench.path("elsewhere")).unwrap();
        bench.write("elsewhere/.tmp.of-another", "x");
        bench.bash("touch -d '2 days ago' elsewhere/.tmp.of-another").ends(0);
        std::os::unix::fs::symlink(bench.path("elsewhere"), bench.path(name)).unwrap();
        run(&bench).ends(73);
        let left: Vec<_> = std::fs::read_dir(bench.path("elsewhere")).unwrap().collect();
        assert_eq!(left.len(), 1, "{name}: {left:?}");
    }
}

#[test]
fn reports_bundles_logs_and_sockets_are_new_files() {
    for trick in TRICKS {
        let bench = Bench::new();
        bench.disk("disk.raw", MIB, &[(0, 70_000)]);
        bench.bash("\"$REHOME\" --output json convert disk.raw x.qcow2 > outcome.json").ends(0);
        bench.tool("openssh-client", "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", "key"]);
        for (name, args) in [
            (
                "page.html",
                &["report", "show", "outcome.json", "--format", "html", "-o", "page.html", "--force"][..],
            ),
            (
                "page.html.partial",
                &["report", "show", "outcome.json", "--format", "html", "-o", "page.html", "--force"],
            ),
            ("outcome.json.sig", &["report", "sign", "outcome.json", "--key", "key", "--force"]),
            ("b.tar.gz", &["support-bundle", "--image", "x.qcow2", "-o", "b.tar.gz", "--force"]),
            ("b.tar.gz", &["support-bundle", "--image", "x.qcow2", "-o", "b.tar.gz"]),
            ("case/evidence.jsonl", &["--evidence", "case", "convert", "disk.raw", "y.qcow2", "--force"]),
            ("sock", &["serve", "x.qcow2", "--listen", "unix:sock"]),
        ] {
            let what = format!("{name} {trick:?} {args:?}");
            if let Some(folder) = bench.path(name).parent() {
                std::fs::create_dir_all(folder).unwrap();
            }
            plant(&bench, name, trick);
            assert_unharmed(&bench, &what, &bench.rehome(args));
            bench.bash(&format!("rm -rf {name}")).ends(0);
        }
    }
}

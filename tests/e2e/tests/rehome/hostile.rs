//! What strangers and clumsy hands do: nothing is lost, nothing hangs, nothing steers the terminal.

use crate::bench::{Bench, MIB};
use crate::guest;

#[test]
fn a_source_is_never_where_something_is_written() {
    // What is written for disk.raw: the image, its manifest, the block list, and each of them as .partial at first.
    for name in [
        "disk.raw",
        "disk.raw.partial",
        "disk.raw.rehome.json",
        "disk.raw.rehome.json.partial",
        "disk.raw.rehome.blocks",
        "disk.raw.rehome.blocks.partial",
    ] {
        let bench = Bench::new();
        bench.disk(name, MIB, &[(0, MIB)]);
        let before = bench.fingerprint(name);
        let run = bench.rehome(&["convert", "--force", "-f", "raw", name, "disk.raw"]).ends(2);
        assert!(run.stderr.contains("is a file of the source"), "{run:?}");
        assert_eq!(bench.fingerprint(name), before);
        assert_eq!(bench.names(), [name]);
    }
}

#[test]
fn links_to_a_source_are_the_source() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, MIB)]);
    let content = bench.read("disk.raw");
    std::fs::hard_link(bench.path("disk.raw"), bench.path("hard.vhdx")).unwrap();
    std::fs::hard_link(bench.path("disk.raw"), bench.path("other.vhdx.partial")).unwrap();
    std::os::unix::fs::symlink("disk.raw", bench.path("soft.vhdx")).unwrap();
    for target in ["hard.vhdx", "soft.vhdx", "other.vhdx", "./../", ".", ".."] {
        let run = bench.rehome(&["convert", "--force", "-O", "vhdx", "disk.raw", target]);
        assert!(matches!(run.code, Some(2 | 73)), "{target}: {run:?}");
        assert_eq!(bench.read("disk.raw"), content);
    }
}

#[test]
fn a_target_in_the_chain_of_its_source_is_refused() {
    let bench = Bench::new();
    bench.disk("base.raw", MIB, &[(0, MIB)]);
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", "top.qcow2"]);
    let base = bench.read("base.raw");
    bench.rehome(&["convert", "--force", "top.qcow2", "base.raw"]).ends(2);
    assert_eq!(bench.read("base.raw"), base);
}

#[test]
fn no_disk_of_a_machine_is_written_over_another() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("vm")).unwrap();
    guest::build(&bench, "vm/server.raw", &guest::HYPERV_MODULES, |_| {});
    bench.disk("vm/web01-disk0.vhdx", MIB, &[(0, MIB)]);
    let before = bench.read("vm/web01-disk0.vhdx");
    let args = [
        "migrate",
        "-f",
        "raw",
        "vm/server.raw",
        "vm/web01-disk0.vhdx",
        "--to",
        "hyperv",
        "--out",
        "vm",
        "--force",
    ];
    bench.rehome(&args).ends(2);
    assert_eq!(bench.read("vm/web01-disk0.vhdx"), before);
}

#[test]
fn an_image_that_is_its_own_ancestor_is_corrupt() {
    let bench = Bench::new();
    let create = |base: &str, name: &str| {
        bench.qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base, name, "1M"]);
    };
    create("self.qcow2", "twin.qcow2");
    std::fs::rename(bench.path("twin.qcow2"), bench.path("self.qcow2")).unwrap();
    create("b.qcow2", "a.qcow2");
    create("a.qcow2", "b.qcow2");
    for name in ["self.qcow2", "a.qcow2"] {
        let run = bench.rehome(&["inspect", name]).ends(65);
        assert!(run.stderr.contains("is its own ancestor"), "{run:?}");
    }
}

#[test]
fn names_cannot_steer_the_terminal() {
    let bench = Bench::new();
    let name = "a\x1b[31m\nb\u{202e}.raw";
    bench.disk(name, MIB, &[(0, 4096)]);
    for args in [
        &["inspect", name][..],
        &["digest", name],
        &["convert", name, "x\x1b]0;title\x07.qcow2"],
        &["convert", name, "no\x1b/x.qcow2"],
        &["convert", name, "x\x1b"],
        &["convert", "-f", "\x1b[2J", name, "x.raw"],
        &["convert", "-o", "\x1b[2J=1", name, "x.raw"],
        &["inspect", "missing\x1b[2J\r"],
        &["verify", name],
    ] {
        let run = bench.rehome(args);
        let text = format!("{}{}", run.stdout, run.stderr);
        assert!(!text.contains(['\x1b', '\x07', '\r', '\u{202e}']), "{args:?}: {text:?}");
        assert!(!text.contains("[31m\nb"), "a name is one line: {text:?}");
        assert!(run.code.is_some_and(|code| code != 101) && !text.contains("panicked"), "{run:?}");
    }
    let run = bench.rehome(&["inspect", name, "--output", "json"]).ends(0);
    assert!(run.json()["image"][0]["path"].as_str().unwrap().ends_with(name), "JSON carries it whole");
}

#[test]
fn names_that_are_no_text_are_files_like_others() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe.qcow2");
    let convert = [std::ffi::OsStr::new("convert"), "disk.raw".as_ref(), name];
    assert_eq!(bench.command(convert).output().unwrap().status.code(), Some(0));
    let verify = [std::ffi::OsStr::new("verify"), name, "--output=json".as_ref()];
    assert_eq!(bench.command(verify).output().unwrap().status.code(), Some(0));
}

#[test]
fn a_name_too_long_for_the_manifest_is_refused_before_the_copy() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    for len in [229, 230, 300] {
        let name = format!("{}.raw", "a".repeat(len));
        let run = bench.rehome(&["convert", "disk.raw", &name]);
        assert_eq!(run.code, Some(if len == 229 { 0 } else { 2 }), "{run:?}");
        assert_eq!(bench.path(&name).exists(), len == 229);
    }
}

#[test]
fn absurd_sizes_end_quickly() {
    let bench = Bench::new();
    bench.disk("huge.raw", (1 << 43) + 7 * 512, &[(1 << 42, 512)]);
    let started = std::time::Instant::now();
    bench.rehome(&["inspect", "huge.raw"]).ends(0);
    for format in ["vhdx", "vmdk", "qcow2"] {
        let target = format!("huge.{format}");
        let run = bench.rehome(&["--threads", "64", "convert", "huge.raw", &target]);
        assert!(matches!(run.code, Some(0 | 2 | 69)), "{run:?}");
        assert_eq!(run.code == Some(0), bench.path(&target).exists());
    }
    bench.write("empty.raw", "");
    for args in
        [&["inspect", "empty.raw"][..], &["digest", "empty.raw"], &["convert", "empty.raw", "e.qcow2"]]
    {
        let run = bench.rehome(args);
        assert!(matches!(run.code, Some(0 | 2 | 65 | 69)), "{run:?}");
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn tables_of_nonsense_are_told_not_trusted() {
    let bench = Bench::new();
    guest::build(&bench, "good.raw", &guest::HYPERV_MODULES, |_| {});
    let good = bench.read("good.raw");
    for (what, at, bytes) in [
        ("partition behind the end", 454, &[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff][..]),
        ("partition at sector 0", 454, &[0, 0, 0, 0, 0, 0xc0, 0, 0]),
        ("extended partition that is its own", 450, &[5, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0]),
        ("protective without GPT", 450, &[0xee, 0, 0, 0, 1, 0, 0, 0]),
        ("no signature", 510, &[0, 0]),
        ("superblock of ones", 0x10_0400, &[0xff; 1024]),
        ("absurd block size", 0x10_0418, &[0xff, 0xff, 0xff, 0x7f]),
        ("no inodes in a group", 0x10_0428, &[0, 0, 0, 0]),
    ] {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bench.write("bad.raw", bad);
        let inspect = bench.rehome(&["inspect", "bad.raw"]);
        assert!(matches!(inspect.code, Some(0 | 65)), "{what}: {inspect:?}");
        let run = bench.rehome(&["migrate", "bad.raw", "--to", "hyperv", "--out", "vm"]);
        assert!(matches!(run.code, Some(65 | 78)), "{what}: {run:?}");
        assert!(!bench.path("vm").exists(), "{what}");
    }
}

#[test]
fn a_guest_cannot_name_files_outside_the_output_folder() {
    for name in [
        "../../evil",
        "/etc/evil",
        "a/b\\c:d*e",
        "\x1b[31m",
        "..",
        ".",
        "con",
        "$(touch x)`; '\"",
        &"h".repeat(500),
    ] {
        let bench = Bench::new();
        guest::build(&bench, "server.raw", &guest::HYPERV_MODULES, |tree| {
            std::fs::write(tree.join("etc/hostname"), format!("{name}\n")).unwrap();
        });
        std::fs::create_dir(bench.path("vm")).unwrap();
        let args = ["migrate", "server.raw", "--to", "hyperv", "--out", "vm", "--output", "json"];
        let report = bench.rehome(&args).ends(0).json();
        assert_eq!(bench.names(), ["server.raw", "vm"], "{name:?}");
        for file in report["files"].as_array().unwrap() {
            let file = file.as_str().unwrap();
            assert!(
                bench.path("vm").join(file).exists() && !file.contains(['/', '\\', ':', '\x1b', '"']),
                "{file}"
            );
            assert!(!file.starts_with('.') && file.len() < 256, "{file}");
        }
    }
}

#[test]
fn a_disk_that_is_cut_off_is_not_migrated_as_if_it_were_whole() {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &guest::HYPERV_MODULES, |_| {});
    bench.bash("truncate -s 40M data.raw && echo 2048,,83 | sfdisk -q -X dos data.raw").ends(0);
    bench.bash("mkfs.ext4 -q -F -E offset=1048576 data.raw 39M && cp data.raw cut.raw && truncate -s 25M cut.raw").ends(0);
    // The file system's end alone, by less than a cylinder.
    bench.bash("cp data.raw short.raw && truncate -s 38M short.raw").ends(0);
    bench.bash("cp server.raw boot.raw && truncate -s 12M boot.raw").ends(0);
    let migrate = |images: &[&str], code| {
        let args = ["--output", "json", "migrate", "--to", "hyperv", "--out", "vm", "--dry-run"];
        bench.rehome(&[&args[..], images].concat()).ends(code).json()
    };
    migrate(&["server.raw", "data.raw"], 0);
    for (images, disk) in [
        (&["server.raw", "cut.raw"][..], "disk 1"),
        (&["server.raw", "short.raw"], "disk 1"),
        (&["boot.raw", "data.raw"], "disk 0"),
    ] {
        let report = migrate(images, 78);
        assert_eq!(report["outcome"], "blocked");
        let step = report["next_step"].as_str().unwrap();
        assert!(step.starts_with("the image is cut off: copy it again"), "{step}");
        let obstacles: Vec<_> =
            report["obstacles"].as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
        let told = obstacles.iter().any(|o| o.starts_with(disk) && o.contains("does not fit its volume"));
        assert!(told, "{obstacles:?}");
        let run = bench.rehome(&[&["inspect"], images].concat()).ends(0);
        assert!(run.stdout.contains("\nCut off\n") && run.stdout.contains("copy it again"), "{run:?}");
    }
    // Nothing says how the machine starts any more.
    bench.bash("head -c 1M /dev/zero | dd of=boot.raw conv=notrunc bs=440 count=1 status=none").ends(0);
    let run = bench.rehome(&["migrate", "boot.raw", "--to", "kvm", "--out", "vm", "--dry-run"]).ends(78);
    assert!(run.stderr.contains("copy it again"), "{run:?}");
}

#[test]
fn what_is_wrong_in_a_guest_is_no_fault_of_the_command() {
    let bench = Bench::new();
    let build = |name: &str, change: &dyn Fn(&std::path::Path)| {
        guest::build(&bench, name, &guest::HYPERV_MODULES, |tree| change(tree));
    };
    build("loop.raw", &|tree| {
        std::fs::remove_file(tree.join("etc/fstab")).unwrap();
        std::os::unix::fs::symlink("fstab", tree.join("etc/fstab")).unwrap();
    });
    build("large.raw", &|tree| std::fs::write(tree.join("etc/fstab"), vec![b'#'; 1 << 21]).unwrap());
    build("unused.raw", &|_| {});
    bench.bash("dd if=unused.raw of=part.img bs=1M skip=1 status=none").ends(0);
    bench.tool("e2fsprogs", "debugfs", &["-w", "-R", "clri /etc/fstab", "part.img"]);
    bench.bash("dd if=part.img of=unused.raw bs=1M seek=1 conv=notrunc status=none").ends(0);
    for (image, code, words, step) in [
        ("loop.raw", 78, "/etc/fstab: too many symbolic links", "repair that file or link"),
        ("large.raw", 78, "/etc/fstab: ", "make it smaller"),
        ("unused.raw", 65, "/etc/fstab: ext4: a name in a folder leads to inode", "run e2fsck"),
    ] {
        let migrate = ["migrate", image, "--to", "hyperv", "--out", "vm", "--dry-run"];
        for args in [&["inspect", image][..], &migrate] {
            let run = bench.rehome(args).ends(code);
            assert!(run.stderr.contains(words) && run.stderr.contains(step), "{image}: {run:?}");
        }
    }
}

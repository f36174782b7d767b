//! consolidate: the points that are kept read as before, whatever happens, and the others are gone.

use crate::bench::{Bench, MIB, noise, signal};
use crate::chains::chain_of;
use std::time::Duration;

/// Formats of which we write differences.
const FORMATS: [&str; 4] = ["qcow2", "vhdx", "vhd", "vmdk"];

/// Every point from `first` to `last` reads like its raw disk: QEMU judges where it reads parents.
#[track_caller]
fn points_read(bench: &Bench, format: &str, points: std::ops::RangeInclusive<u32>) {
    for point in points {
        let (image, raw) = (format!("{point}.{format}"), format!("{point}.raw"));
        if matches!(format, "qcow2" | "vmdk") {
            bench.qemu_img(&["convert", "-f", format, "-O", "raw", &image, "restored.raw"]);
            assert!(bench.read("restored.raw") == bench.read(&raw), "{image}");
            std::fs::remove_file(bench.path("restored.raw")).unwrap();
        } else {
            bench.rehome(&["compare", "--strict", &image, &raw]).ends(0);
        }
    }
}

/// The images and their manifests that are there, without the raw disks.
fn images(bench: &Bench) -> Vec<String> {
    bench.names().into_iter().filter(|name| !name.ends_with(".raw") && !name.starts_with("0.raw.")).collect()
}

#[test]
fn the_oldest_kept_point_becomes_full_and_the_others_stay_as_they_are() {
    for format in FORMATS {
        let bench = Bench::new();
        chain_of(&bench, format, 4, 12 * MIB);
        let name = |point: u32| format!("{point}.{format}");
        let identity = |point| {
            bench.rehome(&["info", "--output", "json", &name(point)]).ends(0).json()["identity"].clone()
        };
        let (above, second) = ([3, 4].map(|point| bench.fingerprint(&name(point))), identity(2));
        let time = bench.path(&name(2)).metadata().unwrap().modified().unwrap();

        let dry = bench
            .rehome(&["consolidate", &name(4), "--keep", "3", "--dry-run", "--output", "json"])
            .ends(0)
            .json();
        assert_eq!(
            (&dry["result"], dry["plan"]["kept"].as_array().unwrap().len()),
            (&"planned".into(), 3),
            "{dry}"
        );
        assert!(
            bench.path(&name(0)).exists() && !bench.names().iter().any(|name| name.contains("consolidate"))
        );

        let run = bench.rehome(&["consolidate", &name(4), "--keep", "3", "--output", "json"]).ends(0).json();
        assert_eq!((&run["result"], &run["continued"]), (&"done".into(), &false.into()), "{run}");
        points_read(&bench, format, 2..=4);
        assert_eq!(
            [3, 4].map(|point| bench.fingerprint(&name(point))),
            above,
            "{format}: what is above is untouched"
        );
        assert_eq!(identity(2), second);
        assert_eq!(bench.path(&name(2)).metadata().unwrap().modified().unwrap(), time);
        let expected: Vec<_> = [2, 3, 4]
            .into_iter()
            .flat_map(|point| {
                ["", ".rehome.blocks", ".rehome.json"].map(|end| format!("{}{end}", name(point)))
            })
            .collect();
        assert_eq!(images(&bench), expected, "{format}");
        for point in 2..=4 {
            bench.rehome(&["verify", &name(point)]).ends(0);
            bench.rehome(&["check", &name(point)]).ends(0);
        }
        let chain = bench.rehome(&["chain", "--output", "json", &name(4)]).ends(0).json();
        assert_eq!(chain["total"]["images"], 3);
        let digest = bench.rehome(&["digest", &name(2)]).ends(0).stdout;
        assert!(digest.starts_with(run["points"][2]["digest"].as_str().unwrap()), "{digest}");

        let again = bench.rehome(&["consolidate", &name(4), "--keep", "3"]).ends(0);
        assert!(again.stdout.starts_with("nothing to do"), "{again:?}");
        let run = bench.rehome(&["consolidate", &name(4), "--keep", "1"]).ends(0);
        assert!(run.stdout.contains("3 images became 1"), "{run:?}");
        points_read(&bench, format, 4..=4);
        assert_eq!(images(&bench).len(), 3, "{format}: {:?}", images(&bench));
    }
}

#[test]
fn a_raw_base_is_merged_and_old_files_can_be_kept() {
    let bench = Bench::new();
    chain_of(&bench, "qcow2", 2, 8 * MIB);
    bench.rehome(&["delta", "0.raw", "1.raw", "a.qcow2"]).ends(0);
    bench.rehome(&["delta", "a.qcow2", "2.raw", "b.qcow2"]).ends(0);
    std::fs::create_dir(bench.path("old")).unwrap();
    bench.rehome(&["consolidate", "b.qcow2", "--keep", "1", "--keep-old", "old", "-o", "compressed"]).ends(0);
    bench.qemu_img(&["compare", "b.qcow2", "2.raw"]);
    bench.qemu_img(&["check", "-q", "b.qcow2"]);
    assert!(!bench.path("0.raw").exists() && !bench.path("a.qcow2").exists());
    // A whole chain where it lies now.
    bench.qemu_img(&["compare", "old/b.qcow2", "2.raw"]);
    bench.qemu_img(&["compare", "old/a.qcow2", "1.raw"]);
}

#[test]
fn vmware_disks_of_several_files_become_one() {
    let bench = Bench::new();
    chain_of(&bench, "qcow2", 2, 8 * MIB);
    bench.rehome(&["convert", "0.raw", "0.vmdk", "-o", "subformat=monolithicFlat"]).ends(0);
    let split = ["-o", "subformat=twoGbMaxExtentSparse"];
    let hardware = ["-o", "adapter_type=pvscsi,hwversion=14"];
    bench.rehome(&[&["delta", "0.vmdk", "1.raw", "1.vmdk"][..], &split, &hardware].concat()).ends(0);
    bench.rehome(&[&["delta", "1.vmdk", "2.raw", "2.vmdk"][..], &split, &hardware].concat()).ends(0);
    // Another machine's disk in the folder, of several files too.
    bench.rehome(&[&["convert", "0.raw", "other.vmdk"][..], &split].concat()).ends(0);
    bench.bash("rm *.qcow2*").ends(0);
    let listed = bench.rehome(&["chain", ".", "--output", "json"]).ends(0).json();
    assert_eq!(listed["images"].as_array().unwrap().len(), 4, "{listed}");
    let parts =
        |start: &str| bench.names().into_iter().filter(|name| name.starts_with(start)).collect::<Vec<_>>();
    assert_eq!((parts("0-").len(), parts("1-").len(), parts("2-").len()), (1, 1, 1), "{:?}", bench.names());
    bench.rehome(&["consolidate", "2.vmdk", "--keep", "2"]).ends(0);
    points_read(&bench, "vmdk", 1..=2);
    assert_eq!((parts("0-").len(), parts("1-").len(), parts("2-").len()), (0, 0, 1), "{:?}", bench.names());
    assert!(!bench.path("0.vmdk").exists());
    bench.rehome(&["compare", "other.vmdk", "0.raw"]).ends(0);
    bench.rehome(&["consolidate", "2.vmdk", "--keep", "1"]).ends(0);
    points_read(&bench, "vmdk", 2..=2);
    let head = String::from_utf8_lossy(&bench.read("2.vmdk")[..8192]).into_owned();
    assert!(head.contains("ddb.adapterType = \"pvscsi\""), "{head}");
    assert!(head.contains("ddb.virtualHWVersion = \"14\""), "{head}");
}

#[test]
fn what_would_be_lost_is_refused_and_nothing_has_changed() {
    let bench = Bench::new();
    chain_of(&bench, "qcow2", 3, 8 * MIB);
    let before = bench.names();
    let refused = |args: &[&str], code: i32, text: &str| {
        let run = bench.rehome(&[&["consolidate", "3.qcow2", "--keep", "2"], args].concat()).ends(code);
        assert!(run.stderr.contains(text), "{run:?}");
        points_read(&bench, "qcow2", 0..=3);
        assert!(!bench.names().iter().any(|name| name.contains("consolidate")), "{:?}", bench.names());
    };
    for args in [&["--ignore-parent"][..], &["--pick", "0"], &["-o", "nonsense=1"]] {
        refused(args, 2, "");
    }
    // A fork: of a point that would go, and of the one that would be replaced by its like.
    bench.rehome(&["delta", "1.qcow2", "3.raw", "fork.qcow2"]).ends(0);
    refused(&[], 78, "fork.qcow2 is based on");
    refused(&["--dry-run"], 78, "fork.qcow2 is based on");
    std::fs::remove_file(bench.path("fork.qcow2")).unwrap();
    std::fs::remove_file(bench.path("fork.qcow2.rehome.json")).unwrap();
    std::fs::remove_file(bench.path("fork.qcow2.rehome.blocks")).unwrap();
    // An internal snapshot of an image that would go.
    bench.qemu_img(&["snapshot", "-c", "before", "1.qcow2"]);
    refused(&[], 78, "internal snapshots");
    bench.qemu_img(&["snapshot", "-d", "before", "1.qcow2"]);
    // Two names.
    std::fs::hard_link(bench.path("0.qcow2"), bench.path("twin")).unwrap();
    refused(&[], 69, "further names");
    std::fs::remove_file(bench.path("twin")).unwrap();
    // In use by QEMU, which locks its files.
    let disk = "driver=qcow2,node-name=d,file.driver=file,file.filename=3.qcow2";
    let line = format!(
        "qemu-storage-daemon --blockdev {disk} --nbd-server addr.type=unix,addr.path=sock --export type=nbd,id=e,node-name=d & \
         for i in $(seq 50); do [ -S sock ] && break; sleep 0.1; done; \"$REHOME\" consolidate 3.qcow2 --keep 2; code=$?; kill %1; wait; exit $code"
    );
    let run = bench.bash(&line).ends(75);
    assert!(run.stderr.contains("is open in another program"), "{run:?}");
    let _ = std::fs::remove_file(bench.path("sock"));
    assert_eq!(bench.names(), before);
    // A base that is not what it was when its manifests were written.
    let (base, wanted) = (bench.read("0.qcow2"), bench.read("0.raw")[MIB as usize..][..64].to_vec());
    let place = base.windows(64).position(|bytes| bytes == wanted).unwrap();
    bench.flip("0.qcow2", place as u64);
    let run = bench.rehome(&["consolidate", "3.qcow2", "--keep", "2"]).ends(65);
    assert!(run.stderr.contains("is not what its manifest says"), "{run:?}");
    assert_eq!(bench.names(), before);
}

/// What QEMU makes as children of point 1, which would go, under names that say nothing of their format.
#[test]
fn a_child_that_cannot_be_opened_or_names_its_parent_by_another_name_is_refused() {
    let bench = Bench::new();
    chain_of(&bench, "qcow2", 3, 8 * MIB);
    bench.bash("mkdir ../$(basename $PWD).far && ln -s p1 cur && ln -s 1.qcow2 p1 && ln -s $PWD/cur ../$(basename $PWD).far/x").ends(0);
    let create = "qemu-img create -q -f qcow2 -F qcow2";
    let luks = "printf pw >pw; qemu-img create -q --object secret,id=s,file=pw -f qcow2 -b 1.qcow2 -F qcow2 \
                -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    let children = [
        ("linked.img", format!("{luks} linked.img; rm pw"), "cannot be opened"),
        ("vm-100-disk-0", format!("{luks} vm-100-disk-0; rm pw"), "cannot be opened"),
        // An incompatible feature that nobody knows yet: bit 40.
        (
            "disk.snap1",
            format!(
                "{create} -b 1.qcow2 disk.snap1; printf '\\001' | dd of=disk.snap1 bs=1 seek=74 conv=notrunc status=none"
            ),
            "cannot be opened",
        ),
        (
            "named.raw",
            format!("{create} -b 1.qcow2 -o data_file=gone,data_file_raw=off named.raw; rm gone"),
            "cannot be opened",
        ),
        (
            "far.snap",
            format!("{create} -u -b $(realpath -s ../$(basename $PWD).far/x) far.snap 8M"),
            "is based on",
        ),
        ("up.snap", format!("{create} -u -b ../$(basename $PWD).far/x up.snap 8M"), "is based on"),
        (
            "json.snap",
            format!(
                r#"{create} -u -b 'json:{{"driver":"qcow2","file":{{"driver":"file","filename":"cur"}}}}' json.snap 8M"#
            ),
            "is based on",
        ),
        ("lost.snap", format!("{create} -u -b lost lost.snap 8M"), "cannot be followed"),
    ];
    for (name, line, text) in children {
        bench.bash(&line).ends(0);
        let before = bench.names();
        for dry in [&["--dry-run"][..], &[]] {
            let run = bench.rehome(&[&["consolidate", "3.qcow2", "--keep", "2"], dry].concat()).ends(78);
            assert!(run.stderr.contains(text) && run.stderr.contains(name), "{run:?}");
        }
        assert_eq!(bench.names(), before, "{name}");
        std::fs::remove_file(bench.path(name)).unwrap();
    }
    points_read(&bench, "qcow2", 0..=3);
    // A copy that was not finished, and names that lead elsewhere, stop nothing.
    bench.write("half.qcow2.partial", &bench.read("1.qcow2")[..40]);
    bench.bash(&format!("{create} -u -b /another/host/x far.snap 8M; {create} -b 2.qcow2 kept.snap")).ends(0);
    bench.rehome(&["consolidate", "3.qcow2", "--keep", "2"]).ends(0);
    points_read(&bench, "qcow2", 2..=3);
    bench.bash("rm -r ../$(basename $PWD).far").ends(0);
}

#[test]
fn the_extent_of_another_descriptor_is_not_removed() {
    let bench = Bench::new();
    chain_of(&bench, "qcow2", 2, 8 * MIB);
    bench.rehome(&["convert", "0.raw", "0.vmdk", "-o", "subformat=monolithicFlat"]).ends(0);
    bench.rehome(&["delta", "0.vmdk", "1.raw", "1.vmdk"]).ends(0);
    bench.rehome(&["delta", "1.vmdk", "2.raw", "2.vmdk"]).ends(0);
    std::fs::copy(bench.path("0.vmdk"), bench.path("template.vmdk")).unwrap();
    let before = bench.names();
    let run = bench.rehome(&["consolidate", "2.vmdk", "--keep", "2"]).ends(78);
    assert!(run.stderr.contains("template.vmdk uses"), "{run:?}");
    assert_eq!(bench.names(), before);
    bench.rehome(&["compare", "template.vmdk", "0.raw"]).ends(0);
}

/// The example of the help, as it is done every week.
#[test]
fn old_files_of_two_runs_go_into_two_folders() {
    let bench = Bench::new();
    chain_of(&bench, "qcow2", 4, 8 * MIB);
    bench.bash("mkdir old old2; mkdir later; mv 4.qcow2* later/").ends(0);
    bench.rehome(&["consolidate", "3.qcow2", "--keep", "2", "--keep-old", "old"]).ends(0);
    bench.bash("mv later/* .; rmdir later").ends(0);
    let before = bench.names();
    for dry in [&["--dry-run"][..], &[]] {
        let args = [&["consolidate", "4.qcow2", "--keep", "2", "--keep-old", "old"], dry].concat();
        let run = bench.rehome(&args).ends(73);
        assert!(run.stderr.contains("old/2.qcow2 exists already"), "{run:?}");
        assert_eq!(bench.names(), before, "nothing was begun");
    }
    bench.rehome(&["consolidate", "4.qcow2", "--keep", "2", "--keep-old", "old2"]).ends(0);
    points_read(&bench, "qcow2", 3..=4);
    for (image, raw) in [("old/2.qcow2", "2.raw"), ("old/1.qcow2", "1.raw"), ("old2/3.qcow2", "3.raw")] {
        bench.qemu_img(&["compare", image, raw]);
    }
}

#[test]
fn a_fork_of_a_kept_point_goes_on_reading_the_same() {
    for format in FORMATS {
        let bench = Bench::new();
        chain_of(&bench, format, 3, 8 * MIB);
        let fork = format!("9.{format}");
        std::fs::copy(bench.path("0.raw"), bench.path("9.raw")).unwrap();
        bench.rehome(&["delta", &format!("2.{format}"), "9.raw", &fork]).ends(0);
        bench.rehome(&["consolidate", &format!("3.{format}"), "--keep", "2"]).ends(0);
        points_read(&bench, format, 2..=3);
        points_read(&bench, format, 9..=9);
    }
}

/// Starts it, kills it after so long, and tells whether it was still at work.
fn killed(bench: &Bench, args: &[&str], after: Duration) -> bool {
    let mut child = bench.spawn(args);
    std::thread::sleep(after);
    let was_running = child.try_wait().unwrap().is_none();
    if was_running {
        signal(&child, "KILL");
    }
    child.wait().unwrap();
    was_running
}

/// Kills `kills` runs, at moments spread over the time that a run takes; whenever it was finished, the chain starts anew.
fn survive_kills(format: &str, kills: u32, size: u64) {
    let bench = Bench::new();
    chain_of(&bench, format, 6, size);
    bench.bash("mkdir ../$(basename $PWD).safe && cp --sparse=always * ../$(basename $PWD).safe/").ends(0);
    let renew = || bench.bash("rm -rf ./*; cp -p ../$(basename $PWD).safe/* .").ends(0);
    let top = format!("6.{format}");
    let args = ["--threads", "1", "consolidate", &top, "--keep", "3"];
    let started = std::time::Instant::now();
    bench.rehome(&args).ends(0);
    let mut whole = started.elapsed();
    points_read(&bench, format, 4..=6);
    renew();
    let (mut met, mut state) = (0, 0x5eed_u64);
    for kill in 0..4 * kills {
        if met == kills {
            break;
        }
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let share = f64::from((state >> 33) as u32) / f64::from(1u32 << 31);
        let was_running = killed(&bench, &args, whole.mul_f64(share * 1.05));
        met += u32::from(was_running);
        if !was_running {
            // The first run took longer than the others: the machine is busier or less than it was.
            whole = whole.mul_f64(0.9);
        }
        points_read(&bench, format, 4..=6);
        // Some runs are killed again while they finish, the others are finished or start over.
        if kill % 3 == 2 || !was_running {
            bench.rehome(&args).ends(0);
            points_read(&bench, format, 4..=6);
            assert_eq!(images(&bench).len(), 9, "{format}: {:?}", images(&bench));
            renew();
        }
    }
    bench.rehome(&args).ends(0);
    points_read(&bench, format, 4..=6);
    assert_eq!(images(&bench).len(), 9, "{format}: {:?}", images(&bench));
    bench.bash("rm -rf ../$(basename $PWD).safe").ends(0);
    assert_eq!(met, kills, "signals that met a run");
}

#[test]
fn fifty_kills_lose_no_point_of_a_qcow2_chain() {
    survive_kills("qcow2", 50, 16 * MIB);
}

#[test]
fn kills_lose_no_point_of_chains_with_identities() {
    for format in ["vhdx", "vhd", "vmdk"] {
        survive_kills(format, 8, 12 * MIB);
    }
}

#[test]
fn another_run_in_the_folder_is_told_to_wait() {
    let bench = Bench::new();
    bench.disk("0.raw", 96 * MIB, &[(0, 90 * MIB)]);
    bench.rehome(&["convert", "0.raw", "0.qcow2"]).ends(0);
    let mut bytes = bench.read("0.raw");
    bytes[5000..9000].copy_from_slice(&noise(3, 4000));
    bench.write("1.raw", bytes);
    bench.rehome(&["delta", "0.qcow2", "1.raw", "1.qcow2"]).ends(0);
    let mut child =
        bench.spawn(&["--threads", "1", "consolidate", "1.qcow2", "--keep", "1", "-o", "compressed"]);
    assert!(crate::bench::appears(&bench.path("1.qcow2.consolidate"), &mut child));
    let run = bench.rehome(&["consolidate", "1.qcow2", "--keep", "1"]).ends(75);
    assert!(run.stderr.contains("another consolidation is at work"), "{run:?}");
    // A polite signal undoes what was begun.
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(75));
    points_read(&bench, "qcow2", 0..=1);
    assert!(!bench.names().iter().any(|name| name.contains("consolidate")), "{:?}", bench.names());
    bench.rehome(&["consolidate", "1.qcow2", "--keep", "1"]).ends(0);
    points_read(&bench, "qcow2", 1..=1);
}

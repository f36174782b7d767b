//! Snapshots of EBS to machines of Hyper-V, against services that keep AWS's written rules and break them where that is said.

use crate::bench::{Bench, MIB, Run};
use crate::guest::{self, HYPERV_MODULES};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use test_cloud_servers::ebs::{BLOCK, Fake, Fault, INSTANCE};
use test_cloud_servers::signed;

const OLD: &str = "snap-00000000000000001";
const NEW: &str = "snap-00000000000000002";
const FOR_EVER: u32 = u32::MAX;

/// Runs the program with the services of `fake` as AWS.
fn run(bench: &Bench, fake: &Fake, session: &str, args: &[&str]) -> Run {
    let mut command = bench.command(args);
    command.env("AWS_ENDPOINT_URL", fake.url()).env("AWS_REGION", "eu-west-1");
    command.env("AWS_ACCESS_KEY_ID", signed::ID).env("AWS_SECRET_ACCESS_KEY", signed::KEY);
    command.env("AWS_SESSION_TOKEN", session);
    let run = Run::new(&command.output().expect("timeout is missing, install coreutils"));
    for secret in [signed::KEY, session, "secret words"] {
        assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{run:?}");
    }
    run
}

fn migrate(bench: &Bench, fake: &Fake, out: &str) -> Run {
    let (source, machine) = (format!("ebs://{NEW}"), format!("ec2://{INSTANCE}"));
    let to = ["--machine", &machine, "--to", "hyperv", "--out", out, "--output", "json"];
    run(bench, fake, "session-1", &[&["migrate", &source], to.as_slice()].concat())
}

/// Blocks by their numbers.
type Blocks = Vec<(u64, Vec<u8>)>;

/// The volume's size.
const SIZE: u64 = 1 << 30;
const LAST: u64 = SIZE / BLOCK as u64 - 1;

/// A volume of a GiB with a guest, as `server.raw`, and with something at its end; and what a snapshot of it has.
fn bench_with_guest() -> (Bench, Blocks) {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &HYPERV_MODULES, |_| {});
    let mut blocks: Blocks = (0..).zip(bench.read("server.raw").chunks(BLOCK).map(<[u8]>::to_vec)).collect();
    blocks.iter_mut().for_each(|(_, block)| block.resize(BLOCK, 0));
    blocks.retain(|(_, block)| *block != [0; BLOCK]);
    let mut last = vec![0; BLOCK];
    last[BLOCK - 4096..].fill(7);
    blocks.push((LAST, last));
    write_blocks(&bench, "server.raw", &blocks);
    (bench, blocks)
}

/// Writes these blocks into a sparse file with the volume's size.
fn write_blocks(bench: &Bench, name: &str, blocks: &Blocks) {
    let file =
        std::fs::File::options().write(true).create(true).truncate(false).open(bench.path(name)).unwrap();
    file.set_len(SIZE).unwrap();
    blocks.iter().for_each(|(index, block)| file.write_all_at(block, index * BLOCK as u64).unwrap());
}

fn serve(blocks: &Blocks) -> Fake {
    let fake = Fake::new();
    fake.put(NEW, 1, blocks.clone());
    fake
}

/// What of a disk lies in `out`, if it looks complete.
fn image(bench: &Bench, out: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(bench.path(out)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).find(|path| path.extension().is_some_and(|ending| ending == "vhdx"))
}

#[test]
fn a_snapshot_becomes_a_machine_of_hyperv_whatever_goes_wrong_for_a_while() {
    let (bench, disk) = bench_with_guest();
    let digest = bench.rehome(&["digest", "server.raw"]).ends(0).stdout;
    let report = migrate(&bench, &serve(&disk), "vm").ends(0).json();
    assert_eq!((&report["outcome"], &report["machine"]["memory_mib"]), (&"done".into(), &2048.into()));
    assert_eq!(report["machine"]["name"], "web01");
    let source = report["disks"][0]["source_digest"].as_str().unwrap();
    assert!(digest.contains(source), "{digest} {source}");
    let wanted = image(&bench, "vm").unwrap();
    bench.qemu_img(&["check", "-f", "vhdx", wanted.to_str().unwrap()]);
    bench.rehome(&["verify", wanted.to_str().unwrap()]).ends(0);
    let to_raw = ["convert", "-f", "vhdx", "-O", "raw", wanted.to_str().unwrap(), "wanted.raw"];
    bench.qemu_img(&to_raw);
    let mut end = vec![0; BLOCK];
    std::fs::File::open(bench.path("wanted.raw"))
        .unwrap()
        .read_exact_at(&mut end, LAST * BLOCK as u64)
        .unwrap();
    assert!(end == disk.last().unwrap().1);
    bench.bash("truncate -s 25M wanted.raw").ends(0);
    assert!(guest::content(&bench, "wanted.raw").contains_key("/srv/data"));
    let (bench, disk) = (&bench, &disk);
    std::thread::scope(|scope| {
        for (fault, times) in [
            (Fault::EmptyPages, 5),
            (Fault::PageTokensEnd, 2),
            (Fault::BlockTokensEnd, 2),
            (Fault::Throttled, 3),
            (Fault::ThrottledFor, 2),
            (Fault::WrongBytes, 3),
            (Fault::CutBlock, 2),
        ] {
            scope.spawn(move || {
                let (fake, out) = (serve(disk), format!("vm-{fault:?}"));
                fake.set(fault, times);
                let report = migrate(bench, &fake, &out).ends(0).json();
                // Fixups write times: the proof is about the source, and about nothing else having changed.
                assert_eq!(report["disks"][0]["source_digest"], source, "{fault:?}");
                assert!(fault == Fault::EmptyPages || fake.count("refused") == times as usize, "{fault:?}");
                assert!(image(bench, &out).is_some());
            });
        }
    });
}

#[test]
fn a_service_that_stays_wrong_leaves_no_disk() {
    let (bench, disk) = bench_with_guest();
    let (bench, disk) = (&bench, &disk);
    std::thread::scope(|scope| {
        for (fault, after, code) in [
            (Fault::WrongSum, 3, 65),
            (Fault::WrongBytes, 0, 65),
            (Fault::NoSum, 3, 74),
            (Fault::ShortBlock, 3, 74),
            (Fault::LongBlock, 3, 74),
            (Fault::CutBlock, 3, 75),
            (Fault::BlockTokensEnd, 3, 74),
            (Fault::Throttled, 6, 75),
            (Fault::Refused, 6, 77),
            (Fault::CredentialsEnd, 6, 77),
            (Fault::Twice, 0, 74),
            (Fault::Outside, 0, 74),
            (Fault::OddSize, 0, 74),
            (Fault::Endless, 0, 74),
        ] {
            scope.spawn(move || {
                let (fake, out) = (serve(disk), format!("vm-{fault:?}"));
                fake.set_after(after, fault, FOR_EVER);
                let (source, copy) = (format!("ebs://{NEW}"), format!("{fault:?}.raw"));
                let copied = run(bench, &fake, "session-1", &["convert", &source, &copy]);
                assert_eq!(copied.code, Some(code), "{fault:?}: {copied:#?}");
                assert!(!bench.path(&copy).exists(), "{fault:?}");
                if fault == Fault::WrongSum {
                    assert!(fake.count("refused") >= 5, "tried again before it is given up");
                    assert!(copied.stderr.contains("checksum"), "{copied:?}");
                }
                fake.set_after(after, fault, FOR_EVER);
                let moved = migrate(bench, &fake, &out);
                assert_eq!(moved.code, Some(code), "{fault:?}: {moved:#?}");
                assert!(image(bench, &out).is_none(), "{fault:?}");
                // The same command does it once the service is well.
                fake.set(Fault::None, 0);
                migrate(bench, &fake, &out).ends(0);
                assert!(image(bench, &out).is_some());
            });
        }
    });
}

#[test]
fn a_run_whose_credentials_end_goes_on_with_new_ones() {
    let (bench, mut disk) = bench_with_guest();
    let more: Blocks = (1000..1160).map(|index| (index, vec![index as u8 | 1; BLOCK])).collect();
    disk.extend(more);
    write_blocks(&bench, "server.raw", &disk);
    let (fake, blocks) = (serve(&disk), disk.len());
    fake.expect_session("session-1");
    fake.set_after(blocks as u32 * 3 / 4, Fault::CredentialsEnd, FOR_EVER);
    let source = format!("ebs://{NEW}");
    let args = ["convert", &source, "disk.qcow2", "--output", "json"];
    let ended = run(&bench, &fake, "session-1", &args).ends(77);
    assert!(ended.stderr.contains("the credentials have ended"), "{ended:?}");
    assert!(!bench.path("disk.qcow2").exists());
    let before = fake.count("block");
    fake.set(Fault::None, 0);
    fake.expect_session("session-2");
    let json = run(&bench, &fake, "session-2", &args).ends(0).json();
    assert!(json["resumed_from"].as_u64().is_some_and(|bytes| bytes > 0), "{json}");
    assert!(before > 0 && before < blocks, "{before} of {blocks}");
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "server.raw", "disk.qcow2"]);
}

#[test]
fn what_changed_between_two_snapshots_is_all_that_a_cycle_reads() {
    let (bench, mut disk) = bench_with_guest();
    let fake = Fake::new();
    fake.put(OLD, 1, disk.clone());
    let mut old = format!("ebs://{OLD}");
    run(&bench, &fake, "s-1", &["convert", &old, "copy.raw"]).ends(0);
    // The last block is gone from the first cycle on.
    disk.pop();
    let faults = [
        Fault::EmptyPages,
        Fault::PageTokensEnd,
        Fault::BlockTokensEnd,
        Fault::Throttled,
        Fault::ThrottledFor,
    ];
    for (number, fault) in (2..).zip(faults) {
        // One block changes, others are new.
        disk[0].1[300..400].fill(number);
        let at = 900 + 10 * u64::from(number);
        disk.extend([at, at + 1, at + 4].map(|index| (index, vec![number; BLOCK])));
        std::fs::remove_file(bench.path("server.raw")).unwrap();
        write_blocks(&bench, "server.raw", &disk);
        let id = format!("snap-{number:017}");
        fake.put(&id, 1, disk.clone());
        let new = format!("ebs://{id}");
        let cycle = ["convert", "--sync", "--since", &old, &new, "copy.raw", "--output", "json"];
        fake.set(fault, 2);
        let before = fake.count("block");
        let json = run(&bench, &fake, "s-1", &cycle).ends(0).json();
        let read = json["source_bytes_read"].as_u64().unwrap();
        assert!(read <= 5 * BLOCK as u64 + MIB / 4, "{fault:?}: {json}");
        assert!(fake.count("block") - before <= 4 + 4, "{fault:?}: what did not change does not travel");
        bench.tool("diffutils", "cmp", &["server.raw", "copy.raw"]);
        old = new;
    }
    // A wrong block ends a cycle. What is there then is of no snapshot any more: all is compared, once.
    disk[1].1[5] ^= 1;
    fake.put("snap-00000000000000099", 1, disk.clone());
    let new = "ebs://snap-00000000000000099";
    let (tracked, whole) =
        (["convert", "--sync", "--since", &old, new, "copy.raw"], ["convert", "--sync", new, "copy.raw"]);
    fake.set(Fault::WrongSum, FOR_EVER);
    run(&bench, &fake, "s-1", &tracked).ends(65);
    fake.set(Fault::None, 0);
    let _ = std::fs::remove_file(bench.path("copy.raw.rehome.json"));
    let unknown = run(&bench, &fake, "s-1", &tracked).ends(66);
    assert!(unknown.stderr.contains("leave --since away"), "{unknown:?}");
    run(&bench, &fake, "s-1", &whole).ends(0);
    write_blocks(&bench, "server.raw", &disk);
    bench.tool("diffutils", "cmp", &["server.raw", "copy.raw"]);
    // The last cycle was after the shutdown: the copy moves.
    let machine = format!("ec2://{INSTANCE}");
    let last = ["migrate", "copy.raw", "--machine", &machine, "--to", "hyperv", "--out", "vm"];
    run(&bench, &fake, "s-1", &last).ends(0);
    assert!(image(&bench, "vm").is_some());
    bench.tool("diffutils", "cmp", &["server.raw", "copy.raw"]);
}

#[test]
fn a_disk_becomes_a_snapshot() {
    let (bench, _) = bench_with_guest();
    let fake = Fake::new();
    fake.set_after(5, Fault::ThrottledFor, 1);
    run(&bench, &fake, "s-1", &["convert", "server.raw", "ebs://new?size=1", "--target-format", "raw"])
        .ends(0);
    let id = format!("ebs://snap-{:017}", 100);
    run(&bench, &fake, "s-1", &["convert", &id, "back.raw"]).ends(0);
    bench.tool("diffutils", "cmp", &["server.raw", "back.raw"]);
    // Credentials that end leave no half snapshot behind, as far as they allow that.
    fake.set_after(5, Fault::CredentialsEnd, 1);
    run(&bench, &fake, "s-1", &["convert", "server.raw", "ebs://new?size=1", "--target-format", "raw"])
        .ends(77);
    assert_eq!(fake.count("deleted"), 1);
    let missing = run(
        &bench,
        &fake,
        "s-1",
        &["migrate", &id, "--machine", "ec2://i-0123456789abcdef1", "--to", "hyperv", "--out", "x"],
    );
    missing.ends(66);
}

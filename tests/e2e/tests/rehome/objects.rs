//! Disks that become objects: leases and journals beside objects of S3, page blobs of Azure; all inside of the sandbox.

use crate::bench::{Bench, MIB, Run, signal};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use test_cloud_servers::page_blobs::Account;
use test_cloud_servers::s3::Bucket;
use test_cloud_servers::signed;

const PART: usize = 16 << 20;
const LEASE: &str = "vm/disk.raw.rehome-lease";
const JOURNAL: &str = "vm/disk.raw.rehome-journal";
const COPY: [&str; 3] = ["convert", "disk.raw", "s3://bucket/vm/disk.raw"];

/// Keys lie where AWS's own command line has them.
fn with_keys(bench: &Bench) {
    std::fs::create_dir(bench.path(".aws")).unwrap();
    let keys = format!(
        "[default]\naws_access_key_id={}\naws_secret_access_key={}\nregion=eu-west-1\n",
        signed::ID,
        signed::KEY
    );
    bench.write(".aws/credentials", keys);
}

fn on(bench: &Bench, bucket: &Bucket, mut command: Command) -> Command {
    command.env("AWS_ENDPOINT_URL_S3", bucket.url()).env("HOME", bench.path(""));
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn run(bench: &Bench, bucket: &Bucket, args: &[&str]) -> Run {
    let run = Run::new(&on(bench, bucket, bench.command(args)).output().unwrap());
    assert!(!run.stderr.contains(signed::KEY) && !run.stderr.contains("secret words"), "{run:?}");
    run
}

/// Runs it, slowly, until its journal tells of so many parts.
fn until(bench: &Bench, bucket: &Bucket, many: usize) -> Child {
    let mut command = on(bench, bucket, bench.program(&[&COPY[..], &["--rate-limit", "8M"]].concat()));
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let told = || {
        let journal = bucket.object(JOURNAL).unwrap_or_default();
        String::from_utf8(journal).unwrap().matches("sha256").count()
    };
    while told() < many && child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(50), "{} parts are told", told());
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn parts_put(bucket: &Bucket) -> u32 {
    bucket.state().parts_put
}

fn bench_with_disk() -> (Bench, Bucket) {
    let (bench, bucket) = (Bench::new(), Bucket::new());
    with_keys(&bench);
    bench.disk("disk.raw", 100 * MIB, &[(0, 70 * MIB), (90 * MIB, MIB)]);
    (bench, bucket)
}

#[test]
fn an_upload_that_was_killed_goes_on_and_leaves_nothing_beside_the_object() {
    let (bench, bucket) = bench_with_disk();
    let mut killed = until(&bench, &bucket, 2);
    killed.kill().unwrap();
    killed.wait().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(bucket.keys(), [JOURNAL, LEASE]);
    assert_eq!(bucket.uploads().len(), 1);
    let before = parts_put(&bucket);
    let json = run(&bench, &bucket, &[&COPY[..], &["--output", "json"]].concat()).ends(0);
    assert!(json.stderr.contains("of an earlier run"), "{json:?}");
    assert_eq!(json.json()["sandbox"]["state"], "enforced");
    assert!(bucket.object("vm/disk.raw").unwrap() == bench.read("disk.raw"));
    assert_eq!((bucket.keys(), bucket.uploads().len()), (vec!["vm/disk.raw".to_owned()], 0));
    assert!(
        parts_put(&bucket) < before + 100 * MIB as u32 / PART as u32,
        "what was there was not sent again"
    );
    // Once more: it is there.
    run(&bench, &bucket, &COPY).ends(73);
    assert_eq!(bucket.keys(), ["vm/disk.raw"]);
}

#[test]
fn an_upload_that_was_stopped_is_kept_or_given_up_as_the_operator_says() {
    let (bench, bucket) = bench_with_disk();
    let stopped = until(&bench, &bucket, 2);
    signal(&stopped, "TERM");
    let ended = Run::new(&stopped.wait_with_output().unwrap()).ends(75);
    assert!(!ended.stderr.contains(signed::KEY));
    assert_eq!((bucket.keys(), bucket.uploads().len()), (vec![JOURNAL.to_owned(), LEASE.to_owned()], 1));
    // The disk changes: of the old one nothing may be in the object.
    bench.flip("disk.raw", PART as u64 + 77);
    run(&bench, &bucket, &COPY).ends(0);
    assert!(bucket.object("vm/disk.raw").unwrap() == bench.read("disk.raw"));
    assert_eq!((bucket.keys().len(), bucket.state().aborted), (1, 0));

    let bucket = Bucket::new();
    let stopped = until(&bench, &bucket, 1);
    signal(&stopped, "INT");
    Run::new(&stopped.wait_with_output().unwrap()).ends(75);
    let before = parts_put(&bucket);
    run(&bench, &bucket, &[&COPY[..], &["--restart"]].concat()).ends(0);
    assert!(bucket.object("vm/disk.raw").unwrap() == bench.read("disk.raw"));
    assert_eq!((bucket.keys().len(), bucket.uploads().len(), bucket.state().aborted), (1, 0, 1));
    assert_eq!(parts_put(&bucket), before + 7);
}

#[test]
fn a_run_that_is_alive_is_left_alone_and_one_that_was_taken_over_publishes_nothing() {
    let (bench, bucket) = bench_with_disk();
    let slow = until(&bench, &bucket, 1);
    // Another process of this host is known to be alive only by its renewals: whoever does not want to wait is let go.
    let mut second = on(&bench, &bucket, bench.program(&COPY)).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(second.try_wait().unwrap().is_none(), "it waits");
    signal(&second, "INT");
    let second = Run::new(&second.wait_with_output().unwrap()).ends(75);
    assert!(second.stderr.contains("has the lease of s3://bucket/vm/disk.raw"), "{second:?}");
    // As another machine does after a silence: the lease has a higher epoch, the upload was given up.
    let lease: serde_json::Value = serde_json::from_slice(&bucket.object(LEASE).unwrap()).unwrap();
    let mut taken = lease.clone();
    (taken["epoch"], taken["token"]) = (2.into(), "another".into());
    bucket.put(LEASE, taken.to_string().as_bytes());
    let ended = Run::new(&slow.wait_with_output().unwrap()).ends(75);
    assert!(ended.stderr.contains("taken over"), "{ended:?}");
    assert!(bucket.object("vm/disk.raw").is_none());
    let left: serde_json::Value = serde_json::from_slice(&bucket.object(LEASE).unwrap()).unwrap();
    assert_eq!((lease["epoch"].as_u64(), left), (Some(1), taken), "the lease of the other stays");
}

#[test]
fn a_disk_becomes_a_page_blob_of_azure() {
    let (bench, account) = (Bench::new(), Account::new());
    bench.disk("disk.raw", 30 * MIB + 512, &[(0, 9 * MIB), (29 * MIB, 1000)]);
    let with = |args: &[&str]| {
        let mut command = bench.command(args);
        command.env("AZURE_STORAGE_CONNECTION_STRING", account.connection());
        Run::new(&command.output().unwrap())
    };
    let place = "azblob://account/disks/vm.vhd";
    let run = with(&["convert", "disk.raw", place, "--output", "json"]).ends(0);
    assert_eq!(run.json()["format"], "vhd");
    let blob = account.blob("disks/vm.vhd").unwrap();
    assert!(blob.lease.is_none() && blob.metadata.is_empty());
    assert_eq!(blob.bytes.len() as u64, 31 * MIB + 512);
    let sent: u64 = account.state().written.iter().map(|(_, len)| len).sum();
    assert!(sent < 10 * MIB, "{sent}");
    bench.write("blob.vhd", &blob.bytes);
    bench.qemu_img(&["convert", "-f", "vpc", "-O", "raw", "blob.vhd", "back.raw"]);
    let back = bench.read("back.raw");
    assert!(back.starts_with(&bench.read("disk.raw")) && back.len() as u64 == 31 * MIB);
    // And read over its address.
    with(&["compare", place, "back.raw"]).ends(0);
    with(&["convert", "disk.raw", place]).ends(73);
    with(&["convert", "disk.raw", "azblob://account/disks/vm.qcow2", "-O", "qcow2"]).ends(69);
    with(&["convert", "disk.raw", "azblob://account/disks/x.vhd", "-o", "azure=off"]).ends(2);
    with(&["convert", "disk.raw", "azblob://account/disks/x.vhd", "-o", "subformat=dynamic"]).ends(2);
    assert!(account.blob("disks/x.vhd").is_none());
}

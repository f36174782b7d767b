//! Jobs as arguments.

use crate::{resolve, toml, words};
use convert_job_file::{Kind, Notation};

#[test]
fn a_migration_is_told_whole() {
    let resolved = toml(
        r#"
[batch]
output = "/out"
[[job]]
source = ["-root.vmdk", "data disk.vmdk"]
id = "web"
to = "hyperv"
machine = ["web.vmx"]
firmware = "uefi"
disk_bus = "sata"
network_map = { "a=b" = "LAN" }
mac = "new"
key_file = "keys/web"
regenerate = ["machine-id", "ssh-host-keys"]
rebuild_initramfs = true
trim = false
boot_test = true
boot_test_memory = 2048
force = true
threads = 2
rate_limit = "10M"
spool = "tmp"
"#,
    );
    assert_eq!(
        words(&resolved, 0),
        [
            "migrate",
            "--key-file=/batch/keys/web",
            "--out=/out/web",
            "--to=hyperv",
            "--machine=/batch/web.vmx",
            "--firmware=uefi",
            "--disk-bus=sata",
            "--network-map=a=b=LAN",
            "--mac=new",
            "--regenerate=machine-id",
            "--regenerate=ssh-host-keys",
            "--rebuild-initramfs",
            "--boot-test",
            "--boot-test-memory=2048",
            "--force",
            "--spool=/batch/tmp",
            "--threads=2",
            "--rate-limit=10485760",
            "--",
            "/batch/-root.vmdk",
            "/batch/data disk.vmdk",
        ]
    );
    let job = &resolved.jobs[0];
    let dry: Vec<_> = job.dry_run().unwrap().into_iter().map(|word| word.into_string().unwrap()).collect();
    assert!(dry.contains(&"--dry-run".to_owned()) && !dry.iter().any(|word| word.starts_with("--boot-test")));
    assert_eq!((job.source_key().as_str(), job.target_key().as_str()), ("/batch", "/out"));
    assert_eq!(job.folder().to_str().unwrap(), "/out");
    assert_eq!(job.outputs()[0].to_str().unwrap(), "/out/web");
}

#[test]
fn a_conversion_is_told_whole() {
    let resolved = toml(
        "[[job]]\nsource = \"/dev/sdb\"\nformat = \"raw\"\ntarget_format = \"vpc\"\nid = \"b\"\nverify = true\nalso = [\"md5\"]\n\
         options = { subformat = \"fixed\", azure = true }\nsize = \"1G\"\non_read_error = \"retry=2\"\noutput = \"x\"\n",
    );
    assert_eq!(
        words(&resolved, 0),
        [
            "convert",
            "--format=raw",
            "--target-format=vpc",
            "-o",
            "subformat=fixed",
            "-o",
            "azure=on",
            "--size=1073741824",
            "--verify",
            "--also=md5",
            "--on-read-error=retry=2",
            "--",
            "/dev/sdb",
            "/batch/x/b.vhd",
        ]
    );
    let job = &resolved.jobs[0];
    assert_eq!(job.kind, Kind::Convert);
    assert!(job.dry_run().is_none());
    assert_eq!(job.source_key(), "/dev/sdb");
    assert_eq!(job.folder().to_str().unwrap(), "/batch/x");
}

#[test]
fn addresses_stay_as_they_are() {
    let resolved = toml(
        r#"
[batch]
output = "/out"
[[job]]
source = "ssh://root@web/dev/sda"
ssh_config = "ssh.conf"
ssh_option = "ProxyJump=gate"
sudo = true
skip_free = true
target_format = "qcow2"
[[job]]
source = "@/root/web.address"
credentials_file = "secret"
ca_file = "ca.pem"
insecure_http = true
target_format = "raw"
[[job]]
source = "ssh://root@web/dev/sdb"
target_format = "qcow2"
output = "ssh:/root@web/dev/sdb"
"#,
    );
    assert_eq!(
        words(&resolved, 0),
        [
            "convert",
            "--ssh-config=/batch/ssh.conf",
            "--ssh-option=ProxyJump=gate",
            "--sudo",
            "--skip-free",
            "--target-format=qcow2",
            "--",
            "ssh://root@web/dev/sda",
            "/out/web-sda/web-sda.qcow2",
        ]
    );
    let second = words(&resolved, 1);
    let options = ["--credentials=/batch/secret", "--ca-file=/batch/ca.pem", "--insecure-http"];
    assert_eq!(second[1..4], options);
    assert_eq!(second[second.len() - 2..], ["@/root/web.address", "/out/web/web.raw"]);
    // Disks of one machine share its limit, whatever they are called.
    let keys: Vec<_> = resolved.jobs.iter().map(|job| job.source_key()).collect();
    assert_eq!(keys, ["ssh://root@web", "@/root/web.address", "ssh://root@web"]);
}

#[test]
fn the_fingerprint_is_about_the_result_alone() {
    let fingerprint = |more: &str| {
        toml(&format!("[[job]]\nid = \"a\"\nto = \"kvm\"\nsource = \"a.vmdk\"\n{more}")).jobs[0].fingerprint()
    };
    let plain = fingerprint("");
    for same in [
        "threads = 3",
        "force = true",
        "rate_limit = 5",
        "wave = 3",
        "priority = 1",
        "title = \"x\"",
        "spool = \"y\"",
    ] {
        assert_eq!(fingerprint(same), plain, "{same}");
    }
    let different: std::collections::BTreeSet<_> = [
        "firmware = \"bios\"",
        "key_file = \"k\"",
        "mac = \"new\"",
        "wrap = true",
        "pick = \"0\"",
        "output = \"o\"",
    ]
    .map(fingerprint)
    .into();
    assert_eq!(different.len(), 6);
    assert!(!different.contains(&plain));
    // No two lists of arguments run together.
    let pair = |a: &str, b: &str| fingerprint(&format!("add_module = [\"{a}\", \"{b}\"]"));
    assert_ne!(pair("ab", "c"), pair("a", "bc"));
}

#[test]
fn jobs_come_by_wave_priority_and_place() {
    let yaml = "version: 1\ndefaults: {to: kvm, wave: 1}\njob:\n - {source: a.x}\n - {source: b.x, priority: 2}\n - {source: c.x, wave: 0}\n - {source: d.x, priority: 2}\n - {source: e.x, priority: -1}\n";
    let resolved = resolve(Notation::Yaml, yaml).unwrap();
    assert_eq!(resolved.jobs.iter().map(|job| job.id.as_str()).collect::<String>(), "cbdae");
}

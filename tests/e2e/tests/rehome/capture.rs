//! Disks of a machine over SSH: a server of its own on the loopback, and loop devices in the place of physical disks.

use crate::bench::{Bench, MIB, Run, is_root, noise, signal};
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An SSH server that only this test's key opens.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    pub(crate) fn start(bench: &Bench) -> Self {
        Self::with(bench, "")
    }

    /// One whose configuration has these lines, too.
    pub(crate) fn with(bench: &Bench, lines: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        bench.bash("ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f user; mkdir -p /run/sshd").ends(0);
        let folder = bench.path("").display().to_string();
        let folder = folder.trim_end_matches('/');
        bench.write(
            "sshd.conf",
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\n\
                 UsePAM no\nPidFile none\nPermitRootLogin yes\nAcceptEnv TMPDIR\nPasswordAuthentication no\nMaxStartups 100\n{lines}"
            ),
        );
        bench.write(
            "ssh.conf",
            format!(
                "Host box\n HostName 127.0.0.1\n Port {port}\n User root\n IdentityFile {folder}/user\n IdentitiesOnly yes\n \
                 UserKnownHostsFile {folder}/known\n StrictHostKeyChecking yes\n"
            ),
        );
        let key = String::from_utf8(bench.read("host.pub")).unwrap();
        bench.write("known", format!("[127.0.0.1]:{port} {key}"));
        let mut child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(bench.path("sshd.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd, of the package openssh-server");
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                child.try_wait().unwrap().is_none() && start.elapsed().as_secs() < 10,
                "sshd does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file as a block device.
pub(crate) struct Loop(pub(crate) String);

impl Loop {
    pub(crate) fn new(bench: &Bench, file: &str, options: &str) -> Self {
        let run = bench.bash(&format!("losetup -f --show {options} {file}")).ends(0);
        Self(run.stdout.trim().to_owned())
    }

    pub(crate) fn image(&self, folder: &str) -> String {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap().to_owned();
        format!("{folder}/{host}-{}.qcow2", self.0.trim_start_matches("/dev/"))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}

pub(crate) fn arguments<'a>(device: &'a str, more: &[&'a str]) -> Vec<String> {
    let mut all: Vec<String> =
        ["--output", "json", "capture", "--ssh-config", "ssh.conf"].map(String::from).into();
    all.push(format!("ssh://box{device}"));
    all.extend(more.iter().map(|word| (*word).to_owned()));
    all
}

pub(crate) fn capture(bench: &Bench, device: &Loop, more: &[&str]) -> Run {
    let all = arguments(&device.0, more);
    bench.rehome(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn read_of(json: &Value) -> u64 {
    json["disks"][0]["cycles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cycle| cycle["bytes_read"].as_u64().unwrap())
        .sum()
}

#[test]
fn a_disk_over_ssh_is_the_same_at_both_ends_after_three_kills() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let _server = Server::start(&bench);
    bench.disk("disk.raw", 160 * MIB, &[(0, 90 * MIB), (100 * MIB, 10 * MIB)]);
    let device = Loop::new(&bench, "disk.raw", "");
    let image = device.image("out");
    let journal = bench.path(&format!("{image}.capture.partial.journal"));
    let len = || journal.metadata().map_or(0, |found| found.len());
    for kill in 0..3 {
        let before = len();
        let all = arguments(&device.0, &["--out", "out", "--rate-limit", "6M"]);
        let mut child = bench.spawn(&all.iter().map(String::as_str).collect::<Vec<_>>());
        // A checkpoint is due after five seconds.
        let start = Instant::now();
        while len() <= before {
            assert!(child.try_wait().unwrap().is_none(), "kill {kill} came too late");
            assert!(start.elapsed().as_secs() < 120, "no checkpoint");
            std::thread::sleep(Duration::from_millis(50));
        }
        signal(&child, "KILL");
        child.wait().unwrap();
        assert!(!bench.path(&image).exists(), "nothing looks finished");
    }
    let json = capture(&bench, &device, &["--out", "out"]).ends(0).json();
    let disk = &json["disks"][0];
    assert!(disk["resumed_from"].as_u64().unwrap() > 8 * MIB, "{json}");
    assert_eq!(disk["consistency"], "unchanged");
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &image]);
    bench.rehome(&["verify", &image]).ends(0);
    let machine = bench.json_of(json["machine"].as_str().unwrap());
    assert_eq!(machine["disks"][0]["size_bytes"], 160 * MIB);
    assert!(bench.names().iter().all(|name| !name.contains("capture.partial")), "{:?}", bench.names());
    capture(&bench, &device, &["--out", "out"]).ends(73);
    // Where nothing can be copied to, dd is what is left.
    bench.write(
        "no-tmp.conf",
        format!("{}SetEnv TMPDIR=/nowhere\n", String::from_utf8(bench.read("ssh.conf")).unwrap()),
    );
    let address = format!("ssh://box{}", device.0);
    let by_dd = bench.rehome(&["convert", "--ssh-config", "no-tmp.conf", &address, "dd.raw"]).ends(0);
    assert!(by_dd.stderr.contains("[source-by-dd]"), "{by_dd:?}");
    assert!(bench.read("dd.raw") == bench.read("disk.raw"));
    // A machine by its address alone is a source of other commands, too.
    bench.rehome(&["convert", "--ssh-config", "ssh.conf", &address, "plain.raw"]).ends(0);
    assert!(bench.read("plain.raw") == bench.read("disk.raw"));
}

#[test]
fn a_copy_logs_in_once_for_each_of_its_steps() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let log = bench.path("commands");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >>'{}'\nexec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
        log.display()
    );
    bench.write("logged", script);
    bench.bash("chmod 700 logged").ends(0);
    let _server = Server::with(&bench, &format!("ForceCommand {}\n", bench.path("logged").display()));
    bench.disk("disk.raw", 8 * MIB, &[(0, 3 * MIB)]);
    let device = Loop::new(&bench, "disk.raw", "");
    let address = format!("ssh://box{}", device.0);
    bench.rehome(&["convert", "--ssh-config", "ssh.conf", &address, "copy.raw"]).ends(0);
    assert!(bench.read("copy.raw") == bench.read("disk.raw"));
    let commands = String::from_utf8(bench.read("commands")).unwrap();
    let count = |what: &str| commands.lines().filter(|line| line.contains(what)).count();
    for what in ["uname -sm", "mktemp -d", "agent session", "rmdir -- "] {
        assert_eq!(count(what), 1, "{what}: {commands}");
    }
    // Besides these, connections for the bytes.
    assert_eq!(commands.lines().count(), 4 + count("agent serve"), "{commands}");
}

#[test]
fn what_is_compressed_on_its_way_is_the_same_disk() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let _server = Server::start(&bench);
    bench.bash("seq 1 4000000 | head -c 24M >text").ends(0);
    bench.disk("disk.raw", 64 * MIB, &[(40 * MIB, 5 * MIB)]);
    bench.bash("dd if=text of=disk.raw bs=1M seek=3 conv=notrunc status=none").ends(0);
    let device = Loop::new(&bench, "disk.raw", "");
    let address = format!("ssh://box{}", device.0);
    let copy =
        ["convert", "--ssh-config", "ssh.conf", "--compress", "--rate-limit", "8M", &address, "copy.raw"];
    let mut child = bench.spawn(&copy);
    let mut is_seen = false;
    while child.try_wait().unwrap().is_none() {
        is_seen |= runs(&["agent", "serve", "--compress", "--", &device.0]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    assert!(is_seen, "nothing was compressed there");
    assert!(bench.read("copy.raw") == bench.read("disk.raw"));
    capture(&bench, &device, &["--out", "out", "--compress"]).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &device.image("out")]);
}

/// Whether a process has these arguments.
fn runs(arguments: &[&str]) -> bool {
    let mut wanted = Vec::new();
    for argument in arguments {
        wanted.extend([0].iter().chain(argument.as_bytes()));
    }
    wanted.push(0);
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines.any(|line| line.windows(wanted.len()).any(|part| part == wanted))
}

#[test]
fn three_cycles_move_what_changed() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let _server = Server::start(&bench);
    bench.disk("disk.raw", 128 * MIB, &[(0, 40 * MIB)]);
    let device = Loop::new(&bench, "disk.raw", "");
    let image = device.image("out");
    capture(&bench, &device, &["--out", "out"]).ends(0);
    for cycle in 1..=3u64 {
        let disk = std::fs::OpenOptions::new().write(true).open(&device.0).unwrap();
        let mut changed = 0;
        for place in 0..12 {
            let at = (place * 7 + cycle * 3) % 128 * MIB + (place % 3) * (64 << 10);
            let piece = if place % 4 == 0 { vec![0; 64 << 10] } else { noise(cycle * 100 + place, 64 << 10) };
            disk.write_all_at(&piece, at).unwrap();
            changed += piece.len() as u64;
        }
        disk.sync_all().unwrap();
        drop(disk);
        let check = ["--output", "json", "cutover", "--ssh-config", "ssh.conf", "--check", "--out", "out"];
        let address = format!("ssh://box{}", device.0);
        let left = bench.rehome(&[&check[..], &[&address]].concat()).ends(0).json();
        let left = left["bytes_left"].as_u64().unwrap();
        assert!(left > 0 && left <= changed, "{left} of {changed}");
        let json = capture(&bench, &device, &["--out", "out", "--sync"]).ends(0).json();
        let moved = read_of(&json);
        assert!(
            moved > 0 && moved <= changed + changed / 20,
            "{moved} bytes moved for {changed} that changed"
        );
        bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &image]);
        bench.rehome(&["verify", &image]).ends(0);
    }
    // Where nothing changed, nothing moves.
    let json = capture(&bench, &device, &["--out", "out", "--sync"]).ends(0).json();
    assert_eq!(read_of(&json), 0);
}

#[test]
fn a_file_system_that_is_written_to_is_held_for_the_last_round() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let _server = Server::start(&bench);
    bench.bash("truncate -s 96M disk.raw; mkfs.ext4 -q -F disk.raw; mkdir m").ends(0);
    let device = Loop::new(&bench, "disk.raw", "");
    bench.bash(&format!("mount {} m", device.0)).ends(0);
    let mut writer = Command::new("bash")
        .args(["-c", "for i in $(seq 100000); do dd if=/dev/urandom of=m/f$((i % 5)) bs=64k count=4 conv=notrunc status=none; sync; sleep 0.1; done"])
        .current_dir(bench.path(""))
        .spawn()
        .unwrap();
    let live = capture(&bench, &device, &["--out", "out", "--rounds", "2"]);
    let mount = bench.path("m").display().to_string();
    let held = capture(&bench, &device, &["--out", "out", "--freeze", &mount]);
    let volatile = capture(&bench, &device, &["--out", "taken", "--live", "--rounds", "1", "--volatile"]);
    writer.kill().unwrap();
    writer.wait().unwrap();
    bench.bash("umount m").ends(0);
    let live = live.ends(75);
    assert!(live.stderr.contains("still changes") && live.stderr.contains("--freeze"), "{live:?}");
    let json = held.ends(0).json();
    assert_eq!(json["disks"][0]["consistency"], "frozen");
    // The copy that was made before is gone on with.
    assert!(read_of(&json) < 60 * MIB, "{json}");
    let image = device.image("out");
    bench.qemu_img(&["convert", "-O", "raw", &image, "held.raw"]);
    let check = bench.try_tool("e2fsprogs", "e2fsck", &["-fn", "held.raw"]).ends(0);
    assert!(!check.stdout.contains("journal"), "a file system that was held needs no replay: {check:?}");
    let json = volatile.ends(0).json();
    assert_eq!(json["disks"][0]["consistency"], "live");
    let codes: Vec<_> =
        json["warnings"].as_array().unwrap().iter().map(|w| w["code"].as_str().unwrap()).collect();
    assert!(codes.contains(&"capture-live") && codes.contains(&"capture-in-use"), "{codes:?}");
    let facts = bench.json_of(json["volatile"]["file"].as_str().unwrap());
    let runs = facts["processes"].as_array().unwrap().iter().any(|process| process["name"] == "sshd");
    assert!(runs && !facts["sockets"].as_array().unwrap().is_empty());
}

#[test]
fn a_cutover_leaves_the_captured_disk_as_it_is() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let _server = Server::start(&bench);
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/ec2-debian.vmdk");
    bench.qemu_img(&["convert", "-O", "raw", sample, "disk.raw"]);
    let device = Loop::new(&bench, "disk.raw", "");
    let image = device.image("out");
    capture(&bench, &device, &["--out", "out", "--skip-free"]).ends(0);
    // The machine goes on; then it is stopped.
    let disk = std::fs::OpenOptions::new().write(true).open(&device.0).unwrap();
    disk.write_all_at(b"changed", 900 * MIB).unwrap();
    disk.sync_all().unwrap();
    drop(disk);
    let address = format!("ssh://box{}", device.0);
    let cutover = ["--output", "json", "cutover", "--ssh-config", "ssh.conf", &address, "--out", "out"];
    bench.rehome(&cutover).ends(2);
    let json = bench
        .rehome(&[&cutover[..], &["--to", "hyperv", "--vm", "vm", "--", "--generation", "1"]].concat())
        .ends(0)
        .json();
    assert_eq!(json["outcome"], "done");
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &image]);
    // A cutover that fails is tried again from what is there.
    let wrong = [&cutover[..], &["--to", "kvm", "--vm", "missing/folder/vm"]].concat();
    bench.rehome(&wrong).ends(78);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", &image]);
}

#[test]
fn who_is_not_let_in_is_told() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let server = Server::start(&bench);
    bench.disk("disk.raw", MIB, &[(0, MIB)]);
    let device = Loop::new(&bench, "disk.raw", "");
    let nothing = arguments("/dev/nothing", &["--out", "out"]);
    bench.rehome(&nothing.iter().map(String::as_str).collect::<Vec<_>>()).ends(66);
    capture(&bench, &device, &["--out", "out", "--sync"]).ends(73);
    let known = bench.read("known");
    bench.write("known", "");
    let run = capture(&bench, &device, &["--out", "out"]).ends(77);
    assert!(run.stderr.contains("Host key verification failed"), "{run:?}");
    bench.write("known", known);
    drop(server);
    capture(&bench, &device, &["--out", "out"]).ends(75);
    bench.rehome(&["capture", "ssh://a:secret@box/dev/sda", "--out", "out"]).ends(2);
    bench.rehome(&["capture", "ssh://-oProxyCommand=x/dev/sda", "--out", "out"]).ends(2);
}

#[test]
fn what_a_file_system_does_not_use_is_not_read() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let _server = Server::start(&bench);
    bench.bash("truncate -s 256M disk.raw; mkfs.ext4 -q -F disk.raw; mkdir m").ends(0);
    let device = Loop::new(&bench, "disk.raw", "");
    let fill = "mount {} m; head -c 20M /dev/urandom >m/kept; head -c 90M /dev/urandom >m/gone; sync; rm m/gone; sync; sha256sum m/kept >sum";
    bench.bash(&fill.replace("{}", &device.0)).ends(0);
    let mount = bench.path("m").display().to_string();
    let json = capture(&bench, &device, &["--out", "out", "--skip-free", "--freeze", &mount]).ends(0).json();
    bench.bash("umount m").ends(0);
    let read = read_of(&json);
    assert!((20 * MIB..60 * MIB).contains(&read), "{read} bytes read of 20 MiB in files");
    bench.qemu_img(&["convert", "-O", "raw", &device.image("out"), "seen.raw"]);
    bench.tool("e2fsprogs", "e2fsck", &["-fn", "seen.raw"]);
    bench.bash("mount -o ro,loop seen.raw m; sha256sum -c sum; umount m").ends(0);
}

/// A disk whose bad sectors answer EIO, as the kernel's device.
#[test]
fn bad_sectors_over_ssh_are_those_that_ddrescue_finds() {
    assert!(is_root(), "loop devices are made by root");
    let bench = Bench::new();
    let _server = Server::start(&bench);
    bench.disk("content.raw", 8 * MIB, &[(0, 8 * MIB)]);
    bench.write(
        "bad.map",
        "# Mapfile\n0x0 ? 1\n0x00000000 0x00300000 +\n0x00300000 0x00002000 -\n0x00302000 0x004fe000 +\n",
    );
    bench.bash(
        "mkdir m; : >m/x 2>/dev/null; rm -f m/x; : >disk; \
         (setsid nbdfuse m/disk.raw --command nbdkit -s -r --filter=ddrescue file content.raw ddrescue-mapfile=bad.map >/dev/null 2>&1 &); \
         for i in $(seq 100); do [ -e m/disk.raw ] && break; sleep 0.1; done; [ -e m/disk.raw ]",
    )
    .ends(0);
    let device = Loop::new(&bench, "m/disk.raw", "-r");
    let address = format!("ssh://box{}", device.0);
    let args = [
        "--output",
        "json",
        "convert",
        "--ssh-config",
        "ssh.conf",
        "-f",
        "raw",
        "--on-read-error",
        "retry=1",
        "--mapfile",
        "own.map",
    ];
    let run = bench.rehome(&[&args[..], &[&address, "out.raw"]].concat());
    let theirs =
        bench.try_tool("gddrescue", "ddrescue", &["-q", "-d", "-b", "512", &device.0, "dd.raw", "dd.map"]);
    drop(device);
    bench.bash("umount m || fusermount3 -u m").ends(0);
    let json = run.ends(1).json();
    let lost = json["unreadable"].as_array().unwrap();
    assert_eq!(
        (lost.len(), &lost[0]["offset"], &lost[0]["len"]),
        (1, &0x30_0000.into(), &0x2000.into()),
        "{json}"
    );
    assert_eq!(theirs.code, Some(0), "{theirs:?}");
    let bad = |map: &str| bench.tool("gddrescue", "ddrescuelog", &["-b", "512", "-l", "-", map]);
    assert_eq!(bad("own.map"), bad("dd.map"));
    assert!(!bad("own.map").is_empty() && bench.read("out.raw") == bench.read("dd.raw"));
}

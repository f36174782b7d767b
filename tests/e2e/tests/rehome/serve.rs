//! Images as block devices for other programs, judged by libnbd's and qemu's clients.

use crate::bench::{Bench, MIB, Mounted, appears, is_root, signal};
use crate::guest;
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::Child;

const PIECES: [(u64, u64); 3] = [(0, 70_000), (3 * MIB + 123, MIB), (8 * MIB, 4096)];

/// A server that runs; it ends with the test.
struct Serving {
    child: Child,
    exports: Value,
}

impl Serving {
    fn start(bench: &Bench, args: &[&str]) -> Self {
        let mut child = bench.spawn(&[&["serve", "--output", "json"][..], args].concat());
        // Printed when clients can come; a JSON document of several lines, which ends with the first `}` at their start.
        let (mut text, mut byte) = (Vec::new(), [0]);
        let stdout = child.stdout.as_mut().unwrap();
        while !text.ends_with(b"\n}\n") && stdout.read(&mut byte).unwrap() == 1 {
            text.push(byte[0]);
        }
        let exports = serde_json::from_slice::<Value>(&text).expect("what is served, as JSON");
        Self { child, exports: exports["exports"].clone() }
    }

    fn uri(&self, export: usize) -> &str {
        self.exports[export]["uri"].as_str().unwrap()
    }

    /// Ends the server as an operator does, or waits for it to end.
    fn ends(mut self, with: Option<&str>) -> String {
        if let Some(name) = with {
            signal(&self.child, name);
        }
        let start = std::time::Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(start.elapsed().as_secs() < 20, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nbd(bench: &Bench, program: &str, args: &[&str]) -> String {
    bench.tool("libnbd-bin", program, args)
}

/// A map as ranges of data, joined: zeros are what is left.
fn data_of(map: &Value, offset: &str, is_data: impl Fn(&Value) -> bool) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for run in map.as_array().unwrap().iter().filter(|run| is_data(run)) {
        let (start, len) = (run[offset].as_u64().unwrap(), run["length"].as_u64().unwrap());
        match runs.last_mut() {
            Some((from, so_far)) if *from + *so_far == start => *so_far += len,
            _ => runs.push((start, len)),
        }
    }
    runs
}

#[test]
fn a_served_image_is_read_by_everyone_and_written_by_nobody() {
    let bench = Bench::new();
    bench.disk("disk.raw", 33 * MIB + 512, &PIECES);
    bench.qemu_img(&["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let before = bench.fingerprint("disk.qcow2");
    let serving = Serving::start(&bench, &["disk.qcow2", "--listen", "unix:disk.sock"]);
    assert_eq!(bench.path("disk.sock").metadata().unwrap().mode() & 0o777, 0o600);
    let uri = serving.uri(0);
    let info: Value = serde_json::from_str(&nbd(&bench, "nbdinfo", &["--json", uri])).unwrap();
    assert_eq!(info["structured"], true);
    let export = &info["exports"][0];
    assert_eq!(export["export-size"], 33 * MIB + 512);
    for (flag, is_so) in [
        ("is_read_only", true),
        ("can_multi_conn", true),
        ("can_df", true),
        ("can_trim", false),
        ("can_zero", false),
    ] {
        assert_eq!(export[flag], is_so, "{flag}");
    }
    assert_eq!(export["contexts"], serde_json::json!(["base:allocation"]));
    nbd(&bench, "nbdcopy", &["--connections=4", uri, "copy.raw"]);
    assert!(bench.read("copy.raw") == bench.read("disk.raw"));
    bench.qemu_img(&["compare", "-f", "raw", "-F", "raw", "disk.raw", uri]);
    bench.qemu_img(&["convert", "-f", "raw", "-O", "vmdk", uri, "copy.vmdk"]);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "vmdk", "disk.raw", "copy.vmdk"]);
    assert_ne!(
        bench.try_tool("qemu-utils", "qemu-io", &["-f", "raw", "-c", "write 0 512", uri]).code,
        Some(0)
    );
    assert_ne!(bench.try_tool("libnbd-bin", "nbdcopy", &["disk.raw", uri]).code, Some(0));
    assert_eq!(serving.ends(Some("TERM")), "");
    assert!(!bench.path("disk.sock").exists());
    assert_eq!(bench.fingerprint("disk.qcow2"), before);
}

#[test]
fn every_format_is_served_as_the_disk_in_it() {
    let bench = Bench::new();
    bench.disk("disk.raw", 12 * MIB, &PIECES);
    let mut images = vec!["disk.raw".to_owned(), "child.qcow2".into()];
    for (format, options) in [
        ("qcow2", "cluster_size=4k"),
        ("qcow2", "compression_type=zstd"),
        ("vmdk", "subformat=streamOptimized"),
        ("vmdk", "subformat=monolithicSparse"),
        ("vhdx", "subformat=dynamic"),
        ("vpc", "subformat=dynamic"),
        ("vdi", "static=off"),
        ("parallels", "cluster_size=64k"),
        ("qed", "cluster_size=64k"),
        ("qcow", "size=12M"),
    ] {
        let name = format!("{}.{format}", images.len());
        bench.qemu_img(&["convert", "-O", format, "-o", options, "disk.raw", &name]);
        images.push(name);
    }
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "child.qcow2", "14M"]);
    let writes = ["-c", "write -P 7 6M 200k", "-c", "write -z 0 64k", "child.qcow2"];
    bench.tool("qemu-utils", "qemu-io", &writes);
    for image in &images {
        let serving = Serving::start(&bench, &[image, "--once"]);
        nbd(&bench, "nbdcopy", &["--connections=4", serving.uri(0), "copy.raw"]);
        serving.ends(None);
        let digest = |image: &str| {
            bench.rehome(&["digest", "--output", "json", image]).ends(0).json()["digest"].clone()
        };
        assert_eq!(digest("copy.raw"), digest(image), "{image}");
        let serving = Serving::start(&bench, &[image]);
        let map = nbd(&bench, "nbdinfo", &["--map", "--json", serving.uri(0)]);
        let theirs = data_of(&serde_json::from_str(&map).unwrap(), "offset", |run| run["type"] == 0);
        let ours = bench.rehome(&["map", "--output", "json", image]).ends(0).json();
        assert_eq!(theirs, data_of(&ours, "start", |run| run["data"] == true), "{image}");
        serving.ends(Some("INT"));
    }
}

#[test]
fn an_overlay_takes_what_clients_write_and_forgets_it() {
    let bench = Bench::new();
    bench.disk("disk.raw", 100 * MIB, &PIECES);
    bench.qemu_img(&["convert", "-O", "vhdx", "disk.raw", "disk.vhdx"]);
    bench.disk("new.raw", 100 * MIB, &[(0, 80 * MIB), (99 * MIB, 500)]);
    let before = bench.fingerprint("disk.vhdx");
    let serving = Serving::start(&bench, &["disk.vhdx", "--overlay", "--listen", "tcp:127.0.0.1:0"]);
    let uri = serving.uri(0);
    assert!(uri.starts_with("nbd://127.0.0.1:"), "{uri}");
    let io = |commands: &[&str]| {
        let args: Vec<_> = commands.iter().flat_map(|command| ["-c", command]).collect();
        bench.tool("qemu-utils", "qemu-io", &[&["-f", "raw"][..], &args, &[uri]].concat())
    };
    let said =
        io(&["write -P 9 1000 2M", "write -z 8M 4k", "write -f -P 3 20M 64k", "discard 3M 1M", "flush"]);
    assert!(!said.contains("failed"), "{said}");
    let said = io(&["read -P 9 1000 2M", "read -P 0 8M 4k", "read -P 3 20M 64k", "read -P 0 30M 1M"]);
    assert!(!said.contains("failed"), "{said}");
    // More than an overlay keeps in memory.
    nbd(&bench, "nbdcopy", &["--connections=4", "--flush", "new.raw", uri]);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "raw", "new.raw", uri]);
    serving.ends(Some("INT"));
    assert_eq!(bench.fingerprint("disk.vhdx"), before);
    bench.rehome(&["compare", "disk.raw", "disk.vhdx"]).ends(0);
}

#[test]
fn several_images_are_several_exports() {
    let bench = Bench::new();
    bench.disk("root.raw", 4 * MIB, &PIECES[..1]);
    bench.disk("a data.raw", 5 * MIB, &PIECES[1..2]);
    let serving = Serving::start(&bench, &["root.raw", "a data.raw", "--listen", "unix:s"]);
    nbd(&bench, "nbdcopy", &[serving.uri(1), "copy.raw"]);
    assert!(bench.read("copy.raw") == bench.read("a data.raw"));
    let list: Value =
        serde_json::from_str(&nbd(&bench, "nbdinfo", &["--json", "--list", "nbd+unix:///?socket=s"]))
            .unwrap();
    let names: Vec<_> =
        list["exports"].as_array().unwrap().iter().map(|e| e["export-name"].clone()).collect();
    assert_eq!(names, ["root.raw", "a data.raw"]);
    nbd(&bench, "nbdcopy", &["nbd+unix:///?socket=s", "default.raw"]);
    assert!(bench.read("default.raw") == bench.read("root.raw"));
    assert_ne!(bench.try_tool("libnbd-bin", "nbdinfo", &["nbd+unix:///none?socket=s"]).code, Some(0));
    // Somebody is there already, and goes on.
    bench.rehome(&["serve", "root.raw", "--listen", "unix:s"]).ends(73);
    nbd(&bench, "nbdinfo", &[serving.uri(0)]);
    // A server that was killed leaves its socket, and the next one takes the place.
    drop(serving);
    assert!(bench.path("s").exists());
    let args = ["root.raw", "--export", "boot", "--listen", "unix:s", "--once"];
    let serving = Serving::start(&bench, &args);
    assert!(serving.uri(0).starts_with("nbd+unix:///boot?socket=/"), "{}", serving.uri(0));
    nbd(&bench, "nbdinfo", &[serving.uri(0)]);
    serving.ends(None);
}

#[test]
fn what_cannot_be_served_is_said() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &PIECES[..1]);
    std::fs::create_dir(bench.path("other")).unwrap();
    bench.disk("other/disk.raw", MIB, &[]);
    for (args, code) in [
        (&["disk.raw", "--listen", "tcp:0.0.0.0:10809"][..], 2),
        (&["disk.raw", "--listen", "/tmp/x"], 2),
        (&["disk.raw", "other/disk.raw"], 2),
        (&["disk.raw", "--export", "a", "--export", "b"], 2),
        (&["disk.raw", "--listen", "unix:other"], 73),
        (&["disk.raw", "--listen", "unix:none/s"], 73),
        (&["none.raw"], 66),
        (&[], 2),
    ] {
        bench.rehome(&[&["serve"][..], args].concat()).ends(code);
    }
    assert_eq!(bench.names(), ["disk.raw", "other"]);
}

#[test]
fn a_file_system_in_a_served_image_can_be_mounted() {
    if !is_root() {
        return;
    }
    let bench = Bench::new();
    guest::build(&bench, "guest.raw", &[], |_| {});
    bench.rehome(&["convert", "guest.raw", "guest.vmdk", "-o", "subformat=streamOptimized"]).ends(0);
    let serving = Serving::start(&bench, &["guest.vmdk"]);
    for folder in ["fuse", "root"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    let mut command = std::process::Command::new("timeout");
    command.args(["60", "nbdfuse", "-r"]).arg(bench.path("fuse/disk.raw")).arg(serving.uri(0));
    let mut fuse = command.spawn().unwrap();
    let fuse_mount = Mounted(bench.path("fuse"));
    assert!(
        appears(&bench.path("fuse/disk.raw"), &mut fuse),
        "nbdfuse is missing or failed, install libnbd-bin"
    );
    let mount = Mounted(bench.path("root"));
    bench.tool("mount", "mount", &["-o", "ro,loop,noload,offset=1048576", "fuse/disk.raw", "root"]);
    assert_eq!(std::fs::read_to_string(bench.path("root/etc/hostname")).unwrap(), "web01\n");
    drop(mount);
    drop(fuse_mount);
    fuse.wait().unwrap();
    serving.ends(Some("TERM"));
}

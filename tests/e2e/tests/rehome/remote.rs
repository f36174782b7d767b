//! Sources and targets at addresses: exports of qemu-nbd, files of a web server; all inside of the sandbox.

use crate::bench::{Bench, MIB};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A server of qemu's; it ends with the test.
struct Exported {
    child: Child,
    socket: PathBuf,
}

impl Exported {
    fn new(bench: &Bench, name: &str, args: &[&str]) -> Self {
        let socket = bench.path(&format!("{name}.sock"));
        let mut child = Command::new("qemu-nbd")
            .args(["-t", "-e", "8", "-k"])
            .arg(&socket)
            .args(args)
            .current_dir(bench.path(""))
            .stderr(Stdio::null())
            .spawn()
            .expect("qemu-nbd, of the package qemu-utils");
        assert!(crate::bench::appears(&socket, &mut child), "qemu-nbd does not start");
        Self { child, socket }
    }

    fn uri(&self) -> String {
        format!("nbd+unix:///?socket={}", self.socket.display())
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A web server that knows ranges, for one file; `version` is its ETag, the last number how often it was asked for bytes.
struct Web {
    port: u16,
    version: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

impl Web {
    fn new(file: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (version, asked) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
        let (own_version, own_asked) = (Arc::clone(&version), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (file, version, asked) = (file.clone(), Arc::clone(&own_version), Arc::clone(&own_asked));
                std::thread::spawn(move || while answer(&stream, &file, &version, &asked).is_some() {});
            }
        });
        Self { port, version, asked }
    }

    fn address(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

fn answer(mut stream: &TcpStream, file: &Path, version: &AtomicU64, asked: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut line, mut range, mut is_head) = (String::new(), None, false);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        is_head |= lower.starts_with("head ");
        if let Some(value) = lower.strip_prefix("range: bytes=") {
            let (from, to) = value.trim().split_once('-')?;
            range = Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()));
        }
        if line == "\r\n" {
            break;
        }
    }
    let size = file.metadata().ok()?.len();
    let etag = version.load(Ordering::Relaxed);
    let (status, from, to) = match range {
        None => ("200 OK", 0, size),
        Some((from, to)) => ("206 Partial Content", from, to.map_or(size, |to| (to + 1).min(size))),
    };
    let mut head = format!(
        "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nETag: \"v{etag}\"\r\nContent-Length: {}\r\n",
        to - from
    );
    if range.is_some() {
        head += &format!("Content-Range: bytes {from}-{}/{size}\r\n", to - 1);
    }
    stream.write_all((head + "\r\n").as_bytes()).ok()?;
    if !is_head {
        asked.fetch_add(to - from, Ordering::Relaxed);
        let mut opened = std::fs::File::open(file).ok()?;
        opened.seek(SeekFrom::Start(from)).ok()?;
        std::io::copy(&mut opened.take(to - from), &mut stream).ok()?;
    }
    Some(())
}

#[test]
fn exports_are_sources_and_targets() {
    let bench = Bench::new();
    bench.disk("disk.raw", 40 * MIB, &[(0, 3 * MIB), (20 * MIB, 70_000)]);
    bench.qemu_img(&["create", "-q", "-f", "raw", "there.raw", "40M"]);
    let source = Exported::new(&bench, "source", &["-r", "-f", "raw", "disk.raw"]);
    let target = Exported::new(&bench, "target", &["-f", "raw", "there.raw"]);
    let json = bench.rehome(&["--output", "json", "convert", &source.uri(), "copy.qcow2"]).ends(0).json();
    assert_eq!(json["sandbox"]["state"], "enforced", "{json}");
    // Holes do not travel.
    assert!(json["data_bytes"].as_u64().unwrap() < 5 * MIB, "{json}");
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", "copy.qcow2"]);
    bench.rehome(&["compare", &source.uri(), "copy.qcow2"]).ends(0);
    let refused = bench.rehome(&["convert", "copy.qcow2", &target.uri()]).ends(2);
    assert!(refused.stderr.contains("-n --overwrite-device"), "{refused:?}");
    let device = ["convert", "copy.qcow2", &target.uri(), "-n", "--overwrite-device", "--verify"];
    bench.rehome(&device).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "raw", "disk.raw", "there.raw"]);
    let read_only = ["convert", "copy.qcow2", &source.uri(), "-n", "--overwrite-device"];
    bench.rehome(&read_only).ends(77);
    bench.disk("large.raw", 41 * MIB, &[(0, MIB)]);
    bench.rehome(&["convert", "large.raw", &target.uri(), "-n", "--overwrite-device"]).ends(73);
    bench.rehome(&["info", "nbd+unix:///?socket=nowhere.sock"]).ends(66);
    bench.rehome(&["info", "nbd+unix:///?sucket=x"]).ends(2);
}

#[test]
fn a_dirty_bitmap_tells_what_is_read() {
    let bench = Bench::new();
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "vm.qcow2", "64M"]);
    let io = |command: &str| bench.tool("qemu-utils", "qemu-io", &["-f", "qcow2", "-c", command, "vm.qcow2"]);
    io("write -P 7 0 20M");
    bench.rehome(&["convert", "vm.qcow2", "copy.raw"]).ends(0);
    bench.qemu_img(&["bitmap", "--add", "vm.qcow2", "since"]);
    io("write -P 9 5M 128k");
    io("write -P 3 40M 64k");
    io("write -z 10M 1M");
    let changed = (128 << 10) + (64 << 10) + MIB;
    let source = Exported::new(&bench, "vm", &["-r", "-f", "qcow2", "-B", "since", "vm.qcow2"]);
    let args = ["--output", "json", "convert", "--sync", "--bitmap", "since", &source.uri(), "copy.raw"];
    let json = bench.rehome(&args).ends(0).json();
    let read = json["source_bytes_read"].as_u64().unwrap();
    assert!(read > 0 && read <= changed + changed / 20, "{json}");
    drop(source);
    bench.qemu_img(&["compare", "-f", "qcow2", "-F", "raw", "vm.qcow2", "copy.raw"]);
    let source = Exported::new(&bench, "again", &["-r", "-f", "qcow2", "vm.qcow2"]);
    let missing = ["convert", "--sync", "--bitmap", "since", &source.uri(), "copy.raw"];
    bench.rehome(&missing).ends(66);
}

#[test]
fn a_batch_takes_addresses() {
    let bench = Bench::new();
    bench.disk("disk.raw", 40 * MIB, &[(0, 3 * MIB), (20 * MIB, 70_000)]);
    let source = Exported::new(&bench, "source", &["-r", "-f", "raw", "disk.raw"]);
    let jobs = format!(
        "version = 1\n[batch]\noutput = \"out\"\n[[job]]\nid = \"vm\"\nsource = {:?}\ntarget_format = \"qcow2\"\n",
        source.uri()
    );
    bench.write("jobs.toml", jobs);
    std::fs::create_dir(bench.path("out")).unwrap();
    bench.rehome(&["batch", "check", "jobs.toml"]).ends(0);
    bench.rehome(&["batch", "run", "jobs.toml"]).ends(0);
    bench.qemu_img(&["compare", "-f", "raw", "-F", "qcow2", "disk.raw", "out/vm/vm.qcow2"]);
    drop(source);
    // Nobody listens at the socket any more.
    bench.rehome(&["batch", "check", "jobs.toml"]).ends(75);
}

#[test]
fn an_image_on_a_web_server_is_read_by_ranges() {
    let bench = Bench::new();
    bench.disk("disk.raw", 64 * MIB, &[(0, 30 * MIB), (50 * MIB, MIB)]);
    bench.qemu_img(&["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "disk.qcow2"]);
    let web = Web::new(bench.path("disk.qcow2"));
    let address = web.address("a/disk.qcow2");
    let info = bench.rehome(&["--output", "json", "info", &address]).ends(0).json();
    assert_eq!((&info["format"], &info["virtual-size"]), (&"qcow2".into(), &(64 * MIB).into()));
    let before = web.asked.load(Ordering::Relaxed);
    assert!(before < 8 * MIB, "{before} bytes for a look at the header");
    let json = bench.rehome(&["--output", "json", "convert", &address, "copy.raw"]).ends(0).json();
    assert_eq!(json["sandbox"]["state"], "enforced");
    assert!(bench.read("copy.raw") == bench.read("disk.raw"));
    let identity = bench.json_of("copy.raw.rehome.json")["source"]["identity"].clone();
    assert!(identity.as_str().unwrap().contains("v1"), "{identity}");
    // What changes on the way is another object.
    let slow = bench.spawn(&["convert", &address, "other.raw", "--rate-limit", "8M"]);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    web.version.store(2, Ordering::Relaxed);
    let ended = crate::bench::Run::new(&slow.wait_with_output().unwrap()).ends(75);
    assert!(ended.stderr.contains("is not what it was when it was opened"), "{ended:?}");
    assert!(!bench.path("other.raw").exists());
}

#[test]
fn secrets_of_addresses_stay_in_files() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, MIB)]);
    let web = Web::new(bench.path("disk.raw"));
    let signed = web.address("disk.raw?sv=1&sig=geheim");
    let run = bench.rehome(&["info", &signed]).ends(2);
    assert!(!run.stderr.contains("geheim") && run.stderr.contains("@/"), "{run:?}");
    bench.write("address", format!("{signed}\n"));
    let file = format!("@{}", bench.path("address").display());
    let run = bench.rehome(&["convert", "-f", "raw", &file, "copy.raw"]).ends(0);
    assert!(!run.stderr.contains("geheim") && !run.stdout.contains("geheim"), "{run:?}");
    assert!(!String::from_utf8(bench.read("copy.raw.rehome.json")).unwrap().contains("geheim"));
    assert!(bench.read("copy.raw") == bench.read("disk.raw"));
    bench.rehome(&["info", "https://user:geheim@127.0.0.1/x"]).ends(2);
}

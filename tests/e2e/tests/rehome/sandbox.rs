//! What a run could still do after an image took it over: code of a stranger runs in it, put there by the loader.

use crate::bench::{Bench, MIB, Run, signal};
use crate::guest::{self, HYPERV_MODULES};
use serde_json::Value;
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// What the stranger tries when the first thread of the run is to be started, each with the answer of the system.
const STRANGER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void said(const char *what, int done) { fprintf(stderr, "stranger: %s %s\n", what, done < 0 ? "refused" : "done"); }

static void tries(void) {
    said("read", open("/etc/passwd", O_RDONLY));
    said("make", open(getenv("STRANGER_FILE"), O_WRONLY | O_CREAT, 0600));
    said("list", open("/root", O_RDONLY | O_DIRECTORY));
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(getenv("STRANGER_PORT"))) };
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    said("connect", connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to));
    said("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
    said("trace", ptrace(PTRACE_SEIZE, getppid(), 0, 0));
    said("type", ioctl(open("/dev/null", O_RDWR), TIOCSTI, "x") < 0 && errno == EPERM ? -1 : 0);
    pid_t child = vfork();
    if (child == 0) { execl("/bin/true", "true", NULL); _exit(9); }
    int status = 9;
    if (child > 0) waitpid(child, &status, 0);
    said("start", child < 0 || status != 0 ? -1 : 0);
}

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *x) {
    static int begun;
    if (!begun++) tries();
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    return real(t, a, f, x);
}
"#;

/// A folder with a stranger in it, somebody who listens, and whether this host can confine runs at all.
struct Scene {
    bench: Bench,
    outside: tempfile::TempDir,
    listener: TcpListener,
}

impl Scene {
    fn new() -> Self {
        let bench = Bench::new();
        bench.write("stranger.c", STRANGER);
        bench.tool("gcc", "cc", &["-shared", "-fPIC", "-O1", "-o", "stranger.so", "stranger.c", "-ldl"]);
        let outside = tempfile::Builder::new().prefix("rehome-outside-").tempdir().unwrap();
        Self { bench, outside, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// A run with a stranger in it: what that could not do.
    fn refused(&self, args: &[&str]) -> Vec<String> {
        let mut command = self.bench.command(args);
        command.env("LD_PRELOAD", self.bench.path("stranger.so"));
        command.env("STRANGER_FILE", self.outside.path().join("made"));
        command.env("STRANGER_PORT", self.listener.local_addr().unwrap().port().to_string());
        let run = Run::new(&command.output().unwrap()).ends(0);
        let said: Vec<_> = run.stderr.lines().filter_map(|line| line.strip_prefix("stranger: ")).collect();
        assert_eq!(said.len(), 8, "{run:?}");
        said.iter().filter_map(|line| line.strip_suffix(" refused")).map(str::to_owned).collect()
    }
}

/// How runs are confined on this host; says what is not tested where they are not.
fn host(bench: &Bench) -> Value {
    let report = bench.rehome(&["doctor", "--output", "json"]).ends(0).json();
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|found| found["name"] == "sandbox").unwrap().clone();
    if found["state"] != "ok" {
        eprintln!("NOT TESTED: {}", found["found"]);
        assert!(found["without"].is_string());
    }
    found
}

#[test]
fn a_stranger_in_a_run_reaches_nothing_that_was_not_named() {
    let scene = Scene::new();
    let bench = &scene.bench;
    bench.disk("disk.raw", 8 * MIB, &[(0, 4096), (3 * MIB, MIB)]);
    let all = ["read", "make", "list", "connect", "netlink", "trace", "type", "start"];
    let convert = |target: &'static str| vec!["convert", "disk.raw", target];
    // Unconfined it can do most of that, or the test would show nothing.
    let free = scene.refused(&[vec!["--no-sandbox"], convert("free.qcow2")].concat());
    for name in ["read", "make", "connect", "netlink", "start"] {
        assert!(!free.iter().any(|refused| refused == name), "{name}: {free:?}");
    }
    std::fs::remove_file(scene.outside.path().join("made")).unwrap();
    if host(bench)["state"] != "ok" {
        return;
    }
    assert_eq!(scene.refused(&convert("a.qcow2")), all);
    for args in [
        &["convert", "a.qcow2", "b.vhdx", "--verify"][..],
        &["digest", "b.vhdx"],
        &["compare", "a.qcow2", "b.vhdx"],
        &["verify", "b.vhdx"],
        &["delta", "disk.raw", "a.qcow2", "c.qcow2"],
    ] {
        assert_eq!(scene.refused(args), all, "{args:?}");
    }
    guest::build(bench, "server.raw", &HYPERV_MODULES, |_| {});
    let migrate = ["migrate", "server.raw", "--to", "hyperv", "--out", "vm", "--force"];
    assert_eq!(scene.refused(&[&migrate[..], &["--editor", "native"]].concat()), all);
    // Where QEMU may be needed, programs are started: confined as the run is.
    assert_eq!(scene.refused(&migrate), all[..7]);
    assert!(!scene.outside.path().join("made").exists());
}

#[test]
fn outcomes_say_how_the_run_was_confined() {
    let bench = Bench::new();
    let host = host(&bench);
    bench.disk("disk.raw", 4 * MIB, &[(0, 4096)]);
    let convert = |more: &[&str]| {
        let args = ["convert", "disk.raw", "disk.qcow2", "--force", "--output", "json"];
        bench.rehome(&[&args[..], more].concat()).ends(0).json()["sandbox"].clone()
    };
    let off = convert(&["--no-sandbox"]);
    assert_eq!(off["state"], "off");
    assert_eq!(off["reason"], "--no-sandbox");
    assert!(off["landlock"].is_null() && off["system_calls"].is_null());
    let sandbox = convert(&[]);
    let version = sandbox["landlock"].as_i64().map(|version| format!("files by Landlock {version}"));
    assert_eq!(version.is_some(), host["found"].as_str().unwrap().contains("Landlock "), "{sandbox} {host}");
    assert!(
        host["found"].as_str().unwrap().starts_with(sandbox["state"].as_str().unwrap()),
        "{sandbox} {host}"
    );
    bench.rehome(&["convert", "disk.raw", "disk.vhdx"]).ends(0);
    let synced =
        bench.rehome(&["convert", "--sync", "disk.raw", "disk.vhdx", "--output", "json"]).ends(0).json();
    assert_eq!(synced["sandbox"], sandbox);
    guest::build(&bench, "server.raw", &HYPERV_MODULES, |_| {});
    let args = ["migrate", "server.raw", "--to", "hyperv", "--out", "vm", "--output", "json"];
    let report = bench.rehome(&args).ends(0).json();
    assert_eq!(report["sandbox"]["state"], sandbox["state"]);
    assert_eq!(report["sandbox"], bench.json_of("vm/web01.report.json")["sandbox"]);
    if host["state"] == "ok" {
        assert_eq!(sandbox["system_calls"], "needed");
        assert_eq!(report["sandbox"]["system_calls"], "harmless");
        // The page for people.
        let shown =
            bench.rehome(&["report", "show", "vm/web01.report.json", "--format", "json"]).ends(0).json();
        assert!(shown.to_string().contains("\"sandbox\":\"enforced, Landlock "), "{shown}");
    }
}

#[test]
fn a_target_in_the_root_folder_is_said_to_be_too_much() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    let out = "/rehome-e2e-missing/../disk.qcow2";
    // It fails there, and nothing is made: only what is said counts.
    bench.rehome(&["convert", "disk.raw", out]).ends(73);
    let name = format!("/rehome-e2e-{}.qcow2", std::process::id());
    let made = bench.rehome(&["convert", "disk.raw", &name, "--no-digest", "--output", "json"]);
    let _ = std::fs::remove_file(&name);
    if made.code != Some(0) {
        eprintln!("NOT TESTED: the root folder cannot be written here");
        return;
    }
    let sandbox = made.json()["sandbox"].clone();
    if !sandbox["landlock"].is_null() {
        assert_eq!(sandbox["state"], "partly");
        assert!(sandbox["reason"].as_str().unwrap().contains("every file may be written"), "{sandbox}");
    }
}

#[test]
fn what_the_operator_named_is_reached_wherever_it_lies() {
    let bench = Bench::new();
    for folder in ["images", "bases", "links", "spool", "out"] {
        std::fs::create_dir(bench.path(folder)).unwrap();
    }
    bench.disk("bases/base.raw", 4 * MIB, &[(0, 70_000)]);
    bench.qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "../bases/base.raw",
        "-F",
        "raw",
        "images/top.qcow2",
    ]);
    std::os::unix::fs::symlink("../images/top.qcow2", bench.path("links/top.qcow2")).unwrap();
    std::os::unix::fs::symlink("bases", bench.path("linked-bases")).unwrap();
    let convert = |source, target: &str, more: &[&str]| {
        bench.rehome(&[&["convert", source, target], more].concat()).ends(0);
        assert!(bench.rehome(&["compare", target, "bases/base.raw"]).ends(0).stdout.contains("same"));
    };
    convert("images/top.qcow2", "out/a.vhdx", &["--allow-parent", "bases"]);
    convert("images/top.qcow2", "out/b.vhdx", &["--allow-parent", "linked-bases"]);
    // The base is found from the folder that was named, as ever: links to images are for images without parents there.
    std::os::unix::fs::symlink("../bases/base.raw", bench.path("links/base.raw")).unwrap();
    convert("links/base.raw", "out/c.qcow2", &["--verify"]);
    // A target that is a link is written where it leads to.
    bench.rehome(&["convert", "bases/base.raw", "out/d.raw"]).ends(0);
    std::os::unix::fs::symlink("../out/d.raw", bench.path("links/d.raw")).unwrap();
    bench.rehome(&["convert", "--sync", "bases/base.raw", "links/d.raw"]);
    assert_eq!(bench.read("out/d.raw"), bench.read("bases/base.raw"));
    bench.bash("gzip -k bases/base.raw; mv bases/base.raw.gz images").ends(0);
    convert("images/base.raw.gz", "out/e.qcow2", &["--spool", "spool"]);
    bench.bash("\"$REHOME\" convert -f raw <(cat bases/base.raw) out/f.raw || \"$REHOME\" convert -f raw - out/f.raw <bases/base.raw").ends(0);
    assert_eq!(bench.read("out/f.raw"), bench.read("bases/base.raw"));
    bench.bash("printf 'secret' >key; qemu-img create -q -f qcow2 --object secret,id=s,file=key -o encrypt.format=luks,encrypt.key-secret=s e.qcow2 1M").ends(0);
    bench.bash("\"$REHOME\" digest e.qcow2 --key-file <(cat key)").ends(0);
    // All sources, and what was made in the folder, are in the evidence.
    std::fs::copy(bench.path("bases/base.raw"), bench.path("images/other.raw")).unwrap();
    let several = [
        "convert",
        "bases/base.raw",
        "images/other.raw",
        "--out",
        "new",
        "-O",
        "qcow2",
        "--evidence",
        "evidence",
    ];
    bench.rehome(&several).ends(0);
    let log = String::from_utf8(bench.read("evidence/evidence.jsonl")).unwrap();
    for name in ["bases/base.raw", "images/other.raw", "new/base.qcow2", "new/other.qcow2.rehome.json"] {
        assert!(log.contains(name), "{name}: {log}");
    }
}

#[test]
fn a_server_is_confined_while_it_serves() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    let status = |args: &[&str]| {
        let mut child = bench.spawn(&[args, &["serve", "disk.raw", "--listen", "tcp:127.0.0.1:0"]].concat());
        let start = Instant::now();
        let path = format!("/proc/{}/status", child.id());
        // Its own threads are there when it listens.
        let text = loop {
            let text = std::fs::read_to_string(&path).unwrap();
            let settled = text.contains("Seccomp:\t2") || start.elapsed() > Duration::from_millis(500);
            if settled {
                break text;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        signal(&child, "TERM");
        // It may not have got as far as to listen to signals.
        child.wait().unwrap();
        text
    };
    let text = status(&[]);
    if text.contains("Seccomp:") {
        assert!(text.contains("Seccomp:\t2") && text.contains("NoNewPrivs:\t1"), "{text}");
        assert!(status(&["--no-sandbox"]).contains("Seccomp:\t0"));
    }
}

#[test]
fn each_job_of_a_batch_is_confined_unless_the_batch_says_otherwise() {
    for (more, state) in [(&[][..], None), (&["--no-sandbox"][..], Some("off"))] {
        let bench = Bench::new();
        bench.disk("disk.raw", MIB, &[(0, 4096)]);
        std::fs::create_dir(bench.path("out")).unwrap();
        let command = ["convert", "disk.raw", "out/web.qcow2"];
        let task = serde_json::json!({
            "id": "web", "command": command, "outputs": [command[2]], "source_key": "disk.raw", "fingerprint": "1",
        });
        bench.write("tasks", task.to_string() + "\n");
        bench.rehome(&[&["batch", "run", "--tasks", "tasks"][..], more].concat()).ends(0);
        let outcome = bench.json_of("out/.rehome-batch/jobs/web.outcome.json");
        let alone =
            bench.rehome(&["convert", "disk.raw", "out/alone.qcow2", "--output", "json"]).ends(0).json();
        let expected = state.map_or_else(|| alone["sandbox"]["state"].clone(), serde_json::Value::from);
        assert_eq!(outcome["sandbox"]["state"], expected, "{outcome}");
    }
}

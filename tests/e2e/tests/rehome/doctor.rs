//! What the host can do, what codes mean, and what is packed for support.

use crate::bench::{Bench, MIB};

#[test]
fn the_doctor_looks_at_the_host_and_a_folder_and_says_what_is_required_and_missing() {
    let bench = Bench::new();
    let report = bench.rehome(&["doctor", "--dir", ".", "--output", "json"]).ends(0).json();
    assert_eq!(report["fit"], true);
    let names: Vec<_> = report["findings"].as_array().unwrap().iter().map(|found| &found["name"]).collect();
    for name in ["qemu", "kvm", "fuse", "kernel", "memory", "sandbox", "space", "reflinks"] {
        assert!(names.iter().any(|found| *found == name), "{name}: {report:#}");
    }
    assert!(bench.names().is_empty(), "nothing stays in the folder");
    let run = bench.bash("PATH=/nowhere \"$REHOME\" doctor --require boot-test,borg").ends(69);
    assert!(run.stdout.contains("MISSING") && run.stdout.contains("so: "), "{run:?}");
    assert!(
        run.stderr.starts_with("error: missing on this host: ") && run.stderr.contains("borg"),
        "{run:?}"
    );
    bench.rehome(&["doctor", "--dir", "no/such/folder"]).ends(69);
    bench.rehome(&["doctor", "--require", "magic"]).ends(2);
}

#[test]
fn endpoints_are_reached_or_not_and_a_log_is_written() {
    let bench = Bench::new();
    let line = "python3 -m http.server --bind 127.0.0.1 0 >port 2>&1 & trap 'kill %1' EXIT; \
                for i in $(seq 100); do P=$(sed -n 's/.*port \\([0-9]*\\).*/\\1/p' port); [ -n \"$P\" ] && break; sleep 0.1; done; \
                https_proxy= \"$REHOME\" doctor net \"http://u:hunter2@127.0.0.1:$P/none\" --proxy none --log net.txt";
    let run = bench.bash(line.replace("-m", "-u -m").as_str()).ends(0);
    assert!(run.stdout.contains("404") && run.stdout.contains("reachable"), "{run:?}");
    let log = String::from_utf8(bench.read("net.txt")).unwrap();
    assert!(log.starts_with("rehome ") && log.contains("404") && !log.contains("hunter2"), "{log}");
    let run = bench
        .rehome(&["doctor", "net", "https://no-such-host.invalid", "--output", "json", "--proxy", "none"])
        .ends(75);
    assert_eq!(run.json()["endpoints"][0]["lines"][1]["code"], "RH-NET-NAME");
    bench.rehome(&["doctor", "net", "ftp://x"]).ends(2);
}

#[test]
fn codes_are_explained_and_errors_have_one() {
    let bench = Bench::new();
    bench.disk("disk.raw", MIB, &[(0, 4096)]);
    let failed = bench.rehome(&["convert", "nope.raw", "x.qcow2", "--output", "json"]).ends(66).json();
    assert_eq!(failed["error"]["code"], "RH-SOURCE-MISSING");
    let failed = bench.rehome(&["convert", "disk.raw", "no/x.qcow2", "--output", "json"]).ends(73).json();
    assert_eq!(failed["error"]["code"], "RH-DESTINATION-MISSING");
    bench.write("taken.qcow2", "");
    let failed = bench.rehome(&["convert", "disk.raw", "taken.qcow2", "--output", "json"]).ends(73).json();
    assert_eq!(failed["error"]["code"], "RH-DESTINATION-EXISTS");
    bench.bash("printf 'secret' >key; qemu-img create -q -f qcow2 --object secret,id=s,file=key -o encrypt.format=luks,encrypt.key-secret=s e.qcow2 1M").ends(0);
    let failed = bench.rehome(&["digest", "e.qcow2", "--output", "json"]).ends(78).json();
    assert_eq!(failed["error"]["code"], "RH-KEY-MISSING");
    bench.write("wrong", "other");
    let failed =
        bench.rehome(&["digest", "e.qcow2", "--key-file", "wrong", "--output", "json"]).ends(78).json();
    assert_eq!(failed["error"]["code"], "RH-KEY-WRONG");

    let page = bench.rehome(&["explain", "rh-key-wrong"]).ends(0).stdout;
    assert!(
        page.contains("cause") && page.contains("next step") && page.contains("78 (needs-person)"),
        "{page}"
    );
    let alias = bench.rehome(&["explain", "-403"]).ends(0).stdout;
    assert!(alias.contains("PATH_NOT_FOUND") && alias.contains("RH-DESTINATION-MISSING"), "{alias}");
    let warning = bench.rehome(&["explain", "vhdx-log-replayed", "--output", "json"]).ends(0).json();
    assert_eq!(warning[0]["severity"], "warning");
    let all = bench.rehome(&["explain", "--output", "json"]).ends(0).json();
    assert!(all.as_array().unwrap().len() > 300);
    let run = bench.rehome(&["explain", "RH-KEY-GONE"]).ends(2);
    assert!(run.stderr.contains("hint: perhaps ") && run.stderr.contains("RH-KEY-MISSING"), "{run:?}");
}

#[test]
fn a_support_bundle_has_the_image_and_nothing_of_the_guest() {
    let bench = Bench::new();
    bench.disk("disk.raw", 4 * MIB, &[(0, MIB)]);
    bench.rehome(&["convert", "disk.raw", "disk.qcow2"]).ends(0);
    bench.write("run.log", "copying\npassword=hunter2\n");
    let args = ["support-bundle", "--image", "disk.qcow2", "--file", "run.log", "-o", "b.tar.gz"];
    let listed = bench.rehome(&[&args[..], &["--list"]].concat()).ends(0).stdout;
    assert!(listed.contains("images/0-disk.qcow2/info.json") && !bench.path("b.tar.gz").exists(), "{listed}");
    let listing = bench.rehome(&[&args[..], &["--output", "json"]].concat()).ends(0).json();
    assert_eq!(listing["written"][0], "b.tar.gz");
    let text = bench.tool(
        "tar",
        "tar",
        &["-xzOf", "b.tar.gz", "rehome-support/LISTING.txt", "rehome-support/files/run.log"],
    );
    assert!(text.contains("password=***") && !text.contains("hunter2"), "{text}");
    let info =
        bench.tool("tar", "tar", &["-xzOf", "b.tar.gz", "rehome-support/images/0-disk.qcow2/info.json"]);
    assert!(info.contains("qcow2"), "{info}");
    bench.rehome(&args).ends(73);
    bench.rehome(&["support-bundle", "job", "-o", "c.tar.gz"]).ends(2);
    bench.rehome(&["support-bundle", "--state", "nowhere", "-o", "c.tar.gz"]).ends(66);
}

//! A chain of custody beside a command.

use crate::bench::{Bench, MIB};

#[test]
fn sources_and_results_are_in_the_log_with_their_hashes() {
    let bench = Bench::new();
    bench.disk("disk.raw", 9 * MIB, &[(0, 70_000), (5 * MIB, 3 * MIB)]);
    std::fs::write(bench.path("memory.lime"), b"EMiL\x01\0\0\0rest").unwrap();
    bench.bash("gzip -k disk.raw").ends(0);
    let args = [
        "convert",
        "disk.raw.gz",
        "out.qcow2",
        "-f",
        "raw",
        "--evidence",
        "custody",
        "--attach",
        "memory.lime",
    ];
    let run = bench.rehome(&args).ends(0);
    let text = String::from_utf8(bench.read("custody/evidence.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["begin", "source", "attachment", "note", "source", "result", "result", "end"]);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line["number"], number);
    }
    let sum =
        |name: &str| bench.tool("coreutils", "sha256sum", &[name]).split(' ').next().unwrap().to_owned();
    assert_eq!(lines[1]["sha256"], sum("disk.raw.gz"));
    assert_eq!(lines[2]["content"], "lime");
    assert_eq!(lines[4]["sha256"], lines[1]["sha256"]);
    assert_eq!(lines[5]["digests"]["sha256"], sum("out.qcow2"));
    assert_eq!(lines[7]["is_ok"], true);
    // What is printed at the end is the hash of the last line.
    let last = text.lines().last().unwrap();
    std::fs::write(bench.path("last"), last).unwrap();
    let head = bench.tool("b3sum", "b3sum", &["last"]);
    assert!(run.stderr.contains(head.split(' ').next().unwrap()), "{run:?} {head}");
    // A second command goes on with the log; one that is not about sources has none.
    bench.rehome(&["info", "disk.raw", "--evidence", "custody"]).ends(0);
    assert!(bench.read("custody/evidence.jsonl").len() > text.len());
    bench.rehome(&["formats", "--evidence", "custody"]).ends(2);
    bench.bash("\"$REHOME\" convert -f raw - x.raw --evidence custody < disk.raw").ends(2);
}

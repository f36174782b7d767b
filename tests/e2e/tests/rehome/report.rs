//! Reports of real runs: shown, signed and checked as an operator would.

use crate::bench::{Bench, MIB};
use crate::guest::{self, HYPERV_MODULES};
use serde_json::Value;

/// A conversion with what it printed and wrote to its log, and the maps of both sides.
fn converted() -> Bench {
    let bench = Bench::new();
    bench.disk("disk.raw", 64 * MIB, &[(0, 9 * MIB), (32 * MIB, 4 * MIB)]);
    let line = "\"$REHOME\" --output json --progress json convert disk.raw disk.vhdx --verify > web.outcome.json 2> web.log
        \"$REHOME\" map disk.raw --output json > before.json; \"$REHOME\" map disk.vhdx --output json > after.json";
    bench.bash(line).ends(0);
    bench
}

fn kept(bench: &Bench) -> Value {
    let args = [
        "report",
        "show",
        "web.outcome.json",
        "--log",
        "web.log",
        "--map-before",
        "before.json",
        "--map-after",
        "after.json",
    ];
    bench.rehome(&[&args[..], &["--format", "json", "-o", "report.json"]].concat()).ends(0);
    bench.json_of("report.json")
}

#[test]
fn the_outcome_of_a_conversion_becomes_a_report() {
    let bench = converted();
    let outcome = bench.json_of("web.outcome.json");
    let report = kept(&bench);
    assert_eq!(
        (&report["report"], &report["id"], &report["state"]),
        (&"job-v1".into(), &"web".into(), &"done".into())
    );
    let disk = &report["disks"][0];
    assert_eq!((&disk["digest"], &disk["proof"]), (&outcome["digest"], &"read-back".into()));
    assert_eq!((&disk["before"]["data_bytes"], &disk["before"]["cells"]), (&(13 * MIB).into(), &512.into()));
    assert_eq!(disk["before"]["runs"], serde_json::json!([[72, 100], [184, 0], [32, 100], [224, 0]]));
    assert!(disk["after"]["data_bytes"].as_u64().unwrap() >= 13 * MIB, "{disk}");
    let stages: Vec<_> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["name"].clone()).collect();
    assert_eq!(stages, ["copy", "verify"], "{report:#}");
    let sums = bench.tool("b3sum", "b3sum", &["disk.vhdx.rehome.json", "web.outcome.json"]);
    for (file, line) in report["evidence"].as_array().unwrap().iter().zip(sums.lines()) {
        assert_eq!(line, format!("{}  {}", file["blake3"].as_str().unwrap(), file["path"].as_str().unwrap()));
    }
    let text = bench.rehome(&["report", "show", "report.json"]).ends(0).stdout;
    assert!(text.starts_with("DONE: web was converted\n"), "{text}");
    let page = bench.rehome(&["report", "show", "report.json", "--format", "html"]).ends(0).stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains(disk["digest"].as_str().unwrap()));
    let again = bench.rehome(&["report", "show", "report.json", "--output", "json"]).ends(0).json();
    assert_eq!(again, report);
}

#[test]
fn a_plan_for_a_guest_is_shown_with_its_fixups() {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &HYPERV_MODULES, |_| {});
    bench
        .bash("\"$REHOME\" --output json migrate server.raw --to hyperv --out vm --dry-run > plan.json")
        .ends(0);
    let plan = bench.json_of("plan.json");
    let text = bench.rehome(&["report", "show", "plan.json"]).ends(0).stdout;
    assert!(text.lines().next().unwrap().contains("can be moved to Hyper-V"), "{text}");
    let page = bench.rehome(&["report", "show", "plan.json", "--format", "html"]).ends(0).stdout;
    for fixup in plan["fixups"].as_array().unwrap() {
        assert!(page.contains(fixup["id"].as_str().unwrap()), "{fixup}");
    }
    assert!(page.contains("/etc/fstab"));
}

#[test]
fn a_migration_is_reported_with_what_it_left() {
    let bench = Bench::new();
    guest::build(&bench, "server.raw", &HYPERV_MODULES, |_| {});
    bench.bash("\"$REHOME\" --output json migrate server.raw --to hyperv --out vm > outcome.json").ends(0);
    bench.rehome(&["report", "show", "outcome.json", "--format", "json", "-o", "report.json"]).ends(0);
    let report = bench.json_of("report.json");
    let files: Vec<_> =
        report["evidence"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    for file in ["vm/web01.vhdx.rehome.json", "vm/web01.ps1", "vm/web01.report.json", "outcome.json"] {
        assert!(files.contains(&file), "{files:?}");
    }
    let text = bench.rehome(&["report", "show", "report.json"]).ends(0).stdout;
    assert!(text.starts_with("DONE: web01 was moved to Hyper-V"), "{text}");
    assert_eq!(report["disks"][0]["proof"], "source");
}

#[test]
fn a_run_that_failed_says_why_and_what_next() {
    let bench = Bench::new();
    bench.bash("\"$REHOME\" --output json convert gone.vmdk x.qcow2 > a.json; test $? = 66").ends(0);
    let text = bench.rehome(&["report", "show", "a.json"]).ends(0).stdout;
    assert!(
        text.starts_with("FAILED: a failed\n")
            && text.contains("gone.vmdk")
            && text.contains("Exit code   66"),
        "{text}"
    );
}

#[test]
fn a_signed_report_is_good_until_it_or_what_it_names_is_changed() {
    let bench = converted();
    kept(&bench);
    let keygen = |name: &str| {
        bench.tool("openssh-client", "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name])
    };
    keygen("key");
    keygen("other");
    bench.bash("echo \"anna $(cat key.pub)\" > signers").ends(0);
    bench.rehome(&["report", "verify", "report.json", "--any-signer"]).ends(66);
    bench.rehome(&["report", "sign", "report.json", "--key", "key"]).ends(0);
    bench.rehome(&["report", "sign", "report.json", "--key", "key"]).ends(73);
    let verify = |more: &[&str]| bench.rehome(&[&["report", "verify", "report.json"], more].concat());
    let good = verify(&["--signers", "signers"]).ends(0).stdout;
    assert!(
        good.starts_with("GOOD: signed by anna with the key SHA256:")
            && good.contains("2 files as the report says"),
        "{good}"
    );
    verify(&["--public-key", "key.pub"]).ends(0);
    let unsaid = verify(&[]).ends(2).stderr;
    assert!(unsaid.contains("--signers") && unsaid.contains("--any-signer"), "{unsaid}");
    verify(&["--any-signer", "--public-key", "key.pub"]).ends(2);
    let unknown = verify(&["--any-signer"]).ends(0).stdout;
    assert!(unknown.starts_with("UNCHANGED, signer not checked: "), "{unknown}");
    let other = verify(&["--public-key", "other.pub", "--output", "json"]).ends(1).json();
    assert_eq!((&other["ok"], &other["signature"]), (&false.into(), &"other-signer".into()));
    bench.flip("disk.vhdx.rehome.json", 100);
    let changed = verify(&["--signers", "signers"]).ends(1).stdout;
    assert!(changed.contains("disk.vhdx.rehome.json is not what the report says"), "{changed}");
    bench.flip("report.json", 100);
    let changed = verify(&["--signers", "signers"]).ends(1).stdout;
    assert!(changed.starts_with("NOT GOOD: the signature does not fit"), "{changed}");
}

/// Whoever changes a report signs it again, with a key of his own and a list of signers that has his name, too.
#[test]
fn a_report_that_another_signed_again_is_not_taken_for_the_first_ones() {
    let bench = converted();
    kept(&bench);
    let fingerprint = |name: &str| {
        bench.tool("openssh-client", "ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", name]);
        let told = bench.tool("openssh-client", "ssh-keygen", &["-l", "-f", &format!("{name}.pub")]);
        told.split_whitespace().nth(1).unwrap().to_owned()
    };
    let (anna, mallory) = (fingerprint("anna"), fingerprint("mallory"));
    bench.bash("echo \"anna $(cat anna.pub)\" > signers; echo \"anna $(cat mallory.pub)\" > planted").ends(0);
    bench.rehome(&["report", "sign", "report.json", "--key", "anna"]).ends(0);
    let verify = |more: &[&str]| bench.rehome(&[&["report", "verify", "report.json"], more].concat());
    assert!(verify(&["--any-signer"]).ends(0).stdout.contains(&anna));
    let text = String::from_utf8(bench.read("report.json")).unwrap();
    assert!(text.contains("\"done\""), "{text}");
    bench.write("report.json", text.replace("\"done\"", "\"DONE\""));
    verify(&["--any-signer"]).ends(1);
    bench.rehome(&["report", "sign", "report.json", "--key", "mallory", "--force"]).ends(0);
    for trusted in [&["--signers", "signers"][..], &["--public-key", "anna.pub"]] {
        let said = verify(trusted).ends(1).stdout;
        assert!(said.starts_with("NOT GOOD: ") && said.contains(&mallory) && !said.contains(&anna), "{said}");
    }
    // Nobody is told that it is good without the key that it is good for.
    assert!(verify(&["--any-signer"]).ends(0).stdout.contains(&mallory));
    assert!(verify(&["--signers", "planted"]).ends(0).stdout.contains(&mallory));
    // A signature of the other kind beside it makes nothing good, and a pipe is not waited for.
    std::fs::remove_file(bench.path("report.json.sig")).unwrap();
    bench.tool("coreutils", "mkfifo", &["report.json.sig"]);
    verify(&["--signers", "signers"]).ends(66);
}

#[test]
fn what_is_no_report_is_refused() {
    let bench = Bench::new();
    bench.write("a.json", "{}");
    bench.write("b.json", "{\"report\": \"batch-v9\"}");
    bench.write("c.json", "{\"report\": \"batch-v1\"}");
    bench.rehome(&["report", "show", "a.json"]).ends(65);
    bench.rehome(&["report", "show", "b.json"]).ends(69);
    bench.rehome(&["report", "show", "gone.json"]).ends(66);
    bench.rehome(&["report", "show", "c.json", "--log", "a.json"]).ends(2);
    bench.rehome(&["report", "show", "c.json", "-o", "a.json"]).ends(73);
    bench.rehome(&["report", "show", "c.json", "-o", "a.json", "--force"]).ends(0);
    assert_eq!(bench.read("a.json"), b"DONE: There are no jobs\n\n");
    let schema = bench.rehome(&["report", "schema"]).ends(0).json();
    assert_eq!(schema["title"], "report of rehome");
}

//! Job files: planned, checked, and told to batch engines.

use crate::bench::{Bench, MIB};
use crate::guest;
use serde_json::Value;

fn bench() -> Bench {
    let bench = Bench::new();
    bench.disk("web.raw", 5 * MIB, &[(0, 70_000), (4 * MIB, 70_000)]);
    bench.disk("data.raw", 9 * MIB, &[(MIB, 300_000)]);
    bench.rehome(&["convert", "web.raw", "web.vmdk", "-o", "subformat=monolithicFlat"]).ends(0);
    bench.rehome(&["convert", "data.raw", "data.qcow2"]).ends(0);
    bench.qemu_img(&["create", "-q", "-f", "qcow2", "-b", "data.qcow2", "-F", "qcow2", "top.qcow2"]);
    std::fs::create_dir(bench.path("out")).unwrap();
    bench
}

fn job<'j>(report: &'j Value, id: &str) -> &'j Value {
    report["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|job| job["id"] == id)
        .unwrap_or_else(|| panic!("{id}: {report}"))
}

#[test]
fn what_is_planned_can_be_checked() {
    let bench = bench();
    bench.write("notes.txt", "no image");
    bench.write("web.vmx", "");
    let plan = bench.rehome(&["batch", "plan", ".", "-O", "vhdx", "--output-dir", "out"]).ends(0);
    bench.write("jobs.toml", &plan.stdout);
    // Extents and parents have no job.
    assert!(
        !plan.stdout.contains("web-flat.vmdk\"") && !plan.stdout.contains("source = \"data.qcow2\""),
        "{}",
        plan.stdout
    );
    let report =
        bench.rehome(&["--output", "json", "batch", "check", "jobs.toml", "--measure"]).ends(0).json();
    let mut ids: Vec<_> =
        report["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    assert_eq!(ids.len(), 4, "{ids:?}");
    assert!(ids.contains(&"top".to_owned()) && ids.iter().any(|id| id.ends_with("web")), "{ids:?}");
    for job in report["jobs"].as_array().unwrap() {
        // What is said to be run does what is said.
        let mut command: Vec<_> =
            job["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        std::fs::create_dir(job["output"].as_str().unwrap()).unwrap();
        command.insert(0, "--output=json");
        let done = bench.rehome(&command).ends(0).json();
        let size = std::fs::metadata(done["target"].as_str().unwrap()).unwrap().len();
        assert_eq!(job["needs"].as_u64().unwrap(), size, "{job}");
        assert_eq!(job["needs_exact"], true);
    }
    assert_eq!(report["places"][0]["enough"], true);
}

#[test]
fn what_is_wrong_is_told_before_the_night() {
    let bench = bench();
    bench.write("cut.qcow2", &bench.read("data.qcow2")[..70_000]);
    bench.write(
        "jobs.yaml",
        "version: 1\nbatch: {output: out}\ndefaults: {target_format: qcow2}\njob:\n - {id: good, source: web.vmdk}\n - {id: gone, source: gone.vmdk}\n \
         - {id: cut, source: cut.qcow2, format: qcow2}\n - {id: key, source: data.raw, format: raw, key_file: no/key}\n \
         - {id: blank, kind: migrate, to: kvm, source: data.raw, format: raw}\n",
    );
    let run = bench.rehome(&["--output", "json", "batch", "check", "jobs.yaml", "--jobs", "4"]);
    let report = run.ends(65).json();
    let code = |id: &str| job(&report, id)["exit_code"].as_u64().unwrap();
    assert_eq!(code("good"), 0);
    assert_eq!(code("gone"), 66);
    assert_eq!(code("cut"), 65);
    assert_eq!(code("key"), 66);
    assert_eq!(code("blank"), 78, "{}", job(&report, "blank"));
    assert!(report["notes"].to_string().contains("jobs.yaml:6: job \\\"gone\\\""), "{}", report["notes"]);
    let human = bench.rehome(&["batch", "check", "jobs.yaml"]).ends(65).stdout;
    assert!(human.contains("4 of 5 jobs would fail") && human.contains("FAILS 66"), "{human}");
    bench.write("none.toml", "version = 1\n[batch]\noutput = \"missing\"\n[[job]]\nsource = \"web.vmdk\"\ntarget_format = \"raw\"\n");
    let human = bench.rehome(&["batch", "check", "none.toml"]).ends(73).stdout;
    assert!(human.contains("missing, is not there"), "{human}");
}

#[test]
fn a_guest_is_looked_at_as_the_migration_would() {
    let bench = Bench::new();
    guest::build(&bench, "root.raw", &guest::HYPERV_MODULES, |_| {});
    bench.write(
        "jobs.toml",
        "version = 1\n[[job]]\nid = \"vm\"\nto = \"hyperv\"\nsource = \"root.raw\"\nformat = \"raw\"\n",
    );
    let before = bench.names();
    let run = bench.rehome(&["--output", "json", "batch", "check", "jobs.toml", "--rate", "100M"]);
    let report = run.ends(0).json();
    assert!(job(&report, "vm")["notes"].to_string().contains("becomes "), "{report}");
    assert_eq!(report["rate_from"], "given");
    assert_eq!(bench.names(), before, "nothing was written");
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let bench = bench();
    bench.write(
        "jobs.toml",
        "version = 1\n[[job]]\nsource = \"web.vmdk\"\nto = \"hyperv\"\nfirmwre = \"uefi\"\n",
    );
    for command in [&["batch", "check", "jobs.toml"][..], &["batch", "emit", "slurm", "jobs.toml"]] {
        let run = bench.rehome(command).ends(2);
        assert!(run.stderr.contains("5 | firmwre = \"uefi\"\n  | ^^^^^^^\n"), "{}", run.stderr);
        assert!(run.stderr.contains("error: jobs.toml:5:1: unknown field \"firmwre\""), "{}", run.stderr);
        assert!(run.stderr.contains("hint: did you mean \"firmware\""), "{}", run.stderr);
    }
    let json = bench.rehome(&["--output", "json", "batch", "check", "jobs.toml"]).ends(2).json();
    assert!(json["error"]["message"].as_str().unwrap().starts_with("jobs.toml:5:1: "), "{json}");
}

#[test]
fn stdin_and_schema() {
    let bench = bench();
    let schema = bench.rehome(&["batch", "schema"]).ends(0).json();
    assert_eq!(schema["title"], "rehome job file");
    assert!(schema["$defs"]["Job"]["properties"]["network_map"].is_object());
    bench.write("jobs", "version: 1\njob: [{source: web.vmdk, target_format: raw, output: out}]\n");
    bench.bash("\"$REHOME\" batch check - --format yaml <jobs").ends(0);
    bench.bash("\"$REHOME\" batch check - <jobs").ends(2);
    bench.bash("\"$REHOME\" batch emit slurm - --format yaml <jobs").ends(2);
}

#[test]
fn lists_become_job_files() {
    let bench = bench();
    bench.write("vms.csv", "VM;Path;Network;Powerstate\nWeb 1;[ds] web.vmdk;*=LAN;on\nDB;data.qcow2;;on\n");
    let datastore = format!("ds={}", bench.path("").display());
    let plan = bench
        .rehome(&["batch", "plan", "--csv", "vms.csv", "--datastore", &datastore, "--to", "hyperv"])
        .ends(0);
    assert!(
        plan.stdout.contains("id = \"Web-1\"") && plan.stdout.contains("format = \"vmdk\""),
        "{}",
        plan.stdout
    );
    assert!(plan.stdout.contains("mean nothing here: Powerstate"), "{}", plan.stdout);
    bench.write("jobs.toml", &plan.stdout);
    let script = bench.rehome(&["batch", "emit", "slurm", "jobs.toml", "--parallel", "3"]).ends(0).stdout;
    assert!(script.contains("submit 0 2 wave0") && script.contains("%3"), "{script}");
    bench.write("bad.csv", "id,source\na\n");
    let run = bench.rehome(&["batch", "plan", "--csv", "bad.csv", "--to", "kvm"]).ends(2);
    assert!(run.stderr.contains("bad.csv:2: there are 1 columns and not 2"), "{}", run.stderr);
}

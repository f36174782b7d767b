//! What is written in TOML and in YAML means the same.

use crate::{parse, resolve, toml, words};
use convert_job_file::{IsolateHow, Notation, schema};

pub(crate) const TOML: &str = r#"
version = 1

[batch]
name = "night"
output = "${ROOT}/out"
jobs = "${JOBS}"
rate_limit = "200M"
isolate = { how = "network-down", interface = "eth1" }
destination = { volume = true }

[defaults]
to = "hyperv"
also = ["sha256"]
network_map = { "VM Network" = "LAN", "*" = "DMZ" }

[[job]]
source = "web.vmdk"
format = "vmdk"
machine = "web.vmx"

[[job]]
id = "db"
source = ["db.vmdk", "/data/db_1.vmdk"]
wave = 1
priority = 5
static_ip = "eth0=192.0.2.10/24,192.0.2.1"
mac = ["new", "00:50:56:01:02:03=52:54:00:aa:bb:cc"]
regenerate = ["machine-id"]
isolate = { how = "none" }

[[job]]
id = "copy"
kind = "convert"
source = "logs.raw"
format = "raw"
target_format = "qcow2"
options = { compressed = true, cluster_size = 65536 }
priority = 9
"#;

pub(crate) const YAML: &str = r#"
version: 1
batch:
  name: night
  output: ${ROOT}/out
  jobs: ${JOBS}
  rate_limit: 200M
  isolate: { how: network-down, interface: eth1 }
  destination: { volume: yes-is-text-so-true-it-must-be }
defaults:
  to: hyperv
  also: [sha256]
  network_map: { VM Network: LAN, "*": DMZ }
job:
  - source: web.vmdk
    format: vmdk
    machine: web.vmx
  - id: db
    source: [db.vmdk, /data/db_1.vmdk]
    wave: 1
    priority: 5
    static_ip: eth0=192.0.2.10/24,192.0.2.1
    mac: [new, 00:50:56:01:02:03=52:54:00:aa:bb:cc]
    regenerate: [machine-id]
    isolate: { how: none }
  - id: copy
    kind: convert
    source: logs.raw
    format: raw
    target_format: qcow2
    options: { compressed: true, cluster_size: 65536 }
    priority: 9
"#;

fn yaml() -> String {
    YAML.replace("yes-is-text-so-true-it-must-be", "true")
}

#[test]
fn both_notations_mean_the_same() {
    let (a, b) = (resolve(Notation::Toml, TOML).unwrap(), resolve(Notation::Yaml, &yaml()).unwrap());
    let ids = |resolved: &convert_job_file::Resolved| {
        resolved.jobs.iter().map(|job| (job.id.clone(), job.wave, job.fingerprint())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&a), ids(&b));
    // `*` comes behind the other network in both: of a YAML map as of a TOML table the order in the file counts.
    for job in 0..3 {
        assert_eq!(words(&a, job), words(&b, job));
    }
    assert_eq!(a.jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["copy", "web", "db"]);
    assert_eq!(a.batch.jobs, Some(7));
    assert_eq!(a.batch.rate_limit.unwrap().0, 200 << 20);
    assert_eq!(a.output.to_str().unwrap(), "/srv/out");
    assert_eq!(a.jobs[1].isolate.as_ref().unwrap().how, IsolateHow::NetworkDown);
    assert!(a.jobs[2].isolate.is_none(), "a job may take none of the batch's isolation");
    assert!(a.jobs[2].destination.as_ref().unwrap().volume);
}

#[test]
fn json_is_yaml() {
    let json = r#"{"version": 1, "defaults": {"to": "kvm"}, "job": [{"source": "a\u00e9.vmdk"}]}"#;
    let resolved = resolve(Notation::Yaml, json).unwrap();
    assert!(words(&resolved, 0).contains(&"/batch/aé.vmdk".to_owned()));
}

#[test]
fn names_that_look_like_something_else_stay_names() {
    let yaml =
        "version: 1\ndefaults: {to: kvm}\njob:\n - {id: 007, source: no}\n - {id: 1e3, source: 0x10}\n";
    let resolved = resolve(Notation::Yaml, yaml).unwrap();
    assert_eq!(resolved.jobs[0].id, "007");
    assert_eq!(resolved.jobs[0].sources()[0].to_str().unwrap(), "/batch/no");
    assert_eq!(resolved.jobs[1].id, "1e3");
}

#[test]
fn variables_are_put_in() {
    let resolved = toml(
        "[[job]]\nid = \"a\"\nto = \"kvm\"\nsource = \"${ROOT}/${EMPTY:-x}/${NONE:-y z}$$.vmdk\"\ntitle = \"${ODD}\"",
    );
    assert_eq!(resolved.jobs[0].sources()[0].to_str().unwrap(), "/srv/x/y z$.vmdk");
    // What a variable holds is no notation any more.
    assert_eq!(resolved.jobs[0].title, "a $b ${c} \"d\"");
    let file = parse(Notation::Toml, TOML).unwrap();
    assert_eq!(file.variables.keys().collect::<Vec<_>>(), ["JOBS", "ROOT"]);
}

#[test]
fn aliases_are_copies() {
    let yaml = "version: 1\njob:\n - &one {id: a, to: kvm, source: a.vmdk, network_map: &map {x: y}}\n - {id: b, to: kvm, source: b.vmdk, network_map: *map}\n";
    let resolved = resolve(Notation::Yaml, yaml).unwrap();
    assert!(words(&resolved, 1).contains(&"--network-map=x=y".to_owned()));
}

/// Judged by Python's jsonschema.
#[test]
fn the_schema_takes_what_the_program_takes() {
    let properties = schema()["$defs"]["Job"]["properties"].clone();
    let fields = properties.as_object().unwrap();
    assert!(fields.len() > 50, "{}", fields.len());
    for (name, field) in fields {
        assert!(field["description"].is_string(), "{name} has no description");
    }
    let Some(python) = crate::emitted::oracle() else { return };
    let good = serde_json::json!({
        "version": 1,
        "batch": {"jobs": 4, "rate_limit": "10M", "isolate": {"how": "unmount"}},
        "defaults": {"to": "hyperv", "network_map": {"a": "b"}},
        "job": [{"source": ["a", "b"], "regenerate": ["machine-id"]}, {"source": "c", "options": {"x": true}}],
    });
    let mut all = vec![good.clone()];
    for (pointer, wrong) in [
        ("/version", serde_json::json!(2)),
        ("/batch/jobs", serde_json::json!("many")),
        ("/batch/isolate/how", serde_json::json!("shred")),
        ("/defaults/to", serde_json::json!("cloud9")),
        ("/job/0/regenerate/0", serde_json::json!("soul")),
        ("/job/1/options", serde_json::json!([[1]])),
        ("/job/1", serde_json::json!({"sourse": "c"})),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        all.push(bad);
    }
    let check = "import sys,json\nfrom jsonschema import Draft202012Validator as V\ns,a=json.load(sys.stdin)\nV.check_schema(s)\n\
                 print(json.dumps([V(s).is_valid(x) for x in a]))";
    let input = serde_json::to_string(&(schema(), &all)).unwrap();
    let judged = crate::emitted::run(std::process::Command::new(python).args(["-c", check]), &input);
    assert_eq!(judged.trim(), "[true, false, false, false, false, false, false, false]");
}

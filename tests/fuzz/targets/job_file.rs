//! Job files and lists of machines: no text makes the program panic, what is understood has commands, and what is planned reads back.
#![no_main]

use convert_job_file::{Engine, JobFile, Notation, Plan, Site, Text, Wish, emit, parse_list, write};
use fuzz::write_seeds;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

const TOML: &str = "version = 1\n[batch]\noutput = \"/o\"\njobs = \"${N:-3}\"\nisolate = { how = \"unmount\" }\n[defaults]\nto = \"kvm\"\n\
                    network_map = { a = \"b\" }\n[[job]]\nsource = [\"a.vmdk\", \"b\"]\nwave = 1\nmac = \"new\"\n[[job]]\nid = \"c\"\nkind = \"convert\"\n\
                    source = \"x\"\ntarget_format = \"qcow2\"\noptions = { c = true }\n";
const YAML: &str =
    "version: 1\ndefaults: &d {to: kvm}\njob:\n - {source: a, id: 007}\n - source: [b]\n   network_map: *d\n";
const CSV: &str = "VM;Path;Network\na;[ds] a/a.vmx;x=y|*=z\na;b.vmdk;\n";

fuzz_target!(
    init: write_seeds(|| vec![
        ("toml".into(), TOML.into()),
        ("yaml".into(), YAML.into()),
        ("csv".into(), CSV.into()),
    ]),
    |input: &[u8]| {
        let Ok(content) = std::str::from_utf8(input) else { return };
        for notation in [Notation::Toml, Notation::Yaml] {
            let text = Text { name: "jobs".into(), folder: "/batch".into(), notation, content: content.into() };
            match JobFile::parse(text, &|name| Some(name.to_owned())) {
                Ok(file) => understood(&file),
                Err(fault) => shown(&fault),
            }
        }
        list(content);
    }
);

fn shown(fault: &convert_job_file::Fault) {
    let Some(place) = &fault.place else { return };
    assert!(place.line > 0 && place.column > 0);
    assert!(
        place.excerpt.lines().count() == 2 && place.excerpt.chars().all(|c| c == '\n' || !c.is_control())
    );
}

fn understood(file: &JobFile) {
    let resolved = match file.resolve() {
        Ok(resolved) => resolved,
        Err(fault) => return shown(&fault),
    };
    for job in &resolved.jobs {
        assert!(job.command().iter().any(|word| word == "--"));
        assert!(job.outputs().iter().all(|path| path.is_absolute()));
        assert!(job.id.len() <= 64 && !job.id.starts_with(['.', '-']) && !job.id.contains('/'));
    }
    let site =
        Site { mounts: vec![("c".into(), "/".into())], queue: Some("q".into()), ..Site::new("/jobs".into()) };
    for engine in [Engine::Kubernetes, Engine::Slurm, Engine::AwsBatch] {
        let _ = emit(engine, file, &resolved, &site);
    }
}

fn list(content: &str) {
    let stores = [("ds".to_owned(), "/ds".into())].into();
    let Ok((jobs, _)) = parse_list(content, "list", Path::new("/lists"), &stores) else { return };
    let plan = Plan {
        wish: Wish { target_format: Some("qcow2".into()), ..Wish::default() },
        jobs,
        ..Plan::default()
    };
    let text = Text {
        name: "plan".into(),
        folder: "/".into(),
        notation: Notation::Toml,
        content: write(&plan).expect("all of it is text"),
    };
    // What a list says may be refused, as a secret is; it is never read as something else.
    if let Ok(file) = JobFile::parse(text, &|_| None) {
        assert_eq!(file.model.job.len(), plan.jobs.len());
        for (job, planned) in file.model.job.iter().zip(&plan.jobs) {
            assert_eq!(job.source.0, planned.sources);
        }
    }
}

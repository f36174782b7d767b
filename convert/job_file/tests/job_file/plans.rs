//! Job files for what is there.

use crate::{environment, words};
use convert_job_file::{
    Datastores, Firmware, Found, JobFile, Notation, Plan, PlannedJob, Platform, Resolved, Text, Wish,
    parse_list, plan, write,
};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

/// Formats by extension, as good as any for what is looked at here; `.rbak` is a folder.
fn probe(path: &Path) -> Option<Found> {
    let format = path.extension()?.to_str()?;
    let mut uses = Vec::new();
    if format == "vmdk" {
        let extent = path.with_file_name(format!("{}-flat.vmdk", path.file_stem()?.to_str()?));
        uses.extend(extent.exists().then_some(extent));
    }
    matches!(format, "vmdk" | "vhdx" | "qcow2" | "rbak").then(|| Found { format: format.into(), uses })
}

fn back(text: &str) -> Resolved {
    let text = Text {
        name: "jobs.toml".into(),
        folder: "/elsewhere".into(),
        notation: Notation::Toml,
        content: text.into(),
    };
    let shown = text.content.clone();
    JobFile::parse(text, &environment)
        .and_then(|file| file.resolve())
        .unwrap_or_else(|e| panic!("{e}\n{shown}"))
}

fn hyperv() -> Wish {
    Wish { to: Some(Platform::HyperV), output: Some("/out".into()), target_format: None }
}

#[test]
fn folders_become_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for file in [
        "a/web.vmdk",
        "a/web_1.vmdk",
        "a/web_2.vmdk",
        "a/web-flat.vmdk",
        "a/web.vmx",
        "a/readme.txt",
        "b/web.vmdk",
        "b/db.vhdx",
        "c/night.rbak/chunk.vmdk",
        "b/db_7.vhdx.old",
    ] {
        let path = here.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    std::os::unix::fs::symlink(here, here.join("b/circle")).unwrap();
    let all = plan(&[here.to_str().unwrap().into()], hyperv(), &probe).unwrap();
    let resolved = back(&write(&all).unwrap());
    let found: Vec<_> = resolved
        .jobs
        .iter()
        .map(|job| {
            (
                job.id.clone(),
                job.sources()
                    .iter()
                    .map(|path| path.strip_prefix(here).unwrap().display().to_string())
                    .collect::<Vec<_>>()
                    .join("+"),
            )
        })
        .collect();
    assert_eq!(
        found.iter().map(|(id, sources)| (id.as_str(), sources.as_str())).collect::<Vec<_>>(),
        [
            ("a-web", "a/web.vmdk+a/web_1.vmdk+a/web_2.vmdk"),
            ("db", "b/db.vhdx"),
            ("b-web", "b/web.vmdk"),
            ("night", "c/night.rbak"),
        ]
    );
    assert_eq!(resolved.jobs[0].job.machine.0, [here.join("a/web.vmx")]);
    assert_eq!(resolved.jobs[0].output, Path::new("/out/a-web"));
    assert!(all.skipped.iter().any(|(path, why)| path.ends_with("web-flat.vmdk") && why.contains("part of")));
    // A pattern, and the same file named twice.
    let pattern = format!("{}/*/web*.vmdk", here.display());
    let some = plan(
        &[pattern.clone(), pattern],
        Wish { to: None, target_format: Some("qcow2".into()), output: None },
        &probe,
    )
    .unwrap();
    // Images are copied each for itself.
    assert_eq!(some.jobs.len(), 4);
    assert!(words(&back(&write(&some).unwrap()), 0).contains(&"--target-format=qcow2".to_owned()));
    for wrong in ["a/readme.txt", "none*", "a/[", "missing.vmdk"] {
        let error = plan(&[here.join(wrong).to_str().unwrap().into()], hyperv(), &probe).unwrap_err();
        assert!(matches!(error.kind().name(), "source-missing" | "usage"), "{wrong}: {error}");
    }
}

fn list(content: &str) -> Result<(Vec<PlannedJob>, Vec<String>), format_core::Error> {
    let stores: Datastores = [("ds 1".to_owned(), PathBuf::from("/mnt/ds1"))].into();
    parse_list(content, "vms.csv", Path::new("/lists"), &stores)
}

#[test]
fn lists_become_jobs() {
    let own = "\u{feff}ID;Source;To;Network;Wave;Priority;Comment\nweb;web.vmdk;kvm;LAN1=br0|*=br1;1;5;x\nweb;/d/web_1.vmdk;KVM;;1;5;\ndb;\"a;b.vmdk\";;;;;\n";
    let (jobs, unused) = list(own).unwrap();
    assert_eq!(unused, ["Comment"]);
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[0].sources, [Path::new("/lists/web.vmdk"), Path::new("/d/web_1.vmdk")]);
    assert_eq!(jobs[0].to, Some(Platform::Kvm));
    assert_eq!(jobs[0].networks.get("LAN1").map(String::as_str), Some("br0"));
    assert_eq!((jobs[0].wave, jobs[0].priority), (Some(1), Some(5)));
    assert_eq!(jobs[1].sources, [Path::new("/lists/a;b.vmdk")]);
    let rvtools = "VM,Powerstate,Template,Firmware,Path,Annotation\nWeb Server 01,poweredOn,False,efi,[ds 1] web/web.vmx,\"two\nlines\"\nWeb/Server 01,poweredOn,False,bios,[ds 1] x/x.vmx,\n";
    let (jobs, unused) = list(rvtools).unwrap();
    assert_eq!(unused, ["Powerstate", "Template"]);
    assert_eq!(jobs[0].sources, [Path::new("/mnt/ds1/web/web.vmdk")]);
    assert_eq!(jobs[0].machine, [Path::new("/mnt/ds1/web/web.vmx")]);
    assert_eq!(jobs[0].firmware, Some(Firmware::Uefi));
    assert_eq!(jobs[0].id, "Web-Server-01");
    assert_ne!(jobs[1].id, jobs[0].id, "two machines stay two");
    let plan = Plan { wish: hyperv(), jobs, ..Plan::default() };
    let resolved = back(&write(&plan).unwrap());
    assert_eq!(resolved.jobs[0].title, "two\nlines");
}

#[test]
fn mistakes_in_lists_have_row_and_column() {
    for (content, place, what) in [
        ("id,sorce\na,b\n", "vms.csv:1: column 1", "no column names the sources"),
        ("id,source\n", "vms.csv:2: column 1", "no machine"),
        ("", "vms.csv:1: column 1", "no column"),
        ("id,source\na\n", "vms.csv:2:", "1 columns and not 2"),
        ("id,source\na,b\nc,\n", "vms.csv:3: column 2 (\"source\")", "missing"),
        ("id,source,to\na,b,kvm2\n", "vms.csv:2: column 3", "no platform"),
        ("id,source,wave\na,b,-1\n", "vms.csv:2: column 3", "no number"),
        ("id,source,network\na,b,LAN\n", "vms.csv:2: column 3", "no SOURCE=TARGET"),
        ("id,source,firmware\na,b,coreboot\n", "vms.csv:2: column 3", "neither"),
        ("id,source,path\na,b,c\n", "vms.csv:1: column 3", "means the same"),
        ("id,source\na,[other] x.vmdk\n", "vms.csv:2: column 2", "datastore \"other\""),
        ("id,source\na,[ds 1] ../../etc/shadow\n", "vms.csv:2: column 2", "out of its datastore"),
        ("id,source,wave\na,b,1\na,c,2\n", "vms.csv:3:", "different things"),
    ] {
        let error = list(content).expect_err(content);
        assert!(
            error.to_string().starts_with(place) && error.to_string().contains(what),
            "{content}: {error}"
        );
    }
    assert!(list("id,source\na,\"b\n").is_ok(), "an open quote ends with the file");
}

fn name() -> impl Strategy<Value = String> {
    "[^/\\x00]{1,12}".prop_filter("a name", |name| !matches!(name.as_str(), "." | ".."))
}

prop_compose! {
    fn job()(
        sources in prop::collection::vec(name(), 1..4),
        title in prop::option::of("\\PC{0,10}|[\\x00-\\x1f\"'\\\\${}\u{2028}\u{202e}]{1,8}"),
        networks in prop::collection::btree_map("[^=\\x00-\\x1f ]{1,6}", "[^=\\x00-\\x1f ]{1,6}", 0..3),
        wave in prop::option::of(0u32..9),
        priority in prop::option::of(any::<i32>()),
        comments in prop::collection::vec("[\\x00-\\x1f#\\[\\]a-z\u{85}\u{2028}]{0,9}", 0..2),
    ) -> PlannedJob {
        PlannedJob {
            sources: sources.iter().map(|name| Path::new("/src").join(name)).collect(),
            title, networks, wave, priority, comments,
            format: Some("vmdk".into()),
            ..PlannedJob::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever files are called: what was planned is what is run.
    #[test]
    fn a_plan_reads_back_to_the_same_jobs(mut jobs in prop::collection::vec(job(), 1..5), skipped in name()) {
        convert_job_file::name_all(&mut jobs);
        let plan = Plan { wish: hyperv(), jobs, skipped: vec![(skipped.into(), "because".into())], comments: vec![] };
        let resolved = back(&write(&plan).unwrap());
        prop_assert_eq!(resolved.jobs.len(), plan.jobs.len());
        for job in &resolved.jobs {
            let planned = &plan.jobs[job.index];
            prop_assert_eq!(&job.id, &planned.id);
            prop_assert_eq!(&job.title, planned.title.as_ref().unwrap_or(&planned.id));
            prop_assert_eq!(job.sources(), &planned.sources[..]);
            prop_assert_eq!((job.wave, job.priority), (planned.wave.unwrap_or(0), planned.priority.unwrap_or(0)));
            let networks: std::collections::BTreeMap<_, _> = job.job.network_map.0.iter().cloned().collect();
            prop_assert_eq!(&networks, &planned.networks);
        }
    }

    #[test]
    fn no_list_makes_it_panic(content in "(id|source|,|;|\"|\n|\r|a|=|\\[|\\]|\t|1|é){0,60}") {
        let _ = list(&content);
        let _ = list(&format!("id,source,network\n{content}"));
    }
}

#[test]
fn names_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let odd = PathBuf::from(std::ffi::OsString::from_vec(b"/src/\xff.vmdk".to_vec()));
    let mut jobs = vec![PlannedJob { sources: vec![odd], ..PlannedJob::default() }];
    convert_job_file::name_all(&mut jobs);
    let error = write(&Plan { wish: hyperv(), jobs, ..Plan::default() }).unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

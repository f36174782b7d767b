//! Jobs that would get in each other's way.

use convert_job_file::{JobFile, Notation, Text};
use std::os::unix::fs::symlink;

fn resolve(folder: &std::path::Path, jobs: &[(&str, &str)]) -> Result<(), String> {
    let mut content = String::from("version = 1\n[defaults]\nto = \"kvm\"\n");
    for (at, (source, output)) in jobs.iter().enumerate() {
        content.push_str(&format!("[[job]]\nid = \"j{at}\"\nsource = \"{source}\"\noutput = \"{output}\"\n"));
    }
    let text = Text { name: "jobs.toml".into(), folder: folder.into(), notation: Notation::Toml, content };
    let file = JobFile::parse(text, &|_| None).unwrap();
    file.resolve().map(|_| ()).map_err(|fault| fault.to_string())
}

#[test]
fn the_same_output_is_met_under_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir_all(here.join("real/sub")).unwrap();
    symlink("real", here.join("link")).unwrap();
    for (a, b) in [
        ("out", "out"),
        ("out", "./out"),
        ("out", "x/../out"),
        ("Out", "oUT"),
        ("real/new", "link/new"),
        ("real/new/deep", "link/sub/../new/deep"),
        ("real", "link"),
    ] {
        let error = resolve(here, &[("a.vmdk", a), ("b.vmdk", b)]).expect_err(&format!("{a} {b}"));
        assert!(
            error.contains("output of the job \"j0\"") && error.starts_with("jobs.toml:11:10"),
            "{error}"
        );
    }
    assert_eq!(resolve(here, &[("a.vmdk", "out/a"), ("b.vmdk", "out/b")]), Ok(()));
    // `link/..` is the folder of what the link leads to.
    assert_eq!(resolve(here, &[("a.vmdk", "link/../out"), ("b.vmdk", "real/out")]), Ok(()));
}

#[test]
fn nothing_is_written_into_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    std::fs::create_dir_all(here.join("backup")).unwrap();
    symlink("backup", here.join("same")).unwrap();
    for jobs in [
        &[("backup", "backup/out")][..],
        &[("backup", "same/out")],
        &[("a.vmdk", "out/a"), ("out/a", "out/b")],
        &[("a.vmdk", "x/deep/er"), ("x", "out/b")],
    ] {
        let error = resolve(here, jobs).expect_err(&format!("{jobs:?}"));
        assert!(error.contains("or lies within it"), "{error}");
    }
    // A source in the folder of outputs is not one of them.
    assert_eq!(resolve(here, &[("out/a.vmdk", "out/a"), ("out/b.vmdk", "out/b")]), Ok(()));
}

#[test]
fn the_image_of_a_conversion_is_not_a_source() {
    let content = "version = 1\n[[job]]\nsource = \"a/x.raw\"\nid = \"x\"\noutput = \"a\"\ntarget_format = \"raw\"\nformat = \"raw\"\n";
    let text = Text {
        name: "jobs.toml".into(),
        folder: "/b".into(),
        notation: Notation::Toml,
        content: content.into(),
    };
    let error = JobFile::parse(text, &|_| None).unwrap().resolve().unwrap_err();
    assert!(error.to_string().contains("/b/a/x.raw is its own source"), "{error}");
}

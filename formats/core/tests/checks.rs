//! Checks of chains: what the check of a parent may open, and what is damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_core::{
    CheckReport, Error, ErrorKind, Extent, ExtentKind, Format, Layer, LayerContext, OpenOptions, ParentRef,
    Result, Score, Storage, check_image,
};
use std::path::Path;
use std::sync::Arc;

/// Lines `text`, `parent NAME`, `part NAME`, or a kind of error for the opening; an image of one byte without data.
static LINES: Format = Format {
    name: "lines",
    extensions: &["lines"],
    description: "images of this test",
    probe: |head, _| if head.starts_with(b"text") { Score::Magic } else { Score::No },
    open_layer: Some(open),
    check: Some(check),
    has_snapshots: true,
    ..Format::NONE
};
static FORMATS: &[&Format] = &[&LINES];

struct Lines(Option<ParentRef>);

fn lines(storage: &dyn Storage) -> Result<Vec<(String, String)>> {
    let mut bytes = vec![0; storage.size() as usize];
    storage.read_exact_at(0, &mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::corrupt("no text"))?;
    Ok(text.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect())
}

fn open(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<Box<dyn Layer>> {
    let mut parent = None;
    for (key, name) in lines(storage.as_ref())? {
        match (&*key, &*name) {
            ("parent", _) => parent = Some(ParentRef { names: vec![name], ..ParentRef::default() }),
            ("part", _) => drop(context.gate.open(&name)?),
            (_, "person") => return Err(Error::new(ErrorKind::NeedsPerson, "no key").hint("give it")),
            (_, "usage") => return Err(Error::usage("no such snapshot").hint("look at the list")),
            _ => return Err(Error::corrupt("damaged")),
        }
    }
    Ok(Box::new(Lines(parent)))
}

fn check(storage: Arc<dyn Storage>, context: &LayerContext) -> Result<CheckReport> {
    for (_, name) in lines(storage.as_ref())?.iter().filter(|(key, _)| key == "part") {
        context.gate.open(name)?;
    }
    let mut report = CheckReport::default();
    if let Some(snapshot) = &context.access.snapshot {
        report.note(format!("looked for {snapshot}"), None);
    }
    Ok(report)
}

impl Layer for Lines {
    fn format(&self) -> &'static str {
        "lines"
    }
    fn virtual_size(&self) -> u64 {
        1
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        Ok(Extent { offset, len: 1, kind: ExtentKind::Unallocated })
    }
    fn read_exact_at(&self, _: u64, buf: &mut [u8]) -> Result<()> {
        buf.fill(0);
        Ok(())
    }
    fn parent(&self) -> Option<&ParentRef> {
        self.0.as_ref()
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, format!("text\n{text}\n")).unwrap();
}

#[test]
fn the_check_of_a_parent_sees_what_the_parent_sees() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["images", "bases", "parts"] {
        std::fs::create_dir(root.path().join(folder)).unwrap();
    }
    write(&root.path().join("images/top.lines"), "parent ../bases/base.lines");
    write(&root.path().join("bases/base.lines"), "part ../parts/part");
    write(&root.path().join("parts/part"), "");
    let mut options = OpenOptions::new(FORMATS, None);
    // As people type it: not what the kernel calls it.
    options.allow_parents =
        ["bases", "parts"].map(|folder| root.path().join("images/..").join(folder)).into();
    options.access.snapshot = Some("monday".into());
    let checked = check_image(&root.path().join("images/top.lines"), &options, &|_| Ok(())).unwrap();
    let findings: Vec<_> = checked.iter().map(|image| image.report.findings.len()).collect();
    assert_eq!(findings, [1, 0], "the snapshot is the top's");
}

#[test]
fn only_damage_is_an_error_of_the_image() {
    let root = tempfile::tempdir().unwrap();
    let checked = |text: &str| {
        let path = root.path().join("top.lines");
        write(&path, text);
        check_image(&path, &OpenOptions::new(FORMATS, None), &|_| Ok(()))
    };
    let damaged = checked("open corrupt").unwrap();
    assert_eq!(damaged[0].report.errors, 1);
    assert_eq!(checked("parent missing.lines").unwrap()[0].report.errors, 1);
    // Its structure is whole, its content was not looked at.
    let locked = &checked("open person").unwrap()[0].report;
    assert!(locked.is_clean() && locked.findings[0].message.contains("no key"), "{locked:?}");
    for (text, kind) in [("open usage", ErrorKind::Usage), ("parent ../up.lines", ErrorKind::Denied)] {
        let error = checked(text).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.hint_text().is_some(), "{text}");
    }
}

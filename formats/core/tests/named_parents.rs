//! Parents that the operator names, because the image does not, or because its own name leads nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

use format_core::{
    Error, ErrorKind, Extent, ExtentKind, Format, Layer, LayerContext, OpenOptions, ParentRef, Result, Score,
    Storage, Warning, open_image,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A text `link OWN-IDENTITY PARENT-IDENTITY PARENT-NAME`, `-` for none, `+` between several own identities, as an image of one byte without data.
static LINK: Format = Format {
    name: "link",
    extensions: &["link"],
    description: "images of this test",
    probe: |head, _| if head.starts_with(b"link ") { Score::Magic } else { Score::No },
    open_layer: Some(open),
    ..Format::NONE
};
static FORMATS: &[&Format] = &[&LINK];

struct Link {
    identity: Option<String>,
    parent: Option<ParentRef>,
}

fn open(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    let mut bytes = vec![0; storage.size() as usize];
    storage.read_exact_at(0, &mut bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::corrupt("no text"))?;
    let words: Vec<_> = text.split(' ').skip(1).map(|word| (word != "-").then(|| word.to_owned())).collect();
    let [own, identity, name] = <[_; 3]>::try_from(words).map_err(|_| Error::corrupt("no three words"))?;
    let parent = (identity.is_some() || name.is_some()).then(|| ParentRef {
        names: name.into_iter().collect(),
        format: None,
        identity,
    });
    Ok(Box::new(Link { identity: own, parent }))
}

impl Layer for Link {
    fn format(&self) -> &'static str {
        "link"
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
        self.parent.as_ref()
    }
    fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }
    fn is_identified_by(&self, wanted: &str) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.split('+').any(|one| one == wanted))
    }
    fn remark_on_parent(&self, parent: &dyn Layer) -> Option<Warning> {
        (parent.identity() == Some("old")).then(|| Warning::new("link-old", "the parent is old"))
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("link {text}")).unwrap();
        }
        Self(folder)
    }

    /// Opens `top` with these parents, and tells the names of the chain.
    fn open(&self, top: &str, parents: &[&str]) -> Result<Vec<String>> {
        let path = |name: &str| self.0.path().join(name);
        let parents: Vec<PathBuf> = parents.iter().map(|name| path(name)).collect();
        let image = open_image(&path(top), &OpenOptions { parents, ..OpenOptions::new(FORMATS, None) })?;
        let names = image.chain.iter().map(|link| name_of(&link.path));
        Ok(names.chain(image.warnings.iter().map(|warning| warning.code.to_owned())).collect())
    }

    fn fails(&self, top: &str, parents: &[&str]) -> Error {
        self.open(top, parents).unwrap_err()
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_chain_without_names_is_put_together_by_identities() {
    let folder = Folder::new(&[("top.link", "c b -"), ("x/middle.link", "b a -"), ("x/base.link", "a - -")]);
    // In any order, and with others among them.
    for parents in
        [["x/base.link", "x/middle.link", "top.link"], ["top.link", "x/middle.link", "x/base.link"]]
    {
        assert_eq!(folder.open("top.link", &parents).unwrap(), ["top.link", "middle.link", "base.link"]);
    }
    let error = folder.fails("top.link", &["x/middle.link"]);
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert!(error.to_string().contains("difference to a "), "{error}");
    assert!(error.hint_text().unwrap().contains("of the 1 files"), "{error}");
    let error = folder.fails("top.link", &[]);
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert!(error.hint_text().unwrap().contains("--parent"), "{error}");
}

#[test]
fn a_name_that_leads_nowhere_is_overruled_and_a_good_one_still_works() {
    let folder = Folder::new(&[
        ("lost.link", "c a gone.link"),
        ("denied.link", "c a ../base.link"),
        ("good.link", "c a base.link"),
        ("base.link", "a - -"),
        ("other.link", "z - -"),
    ]);
    for top in ["lost.link", "denied.link", "good.link"] {
        assert_eq!(folder.open(top, &["base.link"]).unwrap(), [top, "base.link"]);
    }
    assert_eq!(folder.open("good.link", &["other.link"]).unwrap(), ["good.link", "base.link"]);
    assert_eq!(folder.fails("lost.link", &["other.link"]).kind(), ErrorKind::SourceMissing);
    assert_eq!(folder.fails("denied.link", &["other.link"]).kind(), ErrorKind::Denied);
}

#[test]
fn a_child_is_not_its_own_parent_whatever_its_identity() {
    let folder = Folder::new(&[("top.link", "a a -"), ("base.link", "a - -")]);
    let parents = ["top.link", "base.link"];
    assert_eq!(folder.open("top.link", &parents).unwrap(), ["top.link", "base.link"]);
    assert_eq!(folder.fails("top.link", &["top.link"]).kind(), ErrorKind::SourceMissing);
}

#[test]
fn what_the_operator_names_has_to_open() {
    let folder = Folder::new(&[("top.link", "b a -"), ("base.link", "a - -"), ("bad.link", "only")]);
    for (name, kind) in [("none.link", ErrorKind::SourceMissing), ("bad.link", ErrorKind::Corrupt)] {
        let error = folder.fails("top.link", &[name, "base.link"]);
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("named as a parent"), "{error}");
    }
}

#[test]
fn without_an_identity_no_file_is_taken_on_trust() {
    let folder = Folder::new(&[("top.link", "b - gone.link"), ("base.link", "a - -")]);
    assert_eq!(folder.fails("top.link", &["base.link"]).kind(), ErrorKind::SourceMissing);
}

#[test]
fn a_child_may_remark_on_its_parent() {
    let folder = Folder::new(&[("top.link", "b old base.link"), ("base.link", "old - -")]);
    assert_eq!(folder.open("top.link", &[]).unwrap(), ["top.link", "base.link", "link-old"]);
}

#[test]
fn an_image_may_have_several_identities() {
    let folder = Folder::new(&[
        ("one.link", "c a -"),
        ("two.link", "c b -"),
        ("good.link", "c b base.link"),
        ("bad.link", "c a+b base.link"),
        ("base.link", "a+b - -"),
    ]);
    for top in ["one.link", "two.link"] {
        assert_eq!(folder.open(top, &["base.link"]).unwrap(), [top, "base.link"]);
    }
    assert_eq!(folder.open("good.link", &[]).unwrap(), ["good.link", "base.link"]);
    let error = folder.fails("bad.link", &[]);
    assert!(
        error.kind() == ErrorKind::Corrupt && error.to_string().contains("wants the parent a+b"),
        "{error}"
    );
}

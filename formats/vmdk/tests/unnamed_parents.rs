//! Children that say which disk their parent is but not which file: VirtualBox's, and those that lost their hint.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod builder;

use builder::{Grain, Plan, noise};
use format_core::{ErrorKind, Format, OpenOptions, OpenedImage, Result, open_image};
use format_vmdk::FORMAT;
use std::path::PathBuf;
use tempfile::TempDir;

static FORMATS: &[&Format] = &[&FORMAT];
const BASE: &str = "1afee561-b72e-4f5d-9859-f969b055d4b7";
const OTHER: &str = "2afee561-b72e-4f5d-9859-f969b055d4b7";
const STATE: &str = "3afee561-b72e-4f5d-9859-f969b055d4b7";

/// The sample disk with another seed; `Absent` where it is a difference.
fn disk(cid: u32, parent_cid: u32, more: &str, seed: u64) -> Vec<u8> {
    let text = format!(
        "# Disk DescriptorFile\nversion=1\nCID={cid:08x}\nparentCID={parent_cid:08x}\n\
         createType=\"monolithicSparse\"\nRW 44 SPARSE \"x\"\n{more}"
    );
    let grain = |number| match (seed, number) {
        (0, _) | (_, 2) => Grain::Data(noise(100 + number, 4096)),
        (_, 3) => Grain::Zero,
        _ => Grain::Absent,
    };
    let grains = (0..6).map(grain).collect();
    Plan { text, grains, ..Plan::sample(0) }.build().bytes
}

fn base(cid: u32, more: &str) -> Vec<u8> {
    disk(cid, u32::MAX, more, 0)
}

fn child(parent_cid: u32, more: &str) -> Vec<u8> {
    disk(0xc, parent_cid, more, 1)
}

fn uuid(key: &str, value: &str) -> String {
    format!("ddb.uuid.{key}=\"{value}\"\n")
}

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self(folder)
    }

    fn open(&self, top: &str, parents: &[&str]) -> Result<OpenedImage> {
        let path = |name: &&str| self.0.path().join(name);
        let parents: Vec<PathBuf> = parents.iter().map(path).collect();
        open_image(&path(&top), &OpenOptions { parents, ..OpenOptions::new(FORMATS, None) })
    }

    /// What the chain is made of and what is remarked, after a look at the content.
    fn opened(&self, top: &str, parents: &[&str]) -> (usize, Vec<&'static str>) {
        let image = self.open(top, parents).unwrap();
        let mut found = vec![0; 44 * 512];
        image.disk.read_exact_at(0, &mut found).unwrap();
        let base: Vec<u8> = (0..6).flat_map(|number| noise(100 + number, 4096)).take(44 * 512).collect();
        let zeros = 3 * 4096..4 * 4096;
        assert!(found[..zeros.start] == base[..zeros.start] && found[zeros.end..] == base[zeros.end..]);
        assert!(found[zeros].iter().all(|byte| *byte == 0));
        (image.chain.len(), image.warnings.iter().map(|warning| warning.code).collect())
    }

    fn fails(&self, top: &str, parents: &[&str]) -> format_core::Error {
        self.open(top, parents).err().expect("is refused")
    }
}

#[test]
fn virtualbox_names_the_parent_by_its_uuid() {
    let braces = format!("{{{}}}", BASE.to_uppercase());
    for spelled in [BASE, &braces] {
        let folder = Folder::new(&[
            ("base.vmdk", &base(5, &uuid("image", spelled))),
            ("other.vmdk", &base(5, &uuid("image", OTHER))),
            ("none.vmdk", &base(5, "")),
            ("middle.vmdk", &disk(6, u32::MAX, &(uuid("image", OTHER) + &uuid("parent", BASE)), 1)),
            ("child.vmdk", &child(u32::MAX, &uuid("parent", BASE))),
            ("top.vmdk", &child(u32::MAX, &uuid("parent", OTHER))),
        ]);
        assert_eq!(folder.opened("child.vmdk", &["none.vmdk", "other.vmdk", "base.vmdk"]), (2, vec![]));
        assert_eq!(folder.opened("top.vmdk", &["base.vmdk", "middle.vmdk"]), (3, vec![]));
        let error = folder.fails("child.vmdk", &[]);
        assert_eq!(error.kind(), ErrorKind::SourceMissing, "{error}");
        assert!(error.to_string().contains(BASE), "{error}");
        assert!(error.hint_text().unwrap().contains("--parent FILE"), "{error}");
        let error = folder.fails("child.vmdk", &["other.vmdk", "none.vmdk"]);
        assert_eq!(error.kind(), ErrorKind::SourceMissing, "{error}");
    }
}

#[test]
fn a_content_id_without_a_name_is_enough() {
    let folder = Folder::new(&[
        ("base.vmdk", &base(0xa, "")),
        ("other.vmdk", &base(0xb, &uuid("image", BASE))),
        ("child.vmdk", &child(0xa, "")),
        ("both.vmdk", &child(0xa, &uuid("parent", BASE))),
    ]);
    assert_eq!(folder.opened("child.vmdk", &["other.vmdk", "base.vmdk"]), (2, vec![]));
    let error = folder.fails("child.vmdk", &[]);
    assert_eq!(error.kind(), ErrorKind::SourceMissing, "{error}");
    assert!(error.to_string().contains("difference to 0000000a"), "{error}");
    assert_eq!(folder.fails("child.vmdk", &["other.vmdk"]).kind(), ErrorKind::SourceMissing);
    // Of the two, the UUID decides.
    assert_eq!(folder.fails("both.vmdk", &["base.vmdk"]).kind(), ErrorKind::SourceMissing);
    assert_eq!(folder.opened("both.vmdk", &["base.vmdk", "other.vmdk"]).0, 2);
}

#[test]
fn a_parent_that_may_be_another_is_remarked_on() {
    let hinted = |more: &str| child(5, &format!("parentFileNameHint=base.vmdk\n{more}"));
    let state = uuid("image", BASE) + &uuid("modification", STATE);
    let of = |parent, modification| uuid("parent", parent) + &uuid("parentmodification", modification);
    for (text, warnings) in [
        (of(BASE, STATE), vec![]),
        (of(OTHER, STATE), vec!["vmdk-parent-uuid"]),
        (of(BASE, OTHER), vec!["vmdk-parent-modified"]),
        (uuid("parentmodification", "nothing"), vec![]),
    ] {
        let folder = Folder::new(&[("base.vmdk", &base(5, &state)), ("child.vmdk", &hinted(&text))]);
        assert_eq!(folder.opened("child.vmdk", &[]), (2, warnings), "{text}");
    }
}

//! Whole folders: storages, snapshots, plain images, and single files of a folder.

use crate::builder::{Descriptor, FORMATS, Folder, NIL, Plan, SECTOR, content, guid, open_path};
use format_core::{ErrorKind, LayerContext, OpenOptions, open_image};
use format_parallels::FORMAT;

/// A plain base, a snapshot, the current state over it, and a branch that was left.
struct Tree {
    folder: Folder,
    base: Vec<u8>,
    middle: Vec<u8>,
    top: Vec<u8>,
    branch: Vec<u8>,
}

fn plan(map: &[usize], fill: u8) -> Plan {
    Plan { map: map.to_vec(), fill, ..Plan::sample(true) }
}

fn tree(top_guid: Option<String>) -> Tree {
    let base: Vec<u8> = (0..28 * SECTOR).map(|at| (at / 3) as u8).collect();
    let middle_plan = plan(&[0, 1, 0, 2, 0, 0, 0, 0, 0, 3], 2);
    let top_plan = plan(&[0, 0, 1, 2, 0, 0, 3, 0, 0, 0], 4);
    let branch_plan = plan(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0], 8);
    let over = |plan: &Plan, below: &[u8]| {
        let mut content = below.to_vec();
        plan.over(&mut content);
        content
    };
    let middle = over(&middle_plan, &base);
    let image = |number: usize, kind| (guid(number), kind, format!("disk.{}.hds", guid(number)));
    let descriptor = Descriptor {
        sectors: 28,
        storages: vec![(
            0,
            28,
            3,
            vec![image(1, "Plain"), image(2, "Compressed"), image(3, "Compressed"), image(0, "Compressed")],
        )],
        shots: vec![(guid(1), NIL.into()), (guid(2), guid(1)), (guid(3), guid(2)), (guid(0), guid(2))],
        top: top_guid,
        ..Descriptor::default()
    };
    let files = [base.clone(), middle_plan.build().bytes, branch_plan.build().bytes, top_plan.build().bytes];
    let names = [1, 2, 3, 0].map(|number| format!("disk.{}.hds", guid(number)));
    let files: Vec<_> =
        names.iter().zip(&files).map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let folder = Folder::new(&descriptor.text(), &files);
    Tree { folder, top: over(&top_plan, &middle), branch: over(&branch_plan, &middle), base, middle }
}

#[test]
fn the_current_state_and_every_snapshot_are_read() {
    let tree = tree(None);
    assert!(tree.folder.content(None).unwrap() == tree.top);
    for (number, expected) in [(1, &tree.base), (2, &tree.middle), (3, &tree.branch), (0, &tree.top)] {
        assert!(&tree.folder.content(Some(&guid(number))).unwrap() == expected, "{number}");
    }
    let bare = guid(2).trim_matches(['{', '}']).to_uppercase();
    assert!(tree.folder.content(Some(&bare)).unwrap() == tree.middle);
    let image = tree.folder.open(None).unwrap();
    let details = image.disk.layers()[0].details();
    assert_eq!(details["snapshots"].as_array().unwrap().len(), 3);
    assert_eq!(details["snapshots"][1]["parent-id"], guid(1));
    // The files of the branch are not touched.
    let names: Vec<_> =
        image.chain[0].parts.iter().map(|part| part.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names.len(), 3);
    assert!(!names.iter().any(|name| name.contains("00000003")), "{names:?}");
}

#[test]
fn the_top_is_the_one_that_the_descriptor_names() {
    let tree = tree(Some(guid(3)));
    assert!(tree.folder.content(None).unwrap() == tree.branch);
}

#[test]
fn the_descriptor_itself_may_be_named() {
    let tree = tree(None);
    let image = open_path(&tree.folder.path().join("DiskDescriptor.xml"), None).unwrap();
    assert!(content(&image).unwrap() == tree.top);
}

/// The header of a snapshot's file says nothing of what is below it.
#[test]
fn a_single_file_is_read_with_what_is_below_it() {
    let tree = tree(None);
    let file = |number| tree.folder.path().join(format!("disk.{}.hds", guid(number)));
    for (number, expected, warnings) in [
        (0, &tree.top, &[][..]),
        (2, &tree.middle, &["parallels-not-current"]),
        (3, &tree.branch, &["parallels-not-current"]),
    ] {
        let image = open_path(&file(number), None).unwrap();
        assert!(&content(&image).unwrap() == expected, "{number}");
        let codes: Vec<_> = image.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(codes, warnings, "{number}");
    }
    // The plain one has no magic: its name alone is not enough to believe it, its format has to be named.
    let named = open_image(&file(1), &OpenOptions::new(FORMATS, Some(&FORMAT))).unwrap();
    assert!(content(&named).unwrap() == tree.base);
}

#[test]
fn without_its_folder_a_file_is_taken_alone() {
    let tree = tree(None);
    let (from, root) = (tree.folder.path(), tempfile::tempdir().unwrap());
    let name = format!("disk.{}.hds", guid(0));
    let alone = root.path().join("alone.hds");
    std::fs::copy(from.join(&name), &alone).unwrap();
    assert!(open_path(&alone, None).unwrap().warnings.is_empty());
    assert_eq!(open_path(&alone, Some(&guid(0))).err().unwrap().kind(), ErrorKind::Usage);
    // Its name does not confirm the format, so the folder may not be looked at.
    let unsure = from.join("disk.bin");
    std::fs::copy(from.join(&name), &unsure).unwrap();
    let image = open_path(&unsure, None).unwrap();
    assert_eq!(image.warnings[0].code, "parallels-alone");
    // A descriptor that cannot be read leaves it open what is below.
    std::fs::write(from.join("DiskDescriptor.xml"), "<Parallels_disk_image>").unwrap();
    let error = open_path(&from.join(&name), None).err().unwrap();
    assert!(error.to_string().contains("lies beside the image"), "{error}");
}

#[test]
fn storages_are_put_one_after_the_other() {
    let plans = [
        Plan { sectors: 9, map: vec![2, 0, 1], ..Plan::sample(true) },
        Plan { sectors: 12, map: vec![0, 1, 0, 0], fill: 2, ..Plan::sample(true) },
        Plan { sectors: 7, map: vec![3, 2, 1], fill: 4, ..Plan::sample(true) },
    ];
    let (mut start, mut expected, mut storages, mut files) = (0, Vec::new(), Vec::new(), Vec::new());
    for (number, plan) in plans.iter().enumerate() {
        let (image, name) = (plan.build(), format!("{number}.hds"));
        expected.extend(image.content);
        files.push((name.clone(), image.bytes));
        storages.push((start, start + plan.sectors, 3, vec![(guid(0), "Compressed", name)]));
        start += plan.sectors;
    }
    storages.swap(0, 2);
    let shots = vec![(guid(0), NIL.into())];
    let descriptor = Descriptor { sectors: start, storages, shots, ..Descriptor::default() };
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let folder = Folder::new(&descriptor.text(), &files);
    assert!(folder.content(None).unwrap() == expected);
    let image = folder.open(None).unwrap();
    let mut end = 0;
    for extent in image.disk.extents(0, u64::MAX) {
        end = extent.unwrap().end();
    }
    assert_eq!(end, 28 * 512);
    assert_eq!(image.disk.layers()[0].host_range(9 * 512 + 3 * 512).unwrap().len, 3 * 512);
    // One of them is not the disk.
    let error = open_path(&folder.path().join("1.hds"), None).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint_text().unwrap().contains("folder"), "{error}");
}

#[test]
fn a_base_that_is_shorter_than_the_grown_disk_ends_in_zeros() {
    let small = Plan { sectors: 20, map: vec![1, 2, 3, 4, 5, 6, 7], ..Plan::sample(true) };
    let top = plan(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 2], 4);
    let image = |number| (guid(number), "Compressed", format!("{number}.hds"));
    let descriptor = Descriptor {
        sectors: 28,
        storages: vec![(0, 28, 3, vec![image(0), image(1)])],
        shots: vec![(guid(1), NIL.into()), (guid(0), guid(1))],
        ..Descriptor::default()
    };
    let folder =
        Folder::new(&descriptor.text(), &[("0.hds", &top.build().bytes), ("1.hds", &small.build().bytes)]);
    let mut expected = small.build().content;
    expected.resize(28 * SECTOR, 0);
    top.over(&mut expected);
    assert!(folder.content(None).unwrap() == expected);
}

#[test]
fn a_folder_is_checked_file_by_file() {
    let tree = tree(None);
    let check = || {
        let gate =
            std::sync::Arc::new(format_core::FolderGate::new(tree.folder.path(), std::sync::Arc::new([])));
        let storage = format_core::FileStorage::open(&tree.folder.path().join("DiskDescriptor.xml")).unwrap();
        FORMAT.check.unwrap()(std::sync::Arc::new(storage), &LayerContext::new(gate)).unwrap()
    };
    let report = check();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.total_chunks, report.allocated_chunks), (30, 8));
    let mut broken = plan(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 0], 8).build();
    broken.put(crate::builder::at::BAT, 2);
    std::fs::write(tree.folder.path().join(format!("disk.{}.hds", guid(3))), &broken.bytes).unwrap();
    let report = check();
    assert_eq!((report.errors, report.leaks), (1, 1), "{report:?}");
    assert!(report.findings[0].message.contains("00000003"), "{report:?}");
}

fn check_file(folder: &Folder, name: &str) -> format_core::Result<format_core::CheckReport> {
    let gate = std::sync::Arc::new(format_core::FolderGate::new(folder.path(), std::sync::Arc::new([])));
    let storage = format_core::FileStorage::open(&folder.path().join(name)).unwrap();
    let context = LayerContext { name: Some(name.into()), ..LayerContext::new(gate) };
    FORMAT.check.unwrap()(std::sync::Arc::new(storage), &context)
}

#[test]
fn a_plain_image_is_known_by_the_descriptor_beside_it() {
    let descriptor = Descriptor {
        sectors: 8,
        storages: vec![(0, 8, 8, vec![(guid(0), "Plain", "0.hds".into())])],
        ..Descriptor::default()
    };
    let bytes = [7; 8 * SECTOR];
    let folder = Folder::new(&descriptor.text(), &[("0.hds", &bytes), ("other.hds", &bytes)]);
    assert!(check_file(&folder, "0.hds").unwrap().is_clean());
    assert_eq!(check_file(&folder, "other.hds").unwrap_err().kind(), ErrorKind::Corrupt);
    let folder = Folder::new(&descriptor.text(), &[("0.hds", &bytes[1..])]);
    for name in ["0.hds", "DiskDescriptor.xml"] {
        let report = check_file(&folder, name).unwrap();
        assert_eq!(report.errors, 1, "{name}: {report:?}");
    }
}

#[test]
fn a_plain_base_that_is_shorter_than_the_disk_is_remarked_on() {
    let tree = tree(None);
    assert!(tree.folder.open(None).unwrap().warnings.is_empty());
    let path = tree.folder.path().join(format!("disk.{}.hds", guid(1)));
    std::fs::write(path, &tree.base[..27 * SECTOR]).unwrap();
    let warnings = tree.folder.open(None).unwrap().warnings;
    assert_eq!(warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), ["parallels-short-base"]);
}

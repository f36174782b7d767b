//! Descriptors with one thing broken.

use crate::builder::{Descriptor, Folder, NIL, Plan, guid};
use format_core::ErrorKind::{self, Corrupt, Limit, NeedsPerson, SourceMissing, Unsupported, Usage};

fn good() -> Descriptor {
    let image = |number| (guid(number), "Compressed", format!("{number}.hds"));
    Descriptor {
        sectors: 28,
        storages: vec![(0, 28, 3, vec![image(0), image(1)])],
        shots: vec![(guid(1), NIL.into()), (guid(0), guid(1))],
        ..Descriptor::default()
    }
}

fn open(text: &str) -> Result<(), (ErrorKind, String)> {
    let image = Plan::sample(true).build();
    let folder = Folder::new(text, &[("0.hds", &image.bytes), ("1.hds", &image.bytes)]);
    folder.open(None).map(|_| ()).map_err(|e| (e.kind(), e.to_string()))
}

#[test]
fn each_broken_element_is_refused_with_its_reason() {
    let text = good().text();
    open(&text).unwrap();
    let (g0, g1) = (guid(0), guid(1));
    let shot = |guid: &str, parent: &str| {
        format!("<Shot><GUID>{guid}</GUID><ParentGUID>{parent}</ParentGUID></Shot>")
    };
    let (root, top) = (shot(&g1, NIL), shot(&g0, &g1));
    let other = guid(9);
    for (old, new, kind, reason) in [
        ("</Snapshots>", "", Corrupt, "the descriptor is no XML"),
        (
            "<!-- a disk -->",
            "<!DOCTYPE Parallels_disk_image [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>",
            Corrupt,
            "",
        ),
        ("Version=\"1.0\"", "Version=\"2.0\"", Unsupported, "version is \"2.0\""),
        ("<Disk_size>28</Disk_size>", "", Corrupt, "no Disk_size in Disk_Parameters"),
        ("<Disk_size>28<", "<Disk_size>-1<", Corrupt, "Disk_size is \"-1\", which is no number"),
        ("<Disk_size>28<", "<Disk_size>29<", Corrupt, "end at sector 0x1c, the disk has 0x1d"),
        ("<Disk_size>28<", "<Disk_size>18014398509481984<", Limit, "the disk has 0x40000000000000 sectors"),
        ("</Disk_size>", "</Disk_size><Padding>1</Padding>", Unsupported, "a padding of 1"),
        (
            "</Disk_size>",
            "</Disk_size><LogicSectorSize>4096</LogicSectorSize>",
            Unsupported,
            "have 4096 bytes",
        ),
        (
            "</Disk_size>",
            "</Disk_size><Encryption><Engine>{11111111-0000-4000-8000-000000000000}</Engine></Encryption>",
            NeedsPerson,
            "encrypted by the engine 11111111",
        ),
        ("<Start>0<", "<Start>1<", Corrupt, "goes from sector 0x1 to 0x1c, where 0x0 was expected"),
        ("<End>28<", "<End>0<", Corrupt, "goes from sector 0x0 to 0x0"),
        ("<End>28<", "<End>27<", Corrupt, "end at sector 0x1b"),
        ("<Blocksize>3</Blocksize>", "", Corrupt, "no Blocksize in Storage"),
        (" Compressed ", "Encrypted", Unsupported, "the type \"Encrypted\""),
        (" Compressed ", "Plain", Corrupt, "is plain and lies over another"),
        ("<File>0.hds<", "<File>2.hds<", SourceMissing, "2.hds"),
        ("<File>0.hds<", "<File>../0.hds<", ErrorKind::Denied, "outside its own folder"),
        ("<File>0.hds<", "<File>/etc/passwd<", ErrorKind::Denied, "outside its own folder"),
        (&format!("<GUID>{g0}"), "<GUID>none", Corrupt, "GUID is \"none\", which is no GUID"),
        (&format!("<GUID>{g1}"), &format!("<GUID>{other}"), Corrupt, "has no image of the snapshot 00000001"),
        (&format!("<GUID>{g1}"), &format!("<GUID>{g0}"), Corrupt, "has two images of the snapshot 5fbaabe3"),
        ("<File>1.hds<", "<File>0.hds<", Corrupt, "\"0.hds\" is the file of two images"),
        (&root, &format!("{root}{root}"), Corrupt, "is described twice"),
        (&root, "", Corrupt, "the snapshot 00000001-0000-4000-8000-000000000000 is not described"),
        (&root, &shot(&g1, &g0), Corrupt, "is its own ancestor"),
        (
            &top,
            &format!("{}{}", shot(&guid(2), &g1), shot(&guid(3), &g1)),
            NeedsPerson,
            "2 of them have no child",
        ),
        (&format!("{root}{top}"), "", Corrupt, "is not described"),
        ("<Snapshots>", &format!("<Snapshots><TopGUID>{other}</TopGUID>"), Corrupt, "00000009-0000"),
    ] {
        assert!(text.contains(old), "{old}");
        let (found, message) = open(&text.replacen(old, new, 1)).expect_err(new);
        assert_eq!(found, kind, "{new}: {message}");
        assert!(message.contains(reason), "{new}: {message}");
    }
}

#[test]
fn the_top_image_holds_the_whole_storage() {
    let mut short = good();
    (short.sectors, short.storages[0].1) = (31, 31);
    let (kind, message) = open(&short.text()).unwrap_err();
    assert_eq!(kind, Corrupt);
    assert!(message.contains("\"0.hds\" holds 0x3800 bytes of the 0x3e00"), "{message}");
}

#[test]
fn too_much_of_anything_is_refused() {
    let mut long = good();
    long.shots = (2..400).map(|number| (guid(number), guid(number + 1))).collect();
    long.shots.push((guid(400), NIL.into()));
    long.top = Some(guid(2));
    let (kind, message) = open(&long.text()).unwrap_err();
    assert_eq!(kind, Corrupt);
    assert!(message.contains("more than 256"), "{message}");
    let mut many = good();
    let image = |storage, number| (guid(number), "Compressed", format!("{storage}-{number}.hds"));
    let images = |storage| vec![image(storage, 0), image(storage, 1)];
    many.storages = (0..300).map(|number| (number * 3, number * 3 + 3, 3, images(number))).collect();
    many.sectors = 900;
    assert_eq!(open(&many.text()).unwrap_err().0, Limit);
    let huge = good().text() + &" ".repeat(1 << 20);
    let (kind, message) = open(&huge).unwrap_err();
    assert_eq!(kind, Limit);
    assert!(message.contains("the descriptor has 0x10"), "{message}");
    // Deep nesting ends soon, and without a crash.
    let deep = good().text().replace("<Snapshots>", &format!("{}<Snapshots>", "<a>".repeat(300_000)));
    assert_eq!(open(&deep).unwrap_err().0, Corrupt);
}

#[test]
fn a_snapshot_that_does_not_exist_is_the_users_mistake() {
    let image = Plan::sample(true).build();
    let folder = Folder::new(&good().text(), &[("0.hds", &image.bytes), ("1.hds", &image.bytes)]);
    for wanted in [guid(7), "yesterday".into(), String::new()] {
        assert_eq!(folder.open(Some(&wanted)).err().unwrap().kind(), Usage, "{wanted}");
    }
}

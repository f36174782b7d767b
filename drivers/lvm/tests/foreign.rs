//! Physical volumes that other people made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod tools;

use tools::{foreign, group_of};

#[test]
fn volumes_of_other_projects_are_recognised() {
    let Some(images) = foreign(&[
        "dfvfs/lvm.raw.gz",
        "dissect.volume/lvm/lvm-mirror-1.bin.gz",
        "dissect.volume/lvm/lvm-mirror-2.bin.gz",
        "dissect.volume/lvm/lvm-thin.bin.gz",
    ]) else {
        return;
    };
    let group = group_of(&images[..1]);
    assert_eq!((group.volumes.len(), group.obstacle), (2, None));
    // ext2's magic number lies at 0x438 of the first; the second is empty.
    let mut magic = [0; 2];
    group.volumes[0].content.as_ref().unwrap().read_exact_at(0x438, &mut magic).unwrap();
    assert_eq!(magic, [0x53, 0xef]);
    assert!(group.volumes[1].content.is_ok());
    let group = group_of(&images[1..3]);
    assert_eq!(
        (group.obstacle.as_ref(), group.volumes.len(), group.volumes[0].layout.as_str()),
        (None, 1, "mirror")
    );
    assert!(group.volumes[0].content.as_ref().err().unwrap().contains("lvconvert -m 0"));
    let group = group_of(&images[3..]);
    let layouts: Vec<_> = group.volumes.iter().map(|volume| volume.layout.as_str()).collect();
    assert!(layouts.contains(&"thin") && layouts.contains(&"thin-pool"), "{layouts:?}");
    assert!(group.volumes.iter().all(|volume| volume.content.is_err()));
}

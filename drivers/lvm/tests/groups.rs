//! Groups that LVM's tools made: where volumes lie is what `lvs` says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod tools;

use driver_lvm::{LogicalVolume, assemble, probe};
use tools::{Disks, deal, group_of, members, pattern, set_text, size_of, text_of};

fn read(volume: &LogicalVolume) -> Vec<u8> {
    let content = volume.content.as_ref().unwrap_or_else(|why| panic!("{}: {why}", volume.name));
    let mut bytes = vec![0; content.size() as usize];
    content.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn volume<'a>(group: &'a driver_lvm::Group, name: &str) -> &'a LogicalVolume {
    group.volumes.iter().find(|volume| volume.name == name).unwrap()
}

/// Three disks, one without metadata and one with two copies and its label elsewhere; linear and striped volumes with
/// several segments.
fn several() -> Option<Disks> {
    let disks = Disks::blank(3, 24)?;
    disks.lvm("pvcreate @0");
    disks.lvm("pvcreate --pvmetadatacopies 2 --labelsector 3 --bootloaderareasize 512k @1");
    disks.lvm("pvcreate --pvmetadatacopies 0 @2");
    disks.lvm("vgcreate -s 256k vg-0 @0 @1 @2");
    disks.lvm("lvcreate -an -Zn -Wn -l 10 -n root vg-0 @0");
    disks.lvm("lvcreate -an -Zn -Wn -l 7 -n gone vg-0 @0");
    disks.lvm("lvcreate -an -Zn -Wn -i 2 -I 64k -l 8 -n str-ipe vg-0 @0 @1");
    disks.lvm("lvremove -f vg-0/gone");
    disks.lvm("lvextend -l +30 vg-0/root @2 @0");
    disks.lvm("lvextend -i 3 -I 16k -l +9 vg-0/str-ipe");
    disks.lvm("lvcreate -an -Zn -Wn -i 3 -I 4k -l 12 -n a.b_c+d vg-0");
    Some(disks)
}

#[test]
fn volumes_are_read_and_written_where_lvm_says() {
    let Some(disks) = several() else { return };
    let (map, mut images) = (disks.map(), disks.contents());
    assert!(map.len() >= 5 && map.iter().any(|run| run.stripes.len() == 3), "{map:?}");
    let names = ["root", "str-ipe", "a.b_c+d"];
    let mut contents = Vec::new();
    for (seed, name) in (1..).zip(names) {
        let content = pattern(size_of(&map, name), seed);
        deal(&mut images, &map, name, &content);
        contents.push(content);
    }
    let (devices, found) = members(&images);
    let (groups, strays) = assemble(&found);
    assert!(strays.is_empty());
    let group = &groups[0];
    assert_eq!((group.name.as_str(), group.obstacle.as_ref(), group.parts.len()), ("vg-0", None, 3));
    assert!(group.warnings.is_empty(), "{:?}", group.warnings);
    let uuid = disks.lvm("vgs --noheadings -o vg_uuid,vg_seqno");
    assert_eq!(uuid.split_whitespace().collect::<Vec<_>>(), [group.uuid.as_str(), &group.seqno.to_string()]);
    for (name, content) in names.iter().zip(&mut contents) {
        let found = volume(group, name);
        assert!(read(found) == *content, "{name}");
        assert_eq!(found.layout, if *name == "root" { "linear" } else { "striped" });
        let uuid = disks.lvm(&format!("lvs --noheadings -o lv_uuid vg-0/{name}"));
        assert_eq!(uuid.trim(), found.uuid);
        for at in [0, 1000, content.len() / 2 - 70_000, content.len() - 300_000] {
            let bytes = pattern(300_000, at as u64);
            found.content.as_ref().unwrap().write_all_at(at as u64, &bytes).unwrap();
            content[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        assert!(read(found) == *content, "{name}");
        let end = content.len() as u64;
        assert!(found.content.as_ref().unwrap().write_all_at(end - 1, &[0; 2]).is_err());
        assert!(found.content.as_ref().unwrap().read_exact_at(u64::MAX, &mut [0]).is_err());
    }
    names.iter().zip(&contents).for_each(|(name, content)| deal(&mut images, &map, name, content));
    for (device, image) in devices.iter().zip(&images) {
        assert!(device.bytes() == *image, "nothing but the volumes changed");
    }
}

#[test]
fn the_text_is_found_after_the_ring_went_round() {
    let Some(disks) = Disks::blank(1, 8) else { return };
    disks.lvm("pvcreate --dataalignment 64k --metadatasize 32k @0");
    disks.lvm("vgcreate -s 256k vg @0");
    disks.lvm("lvcreate -an -Zn -Wn -l 3 -n lv vg");
    let mut wrapped = false;
    for round in 0..24 {
        disks.lvm(&format!("lvchange --addtag a_tag_with_quite_a_long_name_so_that_the_text_grows_and_the_ring_goes_round_number_{round} vg/lv"));
        let image = &disks.contents()[0];
        let word = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
        wrapped |= word(4096 + 40) + word(4096 + 48) > word(4096 + 32);
        let group = group_of(std::slice::from_ref(image));
        assert_eq!((group.seqno, group.obstacle), (3 + round, None));
    }
    assert!(wrapped, "no text went round the end of its area");
}

#[test]
fn a_group_without_one_of_its_disks_is_not_used() {
    let Some(disks) = several() else { return };
    let images = disks.contents();
    for missing in 0..3 {
        let mut left = images.clone();
        left.remove(missing);
        let group = group_of(&left);
        assert!(group.obstacle.as_ref().unwrap().contains("on none of the disks"), "{missing}");
        assert!(group.volumes.iter().all(|volume| volume.content.is_err()));
        assert_eq!(group.parts.iter().filter(|part| part.member.is_none()).count(), 1);
    }
    // Only the disk without metadata: its group is not known.
    let (groups, strays) = assemble(&members(&images[2..]).1);
    assert!(groups.is_empty() && strays[0].1.contains("another disk"), "{strays:?}");
    // A disk that is there twice.
    let group = group_of(&[images[0].clone(), images[1].clone(), images[2].clone(), images[2].clone()]);
    assert!(group.obstacle.unwrap().contains("2 times"));
    // A disk that was cut.
    let mut cut = images.clone();
    cut[0].truncate(20 << 20);
    assert!(group_of(&cut).obstacle.unwrap().contains("smaller than it was"));
}

#[test]
fn the_newest_text_counts() {
    let Some(disks) = Disks::blank(2, 8) else { return };
    disks.lvm("pvcreate @0 @1");
    disks.lvm("vgcreate -s 256k vg @0 @1");
    disks.lvm("lvcreate -an -Zn -Wn -l 3 -n old vg @0");
    let before = disks.contents();
    disks.lvm("lvrename vg old new");
    let after = disks.contents();
    let group = group_of(&[before[0].clone(), after[1].clone()]);
    assert_eq!((group.volumes[0].name.as_str(), group.obstacle.as_ref()), ("new", None));
    assert!(group.warnings[0].contains("older metadata"), "{:?}", group.warnings);
    // The disk that was taken out, and does not know.
    disks.lvm("vgreduce vg @1");
    let reduced = disks.contents();
    let (groups, strays) = assemble(&members(&[reduced[0].clone(), after[1].clone()]).1);
    assert_eq!((groups.len(), groups[0].parts.len(), groups[0].obstacle.as_ref()), (1, 1, None));
    assert!(strays[0].1.contains("taken out"), "{strays:?}");
    // Two histories with the same number.
    let mut other = after[0].clone();
    let text = text_of(&other).replace("\nnew {", "\nnow {");
    set_text(&mut other, &text);
    let group = group_of(&[other, after[1].clone()]);
    assert!(group.obstacle.unwrap().contains("same seqno"));
    // A damaged text: the other disk's is taken.
    let mut damaged = after.clone();
    damaged[0][4096..8192].fill(0);
    let group = group_of(&damaged);
    assert!(group.obstacle.is_none() && group.warnings[0].contains("CRC"), "{:?}", group.warnings);
    // A free physical volume is nothing to talk about.
    assert!(disks.try_lvm("pvcreate -ff -y @1").status.success());
    let (groups, strays) = assemble(&members(&disks.contents()).1);
    assert!(groups.len() == 1 && strays.is_empty(), "{strays:?}");
}

#[test]
fn groups_that_are_not_for_us_say_why() {
    let Some(disks) = Disks::blank(1, 8) else { return };
    disks.lvm("pvcreate @0");
    disks.lvm("vgcreate -s 256k vg @0");
    disks.lvm("lvcreate -an -Zn -Wn -pr -l 3 -n lv vg @0");
    let image = disks.contents().remove(0);
    let group = group_of(std::slice::from_ref(&image));
    let why = group.volumes[0].read_only.clone().unwrap();
    let error = group.volumes[0].content.as_ref().unwrap().write_all_at(0, b"x").unwrap_err();
    assert!(why.contains("lvchange -p rw vg/lv") && error.message() == why, "{why}");
    disks.lvm("vgexport vg");
    assert!(group_of(&disks.contents()).obstacle.unwrap().contains("vgimport"));

    let text = text_of(&image);
    let changed = |from: &str, to: &str| {
        let mut image = image.clone();
        assert!(text.contains(from), "{from} in {text}");
        set_text(&mut image, &text.replacen(from, to, 1));
        group_of(&[image])
    };
    for (from, to, why) in [
        ("format = \"lvm2\"", "format = \"lvm2\" lock_type = \"sanlock\"", "--lock-type none"),
        ("\"RESIZEABLE\"", "\"CLUSTERED\"", "shared with other machines"),
        ("\"RESIZEABLE\"", "\"PARTIAL\"", "partial"),
        ("\"ALLOCATABLE\"", "\"MISSING\"", "--restoremissing"),
        ("pe_start = 2048", "pe_start = 16", "overlap its label or metadata"),
        ("pe_start = 2048", "pe_start = 0", "overlap its label or metadata"),
        ("pe_start = 2048", "pe_start = 4096", "smaller than it was"),
    ] {
        let why_not = changed(from, to).obstacle.unwrap_or_default();
        assert!(why_not.contains(why), "{to}: {why_not}");
    }
    let lv = |text: &str| changed("type = \"striped\"", text).volumes.remove(0).content.err().unwrap();
    for (kind, why) in [
        ("thin", "thin volume"),
        ("cache", "--uncache"),
        ("raid1", "lvconvert -m 0"),
        ("raid5_ls", "RAID"),
        ("vdo", "VDO"),
        ("writecache+X", "write cache"),
        ("newtype", "not known"),
    ] {
        let found = lv(&format!("type = \"{kind}\""));
        assert!(found.contains(why), "{kind}: {found}");
    }
    assert!(
        changed("\"pv0\", 0", "\"pvmove0\", 0").volumes[0].content.as_ref().err().unwrap().contains("pvmove")
    );
    assert!(
        changed("\"pv0\", 0", "\"pv0\", 4294967295").volumes[0]
            .content
            .as_ref()
            .err()
            .unwrap()
            .contains("extents")
    );
    assert!(changed("\"VISIBLE\"", "\"LOCKED\"").volumes.is_empty(), "hidden volumes are parts of others");
}

#[test]
fn snapshots_and_overlaps_are_noticed() {
    let Some(disks) = Disks::blank(1, 8) else { return };
    disks.lvm("pvcreate @0");
    disks.lvm("vgcreate -s 256k vg @0");
    disks.lvm("lvcreate -an -Zn -Wn -l 3 -n root vg @0");
    disks.lvm("lvcreate -an -Zn -Wn -l 3 -n store vg @0");
    let image = disks.contents().remove(0);
    let with = |snapshot: &str| {
        let mut image = image.clone();
        let inner = format!(
            "snapshot0 {{ id = \"aaaaaa-bbbb-cccc-dddd-eeee-ffff-000000\" status = [\"READ\", \"WRITE\"] segment_count = 1 \
             segment1 {{ start_extent = 0 extent_count = 3 type = \"snapshot\" chunk_size = 8 origin = \"root\" {snapshot} }} }}\n"
        );
        let text = text_of(&image).replacen("\nroot {", &format!("\n{inner}root {{"), 1);
        set_text(&mut image, &text);
        image
    };
    let image = with("cow_store = \"store\"");
    let judge = Disks::new(std::slice::from_ref(&image)).unwrap();
    let seen = judge.lvm("lvs --noheadings -o lv_name,origin");
    assert!(seen.split_whitespace().eq(["root", "store", "root"]), "LVM sees the snapshot, too: {seen}");
    let group = group_of(&[image]);
    let (root, store) = (volume(&group, "root"), volume(&group, "store"));
    assert!(root.content.is_ok() && root.read_only.as_ref().unwrap().contains("lvremove"));
    assert!(store.layout == "snapshot" && store.content.as_ref().err().unwrap().contains("snapshot of root"));
    let group = group_of(&[with("merging_store = \"store\"")]);
    assert!(volume(&group, "root").content.as_ref().err().unwrap().contains("merged"));

    let mut image = disks.contents().remove(0);
    let text = text_of(&image).replacen("\"pv0\", 3", "\"pv0\", 2", 1);
    set_text(&mut image, &text);
    let group = group_of(&[image]);
    assert!(group.obstacle.unwrap().contains("overlap"));
}

#[test]
fn a_label_that_is_damaged_is_no_free_place() {
    let Some(disks) = Disks::blank(1, 8) else { return };
    disks.lvm("pvcreate @0");
    let mut image = disks.contents().remove(0);
    image[512 + 40] ^= 1;
    let error = probe(tools::Memory::new(image.clone()).as_ref()).unwrap_err();
    assert_eq!(error.kind(), format_core::ErrorKind::Corrupt);
    image[512..520].fill(0);
    assert!(probe(tools::Memory::new(image).as_ref()).unwrap().is_none());
}

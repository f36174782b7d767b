//! Cut, bent and contradictory metadata: an answer in no time, and no place outside of the disks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod tools;

use driver_core::Volume;
use driver_lvm::{assemble, probe};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use std::time::Instant;
use tools::{Memory, crc, set_text};

const ID: &str = "abcdef-ghij-klmn-opqr-stuv-wxyz-012345";
const MIB: usize = 1 << 20;

/// A physical volume written from the documented structures; `real_tools` shows that LVM takes it.
fn image(text: &str) -> Vec<u8> {
    let mut disk = vec![0; 8 * MIB];
    let label = &mut disk[512..1024];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = 1;
    label[20] = 32;
    label[24..32].copy_from_slice(b"LVM2 001");
    label[32..64].copy_from_slice(ID.replace('-', "").as_bytes());
    for (at, value) in [(64, 8 * MIB), (72, MIB), (104, 4096), (112, MIB - 4096)] {
        label[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    let sum = crc(&label[20..]);
    label[16..20].copy_from_slice(&sum.to_le_bytes());
    let area = &mut disk[4096..];
    area[4..20].copy_from_slice(b" LVM2 x[5A%r0N*>");
    area[20] = 1;
    for (at, value) in [(24, 4096), (32, MIB - 4096)] {
        area[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    }
    set_text(&mut disk, text);
    disk
}

fn text() -> String {
    format!(
        "vg {{\nid = \"{}\"\nseqno = 2\nformat = \"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\n\
         extent_size = 512\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\nphysical_volumes {{\npv0 {{\nid = \"{ID}\"\n\
         device = \"/dev/x\"\nstatus = [\"ALLOCATABLE\"]\nflags = []\ndev_size = 16384\npe_start = 2048\npe_count = 28\n}}\n}}\n\
         logical_volumes {{\nroot {{\nid = \"{}\"\nstatus = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = []\nsegment_count = 2\n\
         segment1 {{\nstart_extent = 0\nextent_count = 4\ntype = \"striped\"\nstripe_count = 2\nstripe_size = 128\n\
         stripes = [\n\"pv0\", 0,\n\"pv0\", 9\n]\n}}\nsegment2 {{\nstart_extent = 4\nextent_count = 3\ntype = \"striped\"\n\
         stripe_count = 1\nstripes = [\n\"pv0\", 20\n]\n}}\n}}\n}}\n}}\n\
         contents = \"Text Format Volume Group\"\nversion = 1\ndescription = \"\"\ncreation_host = \"x\"\ncreation_time = 1\n\0",
        ID.replace('a', "b"),
        ID.replace('a', "c"),
    )
}

static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| image(&text()));

/// Opens what is there, walks it, and writes it: nothing but extents may change.
fn survive(bytes: Vec<u8>) -> bool {
    let begun = Instant::now();
    let device = Memory::new(bytes);
    let before = device.bytes();
    let mut used = false;
    if let Ok(Some(found)) = probe(device.as_ref()) {
        let (groups, _) = assemble(&[(found, Arc::clone(&device) as Arc<dyn Volume>)]);
        for volume in groups.iter().flat_map(|group| &group.volumes) {
            let Ok(content) = &volume.content else { continue };
            used = true;
            assert_eq!(content.size(), volume.size);
            for at in [0, content.size() / 2, content.size().saturating_sub(5)] {
                let mut buf = vec![0; 5.min(content.size() as usize)];
                content.read_exact_at(at, &mut buf).unwrap();
                assert_eq!(content.write_all_at(at, &buf).is_err(), volume.read_only.is_some());
            }
        }
    }
    assert!(device.bytes() == before, "what was read was written back");
    assert!(begun.elapsed().as_secs() < 5, "it took {:?}", begun.elapsed());
    used
}

#[test]
fn lvm_takes_the_image_too() {
    assert!(survive(IMAGE.clone()));
    let Some(disks) = tools::Disks::new(std::slice::from_ref(&*IMAGE)) else { return };
    let map = disks.map();
    assert_eq!(map.iter().map(|run| run.stripes.len()).collect::<Vec<_>>(), [2, 1]);
    disks.lvm("vgck vg");
}

#[test]
fn every_prefix_of_disk_and_text_is_survived() {
    let text = text();
    for len in (0..9000).step_by(97).chain([512, 1023, 1024, 4096, MIB, 8 * MIB - 1]) {
        survive(IMAGE[..len].to_vec());
    }
    for len in 0..text.len() - 150 {
        assert!(!survive(image(&text[..len])), "{len}");
    }
}

#[test]
fn flipped_bits_are_noticed_by_checksums() {
    for at in (512..1024).chain(4096..4096 + 512 + text().len()) {
        let mut bytes = IMAGE.clone();
        bytes[at] ^= 1 << (at % 8);
        if at < 512 + 20 {
            survive(bytes);
        } else {
            assert!(!survive(bytes), "{at:#x}");
        }
    }
}

#[test]
fn metadata_that_bites_its_own_tail_is_refused() {
    for (from, to) in [
        ("\"pv0\", 0,", "\"root\", 0,"),
        ("\"pv0\", 20", "\"pv0\", 10"),
        ("\"pv0\", 20", "\"pv0\", 26"),
        ("pe_count = 28", "pe_count = 29"),
        ("pe_count = 28", "pe_count = 4294967295"),
        ("extent_size = 512", "extent_size = 4294967295"),
        ("extent_size = 512", "extent_size = 9"),
        ("extent_count = 3", "extent_count = 4294967295"),
        ("stripe_size = 128", "stripe_size = 2147483648"),
    ] {
        let bad = text().replacen(from, to, 1);
        assert_ne!(bad, text());
        assert!(!survive(image(&bad)), "{from} -> {to}");
    }
    // Many volumes that all have snapshots of each other.
    let mut many = String::new();
    for number in 0..4000 {
        let id = format!("{number:032}");
        many += &format!(
            "v{number} {{ id=\"{id}\" status=[\"VISIBLE\"] segment_count=1 segment1 {{ start_extent=0 extent_count=1 \
             type=\"snapshot\" origin=\"v{}\" cow_store=\"v{}\" }} }}\n",
            (number + 1) % 4000,
            (number + 2) % 4000
        );
    }
    let bad = text().replacen("logical_volumes {", &format!("logical_volumes {{\n{many}"), 1);
    survive(image(&bad));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_numbers_lead_nowhere_else(
        which in 0usize..200,
        number in prop_oneof![0u64..40, Just(u64::from(u32::MAX)), Just(1 << 32), Just(i64::MAX as u64)],
        other in 0usize..200,
        second in 0u64..40,
    ) {
        let mut text = text();
        for (which, number) in [(which, number), (other, second)] {
            let digits: Vec<_> = text.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).collect();
            let at = digits[which % digits.len()];
            let end = at + text[at..].find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
            text.replace_range(at..end, &number.to_string());
        }
        survive(image(&text));
    }
}

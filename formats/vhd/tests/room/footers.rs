//! Which footer is believed, and what size it gives the disk.

use crate::maker::{CREATOR, GEOMETRY, MIB, Maker, SAVED, content, open_file, sealed};
use format_core::{Layer, Score};
use format_vhd::FORMAT;

fn codes(layer: &dyn Layer) -> Vec<&'static str> {
    layer.warnings().iter().map(|warning| warning.code).collect()
}

fn good() -> Maker {
    let mut maker = Maker::dynamic(MIB as u64, MIB as u32);
    maker.block(0, |_| true, &[5; MIB]);
    maker
}

fn fixed() -> Vec<u8> {
    (0..81 * 512).map(|at| (at / 512) as u8).collect()
}

#[test]
fn it_is_recognised_by_either_footer() {
    let probe = |file: &[u8]| {
        (FORMAT.probe)(&file[..file.len().min(65536)], &file[file.len().saturating_sub(65536)..])
    };
    let file = good().file();
    assert_eq!(probe(&file), Score::Magic);
    assert_eq!(probe(&file[..file.len() - 512]), Score::Magic, "the copy alone");
    assert_eq!(probe(&file[512..]), Score::Magic, "the footer alone");
    assert_eq!(probe(&Maker::fixed(&fixed()).file()), Score::Magic);
    assert_eq!(probe(&file[..7]), Score::No);
    assert_eq!(probe(&[]), Score::No);
    assert_eq!(probe(&file[512..file.len() - 2]), Score::No);
}

#[test]
fn old_footers_are_a_byte_shorter() {
    for (mut file, disk) in [(Maker::fixed(&fixed()).file(), fixed()), (good().file(), vec![5; MIB])] {
        file.pop();
        assert_eq!((FORMAT.probe)(&file[..512], &file[file.len() - 512..]), Score::Magic);
        let layer = open_file(file).unwrap();
        assert!(layer.warnings().is_empty());
        assert_eq!(layer.identity(), Some("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"));
        assert!(content(layer) == disk);
    }
}

#[test]
fn a_damaged_footer_is_replaced_by_its_copy() {
    let good = good().file();
    let end = good.len();
    let mut damaged = good.clone();
    damaged[end - 400] ^= 4;
    for file in [damaged, good[..end - 512].to_vec(), [&good[..], &[0; 512]].concat()] {
        let layer = open_file(file).unwrap();
        assert_eq!(codes(layer.as_ref()), ["vhd-footer-damaged"]);
        assert!(content(layer) == vec![5; MIB]);
    }
}

#[test]
fn the_copy_is_only_a_copy() {
    let mut file = good().file();
    file[68] ^= 1;
    let layer = open_file(file.clone()).unwrap();
    assert_eq!(codes(layer.as_ref()), ["vhd-footer-copy-differs"]);
    let other = sealed(&file[..512], 64..68);
    file[..512].copy_from_slice(&other);
    let layer = open_file(file).unwrap();
    assert_eq!(codes(layer.as_ref()), ["vhd-footer-copy-differs"]);
    assert_eq!(layer.identity(), Some("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"), "the end's");
}

#[test]
fn a_vhd_inside_a_fixed_vhd_is_its_content() {
    for inner in [good().file(), Maker::fixed(&fixed()).file()] {
        let layer = open_file(Maker::fixed(&inner).file()).unwrap();
        assert!(layer.warnings().is_empty());
        assert!(content(layer) == inner);
    }
    // Without its own footer nothing says how large it was: the inner one must not be taken for it.
    let mut outer = Maker::fixed(&Maker::fixed(&fixed()).file()[81 * 512..]).file();
    let end = outer.len();
    outer[end - 1] = 1;
    assert!(open_file(outer).err().unwrap().to_string().contains("checksum"));
}

#[test]
fn the_creator_says_what_size_means() {
    let by_geometry = 10 * 4 * 17 * 512;
    let size = |creator: &[u8; 4], geometry: [u8; 4]| {
        let mut maker = Maker::dynamic(by_geometry + 777 * 512, MIB as u32);
        maker.footer[CREATOR..CREATOR + 4].copy_from_slice(creator);
        maker.footer[GEOMETRY..GEOMETRY + 4].copy_from_slice(&geometry);
        maker.open().unwrap().virtual_size() - by_geometry
    };
    let usual = [0, 10, 4, 17];
    for creator in [b"vpc ", b"vs  ", b"qemu"] {
        assert_eq!(size(creator, usual), 0, "{creator:?}");
        assert_eq!(size(creator, [0xff, 0xff, 16, 255]), 777 * 512, "a full geometry says nothing");
        assert_eq!(size(creator, [0, 10, 0, 17]), 777 * 512, "an empty one neither");
    }
    for creator in [b"qem2", b"win ", b"tap\0", b"CTXS", b"d2v ", b"vbox", b"wa\0\0", b"????"] {
        assert_eq!(size(creator, usual), 777 * 512, "{creator:?}");
    }
}

#[test]
fn a_saved_machine_is_told() {
    let mut maker = good();
    maker.footer[SAVED] = 1;
    assert_eq!(codes(maker.open().unwrap().as_ref()), ["vhd-saved-state"]);
}

#[test]
fn a_fixed_disk_is_read_as_it_lies() {
    let layer = open_file(Maker::fixed(&fixed()).file()).unwrap();
    assert_eq!((layer.virtual_size(), layer.chunk_size()), (81 * 512, 1));
    assert_eq!(layer.extent_at(100).unwrap().end(), 81 * 512, "the footer is no data");
    assert_eq!(layer.host_range(100).unwrap().len, 81 * 512 - 100);
    assert!(layer.read_exact_at(81 * 512 - 1, &mut [0; 2]).is_err());
    assert!(content(layer) == fixed());
}

#[test]
fn the_bitmaps_of_dynamic_disks_mean_nothing() {
    let mut maker = Maker::dynamic(2 * MIB as u64, MIB as u32);
    maker.block(0, |_| false, &[5; MIB]);
    maker.block(1, |sector| sector % 2 == 0, &[6; MIB]);
    let layer = maker.open().unwrap();
    assert_eq!(layer.extent_at(0).unwrap().len, 2 * MIB as u64);
    assert_eq!(layer.host_range(7).unwrap().len, MIB as u64 - 7);
    let bytes = content(layer);
    assert!(bytes[..MIB].iter().all(|byte| *byte == 5) && bytes[MIB..].iter().all(|byte| *byte == 6));
}

#[test]
fn the_last_block_may_end_with_its_disk() {
    let mut maker = Maker::dynamic(MIB as u64 + 3 * 512, MIB as u32);
    maker.block(1, |_| true, &[7; 3 * 512]);
    let bytes = content(maker.open().unwrap());
    assert!(bytes[MIB..].iter().all(|byte| *byte == 7));
}

#[test]
fn other_block_sizes() {
    for block_size in [512usize, 4096, 16 * MIB] {
        let size = block_size * 3 - 512 * usize::from(block_size > 512);
        let mut maker = Maker::dynamic(size as u64, block_size as u32);
        maker.block(2, |_| true, &vec![9; block_size]);
        maker.block(0, |_| true, &vec![8; block_size]);
        let bytes = content(maker.open().unwrap());
        assert!(bytes[..block_size].iter().all(|byte| *byte == 8));
        assert!(bytes[block_size..2 * block_size].iter().all(|byte| *byte == 0));
        assert!(bytes[2 * block_size..].iter().all(|byte| *byte == 9));
    }
}

#[test]
fn what_xenserver_puts_behind_the_table_is_no_block() {
    let mut maker = Maker::dynamic(2 * MIB as u64, MIB as u32);
    let mut batmap = b"tdbatmap".to_vec();
    batmap.extend([0, 0, 0, 0, 0, 0, 0x1a, 0, 0, 0, 0, 1, 0, 1, 0, 2, 0xff, 0xff, 0xff, 0xff]);
    maker.append(&batmap);
    maker.append(&[0xff; 512]);
    maker.block(1, |_| true, &[3; MIB]);
    let layer = maker.open().unwrap();
    assert!(layer.warnings().is_empty());
    let bytes = content(layer);
    assert!(bytes[..MIB].iter().all(|byte| *byte == 0) && bytes[MIB..].iter().all(|byte| *byte == 3));
}

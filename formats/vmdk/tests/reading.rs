//! Images built from the specification read as they were built.

#![allow(clippy::unwrap_used)]

mod builder;

use builder::{Grain, Plan, STREAM, noise, open, read};
use format_core::{Disk, ErrorKind, ExtentKind, Layer, Score};
use format_vmdk::FORMAT;
use proptest::prelude::*;
use std::sync::Arc;

fn kinds(layer: &dyn Layer) -> Vec<(u64, u64, ExtentKind)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < layer.virtual_size() {
        let extent = layer.extent_at(at).unwrap();
        found.push((extent.offset / 512, extent.len / 512, extent.kind));
        at = extent.end();
    }
    found
}

#[test]
fn data_zeros_and_nothing_are_told_apart() {
    use ExtentKind::{Data, Unallocated, Zero};
    for plan in [Plan::sample(0), Plan::sample(STREAM), Plan::stream()] {
        let image = plan.build();
        let layer = open(&image.bytes).unwrap();
        assert_eq!((layer.virtual_size(), layer.chunk_size()), (44 * 512, 4096));
        assert_eq!(
            (layer.identity(), layer.parent(), layer.warnings()),
            (Some("1234abcd"), None, [].as_slice())
        );
        assert_eq!(read(&image.bytes).unwrap(), image.content);
        // The second table starts at sector 32.
        let expected = [(0, 8, Data), (8, 8, Zero), (16, 8, Unallocated), (24, 8, Data), (32, 12, Data)];
        assert_eq!(kinds(layer.as_ref()), expected);
        assert_eq!(layer.extent_at(44 * 512).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(layer.read_exact_at(43 * 512, &mut [0; 513]).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(layer.read_exact_at(u64::MAX, &mut [0; 1]).unwrap_err().kind(), ErrorKind::Usage);
    }
}

#[test]
fn plain_grains_tell_where_they_lie_and_compressed_ones_do_not() {
    let image = Plan::sample(0).build();
    let layer = open(&image.bytes).unwrap();
    // Grains 4 and 5 are neighbours in the file too.
    let range = layer.host_range(32 * 512 + 100).unwrap();
    assert_eq!((range.offset, range.len), (image.grains_at[4] as u64 + 100, 12 * 512 - 100));
    assert!(layer.host_range(8 * 512).is_none());
    assert!(layer.host_range(44 * 512).is_none());
    assert!(open(&Plan::stream().build().bytes).unwrap().host_range(0).is_none());
}

#[test]
fn entry_1_is_only_zeros_where_the_header_allows_it() {
    let image = Plan { flags: 3, ..Plan::sample(0) }.build();
    let error = read(&image.bytes).unwrap_err();
    assert!(error.message().contains("over the header, the descriptor"), "{error}");
}

#[test]
fn the_descriptor_knows_a_size_that_is_no_multiple_of_a_grain() {
    let image = Plan { capacity: Some(48), ..Plan::sample(0) }.build();
    assert_eq!(open(&image.bytes).unwrap().virtual_size(), 44 * 512);
    assert_eq!(read(&image.bytes).unwrap(), image.content);
}

#[test]
fn a_last_grain_may_be_stored_short() {
    for flags in [0, STREAM] {
        let mut plan = Plan::sample(flags);
        plan.grains[5] = Grain::Data(noise(9, 2048));
        let image = plan.build();
        assert_eq!(read(&image.bytes).unwrap(), image.content, "{flags:#x}");
    }
}

#[test]
fn a_padded_stream_still_shows_its_footer() {
    let mut image = Plan::stream().build();
    image.bytes.extend([0; 20_000]);
    assert_eq!(read(&image.bytes).unwrap(), image.content);
}

#[test]
fn tables_that_are_not_there_are_empty() {
    let mut image = Plan::sample(0).build();
    image.put(image.directory_at, &[0; 4]);
    let layer = open(&image.bytes).unwrap();
    assert_eq!(kinds(layer.as_ref()), [(0, 32, ExtentKind::Unallocated), (32, 12, ExtentKind::Data)]);
    assert_eq!(layer.extent_at(512).unwrap().len, 31 * 512);
}

#[test]
fn a_broken_directory_gives_way_to_the_redundant_one_and_says_so() {
    let good = Plan::sample(0).build();
    for broken in [0xffff_fff0u32, 1] {
        let mut image = good.clone();
        image.put(image.directory_at + 4, &broken.to_le_bytes());
        let layer = open(&image.bytes).unwrap();
        assert_eq!(layer.warnings()[0].code, "vmdk-redundant-directory");
        assert_eq!(read(&image.bytes).unwrap(), good.content);
        image.put(image.redundant_at, &broken.to_le_bytes());
        assert_eq!(open(&image.bytes).err().unwrap().kind(), ErrorKind::Corrupt);
    }
    let mut no_redundant = Plan::sample(0);
    no_redundant.flags &= !2;
    let mut image = no_redundant.build();
    image.put(image.directory_at + 4, &[0xff; 4]);
    assert_eq!(open(&image.bytes).err().unwrap().kind(), ErrorKind::Corrupt);
}

#[test]
fn an_unclean_shutdown_is_a_warning() {
    let mut image = Plan::sample(0).build();
    image.put(72, &[1]);
    assert_eq!(open(&image.bytes).unwrap().warnings()[0].code, "vmdk-unclean-shutdown");
    assert_eq!(read(&image.bytes).unwrap(), image.content);
}

#[test]
fn a_parent_is_named_with_its_identity() {
    let text = "#\nCID=5\nparentCID=00C0FFEE\ncreateType=monolithicSparse\nRW 44 SPARSE \"x\"\n";
    let named = |hint: &str| {
        let text = format!("{text}parentFileNameHint=\"{hint}\"\n");
        let layer = open(&Plan { text, ..Plan::sample(0) }.build().bytes).unwrap();
        let parent = layer.parent().unwrap().clone();
        assert_eq!((parent.format.as_deref(), parent.identity.as_deref()), (Some("vmdk"), Some("00c0ffee")));
        assert_eq!(layer.identity(), Some("00000005"));
        parent.names
    };
    assert_eq!(named("base.vmdk"), ["base.vmdk"]);
    assert_eq!(named(r"..\base\b.vmdk"), ["../base/b.vmdk"]);
    assert_eq!(named("/etc/shadow"), ["/etc/shadow"]);
    for foreign in [r"C:\VMs\base.vmdk", r"\\server\share\base.vmdk", "/vmfs/volumes/a/b/base.vmdk"] {
        assert_eq!(named(foreign), ["base.vmdk"], "{foreign}");
    }
}

#[test]
fn every_start_of_the_family_is_recognised() {
    let probe = |head: &[u8]| (FORMAT.probe)(head, head);
    assert_eq!(probe(&Plan::sample(0).build().bytes), Score::Magic);
    assert_eq!(probe(b"COWD\x01\0\0\0"), Score::Magic);
    assert_eq!(probe(b"\xbe\xba\xfe\xca\0\0\0\0\x01\0\0\0\x02\0\0\0"), Score::Magic);
    assert_eq!(probe(b"\xef\xbb\xbf\r\n  # disk descriptorfile\r\n"), Score::Magic);
    for other in [&b""[..], b"KDM", b"# Disk", b"QFI\xfb", &[0; 65536], b"\xbe\xba\xfe\xca"] {
        assert_eq!(probe(other), Score::No);
    }
}

#[test]
fn many_threads_read_pieces_of_one_stream() {
    let grains = (0..64).map(|n| if n % 5 == 0 { Grain::Absent } else { Grain::Data(noise(n, 4096)) });
    let image = Plan { grains: grains.collect(), sectors: 512, ..Plan::stream() }.build();
    let layer: Arc<dyn Layer> = open(&image.bytes).unwrap().into();
    let disk = Disk::new(vec![layer]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let (disk, content) = (&disk, &image.content);
            scope.spawn(move || {
                for step in 0..400usize {
                    let at = (step * 7919 + thread * 104_729) % (content.len() - 1);
                    let len = (1 + step * 37 % 9000).min(content.len() - at);
                    let mut found = vec![0xaa; len];
                    disk.read_exact_at(at as u64, &mut found).unwrap();
                    assert!(found == content[at..at + len], "{at} {len}");
                }
            });
        }
    });
}

fn plans() -> impl Strategy<Value = Plan> {
    let shape = (0u32..5, 1usize..20, any::<bool>(), any::<bool>(), 1usize..60);
    shape.prop_flat_map(|(shift, table_entries, stream, at_end, count)| {
        let grain_sectors = 1usize << shift;
        let grain = prop_oneof![
            Just(Grain::Absent),
            Just(Grain::Zero),
            any::<u64>().prop_map(move |seed| Grain::Data(noise(seed, grain_sectors * 512))),
        ];
        (proptest::collection::vec(grain, count), 0..grain_sectors).prop_map(move |(grains, short)| Plan {
            grain_sectors,
            table_entries,
            sectors: grains.len() * grain_sectors - short,
            grains,
            at_end: stream && at_end,
            ..Plan::sample(if stream { STREAM } else { 0 })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn any_layout_reads_as_it_was_built(plan in plans(), ranges in proptest::collection::vec((any::<u32>(), 1usize..9000), 8)) {
        let image = plan.build();
        let layer = open(&image.bytes).unwrap();
        prop_assert_eq!(&read(&image.bytes).unwrap(), &image.content);
        for (at, len) in ranges {
            let at = at as usize % image.content.len();
            let mut found = vec![0xaa; len.min(image.content.len() - at)];
            layer.read_exact_at(at as u64, &mut found).unwrap();
            prop_assert_eq!(&found[..], &image.content[at..at + found.len()]);
        }
        for (start, len, kind) in kinds(layer.as_ref()) {
            let part = &image.content[start as usize * 512..(start + len) as usize * 512];
            prop_assert_eq!(part.iter().all(|&byte| byte == 0), kind != ExtentKind::Data);
        }
    }
}

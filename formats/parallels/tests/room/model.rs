//! Any stack of images over any parts of a disk reads as the arrays that it stands for.

use crate::builder::{Descriptor, Folder, NIL, Plan, SECTOR, guid};
use proptest::prelude::*;

/// The images of one storage, the first one at the bottom.
fn storage() -> impl Strategy<Value = Vec<Plan>> {
    (1usize..6, 1usize..40, 1usize..4).prop_flat_map(|(tracks, sectors, depth)| {
        let clusters = sectors.div_ceil(tracks);
        let order = Just((1..=clusters).collect::<Vec<_>>()).prop_shuffle();
        let image = (order, prop::collection::vec(any::<bool>(), clusters), any::<bool>(), any::<u8>());
        prop::collection::vec(image, depth).prop_map(move |images| {
            let plan = |(order, present, ext, fill): (Vec<usize>, Vec<bool>, bool, u8)| {
                let map =
                    order.iter().zip(&present).map(|(place, here)| if *here { *place } else { 0 }).collect();
                Plan { ext, tracks, sectors, map, fill }
            };
            images.into_iter().map(plan).collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn stacks_read_as_arrays(
        mut stacks in prop::collection::vec(storage(), 1..4),
        reads in prop::collection::vec((any::<u32>(), 1usize..3000), 8),
    ) {
        // All storages have the same snapshots.
        let depth = stacks.iter().map(Vec::len).min().unwrap();
        stacks.iter_mut().for_each(|stack| stack.truncate(depth));
        let (mut start, mut expected, mut storages, mut files) = (0, Vec::new(), Vec::new(), Vec::new());
        for (part, stack) in stacks.iter().enumerate() {
            let mut content = vec![0; stack[0].sectors * SECTOR];
            let mut images = Vec::new();
            for (level, plan) in stack.iter().enumerate() {
                plan.over(&mut content);
                let name = format!("{part}.{level}.hds");
                images.push((guid(level + 1), "Compressed", name.clone()));
                files.push((name, plan.build().bytes));
            }
            let end = start + stack[0].sectors;
            storages.push((start, end, stack[0].tracks, images));
            (start, expected) = (end, [expected, content].concat());
        }
        let parent = |level| if level == 0 { NIL.into() } else { guid(level) };
        let shots = (0..depth).map(|level| (guid(level + 1), parent(level))).collect();
        let descriptor = Descriptor { sectors: start, storages, shots, ..Descriptor::default() };
        let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let folder = Folder::new(&descriptor.text(), &files);
        let image = folder.open(None).unwrap();
        prop_assert!(folder.content(None).unwrap() == expected);
        for (at, len) in reads {
            let at = at as usize % expected.len();
            let len = len.min(expected.len() - at);
            let mut found = vec![0xaa; len];
            image.disk.read_exact_at(at as u64, &mut found).unwrap();
            prop_assert!(found == expected[at..at + len]);
        }
        for extent in image.disk.extents(0, u64::MAX) {
            let extent = extent.unwrap();
            let bytes = &expected[extent.offset as usize..extent.end() as usize];
            prop_assert!(extent.kind == format_core::ExtentKind::Data || format_core::is_zero(bytes));
        }
    }
}

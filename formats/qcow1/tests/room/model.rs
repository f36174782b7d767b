//! Random images against a plain array of bytes.

use crate::maker::{CLUSTER, Maker, disk, open};
use format_core::{Disk, ExtentKind, Layer, MemStorage};
use proptest::prelude::*;
use std::sync::Arc;

const CLUSTERS: usize = 300;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_image_reads_as_its_model(
        changes in prop::collection::vec((0..CLUSTERS, 1..9usize, 0..4u8), 0..60),
        reads in prop::collection::vec((0..CLUSTERS * CLUSTER, 1..20_000usize), 24),
        cut in 0..CLUSTER,
    ) {
        let size = CLUSTERS * CLUSTER - cut;
        let (mut maker, mut model) = (Maker::new(size as u64), vec![0u8; CLUSTERS * CLUSTER]);
        let mut mapped = vec![false; CLUSTERS];
        for (number, (first, count, kind)) in changes.into_iter().enumerate() {
            for cluster in first..CLUSTERS.min(first + count) {
                let bytes = &mut model[cluster * CLUSTER..][..CLUSTER];
                mapped[cluster] = kind > 0;
                bytes.iter_mut().enumerate().for_each(|(i, b)| *b = (i / 32 + number + cluster) as u8);
                match kind {
                    0 => {
                        bytes.fill(0);
                        maker.entry(cluster, 0);
                    }
                    1 => {
                        maker.compressed(cluster, bytes);
                    }
                    _ => {
                        maker.data(cluster, bytes);
                    }
                }
            }
        }
        let storage = Arc::new(MemStorage(maker.bytes.clone()));
        let layer = open(storage.clone()).unwrap();
        for (cluster, is_mapped) in mapped.iter().enumerate() {
            let kind = layer.extent_at((cluster * CLUSTER) as u64).unwrap().kind;
            prop_assert_eq!(kind, if *is_mapped { ExtentKind::Data } else { ExtentKind::Unallocated });
        }
        prop_assert_eq!(maker.check().unwrap().errors, 0);
        let disk = disk(storage).unwrap();
        for (at, len) in reads {
            let at = at.min(size);
            let len = len.min(size - at);
            let mut found = vec![0xee; len];
            disk.read_exact_at(at as u64, &mut found).unwrap();
            prop_assert!(found == model[at..at + len]);
        }
        // The parent shows where nothing is mapped, and nowhere else.
        let mut parent = Maker::new(size as u64);
        for cluster in 0..CLUSTERS {
            parent.data(cluster, &[0xaa; CLUSTER]);
        }
        let parent: Arc<dyn Layer> = open(Arc::new(MemStorage(parent.bytes))).unwrap();
        let chain = Disk::new(vec![layer, parent]).unwrap();
        for (cluster, is_mapped) in mapped.iter().enumerate().take(CLUSTERS - 1) {
            let mut found = [0xee; 1];
            chain.read_exact_at((cluster * CLUSTER + 77) as u64, &mut found).unwrap();
            prop_assert_eq!(found[0], if *is_mapped { model[cluster * CLUSTER + 77] } else { 0xaa });
        }
    }
}

//! Any order of writes gives the disk that a plain array would hold.

use crate::builder::{check, read};
use format_core::{CreateRequest, MemTarget, Packed};
use format_vdi::FORMAT;
use proptest::prelude::*;

const MIB: usize = 1 << 20;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn writes_in_any_order_make_the_same_disk(
        sectors in 1usize..(7 * MIB / 512),
        keys in prop::collection::vec((any::<u32>(), 0u8..4), 7),
        fixed in any::<bool>(),
    ) {
        let size = sectors * 512;
        let mut expected = vec![0; size];
        let mut order: Vec<usize> = (0..size.div_ceil(MIB)).collect();
        order.sort_by_key(|&block| keys[block].0);
        let target = MemTarget::default();
        let mut request = CreateRequest { virtual_size: size as u64, ..CreateRequest::default() };
        request.options.insert("static".into(), if fixed { "on" } else { "off" }.into());
        let sink = FORMAT.create.unwrap()(Box::new(target.clone()), &request).unwrap();
        let mut written = 0;
        for block in order {
            let range = block * MIB..size.min((block + 1) * MIB);
            match keys[block].1 {
                0 => {}
                1 => sink.zero_at(range.start as u64, range.len() as u64).unwrap(),
                fill => {
                    // With zeros in between, which are left out.
                    let part = &mut expected[range.clone()];
                    for (at, byte) in part.iter_mut().enumerate().filter(|(at, _)| at / 70_000 % 2 == 0) {
                        *byte = (at % 251) as u8 | fill;
                    }
                    sink.write_at(range.start as u64, Packed::Plain(part)).unwrap();
                    written += 1;
                }
            }
        }
        sink.finish().unwrap();
        let bytes = target.committed_bytes().unwrap();
        prop_assert!(read(&bytes).unwrap() == expected);
        let report = check(&bytes).unwrap();
        prop_assert!(report.is_clean(), "{:?}", report);
        let blocks = size.div_ceil(MIB);
        prop_assert_eq!(report.allocated_chunks, if fixed { blocks } else { written } as u64);
        prop_assert_eq!(bytes.len(), 4096 + report.allocated_chunks as usize * MIB);
    }
}

//! Random requests to an overlay, against an array of bytes.

use crate::peer::Peer;
use convert_nbd::OverlayExport;
use format_core::{Disk, Extent, ExtentKind, Layer, Overlay, Result};
use proptest::prelude::*;
use std::sync::Arc;

const SIZE: u64 = 100_003;

/// A base of data with holes of 16 KiB.
struct Base;

fn base_byte(at: u64) -> u8 {
    if at / 16_384 % 3 == 1 { 0 } else { (at % 255) as u8 + 1 }
}

impl Layer for Base {
    fn format(&self) -> &'static str {
        "base"
    }
    fn virtual_size(&self) -> u64 {
        SIZE
    }
    fn chunk_size(&self) -> u64 {
        16_384
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let end = ((offset / 16_384 + 1) * 16_384).min(SIZE);
        let kind = if base_byte(offset) == 0 { ExtentKind::Unallocated } else { ExtentKind::Data };
        Ok(Extent { offset, len: end - offset, kind })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        (offset..).zip(buf).for_each(|(at, byte)| *byte = base_byte(at));
        Ok(())
    }
}

fn base() -> Disk {
    Disk::new(vec![Arc::new(Base)]).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(u8),
    Zero { fast: bool },
    Trim,
    Read,
    Status,
}

fn steps() -> impl Strategy<Value = Vec<(Step, u64, u64)>> {
    let step = prop_oneof![
        any::<u8>().prop_map(Step::Write),
        any::<bool>().prop_map(|fast| Step::Zero { fast }),
        Just(Step::Trim),
        Just(Step::Read),
        Just(Step::Status),
    ];
    prop::collection::vec((step, 0..SIZE, 0u64..40_000), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_overlay_is_an_array_of_bytes(steps in steps()) {
        let overlay = Overlay::new(base());
        let mut peer = Peer::of(Arc::new(OverlayExport::new(Arc::clone(&overlay)))).greet(3).structured();
        let mut model: Vec<u8> = (0..SIZE).map(base_byte).collect();
        for (step, offset, len) in steps {
            let len = len.min(SIZE - offset);
            let range = offset as usize..(offset + len) as usize;
            match step {
                Step::Write(byte) => {
                    prop_assert_eq!(peer.write(1, offset, &vec![byte; len as usize]).errno, 0);
                    model[range].fill(byte);
                }
                Step::Zero { fast } => {
                    let reply = peer.do_it(6, u16::from(fast) << 4, offset, len as u32);
                    prop_assert_eq!(reply.errno, 0, "zeros are always fast");
                    model[range].fill(0);
                }
                Step::Trim => {
                    prop_assert_eq!(peer.do_it(4, 0, offset, len as u32).errno, 0);
                    model[range].fill(0);
                }
                Step::Read => prop_assert!(peer.read(offset, len as u32) == model[range]),
                Step::Status if len > 0 => {
                    let status = peer.do_it(7, 0, offset, len as u32).status;
                    prop_assert_eq!(status.iter().map(|(len, _)| u64::from(*len)).sum::<u64>(), len);
                    let mut at = range.start;
                    for (len, state) in status {
                        let part = &model[at..at + len as usize];
                        prop_assert!(state == 0 || (state == 3 && part.iter().all(|byte| *byte == 0)));
                        at += len as usize;
                    }
                }
                Step::Status => {}
            }
        }
        prop_assert!(peer.read(0, SIZE as u32) == model);
        let mut below = vec![0; SIZE as usize];
        overlay.base().read_exact_at(0, &mut below).unwrap();
        prop_assert!(below.iter().zip(0..).all(|(byte, at)| *byte == base_byte(at)), "the base is as it was");
        peer.end().unwrap();
    }
}

#[test]
fn zeros_over_holes_cost_nothing() {
    let overlay = Overlay::new(Disk::blank(1 << 40));
    let mut peer = Peer::of(Arc::new(OverlayExport::new(Arc::clone(&overlay)))).greet(3).structured();
    for flags in [0, 1 << 4, 1 << 1] {
        assert_eq!(peer.do_it(6, flags, 5, u32::MAX).errno, 0);
    }
    assert_eq!(overlay.memory_bytes(), 0);
    assert_eq!(peer.do_it(7, 0, 0, u32::MAX).status, [(u32::MAX, 3)]);
    peer.end().unwrap();
}

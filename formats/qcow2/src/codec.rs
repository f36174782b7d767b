//! Compressed clusters: raw deflate with a 4 KiB window, or one zstd frame.

use crate::parse::Compression;
use flate2::{Compress, FlushCompress, Status};
use format_core::{Error, Result};
use std::cell::RefCell;

/// QEMU inflates with a window of 2^12 bytes, so farther matches must not be written.
const WINDOW_BITS: u8 = 12;

thread_local! {
    // One of each for a thread: making them costs as much as a small cluster.
    static INFLATER: RefCell<libdeflater::Decompressor> = RefCell::new(libdeflater::Decompressor::new());
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    static ZSTD: RefCell<Option<(u8, zstd::bulk::Compressor<'static>)>> = const { RefCell::new(None) };
}

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codec {
    pub compression: Compression,
    /// zlib's or zstd's own scale.
    pub level: u8,
}

impl Codec {
    /// What QEMU uses; higher levels gain little with such a window.
    pub(crate) fn default_level(compression: Compression) -> u8 {
        match compression {
            Compression::Zlib => 6,
            Compression::Zstd => 3,
        }
    }

    /// The highest level. zstd's above 19 need memory that flat programs do not have.
    pub(crate) fn max_level(compression: Compression) -> u8 {
        match compression {
            Compression::Zlib => 9,
            Compression::Zstd => 19,
        }
    }
}

/// Decompresses a cluster. `packed` may have garbage behind the stream, up to the end of its sector.
///
/// # Errors
/// Why it is not exactly one whole cluster.
pub(crate) fn unpack(compression: Compression, packed: &[u8], cluster: &mut [u8]) -> Result<(), String> {
    let len = match compression {
        Compression::Zlib => INFLATER
            .with_borrow_mut(|inflater| inflater.deflate_decompress(packed, cluster))
            .map_err(|e| e.to_string())?,
        Compression::Zstd => {
            // The decoder takes whatever follows a frame for another frame.
            let frame = zstd::zstd_safe::find_frame_compressed_size(packed)
                .map_err(|code| zstd::zstd_safe::get_error_name(code).to_owned())?;
            let frame = packed.get(..frame).ok_or("the frame is cut off")?;
            UNZSTD.with_borrow_mut(|slot| unpack_frame(slot, frame, cluster)).map_err(|e| e.to_string())?
        }
    };
    if len == cluster.len() { Ok(()) } else { Err(format!("the stream ends after {len:#x} bytes")) }
}

fn unpack_frame(
    slot: &mut Option<zstd::bulk::Decompressor<'static>>,
    frame: &[u8],
    cluster: &mut [u8],
) -> std::io::Result<usize> {
    let mut decompressor = match slot.take() {
        Some(decompressor) => decompressor,
        None => zstd::bulk::Decompressor::new()?,
    };
    let len = decompressor.decompress_to_buffer(frame, cluster)?;
    // After an error it is not used again.
    *slot = Some(decompressor);
    Ok(len)
}

/// Compresses a cluster; `None` when it would not become smaller.
///
/// # Errors
/// `Contract` when the encoder fails.
pub(crate) fn pack(codec: Codec, cluster: &[u8]) -> Result<Option<Vec<u8>>> {
    // One byte less than the cluster: what does not fit is not worth compressing.
    let mut packed = Vec::with_capacity(cluster.len().saturating_sub(1));
    let fits = match codec.compression {
        Compression::Zlib => deflate(codec.level, cluster, &mut packed)?,
        Compression::Zstd => {
            ZSTD.with_borrow_mut(|slot| pack_frame(slot, codec.level, cluster, &mut packed))?
        }
    };
    // A block's worth of them can wait for its turn.
    packed.shrink_to_fit();
    Ok(fits.then_some(packed))
}

/// Fills `packed`, which does not grow. False when the cluster does not fit.
fn deflate(level: u8, cluster: &[u8], packed: &mut Vec<u8>) -> Result<bool> {
    // A new one each time, which costs little: zlib-rs 0.6 panics when it is reset behind a stream that did not fit.
    let level = flate2::Compression::new(u32::from(level));
    let status = Compress::new_with_window_bits(level, false, WINDOW_BITS)
        .compress_vec(cluster, packed, FlushCompress::Finish)
        .map_err(|e| Error::contract("deflate failed").with_source(e))?;
    Ok(status == Status::StreamEnd)
}

/// As [`deflate`].
fn pack_frame(
    slot: &mut Option<(u8, zstd::bulk::Compressor<'static>)>,
    level: u8,
    cluster: &[u8],
    packed: &mut Vec<u8>,
) -> Result<bool> {
    let (_, compressor) = match slot {
        Some(made) if made.0 == level => made,
        _ => {
            let made = zstd::bulk::Compressor::new(i32::from(level));
            slot.insert((level, made.map_err(|e| Error::contract("no zstd encoder").with_source(e))?))
        }
    };
    // What does not fit is its only error, after which it can be used again.
    Ok(compressor.compress_to_buffer(cluster, packed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(compression: Compression) -> Codec {
        Codec { compression, level: Codec::default_level(compression) }
    }

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * i / 1000) as u8 ^ (i / 7000) as u8).collect()
    }

    #[test]
    fn round_trip_with_garbage_behind_the_stream() {
        for compression in [Compression::Zlib, Compression::Zstd] {
            for len in [512, 65536, 2 << 20] {
                let cluster = sample(len);
                let mut packed = pack(codec(compression), &cluster).unwrap().unwrap();
                assert!(packed.len() < len);
                packed.extend([0xa5; 300]);
                let mut back = vec![0; len];
                unpack(compression, &packed, &mut back).unwrap();
                assert_eq!(back, cluster);
            }
        }
    }

    #[test]
    fn a_stream_of_another_length_is_an_error() {
        for compression in [Compression::Zlib, Compression::Zstd] {
            let packed = pack(codec(compression), &sample(4096)).unwrap().unwrap();
            for len in [4095, 4097] {
                assert!(unpack(compression, &packed, &mut vec![0; len]).is_err(), "{len}");
            }
            assert!(unpack(compression, &packed[..packed.len() / 2], &mut [0; 4096]).is_err());
            assert!(unpack(compression, &[], &mut [0; 4096]).is_err());
        }
    }

    #[test]
    fn what_does_not_shrink_is_not_packed() {
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(65536)
        .collect();
        for compression in [Compression::Zlib, Compression::Zstd] {
            assert!(pack(codec(compression), &noise).unwrap().is_none());
        }
    }

    #[test]
    fn matches_stay_within_qemus_window() {
        // 5000 bytes of noise twice: a wider window would find the second half in the first.
        let mut cluster = vec![b'a'; 65536];
        let mut state = 7u32;
        for byte in &mut cluster[..5000] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        cluster.copy_within(..5000, 5000);
        let packed = pack(codec(Compression::Zlib), &cluster).unwrap().unwrap();
        assert!(packed.len() > 10_000, "{} bytes: the copy was found 5000 bytes back", packed.len());
    }
}

//! Compressed clusters: raw deflate with a 4 KiB window, or one zstd frame.

use crate::parse::Compression;
use flate2::{Compress, FlushCompress, Status};
use format_core::{Error, Result};

/// QEMU inflates with a window of 2^12 bytes, so farther matches must not be written.
const WINDOW_BITS: u8 = 12;
/// As QEMU; higher levels gain little with such a window.
const ZLIB_LEVEL: u32 = 6;
/// As QEMU.
const ZSTD_LEVEL: i32 = 3;

/// Decompresses a cluster. `packed` may have garbage behind the stream, up to the end of its sector.
///
/// # Errors
/// Why it is not exactly one whole cluster.
pub(crate) fn unpack(compression: Compression, packed: &[u8], cluster: &mut [u8]) -> Result<(), String> {
    let len = match compression {
        Compression::Zlib => {
            libdeflater::Decompressor::new().deflate_decompress(packed, cluster).map_err(|e| e.to_string())?
        }
        Compression::Zstd => {
            // The decoder takes whatever follows a frame for another frame.
            let frame = zstd::zstd_safe::find_frame_compressed_size(packed)
                .map_err(|code| zstd::zstd_safe::get_error_name(code).to_owned())?;
            let frame = packed.get(..frame).ok_or("the frame is cut off")?;
            zstd::bulk::decompress_to_buffer(frame, cluster).map_err(|e| e.to_string())?
        }
    };
    if len == cluster.len() { Ok(()) } else { Err(format!("the stream ends after {len:#x} bytes")) }
}

/// Compresses a cluster; `None` when it would not become smaller.
///
/// # Errors
/// `Contract` when the encoder fails.
pub(crate) fn pack(compression: Compression, cluster: &[u8]) -> Result<Option<Vec<u8>>> {
    match compression {
        Compression::Zlib => deflate(cluster),
        Compression::Zstd => {
            let packed = zstd::bulk::compress(cluster, ZSTD_LEVEL)
                .map_err(|e| Error::contract("zstd failed").with_source(e))?;
            Ok((packed.len() < cluster.len()).then_some(packed))
        }
    }
}

fn deflate(cluster: &[u8]) -> Result<Option<Vec<u8>>> {
    // One byte less than the cluster: what does not fit is not worth compressing.
    let mut packed = Vec::with_capacity(cluster.len() - 1);
    let level = flate2::Compression::new(ZLIB_LEVEL);
    let status = Compress::new_with_window_bits(level, false, WINDOW_BITS)
        .compress_vec(cluster, &mut packed, FlushCompress::Finish)
        .map_err(|e| Error::contract("deflate failed").with_source(e))?;
    Ok((status == Status::StreamEnd).then_some(packed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * i / 1000) as u8 ^ (i / 7000) as u8).collect()
    }

    #[test]
    fn round_trip_with_garbage_behind_the_stream() {
        for compression in [Compression::Zlib, Compression::Zstd] {
            for len in [512, 65536, 2 << 20] {
                let cluster = sample(len);
                let mut packed = pack(compression, &cluster).unwrap().unwrap();
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
            let packed = pack(compression, &sample(4096)).unwrap().unwrap();
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
            assert!(pack(compression, &noise).unwrap().is_none());
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
        let packed = pack(Compression::Zlib, &cluster).unwrap().unwrap();
        assert!(packed.len() > 10_000, "{} bytes: the copy was found 5000 bytes back", packed.len());
    }
}

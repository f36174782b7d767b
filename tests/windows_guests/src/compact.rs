//! Files compressed as CompactOS does (XPRESS4K): the stream `WofCompressedData`, packed by wimlib, whose resources have the
//! same form, and the reparse point that hides it. Layouts: the public description of the Windows overlay filter
//! (`WOF_EXTERNAL_INFO`, `FILE_PROVIDER_EXTERNAL_INFO_V1`) and wimlib's documentation.

use crate::tools::{arg, must};
use std::path::Path;

/// Puts a compressed file on a mounted volume (`streams_interface=windows`).
pub(crate) fn add(path: &Path, content: &[u8]) {
    std::fs::File::create(path).unwrap().set_len(content.len() as u64).unwrap();
    std::fs::write(format!("{}:WofCompressedData", path.display()), pack(content)).unwrap();
    // The tag, the length, nothing; then version, provider "file", version, algorithm 0.
    let mut reparse = 0x8000_0017u32.to_le_bytes().to_vec();
    reparse.extend([16, 0, 0, 0]);
    reparse.extend([1u32, 2, 1, 0].into_iter().flat_map(u32::to_le_bytes));
    let digits: String = reparse.iter().map(|byte| format!("{byte:02x}")).collect();
    must("setfattr", &["-h", "-n", "system.ntfs_reparse_data", "-v", &format!("0x{digits}"), arg(path)]);
}

fn pack(content: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (tree, wim) = (folder.path().join("tree"), folder.path().join("x.wim"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), content).unwrap();
    must("wimlib-imagex", &["capture", arg(&tree), arg(&wim), "--compress=XPRESS", "--chunk-size=4096"]);
    let wim = std::fs::read(wim).unwrap();
    let quad = |at: usize| u64::from_le_bytes(*wim[at..].first_chunk().unwrap());
    let length = |at: usize| (quad(at) & 0x00ff_ffff_ffff_ffff) as usize;
    // The table of resources: 50 bytes each, with length and flags (4: packed, 2: metadata), place, and length of the content.
    let (table, start) = (length(48), quad(56) as usize);
    let wanted = |at: &usize| quad(at + 16) == content.len() as u64 && wim[at + 7] & 6 == 4;
    let entry = (start..start + table).step_by(50).find(wanted).unwrap();
    wim[quad(entry + 8) as usize..][..length(entry)].to_vec()
}

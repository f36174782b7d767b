//! Files packed by the overlay filter, with content that wimlib packed: a WIM's resources have the same form as the
//! stream of a packed file.

#![allow(dead_code, reason = "each test binary uses its part")]

use crate::images::{Image, must, noise, pattern, set_reparse};
use std::path::Path;

pub const TAG: u32 = 0x8000_0017;

/// Number of the algorithm, its name for wimlib, and its chunks.
pub const ALGORITHMS: [(u32, &str, u32); 4] =
    [(0, "XPRESS", 4096), (1, "LZX", 32768), (2, "XPRESS", 8192), (3, "XPRESS", 16384)];

/// Contents of different kinds and lengths.
pub fn contents() -> Vec<(&'static str, Vec<u8>)> {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let text: Vec<u8> =
        (0..40_000).flat_map(|n| format!("line {} of {n}\r\n", n * 7 % 1000).into_bytes()).collect();
    vec![
        ("program.exe", program[..900_001].to_vec()),
        ("text.txt", text),
        ("one chunk", pattern(4000, 3)),
        ("exact", pattern(65_536, 7)),
        ("mixed", [pattern(50_000, 1), noise(50_000, 3), vec![0; 150_000], noise(9, 4)].concat()),
        ("zeros", vec![0; 100_000]),
    ]
}

/// The packed form of `content` as wimlib makes it.
pub fn pack(content: &[u8], algorithm: &str, chunk: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (tree, wim) = (folder.path().join("tree"), folder.path().join("x.wim"));
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), content).unwrap();
    let (compress, chunk) = (format!("--compress={algorithm}"), format!("--chunk-size={chunk}"));
    must("wimlib-imagex", &["capture", tree.to_str().unwrap(), wim.to_str().unwrap(), &compress, &chunk]);
    let wim = std::fs::read(wim).unwrap();
    let quad = |at: usize| u64::from_le_bytes(*wim[at..].first_chunk().unwrap());
    let length = |at: usize| (quad(at) & 0x00ff_ffff_ffff_ffff) as usize;
    // The table of resources: 50 bytes each, with length and flags, place, and length of the content in front.
    let (table, table_at) = (length(48), quad(56) as usize);
    let entry = (table_at..table_at + table)
        .step_by(50)
        .find(|at| quad(at + 16) == content.len() as u64 && wim[at + 7] & 2 == 0 && wim[at + 7] & 4 != 0);
    let entry = entry.unwrap_or_else(|| panic!("wimlib did not pack {} bytes", content.len()));
    wim[quad(entry + 8) as usize..][..length(entry)].to_vec()
}

/// Adds packed files in the folder `packed` of a volume: the stream first, then the reparse point that hides it.
pub fn add(image: &Image, folder: &str, files: &[(&str, Vec<u8>, u32, Vec<u8>)]) {
    let mounted = image.mount("streams_interface=windows");
    let at = mounted.root.join(folder);
    std::fs::create_dir_all(&at).unwrap();
    for (name, content, algorithm, packed) in files {
        add_one(&at.join(name), content.len() as u64, *algorithm, packed);
    }
    drop(mounted);
    image.settle();
}

fn add_one(path: &Path, size: u64, algorithm: u32, packed: &[u8]) {
    std::fs::File::create(path).unwrap().set_len(size).unwrap();
    std::fs::write(format!("{}:WofCompressedData", path.display()), packed).unwrap();
    let data: Vec<u8> = [1, 2, 1, algorithm].iter().flat_map(|n: &u32| n.to_le_bytes()).collect();
    set_reparse(path, TAG, &data);
}

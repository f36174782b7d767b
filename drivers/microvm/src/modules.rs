//! Modules of the VM's kernel: which are needed for what, and their bytes.

use driver_initramfs::modules::{Module, ModuleIndex, ModuleSource};
use driver_initramfs::{ModuleForm, ModuleState};
use format_core::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest file that is read, packed or not.
const MAX_FILE: u64 = 64 << 20;
/// What reaches the host.
pub(crate) const BOOT: [&str; 3] = ["virtio_pci", "virtio_blk", "virtio_console"];

/// `/lib/modules/VERSION`.
pub(crate) struct Modules {
    folder: PathBuf,
    index: ModuleIndex,
}

struct Folder<'a>(&'a Path);

impl ModuleSource for Folder<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        read_limited(File::open(self.0.join(path))?)
    }
}

fn read_limited(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any module"));
    }
    Ok(bytes)
}

/// What is loaded for a kind of file system, and whether the kernel's own name for it differs. Character sets are asked for by the
/// driver when it mounts, and nobody in the VM would load them.
pub(crate) fn for_file_system(kind: &str) -> &'static [&'static str] {
    match kind {
        "ext2" | "ext3" | "ext4" => &["crc32c_generic", "ext4"],
        "xfs" => &["crc32c_generic", "xfs"],
        // Its other checksums are in modules of their own.
        "btrfs" => &["crc32c_generic", "xxhash_generic", "sha256_generic", "blake2b_generic", "btrfs"],
        "vfat" => &["vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii", "nls_utf8"],
        "ntfs3" => &["ntfs3", "nls_utf8"],
        _ => &[],
    }
}

/// What is loaded for a target of the device mapper.
pub(crate) fn for_target(target: &str) -> &'static [&'static str] {
    match target {
        "thin" | "thin-pool" => &["dm_thin_pool"],
        "crypt" => &[
            "dm_crypt",
            "aes_generic",
            "aesni_intel",
            "xts",
            "cbc",
            "ecb",
            "essiv",
            "sha256_generic",
            "sha512_generic",
            "serpent_generic",
            "twofish_generic",
        ],
        "mirror" => &["dm_mirror"],
        "raid" => &["dm_raid"],
        "cache" => &["dm_cache", "dm_cache_smq"],
        "snapshot" | "snapshot-origin" | "snapshot-merge" => &["dm_snapshot"],
        "writecache" => &["dm_writecache"],
        "integrity" => &["dm_integrity"],
        _ => &["dm_mod"],
    }
}

impl Modules {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let index = ModuleIndex::load(&Folder(folder)).map_err(|error| {
            let kind = match error.kind() {
                driver_initramfs::ErrorKind::Corrupt => ErrorKind::Corrupt,
                _ => ErrorKind::NeedsPerson,
            };
            let text = format!("the modules in {} cannot be used: {error}", folder.display());
            Error::new(kind, text).hint("install the kernel's modules again, or name another folder")
        })?;
        Ok(Self { folder: folder.to_owned(), index })
    }

    /// Files to load for `wanted` in this order, with all that they need. What the kernel does not have is no error here: it may
    /// be part of another module, and whoever needs it will say so.
    pub(crate) fn needed(&self, wanted: &[&str]) -> Vec<Module> {
        self.index.closure(wanted).files
    }

    /// Whether the kernel has it, as a module or built in.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.index.state(name) != ModuleState::Missing
    }

    /// The unpacked bytes of a module.
    pub(crate) fn read(&self, module: &Module) -> Result<Vec<u8>> {
        let path = self.folder.join(&module.path);
        let unpacked = File::open(&path).and_then(|file| match ModuleForm::of(&module.path) {
            Some(ModuleForm::Xz) => read_limited(liblzma::read::XzDecoder::new(file)),
            Some(ModuleForm::Zstd) => read_limited(zstd::stream::read::Decoder::new(file)?),
            Some(ModuleForm::Gzip) => read_limited(flate2::read::GzDecoder::new(file)),
            Some(ModuleForm::Plain) | None => read_limited(file),
        });
        unpacked.map_err(|error| Error::io(format!("read the module {}", path.display()), error))
    }
}

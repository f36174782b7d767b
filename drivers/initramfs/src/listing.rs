//! What is in an image: names, kernel modules, who made it, the few small files that matter.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::collect::{collect, follow};
use crate::error::Result;
use crate::modules::{Dependencies, INDEX_FILES, module_name};
use crate::nash;
use crate::segment::{Limits, Segment};

/// Kind of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// Regular file.
    File {
        /// Size in bytes; 0 for a hard link whose content stands with another name.
        size: u32,
        /// Number of hard links.
        links: u32,
    },
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink {
        /// Its target.
        target: String,
    },
    /// Device, pipe or socket.
    Special,
}

/// How a module file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModuleForm {
    /// `.ko`
    Plain,
    /// `.ko.xz`
    Xz,
    /// `.ko.zst`
    Zstd,
    /// `.ko.gz`
    Gzip,
}

impl ModuleForm {
    /// Form by the end of a file name; `None` when it is no module.
    #[must_use]
    pub fn of(path: &str) -> Option<ModuleForm> {
        [ModuleForm::Plain, ModuleForm::Xz, ModuleForm::Zstd, ModuleForm::Gzip]
            .into_iter()
            .find(|form| path.ends_with(form.suffix()))
    }

    /// A path without the end that tells its form; all of it when it is no module.
    pub(crate) fn stem(path: &str) -> &str {
        ModuleForm::of(path).and_then(|form| path.strip_suffix(form.suffix())).unwrap_or(path)
    }

    /// End of the file name.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            ModuleForm::Plain => ".ko",
            ModuleForm::Xz => ".ko.xz",
            ModuleForm::Zstd => ".ko.zst",
            ModuleForm::Gzip => ".ko.gz",
        }
    }
}

/// A kernel module in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Name with underscores, without suffix.
    pub name: String,
    /// Kernel version: the folder below `lib/modules`.
    pub version: String,
    /// Path in the image.
    pub path: String,
    /// Path below the folder of the version, as `modules.dep` has it.
    pub relative: String,
    /// Compression of the file.
    pub form: ModuleForm,
}

/// Program that made an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Debian, Ubuntu.
    InitramfsTools,
    /// Fedora, RHEL, SUSE, Amazon Linux.
    Dracut,
    /// Arch.
    Mkinitcpio,
    /// Alpine.
    Mkinitfs,
    /// RHEL 5: mkinitrd with nash.
    Nash,
    /// None of these.
    Unknown,
}

/// Maker and how it was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Builder {
    /// The program.
    pub maker: Maker,
    /// Path of the file in the image that tells; empty for [`Maker::Unknown`].
    pub evidence: &'static str,
}

/// Files that only one maker leaves in an image, most telling first.
const EVIDENCE: [(&str, Maker); 12] = [
    ("conf/initramfs.conf", Maker::InitramfsTools),
    ("scripts/init-top/ORDER", Maker::InitramfsTools),
    ("scripts/functions", Maker::InitramfsTools),
    ("conf/arch.conf", Maker::InitramfsTools),
    ("usr/lib/dracut/build-parameter.txt", Maker::Dracut),
    ("lib/dracut/build-parameter.txt", Maker::Dracut),
    ("usr/lib/dracut-lib.sh", Maker::Dracut),
    ("lib/dracut-lib.sh", Maker::Dracut),
    ("usr/lib/dracut/hooks", Maker::Dracut),
    ("init_functions", Maker::Mkinitcpio),
    ("sbin/nlplug-findfs", Maker::Mkinitfs),
    ("usr/sbin/nlplug-findfs", Maker::Mkinitfs),
];

/// The content table of an image.
#[derive(Debug, Default)]
pub struct Listing {
    pub(crate) segments: Vec<Segment>,
    pub(crate) entries: BTreeMap<String, FileKind>,
    /// Targets of the symbolic links among the entries: few, so looking them up is quick.
    pub(crate) links: BTreeMap<String, String>,
    pub(crate) kept: BTreeMap<String, Vec<u8>>,
    modules: Vec<ModuleFile>,
    pub(crate) newest: u32,
}

impl Listing {
    /// Reads a whole image. Memory: the names and the kept small files, never the unpacked image.
    ///
    /// # Errors
    /// Any [`crate::Error`] of the container, and its limits.
    pub fn from_image<R: Read>(image: R, limits: &Limits) -> Result<Listing> {
        let mut listing = collect(image, limits)?;
        listing.modules = listing.entries.iter().filter_map(|(path, kind)| module_file(path, kind)).collect();
        Ok(listing)
    }

    /// Segments in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// All paths without a leading slash, sorted. Links in the path of an entry are followed, as the kernel does.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &FileKind)> {
        self.entries.iter().map(|(path, kind)| (path.as_str(), kind))
    }

    /// Kind of the entry at a path (not following a link at its end).
    #[must_use]
    pub fn kind(&self, path: &str) -> Option<&FileKind> {
        self.entries.get(path)
    }

    /// Kernel modules of all versions, sorted by path.
    #[must_use]
    pub fn modules(&self) -> &[ModuleFile] {
        &self.modules
    }

    /// The module of a kernel version by its name (`-` and `_` are the same).
    #[must_use]
    pub fn module(&self, version: &str, name: &str) -> Option<&ModuleFile> {
        let name = module_name(name);
        self.modules.iter().find(|m| m.version == version && m.name == name)
    }

    /// Whether the image has the file that an index names. There may be others of the same module: an update beside what the kernel came
    /// with, `a-b.ko` beside `a_b.ko`.
    pub(crate) fn has(&self, version: &str, listed: &Dependencies) -> bool {
        self.modules.iter().any(|m| m.version == version && m.relative == listed.path)
    }

    /// Whether the image loads a module when its device is there: it holds it, and where a script names what is loaded, that
    /// names it.
    #[must_use]
    pub fn loads(&self, version: &str, name: &str) -> bool {
        match self.content(nash::SCRIPT).filter(|script| nash::is_script(script)) {
            Some(script) => nash::loaded(script).contains(&module_name(name)),
            None => self.module(version, name).is_some(),
        }
    }

    /// Kernel versions that have modules or indexes in the image.
    #[must_use]
    pub fn versions(&self) -> BTreeSet<&str> {
        self.entries
            .iter()
            .filter(|(_, kind)| matches!(kind, FileKind::File { .. }))
            .filter_map(|(path, _)| split_version(path).map(|(version, _)| version))
            .collect()
    }

    /// Index files (`modules.dep` …) of a kernel version that are in the image.
    #[must_use]
    pub fn indexes(&self, version: &str) -> Vec<&'static str> {
        let root = self.module_root(version);
        INDEX_FILES.into_iter().filter(|file| self.entries.contains_key(&format!("{root}/{file}"))).collect()
    }

    /// Content of a small file of interest: `conf/modules`, `config`, `etc/cmdline.d/*`, `etc/initrd-release`,
    /// `etc/lvm/lvm.conf`, `etc/lvm/lvmlocal.conf`, `modules.dep`.
    #[must_use]
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.kept.get(path).map(Vec::as_slice)
    }

    /// `true` when `lib` is a symbolic link (to `usr/lib`): no directory entry may ever be written for it.
    #[must_use]
    pub fn lib_is_link(&self) -> bool {
        matches!(self.entries.get("lib"), Some(FileKind::Symlink { .. }))
    }

    /// Who made the image.
    #[must_use]
    pub fn builder(&self) -> Builder {
        let release = ["etc/initrd-release", "usr/lib/initrd-release"]
            .into_iter()
            .find(|path| self.content(path).is_some_and(|text| contains(text, b"dracut")));
        if self.content(nash::SCRIPT).is_some_and(nash::is_script) {
            return Builder { maker: Maker::Nash, evidence: nash::SCRIPT };
        }
        EVIDENCE
            .into_iter()
            .find(|(path, _)| self.entries.contains_key(*path))
            .map(|(evidence, maker)| Builder { maker, evidence })
            .or(release.map(|evidence| Builder { maker: Maker::Dracut, evidence }))
            .unwrap_or(Builder { maker: Maker::Unknown, evidence: "" })
    }

    /// Folder of a kernel version's modules: where the image has them, else what `lib/modules/VERSION` leads to.
    #[must_use]
    pub fn module_root(&self, version: &str) -> String {
        let by_name = self.resolve(&format!("lib/modules/{version}"));
        let merged = format!("usr/lib/modules/{version}");
        let used = |root: &str| {
            let prefix = format!("{root}/");
            self.entries.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix))
        };
        if !used(&by_name) && used(&merged) { merged } else { by_name }
    }

    /// Follows all links in a path. A path with too many links, or that leaves the image, is given as far as it went.
    #[must_use]
    pub fn resolve(&self, path: &str) -> String {
        follow(&self.links, path, true, &mut 0)
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const ENTRY: usize = 96;
        self.entries.keys().map(|path| path.len() + ENTRY).sum::<usize>()
            + self.links.iter().map(|(path, target)| path.len() + 2 * target.len() + ENTRY).sum::<usize>()
            + self.kept.values().map(Vec::len).sum::<usize>()
            + self.modules.iter().map(|module| 3 * module.path.len() + ENTRY).sum::<usize>()
    }

    /// Latest modification time of an entry, in seconds since 1970.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.newest
    }
}

/// `usr/lib/modules/VERSION/rest` → version and rest.
pub(crate) fn split_version(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/")?;
    rest.split_once('/')
}

fn module_file(path: &str, kind: &FileKind) -> Option<ModuleFile> {
    if !matches!(kind, FileKind::File { .. }) {
        return None;
    }
    let (version, relative) = split_version(path)?;
    Some(ModuleFile {
        name: module_name(path),
        version: version.to_owned(),
        path: path.to_owned(),
        relative: relative.to_owned(),
        form: ModuleForm::of(path)?,
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

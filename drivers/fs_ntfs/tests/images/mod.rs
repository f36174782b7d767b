//! Volumes made by mkntfs and filled through ntfs-3g's FUSE mount; ntfs-3g, ntfsfix and ntfsresize as judges.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod patched;

use driver_core::Volume;
use format_core::{Error, Result};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tempfile::TempDir;

#[allow(unused_imports, reason = "each test binary uses its part")]
pub use patched::PatchedVolume;

/// An image file as a volume. Writes reach the file: it is the test's copy.
pub struct FileVolume(File, u64);

impl FileVolume {
    pub fn open(path: &Path) -> Arc<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Arc::new(Self(file, size))
    }
}

impl Volume for FileVolume {
    fn size(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(buf, offset).map_err(|e| Error::io("read", e))
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if offset + bytes.len() as u64 > self.1 {
            return Err(Error::usage("beyond the end"));
        }
        self.0.write_all_at(bytes, offset).map_err(|e| Error::io("write", e))
    }
}

/// Runs a tool; its absence is a failure that names the packages.
pub fn tool(name: &str, arguments: &[&str]) -> Output {
    Command::new("timeout")
        .args(["120", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|e| {
            panic!("cannot run {name} (packages ntfs-3g, fuse3, attr, python3, wimtools): {e}")
        })
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a tool that must succeed.
pub fn must(name: &str, arguments: &[&str]) -> String {
    let output = tool(name, arguments);
    assert!(output.status.success(), "{name} {arguments:?}: {}", text(&output));
    text(&output)
}

/// Runs a script with the module dissect.ntfs, a second reader, where that is installed (pip install dissect.ntfs).
pub fn dissect(script: &str, arguments: &[&str]) -> Option<String> {
    let run = |script: &str| {
        Command::new("timeout").args(["120", "python3", "-c", script]).args(arguments).output().unwrap()
    };
    if !run("import dissect.ntfs").status.success() {
        eprintln!("NOT RUN: python3 has no module dissect.ntfs to compare with");
        return None;
    }
    let output = run(script);
    assert!(output.status.success(), "{}", text(&output));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// SHA-256 as hexadecimal digits, by a tool.
pub fn sha256(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("content");
    std::fs::write(&path, content).unwrap();
    must("sha256sum", &[path.to_str().unwrap()])[..64].to_owned()
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(step).collect()
}

/// A seed that no run had before; `REHOME_SEED` repeats a run.
pub fn fresh_seed() -> u64 {
    let given = std::env::var("REHOME_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
    eprintln!("REHOME_SEED={seed} repeats this");
    seed
}

/// Bytes that do.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|at| (at / 3) as u8 ^ (at >> 9) as u8 ^ seed).collect()
}

/// A temporary folder with an image in it.
pub struct Image {
    pub folder: TempDir,
    pub path: PathBuf,
}

/// A mounted image; dropping it unmounts.
pub struct Mounted {
    pub root: PathBuf,
    _folder: TempDir,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let root = self.root.to_str().unwrap();
        for _ in 0..20 {
            if tool("umount", &[root]).status.success() {
                // The mount's process writes the last bytes after the unmount.
                for _ in 0..200 {
                    let Ok(found) = std::fs::read_to_string("/proc/mounts") else { break };
                    if !found.contains(root) {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        eprintln!("{root} cannot be unmounted");
    }
}

impl Image {
    /// An empty volume of `size` bytes.
    pub fn empty(options: &[&str], size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        File::create(&path).unwrap().set_len(size).unwrap();
        let mut arguments = vec!["-F", "-q", "-Q", "-L", "guest"];
        arguments.extend(options);
        let file = path.to_str().unwrap();
        arguments.push(file);
        must("mkntfs", &arguments);
        Self { folder, path }
    }

    pub fn make(options: &[&str], size: u64, fill: impl FnOnce(&Path)) -> Self {
        let image = Self::empty(options, size);
        fill(&image.mount("compression").root);
        image.settle();
        image
    }

    pub fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        std::fs::write(&path, bytes).unwrap();
        Self { folder, path }
    }

    pub fn file(&self) -> &str {
        self.path.to_str().unwrap()
    }

    pub fn bytes(&self) -> Arc<Vec<u8>> {
        Arc::new(std::fs::read(&self.path).unwrap())
    }

    pub fn volume(&self) -> Arc<FileVolume> {
        FileVolume::open(&self.path)
    }

    /// Waits until nobody has the image open: FUSE's process ends after the unmount.
    pub fn settle(&self) {
        for _ in 0..300 {
            let in_use = std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
                let Ok(open) = std::fs::read_dir(process.path().join("fd")) else { return false };
                let number = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
                number.is_some_and(|number| number != std::process::id())
                    && open.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == self.path))
            });
            if !in_use {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{} stays in use", self.file());
    }

    pub fn mount(&self, options: &str) -> Mounted {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        must("ntfs-3g", &["-o", options, self.file(), root.to_str().unwrap()]);
        Mounted { root, _folder: folder }
    }

    /// Everything that ntfs-3g sees, by path: kind, size, hash, time of change, attributes, descriptor, streams.
    pub fn tree(&self) -> BTreeMap<String, String> {
        let mounted = self.mount("ro,streams_interface=xattr");
        let found = must("python3", &["-c", TREE, mounted.root.to_str().unwrap()]);
        drop(mounted);
        self.settle();
        found.lines().filter_map(|line| line.split_once('\t')).map(|(a, b)| (a.into(), b.into())).collect()
    }

    /// ntfsfix finds nothing, and every cluster is accounted for.
    pub fn assert_clean(&self, what: &str) {
        let fixed = tool("ntfsfix", &["-n", self.file()]);
        assert!(fixed.status.success() && text(&fixed).contains("OK"), "{what}: {}", text(&fixed));
        self.assert_descriptors(what);
        self.assert_counted(what);
    }

    /// ntfssecaudit finds every security descriptor in all its lists.
    pub fn assert_descriptors(&self, what: &str) {
        let audited = tool("ntfssecaudit", &["-a", self.file()]);
        let said = text(&audited);
        assert!(audited.status.success() && said.contains("No errors were found"), "{what}: {said}");
    }

    /// ntfsresize finds every cluster owned by who the bitmap says.
    pub fn assert_counted(&self, what: &str) {
        let counted = tool("ntfsresize", &["--info", "--force", "--no-progress-bar", self.file()]);
        let said = text(&counted);
        let full = said.contains("volume is full") || said.contains("can't be shrunk");
        assert!(counted.status.success() || full, "{what}: {said}");
        assert!(!said.contains("accounting failed") && !said.contains("inconsistent"), "{what}: {said}");
    }
}

/// Walks a mounted volume. Access times change by looking, so they are left out.
const TREE: &str = r#"
import ctypes, hashlib, os, sys
root = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(1 << 16)
# ntfs-3g answers a short buffer with the wrong error, which os.getxattr does not take for "longer, please".
def attribute(path, name):
    size = libc.lgetxattr(os.fsencode(path), os.fsencode(name), buffer, len(buffer))
    return buffer.raw[:size] if size >= 0 else None
def show(path):
    st = os.lstat(path)
    kind = {0o040000: 'd', 0o100000: 'f', 0o120000: 'l'}.get(st.st_mode & 0o170000, 'o')
    body = ''
    if kind == 'f':
        digest, size = hashlib.sha256(), 0
        try:
            with open(path, 'rb') as file:
                while piece := file.read(1 << 20):
                    digest.update(piece); size += len(piece)
            body = f'{size} {digest.hexdigest()}'
        except OSError as error:
            body = f'error {error.errno}'
    elif kind == 'l':
        body = os.readlink(path)
    facts = []
    names = ['system.ntfs_attrib', 'system.ntfs_acl', 'system.ntfs_reparse_data', 'system.ntfs_dos_name', 'system.ntfs_object_id']
    try:
        names += sorted(os.listxattr(path, follow_symlinks=False))
    except OSError:
        pass
    for name in names:
        value = attribute(path, name)
        if value is not None:
            facts.append(f'{name}={value.hex() if len(value) < 600 else hashlib.sha256(value).hexdigest()}')
    return f'{kind} {body} links={st.st_nlink} ino={st.st_ino} mtime={st.st_mtime_ns} {" ".join(facts)}'
for folder, folders, files in os.walk(root):
    for name in ['.'] * (folder == root) + folders + files:
        path = os.path.join(folder, name)
        shown = os.path.relpath(path, root)
        print('/' + ('' if shown == '.' else shown) + '\t' + show(path))
"#;

/// Where the flags of `$Volume` are: behind the version, in the record's attribute 0x70.
pub fn volume_flags_at(bytes: &[u8]) -> u64 {
    let record = 16384 + 3 * 1024;
    assert_eq!(&bytes[record..record + 4], b"FILE");
    let mut at = record + usize::from(bytes[record + 0x14]);
    while bytes[at] != 0x70 {
        at += u32::from_le_bytes(*bytes[at + 4..].first_chunk().unwrap()) as usize;
    }
    (at + 24 + 10) as u64
}

/// Sets a file's attributes (`FILE_ATTRIBUTE_*`) on a mounted volume.
pub fn set_attributes(path: &Path, attributes: u32) {
    let value = format!("0x{:08x}", attributes.swap_bytes());
    must("setfattr", &["-h", "-n", "system.ntfs_attrib", "-v", &value, path.to_str().unwrap()]);
}

/// Gives a file a reparse point on a mounted volume.
pub fn set_reparse(path: &Path, tag: u32, data: &[u8]) {
    let mut raw = tag.to_le_bytes().to_vec();
    raw.extend((data.len() as u16).to_le_bytes());
    raw.extend([0, 0]);
    raw.extend(data);
    let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    must(
        "setfattr",
        &["-h", "-n", "system.ntfs_reparse_data", "-v", &format!("0x{hex}"), path.to_str().unwrap()],
    );
}

/// The data of a junction to `target` or, with flags, of a symbolic link.
pub fn link_data(target: &str, flags: Option<u32>) -> Vec<u8> {
    let name: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let len = name.len() as u16;
    let mut data: Vec<u8> = [0, len, len + 2, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
    data.extend(flags.into_iter().flat_map(u32::to_le_bytes));
    data.extend(name);
    data.extend([0, 0, 0, 0]);
    data
}

/// The image collection beside the repository, or where `REHOME_CORPUS` says. Without it: loud, and under CI an error.
pub fn foreign(file: &str) -> Option<Image> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    let archive = corpus.join("third-party.tar.zst");
    if !archive.is_file() {
        let message = format!("the image collection is not in {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let script = r#"
        zstd -dcq --long=31 "$1" | tar -xOf - "third-party/$2" >"$3.raw"
        case $2 in
        *.zip) python3 -c 'import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); n = [i for i in z.infolist() if i.file_size > 1000000]; open(sys.argv[2], "wb").write(z.read(n[0]))' "$3.raw" "$3" ;;
        *.gz) gzip -dc <"$3.raw" | dd of="$3" conv=sparse bs=64k status=none; truncate -s "$(gzip -dc <"$3.raw" | wc -c)" "$3" ;;
        esac
        rm -f "$3.raw""#;
    let arguments =
        ["-euo", "pipefail", "-c", script, "bash", archive.to_str().unwrap(), file, path.to_str().unwrap()];
    must("bash", &arguments);
    Some(Image { folder, path })
}

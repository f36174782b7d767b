//! What is on a disk, by the eyes of other people's programs.

use crate::tools::{arg, must};
use crate::volumes::{Mounted, extract, mount};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A volume of a disk that can be looked into: its number in the table, and where its files are.
struct Volume {
    number: usize,
    root: PathBuf,
    _mounted: Option<Mounted>,
    _work: TempDir,
}

/// All NTFS and FAT volumes of a disk, one after the other, copied out and, if NTFS, mounted for reading.
fn volumes(disk: &Path) -> impl Iterator<Item = Volume> {
    partitions(disk)
        .into_iter()
        .enumerate()
        .filter_map(|(at, (offset, size))| Volume::open(disk, at + 1, offset, size))
}

impl Volume {
    fn open(disk: &Path, number: usize, offset: u64, size: u64) -> Option<Self> {
        let mut boot = [0; 512];
        std::fs::File::open(disk).unwrap().read_exact_at(&mut boot, offset).unwrap();
        let is_ntfs = boot[3..].starts_with(b"NTFS");
        if !is_ntfs && !boot[82..].starts_with(b"FAT32") && !boot[54..].starts_with(b"FAT1") {
            return None;
        }
        let work = tempfile::tempdir().unwrap();
        let image = work.path().join("volume");
        extract(disk, offset, size, &image);
        if is_ntfs {
            let mounted = mount(&image, "ro,streams_interface=none");
            return Some(Self { number, root: mounted.root.clone(), _mounted: Some(mounted), _work: work });
        }
        let root = work.path().join("files");
        std::fs::create_dir(&root).unwrap();
        must("mcopy", &["-Q", "-s", "-n", "-i", arg(&image), "::/*", arg(&root)]);
        Some(Self { number, root, _mounted: None, _work: work })
    }
}

/// Offset and size of each partition in bytes, as sfdisk sees them.
pub(crate) fn partitions(disk: &Path) -> Vec<(u64, u64)> {
    let dump = must("sfdisk", &["--dump", arg(disk)]);
    let number = |line: &str, name: &str| -> Option<u64> {
        let (_, rest) = line.split_once(name)?;
        rest.trim_start().split(',').next()?.trim().parse().ok()
    };
    let lines = dump.lines().filter(|line| line.contains("start="));
    lines.map(|line| (number(line, "start=").unwrap() * 512, number(line, "size=").unwrap() * 512)).collect()
}

/// Every file of a disk's NTFS and FAT volumes by its path, `2/Windows/win.ini` being on the second partition, with the SHA-256
/// of its content; folders end with `/` and have none. NTFS is read by ntfs-3g, FAT by mtools.
///
/// # Panics
///
/// When a tool is missing or fails, or a file cannot be read but for those that ntfs-3g cannot unpack (`unreadable`).
#[must_use]
pub fn file_list(disk: &Path) -> BTreeMap<String, String> {
    let mut list = BTreeMap::new();
    for volume in volumes(disk) {
        let found = must("find", &[arg(&volume.root), "-mindepth", "1", "-printf", "%y\\t%P\\n"]);
        let entries: Vec<_> = found.lines().filter_map(|line| line.split_once('\t')).collect();
        let name = |path: &str| format!("{}/{path}", volume.number);
        let files: Vec<_> = entries.iter().filter(|(kind, _)| *kind == "f").map(|(_, path)| *path).collect();
        list.extend(
            entries
                .iter()
                .filter(|(kind, _)| *kind == "d")
                .map(|(_, path)| (name(path) + "/", String::new())),
        );
        // A packed file is a dangling link to ntfs-3g without its plug-in.
        let other = entries.iter().filter(|(kind, _)| *kind != "f" && *kind != "d");
        list.extend(other.map(|(_, path)| (name(path), "unreadable".to_owned())));
        list.extend(hashes(&volume.root, &files).into_iter().map(|(path, hash)| (name(&path), hash)));
    }
    list
}

fn hashes(root: &Path, files: &[&str]) -> Vec<(String, String)> {
    let names = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(names.path(), files.join("\0")).unwrap();
    let script = r#"cd "$1" && xargs -0 -r sha256sum -- <"$2""#;
    let sums = must("bash", &["-euc", script, "bash", arg(root), arg(names.path())]);
    sums.lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(hash, path)| (path.to_owned(), hash.to_owned()))
        .collect()
}

/// Copies a file out of a disk. The path is searched for in all volumes, without regard to case, with `/` or `\`.
///
/// # Panics
///
/// When no volume has it.
#[must_use]
pub fn file(disk: &Path, path: &str) -> Vec<u8> {
    files(disk, &[path]).remove(0)
}

/// As [`file()`], of several files, which costs little more than one.
///
/// # Panics
///
/// As [`file()`].
#[must_use]
pub fn files(disk: &Path, paths: &[&str]) -> Vec<Vec<u8>> {
    let mut found: Vec<Option<Vec<u8>>> = vec![None; paths.len()];
    for volume in volumes(disk) {
        for (path, content) in paths.iter().zip(&mut found) {
            if content.is_none() {
                *content = resolve(&volume.root, path).map(|at| std::fs::read(at).unwrap());
            }
        }
        if found.iter().all(Option::is_some) {
            break;
        }
    }
    let each = paths.iter().zip(found);
    each.map(|(path, content)| content.unwrap_or_else(|| panic!("{} has no {path}", disk.display())))
        .collect()
}

fn resolve(root: &Path, path: &str) -> Option<PathBuf> {
    path.split(['/', '\\']).filter(|part| !part.is_empty()).try_fold(root.to_path_buf(), |at, part| {
        let entries = std::fs::read_dir(at).ok()?.flatten();
        entries
            .map(|entry| entry.path())
            .find(|entry| entry.file_name().is_some_and(|name| name.eq_ignore_ascii_case(part)))
    })
}

/// Keys of a hive, each with its values, as hivexregedit sees them.
pub type Export = BTreeMap<String, BTreeMap<String, String>>;

/// Exports a hive with hivexregedit. Keys begin with `\`; `@` is the default value. Strings are shown as `sz:"…"`,
/// `expand:"…"` and `multi:"…","…"` where they are well-formed, with one zero at the end, and as bytes otherwise.
///
/// # Panics
///
/// When hivexregedit refuses the hive.
#[must_use]
pub fn export(hive: &[u8]) -> Export {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), hive).unwrap();
    let text = must("hivexregedit", &["--export", arg(file.path()), "\\"]);
    let mut keys = Export::new();
    let mut key = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            key = name.to_owned();
            keys.entry(key.clone()).or_default();
        } else if let Some((name, value)) = line.split_once("\"=").or_else(|| line.split_once("@=")) {
            let name = if name.is_empty() { "@" } else { name.trim_start_matches('"') };
            keys.get_mut(&key).unwrap().insert(name.to_owned(), shown(value));
        }
    }
    keys
}

/// A value in readable form, if that loses nothing.
fn shown(value: &str) -> String {
    readable(value).unwrap_or_else(|| value.to_owned())
}

fn readable(value: &str) -> Option<String> {
    let (kind, digits) = value.strip_prefix("hex(")?.split_once("):")?;
    let name = match kind {
        "1" => "sz",
        "2" => "expand",
        "7" => "multi",
        _ => return None,
    };
    let bytes: Vec<u8> =
        digits.split(',').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    let (pairs, []) = bytes.as_chunks::<2>() else { return None };
    let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let text = String::from_utf16(&units).ok()?;
    let text = text.strip_suffix('\0')?;
    if name == "multi" {
        let parts: Vec<_> = text.split_terminator('\0').map(|part| format!("\"{part}\"")).collect();
        let whole = text.is_empty() || text.ends_with('\0');
        return (whole && !parts.contains(&"\"\"".to_owned())).then(|| format!("multi:{}", parts.join(",")));
    }
    (!text.contains('\0')).then(|| format!("{name}:\"{text}\""))
}

/// What is different in a hive of two disks, as hivexregedit sees it: a line for each key in which something changed
/// (`[\…]`, with `+` or `-` in front when the whole key is new or gone) and below it a line for each value, `-` before and
/// `+` after. Empty when nothing changed. Neither class names nor security nor times are looked at.
///
/// # Panics
///
/// When a disk has no such file, or hivexregedit refuses it.
#[must_use]
pub fn registry_diff(before: &Path, after: &Path, hive_path_in_guest: &str) -> String {
    let hive = |disk: &Path| export(&file(disk, hive_path_in_guest));
    diff(&hive(before), &hive(after))
}

/// As [`registry_diff`], of what was exported before.
#[must_use]
pub fn diff(before: &Export, after: &Export) -> String {
    let (mut text, none) = (String::new(), BTreeMap::new());
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        let sign = match (old, new) {
            (None, _) => "+",
            (_, None) => "-",
            _ if old == new => continue,
            _ => "",
        };
        text += &format!("{sign}[{key}]\n");
        let (old, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
        let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
        for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
            let shown = if name == "@" { "@".to_owned() } else { format!("\"{name}\"") };
            text += &old.get(name).map_or(String::new(), |value| format!("-{shown}={value}\n"));
            text += &new.get(name).map_or(String::new(), |value| format!("+{shown}={value}\n"));
        }
    }
    text
}

//! A Windows guest before and after its move, by the eyes of other people's programs: files by ntfs-3g and mtools, registry by
//! hivexregedit, volumes by their checkers, descriptors by ntfssecaudit; and what the report says about all that.

use super::planned;
use crate::bench::Bench;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::SystemTime;
use test_windows_guests::{Export, Recipe, Special, diff, export, file_list, files, recipe, shared};

const CONFIG: &str = "Windows/System32/config";
const LATE: &str = "\\ControlSet001\\Services\\LateService";

/// A folder in which a guest's disks are, as `disk0.raw` and so on.
pub(crate) struct Guest {
    pub(crate) bench: Bench,
    pub(crate) recipe: &'static Recipe,
    pub(crate) disks: Vec<String>,
}

/// What a migration left behind.
pub(crate) struct Moved {
    pub(crate) report: Value,
    /// The images that were written.
    pub(crate) images: Vec<String>,
    /// The same as raw files, made by qemu-img.
    pub(crate) raw: Vec<String>,
}

impl Guest {
    pub(crate) fn new(name: &str) -> Self {
        let (bench, recipe) = (Bench::new(), recipe(name));
        let mut disks = Vec::new();
        for (number, disk) in shared(recipe).disks.iter().enumerate() {
            let name = format!("disk{number}.raw");
            bench.tool("coreutils", "cp", &["--sparse=always", disk.to_str().unwrap(), &name]);
            disks.push(name);
        }
        Self { bench, recipe, disks }
    }

    /// `migrate` of these images to `to`, into the folder `out`.
    pub(crate) fn arguments<'a>(
        images: &'a [String],
        to: &'a str,
        out: &'a str,
        more: &[&'a str],
    ) -> Vec<&'a str> {
        let mut args = vec!["migrate"];
        args.extend(images.iter().map(String::as_str));
        args.extend(["--to", to, "--out", out, "--output", "json"]);
        args.extend(more);
        args
    }

    /// Migrates, with the source looked at before and after, and reads the result with qemu-img.
    pub(crate) fn migrate(&self, to: &str, more: &[&str]) -> Moved {
        let bench = &self.bench;
        let before = self.times();
        let report = bench.rehome(&Self::arguments(&self.disks, to, "vm", more)).ends(0).json();
        self.assert_untouched(&before);
        let mut moved = Moved { images: Vec::new(), raw: Vec::new(), report };
        for (number, disk) in moved.report["disks"].as_array().unwrap().iter().enumerate() {
            let image = format!("vm/{}", disk["file"].as_str().unwrap());
            let raw = format!("after{number}.raw");
            bench.qemu_img(&["check", &image]);
            bench.qemu_img(&["convert", "-O", "raw", &image, &raw]);
            moved.images.push(image);
            moved.raw.push(raw);
        }
        assert_eq!(moved.raw.len(), self.disks.len());
        moved
    }

    /// When the sources were written last.
    pub(crate) fn times(&self) -> Vec<SystemTime> {
        let modified = |disk: &String| std::fs::metadata(self.bench.path(disk)).unwrap().modified().unwrap();
        self.disks.iter().map(modified).collect()
    }

    /// Every source holds, to the byte, what the disk holds that it is a copy of, and was not written since.
    pub(crate) fn assert_untouched(&self, times: &[SystemTime]) {
        for (disk, original) in self.disks.iter().zip(shared(self.recipe).disks) {
            self.bench.tool("diffutils", "cmp", &[disk, original.to_str().unwrap()]);
        }
        assert_eq!(self.times(), times);
    }

    /// The same again, of the result: nothing is left to be done.
    pub(crate) fn again(&self, moved: &Moved, to: &str, more: &[&str]) {
        let more = [more, &["--dry-run"]].concat();
        let report = self.bench.rehome(&Self::arguments(&moved.images, to, "again", &more)).ends(0).json();
        assert_eq!((&report["edits"], &report["obstacles"]), (&Value::Array(vec![]), &Value::Array(vec![])));
        assert_eq!(report["replays"], Value::Array(vec![]));
    }

    /// Everything that became different, as text; panics when anything did that the report does not name.
    pub(crate) fn differences(&self, moved: &Moved) -> String {
        let choice = &moved.report["choice"]["target"];
        let mut text = format!("to {}\n", choice["id"].as_str().unwrap());
        for line in moved.report["replays"].as_array().unwrap() {
            writeln!(text, "replayed: {}", line.as_str().unwrap()).unwrap();
        }
        text += &self.file_differences(moved);
        self.volumes(moved);
        text + &self.registry_differences(moved)
    }

    fn file_differences(&self, moved: &Moved) -> String {
        let bench = &self.bench;
        let planned = planned::paths(&moved.report);
        let (mut text, mut differing, mut created) = (String::new(), BTreeSet::new(), Vec::new());
        for (disk, (before, after)) in self.disks.iter().zip(&moved.raw).enumerate() {
            let (before, after) = (file_list(&bench.path(before)), file_list(&bench.path(after)));
            let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for path in all.into_iter().filter(|path| before.get(*path) != after.get(*path)) {
                differing.insert(format!("{disk}:{}", path.trim_end_matches('/')).to_lowercase());
                let sign = match (before.get(path), after.get(path)) {
                    (None, _) => '+',
                    (_, None) => '-',
                    _ => '~',
                };
                let hash = after.get(path).filter(|hash| !hash.is_empty());
                let from = hash.and_then(|hash| self.origin(&before, hash));
                let from = from.map(|path| format!(" (as {path})")).unwrap_or_default();
                writeln!(text, "{sign} {path}{from}").unwrap();
                if sign == '+' && disk == 0 && !path.ends_with('/') {
                    created.push((path.clone(), from));
                }
            }
        }
        let mut expected: BTreeSet<String> = planned.keys().cloned().collect();
        // Not an edit, but done when the volume is opened.
        if moved.report["replays"].to_string().contains("gave up the hibernated Windows") {
            expected.insert("0:3/hiberfil.sys".to_owned());
        }
        assert_eq!(differing, expected, "{text}");
        text + &self.created(moved, &planned, &created)
    }

    /// A file of the guest or of the drivers that were given, with this content.
    fn origin(&self, before: &BTreeMap<String, String>, hash: &str) -> Option<String> {
        const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        if hash == EMPTY {
            return Some("an empty file".to_owned());
        }
        let guest = before.iter().find(|(_, own)| *own == hash).map(|(path, _)| path.clone());
        guest.or_else(|| {
            self.bench.path("drivers").is_dir().then_some(())?;
            let sums =
                self.bench.bash("find drivers -type f -print0 | sort -z | xargs -0 sha256sum").ends(0).stdout;
            sums.lines().find_map(|line| line.strip_prefix(hash).map(|path| path.trim().to_owned()))
        })
    }

    /// New files: as another file, or text as the report shows it.
    fn created(
        &self,
        moved: &Moved,
        planned: &BTreeMap<String, &Value>,
        created: &[(String, String)],
    ) -> String {
        let texts: Vec<_> =
            created.iter().filter(|(_, from)| from.is_empty()).map(|(path, _)| path).collect();
        // Without the volume's number.
        let names: Vec<&str> = texts.iter().map(|path| path.split_once('/').unwrap().1).collect();
        let mut text = String::new();
        for (path, content) in texts.iter().zip(files(&self.bench.path(&moved.raw[0]), &names)) {
            let detail = planned[&format!("0:{path}").to_lowercase()]["detail"].as_str().unwrap();
            let lines = detail.lines().filter_map(|line| line.strip_prefix('+'));
            let shown: String = lines.map(|line| format!("{line}\r\n")).collect();
            let found = String::from_utf8(content).unwrap();
            assert_eq!(found, shown, "{path} is as the report says");
            if path.contains("/firstboot/") {
                writeln!(text, "\n{path}:\n{}", found.replace("\r\n", "\n").trim_end()).unwrap();
            }
        }
        text
    }

    /// SYSTEM, SOFTWARE and the boot configuration, as files of the bench.
    fn hives(&self, disk: &str) -> Vec<(&'static str, String)> {
        let store = if self.recipe.is_uefi() { "EFI/Microsoft/Boot/BCD" } else { "Boot/BCD" };
        let paths = [&format!("{CONFIG}/SYSTEM"), &format!("{CONFIG}/SOFTWARE"), store];
        let found = files(&self.bench.path(disk), &paths.map(|path: &str| path));
        let named = ["SYSTEM", "SOFTWARE", "BCD"].into_iter().zip(found);
        let written = named.map(|(hive, content)| {
            // The two sequence numbers of the base block are equal in a clean hive.
            let dirty = self.is_dirty(hive) && disk == self.disks[0];
            assert!(dirty || content[4..8] == content[8..12], "{hive} of {disk} is dirty");
            let file = format!("{disk}.{hive}");
            self.bench.write(&file, content);
            (hive, file)
        });
        written.collect()
    }

    fn is_dirty(&self, hive: &str) -> bool {
        self.recipe.has(Special::DirtyHive) && hive == "SYSTEM"
    }

    fn registry_differences(&self, moved: &Moved) -> String {
        let mut text = String::new();
        let (before, after) = (self.hives(&self.disks[0]), self.hives(&moved.raw[0]));
        for ((hive, old), (_, new)) in before.into_iter().zip(after) {
            let (mut before, after) = (export(&self.bench.read(&old)), export(&self.bench.read(&new)));
            let changes = diff(&before, &after);
            if !changes.is_empty() {
                write!(text, "\n== {hive}\n{changes}").unwrap();
            }
            if self.is_dirty(hive) {
                apply_log(&mut before, &after);
            } else {
                let rewritten = rewritten_keys(&self.bench, &old, &new);
                let named = planned::written(&changes);
                let strangers: Vec<_> = rewritten.difference(&named).collect();
                assert!(strangers.is_empty(), "{hive}: {strangers:?} were written");
            }
            planned::agrees(hive, &diff(&before, &after), &moved.report);
        }
        text
    }

    /// What checkers say of all volumes, and who may read and write what was created.
    fn volumes(&self, moved: &Moved) {
        for raw in &moved.raw {
            for (number, volume) in self.extracted(raw) {
                let mut bytes = [0; 512];
                std::fs::File::open(self.bench.path(&volume)).unwrap().read_exact(&mut bytes).unwrap();
                if bytes[3..].starts_with(b"NTFS") {
                    assert_ntfs(&self.bench, &volume);
                } else if bytes[82..].starts_with(b"FAT32") || bytes[54..].starts_with(b"FAT1") {
                    self.bench.tool("dosfstools", "/usr/sbin/fsck.fat", &["-n", &volume]);
                }
                if raw == "after0.raw" {
                    for path in planned::created(&moved.report, number) {
                        assert_closed(&self.bench, &volume, &path);
                    }
                }
                std::fs::remove_file(self.bench.path(&volume)).unwrap();
            }
        }
    }

    /// The partitions of a disk as files, with their numbers.
    fn extracted(&self, raw: &str) -> impl Iterator<Item = (u64, String)> {
        let table = self.bench.tool("fdisk", "/usr/sbin/sfdisk", &["--json", raw]);
        let table: Value = serde_json::from_str(&table).unwrap();
        let partitions = table["partitiontable"]["partitions"].as_array().unwrap().clone();
        (1..).zip(partitions).map(move |(number, partition)| {
            let name = "volume".to_owned();
            let sectors = |field: &str| partition[field].as_u64().unwrap();
            let (skip, count) = (sectors("start") * 512, sectors("size") * 512);
            let options = "bs=64K iflag=skip_bytes,count_bytes conv=sparse status=none";
            self.bench.bash(&format!("dd if={raw} of={name} skip={skip} count={count} {options}")).ends(0);
            // A hole at the end is cut off.
            let file = std::fs::OpenOptions::new().write(true).open(self.bench.path(&name)).unwrap();
            file.set_len(count).unwrap();
            (number, name)
        })
    }
}

/// Keys that are of one hive alone, or were written since, by libregf; no key has another class name.
fn rewritten_keys(bench: &Bench, old: &str, new: &str) -> BTreeSet<String> {
    const SCRIPT: &str = "
import pyregf, sys
def keys(name):
    file = pyregf.file()
    file.open(name)
    assert not file.is_corrupted()
    found, waiting = {}, [('', file.get_root_key())]
    while waiting:
        path, key = waiting.pop()
        found[path] = (key.class_name, key.get_last_written_time_as_integer())
        below = [key.get_sub_key(at) for at in range(key.number_of_sub_keys)]
        waiting.extend((path + chr(92) + each.name, each) for each in below)
    return found
old, new = keys(sys.argv[1]), keys(sys.argv[2])
for path in old.keys() & new.keys():
    assert old[path][0] == new[path][0], path
for path in old.keys() | new.keys():
    if old.get(path) != new.get(path):
        print(path or chr(92))
";
    let said = bench.tool("python3-libregf", "/usr/bin/python3", &["-c", SCRIPT, old, new]);
    said.lines().map(str::to_owned).collect()
}

/// Adds what the logs of the dirty guest hold; its service is taken from the result, and reviewed in the golden file.
fn apply_log(before: &mut Export, after: &Export) {
    let name = "\\ControlSet001\\Control\\ComputerName\\ComputerName";
    assert_eq!(after[name]["ComputerName"], "sz:\"AFTERLOG\"");
    assert!(!before.contains_key(LATE));
    before.insert(LATE.to_owned(), after[LATE].clone());
    before.get_mut(name).unwrap().insert("ComputerName".to_owned(), "sz:\"AFTERLOG\"".to_owned());
}

fn assert_ntfs(bench: &Bench, volume: &str) {
    bench.tool("ntfs-3g", "ntfsfix", &["-n", volume]);
    bench.tool("ntfs-3g", "ntfs-3g.probe", &["--readwrite", volume]);
    let info = bench.tool("ntfs-3g", "ntfsinfo", &["-m", volume]);
    assert!(info.contains("Volume Flags: 0x0000"), "{info}");
}

/// Only SYSTEM and Administrators (owner) have access, and full access.
fn assert_closed(bench: &Bench, volume: &str, path: &str) {
    let audit = bench.tool("ntfs-3g", "ntfssecaudit", &["-v", volume, path]);
    let dump = audit.lines().filter_map(|line| line.trim_start().split_once("  "));
    let words = dump.filter(|(at, _)| at.len() == 6 && at.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let found: String = words.flat_map(|(_, words)| words.split_whitespace()).collect();
    // Revision and control; offsets of owner, group, SACL, DACL; a DACL of two entries.
    let (system, administrators) = ("010100000000000512000000", "01020000000000052000000020020000");
    let expected = |control: &str, flags: &str| {
        format!(
            "0100{control}48000000580000000000000014000000020034000200000000{flags}1400ff011f00{system}\
             00{flags}1800ff011f00{administrators}{administrators}{system}"
        )
    };
    let allowed = [expected("0490", "03"), expected("0484", "13"), expected("0484", "10")];
    let at = usize::from(path != "Windows/rehome");
    assert!(allowed[at..=at * 2].contains(&found), "{path}: {found}\n{audit}");
}

/// Compares with the reviewed file, or writes it.
pub(crate) fn agrees(name: &str, found: &str) {
    const UPDATE: &str = "REHOME_UPDATE_SNAPSHOTS";
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rehome/windows/golden");
    let path = golden.join(format!("{name}.txt"));
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{} differs from\n{found}\nreview it, then set {UPDATE}", path.display());
}

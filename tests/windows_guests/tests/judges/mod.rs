//! Other people's programs that judge disks, volumes and hives.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn run(name: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("timeout")
        .args(["120", name])
        .args(arguments)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {name}: {e}"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn must(name: &str, arguments: &[&str]) -> String {
    let (ok, text) = run(name, arguments);
    assert!(ok, "{name} {arguments:?}: {text}");
    text
}

/// What sfdisk says about a disk, after it verified the table.
pub fn sfdisk(disk: &Path) -> String {
    let verified = must("sfdisk", &["--verify", disk.to_str().unwrap()]);
    assert!(verified.contains("No errors detected"), "{verified}");
    must("sfdisk", &["--dump", disk.to_str().unwrap()])
}

/// A field of a line of sfdisk's.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("{line} has no {name}"));
    rest.split(',').next().unwrap().trim()
}

/// A volume that was copied out of a disk.
pub struct VolumeImage {
    pub path: PathBuf,
    _folder: TempDir,
}

/// Copies the volume of a partition.
pub fn volume(disk: &Path, number: usize) -> VolumeImage {
    let table = sfdisk(disk);
    let line = table.lines().filter(|line| line.contains("start=")).nth(number - 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    let arguments = [
        format!("if={}", disk.display()),
        format!("of={}", path.display()),
        format!("skip={}", field(line, "start=")),
        format!("count={}", field(line, "size=")),
        "conv=sparse".to_owned(),
        "status=none".to_owned(),
    ];
    must("dd", &arguments.each_ref().map(String::as_str));
    let size: u64 = field(line, "size=").parse().unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size * 512).unwrap();
    VolumeImage { path, _folder: folder }
}

impl VolumeImage {
    /// ntfsfix, ntfsinfo, ntfssecaudit and ntfsresize find nothing to say, and ntfs-3g would mount it for writing if it is
    /// not hibernated.
    pub fn assert_ntfs(&self, hibernated: bool) {
        let path = self.path.to_str().unwrap();
        let (ok, said) = run("ntfs-3g.probe", &["--readwrite", path]);
        assert_eq!(ok, !hibernated, "{said}");
        assert_eq!(said.contains("hibernated"), hibernated, "{said}");
        let fixed = must("ntfsfix", &["-n", path]);
        assert!(fixed.contains("processed successfully"), "{fixed}");
        must("ntfsinfo", &["-m", path]);
        let audited = must("ntfssecaudit", &["-a", path]);
        assert!(audited.contains("No errors were found"), "{audited}");
        let (_, counted) = run("ntfsresize", &["--info", "--force", "--no-progress-bar", path]);
        assert!(!counted.contains("inconsistent") && !counted.contains("accounting failed"), "{counted}");
    }

    /// fsck.fat finds nothing.
    pub fn assert_fat(&self) {
        must("fsck.fat", &["-n", self.path.to_str().unwrap()]);
    }
}

/// Number of keys and values of a hive, as libregf's Python module sees them.
pub fn python_counts(hive: &[u8]) -> (usize, usize) {
    const SCRIPT: &str = "
import pyregf, sys
file = pyregf.file()
file.open(sys.argv[1])
assert not file.is_corrupted()
keys, values, waiting = 0, 0, [file.get_root_key()]
while waiting:
    key = waiting.pop()
    keys, values = keys + 1, values + key.number_of_values
    waiting.extend(key.get_sub_key(at) for at in range(key.number_of_sub_keys))
print(keys, values)
";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), hive).unwrap();
    let said = must("/usr/bin/python3", &["-c", SCRIPT, file.path().to_str().unwrap()]);
    let mut numbers = said.split_whitespace().map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Which partition of sfdisk's table a device element names: its offset and the disk's signature, or both GUIDs.
pub fn bcd_device(element: &str, table: &str) -> Option<usize> {
    let digits = element.strip_prefix("hex(3):").unwrap();
    let bytes: Vec<u8> = digits.split(',').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    assert_eq!((bytes.len(), bytes[0x10], bytes[0x18]), (88, 6, 0x48));
    let id = table.lines().find_map(|line| line.strip_prefix("label-id: ")).unwrap();
    let mut lines = table.lines().filter(|line| line.contains("start="));
    if table.contains("label: gpt") {
        assert_eq!(guid(&bytes[0x38..]), id);
        return lines.position(|line| field(line, "uuid=") == guid(&bytes[0x20..])).map(|at| at + 1);
    }
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    assert_eq!((format!("0x{:08x}", number(0x38, 4)), bytes[0x34]), (id.to_owned(), 1));
    let starts = |line: &str| field(line, "start=").parse::<u64>().unwrap() * 512;
    lines.position(|line| starts(line) == number(0x20, 8)).map(|at| at + 1)
}

fn guid(bytes: &[u8]) -> String {
    let order = [3, 2, 1, 0, 99, 5, 4, 99, 7, 6, 99, 8, 9, 99, 10, 11, 12, 13, 14, 15];
    let part = |at: &usize| if *at == 99 { "-".to_owned() } else { format!("{:02X}", bytes[*at]) };
    order.iter().map(part).collect()
}

/// The text of a value as `export` shows it.
pub fn text_of(shown: &str) -> &str {
    shown.split_once('"').and_then(|(_, rest)| rest.strip_suffix('"')).unwrap_or("")
}

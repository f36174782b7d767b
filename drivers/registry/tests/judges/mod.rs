//! Other people's hives, and other people's programs that read them.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use driver_registry::{Hive, Kind, Visit};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Hives and logs of the collection beside the repository, or where `REHOME_CORPUS` says, by their paths in it without
/// the ending of the compression. Without it: loud, and under CI an error.
pub fn foreign() -> Option<BTreeMap<String, Vec<u8>>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    let archive = corpus.join("third-party.tar.zst");
    if !archive.is_file() {
        let message = format!("the image collection is not in {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("NOT RUN: {message}");
        return None;
    }
    let folder = unpacked(&archive);
    let listing = Command::new("find").arg(&folder).args(["-type", "f", "-printf", "%P\n"]).output().unwrap();
    let names = said(&listing);
    let file = |name: &str| (name.to_owned(), std::fs::read(folder.join(name)).unwrap());
    let files: BTreeMap<_, _> = names.lines().map(file).collect();
    assert!(files.len() >= 45, "{}", files.len());
    Some(files)
}

/// Unpacks the hives below `target/`, once for each version of the archive. Tests run beside each other in processes of
/// their own: the first one unpacks, the others wait.
fn unpacked(archive: &Path) -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hives");
    std::fs::create_dir_all(&parent).unwrap();
    let lock = std::fs::File::create(parent.join("lock")).unwrap();
    lock.lock().unwrap();
    let folder = parent.join(archive.metadata().unwrap().len().to_string());
    if folder.is_dir() {
        return folder;
    }
    let fresh = tempfile::tempdir_in(&parent).unwrap();
    let script = r#"cd "$2"
        zstd -dcq --long=31 "$1" | tar -xf - --strip-components=1 --no-same-owner --wildcards "third-party/yarp/*" \
            "third-party/hivex/*" "third-party/regipy/*" "third-party/notatin/*" "third-party/plaso/regf/*" \
            "third-party/dfwinreg/*" "third-party/python-registry/*"
        chmod -R u+w .
        find . -name "*.gz" -exec gzip -d {} + && find . -name "*.xz" -exec xz -d {} +"#;
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script, "bash"])
        .args([&archive.canonicalize().unwrap(), fresh.path()])
        .output()
        .unwrap();
    said(&output);
    std::fs::rename(fresh.keep(), &folder).unwrap();
    folder
}

/// The hives of the collection that are whole, and so can be edited. Dirty ones among them are declared clean: they are
/// whole as they lie, and what their logs hold does not matter here.
pub fn editable() -> Option<Vec<(String, Vec<u8>)>> {
    let mut hives: Vec<_> = foreign()?.into_iter().collect();
    hives.retain(|(_, bytes)| Hive::open(bytes.clone()).is_ok_and(|hive| hive.check().is_ok()));
    for (_, bytes) in &mut hives {
        bytes.copy_within(4..8, 8);
        crate::maker::seal(bytes);
    }
    assert_eq!(hives.len(), 32, "{:?}", hives.iter().map(|hive| &hive.0).collect::<Vec<_>>());
    Some(hives)
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs a foreign program on a file with `bytes`, whose path is its last argument or the one before `behind`.
fn judged(program: &str, args: &[&str], bytes: &[u8], behind: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let run = Command::new("timeout")
        .args(["120", program])
        .args(args)
        .arg(file.path())
        .args(behind)
        .env("PERL_UNICODE", "SO")
        .output();
    run.unwrap_or_else(|error| panic!("cannot run {program}: {error} (tests/packages.sh test)"))
}

/// What hivexregedit exports of a hive. `Err`: what it says when it cannot.
pub fn hivex_export(bytes: &[u8]) -> Result<String, String> {
    let output = judged("hivexregedit", &["--export"], bytes, &["\\"]);
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8(output.stdout.clone()).unwrap()) } else { Err(text()) }
}

/// Names of keys, values and their data, by the names that hivexregedit gives them.
pub type Content = BTreeMap<String, BTreeMap<String, String>>;

/// Reads an export.
pub fn parse_export(text: &str) -> Content {
    let mut content = Content::new();
    let mut key = String::new();
    for line in text.lines().skip(1) {
        if let Some(path) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            key = path.to_owned();
            content.entry(key.clone()).or_default();
        } else if !line.is_empty() {
            let (name, data) = line.rsplit_once('=').unwrap();
            content.get_mut(&key).unwrap().insert(name.to_owned(), data.to_owned());
        }
    }
    content
}

/// Where two hives differ first, in a few words.
pub fn first_difference(ours: &Content, theirs: &Content) -> Option<String> {
    let key = ours.keys().chain(theirs.keys()).find(|key| ours.get(*key) != theirs.get(*key))?;
    let (Some(ours), Some(theirs)) = (ours.get(key), theirs.get(key)) else {
        return Some(format!("only one has {key:?}, ours: {}", ours.contains_key(key)));
    };
    let name = ours.keys().chain(theirs.keys()).find(|name| ours.get(*name) != theirs.get(*name))?;
    let short = |data: Option<&String>| data.map(|data| format!("{:.80} ({} characters)", data, data.len()));
    Some(format!("{key:?} {name}: {:?} and {:?}", short(ours.get(name)), short(theirs.get(name))))
}

/// How hivexregedit writes data.
pub fn exported_data(kind: Kind, data: &[u8]) -> String {
    match (kind, data) {
        (Kind::DWORD, [a, b, c, d]) => format!("dword:{d:02x}{c:02x}{b:02x}{a:02x}"),
        _ => {
            let hex: Vec<_> = data.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("hex({:x}):{}", kind.0, hex.join(","))
        }
    }
}

/// How hivexregedit writes the name of a value.
pub fn exported_name(name: &str) -> String {
    match name {
        "" => "@".to_owned(),
        name => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// The content of a hive as we read it, in the words of hivexregedit.
pub fn our_content(hive: &Hive) -> Content {
    let mut content = Content::new();
    let mut path: Vec<String> = Vec::new();
    for visit in hive.walk() {
        let Visit { key, depth } = visit.unwrap();
        path.truncate(depth.saturating_sub(1));
        if depth > 0 {
            path.push(key.name().to_string());
        }
        let values = content.entry(format!("\\{}", path.join("\\"))).or_default();
        for value in key.values().unwrap() {
            let read = value.read().unwrap();
            values.insert(exported_name(&value.name().to_string()), exported_data(read.kind, &read.data));
        }
    }
    content
}

/// Reads a hive with libregf, and writes a line for each key and value: names and data in hex, times and types.
///
/// Left out is what libregf 20201007 gets wrong, where hivex, dissect.regf and the specification agree with us: data of one
/// to three bytes, which lie in the value itself; and what is behind the first zero in strings, which it often drops.
const LIBREGF: &str = r"
import pyregf, sys
f = pyregf.file()
f.open(sys.argv[1])
def text(kind, x):
    if kind not in (1, 2, 6, 7): return x
    ends = [i for i in range(0, len(x) - 1, 2) if x[i:i + 2] == b'\0\0']
    return x[:ends[0]] if ends else x[:len(x) // 2 * 2]
def data(x): return str(len(x)) + ' bytes' if 0 < len(x) < 4 else x.hex()
def name(x): return (x or '').encode('utf-16-le', 'surrogatepass').hex()
waiting = [f.get_root_key()]
while waiting:
    key = waiting.pop()
    print('K', name(key.name), key.get_last_written_time_as_integer(), name(key.class_name))
    for value in key.values: print('V', name(value.name), value.type, data(text(value.type, value.data or b'')))
    waiting.extend(key.get_sub_key(i) for i in reversed(range(key.number_of_sub_keys)))
";

/// What libregf reads, key by key, each before its subkeys.
pub fn libregf(bytes: &[u8]) -> Result<String, String> {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), LIBREGF).unwrap();
    let output = judged("/usr/bin/python3", &[script.path().to_str().unwrap()], bytes, &[]);
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(String::from_utf8(output.stdout.clone()).unwrap()) } else { Err(text()) }
}

/// The same from our reader.
pub fn like_libregf(hive: &Hive) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let name = |units: &[u16]| hex(&units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>());
    let mut text = String::new();
    for visit in hive.walk() {
        let key = visit.unwrap().key;
        let class: Vec<u16> = key
            .class()
            .unwrap()
            .unwrap_or_default()
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        writeln!(text, "K {} {} {}", name(key.name().units()), key.last_written().0, name(&class)).unwrap();
        for value in key.values().unwrap() {
            let read = value.read().unwrap();
            let is_text = matches!(read.kind.0, 1 | 2 | 6 | 7);
            let mut data = &read.data[..];
            if is_text {
                let end = data.chunks_exact(2).take_while(|unit| *unit != [0, 0]).count();
                data = &data[..end * 2];
            }
            let data = match data.len() {
                few @ 1..4 => format!("{few} bytes"),
                _ => hex(data),
            };
            writeln!(text, "V {} {} {data}", name(value.name().units()), read.kind.0).unwrap();
        }
    }
    text
}

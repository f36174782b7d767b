//! The collected images of other products.

use crate::compare::{Case, compare_all};
use crate::known::KNOWN;
use crate::readers::Reader;
use interop::run;
use std::path::{Path, PathBuf};

/// The formats of the lists that another reader knows, as their lists call them.
const FORMATS: [&str; 4] = ["qcow2", "vmdk", "vhdx", "vhd"];

/// Where the collection lies. Without it nothing can be tested: loud, and under CI an error.
fn collection() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    if folder.join("made.tar.zst").is_file() {
        return Some(folder);
    }
    let message = format!("the image collection is not in {}: set REHOME_CORPUS", folder.display());
    assert!(std::env::var_os("CI").is_none(), "{message}");
    eprintln!("NOT RUN: {message}");
    None
}

/// Unpacks what is wanted of an archive, and inside that what is compressed, below a folder that ends with the test.
fn unpack(archive: &Path, members: &[&str], folder: &Path) {
    let list = folder.join("members");
    std::fs::write(&list, members.join("\n")).unwrap();
    let script = "cd \"$2\"; zstd -dcq --long=31 \"$1\" | tar -xS --no-same-owner -T members
                  find . -type f \\( -name '*.gz' -o -name '*.bz2' -o -name '*.xz' -o -name '*.zst' \\) | while read -r f; do
                      case $f in *.gz) gzip -dkq \"$f\" ;; *.bz2) bzip2 -dkq \"$f\" ;; *.xz) xz -dkq \"$f\" ;; *) zstd -dkq \"$f\" ;; esac
                  done";
    let (archive, folder) = (archive.to_str().unwrap(), folder.to_str().unwrap());
    run("zstd", 300, "bash", &["-euo", "pipefail", "-c", script, "bash", archive, folder]);
}

/// The images of a list that lie in files of their own.
fn cases(list: &Path, hash_column: usize, prefix: &str, folder: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(list).unwrap();
    let rows: Vec<Vec<_>> = text.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    let wanted = |row: &&Vec<&str>| FORMATS.contains(&row[1]) && row.len() > hash_column;
    let members: Vec<String> = rows.iter().filter(wanted).map(|row| format!("{prefix}{}", row[0])).collect();
    let archive = list.with_extension("tar.zst");
    unpack(&archive, &members.iter().map(String::as_str).collect::<Vec<_>>(), folder);
    let alone = |row: &&Vec<&str>| {
        // Disks of gigabytes are left to the other tests.
        let size = row[hash_column - 1].parse::<u64>().unwrap_or(0);
        wanted(row) && row[hash_column] != "aux" && size <= 256 << 20
    };
    let rows = rows.iter().filter(alone);
    rows.map(|row| {
        let packed = folder.join(format!("{prefix}{}", row[0]));
        let is_packed =
            packed.extension().is_some_and(|e| ["gz", "bz2", "xz", "zst"].map(Some).contains(&e.to_str()));
        let format = FORMATS.iter().find(|format| **format == row[1]).unwrap();
        Case {
            name: row[0].into(),
            path: if is_packed { packed.with_extension("") } else { packed },
            format,
            recorded: (row[hash_column].len() == 64).then(|| row[hash_column].into()),
        }
    })
    .collect()
}

/// The folders of the first list are called after formats.
fn is_made(file: &str) -> bool {
    FORMATS.iter().any(|format| file.strip_prefix(format).is_some_and(|rest| rest.starts_with('/')))
}

#[test]
fn images_made_for_testing() {
    let Some(collection) = collection() else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let cases = cases(&collection.join("made.tsv"), 3, "./", folder.path());
    compare_all(is_made, &cases);
}

#[test]
fn images_of_other_projects() {
    let Some(collection) = collection() else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let cases = cases(&collection.join("third-party.tsv"), 4, "third-party/", folder.path());
    compare_all(|file| file.contains('/') && !is_made(file), &cases);
}

#[test]
fn every_known_difference_is_of_an_image_that_is_tried() {
    for known in KNOWN {
        let format = ["qemu ", "ours ", "chain "].iter().find_map(|start| known.file.strip_prefix(start));
        let is_made =
            format.is_some_and(|rest| Reader::of(rest.split(' ').next().unwrap()).contains(&known.reader));
        assert!(is_made || known.file.contains('/'), "{known:?}");
    }
}

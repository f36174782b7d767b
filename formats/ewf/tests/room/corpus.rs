//! The image collection: what other people's programs made, with the hash of each disk.

use crate::files::{check, content, open, prove};
use format_core::ErrorKind;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Images that hold no hash of their disk.
const WITHOUT_HASH: &[&str] = &[];

/// The list of an archive of the collection, whose images it unpacks into `folder`; `None` without a collection.
fn unpack(name: &str, members: &[&str], folder: &Path) -> Option<String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("REHOME_CORPUS").map_or(beside, PathBuf::from);
    let archive = corpus.join(format!("{name}.tar.zst"));
    if !archive.is_file() {
        let message = format!("the image collection is not in {}: set REHOME_CORPUS", corpus.display());
        assert!(std::env::var_os("CI").is_none(), "{message}");
        eprintln!("skipped: {message}");
        return None;
    }
    let mut tar = Command::new("tar");
    tar.args(["--wildcards", "-I", "zstd -d --long=31", "-xf"])
        .arg(&archive)
        .arg("-C")
        .arg(folder)
        .args(members);
    assert!(tar.status().unwrap().success(), "tar of {}", archive.display());
    let unzipped = Command::new("gzip").args(["-dr"]).arg(folder).status().unwrap();
    assert!(unzipped.success(), "gzip in {}", folder.display());
    Some(std::fs::read_to_string(corpus.join(format!("{name}.tsv"))).unwrap())
}

/// The rows of a list that are images of this format: file, size and hash of the disk.
fn rows(list: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    list.lines().filter_map(|line| {
        let columns: Vec<_> = line.split('\t').collect();
        let found = columns.iter().position(|column| *column == "ewf").filter(|found| *found == 1)?;
        // One list has a column more.
        let hash =
            columns.iter().skip(found + 1).position(|column| column.len() == 64 || *column == "reject")?;
        Some((columns[0].trim_end_matches(".gz"), columns[found + hash], columns[found + 1 + hash]))
    })
}

fn assert_good(path: &Path, size: &str, hash: &str) {
    let image = open(path).unwrap();
    let bytes = content(&image).unwrap();
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((bytes.len().to_string().as_str(), found.as_str()), (size, hash), "{}", path.display());
    assert!(image.warnings.is_empty(), "{}: {:?}", path.display(), image.warnings);
    if !WITHOUT_HASH.iter().any(|name| path.ends_with(name)) {
        prove(&image).unwrap();
    }
    let report = check(path);
    assert!(report.is_clean(), "{}: {report:?}", path.display());
}

#[test]
fn images_of_other_programs_have_the_recorded_content() {
    let folder = tempfile::tempdir().unwrap();
    let Some(list) = unpack("third-party", &["*.E0?.gz", "*.e01.gz", "*.E0?", "*.Ex01.gz"], folder.path())
    else {
        return;
    };
    let (mut good, mut refused) = (0, 0);
    for (file, size, hash) in rows(&list) {
        let path = folder.path().join("third-party").join(file);
        if hash == "reject" {
            // One is named like a second segment, which nobody opens alone.
            let kind = open(&path).and_then(|image| content(&image)).err().map(|error| error.kind());
            assert!(matches!(kind, Some(ErrorKind::Corrupt | ErrorKind::Usage)), "{file}: {kind:?}");
            refused += 1;
        } else if file.ends_with(".Ex01") {
            let error = open(&path).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.hint_text().unwrap().contains("ewfexport"));
            refused += 1;
        } else {
            assert_good(&path, size, hash);
            good += 1;
        }
    }
    assert!(good >= 9 && refused >= 4, "{good} read, {refused} refused");
}

#[test]
fn images_that_were_made_for_the_collection_have_the_recorded_content() {
    let folder = tempfile::tempdir().unwrap();
    let Some(list) = unpack("made", &["*ewf/*"], folder.path()) else { return };
    let mut files = Vec::new();
    for (file, size, hash) in rows(&list) {
        assert_good(&folder.path().join(file), size, hash);
        files.push(file);
    }
    assert_eq!(files, ["ewf/plain.E01"]);
    // Its length was not known when it was made, and no list has its hash: its own tells.
    let image = open(&folder.path().join("ewf/stream.E01")).unwrap();
    prove(&image).unwrap();
}

//! The sample images are what their manifest says, and their recipes still make them.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;
use xtask::project_root;

/// Above this a sample makes every clone slow.
const MAX_BYTES: u64 = 1 << 20;

/// A line of MANIFEST.tsv.
struct Sample {
    image: String,
    virtual_size: u64,
    file_sha256: String,
    raw_sha256: String,
    recipe: String,
}

fn samples() -> Vec<Sample> {
    let text = fs::read_to_string(project_root().join("samples/MANIFEST.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<_> = lines
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [image, _, size, file, raw, _, recipe] => Sample {
                image: image.into(),
                virtual_size: size.parse().unwrap(),
                file_sha256: file.into(),
                raw_sha256: raw.into(),
                recipe: recipe.into(),
            },
            _ => panic!("seven columns are wanted: {line}"),
        })
        .collect();
    assert!(!samples.is_empty());
    samples
}

/// What a program of a Debian package prints. It must end well within two minutes.
fn output(package: &str, program: &[&str], folder: &Path) -> String {
    let output = Command::new("timeout").arg("120").args(program).current_dir(folder).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} (package {package}): {}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn sha256(file: &Path) -> String {
    let line = output("coreutils", &["sha256sum", file.to_str().unwrap()], Path::new("/"));
    line.split(' ').next().unwrap().to_owned()
}

#[test]
fn images_are_small_and_read_as_the_manifest_says() {
    let dir = tempfile::tempdir().unwrap();
    for sample in samples() {
        let image = project_root().join("samples").join(&sample.image);
        let raw = dir.path().join("disk.raw");
        assert!(fs::metadata(&image).unwrap().len() <= MAX_BYTES, "{}", sample.image);
        assert_eq!(sha256(&image), sample.file_sha256, "{}", sample.image);
        let convert = ["qemu-img", "convert", "-O", "raw", image.to_str().unwrap(), raw.to_str().unwrap()];
        output("qemu-utils", &convert, dir.path());
        assert_eq!(fs::metadata(&raw).unwrap().len(), sample.virtual_size, "{}", sample.image);
        assert_eq!(sha256(&raw), sample.raw_sha256, "{}", sample.image);
    }
}

#[test]
fn recipes_make_the_same_disks_again() {
    let dir = tempfile::tempdir().unwrap();
    for sample in samples() {
        let folder = project_root().join("samples");
        let again = dir.path().join(&sample.image);
        let recipe = folder.join(&sample.recipe);
        let printed =
            output("see tests/packages.sh", &[recipe.to_str().unwrap(), again.to_str().unwrap()], dir.path());
        assert_eq!(printed.trim(), sample.raw_sha256, "{}: other versions of Debian's tools?", sample.recipe);
        let image = folder.join(&sample.image);
        let compare = ["qemu-img", "compare", again.to_str().unwrap(), image.to_str().unwrap()];
        assert_eq!(output("qemu-utils", &compare, dir.path()).trim(), "Images are identical.");
    }
}

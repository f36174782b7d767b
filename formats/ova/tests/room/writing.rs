//! Archives that are written, judged by GNU tar, Python and the programs that made their digests.

use crate::builder::{Package, bytes_of, content, open, run};
use crate::golden::{check, prove};
use format_core::{ErrorKind, FileTarget, MemTarget};
use format_ova::OvaWriter;

#[test]
fn what_is_written_is_a_package() {
    let package = Package::usual();
    let (path, ovf) = (package.path().join("vm.ova"), std::fs::read(package.ovf()).unwrap());
    let target = FileTarget::create(&path, false).unwrap();
    let mut writer = OvaWriter::new(Box::new(target), "vm.ovf", &ovf).unwrap();
    assert!(!path.exists(), "nothing before the end");
    let told = std::sync::atomic::AtomicU64::new(0);
    for (name, bytes) in [("a.img", content(1, 5000)), ("b c.img", content(2, 6000))] {
        let tick = |len| {
            told.fetch_add(len, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        };
        writer.add(name, bytes.len() as u64, &mut bytes.as_slice(), &tick).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(told.into_inner(), 11_000);

    let images = open(&path).unwrap();
    assert!(images.iter().all(|image| image.warnings.is_empty()));
    assert!(bytes_of(&images[0].disk) == content(2, 6000) && bytes_of(&images[1].disk) == content(1, 5000));
    assert!(check(&path).is_clean());
    assert!(matches!(prove(&path).as_slice(), [Some(Ok(())), Some(Ok(())), None]));

    let listed = run(package.path(), "tar", &["-tf", "vm.ova"]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["vm.ovf", "a.img", "b c.img", "vm.mf"]);
    let python = "import tarfile\nprint([m.name for m in tarfile.open('vm.ova')])";
    assert!(run(package.path(), "python3", &["-c", python]).contains("'b c.img', 'vm.mf'"));
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "tar", &["-xf", path.to_str().unwrap()]);
    // The form of BSD's tools, which sha256sum checks.
    let manifest = std::fs::read_to_string(folder.path().join("vm.mf")).unwrap();
    let lines = manifest.replace("SHA256(", "SHA256 (").replace(")= ", ") = ");
    std::fs::write(folder.path().join("sums"), lines).unwrap();
    let judged = run(folder.path(), "sha256sum", &["--strict", "-c", "sums"]);
    assert_eq!(judged.matches(": OK").count(), 3, "{judged}");
}

#[test]
fn what_makes_no_package_is_refused() {
    let new =
        |name| OvaWriter::new(Box::<MemTarget>::default(), name, b"<x/>").err().map(|error| error.kind());
    for name in ["", ".ovf", "vm", "vm.txt", "../vm.ovf", "/vm.ovf"] {
        assert_eq!(new(name), Some(ErrorKind::Usage), "{name}");
    }
    let target = MemTarget::default();
    let mut writer = OvaWriter::new(Box::new(target.clone()), "vm.ovf", b"<x/>").unwrap();
    let mut add =
        |name: &str, size| writer.add(name, size, &mut [1u8; 600].as_slice(), &|_| Ok(())).err().unwrap();
    assert_eq!(add("vm.ovf", 600).kind(), ErrorKind::Usage);
    assert_eq!(add("vm.mf", 600).kind(), ErrorKind::Usage);
    assert_eq!(add("a\nb", 600).kind(), ErrorKind::Usage);
    assert_eq!(add("short", 601).kind(), ErrorKind::Corrupt);
    assert_eq!(add("long", 599).kind(), ErrorKind::Corrupt);
    drop(writer);
    assert!(target.committed_bytes().is_none());
}

/// A size beyond 8 GiB, whose bytes nobody wants to write: other programs only have to find it in the header.
#[test]
fn large_files_have_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let target = MemTarget::default();
    let mut writer = OvaWriter::new(Box::new(target), "vm.ovf", b"<x/>").unwrap();
    let stop = |_| Err(format_core::Error::new(ErrorKind::Temporary, "stop"));
    let error = writer.add("a.vmdk", 9 << 30, &mut std::io::repeat(1), &stop).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Temporary);
    let header = tar_members::NewMember {
        name: "a.vmdk",
        stored: 9 << 30,
        modified: 0,
        dialect: tar_members::Dialect::Ustar,
    };
    std::fs::write(folder.path().join("big.tar"), header.header().unwrap()).unwrap();
    let python = "import tarfile\nprint(tarfile.open('big.tar').firstmember.size)";
    assert_eq!(run(folder.path(), "python3", &["-c", python]).trim(), (9u64 << 30).to_string());
}

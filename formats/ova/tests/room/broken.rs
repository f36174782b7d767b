//! Good packages with one thing broken.

use crate::builder::{Package, content, envelope, refused, run};
use crate::golden::check;
use format_core::ErrorKind;

const FILE: &str = r#"<File ovf:id="f" ovf:href="a.img" ovf:size="5000"/>"#;
const DISK: &str = r#"<Disk ovf:diskId="d" ovf:capacity="5000" ovf:fileRef="f"/>"#;

fn says(envelope: &str, kind: ErrorKind, text: &str) {
    let package = Package::new(envelope);
    package.add("a.img", &content(1, 5000));
    for path in [package.ovf(), package.archive(&["vm.ovf", "a.img"])] {
        let error = refused(&path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn envelopes() {
    let of = |files: &str, disks: &str| envelope(files, disks, "");
    let good = of(FILE, DISK);
    let package = Package::new(&good);
    package.add("a.img", &content(1, 5000));
    assert!(crate::builder::open(&package.ovf()).is_ok());
    says(
        &of(&FILE.replace(r#"ovf:href="a.img""#, ""), DISK),
        ErrorKind::Corrupt,
        "File of the envelope has no href",
    );
    says(&of(&FILE.replace("5000", "5 kB"), DISK), ErrorKind::Corrupt, "size of element File");
    says(&of(&FILE.replace("5000", "5001"), DISK), ErrorKind::Corrupt, "5000 bytes, 5001 were announced");
    says(&of(&(FILE.to_owned() + FILE), DISK), ErrorKind::Corrupt, "two elements File");
    says(&of(FILE, &(DISK.to_owned() + DISK)), ErrorKind::Corrupt, "two elements Disk");
    says(
        &of(FILE, &DISK.replace(r#"fileRef="f""#, r#"fileRef="g""#)),
        ErrorKind::Corrupt,
        "not in the References",
    );
    says(&of(FILE, &DISK.replace("5000", "5000x")), ErrorKind::Corrupt, "capacity of element Disk");
    let unit = DISK.replace("ovf:fileRef", r#"ovf:capacityAllocationUnits="byte * 2^63" ovf:fileRef"#);
    says(&of(FILE, &unit), ErrorKind::Corrupt, "capacity of element Disk");
    let blank = r#"<Disk ovf:diskId="d" ovf:capacity="${size}"/>"#;
    says(&of(FILE, blank), ErrorKind::Unsupported, "capacity is not known");
    let delta = DISK.replace("ovf:fileRef", r#"ovf:parentRef="base" ovf:fileRef"#);
    says(&of(FILE, &delta), ErrorKind::Unsupported, "difference to disk");
    let with = |word: &str| FILE.replace("ovf:size", &format!("ovf:compression=\"{word}\" ovf:size"));
    says(&of(&with("bzip2"), DISK), ErrorKind::Unsupported, "only gzip");
    says(&of(&with("gzip"), DISK), ErrorKind::Corrupt, "said to be compressed");
    let chunk = FILE.replace("ovf:size", r#"ovf:chunkSize="0" ovf:size"#);
    says(&of(&chunk, DISK), ErrorKind::Corrupt, "chunkSize");
    says(&of(&FILE.replace("a.img", "http://host/a.img"), DISK), ErrorKind::Unsupported, "lies elsewhere");
    says(&of(&FILE.replace("a.img", "gone.img"), DISK), ErrorKind::SourceMissing, "gone.img");
    says(&of(FILE, ""), ErrorKind::Unsupported, "holds no disk");
    says(
        &good.replace("<!-- made", "<!DOCTYPE x [<!ENTITY a \"b\">]><!-- made"),
        ErrorKind::Unsupported,
        "document type",
    );
    says(&good.replace("</References>", ""), ErrorKind::Corrupt, "cannot be read at byte");
    says(&good.replace("&lt;disks", "&nope;disks"), ErrorKind::Corrupt, "entity");
    says(&good[..good.len() - 20], ErrorKind::Corrupt, "cannot be read at byte");
}

#[test]
fn names_that_lead_elsewhere() {
    let envelope = envelope(&FILE.replace("a.img", "../a.img"), DISK, "");
    let package = Package::new(&envelope);
    std::fs::create_dir(package.path().join("in")).unwrap();
    package.add("a.img", &content(1, 5000));
    std::fs::rename(package.ovf(), package.path().join("in/vm.ovf")).unwrap();
    assert_eq!(refused(&package.path().join("in/vm.ovf")).kind(), ErrorKind::Denied);
    run(package.path(), "tar", &["-cPf", "vm.ova", "--transform", "s,^in/,,", "in/vm.ovf"]);
    assert_eq!(refused(&package.path().join("vm.ova")).kind(), ErrorKind::SourceMissing);
}

#[test]
fn members_that_are_not_what_they_seem() {
    let package = Package::usual();
    let path = package.path();
    let refuse = |arguments: &[&str], kind, text: &str| {
        run(path, "tar", arguments);
        let error = refused(&path.join("vm.ova"));
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    let outside = ["-cPf", "vm.ova", "vm.ovf", "b c.img", "--transform", "s,^a.img,../a.img,", "a.img"];
    refuse(&outside, ErrorKind::Denied, "outside");
    let absolute = ["-cPf", "vm.ova", "vm.ovf", "b c.img", "--transform", "s,^a.img,/a.img,", "a.img"];
    refuse(&absolute, ErrorKind::Denied, "outside");
    run(path, "tar", &["-cf", "vm.ova", "vm.ovf", "b c.img", "a.img"]);
    refuse(&["-rf", "vm.ova", "a.img"], ErrorKind::Corrupt, "two members");
    std::fs::rename(path.join("a.img"), path.join("real.img")).unwrap();
    std::os::unix::fs::symlink("real.img", path.join("a.img")).unwrap();
    refuse(
        &["-cf", "vm.ova", "vm.ovf", "b c.img", "real.img", "a.img"],
        ErrorKind::Unsupported,
        "no regular file",
    );
    std::fs::remove_file(path.join("a.img")).unwrap();
    std::fs::hard_link(path.join("real.img"), path.join("a.img")).unwrap();
    refuse(
        &["-cf", "vm.ova", "vm.ovf", "b c.img", "real.img", "a.img"],
        ErrorKind::Unsupported,
        "no regular file",
    );
    std::fs::copy(path.join("vm.ovf"), path.join("other.ovf")).unwrap();
    refuse(&["-cf", "vm.ova", "a.img", "vm.ovf", "other.ovf"], ErrorKind::Unsupported, "2 .ovf files");
}

#[test]
fn every_prefix_is_refused_or_found_by_check() {
    let package = Package::usual();
    package.sum("sha256sum", "SHA256", &["vm.ovf", "a.img", "b c.img"]);
    let path = package.archive(&["vm.ovf", "vm.mf", "a.img", "b c.img"]);
    let bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for len in (1..end).step_by(97) {
        std::fs::write(&path, &bytes[..len]).unwrap();
        match crate::builder::open(&path) {
            Err(_) => {}
            // Cut between two members.
            Ok(_) => assert!(check(&path).errors > 0, "{len}"),
        }
    }
}

#[test]
fn manifests() {
    let package = Package::usual();
    let refuse = |text: &str, says: &str| {
        package.add("vm.mf", text.as_bytes());
        let error = refused(&package.ovf());
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(says), "{error}");
    };
    refuse("nothing", "line 1 of the manifest");
    refuse("\nSHA256(a.img)= 00\n", "line 2 of the manifest: a SHA256 has 64 digits, not 2");
    let (one, two) = ("0".repeat(40), "1".repeat(40));
    refuse(&format!("SHA1(a.img)= {one}\nSHA1(a.img)= {two}\n"), "two lines");
    package.add("vm.mf", format!("MD5(a.img)= {}\n", &one[..32]).as_bytes());
    let images = crate::builder::open(&package.ovf()).unwrap();
    assert!(images[0].warnings.iter().any(|warning| warning.code == "ova-digest-unknown"));
}

//! Packages by someone who means harm: every answer comes soon, without panic and without much memory.

use crate::builder::{Package, envelope, open, refused};
use format_core::{DenyAll, ErrorKind, LayerContext, MemStorage, Origin};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// An archive with a manifest.
static ARCHIVE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let package = Package::usual();
    package.sum("sha256sum", "SHA256", &["vm.ovf", "a.img", "b c.img"]);
    std::fs::read(package.archive(&["vm.ovf", "vm.mf", "a.img", "b c.img"])).unwrap()
});

/// Puts the checksum of the header right that begins at `at`, if there is one.
fn seal(bytes: &mut [u8], at: usize) {
    let Some(block) = bytes.get_mut(at..at + 512).filter(|block| block[257..].starts_with(b"ustar")) else {
        return;
    };
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

#[test]
fn bombs_are_refused_soon() {
    let start = Instant::now();
    let many = |text: &str, count: usize| text.repeat(count);
    let huge = envelope("", "", &many("<Item/>", 1_300_000));
    let deep = envelope("", "", &many("<a>", 100_000));
    let wide = envelope(
        "",
        "",
        &format!("<a {}/>", (0..100_000).map(|n| format!("a{n}=\"\" ")).collect::<String>()),
    );
    let spaces = envelope("", "", &(0..20_000).map(|n| format!("<a xmlns:n{n}=\"x\">")).collect::<String>());
    let chunks = r#"<File ovf:id="f" ovf:href="a" ovf:size="18446744073709551615" ovf:chunkSize="1"/>"#;
    let disk = r#"<Disk ovf:diskId="d" ovf:capacity="5" ovf:fileRef="f"/>"#;
    let items = envelope("", "", &many("<Item><x>1</x></Item>", 50_000));
    for text in [huge, deep, wide, spaces, envelope(chunks, disk, ""), items] {
        let error = refused(&Package::new(&text).ovf());
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    }
    let package = Package::usual();
    package.add("vm.mf", &vec![b'\n'; 2 << 20]);
    assert_eq!(refused(&package.ovf()).kind(), ErrorKind::Limit);
    let long = format!("{}{}", &"x".repeat(1 << 20), "</Info>");
    assert!(open(&Package::new(&envelope("", "", "").replacen("x</Info>", &long, 1)).ovf()).is_err());
    // Far less where the machine has nothing else to do.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_an_envelope(at in 0usize..2000, bytes in prop::collection::vec(any::<u8>(), 1..8)) {
        let package = Package::usual();
        let mut text = std::fs::read(package.ovf()).unwrap();
        let at = at.min(text.len() - bytes.len());
        text[at..at + bytes.len()].copy_from_slice(&bytes);
        package.add("vm.ovf", &text);
        let _ = open(&package.ovf());
    }

    #[test]
    fn any_manifest(text in "(SHA(1|256)?[ ]?\\([a-z.() ]{0,6}\\) ?= ?[0-9a-f]{0,64}\r?\n?){0,4}") {
        let package = Package::usual();
        package.add("vm.mf", text.as_bytes());
        let _ = open(&package.ovf());
    }

    /// What a proof finds, the check finds; and a check ends with a report, whatever is in the archive.
    #[test]
    fn any_bytes_in_an_archive(
        places in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..20)), 0..4),
        len in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = ARCHIVE.clone();
        for (place, patch) in places {
            let at = place.index(bytes.len() - patch.len());
            bytes[at..at + patch.len()].copy_from_slice(&patch);
            seal(&mut bytes, at / 512 * 512);
        }
        if let Some(len) = len {
            bytes.truncate(len.index(bytes.len()));
        }
        let open = format_ova::FORMAT.open_container.unwrap();
        if let Ok(container) = open(Origin::File(Arc::new(MemStorage(bytes))), &LayerContext::new(Arc::new(DenyAll))) {
            container.completeness().unwrap();
            let report = container.check(&|_| Ok(())).unwrap();
            for index in 0..container.disks().len() {
                if let Some(Err(error)) = container.proof(index).map(|proof| proof(&|_| Ok(()))) {
                    prop_assert!(error.kind() == ErrorKind::Mismatch && report.errors > 0, "{error}");
                }
            }
        }
    }
}

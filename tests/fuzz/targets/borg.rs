//! What borg says about repositories and archives: no text of its makes this program panic, and no file counts twice.
#![no_main]

#[allow(dead_code, missing_docs, reason = "the room uses all of it")]
#[path = "../../../formats/borg/src/error.rs"]
mod error;
#[allow(dead_code, missing_docs, reason = "the room uses all of it")]
#[path = "../../../formats/borg/src/parse.rs"]
mod parse;

use format_borg::FORMAT;
use fuzz::write_seeds;
use libfuzzer_sys::fuzz_target;

const LISTING: &str = r#"{"archives":[{"name":"a","id":"1","start":"2024-01-01T00:00:00.000000"}],"encryption":{"mode":"none"},"repository":{"id":"1"}}"#;
const FILES: &str = r#"{"type":"-","path":"vm/a.raw","size":100000,"healthy":true,"source":""}
{"type":"-","path":"vm/a.vmx","size":100,"healthy":true,"source":""}
{"type":"-","path":"\udcff","size":2000000,"healthy":false,"source":""}"#;

fuzz_target!(
    init: write_seeds(|| vec![
        ("archives".into(), LISTING.into()),
        ("files".into(), FILES.into()),
        ("config".into(), "[repository]\nversion = 1\n".into()),
    ]),
    |input: &[u8]| {
        assert!(parse::version(input).chars().count() <= 20);
        if let Ok(listing) = parse::listing(input, "list") {
            let points: Vec<_> = listing.archives.iter().map(parse::Archive::point).collect();
            assert_eq!(points.len(), listing.archives.len());
        }
        let mut files = parse::Files::default();
        for line in input.split(|byte| *byte == b'\n') {
            if let Err(error) = files.take(line, "list") {
                assert!(format_core::Error::from(error).to_string().contains(FORMAT.name));
            }
        }
        let lines = input.split(|byte| *byte == b'\n').count();
        if let Ok((disks, machines)) = files.finish() {
            assert!(disks.len() + machines.len() <= lines);
            assert!(disks.iter().all(|disk| disk.size >= 64 << 10));
        }
    }
);

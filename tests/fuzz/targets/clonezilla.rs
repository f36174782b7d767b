//! Clonezilla's folders: an input is a list of files, each as a line `@NAME` and its content.
#![no_main]

use format_core::{DenyAll, ErrorKind, LayerContext, Origin, SourceFolder};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::Arc;

const TABLE: &str = "label: dos\nunit: sectors\n\n/dev/sda1 : start= 63, size= 100, type=83\n\
    /dev/sda2 : start= 200, size= 200, type=5\n/dev/sda5 : start= 263, size= 100, type=82\n";
const PARTED: &str =
    "Disk /dev/sda: 1024s\nSector size (logical/physical): 512B/512B\nPartition Table: msdos\n";

fn seeds() -> Vec<(String, Vec<u8>)> {
    let disk = format!("@disk\nsda\n@parts\nsda1 sda5\n@sda-pt.sf\n{TABLE}@sda-pt.parted\n{PARTED}@sda-mbr\n{}\n", "m".repeat(512));
    let swap = "@swappt-sda5.info\nUUID=\"11111111-2222-3333-4444-555555555555\"\nLABEL=\"sw\"\n";
    let content = "@sda1.dd-img.aa\nbytes\n@sda1.dd-img.ab\nmore\n";
    let group = "@lvm_vg_dev.list\nvg /dev/sda1 AbCdEf-1234-5678-9012-3456-7890-abcdef\n@lvm_logv.list\n/dev/vg/root  ext4\n\
        @lvm_vg.conf\nvg {\nid = \"x\"\nextent_size = 8192\nphysical_volumes {\n}\nlogical_volumes {\n}\n}\n";
    [("disk", format!("{disk}{swap}{content}")), ("group", format!("{disk}{group}{swap}"))]
        .map(|(name, text)| (name.to_owned(), text.into_bytes()))
        .into()
}

/// Writes the files; a name that is none for the host, or leads elsewhere, is left out.
fn make(folder: &Path, input: &[u8]) {
    for part in input.split(|byte| *byte == b'@').skip(1).take(40) {
        let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let (Ok(name), content) = (std::str::from_utf8(&part[..end]), part.get(end + 1..).unwrap_or_default()) else {
            continue;
        };
        if !name.is_empty() && name.len() < 100 && !name.contains(['/', '\0']) && !name.starts_with('.') {
            let _ = std::fs::write(folder.join(name), content);
        }
    }
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    make(folder.path(), input);
    let source = Arc::new(SourceFolder::open(folder.path()).expect("it was made"));
    let _ = (format_clonezilla::FORMAT.probe_folder)(&source);
    let open = format_clonezilla::FORMAT.open_container.expect("the format has a reader");
    match open(Origin::Folder(source), &LayerContext::new(Arc::new(DenyAll))) {
        Ok(container) => {
            let _ = (container.details(), container.completeness());
            for index in 0..container.disks().len() {
                match container.open_disk(index) {
                    Ok(image) => {
                        let mut head = vec![0; image.disk.virtual_size().min(64 << 10) as usize];
                        let _ = image.disk.read_exact_at(0, &mut head);
                    }
                    Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
                }
            }
        }
        Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
    }
});

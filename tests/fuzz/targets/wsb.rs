//! Folders of Windows Server Backup: an input is a list of names, a line each, of files and of folders that end in `/`.
#![no_main]

use format_core::{DenyAll, ErrorKind, LayerContext, Origin, SourceFolder};
use libfuzzer_sys::fuzz_target;
use std::path::{Component, Path};
use std::sync::Arc;

fn seeds() -> Vec<(String, Vec<u8>)> {
    let backup = "WindowsImageBackup/PC/Backup 2019-02-22 124351";
    let host = format!("{backup}/BackupSpecs.xml\n{backup}/06fedb78-0000-0000-0000-501f00000000.vhdx\n");
    let lists = [
        ("root", host.clone()),
        ("two", format!("{host}WindowsImageBackup/PC/Backup 2020-01-01 000000/a.vhd\n")),
        ("one", "BackupSpecs.xml\n9b9cfbc3-369e-11e9-a17c-806e6f6e6963.vhd\n".to_owned()),
        ("host", "MediaId\nCatalog/\nBackup 2019-02-22 124351/a.vhdx\n".to_owned()),
    ];
    lists.map(|(name, list)| (name.to_owned(), list.into_bytes())).into()
}

/// Makes what a line names; a line that would leave the folder is left out.
fn make(folder: &Path, line: &str) {
    let path = Path::new(line);
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    if !is_inside || line.len() > 200 || path.components().count() > 5 {
        return;
    }
    let place = folder.join(path);
    // What is no name for the host is none for the room.
    if line.ends_with('/') {
        let _ = std::fs::create_dir_all(place);
    } else if place.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok()) {
        let _ = std::fs::write(place, b"bytes");
    }
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for line in String::from_utf8_lossy(input).lines().take(50) {
        make(folder.path(), line);
    }
    let source = Arc::new(SourceFolder::open(folder.path()).expect("it was made"));
    let _ = (format_wsb::FORMAT.probe_folder)(&source);
    let open = format_wsb::FORMAT.open_container.expect("the format has a reader");
    match open(Origin::Folder(source), &LayerContext::new(Arc::new(DenyAll))) {
        Ok(container) => {
            assert!(!container.disks().is_empty(), "a backup without volumes is opened");
            let _ = (container.details(), container.completeness());
            if let Err(error) = container.open_disk(0) {
                assert_ne!(error.kind(), ErrorKind::Contract, "{error}");
            }
        }
        Err(error) => assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
    }
});

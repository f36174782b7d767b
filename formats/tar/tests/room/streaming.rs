//! The same archives through a pipe.

use crate::builder::{FORMATS, Hand, archive, disk, write_sparse};
use crate::golden::tar;
use format_core::{
    Access, ChunkStream, DenyAll, Error, Gate, InnerImage, LayerContext, Opener, Result, Storage,
    StorageReader, open_image,
};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

/// What the chain gives rooms: here by way of a file.
struct TestOpener;

impl Opener for TestOpener {
    fn open(&self, storage: Arc<dyn Storage>, name: &str, _: Arc<dyn Gate>) -> Result<InnerImage> {
        let folder = tempfile::tempdir().unwrap();
        // The name decides by its end only, and may be one that no file can have.
        let extension =
            name.rsplit_once('.').map(|(_, extension)| extension).filter(|e| e.len() < 9 && !e.contains('/'));
        let path = folder
            .path()
            .join(extension.map_or("disk".to_owned(), |e| format!("disk.{}", e.replace('\0', ""))));
        let mut bytes = Vec::new();
        StorageReader::new(storage).read_to_end(&mut bytes).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let opened = open_image(&path, &format_core::OpenOptions::new(FORMATS, None))?;
        let format = opened.chain.first().map(|link| link.format);
        Ok(InnerImage { disk: opened.disk, format, warnings: Vec::new() })
    }
    fn unpacked(&self, storage: Arc<dyn Storage>, _: &str) -> Result<Arc<dyn Storage>> {
        Ok(storage)
    }
    fn reader(&self, storage: Arc<dyn Storage>, _: &str) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(StorageReader::new(storage)))
    }
    fn scratch(&self) -> Result<File> {
        Ok(tempfile::tempfile().unwrap())
    }
}

fn stream(bytes: &[u8], pick: Option<&str>) -> Result<Box<dyn ChunkStream>> {
    let access = Access { pick: pick.map(str::to_owned), ..Access::default() };
    let context =
        LayerContext { opener: Arc::new(TestOpener), access, ..LayerContext::new(Arc::new(DenyAll)) };
    (format_tar::FORMAT.open_stream.unwrap())(Box::new(std::io::Cursor::new(bytes.to_vec())), &context)
}

/// All of the disk, and how many bytes came.
pub(crate) fn whole(bytes: &[u8], pick: Option<&str>) -> Result<(Vec<u8>, usize)> {
    let mut stream = stream(bytes, pick)?;
    let mut disk = vec![0; stream.virtual_size() as usize];
    let (mut last, mut sum) = (0, 0);
    while let Some(chunk) = stream.next_chunk()? {
        assert!(chunk.offset >= last && !chunk.data.is_empty());
        last = chunk.offset + chunk.data.len() as u64;
        sum += chunk.data.len();
        disk[chunk.offset as usize..last as usize].copy_from_slice(&chunk.data);
    }
    assert!(stream.next_chunk()?.is_none(), "and it stays at its end");
    Ok((disk, sum))
}

fn failed(bytes: &[u8], pick: Option<&str>) -> Error {
    whole(bytes, pick).err().unwrap()
}

#[test]
fn a_pipe_gives_the_same_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk((16 << 20) + 700);
    write_sparse(&folder.path().join("disk.raw"), &disk);
    std::fs::write(folder.path().join("notes.txt"), [b'x'; 3000]).unwrap();
    for way in [
        &["--format=ustar"][..],
        &["-S", "--format=oldgnu"],
        &["-S", "--format=posix", "--sparse-version=0.0"],
        &["-S", "--format=posix", "--sparse-version=0.1"],
        &["-S", "--format=posix", "--sparse-version=1.0"],
    ] {
        let bytes = std::fs::read(tar(folder.path(), way, &["notes.txt", "disk.raw", "notes.txt"])).unwrap();
        assert!((format_tar::FORMAT.flows)(&bytes[..64 << 10], None), "{way:?}");
        let (found, sum) = whole(&bytes, None).unwrap();
        assert!(found == disk, "{way:?}");
        assert!(!way.contains(&"-S") || sum < 300_000, "{way:?} {sum}");
    }
}

#[test]
fn one_disk_of_several_has_to_be_picked() {
    let bytes = archive(&[
        Hand::file("a.raw", &[1; 600]),
        Hand::file("b.raw", &[2; 700]),
        Hand::file("c.raw", &[3; 800]),
    ]);
    for (pick, byte, len) in [("a.raw", 1, 600), ("1", 2, 700), ("c.raw", 3, 800), ("2", 3, 800)] {
        assert_eq!(whole(&bytes, Some(pick)).unwrap().0, vec![byte; len], "{pick}");
    }
    let error = failed(&bytes, None);
    assert!(error.to_string().contains("a.raw, b.raw"), "{error}");
    assert!(failed(&bytes, Some("d.raw")).to_string().contains("a.raw, b.raw, c.raw"));
    let twice = archive(&[Hand::file("a.raw", &[1; 600]), Hand::file("./a.raw", &[2; 700])]);
    assert!(failed(&twice, Some("a.raw")).to_string().contains("two members"));
}

#[test]
fn the_bytes_of_an_image_are_not_a_disk() {
    let other = [b"OTHER".as_slice(), &[1; 3000]].concat();
    for name in ["disk.other", "disk.raw", "disk"] {
        let bytes = archive(&[Hand::file(name, &other)]);
        assert!(whole(&bytes, None).is_err(), "{name}");
    }
    let bytes = archive(&[Hand::file("disk.qcow2", &other)]);
    assert!(!(format_tar::FORMAT.flows)(&bytes, None));
    assert!(!(format_tar::FORMAT.flows)(&bytes[..100], None));
}

#[test]
fn every_end_that_is_too_early_is_seen() {
    let bytes = archive(&[Hand::file("notes.txt", &[b'x'; 700]), Hand::file("a.raw", &[1; 6000])]);
    let data_end = bytes.len() - 1024 - (512 - 6000 % 512);
    for len in (0..data_end).step_by(64).chain([data_end - 1]) {
        assert!(whole(&bytes[..len], None).is_err(), "{len}");
    }
    let mut cut = stream(&bytes[..bytes.len() - 1024], None).unwrap();
    while cut.next_chunk().unwrap().is_some() {}
    assert_eq!(cut.warnings()[0].code, "tar-no-end");
}

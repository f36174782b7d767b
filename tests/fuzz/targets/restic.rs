//! restic repositories: whatever index, folder and snapshot say, a disk consists of blobs that are there.
#![no_main]

#[allow(dead_code, missing_docs, reason = "the room's tests use all of it")]
#[path = "../../../formats/restic/tests/room/builder.rs"]
mod builder;

use builder::{Repo, digest};
use format_core::{DenyAll, ErrorKind, Key, LayerContext, Origin, SourceFolder};
use fuzz::{check_disk, write_seeds};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// The only piece of data there is.
const BLOB: [u8; 70_000] = [0x5a; 70_000];
/// A disk is not read further than this.
const MOST: u64 = 1 << 20;

const INDEX: &str = r#"{"supersedes":["TREE"],"packs":[{"id":"DATA","blobs":[{"id":"BLOB","type":"data","offset":0,"length":SEALED,"uncompressed_length":70000}]},{"id":"LIST","blobs":[{"id":"TREE","type":"tree","offset":0,"length":LONG}]}]}"#;
const TREE: &str = r#"{"nodes":[{"name":"a.raw","type":"file","size":140000,"content":["BLOB","BLOB"]},{"name":"l","type":"symlink","linktarget":"a.raw"},{"name":"\\x41.vmx","type":"file","size":70000,"content":["BLOB"]}]}"#;
const SNAPSHOT: &str =
    r#"{"time":"2024-02-29T12:00:00.5+01:00","tree":"TREE","paths":["/x"],"hostname":"h","tags":null}"#;

/// The repository that an input is: index, folder and snapshot, with zeros between them and words in the place of IDs.
fn repository(input: &[u8]) -> Option<tempfile::TempDir> {
    let mut parts = input.splitn(3, |byte| *byte == 0).map(String::from_utf8_lossy);
    let (index, tree, snapshot) = (parts.next()?, parts.next()?, parts.next()?);
    let root = tempfile::tempdir().expect("a folder for the repository");
    let mut repo = Repo::new(root.path(), 2);
    let packed = zstd::bulk::compress(&BLOB, 1).expect("zstd packs");
    let (data, blob) = (repo.sealed(&packed), digest(&BLOB));
    let tree = tree.replace("BLOB", &blob);
    let list = repo.sealed(tree.as_bytes());
    let words = [
        ("DATA", repo.raw_pack(&data)),
        ("LIST", repo.raw_pack(&list)),
        ("BLOB", blob),
        ("TREE", digest(tree.as_bytes())),
        ("SEALED", data.len().to_string()),
        ("LONG", list.len().to_string()),
    ];
    let filled =
        |text: &str| words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
    repo.json("index", &filled(&index));
    repo.json("snapshots", &filled(&snapshot));
    Some(root)
}

fuzz_target!(
    init: write_seeds(|| vec![("whole".into(), [INDEX, TREE, SNAPSHOT].join("\0").into_bytes())]),
    |input: &[u8]| {
        let Some(root) = repository(input) else { return };
        let folder = Arc::new(SourceFolder::open(root.path()).expect("the folder is there"));
        let mut context = LayerContext::new(Arc::new(DenyAll));
        context.access.key = Some(Key::new(b"pw".to_vec()));
        context.opener = Arc::new(plain::Plain);
        let open = format_restic::FORMAT.open_container.expect("the format has a reader");
        let container = match open(Origin::Folder(folder), &context) {
            Ok(container) => container,
            Err(error) => return assert_ne!(error.kind(), ErrorKind::Contract, "{error}"),
        };
        let whole = container.check(&|_| Ok(())).expect("the host reads").errors == 0;
        for index in 0..container.disks().len().min(8) {
            match container.open_disk(index) {
                Err(error) => assert!(!whole && error.kind() != ErrorKind::Contract, "{error}"),
                Ok(image) => {
                    check_disk(&image.disk);
                    let size = image.disk.virtual_size();
                    assert_eq!(size % BLOB.len() as u64, 0);
                    let mut bytes = vec![0; size.min(MOST) as usize];
                    image.disk.read_exact_at(0, &mut bytes).expect("what was found is read");
                    assert!(bytes.iter().all(|byte| *byte == 0x5a));
                }
            }
        }
    }
);

/// Opens every file as a raw disk.
mod plain {
    use format_core::{Disk, Extent, Gate, InnerImage, Layer, Opener, Result, Storage, StorageReader};
    use std::fs::File;
    use std::io::Read;
    use std::sync::Arc;

    pub(crate) struct Plain;

    impl Opener for Plain {
        fn open(&self, storage: Arc<dyn Storage>, _: &str, _: Arc<dyn Gate>) -> Result<InnerImage> {
            Ok(InnerImage::plain(Disk::new(vec![Arc::new(Raw(storage))])?))
        }
        fn unpacked(&self, storage: Arc<dyn Storage>, _: &str) -> Result<Arc<dyn Storage>> {
            Ok(storage)
        }
        fn reader(&self, storage: Arc<dyn Storage>, _: &str) -> Result<Box<dyn Read + Send>> {
            Ok(Box::new(StorageReader::new(storage)))
        }
        fn keep(&self, _: &str, _: Box<dyn Read + Send>, _: Option<u64>) -> Result<Arc<dyn Storage>> {
            unreachable!("nothing has to be unpacked")
        }
        fn scratch(&self) -> Result<File> {
            unreachable!("no index is that large")
        }
    }

    struct Raw(Arc<dyn Storage>);

    impl Layer for Raw {
        fn format(&self) -> &'static str {
            "raw"
        }
        fn virtual_size(&self) -> u64 {
            self.0.size()
        }
        fn chunk_size(&self) -> u64 {
            1
        }
        fn extent_at(&self, offset: u64) -> Result<Extent> {
            self.0.data_at(offset)
        }
        fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
            self.0.read_exact_at(offset, buf)
        }
    }
}

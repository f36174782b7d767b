//! What is written, read by this room and by other programs.

use crate::builder::{bytes_of, disk, feed, open, options, run, stored};
use format_core::{
    CreateRequest, ErrorKind, FileTarget, Format, MAX_CHUNK, Needs, Order, Packed, PipeTarget, Sink,
    TargetStorage, is_zero, open_image,
};
use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

fn request(size: u64, options: &[(&str, &str)]) -> CreateRequest {
    let options: BTreeMap<_, _> =
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    CreateRequest { virtual_size: size, options, parent: None }
}

/// Writes as the pipeline does: chunk by chunk, zeros as zeros or not at all.
fn fill(sink: Box<dyn Sink>, disk: &[u8]) {
    let Needs { chunk_size, packed, .. } = sink.needs();
    let mut chunks: Vec<_> = disk.chunks(chunk_size as usize).enumerate().collect();
    if sink.needs().order == Order::Any {
        chunks.reverse();
    }
    for (number, chunk) in chunks {
        let offset = number as u64 * chunk_size;
        match is_zero(chunk) {
            true if number % 3 == 0 => {}
            true => sink.zero_at(offset, chunk.len() as u64).unwrap(),
            false if packed => {
                let packed = sink.pack(chunk).unwrap();
                sink.write_at(offset, packed).unwrap();
            }
            false => sink.write_at(offset, Packed::Plain(chunk)).unwrap(),
        }
    }
    assert!(chunk_size <= MAX_CHUNK);
    sink.finish().unwrap();
}

fn write(format: &Format, path: &Path, disk: &[u8], options: &[(&str, &str)]) {
    let target = FileTarget::create(path, true).unwrap();
    fill((format.create.unwrap())(Box::new(target), &request(disk.len() as u64, options)).unwrap(), disk);
}

/// Random holes of all lengths.
fn random_disk(seed: u32) -> Vec<u8> {
    let mut disk = vec![0; 40 << 20];
    let mut state = seed;
    let mut at = 0;
    while at < disk.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = (state >> 12) as usize % (600 << 10) + 1;
        let end = (at + len).min(disk.len());
        if state & 0x40 != 0 {
            disk[at..end].fill((state >> 24) as u8 | 1);
        }
        at = end;
    }
    disk
}

#[test]
fn sparse_archives_are_read_by_everyone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.tar");
    let blank = vec![0; 5 << 20];
    for (number, disk) in [disk((16 << 20) + 512), random_disk(7), random_disk(8), blank].iter().enumerate() {
        write(&format_tar::FORMAT, &path, disk, &[]);
        let image = open(&path).unwrap();
        assert!(bytes_of(&image.disk) == *disk && image.warnings.is_empty(), "{number}");
        assert_eq!(run(folder.path(), "tar", &["-tf", "made.tar"]), b"disk.raw\n");
        for program in [&["tar", "-xSf", "made.tar"][..], &["bsdtar", "-xSf", "made.tar"]] {
            run(folder.path(), program[0], &program[1..]);
            let out = folder.path().join("disk.raw");
            assert!(std::fs::read(&out).unwrap() == *disk, "{program:?} {number}");
            let allocated = out.metadata().unwrap().blocks() * 512;
            assert!(number == 1 || number == 2 || allocated < 3 << 20, "{program:?} {number}: {allocated}");
            std::fs::remove_file(out).unwrap();
        }
        let python = "import tarfile,sys\nsys.stdout.buffer.write(tarfile.open('made.tar').extractfile('disk.raw').read())";
        assert!(run(folder.path(), "python3", &["-c", python]) == *disk, "python {number}");
    }
}

#[test]
fn holes_stay_holes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.tar");
    let disk = disk(64 << 20);
    write(&format_tar::FORMAT, &path, &disk, &[("name", "vm/root.img")]);
    let image = open(&path).unwrap();
    assert_eq!(image.name_inside(), Some("vm/root.img"));
    assert!(stored(&image.disk) <= 20 * (64 << 10), "{}", stored(&image.disk));
    assert!(path.metadata().unwrap().len() < 3 << 20);
}

#[test]
fn plain_archives_go_to_files_and_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.tar");
    let disk = disk((5 << 20) + 512);
    write(&format_tar::FORMAT, &path, &disk, &[("sparse", "off")]);
    let written = std::fs::read(&path).unwrap();
    assert_eq!(written.len() % 10240, 0);
    assert!(run(folder.path(), "tar", &["-xOf", "made.tar"]) == disk);
    assert!(bytes_of(&open(&path).unwrap().disk) == disk);

    let piped = piped(&format_tar::FORMAT, &disk, &[("sparse", "off")]);
    assert!(feed(folder.path(), "tar", &["-xOf", "-"], &piped) == disk);
    let refused =
        (format_tar::FORMAT.create.unwrap())(pipe(&Arc::default()), &request(1 << 20, &[])).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.hint_text().unwrap().contains("sparse=off"));
}

#[derive(Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn pipe(bytes: &Arc<Mutex<Vec<u8>>>) -> Box<dyn TargetStorage> {
    Box::new(PipeTarget::new(Box::new(Pipe(Arc::clone(bytes)))))
}

fn piped(format: &Format, disk: &[u8], options: &[(&str, &str)]) -> Vec<u8> {
    let bytes = Arc::default();
    fill((format.create.unwrap())(pipe(&bytes), &request(disk.len() as u64, options)).unwrap(), disk);
    let bytes = bytes.lock().unwrap();
    bytes.clone()
}

#[test]
fn google_cloud_gets_what_it_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made.tar.gz");
    let (size, part, end) = (1u64 << 30, random_disk(3), vec![9; 1 << 20]);
    let target = FileTarget::create(&path, true).unwrap();
    let sink =
        (format_tar::GCP.create.unwrap())(Box::new(target), &request(size, &[("level", "1")])).unwrap();
    for (number, chunk) in part.chunks(1 << 20).enumerate() {
        sink.write_at((number as u64) << 20, sink.pack(chunk).unwrap()).unwrap();
    }
    sink.zero_at(600 << 20, 100 << 20).unwrap();
    sink.write_at(size - (1 << 20), Packed::Plain(&end)).unwrap();
    sink.finish().unwrap();
    let original = std::fs::File::create(folder.path().join("original")).unwrap();
    original.write_all_at(&part, 0).unwrap();
    original.write_all_at(&end, size - (1 << 20)).unwrap();

    let listed = String::from_utf8(run(folder.path(), "tar", &["-tvzf", "made.tar.gz"])).unwrap();
    assert!(listed.contains("1073741824") && listed.ends_with(" disk.raw\n") && listed.lines().count() == 1);
    // All at once: the whole disk has no place in a test's memory.
    run(folder.path(), "bash", &["-c", "set -o pipefail; tar -xzOf made.tar.gz | cmp - original"]);

    let magic = std::fs::read(&path).unwrap();
    let members = magic.windows(4).filter(|bytes| *bytes == [0x1f, 0x8b, 8, 0]).count();
    assert_eq!(members, 1, "one gzip member");
}

#[test]
fn an_archive_for_google_cloud_holds_one_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk(4 << 20);
    for (name, is_it) in [("disk.raw", true), ("other.raw", false)] {
        let path = folder.path().join("made.tar");
        write(&format_tar::FORMAT, &path, &disk, &[("sparse", "off"), ("name", name)]);
        // As it is, and where the room has to take the compression off, because the name does not tell of it.
        run(folder.path(), "bash", &["-c", "gzip -n <made.tar >made.disk"]);
        for path in [path, folder.path().join("made.disk")] {
            match open_image(&path, &options(Some(&format_tar::GCP))) {
                Ok(image) => assert!(is_it && bytes_of(&image.disk) == disk),
                Err(error) => assert!(!is_it && error.to_string().contains("other.raw"), "{error}"),
            }
        }
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let create = |format: &Format, size, options: &[(&str, &str)]| {
        let made =
            (format.create.unwrap())(Box::<format_core::MemTarget>::default(), &request(size, options));
        made.err().unwrap().kind()
    };
    for name in ["", "/a", "../a", "a/../b", "a//b", "./a", &"x".repeat(101)] {
        assert_eq!(create(&format_tar::FORMAT, 1 << 20, &[("name", name)]), ErrorKind::Usage, "{name}");
    }
    assert_eq!(create(&format_tar::FORMAT, 1 << 20, &[("sparse", "yes")]), ErrorKind::Usage);
    assert_eq!(create(&format_tar::FORMAT, u64::MAX, &[]), ErrorKind::Limit);
    assert_eq!(create(&format_tar::GCP, 1 << 20, &[]), ErrorKind::Usage);
    for level in ["0", "10", "x"] {
        assert_eq!(create(&format_tar::GCP, 1 << 30, &[("level", level)]), ErrorKind::Usage);
    }
}

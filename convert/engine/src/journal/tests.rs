use super::*;
use format_core::{OpenOptions, OpenedImage, open_image};
use std::collections::BTreeMap;

const RAW: &[&format_core::Format] = &[&format_raw::FORMAT];

fn source(folder: &Path) -> OpenedImage {
    let path = folder.join("disk.raw");
    std::fs::write(&path, vec![5; 300_000]).unwrap();
    open_image(&path, &OpenOptions::new(RAW, Some(&format_raw::FORMAT))).unwrap()
}

fn job(folder: &Path) -> Job {
    let options = BTreeMap::from([("key".to_owned(), "value".to_owned())]);
    let wanted = Wanted { format: "raw", options: &options, virtual_size: 300_000, reading: "all of it" };
    let source = source(folder);
    let mut job = Job::new(&source, &wanted).unwrap().into(7);
    job.take_samples(&source.disk);
    job
}

/// Three checkpoints of a state that grows.
fn checkpoints() -> Vec<Checkpoint> {
    let states = [vec![], vec![1; 300], vec![1; 600], vec![2; 600]];
    let pairs = states.windows(2).zip(1..);
    pairs
        .map(|(pair, number)| {
            let mut checkpoint = Checkpoint::new((number, number), &pair[0], &pair[1]);
            checkpoint.add(number, &blake3::hash(&[number as u8]));
            checkpoint
        })
        .collect()
}

fn written(folder: &Path) -> (PathBuf, Job) {
    let (path, job) = (folder.join("journal"), job(folder));
    let mut journal = Journal::create(&path, &job).unwrap();
    for checkpoint in checkpoints() {
        journal.append(&checkpoint.bytes()).unwrap();
    }
    (path, job)
}

/// What can be read of these bytes: a beginning of what was written, or nothing.
fn read_back(path: &Path, bytes: &[u8], job: &Job) -> Option<usize> {
    std::fs::write(path, bytes).unwrap();
    let (mut reader, found) = JournalReader::open(path).ok()??;
    assert_eq!(found, *job);
    let mut count = 0;
    while let Some(checkpoint) = reader.next_checkpoint().unwrap() {
        assert_eq!(checkpoint, checkpoints()[count]);
        count += 1;
    }
    Some(count)
}

#[test]
fn a_journal_that_was_cut_anywhere_tells_only_what_was_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (path, job) = written(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    let counts: Vec<_> = (0..=bytes.len()).map(|len| read_back(&path, &bytes[..len], &job)).collect();
    assert!(counts.is_sorted(), "longer beginnings tell more");
    assert_eq!((counts[0], counts[bytes.len()]), (None, Some(3)));
    for count in [None, Some(0), Some(1), Some(2), Some(3)] {
        assert!(counts.contains(&count), "{count:?}");
    }
    // Room that was taken ahead reads as zeros where a power cut kept the length.
    assert_eq!(read_back(&path, &[&bytes[..], &[0; 5000]].concat(), &job), Some(3));
}

#[test]
fn no_flipped_bit_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, job) = written(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(read_back(&path, &bytes, &job), Some(3), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn records_of_another_journal_do_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (path, job) = written(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = job.clone().into(8);
    let start = Journal::create(&path, &other).unwrap().end as usize;
    let own = std::fs::read(&path).unwrap();
    assert_eq!(read_back(&path, &[&own[..], &bytes[start..]].concat(), &other), Some(0));
}

#[test]
fn a_journal_goes_on_behind_its_last_whole_record() {
    let folder = tempfile::tempdir().unwrap();
    let (path, job) = written(folder.path());
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(read_back(&path, &bytes[..bytes.len() - 1], &job), Some(2));
    let (mut reader, _) = JournalReader::open(&path).unwrap().unwrap();
    while reader.next_checkpoint().unwrap().is_some() {}
    let mut journal = reader.into_journal().unwrap();
    journal.append(&checkpoints()[2].bytes()).unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes);
}

#[test]
fn what_is_no_journal_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    assert!(JournalReader::open(&path).unwrap().is_none());
    let (other, job) = written(folder.path());
    std::fs::rename(&other, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", &path).unwrap();
    assert!(JournalReader::open(&path).is_err(), "a link");
    assert!(Journal::create(&path, &job).is_err(), "a link");
    std::fs::remove_file(&path).unwrap();
    for bytes in
        [&b""[..], b"rehome journal 1\n", b"rehome journal 2\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]
    {
        std::fs::write(&path, bytes).unwrap();
        assert!(JournalReader::open(&path).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_job_tells_what_is_different() {
    let folder = tempfile::tempdir().unwrap();
    let then = job(folder.path());
    let disk = |byte: u8| {
        let path = folder.path().join("other.raw");
        std::fs::write(&path, vec![byte; 300_000]).unwrap();
        open_image(&path, &OpenOptions::new(RAW, Some(&format_raw::FORMAT))).unwrap().disk
    };
    assert_eq!(then.sample_difference(&disk(5)), None);
    assert!(then.sample_difference(&disk(6)).unwrap().contains("other data"));
    assert!(then.sample_difference(&format_core::Disk::blank(10)).is_some(), "samples behind the end");
    assert_eq!(then.difference(&then.clone()), None);
    assert!(then.difference(&then.clone().into(8)).unwrap().contains("partial file"));
    // Written again: another time, and another inode number perhaps.
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(then.difference(&job(folder.path()).into(7)).unwrap().contains("was changed since"));
}

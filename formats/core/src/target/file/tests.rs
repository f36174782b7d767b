//! What has which name when, and what never has one.

use super::*;

#[test]
fn the_final_name_appears_only_with_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    let target = Box::new(FileTarget::create(&path, false).unwrap());
    target.write_all_at(3, b"abc").unwrap();
    assert!(!path.exists());
    assert_eq!(FileTarget::create(&path, false).unwrap_err().kind(), ErrorKind::Temporary);
    target.commit().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\0abc");
    assert_eq!(FileTarget::create(&path, false).unwrap_err().kind(), ErrorKind::Destination);
    drop(FileTarget::create(&path, true).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the partial file is gone");
}

#[test]
fn what_an_interrupted_run_left_is_kept_up_to_a_point_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let first = FileTarget::create(&path, false).unwrap();
    first.kept().store(true, Ordering::Relaxed);
    first.write_all_at(0, &[7; 20_000]).unwrap();
    first.sibling("other").unwrap().write_all_at(0, b"abc").unwrap();
    std::fs::write(FileTarget::journal_path(&path), b"told").unwrap();
    drop(first);
    assert_eq!(names(), 4, "two files, a journal, and the note whose the second is");

    let second = FileTarget::resume(&path, false).unwrap();
    assert_eq!(second.resume_at(20_001).unwrap_err().kind(), ErrorKind::Corrupt);
    second.resume_at(10_000).unwrap();
    second.zero_range(5_000, 1 << 40).unwrap();
    second.write_all_at(20_000, b"x").unwrap();
    let other = second.sibling("other").unwrap();
    assert_eq!(other.resume_at(4).unwrap_err().kind(), ErrorKind::Corrupt);
    other.resume_at(2).unwrap();
    let bytes = std::fs::read(FileTarget::partial_path(&path)).unwrap();
    assert!(bytes[..5_000] == [7; 5_000] && bytes[5_000..20_000] == [0; 15_000], "zeros behind");
    assert_eq!(bytes.len(), 20_001);
    drop((second, other));
    assert_eq!(names(), 4);

    let others = FileTarget::create(&folder.path().join("another.raw"), false).unwrap();
    drop(others.sibling("other").unwrap());
    let third = FileTarget::resume(&path, false).unwrap();
    assert_eq!(third.sibling("other").err().unwrap().kind(), ErrorKind::Corrupt, "it is of another image");
    drop((third, others));

    drop(FileTarget::create(&path, false).unwrap());
    assert_eq!(names(), 1, "a run that does not go on discards the journal too");
}

#[test]
fn a_link_in_the_place_of_the_partial_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("victim"), b"precious").unwrap();
    std::os::unix::fs::symlink("victim", folder.path().join("disk.raw.partial")).unwrap();
    assert!(FileTarget::create(&folder.path().join("disk.raw"), false).is_err());
    assert_eq!(std::fs::read(folder.path().join("victim")).unwrap(), b"precious");
}

#[test]
fn a_missing_folder_is_a_destination_error() {
    let error = FileTarget::create(Path::new("/no/such/folder/disk.raw"), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Destination);
}

#[test]
fn a_name_taken_meanwhile_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    let target = Box::new(FileTarget::create(&path, false).unwrap());
    std::fs::write(&path, b"other").unwrap();
    assert_eq!(target.commit().unwrap_err().kind(), ErrorKind::Destination);
    assert_eq!(std::fs::read(&path).unwrap(), b"other");
}

#[test]
fn a_file_system_without_rename_flags_replaces_nothing_either() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["disk.raw.partial", "disk.raw"].map(|name| folder.path().join(name));
    std::fs::write(&from, b"new").unwrap();
    std::fs::write(&to, b"other").unwrap();
    assert_eq!(rename_without_flags(&from, &to), Err(Errno::EXIST));
    assert_eq!(
        (std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap()),
        (b"new".into(), b"other".into())
    );
    std::fs::remove_file(&to).unwrap();
    rename_without_flags(&from, &to).unwrap();
    assert!(!from.exists());
    assert_eq!(std::fs::read(&to).unwrap(), b"new");
}

#[test]
fn the_partial_file_of_another_run_is_neither_committed_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    let partial = FileTarget::partial_path(&path);
    let first = Box::new(FileTarget::create(&path, false).unwrap());
    std::fs::remove_file(&partial).unwrap();
    let second = Box::new(FileTarget::create(&path, false).unwrap());
    second.write_all_at(0, b"half").unwrap();
    assert_eq!(first.commit().unwrap_err().kind(), ErrorKind::Destination);
    assert!(!path.exists());
    assert_eq!(std::fs::read(&partial).unwrap(), b"half");
}

#[test]
fn a_name_that_ends_like_a_folder_is_refused_before_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let error = FileTarget::create(&folder.path().join("out/"), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A lease of a job at `folder`, as long as the test runs.
fn fence(folder: &Path, epoch: u64, fresh: bool) -> &'static Fence {
    let path = folder.join(format!("web.{epoch}"));
    std::fs::write(&path, format!("{{\"token\":\"{epoch}\"}}")).unwrap();
    Box::leak(Box::new(Fence::open(&path, fresh).unwrap()))
}

fn started(fence: &'static Fence, path: &Path, replace: bool) -> Box<FileTarget> {
    let mut target = FileTarget::resume_under(Some(fence), path, replace).unwrap();
    target.restart().unwrap();
    Box::new(target)
}

#[test]
fn a_run_that_was_taken_for_dead_publishes_nothing_and_writes_to_nobodys_file() {
    let (folder, leases) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("disk.raw");
    for replace in [false, true] {
        let stopped = started(fence(leases.path(), 1, false), &path, replace);
        stopped.write_all_at(0, b"old").unwrap();
        std::fs::write(FileTarget::journal_path(&path), b"of the old").unwrap();
        // It holds its lock and its file; both are left to it.
        let own = fence(leases.path(), 2, true);
        let next = started(own, &path, replace);
        assert!(!FileTarget::journal_path(&path).exists());
        next.write_all_at(0, b"new").unwrap();
        stopped.write_all_at(0, b"OLD").unwrap();
        assert_eq!(stopped.commit().unwrap_err().kind(), ErrorKind::Temporary);
        assert!(FileTarget::partial_path(&path).exists(), "that of the run that goes on");
        next.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let note = std::fs::read_to_string(Fence::published_path(leases.path(), "web")).unwrap();
        let noted: PublishedFile = serde_json::from_str(note.lines().last().unwrap()).unwrap();
        assert_eq!(
            noted,
            PublishedFile::of(&path.metadata().unwrap()),
            "the file is found again by its note"
        );
    }
}

#[test]
fn an_image_with_two_names_keeps_its_bytes_when_a_run_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.raw");
    std::fs::write(&path, b"whole").unwrap();
    // Killed between giving it its name and taking the other away.
    std::fs::hard_link(&path, FileTarget::partial_path(&path)).unwrap();
    drop(FileTarget::create(&path, true).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

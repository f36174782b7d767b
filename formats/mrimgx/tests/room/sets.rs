//! Backups of several files: differences, parts, merged and missing ones.

use crate::builder::*;
use format_core::ErrorKind;
use std::path::PathBuf;

struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, number: u16) -> PathBuf {
        self.folder.path().join(format!("D684BA87241263E2-{number:02}-{number:02}.mrimgx"))
    }

    fn put(&self, plan: &Plan) {
        std::fs::write(self.path(plan.number), plan.build()).unwrap();
    }
}

/// A full backup and increments that change one block each; block 2 + n in the nth.
fn chain() -> (Vec<Plan>, Vec<Vec<u8>>) {
    let full = Plan::sample();
    let mut contents = vec![full.content(0)];
    let mut plans = vec![full];
    for number in 1..4_u16 {
        let mut plan = Plan { number, increment: number, is_delta: true, ..Plan::sample() };
        let changed = sample(BLOCK, 1000 + u64::from(number));
        let block = u32::from(number) + 1;
        let mut content = contents.last().unwrap().clone();
        let at = (1 << 20) + block as usize * BLOCK;
        content[at..at + BLOCK].copy_from_slice(&changed);
        plan.disks[0].partitions[0].blocks = vec![(block, Source::Here(changed))];
        plan.disks[0].partitions[1].blocks.clear();
        if number == 2 {
            // A block that became empty.
            plan.disks[0].partitions[0].blocks.push((0, Source::Zero));
            content[1 << 20..(1 << 20) + BLOCK].fill(0);
        }
        contents.push(content);
        plans.push(plan);
    }
    (plans, contents)
}

#[test]
fn the_named_file_says_which_point_in_time() {
    let folder = Folder::new();
    let (plans, contents) = chain();
    plans.iter().for_each(|plan| folder.put(plan));
    std::fs::write(folder.folder.path().join("other.mrimgx"), b"nonsense").unwrap();
    for (number, wanted) in (0..).zip(&contents) {
        let container = open_path(&folder.path(number), &[]).unwrap();
        assert!(read(&container).unwrap() == *wanted, "file {number}");
        assert!(container.check(&|_| Ok(())).unwrap().is_clean());
        assert_eq!(container.completeness().unwrap(), []);
        assert_eq!(
            container.details()["index-from-files"].as_array().unwrap().len(),
            usize::from(number) + 1
        );
    }
}

#[test]
fn a_missing_increment_is_named() {
    let folder = Folder::new();
    let (plans, _) = chain();
    plans.iter().for_each(|plan| folder.put(plan));
    std::fs::remove_file(folder.path(1)).unwrap();
    let error = open_path(&folder.path(3), &[]).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::SourceMissing);
    assert!(
        error
            .to_string()
            .contains("file 1 of the backup set is missing, it was called D684BA87241263E2-01.mrimgx"),
        "{error}"
    );
    // One that is cut cannot be told from a stranger, so it is named, too.
    std::fs::write(folder.path(1), b"cut").unwrap();
    let error = open_path(&folder.path(3), &[]).err().unwrap();
    assert!(error.to_string().contains("these cannot be read: D684BA87241263E2-01-01.mrimgx"), "{error}");
    assert!(open_path(&folder.path(0), &[]).is_ok());
}

#[test]
fn a_differential_needs_the_full_for_its_blocks_only() {
    let folder = Folder::new();
    let full = Plan::sample();
    let written = full.write();
    folder.put(&full);
    let mut plan = Plan { number: 3, increment: 3, ..Plan::sample() };
    let mut wanted = full.content(0);
    for (part, elements) in plan.disks[0].partitions.iter_mut().zip(&written.elements) {
        part.blocks = (0..).zip(elements.iter().map(|element| Source::There(element.clone()))).collect();
    }
    let changed = sample(BLOCK, 77);
    plan.disks[0].partitions[0].blocks[1].1 = Source::Here(changed.clone());
    wanted[(1 << 20) + BLOCK..(1 << 20) + 2 * BLOCK].copy_from_slice(&changed);
    folder.put(&plan);
    assert!(read(&open_path(&folder.path(3), &[]).unwrap()).unwrap() == wanted);
    std::fs::remove_file(folder.path(0)).unwrap();
    let container = open_path(&folder.path(3), &[]).unwrap();
    let findings = container.completeness().unwrap();
    assert!(findings[0].message.contains("file 0 of the backup set is missing"), "{findings:?}");
    assert_eq!(read(&container).unwrap_err().kind(), ErrorKind::SourceMissing);
    assert_eq!(container.check(&|_| Ok(())).unwrap().errors, 7);
}

#[test]
fn merged_files_answer_for_those_that_went_into_them() {
    let folder = Folder::new();
    let (plans, contents) = chain();
    let mut merged = Plan { merged: vec![1], ..plans[2].clone() };
    let earlier = plans[1].disks[0].partitions[0].blocks.clone();
    merged.disks[0].partitions[0].blocks.splice(0..0, earlier);
    for plan in [&plans[0], &merged, &plans[3]] {
        folder.put(plan);
    }
    assert!(read(&open_path(&folder.path(3), &[]).unwrap()).unwrap() == contents[3]);
}

#[test]
fn a_part_leads_to_the_file_with_the_index() {
    let folder = Folder::new();
    let mut plan = Plan::sample();
    let part = Plan { is_split: true, ..Plan::sample() };
    let written = part.write();
    std::fs::write(folder.path(0), &written.bytes).unwrap();
    let wanted = plan.content(0);
    plan.number = 1;
    for (part, elements) in plan.disks[0].partitions.iter_mut().zip(&written.elements) {
        part.blocks = (0..).zip(elements.iter().map(|element| Source::There(element.clone()))).collect();
    }
    folder.put(&plan);
    for number in 0..2 {
        assert!(read(&open_path(&folder.path(number), &[]).unwrap()).unwrap() == wanted, "file {number}");
    }
    std::fs::remove_file(folder.path(1)).unwrap();
    assert_eq!(open_path(&folder.path(0), &[]).err().unwrap().kind(), ErrorKind::SourceMissing);
}

#[test]
fn two_files_with_one_number_are_refused() {
    let folder = Folder::new();
    folder.put(&Plan::sample());
    std::fs::copy(folder.path(0), folder.folder.path().join("copy.mrimgx")).unwrap();
    let (plans, _) = chain();
    folder.put(&plans[1]);
    assert_eq!(open_path(&folder.path(1), &[]).err().unwrap().kind(), ErrorKind::Usage);
}

#[test]
fn a_difference_without_a_folder_or_a_full_says_so() {
    let (plans, _) = chain();
    assert_eq!(open_bytes(&plans[1].build()).err().unwrap().kind(), ErrorKind::Unsupported);
    let folder = Folder::new();
    folder.put(&Plan { number: 0, ..plans[1].clone() });
    let error = open_path(&folder.path(0), &[]).err().unwrap();
    assert!(error.to_string().contains("no file of its set has a full index"), "{error}");
}

#[test]
fn a_delta_of_another_layout_or_beyond_the_partition_is_refused() {
    let folder = Folder::new();
    let (plans, _) = chain();
    folder.put(&plans[0]);
    let mut other = plans[1].clone();
    other.disks[0].partitions[0].number = 9;
    folder.put(&other);
    let error = open_path(&folder.path(1), &[]).err().unwrap();
    assert!(error.to_string().contains("has other disks or partitions"), "{error}");
    let mut beyond = plans[1].clone();
    beyond.disks[0].partitions[0].blocks[0].0 = 8;
    folder.put(&beyond);
    let error = read(&open_path(&folder.path(1), &[]).unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("block 8 of partition 1 changed, the partition has 8 blocks"),
        "{error}"
    );
}

//! Exports of version 0: their checksums are in a table at the end.

use crate::builder::{Member, Plan, Sums, blocks, flow, open, ova, pack, read};
use format_core::ErrorKind;
use sha1::{Digest, Sha1};

fn sample(spoil: impl Fn(usize, &mut String)) -> (Plan, Vec<u8>) {
    let plan = Plan { sums: Sums::None, ..Plan::sample().remove(1) };
    let mut members = blocks(&plan);
    let mut table = String::new();
    for (number, Member { name, bytes }) in members.iter().enumerate() {
        let mut sum = Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        spoil(number, &mut sum);
        if !sum.is_empty() {
            table += &format!("<member><name>{name}</name><value>{sum}</value></member>");
        }
    }
    let bytes = format!("<value><struct>{table}</struct></value>").into();
    members.push(Member { name: "checksum.xml".into(), bytes });
    let file = pack(&ova(std::slice::from_ref(&plan), 0), &members);
    (plan, file)
}

#[test]
fn the_table_is_compared() {
    let (plan, file) = sample(|_, _| {});
    let container = open(&file).unwrap();
    assert!(read(container.as_ref(), 0).unwrap() == plan.bytes);
    assert!(container.check(&|_| Ok(())).unwrap().is_clean());
    (container.proof(0).unwrap())(&|_| Ok(())).unwrap();
    assert!(flow(&file, None).unwrap() == plan.bytes);
}

#[test]
fn a_block_that_is_not_what_the_table_says() {
    let (_, file) = sample(|number, sum| {
        if number == 1 {
            sum.replace_range(0..1, if sum.starts_with('0') { "1" } else { "0" });
        }
    });
    let container = open(&file).unwrap();
    let report = container.check(&|_| Ok(())).unwrap();
    assert!(
        report.errors == 1 && report.findings[0].message.contains("block 1 of Ref:7 has the checksum"),
        "{report:?}"
    );
    assert_eq!((container.proof(0).unwrap())(&|_| Ok(())).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(flow(&file, None).unwrap_err().kind(), ErrorKind::Corrupt);
    let (_, file) = sample(|number, sum| {
        if number == 1 {
            sum.clear();
        }
    });
    assert!(
        flow(&file, None).unwrap_err().to_string().contains("the table of checksums has none for block 1")
    );
}

#[test]
fn a_table_that_is_missing() {
    let plan = Plan { sums: Sums::None, ..Plan::sample().remove(1) };
    let file = pack(&ova(std::slice::from_ref(&plan), 0), &blocks(&plan));
    assert!(flow(&file, None).unwrap_err().to_string().contains("the table of checksums is missing"));
    assert_eq!(open(&file).unwrap().check(&|_| Ok(())).unwrap().errors, 1);
}

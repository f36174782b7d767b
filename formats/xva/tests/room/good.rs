//! What was built is read.

use crate::builder::{
    BLOCK, Plan, Sums, blocks, build, content, flow, member, open, open_as, ova, pack, read, stream,
};
use format_core::{ErrorKind, ExtentKind, Score};
use format_xva::FORMAT;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn disks_are_read_in_the_order_of_the_machine() {
    let plans = Plan::sample();
    let file = build(&plans);
    assert_eq!((FORMAT.probe)(&file[..65536], &[]), Score::Magic);
    let container = open(&file).unwrap();
    let names: Vec<_> = container.disks().iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["Ref:7", "Ref:10"]);
    assert!(read(container.as_ref(), 0).unwrap() == plans[1].bytes);
    assert!(read(container.as_ref(), 1).unwrap() == plans[0].bytes);
    assert!(flow(&file, Some("Ref:10")).unwrap() == plans[0].bytes);
    assert!(flow(&file, Some("0")).unwrap() == plans[1].bytes);
    let codes: Vec<_> = container.warnings().iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["xva-other-disks"]);
    assert_eq!(container.machine_files().unwrap()[0].bytes, ova(&plans, 2).as_bytes());
    assert!(container.open_disk(2).is_err());
}

#[test]
fn labels_pick_disks_and_so_do_names_of_snapshots() {
    let plans = Plan::sample();
    let file = build(&plans);
    assert!(flow(&file, Some("data")).unwrap() == plans[0].bytes);
    assert!(flow(&file, Some("Ref:8")).unwrap() == plans[2].bytes);
    // Two disks have that label.
    assert_eq!(flow(&file, Some("system")).unwrap_err().kind(), ErrorKind::Usage);
    let container = open_as(&file, Some("data")).unwrap();
    assert_eq!(container.disks()[1].name, "data");
    let container = open_as(&file, Some("Ref:8")).unwrap();
    let index = container.disks().iter().position(|disk| disk.name == "Ref:8").unwrap();
    assert!(read(container.as_ref(), index).unwrap() == plans[2].bytes);
    // The medium in the drive is not in the export.
    assert_eq!(flow(&file, Some("tools.iso")).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(open_as(&file, Some("tools.iso")).unwrap().disks().len(), 2);
    let error = flow(&file, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let wanted = "pick one with --pick NAME; the disks are Ref:7 (\"system\"), Ref:10 (\"data\")";
    assert_eq!(error.hint_text(), Some(wanted));
}

#[test]
fn a_number_that_is_also_a_name_is_refused() {
    let mut plans = Plan::sample();
    (plans[0].label, plans[1].label) = ("0", "1");
    let file = build(&plans);
    for wanted in ["0", "1"] {
        for error in [open_as(&file, Some(wanted)).err(), stream(&file, Some(wanted)).err()] {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            assert!(error.to_string().contains("Ref:7") && error.to_string().contains("Ref:10"), "{error}");
        }
    }
    // Both mean the same disk.
    (plans[0].label, plans[1].label) = ("1", "0");
    let file = build(&plans);
    assert!(
        flow(&file, Some("0")).unwrap() == plans[1].bytes
            && flow(&file, Some("1")).unwrap() == plans[0].bytes
    );
    assert!(open_as(&file, Some("0")).is_ok());
    // Two are called by the number of one of them.
    (plans[0].label, plans[1].label) = ("1", "1");
    assert_eq!(flow(&build(&plans), Some("1")).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_stream_warns_of_other_disks_as_a_file_does() {
    let mut plans = Plan::sample();
    for user in [Some("snapshot"), None] {
        plans[2].user = user;
        let file = build(&plans);
        let wanted = open(&file).unwrap().warnings().to_vec();
        assert_eq!(wanted[0].code, "xva-other-disks");
        assert_eq!(stream(&file, Some("Ref:7")).unwrap().warnings(), wanted);
        assert_eq!(stream(&file, Some("1")).unwrap().warnings(), wanted);
    }
}

#[test]
fn blocks_that_follow_each_other_are_one_extent() {
    let container = open(&build(&Plan::sample())).unwrap();
    let disk = container.open_disk(0).unwrap().disk;
    let extents: Vec<_> = disk
        .extents(0, 7 * BLOCK as u64)
        .map(|e| e.unwrap())
        .map(|e| (e.len as usize / BLOCK, e.kind))
        .collect();
    use ExtentKind::{Data, Zero};
    assert_eq!(extents, [(2, Data), (2, Zero), (1, Data), (1, Zero), (1, Data)]);
}

#[test]
fn a_block_that_keeps_the_connection_alive_has_no_room() {
    for sums in [Sums::Xxh64, Sums::Sha1] {
        for pause in [0, 2, 4] {
            let plans: Vec<_> = Plan::sample()
                .into_iter()
                .map(|plan| Plan { pause: Some(pause), sums, ..plan })
                .take(2)
                .collect();
            let file = build(&plans);
            let container = open(&file).unwrap();
            assert!(read(container.as_ref(), 0).unwrap() == plans[1].bytes, "{pause}");
            assert!(flow(&file, Some("Ref:7")).unwrap() == plans[1].bytes, "{pause}");
            assert!(container.check(&|_| Ok(())).unwrap().is_clean());
        }
    }
}

#[test]
fn a_check_and_a_proof_compare_every_block() {
    let plans = Plan::sample();
    let file = build(&plans);
    let container = open(&file).unwrap();
    let read = AtomicU64::new(0);
    let tick = |bytes| {
        read.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    };
    let report = container.check(&tick).unwrap();
    // One kind of checksum in an export; the sample has two.
    assert_eq!(report.errors, 1, "{report:?}");
    let plans: Vec<_> = plans.into_iter().map(|plan| Plan { sums: Sums::Xxh64, ..plan }).collect();
    let mut file = build(&plans);
    read.store(0, Ordering::Relaxed);
    assert!(open(&file).unwrap().check(&tick).unwrap().is_clean());
    // Blocks 2 and 3 of one disk, 2, 3 and 5 of the other are left out.
    let stored = 3 * BLOCK + 1536 - BLOCK + 4 * BLOCK + BLOCK / 2;
    assert_eq!(read.load(Ordering::Relaxed), stored as u64);
    let last = file.len() - 1024 - 1024 - 700;
    file[last] ^= 1;
    let container = open(&file).unwrap();
    let report = container.check(&tick).unwrap();
    assert_eq!(report.errors, 1);
    assert!(report.findings[0].message.contains("block 0 of Ref:8 has the checksum"), "{report:?}");
    for index in 0..2 {
        (container.proof(index).unwrap())(&tick).unwrap();
    }
    assert!(flow(&file, Some("Ref:7")).is_ok());
    assert_eq!(flow(&file, Some("Ref:8")).unwrap_err().kind(), ErrorKind::Corrupt);
    let container = open_as(&file, Some("Ref:8")).unwrap();
    let index = container.disks().iter().position(|disk| disk.name == "Ref:8").unwrap();
    assert_eq!((container.proof(index).unwrap())(&tick).unwrap_err().kind(), ErrorKind::Mismatch);
    let stopped = container.check(&|_| Err(format_core::Error::new(ErrorKind::Temporary, "stop")));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Temporary);
}

#[test]
fn a_file_system_without_a_partition_table_is_told() {
    let mut plan = Plan { bytes: content(2 * BLOCK, 9), ..Plan::sample().remove(1) };
    let told = |plan: &Plan| {
        let container = open(&build(std::slice::from_ref(plan))).unwrap();
        let disk = container.open_disk(0).unwrap().disk;
        disk.layers()[0].details().get("partitionless").cloned()
    };
    assert_eq!(told(&plan), None);
    plan.bytes[0x438..0x43a].copy_from_slice(&[0x53, 0xef]);
    assert_eq!(told(&plan), Some(true.into()));
}

#[test]
fn an_export_that_was_packed_again() {
    let plan = Plan::sample().remove(1);
    let ova = ova(std::slice::from_ref(&plan), 2);
    let mut pax = member("PaxHeaders/ova.xml", b"30 mtime=1700000000.123456789\n");
    pax[156] = b'x';
    crate::builder::seal(&mut pax);
    let mut folder = member("./Ref:7/", b"");
    folder[156] = b'5';
    crate::builder::seal(&mut folder);
    let mut file = [pax.clone(), member("./ova.xml", ova.as_bytes()), folder].concat();
    for part in blocks(&plan) {
        file.extend(&pax);
        file.extend(member(&format!("./{}", part.name), &part.bytes));
    }
    file.extend(member("notes.txt", b"hello"));
    // Without the mark of an end, but whole.
    let container = open(&file).unwrap();
    assert!(read(container.as_ref(), 0).unwrap() == plan.bytes);
    assert_eq!(container.warnings()[0].code, "xva-other-files");
    assert!(flow(&file, None).unwrap() == plan.bytes);
    let mut pax = member("PaxHeaders/x", b"16 path=Ref:7/1\n");
    pax[156] = b'x';
    crate::builder::seal(&mut pax);
    file.extend(pax);
    assert_eq!(open(&file).err().unwrap().kind(), ErrorKind::Unsupported);
    let empty = pack(&crate::builder::ova(&[], 2).replace("<name>objects", "<name>nothing"), &[]);
    assert!(open(&empty).unwrap().disks().is_empty());
    assert_eq!(flow(&empty, None).unwrap_err().kind(), ErrorKind::Unsupported);
}

//! What was built is read.

use crate::builder::{BLOCK, CLUSTER, Plan, content, context, flow, open, read, reseal};
use format_core::{ErrorKind, ExtentKind, MemStorage, Origin, Score};
use format_vma::FORMAT;
use std::sync::Arc;

#[test]
fn disks_are_read_in_boot_order() {
    let plan = Plan::sample();
    let file = plan.build();
    assert_eq!((FORMAT.probe)(&file[..4096], &[]), Score::Magic);
    let container = open(&file).unwrap();
    let names: Vec<_> = container.disks().iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["drive-scsi1", "drive-scsi0"]);
    assert!(read(container.as_ref(), 0).unwrap() == plan.devices[1].1);
    assert!(read(container.as_ref(), 1).unwrap() == plan.devices[0].1);
    assert!(flow(&file, Some("drive-scsi0")).unwrap() == plan.devices[0].1);
    assert!(flow(&file, Some("0")).unwrap() == plan.devices[1].1);
    let files = container.machine_files().unwrap();
    assert_eq!(
        (files[0].name.as_str(), files[0].bytes.as_slice()),
        ("qemu-server.conf", plan.config.as_bytes())
    );
    assert!(container.warnings().is_empty());
    assert!(container.open_disk(2).is_err());
}

#[test]
fn extents_are_runs_of_blocks() {
    let container = open(&Plan::sample().build()).unwrap();
    let disk = container.open_disk(1).unwrap().disk;
    let extents: Vec<_> =
        disk.extents(0, 6 * BLOCK as u64).map(|e| e.unwrap()).map(|e| (e.len as usize, e.kind)).collect();
    use ExtentKind::{Data, Zero};
    assert_eq!(extents, [(BLOCK, Data), (BLOCK, Zero), (2 * BLOCK, Data), (BLOCK, Zero), (BLOCK, Data)]);
    // Three clusters of zeros are one run.
    let zero = disk.extent_at(3 * CLUSTER as u64).unwrap();
    assert_eq!((zero.kind, zero.len as usize), (Zero, 3 * CLUSTER));
    let range = disk.host_range(BLOCK as u64 * 2 + 7).unwrap().unwrap();
    let mut byte = [0];
    range.storage.read_exact_at(range.offset, &mut byte).unwrap();
    assert_eq!((byte[0], range.len as usize), (content(3 * BLOCK, 3)[2 * BLOCK], 2 * BLOCK - 7));
}

#[test]
fn clusters_in_any_order_make_the_same_disk() {
    let plan = Plan::sample();
    let mut orders = vec![plan.in_order(); 3];
    orders[0].reverse();
    orders[1].sort_by_key(|(device, cluster)| (cluster * 7 % 5, *device));
    orders[2].sort_by_key(|(device, cluster)| (*cluster, *device));
    for order in orders {
        let file = Plan { order, ..plan.clone() }.build();
        let container = open(&file).unwrap();
        assert!(read(container.as_ref(), 1).unwrap() == plan.devices[0].1);
        assert!(read(container.as_ref(), 0).unwrap() == plan.devices[1].1);
        assert!(flow(&file, Some("drive-scsi0")).unwrap() == plan.devices[0].1);
        assert!(flow(&file, Some("drive-scsi1")).unwrap() == plan.devices[1].1);
    }
}

#[test]
fn memory_and_firmware_are_no_disks() {
    let mut plan = Plan::sample();
    plan.devices.push(("drive-efidisk0", content(132 * BLOCK, 5)));
    plan.devices.push(("vmstate", content(2 * CLUSTER, 6)));
    let mut order = plan.in_order();
    // Nobody knows the size of the memory when the header is written.
    order.push((4, 77));
    let file = Plan { order, ..plan.clone() }.build();
    let container = open(&file).unwrap();
    assert_eq!(container.disks().len(), 2);
    let codes: Vec<_> = container.warnings().iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["vma-memory", "vma-firmware-store"]);
    assert!(read(container.as_ref(), 1).unwrap() == plan.devices[0].1);
    assert!(flow(&file, Some("drive-efidisk0")).unwrap() == plan.devices[2].1);
    let origin = Origin::File(Arc::new(MemStorage(file)));
    let picked = (FORMAT.open_container.unwrap())(origin, &context(Some("drive-efidisk0"))).unwrap();
    let index = picked.disks().iter().position(|disk| disk.name == "drive-efidisk0").unwrap();
    assert!(read(picked.as_ref(), index).unwrap() == plan.devices[2].1);
}

#[test]
fn a_check_reads_everything_and_says_what_is_not_covered() {
    let file = Plan::sample().build();
    let container = open(&file).unwrap();
    let read = std::sync::atomic::AtomicU64::new(0);
    let tick = |bytes| {
        read.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    };
    let report = container.check(&tick).unwrap();
    assert!(report.is_clean());
    assert_eq!((report.total_chunks, report.allocated_chunks), (17, 11));
    assert_eq!(read.into_inner(), file.len() as u64);
    assert!(report.findings[0].message.contains("checksums of its headers only"));
    assert!(container.proof(0).is_none());
    let stopped = container.check(&|_| Err(format_core::Error::new(ErrorKind::Temporary, "stop")));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Temporary);
}

#[test]
fn wrong_checksums_can_be_ignored() {
    let plan = Plan::sample();
    let mut file = plan.build();
    let head = crate::builder::header_end(&file);
    file[30] ^= 1;
    file[head + 24] ^= 1;
    assert!(open(&file).is_err());
    let mut context = context(Some("drive-scsi0"));
    context.access.ignore_checksums = true;
    let container =
        (FORMAT.open_container.unwrap())(Origin::File(Arc::new(MemStorage(file.clone()))), &context).unwrap();
    assert!(read(container.as_ref(), 1).unwrap() == plan.devices[0].1);
    assert_eq!(container.warnings().len(), 2);
    assert_eq!(container.check(&|_| Ok(())).unwrap().errors, 2);
    let stream =
        (FORMAT.open_stream.unwrap())(Box::new(std::io::Cursor::new(file.clone())), &context).unwrap();
    assert!(crate::builder::drain(stream).unwrap() == plan.devices[0].1);
    reseal(&mut file);
    assert!(open(&file).unwrap().warnings().is_empty());
}

#[test]
fn a_stream_of_several_disks_wants_a_choice() {
    let file = Plan::sample().build();
    let error = flow(&file, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.hint_text().unwrap().contains("--pick NAME; the disks are drive-scsi1, drive-scsi0"));
    assert_eq!(flow(&file, Some("scsi9")).unwrap_err().kind(), ErrorKind::Usage);
    let mut plan = Plan::sample();
    plan.devices.truncate(1);
    assert!(flow(&plan.build(), None).unwrap() == plan.devices[0].1);
    plan.devices.clear();
    assert_eq!(flow(&plan.build(), None).unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(open(&plan.build()).unwrap().disks().is_empty());
}

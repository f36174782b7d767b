//! Clusters that come early wait, in memory and in a temporary file.

use crate::builder::{CLUSTER, Plan, flow};

#[test]
fn more_early_clusters_than_memory_may_hold() {
    // 40 MiB of data that do not repeat, the second half first.
    let mut bytes = vec![0; 640 * CLUSTER];
    for (number, word) in bytes.chunks_mut(8).enumerate() {
        word.copy_from_slice(&(number as u64 + 1).to_le_bytes());
    }
    let plan = Plan { devices: vec![("drive-scsi0", bytes)], slots: 59, ..Plan::sample() };
    let order = (320..640).chain(0..320).map(|cluster| (1, cluster)).collect();
    assert!(flow(&Plan { order, ..plan.clone() }.build(), None).unwrap() == plan.devices[0].1);
    // Almost all of it before its turn: more than 24 MiB wait.
    let order = (1..640).chain(0..1).map(|cluster| (1, cluster)).collect();
    assert!(flow(&Plan { order, ..plan.clone() }.build(), None).unwrap() == plan.devices[0].1);
}

#[test]
fn zeros_that_wait_are_not_forgotten_at_the_end() {
    let mut bytes = vec![0; 300 * CLUSTER];
    bytes[0] = 1;
    let last = bytes.len() - 1;
    bytes[last] = 2;
    let plan = Plan { devices: vec![("drive-scsi0", bytes)], slots: 59, ..Plan::sample() };
    let order = (1..300).chain(0..1).map(|cluster| (1, cluster)).collect();
    assert!(flow(&Plan { order, ..plan.clone() }.build(), None).unwrap() == plan.devices[0].1);
}

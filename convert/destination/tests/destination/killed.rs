//! Killed at any moment, and no hand is needed.

use crate::bench::{Bench, findmnt, inside, role, tool};
use convert_destination::Isolation;
use std::path::Path;
use std::time::Duration;

/// Isolates and restores until it is killed.
fn victim(bench: &Bench, folder: &Path, isolation: &Isolation) -> ! {
    loop {
        bench.enter(folder).unwrap();
        bench.leave(folder, isolation).unwrap();
    }
}

/// Kills the victim at `rounds` moments, and judges what is restored each time.
fn rounds(bench: &Bench, folder: &Path, rounds: u64, is_back: impl Fn() -> bool) {
    let (mut open, mut done) = (0, 0);
    for round in 0..rounds {
        let mut child = bench.in_role("victim");
        // Start of the process and many of its steps; the same moments in every run would miss the same ones.
        let micros = u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_micros());
        std::thread::sleep(Duration::from_millis(30 + (round * 37 + micros) % 120));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "the victim ended by itself");
        let left = bench.records() > 0;
        let entered = bench.enter(folder).unwrap();
        assert_eq!(entered.how.is_some(), left);
        assert_eq!(std::fs::read_dir(bench.path("state")).unwrap().count(), 0);
        assert!(is_back(), "round {round}");
        assert_eq!(std::fs::read_to_string(folder.join("web.raw")).unwrap(), "content");
        *if left { &mut open } else { &mut done } += 1;
    }
    // Otherwise the moments were none.
    assert!(open > 0, "{open} of {} were killed while isolated", open + done);
}

#[test]
fn while_unmounting_and_mounting() {
    inside("killed::while_unmounting_and_mounting", |bench| {
        let folder = bench.path("backup/vms");
        if role().is_some() {
            victim(bench, &folder, &Isolation::Unmount);
        }
        let (point, _) = bench.destination("backup", "ext4", "nosuid,nodev,noatime");
        let before = findmnt(&point);
        rounds(bench, &folder, 20, || findmnt(&point) == before);
    });
}

#[test]
fn while_the_link_goes_down_and_up() {
    inside("killed::while_the_link_goes_down_and_up", |bench| {
        let folder = bench.path("local");
        if role().is_some() {
            victim(
                bench,
                &folder,
                &Isolation::NetworkDown { interface: "v0".into(), yes_i_lose_network: false },
            );
        }
        bench.dir("local");
        std::fs::write(folder.join("web.raw"), "content").unwrap();
        crate::network::veth();
        let before = crate::network::state();
        rounds(bench, &folder, 20, || crate::network::state() == before);
        tool(&["ip", "link", "del", "v0"]);
    });
}

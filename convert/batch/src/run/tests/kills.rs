//! A batch that is killed at any moment needs no repair.

use super::*;
use std::process::{Command, Stdio};

/// What the killed process is asked to do.
const FOLDER: &str = "REHOME_TEST_BATCH";

fn tasks(site: &Site) -> Vec<Task> {
    let seconds = ["0", "0.01", "0.05", "0.1"];
    (0..12).map(|i| site.task(&format!("job{i}"), &["copy", seconds[i % 4]])).collect()
}

#[test]
#[ignore = "the process that the next test kills"]
fn a_batch_to_be_killed() {
    let folder = std::env::var_os(FOLDER).expect("only the next test starts this");
    let site = Site::new(Path::new(&folder));
    let summary = site.run(&tasks(&site)).unwrap();
    #[allow(clippy::exit, reason = "this process is the batch, and its exit code is what is asked for")]
    std::process::exit(summary.exit_code.into());
}

#[test]
fn killed_at_twenty_moments_it_ends_well_without_repair() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path());
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut kills, mut rounds) = (0, 0);
    while kills < 20 {
        rounds += 1;
        assert!(rounds < 60, "it is always faster than the kill");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "run::tests::kills::a_batch_to_be_killed"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 + random(350)));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        let status = child.wait().unwrap();
        let is_done = status.code().inspect(|code| assert_eq!(*code, 0, "round {rounds}")).is_some();
        if is_done {
            // From the start, so that kills meet work.
            for task in tasks(&site) {
                std::fs::remove_file(&task.outputs[0]).unwrap();
            }
        }
    }
    let summary = site.run(&tasks(&site)).unwrap();
    assert_eq!(summary.exit_code, 0, "{:?}", phases(&summary));
    for task in tasks(&site) {
        let path = &task.outputs[0];
        let found = std::fs::read_to_string(path).unwrap();
        assert_eq!(found, format!("of {}\n", path.display()));
        assert!(!path.with_extension("partial").exists());
    }
    let left: Vec<_> = std::fs::read_dir(folder.path().join(LocalLeases::NAME))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0], "no leases are left");
}

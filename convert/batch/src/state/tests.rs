use super::*;

fn tasks(ids: &[&str]) -> Vec<Task> {
    let line = |id: &&str| {
        format!("{{\"id\":\"{id}\",\"command\":[\"c\"],\"outputs\":[\"o\"],\"fingerprint\":\"1\"}}\n")
    };
    parse_tasks(&ids.iter().map(line).collect::<String>()).unwrap()
}

fn info(started: &str) -> BatchInfo {
    BatchInfo {
        id: started.into(),
        job_file: "jobs.toml".into(),
        job_file_hash: "ab".into(),
        started: started.into(),
        version: "1".into(),
    }
}

#[test]
fn a_batch_keeps_its_first_name_and_jobs_without_a_state_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    assert_eq!(StateFolder::open(&path).unwrap_err().kind(), ErrorKind::SourceMissing);
    assert_eq!(StateFolder::create(&path.join("deep")).unwrap_err().kind(), ErrorKind::Destination);
    let state = StateFolder::create(&path).unwrap();
    state.begin(&info("first"), &tasks(&["a", "b"])).unwrap();
    let state = StateFolder::create(&path).unwrap();
    let tasks = tasks(&["a", "b", "c"]);
    assert_eq!(state.begin(&info("second"), &tasks).unwrap().id, "first");
    let mut job = JobState::new(&tasks[1]);
    job.state = Phase::Held;
    state.keep(&job).unwrap();
    let dead = Owner { pid_started: 1, ..Owner::this().unwrap() };
    state.keep(&JobState { state: Phase::Running, owner: Some(dead), ..JobState::new(&tasks[0]) }).unwrap();
    std::fs::write(state.job_file("c", "json"), b"{\"id\":").unwrap();
    let found = StateFolder::open(&path).unwrap().load().unwrap();
    assert_eq!(found.batch.started, "first");
    let phases: Vec<_> = found.jobs.iter().map(|job| (job.id.as_str(), job.state)).collect();
    assert_eq!(phases, [("a", Phase::Interrupted), ("b", Phase::Held), ("c", Phase::Waiting)]);
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    let names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "no temporary files: {names:?}");
}

#[test]
fn what_a_run_starts_by_itself() {
    let mut job = JobState::new(&tasks(&["a"])[0]);
    let mut may = |state, exit_code, signal| {
        (job.state, job.exit_code, job.signal) = (state, exit_code, signal);
        (job.may_start(), job.code())
    };
    assert_eq!(may(Phase::Failed, Some(65), None), (false, 65));
    assert_eq!(may(Phase::Failed, Some(75), None), (true, 75));
    assert_eq!(may(Phase::Failed, Some(74), None), (true, 74));
    assert_eq!(may(Phase::Failed, None, Some(9)), (true, 75), "mostly for want of memory");
    assert_eq!(may(Phase::Failed, None, Some(11)), (false, 70), "a crash");
    assert_eq!(may(Phase::Held, Some(78), None), (false, 78));
    assert_eq!(may(Phase::Done, Some(0), None), (false, 0));
    for state in [Phase::Waiting, Phase::Running, Phase::Interrupted, Phase::Cancelled] {
        assert!(may(state, None, None).0, "{state:?}");
    }
}

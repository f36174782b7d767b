//! Tasks of engines and what they do.

use convert_job_file::{Shard, attempt, check_digest};

fn with<'e>(pairs: &'e [(&'e str, &'e str)]) -> impl Fn(&str) -> Option<String> + 'e {
    |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn engines_tell_the_task() {
    for (pairs, shard) in [
        (&[("JOB_COMPLETION_INDEX", "0")][..], Shard::One(0)),
        (&[("SLURM_ARRAY_TASK_ID", "17")], Shard::One(17)),
        (&[("AWS_BATCH_JOB_ARRAY_INDEX", "3"), ("REHOME_SHARD_OFFSET", "100")], Shard::One(103)),
        (&[("SGE_TASK_ID", "1")], Shard::One(0)),
        (&[("SGE_TASK_ID", "undefined"), ("REHOME_SHARD_INDEX", "2")], Shard::One(2)),
        (&[("SGE_TASK_ID", "3"), ("JOB_COMPLETION_INDEX", "2")], Shard::One(2)),
    ] {
        assert_eq!(Shard::parse("env", &with(pairs)).unwrap(), shard, "{pairs:?}");
    }
    for pairs in [
        &[][..],
        &[("SGE_TASK_ID", "0")],
        &[("SLURM_ARRAY_TASK_ID", "-1")],
        &[("SLURM_ARRAY_TASK_ID", "1"), ("JOB_COMPLETION_INDEX", "2")],
        &[("CLOUD_RUN_TASK_INDEX", "1"), ("REHOME_SHARD_OFFSET", "x")],
    ] {
        assert_eq!(Shard::parse("env", &with(pairs)).unwrap_err().kind().name(), "usage", "{pairs:?}");
    }
}

#[test]
fn tasks_can_share_all_jobs() {
    let environment = with(&[("CLOUD_RUN_TASK_INDEX", "3")]);
    assert_eq!(Shard::parse("env/10", &environment).unwrap(), Shard::Every { index: 3, of: 10 });
    assert!(Shard::parse("env/3", &environment).is_err());
    assert!(Shard::parse("env/10", &with(&[])).is_err());
}

#[test]
fn by_hand_all_jobs_are_in_exactly_one_shard() {
    for jobs in [0, 1, 5, 100] {
        for of in [1, 2, 7, 200] {
            let mut all: Vec<_> = (0..of)
                .flat_map(|index| {
                    Shard::parse(&format!("{index}/{of}"), &with(&[])).unwrap().of(jobs).unwrap()
                })
                .collect();
            all.sort_unstable();
            assert_eq!(all, (0..jobs).collect::<Vec<_>>());
        }
    }
    for wrong in ["3/3", "4/3", "1", "0/0", "1/0", "-1/3", "a/b", "", "1/2/3"] {
        assert!(Shard::parse(wrong, &with(&[])).is_err(), "{wrong}");
    }
    assert_eq!(Shard::One(4).of(5).unwrap(), [4]);
    assert!(Shard::One(5).of(5).unwrap_err().to_string().contains("5 jobs"));
}

#[test]
fn attempts_count_from_one() {
    assert_eq!(attempt(&with(&[])).unwrap(), None);
    assert_eq!(attempt(&with(&[("SLURM_RESTART_COUNT", "0")])).unwrap(), Some(1));
    assert_eq!(attempt(&with(&[("SLURM_RESTART_COUNT", "2")])).unwrap(), Some(3));
    assert_eq!(attempt(&with(&[("AWS_BATCH_JOB_ATTEMPT", "1")])).unwrap(), Some(1));
    assert!(attempt(&with(&[("AWS_BATCH_JOB_ATTEMPT", "0")])).is_err());
}

#[test]
fn a_changed_job_file_is_noticed() {
    assert!(check_digest("abc", &with(&[])).is_ok());
    assert!(check_digest("abc", &with(&[("REHOME_JOB_FILE", "abc")])).is_ok());
    assert!(check_digest("abc", &with(&[("REHOME_JOB_FILE", "abd")])).is_err());
}

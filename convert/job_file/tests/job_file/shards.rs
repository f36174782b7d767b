//! Tasks of engines and the job file that they were made for.

use convert_job_file::check_digest;

fn with<'e>(pairs: &'e [(&'e str, &'e str)]) -> impl Fn(&str) -> Option<String> + 'e {
    |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn a_changed_job_file_is_noticed() {
    assert!(check_digest("abc", &with(&[])).is_ok());
    assert!(check_digest("abc", &with(&[("REHOME_JOB_FILE", "abc")])).is_ok());
    assert!(check_digest("abc", &with(&[("REHOME_JOB_FILE", "abd")])).is_err());
}

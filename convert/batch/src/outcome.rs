//! What a child printed: its result as JSON, or its error.

use crate::state::{JobError, files};
use format_core::codes;
use serde::Deserialize;
use std::path::Path;

/// What a batch wants to know of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) error: Option<JobError>,
    pub(crate) bytes: Option<u64>,
    pub(crate) digest: Option<String>,
    pub(crate) warnings: u64,
}

/// Fields of the commands' results; each has some of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Printed {
    error: Option<JobError>,
    outcome: Option<String>,
    next_step: Option<String>,
    obstacles: Vec<String>,
    data_bytes: Option<u64>,
    digest: Option<String>,
    disks: Vec<PrintedDisk>,
    warnings: Vec<serde::de::IgnoredAny>,
    boot_test: Option<BootTest>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BootTest {
    verdict: String,
    about: Option<String>,
    reason: Option<String>,
}

impl BootTest {
    /// What a boot that did not pass makes of the job.
    fn error(self) -> Option<JobError> {
        let code = match self.verdict.as_str() {
            "failed" => &codes::BOOT_FAILED,
            "undecided" => &codes::BOOT_UNDECIDED,
            _ => return None,
        };
        Some(JobError {
            code: Some(code.id.into()),
            kind: code.kind.name().into(),
            message: self.about.or(self.reason).unwrap_or_else(|| code.cause.into()),
            hint: Some(code.step.into()),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PrintedDisk {
    data_bytes: Option<u64>,
    digest: Option<String>,
}

impl Outcome {
    /// What is in the file; what cannot be understood is left out, since the exit code decides.
    pub(crate) fn read(path: &Path) -> Self {
        let printed: Printed = files::read_json(path).ok().flatten().unwrap_or_default();
        let from_disks = printed.disks.iter().filter_map(|disk| disk.data_bytes);
        let sum = from_disks.reduce(u64::saturating_add);
        let blocked = (printed.outcome.as_deref() == Some("blocked")).then(|| JobError {
            code: Some(codes::PLAN_BLOCKED.id.into()),
            kind: "needs-person".into(),
            message: match printed.obstacles.first() {
                Some(first) => first.clone(),
                None => "the guest cannot be fixed as it is".into(),
            },
            hint: printed.next_step.clone(),
        });
        Self {
            error: printed.error.or(blocked).or_else(|| printed.boot_test.and_then(BootTest::error)),
            bytes: printed.data_bytes.or(sum),
            digest: printed.digest.or_else(|| printed.disks.into_iter().find_map(|disk| disk.digest)),
            warnings: printed.warnings.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_of_all_commands_are_understood_and_nothing_else_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Outcome::read(&path)
        };
        let converted = read(r#"{"data_bytes":5,"digest":"ab","warnings":[{"code":"x"}],"target":"t"}"#);
        assert_eq!(
            (converted.bytes, converted.digest.as_deref(), converted.warnings),
            (Some(5), Some("ab"), 1)
        );
        let migrated =
            read(r#"{"outcome":"done","disks":[{"data_bytes":5,"digest":"cd"},{"data_bytes":6}]}"#);
        assert_eq!((migrated.bytes, migrated.digest.as_deref()), (Some(11), Some("cd")));
        let blocked = read(r#"{"outcome":"blocked","next_step":"do this","obstacles":["hibernated"]}"#);
        let error = blocked.error.unwrap();
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("hibernated", Some("do this")));
        assert_eq!(error.code.as_deref(), Some("RH-PLAN-BLOCKED"));
        let failed =
            read(r#"{"error":{"kind":"io","exit_code":74,"message":"m","offset":null,"hint":null}}"#);
        assert_eq!(failed.error.unwrap().kind, "io");
        let unbootable = read(r#"{"outcome":"done","boot_test":{"verdict":"failed","about":"no root"}}"#);
        let error = unbootable.error.unwrap();
        assert_eq!((error.code.as_deref(), error.message.as_str()), (Some("RH-BOOT-FAILED"), "no root"));
        assert!(read(r#"{"boot_test":{"verdict":"passed"}}"#).error.is_none());
        for text in ["", "{", "[]", "no JSON", "{\"disks\":3}"] {
            assert!(read(text).error.is_none(), "{text}");
        }
    }
}

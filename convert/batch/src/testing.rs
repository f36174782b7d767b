//! What the tests of this crate share.

use crate::Task;

/// The least that a task can be.
pub(crate) fn task(id: &str) -> Task {
    Task {
        id: id.into(),
        title: String::new(),
        command: vec!["convert".into()],
        outputs: vec!["out".into()],
        source_key: String::new(),
        target_key: String::new(),
        wave: 0,
        priority: 0,
        timeout: None,
        fingerprint: "1".into(),
        destination: None,
    }
}

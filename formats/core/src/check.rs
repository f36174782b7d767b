//! What a check of an image's structure found.

use serde::Serialize;

/// Findings that are kept in words; the rest is only counted.
const MAX_FINDINGS: usize = 100;

/// The result of [`crate::Format::check`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// What was found, the first hundred.
    pub findings: Vec<Finding>,
    /// How many errors: places where data is lost, shared or cannot be trusted.
    pub errors: u64,
    /// How many leaks: room in the file that nothing uses. Harmless for the data.
    pub leaks: u64,
    /// Bytes that leaked.
    pub leaked_bytes: u64,
    /// Chunks (clusters, grains, blocks) of the disk.
    pub total_chunks: u64,
    /// Chunks with data in this file.
    pub allocated_chunks: u64,
    /// Of these, compressed ones.
    pub compressed_chunks: u64,
    /// Of these, ones that do not follow their neighbour in the file.
    pub fragmented_chunks: u64,
    /// Where the last used byte of the file ends.
    pub image_end: u64,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with the numbers.
    pub message: String,
    /// Where in the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data is lost, shared or cannot be trusted.
    Error,
    /// Room that nothing uses.
    Leak,
    /// Unusual but harmless; not counted.
    Note,
}

impl CheckReport {
    /// Adds an error at host offset `at`.
    pub fn error(&mut self, message: impl Into<String>, at: Option<u64>) {
        self.errors += 1;
        self.add(Severity::Error, message.into(), at);
    }

    /// Adds a leak of `bytes` at host offset `at`.
    pub fn leak(&mut self, message: impl Into<String>, at: u64, bytes: u64) {
        self.leaks += 1;
        self.leaked_bytes = self.leaked_bytes.saturating_add(bytes);
        self.add(Severity::Leak, message.into(), Some(at));
    }

    /// Adds a remark that counts as nothing.
    pub fn note(&mut self, message: impl Into<String>, at: Option<u64>) {
        self.add(Severity::Note, message.into(), at);
    }

    /// Whether there is neither an error nor a leak.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.errors == 0 && self.leaks == 0
    }

    fn add(&mut self, severity: Severity, message: String, at: Option<u64>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { severity, message, at });
        }
    }
}

//! What can be wrong with a machine description.

/// Why no machine, or no target definition, could be made.
///
/// Text of the document never appears raw in a message: it is shown through [`str::escape_debug`], so a hostile name
/// cannot write to the terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The text is no JSON, or no JSON of the expected shape.
    #[error("machine: {document}: {reason}")]
    Json {
        /// Which document was read, such as `machine JSON` or `document 2`.
        document: String,
        /// The parser's words with line and column where it knows them.
        reason: String,
    },
    /// The bytes are neither UTF-8 nor UTF-16 with a byte order mark.
    #[error("machine: document {number} is neither UTF-8 nor UTF-16 with a byte order mark")]
    Encoding {
        /// Position in the list given by the caller, from 1.
        number: usize,
    },
    /// A document is larger than anything this crate reads.
    #[error("machine: the document has {actual:#x} bytes, at most {limit:#x} are read")]
    TooLarge {
        /// Length in bytes.
        actual: usize,
        /// Largest length in bytes.
        limit: usize,
    },
    /// JSON that is of no dialect known here.
    #[error("machine: not a machine description: {found}, expected `rehome_machine` or {expected}")]
    UnknownDialect {
        /// What the document is.
        found: String,
        /// The keys that would have been understood.
        expected: &'static str,
    },
    /// A field has a value that no machine can have.
    #[error("machine: {field}: {reason}")]
    Field {
        /// Path of the field in the model, such as `disks[2].order`.
        field: String,
        /// What was read and what is possible.
        reason: String,
    },
    /// The documents hold several instances, or not the one asked for.
    #[error("machine: {reason}; instances in the documents: {ids}")]
    Instance {
        /// What was asked for.
        reason: String,
        /// The instance ids that exist, or `none`.
        ids: String,
    },
    /// The AWS documents lack something a machine needs.
    #[error("machine: instance {instance}: {reason}")]
    Aws {
        /// Instance id.
        instance: String,
        /// What is missing or contradictory.
        reason: String,
    },
    /// A description in another language than JSON cannot be read, or lacks something a machine needs.
    #[error("{dialect}: {reason}")]
    Dialect {
        /// Whose description: `libvirt`, `proxmox`, `xen`, `vmx` or `ovf`.
        dialect: &'static str,
        /// What was read, what was expected, and the line where it is known.
        reason: String,
    },
    /// The files given for the target do not fit the machine.
    #[error("hyper-v: {reason}")]
    Files {
        /// Which file or disk, and what was expected.
        reason: String,
    },
    /// A network that was chosen for the target has a name that it cannot have.
    #[error("{what}: {reason}")]
    Network {
        /// Whose network.
        what: &'static str,
        /// The name, and what is possible.
        reason: String,
    },
    /// A description that stands for itself came with others.
    #[error("{what}: {reason}")]
    Together {
        /// Which description it is.
        what: String,
        /// How many others came with it.
        reason: String,
    },
    /// Valid, but cannot be expressed or run there.
    #[error("{what}: {reason}")]
    Unsupported {
        /// Who cannot: `aws`, `hyper-v` or another dialect.
        what: &'static str,
        /// What was asked for and what is possible.
        reason: String,
    },
}

/// What a caller does about a [`MachineError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineErrorKind {
    /// The description contradicts itself or is malformed: exit code 65.
    Invalid,
    /// The description is valid, the target or this version cannot do it: exit code 69.
    Unsupported,
    /// The caller has to say which of several instances is meant: exit code 2.
    Choice,
    /// The caller chose a network that is not possible there: exit code 2.
    Network,
    /// The caller gave several documents where one is a machine: exit code 2.
    Together,
}

impl MachineError {
    /// The kind that decides the exit code.
    pub fn kind(&self) -> MachineErrorKind {
        match self {
            Self::Unsupported { .. } => MachineErrorKind::Unsupported,
            Self::Instance { .. } => MachineErrorKind::Choice,
            Self::Network { .. } => MachineErrorKind::Network,
            Self::Together { .. } => MachineErrorKind::Together,
            _ => MachineErrorKind::Invalid,
        }
    }

    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field { field: field.into(), reason: reason.into() }
    }
}

/// Something of the source that the machine, or the target's definition, cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Warning {
    /// Stable code for reports and filters, such as `aws-security-groups`.
    pub code: &'static str,
    /// One sentence for a person: what is lost, and what to do about it.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Foreign text as it may be shown in a message: quoted, escaped, cut at 80 characters.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::from("\"");
    out.extend(text.chars().take(80).flat_map(char::escape_debug));
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out.push('"');
    out
}

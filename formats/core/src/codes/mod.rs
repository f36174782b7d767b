//! The vocabulary of errors: for each a stable code with its stage, its usual cause and the next step.
//!
//! A code never changes its meaning and never vanishes (`SPEC.md` lists them all); other programs, tickets and search engines rely on it.
//! The text of an error says what happened to which file; its code says what kind of thing that was.

mod images;
mod places;
mod runs;

use crate::ErrorKind;
pub use images::*;
pub use places::*;
pub use runs::*;
use std::io::ErrorKind as Os;

/// What a run was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Understanding the request.
    Request,
    /// Opening sources.
    Open,
    /// Looking into the guest.
    Inspect,
    /// Planning changes.
    Plan,
    /// Reading sources and copying.
    Copy,
    /// Writing targets.
    Write,
    /// Proving what was written.
    Verify,
    /// Booting it.
    BootTest,
    /// Running many jobs.
    Batch,
    /// Getting at the place where targets lie, and isolating it.
    Destination,
    /// Reaching other machines.
    Network,
}

impl Stage {
    /// The stage's stable name in JSON output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Open => "open",
            Self::Inspect => "inspect",
            Self::Plan => "plan",
            Self::Copy => "copy",
            Self::Write => "write",
            Self::Verify => "verify",
            Self::BootTest => "boot-test",
            Self::Batch => "batch",
            Self::Destination => "destination",
            Self::Network => "network",
        }
    }
}

/// A number that another product has for the same thing.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// As that product prints it, such as `-403`.
    pub number: &'static str,
    /// Whose number it is.
    pub product: &'static str,
    /// What that product calls it, where that is known.
    pub name: Option<&'static str>,
}

/// An entry of the vocabulary.
#[derive(Debug)]
pub struct Code {
    /// Stable: `RH-` and words.
    pub id: &'static str,
    /// The kind of errors with this code. An error that is met in an unusual place can have another.
    pub kind: ErrorKind,
    /// The exit code that goes with it: that of the kind, or 1 where a run ends well and what it tells is bad.
    pub exit_code: u8,
    /// Where in a run it is met as a rule.
    pub stage: Stage,
    /// Why it happens.
    pub cause: &'static str,
    /// What a person does about it.
    pub step: &'static str,
    /// Numbers of other products.
    pub aliases: &'static [Alias],
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Code {}

/// Defines codes, and the list of them.
macro_rules! codes {
    ($list:ident; $($name:ident = $id:literal, $kind:ident $(($exit:literal))?, $stage:ident, $cause:literal, $step:literal $(, [$($alias:expr),*])?;)*) => {
        $(
            #[doc = concat!("`", $id, "`: ", $cause, ".")]
            pub static $name: Code = Code {
                id: $id,
                kind: ErrorKind::$kind,
                exit_code: super::exit_of(ErrorKind::$kind, &[$($exit)?]),
                stage: Stage::$stage,
                cause: $cause,
                step: $step,
                aliases: &[$($($alias),*)?],
            };
        )*
        pub(super) static $list: &[&Code] = &[$(&$name),*];
    };
}
pub(crate) use codes;

const fn exit_of(kind: ErrorKind, own: &[u8]) -> u8 {
    match own {
        [exit_code] => *exit_code,
        _ => kind.exit_code(),
    }
}

/// A number of Actiphy's ActiveImage Protector. Its maker publishes no list; only -403 is known by name, the others stand where they
/// are nearest.
const fn active_image(number: &'static str, name: Option<&'static str>) -> Alias {
    Alias { number, product: "ActiveImage Protector", name }
}

/// All codes, by the stages in which they are met.
pub fn all() -> impl Iterator<Item = &'static Code> {
    [images::LIST, places::LIST, runs::LIST].into_iter().flatten().copied()
}

/// The codes that `wanted` names: by id, in any case, with or without `RH-`, or by an alias.
#[must_use]
pub fn find(wanted: &str) -> Vec<&'static Code> {
    let upper = wanted.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("RH-").unwrap_or(&upper);
    let by_id: Vec<_> = all().filter(|code| code.id.strip_prefix("RH-") == Some(bare)).collect();
    if by_id.is_empty() {
        return all().filter(|code| code.aliases.iter().any(|alias| alias.number == upper)).collect();
    }
    by_id
}

/// The code of an error that was given none: what the system said, else its kind.
pub(crate) fn implied(kind: ErrorKind, cause: Option<&std::io::Error>) -> &'static Code {
    cause.and_then(|cause| by_cause(kind, cause)).unwrap_or_else(|| by_kind(kind))
}

fn by_cause(kind: ErrorKind, cause: &std::io::Error) -> Option<&'static Code> {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(cause);
    Some(match (cause.kind(), kind) {
        (Os::StorageFull | Os::QuotaExceeded, _) => &DESTINATION_FULL,
        (Os::ReadOnlyFilesystem, _) => &DESTINATION_READ_ONLY,
        (Os::FileTooLarge, _) => &DESTINATION_FILE_SIZE,
        (Os::NotFound | Os::NotADirectory, ErrorKind::Destination) => &DESTINATION_MISSING,
        (Os::AlreadyExists, ErrorKind::Destination) => &DESTINATION_EXISTS,
        (Os::ResourceBusy, _) => &IN_USE,
        (Os::UnexpectedEof, ErrorKind::Corrupt | ErrorKind::Io) => &SOURCE_CUT_OFF,
        (Os::PermissionDenied, ErrorKind::Denied | ErrorKind::Destination) => &PERMISSION,
        (Os::OutOfMemory, _) => &HOST_MEMORY,
        _ if matches!(
            errno,
            Some(Errno::IO | Errno::NODATA | Errno::REMOTEIO | Errno::ILSEQ | Errno::NXIO)
        ) =>
        {
            &DEVICE_FAILING
        }
        _ => return None,
    })
}

fn by_kind(kind: ErrorKind) -> &'static Code {
    match kind {
        ErrorKind::Corrupt => &SOURCE_CORRUPT,
        ErrorKind::Mismatch => &VERIFY_FAILED,
        ErrorKind::Unsupported => &UNSUPPORTED,
        ErrorKind::Limit => &LIMIT,
        ErrorKind::Denied => &DENIED,
        ErrorKind::SourceMissing => &SOURCE_MISSING,
        ErrorKind::Destination => &DESTINATION,
        ErrorKind::Io => &IO,
        ErrorKind::Temporary => &TEMPORARY,
        ErrorKind::NeedsPerson => &NEEDS_PERSON,
        ErrorKind::Contract => &BUG,
        ErrorKind::Usage => &USAGE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every code that a release has had. Lines are added here and in SPEC.md, and never taken away.
    const SPEC: &str = include_str!("SPEC.md");

    #[test]
    fn the_specification_and_the_table_name_the_same_codes() {
        let listed: BTreeSet<&str> =
            SPEC.lines().filter_map(|line| line.strip_prefix("| `RH-")?.split('`').next()).collect();
        let have: BTreeSet<&str> = all().filter_map(|code| code.id.strip_prefix("RH-")).collect();
        assert_eq!(listed, have);
        assert_eq!(all().count(), have.len(), "two codes of one name");
        assert!(have.len() > 60, "{}", have.len());
    }

    #[test]
    fn every_entry_is_complete_and_plain() {
        for code in all() {
            let named = code.id.strip_prefix("RH-").unwrap_or_default();
            assert!(
                !named.is_empty() && named.bytes().all(|b| b.is_ascii_uppercase() || b == b'-'),
                "{code:?}"
            );
            for text in [code.cause, code.step] {
                assert!(text.len() > 15 && !text.ends_with('.') && !text.contains("  "), "{code:?}");
                assert!(!text.chars().any(char::is_control), "{code:?}");
            }
        }
    }

    #[test]
    fn codes_are_found_by_name_and_by_the_numbers_of_others() {
        let ids = |wanted: &str| find(wanted).iter().map(|code| code.id).collect::<Vec<_>>();
        assert_eq!(ids("rh-key-wrong"), ["RH-KEY-WRONG"]);
        assert_eq!(ids("Key-Wrong"), ["RH-KEY-WRONG"]);
        assert_eq!(ids("-403"), ["RH-DESTINATION-MISSING", "RH-DESTINATION-NOT-MOUNTED"]);
        for number in ["-311", "-701", "-999"] {
            assert_eq!(ids(number).len(), 1, "{number}");
        }
        assert!(ids("").is_empty() && ids("RH-").is_empty() && ids("403").is_empty());
    }

    #[test]
    fn the_code_of_a_kind_has_that_kind() {
        use ErrorKind as K;
        for kind in [
            K::Corrupt,
            K::Mismatch,
            K::Unsupported,
            K::Limit,
            K::Denied,
            K::SourceMissing,
            K::Destination,
            K::Io,
            K::Temporary,
            K::NeedsPerson,
            K::Contract,
            K::Usage,
        ] {
            assert_eq!(by_kind(kind).kind, kind);
        }
    }
}

//! Where a guest ran before: signs in its own files, and what they add up to.

use crate::Platform;
use serde::Serialize;

/// How much a sign says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// Something that only a running guest on that platform writes: it ran there at some time.
    Recorded,
    /// Something that is installed or configured for the platform; images for several platforms have it too.
    Installed,
}

/// One sign of a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlatformSign {
    /// The platforms that leave this sign; more than one where they cannot be told apart by it.
    pub platforms: Vec<Platform>,
    /// How much it says.
    pub strength: Strength,
    /// What was found, and where.
    pub found: String,
}

/// The platform that the guest's files speak of. Never more than they say: a guest that was moved before carries signs of
/// both places, and then no platform is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceFacts {
    /// The only platform that fits all signs of the best strength there is.
    pub platform: Option<Platform>,
    /// Whether the platform follows from records of a running guest, not only from what is installed.
    pub recorded: bool,
    /// Everything that was found.
    pub signs: Vec<PlatformSign>,
}

impl SourceFacts {
    /// Judges `signs`.
    #[must_use]
    pub fn from_signs(signs: Vec<PlatformSign>) -> Self {
        let (left, recorded) = fitting(&signs);
        let platform = match left.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        Self { platform, recorded: recorded && platform.is_some(), signs }
    }

    /// One line for people: the platform with how it is known, or why none is named.
    #[must_use]
    pub fn describe(&self) -> String {
        let found: Vec<&str> = self.signs.iter().take(3).map(|sign| sign.found.as_str()).collect();
        match (self.platform, found.as_slice()) {
            (_, []) => "unknown: nothing in the guest speaks of a platform".into(),
            (Some(platform), found) if self.recorded => {
                format!("{} (it ran there: {})", platform.name(), found.join(", "))
            }
            (Some(platform), found) => format!("probably {} ({})", platform.name(), found.join(", ")),
            (None, found) => {
                let (left, _) = fitting(&self.signs);
                let names: Vec<&str> = left.into_iter().map(Platform::name).collect();
                match names.is_empty() {
                    true => format!("unknown: the signs do not agree ({})", found.join(", ")),
                    false => format!("{} ({})", names.join(" or "), found.join(", ")),
                }
            }
        }
    }
}

/// The platforms that fit all signs of the best strength there is, and whether that is of records.
fn fitting(signs: &[PlatformSign]) -> (Vec<Platform>, bool) {
    let recorded = signs.iter().any(|sign| sign.strength == Strength::Recorded);
    let best = if recorded { Strength::Recorded } else { Strength::Installed };
    let mut best = signs.iter().filter(|sign| sign.strength == best);
    let mut left = best.next().map(|sign| sign.platforms.clone()).unwrap_or_default();
    for sign in best {
        left.retain(|platform| sign.platforms.contains(platform));
    }
    (left, recorded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Platform::{Aws, Azure, HyperV, Vmware};

    fn sign(platforms: &[Platform], strength: Strength) -> PlatformSign {
        PlatformSign { platforms: platforms.to_vec(), strength, found: "x".into() }
    }

    #[test]
    fn records_count_more_than_what_is_installed_and_no_guess_is_certain() {
        use Strength::{Installed, Recorded};
        for (signs, platform, recorded, words) in [
            (vec![], None, false, "unknown: nothing"),
            (vec![sign(&[Aws], Installed)], Some(Aws), false, "probably Amazon EC2"),
            (vec![sign(&[Aws], Recorded), sign(&[Vmware], Installed)], Some(Aws), true, "Amazon EC2 (it ran"),
            (vec![sign(&[HyperV, Azure], Recorded)], None, false, "Hyper-V or Microsoft Azure (x)"),
            (
                vec![sign(&[HyperV, Azure], Recorded), sign(&[Azure], Recorded)],
                Some(Azure),
                true,
                "Microsoft",
            ),
            (vec![sign(&[Aws], Recorded), sign(&[Vmware], Recorded)], None, false, "unknown: the signs"),
            (vec![sign(&[Aws], Installed), sign(&[Vmware], Installed)], None, false, "unknown: the signs"),
        ] {
            let facts = SourceFacts::from_signs(signs);
            assert_eq!((facts.platform, facts.recorded), (platform, recorded), "{facts:?}");
            assert!(facts.describe().starts_with(words), "{}", facts.describe());
        }
    }
}

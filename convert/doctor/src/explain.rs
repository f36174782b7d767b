//! `rehome explain`: what codes of errors and warnings mean.

use crate::warnings;
use format_core::{ErrorKind, codes};
use serde::Serialize;

/// A number of another product.
#[derive(Clone, Debug, Serialize)]
pub struct OtherNumber {
    /// As the product prints it.
    pub number: &'static str,
    /// Whose it is.
    pub product: &'static str,
    /// What the product calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// Whether the two are known to mean the same, or only the nearest was taken.
    pub same: bool,
}

/// What is known of a code.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Such as `RH-KEY-MISSING`, or `vhdx-log-replayed` for a warning.
    pub code: String,
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The stage of a run, for errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// The kind of error, as in the JSON of a failed run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The exit code that a run ends with, as a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// What a batch does with such a job: `retry`, `hold` or `fail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<&'static str>,
    /// Why it happens.
    pub cause: String,
    /// What a person does about it.
    pub next_step: &'static str,
    /// Numbers of other products.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<OtherNumber>,
}

/// Everything, errors first.
#[must_use]
pub fn all() -> Vec<Explanation> {
    codes::all().map(of_error).chain(warnings::all().into_iter().map(of_warning)).collect()
}

/// What `wanted` names: a code in any case, an alias, or an exit code with its usual codes. Empty where nothing is called so.
#[must_use]
pub fn find(wanted: &str) -> Vec<Explanation> {
    // As it stands in a warning: [code].
    let wanted = wanted.trim().trim_start_matches('[').trim_end_matches(']');
    let errors = codes::find(wanted);
    if !errors.is_empty() {
        return errors.into_iter().map(of_error).collect();
    }
    if let Ok(exit_code) = wanted.parse::<u8>() {
        return codes::all().filter(|code| code.exit_code == exit_code).map(of_error).collect();
    }
    let lower = wanted.to_ascii_lowercase();
    warnings::all().into_iter().filter(|meaning| meaning.code == lower).map(of_warning).collect()
}

/// Codes that are spelt much like `wanted`, three at most.
#[must_use]
pub fn like(wanted: &str) -> Vec<String> {
    let words: Vec<String> =
        wanted.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect();
    let mut scored: Vec<(usize, String)> = all()
        .into_iter()
        .map(|one| {
            let lower = one.code.to_ascii_lowercase();
            let score = lower
                .split('-')
                .filter(|part| *part != "rh" && words.iter().any(|word| word == part))
                .count();
            (score, one.code)
        })
        .filter(|(score, _)| *score > 0)
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.into_iter().take(3).map(|(_, code)| code).collect()
}

fn of_error(code: &codes::Code) -> Explanation {
    Explanation {
        code: code.id.into(),
        severity: "error",
        stage: Some(code.stage.name()),
        kind: Some(code.kind.name()),
        exit_code: Some(code.exit_code),
        batch: Some(match code.kind {
            ErrorKind::Io | ErrorKind::Temporary => "retry",
            ErrorKind::NeedsPerson => "hold",
            _ => "fail",
        }),
        cause: code.cause.into(),
        next_step: code.step,
        aliases: code
            .aliases
            .iter()
            .map(|alias| OtherNumber {
                number: alias.number,
                product: alias.product,
                name: alias.name,
                same: alias.name.is_some(),
            })
            .collect(),
    }
}

fn of_warning(meaning: warnings::Meaning) -> Explanation {
    Explanation {
        code: meaning.code,
        severity: "warning",
        stage: None,
        kind: None,
        exit_code: None,
        batch: None,
        cause: meaning.cause,
        next_step: meaning.step,
        aliases: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(wanted: &str) -> Vec<String> {
        find(wanted).into_iter().map(|one| one.code).collect()
    }

    #[test]
    fn errors_warnings_numbers_and_exit_codes_are_found() {
        assert_eq!(named("rh-key-missing"), ["RH-KEY-MISSING"]);
        assert_eq!(named("[vhdx-log-replayed]"), ["vhdx-log-replayed"]);
        assert_eq!(named("-403"), ["RH-DESTINATION-MISSING", "RH-DESTINATION-NOT-MOUNTED"]);
        assert!(named("73").contains(&"RH-DESTINATION-EXISTS".to_owned()));
        assert!(named("").is_empty() && named("256").is_empty() && named("nope").is_empty());
        assert_eq!(like("KEY-GONE").len(), 3);
        assert!(find("-403")[0].aliases[0].same && !find("-999")[0].aliases[0].same);
        for one in all() {
            assert_eq!(named(&one.code), std::slice::from_ref(&one.code));
        }
    }
}

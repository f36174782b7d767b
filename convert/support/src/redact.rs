//! Taking secrets out of text and JSON.
//!
//! Two nets: known values (what the environment holds under names of secrets) are replaced wherever they stand; and what looks like a
//! secret is, by the name before it or by its own shape. The second net is wide on purpose: a word too much may go.

use format_core::{Error, Result};
use regex::{Captures, Regex};
use serde_json::Value;

/// What stands in a secret's place.
const STARS: &str = "***";
/// What stands where the guest's own content stood.
const GUEST: &str = "(content of the guest, left out)";
/// Shorter values of the environment are words of any language.
const KNOWN: usize = 6;

/// Names of secrets, as part of a longer name.
const NAME: &str = r"(?:pass(?:word|wd|phrase|wort|code)|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|encryption[_-]?key|credentials?|authorization|cookie|signature|session[_-]?id|auth[_-]?key|license[_-]?key|product[_-]?key|recovery[_-]?key)";

/// Keys of JSON under which a report holds what stood in the guest's files, or on its console.
const GUEST_KEYS: [&str; 9] =
    ["detail", "diff", "content", "before", "after", "console", "serial", "excerpt", "expected"];

/// Replaces secrets.
pub struct Redactor {
    known: Vec<String>,
    rules: Vec<(Regex, &'static str)>,
    named: Regex,
    option: Regex,
}

impl Redactor {
    /// With the values that `environment` holds under names of secrets.
    ///
    /// # Errors
    /// `Contract`: a rule of our own is wrong.
    pub fn new(environment: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let named = regex(&format!("(?i){NAME}"))?;
        let is_secret = |name: &str| {
            let upper = name.to_ascii_uppercase();
            named.is_match(name)
                || upper.ends_with("_KEY")
                || upper.ends_with("_PASS")
                || upper.starts_with("AWS_")
        };
        let mut known: Vec<String> = environment
            // A path of a file is no secret, and a region or a number is none either.
            .filter(|(name, value)| {
                is_secret(name)
                    && value.len() >= KNOWN
                    && !value.starts_with('/')
                    && !name.ends_with("REGION")
            })
            .map(|(_, value)| value)
            .collect();
        // The longest first: one value may be part of another.
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        known.dedup();
        let rules = [
            // PEM, also where a line end is written as \n.
            (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)".to_owned(), STARS),
            // Names and passwords in URLs.
            (r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@\x22']+@".to_owned(), "${1}***@"),
            // Headers, to the end of their line.
            (r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*(?:key|token|secret)[a-z-]*)(\s*:\s*)[^\r\n\x22']+".to_owned(), "${1}${2}***"),
            (r"(?i)\b(bearer|basic|negotiate)\s+[A-Za-z0-9+/=._~-]{8,}".to_owned(), "${1} ***"),
            // Parts of a query that sign it.
            (r"(?i)([?&](?:sig|signature|se|sp|key|token|access_token|x-(?:amz|goog|ms)-[a-z-]+)=)[^&\s\x22'#]+".to_owned(), "${1}***"),
            // A name of a secret, and its value: quoted, or to the next space.
            (format!(r#"(?i)((?:[\w.-]*{NAME}[\w.-]*|\b[A-Z0-9_]+_(?:KEY|PASS)|\bAWS_[A-Z_]+)\\?["']?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|\\"[^"]*\\"|[^\s,;"'}}\]]+)"#), "${1}***"),
            (format!(r"(?i)(\s--?[\w-]*{NAME}[\w-]*\s+)(\S+)"), "${1}***"),
            // Shapes: keys of AWS, JSON web tokens, tokens of GitHub and the like, password hashes, product keys of Windows.
            (r"\b(?:AKIA|ASIA|AGPA|AIDA)[0-9A-Z]{16}\b".to_owned(), STARS),
            (r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*".to_owned(), STARS),
            (r"\b(?:gh[pousr]|glpat|xox[abprs]|sk)[-_][A-Za-z0-9_-]{16,}\b".to_owned(), STARS),
            (r"\$(?:1|2[aby]?|5|6|7|y|gy|argon2[a-z]*)\$[^\s:\x22']{8,}".to_owned(), STARS),
            (r"\b[A-Z0-9]{5}(?:-[A-Z0-9]{5}){4}\b".to_owned(), STARS),
            // Recovery keys of BitLocker.
            (r"\b\d{6}(?:-\d{6}){7}\b".to_owned(), STARS),
        ];
        let rules = rules.into_iter().map(|(rule, to)| Ok((regex(&rule)?, to))).collect::<Result<_>>()?;
        let option = regex(&format!("(?i)^--?[a-z0-9-]*{NAME}[a-z0-9-]*$"))?;
        Ok(Self { known, rules, named, option })
    }

    /// `text` without secrets, and how many there were.
    #[must_use]
    pub fn text(&self, text: &str) -> (String, u64) {
        let (mut text, mut count) = (text.to_owned(), 0);
        for secret in &self.known {
            count += text.matches(secret.as_str()).count() as u64;
            text = text.replace(secret.as_str(), STARS);
        }
        for (rule, to) in &self.rules {
            let mut found = 0;
            let replaced = rule.replace_all(&text, |parts: &Captures<'_>| {
                let mut new = String::new();
                parts.expand(to, &mut new);
                // What was replaced by an earlier rule is not counted again.
                found += u64::from(parts.get(0).is_some_and(|whole| !whole.as_str().contains(STARS)));
                new
            });
            text = replaced.into_owned();
            count += found;
        }
        (text, count)
    }

    /// JSON without secrets and without what stood in the guest's files; text that is no JSON is taken as [`Redactor::lines`] takes it.
    #[must_use]
    pub fn json(&self, text: &str) -> (String, u64) {
        let Ok(mut value) = serde_json::from_str::<Value>(text) else { return self.lines(text) };
        let mut count = 0;
        self.value(&mut value, &mut count);
        (format!("{value:#}\n"), count)
    }

    /// A log without secrets: lines of JSON among lines of text.
    #[must_use]
    pub fn lines(&self, text: &str) -> (String, u64) {
        let (mut all, mut plain, mut count) = (String::new(), String::new(), 0);
        // Lines of text stay together: a private key has many.
        let flush = |plain: &mut String, all: &mut String, count: &mut u64| {
            let (new, found) = self.text(&std::mem::take(plain));
            all.push_str(&new);
            *count += found;
        };
        for line in text.lines() {
            match serde_json::from_str::<Value>(line) {
                Ok(mut value) if value.is_object() || value.is_array() => {
                    flush(&mut plain, &mut all, &mut count);
                    self.value(&mut value, &mut count);
                    all.push_str(&value.to_string());
                    all.push('\n');
                }
                _ => {
                    plain.push_str(line);
                    plain.push('\n');
                }
            }
        }
        flush(&mut plain, &mut all, &mut count);
        (all, count)
    }

    fn value(&self, value: &mut Value, count: &mut u64) {
        match value {
            Value::String(text) => {
                let (new, found) = self.text(text);
                *count += found;
                *text = new;
            }
            Value::Array(list) => {
                let mut is_secret = false;
                for one in list {
                    let next =
                        one.as_str().is_some_and(|text| self.option.is_match(text) && !is_path_option(text));
                    if is_secret && one.is_string() {
                        *one = STARS.into();
                        *count += 1;
                    } else {
                        self.value(one, count);
                    }
                    is_secret = next;
                }
            }
            Value::Object(fields) => {
                for (name, one) in fields {
                    if GUEST_KEYS.contains(&name.as_str()) && !one.is_null() {
                        *one = GUEST.into();
                        *count += 1;
                    } else if self.named.is_match(name)
                        && matches!(one, Value::String(_) | Value::Number(_))
                        && !is_path_option(name)
                    {
                        *one = STARS.into();
                        *count += 1;
                    } else {
                        self.value(one, count);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Options that name a file with a secret, not the secret.
fn is_path_option(name: &str) -> bool {
    ["file", "path", "fd", "command"].iter().any(|end| name.ends_with(end))
}

fn regex(rule: &str) -> Result<Regex> {
    Regex::new(rule).map_err(|e| Error::contract("a rule for secrets is wrong").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        let environment = [
            ("BORG_PASSPHRASE", "correct horse"),
            ("HOME", "/root"),
            ("AWS_SESSION", "zz-known-zz"),
            ("X_TOKEN", "abc"),
        ];
        Redactor::new(environment.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))).unwrap()
    }

    #[test]
    fn secrets_go_by_their_names_and_shapes_and_known_values_anywhere() {
        let redactor = redactor();
        for (text, is) in [
            ("the words correct horse stand alone", "the words *** stand alone"),
            ("fetch https://user:hunter2@host/a", "fetch https://***@host/a"),
            ("Authorization: Basic aHVudGVyMg==", "Authorization: ***"),
            ("got Bearer abcdefghij.klm", "got Bearer ***"),
            ("password=hunter2 next", "password=*** next"),
            ("db_passwd: 'hun ter2', more", "db_passwd: ***, more"),
            ("export RESTIC_PASSWORD=hunter2", "export RESTIC_PASSWORD=***"),
            ("MY_KEY=hunter2", "MY_KEY=***"),
            ("AWS_ACCESS_KEY_ID=hunter2", "AWS_ACCESS_KEY_ID=***"),
            ("run --password hunter2 --to kvm", "run --password *** --to kvm"),
            ("id AKIAABCDEFGHIJKLMNOP.", "id ***."),
            ("jwt eyJhbGciOi.eyJzdWIi.sig-x", "jwt ***"),
            ("https://h/x?sig=hunter2&a=1", "https://h/x?sig=***&a=1"),
            ("root:$6$salt$hunter2hunter2:1", "root:***:1"),
            ("key ABCDE-12345-FGHIJ-67890-KLMNO", "key ***"),
            ("-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----\nx", "***\nx"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2 cut", "***"),
        ] {
            let (new, count) = redactor.text(text);
            assert_eq!(new, is);
            assert!(count >= 1, "{text}");
        }
        for text in [
            "open a.qcow2: bad L1 table (at 0x200)",
            "copied 12 of 40 MiB",
            "RH-KEY-MISSING",
            "see https://example.org/a?page=2",
        ] {
            assert_eq!(redactor.text(text), (text.to_owned(), 0));
        }
    }

    #[test]
    fn json_loses_secrets_by_key_and_by_place_and_the_guests_content() {
        let text = r#"{"command":["convert","--password","hunter2","--key-file","k.txt"],"Password":"hunter2","pin_token":7,
            "edits":[{"path":"/etc/fstab","detail":"- hunter2"}],"note":"https://a:hunter2@b/","key_file":"k.txt","bytes":12}"#;
        let (new, count) = redactor().json(text);
        assert!(!new.contains("hunter2") && new.contains("k.txt") && new.contains("/etc/fstab"), "{new}");
        let value: Value = serde_json::from_str(&new).unwrap();
        assert_eq!((value["bytes"].as_u64(), value["pin_token"].as_str(), count), (Some(12), Some("***"), 5));
        let (lines, _) =
            redactor().json("{\"secret\":\"hunter2\"}\nplain token=hunter2\n[\"--token\",\"hunter2\"]\n");
        assert!(!lines.contains("hunter2") && lines.lines().count() == 3, "{lines}");
    }
}

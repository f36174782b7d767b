//! What an answer says before its body.

use ureq::http::{HeaderMap, StatusCode};

/// Status and headers of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: HeaderMap,
}

impl Head {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap) -> Self {
        Self { status: status.as_u16(), headers: headers.clone() }
    }

    /// The value of a header that stands there once; said twice, it says nothing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        value.to_str().ok().map(str::trim)
    }

    /// The length that the body is to have, in bytes.
    pub(crate) fn length(&self) -> Option<u64> {
        self.get("content-length").and_then(number)
    }

    /// Whether the body is the object's bytes as they are.
    pub(crate) fn is_plain(&self) -> bool {
        !self.headers.contains_key("content-encoding")
            || self.get("content-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("identity"))
    }
}

/// A decimal number without a sign, as headers have them.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

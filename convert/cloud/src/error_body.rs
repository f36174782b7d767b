//! The word by which a service says why it refused.

use crate::http::Head;
use serde_json::Value;

/// The code of a refusal, and its reason where there is one. `x-amzn-ErrorType` (EBS), `x-ms-error-code` (Azure), `Code` of an
/// XML body (S3, EC2, Azure, Google), `__type` or `code` and `Reason` of a JSON body (EBS).
///
/// Only words of letters, digits, `.`, `-` and `_` are taken, so that nothing else of a stranger's text is shown.
pub(crate) fn code(head: &Head, body: &[u8]) -> (Option<String>, Option<String>) {
    // `ValidationException:http://internal.amazon.com/…`
    let first = |text: &str| word(text.split(':').next().unwrap_or_default());
    let header = head.get("x-amzn-errortype").or_else(|| head.get("x-ms-error-code")).and_then(first);
    let (from_body, reason) = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => of_json(body),
        Some(b'<') => (of_xml(body), None),
        _ => (None, None),
    };
    // S3 tells so where a bucket is.
    let region =
        head.get("x-amz-bucket-region").filter(|_| matches!(head.status, 301 | 307 | 400)).and_then(word);
    (header.or(from_body), reason.or(region))
}

fn of_json(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return (None, None) };
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let code = text("__type").or_else(|| text("code")).or_else(|| text("Code")).or_else(|| text("error"));
    // `com.amazonaws.ebs#ValidationException`
    let code = code.and_then(|code| word(code.rsplit('#').next().unwrap_or_default()));
    (code, text("Reason").or_else(|| text("reason")).and_then(word))
}

fn of_xml(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let document = crate::xml::parse(text).ok()?;
    document.descendants().find(|node| node.tag_name().name() == "Code")?.text().and_then(word)
}

fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!text.is_empty() && text.len() <= 64 && text.chars().all(is_word)).then(|| text.to_owned())
}

//! Foreign text on its way to a person's eyes: everything that could steer what shows it is made visible.

use std::fmt::Write;

/// Text from an image, a guest or a file's name as one line in which nothing is hidden.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if steers(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Lines that were made of [`printable`] parts, or were not: what steers is made visible all the same, but for the lines' ends.
#[must_use]
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// A JSON document that says the same, in which what steers is written as an escape. JSON's own writers escape only some of it.
#[must_use]
pub fn printable_json(document: &str) -> String {
    // Outside of strings there are line feeds, and nothing else that steers.
    if !document.contains(|c| steers(c) && c != '\n') {
        return document.to_owned();
    }
    let mut plain = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if !steers(c) || c == '\n' {
            plain.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(plain, "\\u{unit:04x}");
        }
    }
    plain
}

/// Whether a character steers a terminal or a page: control characters, C1 among them; what Unicode has to turn the direction of text
/// around or to end a line; and what nobody sees.
#[must_use]
pub fn steers(c: char) -> bool {
    let turns = matches!(c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let hides = matches!(c, '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    turns || hides || (c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEERING: &str = "\0\x07\x08\r\x1b\x7f\u{80}\u{9b}\u{9f}\u{61c}\u{200b}\u{200e}\u{2028}\u{202e}\u{2060}\u{2066}\u{feff}\u{fffb}\u{e0041}";

    #[test]
    fn nothing_that_steers_is_left_and_the_rest_stays() {
        let text = format!("a{STEERING}\nb\tñ 名前 🖥 👩\u{200d}💻");
        let shown = printable(&text);
        assert!(!shown.contains(steers) && shown.starts_with("a\\u{0}\\u{7}\\u{8}\\r\\u{1b}"), "{shown}");
        assert!(shown.ends_with("\\nb\tñ 名前 🖥 👩\u{200d}💻"), "{shown}");
        assert_eq!(printable_lines("a\x1b\nb\r\n"), "a\\u{1b}\nb\\r\n");
    }

    #[test]
    fn json_says_the_same_without_steering() {
        let value = serde_json::json!({ "na\u{9b}me": [STEERING, "plain\n\\\" \u{10ffff}"], "n": 1.5 });
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let plain = printable_json(&text);
            assert!(!plain.contains(|c| steers(c) && c != '\n'), "{plain}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
        }
        assert_eq!(printable_json("{\n}"), "{\n}");
    }
}

//! Text from servers and programs, fit for one line.

/// Characters of a line at most.
const LEN: usize = 300;

/// `text` as one short line without anything that could steer a terminal.
pub(crate) fn line(text: &str) -> String {
    let mut plain = String::new();
    for (number, c) in text.trim().chars().enumerate() {
        if number == LEN {
            plain.push('…');
            break;
        }
        // Also what turns the direction of writing, or is not seen.
        let is_hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || is_hidden { plain.extend(c.escape_unicode()) } else { plain.push(c) }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal_and_nothing_is_endless() {
        assert_eq!(line(" a\u{1b}[31mb\r\nc\u{202e} "), "a\\u{1b}[31mb\\u{d}\\u{a}c\\u{202e}");
        assert_eq!(line(&"x".repeat(5000)).chars().count(), LEN + 1);
    }
}

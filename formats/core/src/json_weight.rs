//! How much JSON is, before it is made into values.

use crate::{Error, ErrorKind, Result};

/// Refuses JSON with more than `most` values: a few bytes of text become a hundred times as many in memory.
///
/// # Errors
/// `Limit`.
pub fn check_json_weight(json: &[u8], most: usize) -> Result<()> {
    let (mut count, mut in_text, mut escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b':' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    if count <= most {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Limit, format!("the JSON document has {count} values, possible are {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_text_is_not() {
        check_json_weight(br#"{"a,b:[{": [1, 2, "\",\"["]}"#, 5).unwrap();
        assert!(check_json_weight(br#"{"a,b:[{": [1, 2, "\",\"["]}"#, 4).is_err());
        check_json_weight(b"\"\\\\\",1", 1).unwrap();
    }
}

//! Values of the registry for people, nearly as `.reg` files have them.

use crate::printable;
use driver_registry::{Kind, Value};

/// Bytes of data that are shown.
const SHOWN: usize = 64;

/// `"Start"=dword:00000003`
pub(crate) fn value_line(name: &str, value: &Value) -> String {
    let name = if name.is_empty() { "@".to_owned() } else { format!("\"{}\"", printable(name)) };
    format!("{name}={}", value_text(value))
}

/// Type and data of a value: numbers, texts and lists are shown as such, the rest as bytes. Safe to print on a terminal.
#[must_use]
pub fn value_text(value: &Value) -> String {
    let quoted = |text: &str| format!("\"{}\"", printable(text));
    match value.kind {
        Kind::STRING => value.as_str().map(|text| quoted(&text)),
        Kind::EXPAND_STRING => value.as_str().map(|text| format!("expand:{}", quoted(&text))),
        Kind::MULTI_STRING => value.as_multi_str().map(|texts| {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("multi:[{}]", texts.join(", "))
        }),
        Kind::DWORD => value.as_u32().map(|number| format!("dword:{number:08x}")),
        Kind::QWORD => value.as_u64().map(|number| format!("qword:{number:016x}")),
        _ => None,
    }
    .unwrap_or_else(|| bytes(value))
}

fn bytes(value: &Value) -> String {
    let shown: Vec<String> = value.data.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    let kind = if value.kind == Kind::BINARY { String::new() } else { format!("({:x})", value.kind.0) };
    let more =
        if value.data.len() > SHOWN { format!(",… {} bytes", value.data.len()) } else { String::new() };
    format!("hex{kind}:{}{more}", shown.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_by_their_types() {
        for (value, text) in [
            (Value::dword(3), "dword:00000003"),
            (Value::qword(1), "qword:0000000000000001"),
            (Value::string("a\n"), "\"a\\n\""),
            (Value::expand_string("%x%"), "expand:\"%x%\""),
            (Value::multi_string(&["a", "b"]), "multi:[\"a\", \"b\"]"),
            (Value::binary([1, 255]), "hex:01,ff"),
            (Value::raw(Kind::NONE, []), "hex(0):"),
            (Value::raw(Kind::DWORD, [1]), "hex(4):01"),
        ] {
            assert_eq!(value_text(&value), text);
        }
        assert!(value_line("", &Value::binary([0; 65])).ends_with("00,… 65 bytes"));
    }
}

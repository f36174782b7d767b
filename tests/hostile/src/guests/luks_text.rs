//! Texts of LUKS2 headers, from the one that cryptsetup wrote.

type Text = (String, &'static str, Vec<u8>);

/// Names, what they attack, and texts.
pub(super) fn texts(good: &str) -> Vec<Text> {
    let mut texts = costs(good);
    texts.extend(syntax(good));
    texts.extend(values(good));
    texts
}

/// The text with the value of every field `name` replaced.
fn with(good: &str, name: &str, value: &str) -> Vec<u8> {
    let key = format!("\"{name}\":");
    let (mut text, mut rest) = (String::new(), good);
    assert!(rest.contains(&key), "{name}: {good}");
    while let Some((before, after)) = rest.split_once(&key) {
        let end = value_end(after);
        text += &format!("{before}{key}{value}");
        rest = &after[end..];
    }
    (text + rest).into_bytes()
}

/// Where the value ends that the text begins with.
fn value_end(text: &str) -> usize {
    let (mut depth, mut quoted) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' | ',' if !quoted && depth == 0 => return at,
            '}' | ']' if !quoted => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Derivations that would take for ever, or all memory.
fn costs(good: &str) -> Vec<Text> {
    let list = [
        ("argon-memory-4g", "memory", "4194304"),
        ("argon-memory-max", "memory", "4294967295"),
        ("argon-memory-more", "memory", "18446744073709551615"),
        ("argon-memory-2g", "memory", "2097152"),
        ("argon-time-max", "time", "4294967295"),
        ("argon-time-1e6", "time", "1000000"),
        ("argon-time-0", "time", "0"),
        ("argon-cpus-max", "cpus", "4294967295"),
        ("argon-cpus-0", "cpus", "0"),
        ("digest-iterations-max", "iterations", "4294967295"),
        ("digest-iterations-0", "iterations", "0"),
    ];
    let of = |(name, field, value): (&str, &str, &str)| {
        (name.to_owned(), "the cost of a derivation", with(good, field, value))
    };
    let mut found: Vec<Text> = list.map(of).into();
    let pbkdf = "{\"type\":\"pbkdf2\",\"hash\":\"sha512\",\"iterations\":4294967295,\"salt\":\"AAAA\"}";
    found.push(("pbkdf2-iterations-max".into(), "the cost of a derivation", with(good, "kdf", pbkdf)));
    found
}

fn syntax(good: &str) -> Vec<Text> {
    let slots: String =
        (0..20_000).map(|at| format!("\"{at}\":{{\"type\":\"luks2\",\"key_size\":64}},")).collect();
    let tokens: String =
        (0..20_000).map(|at| format!("\"{at}\":{{\"type\":\"t\\u001b[2J{at}\",\"keyslots\":[]}},")).collect();
    let within = |key: &str, more: &str| {
        good.replacen(&format!("\"{key}\":{{"), &format!("\"{key}\":{{{more}"), 1).into_bytes()
    };
    let empty_tokens =
        good.replacen("\"tokens\":{}", &format!("\"tokens\":{{{}}}", tokens.trim_end_matches(',')), 1);
    [
        ("nothing", "no text", Vec::new()),
        ("noise", "a text that is none", vec![0xff; 8192]),
        ("half", "half a text", good.as_bytes()[..good.len() / 2].to_vec()),
        ("deep", "lists in lists", "[".repeat(12_000).into_bytes()),
        ("deep-objects", "objects in objects", "{\"a\":".repeat(2400).into_bytes()),
        ("deep-3m", "three million lists in one another", "[".repeat(3 << 20).into_bytes()),
        (
            "long-string",
            "a string of 3 MiB",
            [b"{\"a\":\"".to_vec(), vec![b'x'; 3 << 20], b"\"}".to_vec()].concat(),
        ),
        (
            "long-number",
            "a number of 3 MiB",
            [b"{\"a\":1".to_vec(), vec![b'0'; 3 << 20], b"}".to_vec()].concat(),
        ),
        ("exponent", "a number that is infinite", b"{\"a\":1e999999999}".to_vec()),
        ("null", "nothing at all", b"null".to_vec()),
        ("slots-20000", "20,000 keyslots", within("keyslots", &slots)),
        ("tokens-20000", "20,000 tokens with names that steer terminals", empty_tokens.into_bytes()),
        ("twice", "a keyslot twice", within("keyslots", "\"0\":{\"type\":\"\\u001b[2J\"},")),
    ]
    .map(|(name, about, text)| (name.to_owned(), about, text))
    .into()
}

/// Every field with values that are no good.
fn values(good: &str) -> Vec<Text> {
    let fields = [
        "offset",
        "size",
        "sector_size",
        "key_size",
        "stripes",
        "iv_tweak",
        "encryption",
        "hash",
        "salt",
        "digest",
        "type",
        "keyslots",
        "segments",
        "digests",
        "json_size",
        "keyslots_size",
    ];
    let values = [
        ("zero", "\"0\""),
        ("number", "0"),
        ("negative", "\"-1\""),
        ("minus", "-1"),
        ("max", "\"18446744073709551615\""),
        ("more", "\"99999999999999999999999999\""),
        ("sign", "\"9223372036854775808\""),
        ("u32", "4294967295"),
        ("escape", "\"\\u001b[2J\\n\\u0000\""),
        ("null", "null"),
        ("object", "{}"),
        ("list", "[]"),
    ];
    let mut found = Vec::new();
    for field in fields {
        for (what, value) in values {
            found.push((format!("{field}-{what}"), "a field of the header's text", with(good, field, value)));
        }
    }
    found
}

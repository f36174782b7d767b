//! Signature version 4 as a server verifies it: worked out from what came, not from what was to be sent.

use crate::stub::Ask;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Who asks.
pub const ID: &str = "AKIDTEST";
/// The secret of [`ID`].
pub const KEY: &str = "geheim/Key+0123456789";

/// Judges a request to `service` by its signature.
///
/// # Panics
/// Where that is not the one of [`KEY`] for what came.
pub fn verify(ask: &Ask, service: &str) {
    let authorization = ask.header("authorization").expect("no authorization").to_owned();
    let rest = authorization.strip_prefix("AWS4-HMAC-SHA256 ").unwrap();
    let part = |name: &str| {
        let found = rest.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no {name} in {rest}")).to_owned()
    };
    let (credential, names) = (part("Credential"), part("SignedHeaders"));
    let scope: Vec<&str> = credential.split('/').collect();
    assert_eq!((scope[0], scope[3], scope[4]), (ID, service, "aws4_request"));
    let date = ask.header("x-amz-date").unwrap();
    assert_eq!(&date[..8], scope[1]);
    assert_eq!(hex(&Sha256::digest(&ask.body)), ask.header("x-amz-content-sha256").unwrap());
    for needed in ["host", "x-amz-date", "x-amz-content-sha256"] {
        assert!(names.split(';').any(|name| name == needed), "{needed} is not signed");
    }
    let unsigned =
        ask.headers.keys().filter(|name| name.starts_with("x-amz-") && !names.split(';').any(|n| n == *name));
    assert_eq!(unsigned.count(), 0);
    let mut query: Vec<String> = match ask.target.split_once('?') {
        Some((_, query)) => query
            .split('&')
            .map(|part| if part.contains('=') { part.into() } else { format!("{part}=") })
            .collect(),
        None => Vec::new(),
    };
    query.sort();
    let lines: String =
        names.split(';').map(|name| format!("{name}:{}\n", ask.header(name).unwrap())).collect();
    let body = hex(&Sha256::digest(&ask.body));
    let path = if service == "s3" { ask.path().to_owned() } else { ask.path().replace('%', "%25") };
    let canonical = [ask.method.as_str(), &path, &query.join("&"), &lines, &names, &body].join("\n");
    let place = scope[1..].join("/");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{place}\n{}", hex(&Sha256::digest(&canonical)));
    let mut key = format!("AWS4{KEY}").into_bytes();
    for part in &scope[1..] {
        key = hmac(&key, part.as_bytes());
    }
    assert_eq!(hex(&hmac(&key, text.as_bytes())), part("Signature"), "{canonical}");
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

//! Signature version 4 (AWS General Reference, "Create a signed AWS API request").
//!
//! The crate `aws-sigv4` does this with thirty crates more; HMAC and SHA-256 are here anyway.

use super::credentials::Credentials;
use crate::http::Request;
use crate::time;
use format_core::{Error, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// For whom and where something is signed.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    /// `s3`, `ebs`, `ec2`.
    pub(super) service: &'a str,
}

/// Adds `x-amz-date`, `x-amz-content-sha256`, the token where there is one, and `authorization`.
pub(super) fn sign(
    request: &Request<'_>,
    headers: &mut Vec<(String, String)>,
    credentials: &Credentials,
    scope: Scope<'_>,
    now: SystemTime,
) -> Result<()> {
    let date = time::basic(now);
    let body = hex(&Sha256::digest(request.body));
    headers.push(("x-amz-date".into(), date.clone()));
    headers.push(("x-amz-content-sha256".into(), body.clone()));
    if let Some(token) = &credentials.token {
        headers.push(("x-amz-security-token".into(), token.to_string()));
    }
    let authorization = authorization(request, headers, &body, credentials, scope, &date)?;
    headers.push(("authorization".into(), authorization));
    Ok(())
}

/// The value of `Authorization` for these headers, all of which are signed, and `Host`.
fn authorization(
    request: &Request<'_>,
    headers: &[(String, String)],
    body: &str,
    credentials: &Credentials,
    scope: Scope<'_>,
    date: &str,
) -> Result<String> {
    let mut signed: Vec<(String, String)> = vec![("host".into(), request.url.authority().into())];
    let plain = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    signed.extend(headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), plain(value))));
    signed.sort();
    let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{body}",
        request.method.name(),
        path(request.url.path(), scope.service),
        query(request.url.query().unwrap_or_default()),
    );
    let day = date.get(..8).unwrap_or_default();
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{place}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = Zeroizing::new(format!("AWS4{}", *credentials.secret).into_bytes());
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = Zeroizing::new(hmac(&key, part.as_bytes())?);
    }
    let signature = hex(&hmac(&key, text.as_bytes())?);
    Ok(format!(
        "AWS4-HMAC-SHA256 Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        credentials.id
    ))
}

/// S3 takes the path as it is sent; every other service encodes it once more.
fn path(sent: &str, service: &str) -> String {
    if service == "s3" { sent.to_owned() } else { crate::url::encode_path(sent) }
}

/// The questions in order of their names, and each with a `=`. They are encoded already.
fn query(sent: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in sent.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        parts.push(format!("{name}={value}"));
    }
    parts.sort_by(|a, b| a.split('=').cmp(b.split('=')));
    parts.join("&")
}

pub(crate) fn hmac(key: &[u8], text: &[u8]) -> Result<Vec<u8>> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key).map_err(|_| Error::contract("a key that HMAC does not take"))?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().to_vec())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Method;
    use crate::url::{Url, encode};

    fn sign_it(
        request: &Request<'_>,
        headers: &[(&str, &str)],
        secret: &str,
        id: &str,
        scope: Scope<'_>,
        date: &str,
    ) -> String {
        let credentials =
            Credentials { id: id.into(), secret: Zeroizing::new(secret.into()), token: None, ends: None };
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = hex(&Sha256::digest(request.body));
        authorization(request, &headers, &body, &credentials, scope, date).unwrap()
    }

    /// AWS's test suite for signature version 4: get-vanilla, get-vanilla-query-order-key-case, post-vanilla.
    #[test]
    fn the_published_vectors_come_out() {
        let scope = Scope { region: "us-east-1", service: "service" };
        let (id, secret) = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        for (method, url, signature) in [
            (
                Method::Get,
                "https://example.amazonaws.com/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                Method::Get,
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                Method::Post,
                "https://example.amazonaws.com/",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let request = Request::new(method, Url::parse(url).unwrap());
            let signed = sign_it(
                &request,
                &[("X-Amz-Date", "20150830T123600Z")],
                secret,
                id,
                scope,
                "20150830T123600Z",
            );
            assert_eq!(
                signed,
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                     SignedHeaders=host;x-amz-date, Signature={signature}"
                )
            );
        }
    }

    /// Amazon S3 API Reference, "Examples: Signature Calculations", GET Object.
    #[test]
    fn the_example_of_s3_comes_out() {
        let request = Request::get(Url::parse("https://examplebucket.s3.amazonaws.com/test.txt").unwrap());
        let empty = hex(&Sha256::digest(b""));
        let headers = [
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", empty.as_str()),
            ("x-amz-date", "20130524T000000Z"),
        ];
        let (id, secret) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let scope = Scope { region: "us-east-1", service: "s3" };
        let signed = sign_it(&request, &headers, secret, id, scope, "20130524T000000Z");
        assert!(
            signed.ends_with("Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            "{signed}"
        );
    }

    #[test]
    fn questions_are_sorted_and_whole() {
        assert_eq!(query("uploads&a=2&A=1&a=1"), "A=1&a=1&a=2&uploads=");
        assert_eq!(path("/a%20b/c", "s3"), "/a%20b/c");
        assert_eq!(path("/a%20b/c", "ebs"), "/a%2520b/c");
        assert_eq!(encode("a=b"), "a%3Db");
    }
}

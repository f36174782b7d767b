//! Who asks: a shared key or a shared access signature ("Authorize with Shared Key", "Create a service SAS").

use super::VERSION;
use crate::aws::hmac;
use crate::http::{Request, Sign};
use crate::url::{Url, decode, encode_path};
use crate::{CloudOptions, secret, time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use format_core::{Error, Result};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// Headers in the order in which they are signed. `Date` is empty: `x-ms-date` counts.
const SIGNED: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// What an account is asked with.
pub(super) enum Access {
    /// Account and key.
    Key(String, Zeroizing<Vec<u8>>),
    /// A query that is signed. It goes into the address.
    Sas(Zeroizing<String>),
    /// A container that everybody may read.
    Public,
}

impl Access {
    /// From the file of the options, else from `AZURE_STORAGE_KEY`, `AZURE_STORAGE_SAS_TOKEN` or `AZURE_STORAGE_CONNECTION_STRING`.
    pub(super) fn find(account: &str, options: &CloudOptions) -> Result<Self> {
        let get = |name: &str| options.environment.get(name).map(Zeroizing::new);
        let text = match &options.credentials {
            Some(path) => Some(secret::read_line(path)?),
            None => get("AZURE_STORAGE_KEY").or_else(|| get("AZURE_STORAGE_SAS_TOKEN")),
        };
        if let Some(text) = text {
            if text.contains("sig=") {
                return Ok(Self::Sas(Zeroizing::new(text.trim_start_matches('?').to_owned())));
            }
            return Self::key(account, &text);
        }
        match connection(options, "AccountKey") {
            Some(key) => Self::key(account, &key),
            None => Ok(Self::Public),
        }
    }

    /// The address of a blob, or of one `snapshot` of it, and what it is asked with.
    pub(super) fn locate(
        account: &str,
        container: &str,
        blob: &str,
        snapshot: Option<&str>,
        options: &CloudOptions,
    ) -> Result<(Url, Self)> {
        let access = Self::find(account, options)?;
        let base = match connection(options, "BlobEndpoint") {
            Some(address) => Url::parse(&address)?,
            None => Url::parse(&format!("https://{account}.blob.core.windows.net"))?,
        };
        let mut url = base.below(&format!("/{}/{}", encode_path(container), encode_path(blob)));
        if let Some(snapshot) = snapshot {
            url = url.asking(&[("snapshot", snapshot)]);
        }
        if let Self::Sas(query) = &access {
            let sign = if snapshot.is_some() { '&' } else { '?' };
            url = Url::parse(&format!("{}{sign}{}", url.wire(), query.as_str()))?;
        }
        Ok((url, access))
    }

    fn key(account: &str, text: &str) -> Result<Self> {
        let key = STANDARD.decode(text.trim()).map_err(|_| {
            Error::usage(
                "the secret for Azure is neither a key (base64) nor a shared access signature (sv=…&sig=…)",
            )
        })?;
        Ok(Self::Key(account.to_owned(), Zeroizing::new(key)))
    }
}

/// A part of the connection string.
fn connection(options: &CloudOptions, name: &str) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(options.environment.get("AZURE_STORAGE_CONNECTION_STRING")?);
    let part = text.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))?;
    Some(Zeroizing::new(part.to_owned()))
}

impl Sign for Access {
    fn sign(
        &self,
        request: &Request<'_>,
        headers: &mut Vec<(String, String)>,
        now: SystemTime,
    ) -> Result<()> {
        headers.push(("x-ms-version".into(), VERSION.into()));
        let Self::Key(account, key) = self else { return Ok(()) };
        headers.push(("x-ms-date".into(), time::http_date(now)));
        let text = to_sign(account, request, headers);
        let signature = STANDARD.encode(hmac(key, text.as_bytes())?);
        headers.push(("authorization".into(), format!("SharedKey {account}:{signature}")));
        Ok(())
    }
}

fn to_sign(account: &str, request: &Request<'_>, headers: &[(String, String)]) -> String {
    let get = |name: &str| {
        headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value.as_str())
    };
    let mut text = format!("{}\n", request.method.name());
    let len = if request.body.is_empty() { String::new() } else { request.body.len().to_string() };
    for name in SIGNED {
        text.push_str(if name == "content-length" { &len } else { get(name) });
        text.push('\n');
    }
    let mut own: Vec<_> = headers.iter().filter(|(name, _)| name.starts_with("x-ms-")).collect();
    own.sort();
    own.iter().for_each(|(name, value)| text.push_str(&format!("{name}:{}\n", value.trim())));
    text.push_str(&format!("/{account}{}", request.url.path()));
    for (name, value) in questions(&request.url) {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text
}

fn questions(url: &Url) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for part in url.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let plain = |text: &str| decode(text).unwrap_or_else(|| text.to_owned());
        all.push((plain(name).to_ascii_lowercase(), plain(value)));
    }
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of the documents' example for Get Container Metadata, with a range.
    #[test]
    fn the_text_that_is_signed_is_the_documented_one() {
        let url = Url::parse("https://myaccount.blob.core.windows.net/mycontainer/a%20b?restype=container&comp=metadata&timeout=20").unwrap();
        let headers = [
            ("x-ms-version", VERSION),
            ("range", "bytes=0-1"),
            ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"),
        ];
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(
            to_sign("myaccount", &Request::get(url), &headers),
            "GET\n\n\n\n\n\n\n\n\n\n\nbytes=0-1\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2020-10-02\n\
             /myaccount/mycontainer/a%20b\ncomp:metadata\nrestype:container\ntimeout:20"
        );
    }
}

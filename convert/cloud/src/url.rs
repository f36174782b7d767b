//! Addresses of HTTP, and what of them may be shown.

use format_core::{Error, Result};
use std::fmt;

/// The longest address that is taken, in bytes. Signed ones of S3 and Azure have less than two thousand.
const MAX_URL: usize = 8192;

/// An absolute address, checked: visible ASCII, without a user, a password and a fragment.
///
/// Shown without its query, which may hold a signature.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    secure: bool,
    /// Host and, where it is said, port.
    authority: String,
    /// Begins with `/`.
    path: String,
    query: Option<String>,
}

impl Url {
    /// Takes an operator's or a server's address apart (RFC 3986, section 3).
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::usage(format!("an address of HTTP was given that {why}"));
        if text.len() > MAX_URL {
            return Err(wrong(&format!("has {} bytes, {MAX_URL} are taken", text.len())));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\')) {
            return Err(wrong("holds spaces or other characters that must be written as %XX"));
        }
        let (secure, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err(wrong("begins neither with https:// nor with http://")),
        };
        if rest.contains('#') {
            return Err(wrong("has a fragment (#), which no server sees"));
        }
        let (authority, rest) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(wrong("holds a user or a password, which every list of processes and log would show")
                .hint("put them into a file, user:password in one line, mode 0600, and name it with --credentials FILE"));
        }
        check_authority(authority).map_err(wrong)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { secure, authority: authority.to_ascii_lowercase(), path: path.to_owned(), query })
    }

    /// The same place with another path, which has to be encoded already.
    pub(crate) fn with_path(&self, path: &str) -> Self {
        Self { path: path.to_owned(), query: None, ..self.clone() }
    }

    /// The path with `more` behind it.
    pub(crate) fn below(&self, more: &str) -> Self {
        self.with_path(&format!("{}{more}", self.path.trim_end_matches('/')))
    }

    /// The same place with these questions, encoded here, behind those that it has.
    pub(crate) fn asking(&self, questions: &[(&str, &str)]) -> Self {
        let mut query = self.query.clone().unwrap_or_default();
        for (name, value) in questions {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(&format!("{}={}", encode(name), encode(value)));
        }
        Self { query: Some(query), ..self.clone() }
    }

    /// The place that a server's `Location` names, as seen from here: absolute, or a path on the same host.
    pub(crate) fn to(&self, location: &str) -> Result<Self> {
        match location.strip_prefix('/') {
            Some(rest) if !rest.starts_with('/') => {
                Self::parse(&format!("{}://{}{location}", self.scheme(), self.authority))
            }
            _ => Self::parse(location),
        }
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// Host and, where it is said, port: what the header `Host` says.
    pub(crate) fn authority(&self) -> &str {
        let usual = if self.secure { ":443" } else { ":80" };
        self.authority.strip_suffix(usual).unwrap_or(&self.authority)
    }

    /// The host alone, without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        let host = match self.authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, _)) => host,
            None => self.authority.split(':').next().unwrap_or_default(),
        };
        host.trim_end_matches('.')
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Whether nobody between here and there can listen.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether scheme, host and port are the same: whether credentials of the one are for the other.
    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.secure == other.secure && self.authority() == other.authority()
    }

    /// As it is sent, with all that must not be shown.
    pub(crate) fn wire(&self) -> String {
        let query = self.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}://{}{}{query}", self.scheme(), self.authority(), self.path)
    }
}

fn check_authority(authority: &str) -> Result<(), &'static str> {
    let after = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or("has an IPv6 address without its bracket")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "has no IPv6 address between its brackets")?;
            after
        }
        None => {
            let at = authority.find(':').unwrap_or(authority.len());
            let (host, after) = authority.split_at(at);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            if host.is_empty() || host.len() > 253 || !host.bytes().all(plain) {
                return Err("names no host");
            }
            after
        }
    };
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0);
    match after.strip_prefix(':') {
        None if after.is_empty() => Ok(()),
        Some(port) if is_port(port) => Ok(()),
        _ => Err("has a port that is no number from 1 to 65535"),
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = if self.query.is_some() { "?…" } else { "" };
        write!(f, "{}://{}{}{hidden}", self.scheme(), self.authority, self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `text` with everything but the unreserved characters as `%XX` (RFC 3986, section 2.3), as signatures want it.
pub(crate) fn encode(text: &str) -> String {
    encoded(text, false)
}

/// As [`encode`], but that slashes stay.
pub(crate) fn encode_path(text: &str) -> String {
    encoded(text, true)
}

fn encoded(text: &str, is_path: bool) -> String {
    let mut to = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (is_path && byte == b'/') {
            to.push(char::from(byte));
        } else {
            to.push_str(&format!("%{byte:02X}"));
        }
    }
    to
}

/// What `%XX` stand for; `None` where that is no text.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_and_shown_without_its_query() {
        let url = Url::parse("HTTPS://Host.example:8443/a%20b/c?sig=secret&x=1").unwrap();
        assert_eq!(
            (url.host(), url.authority(), url.path()),
            ("host.example", "host.example:8443", "/a%20b/c")
        );
        assert_eq!(
            format!("{url} {url:?}"),
            "https://host.example:8443/a%20b/c?… https://host.example:8443/a%20b/c?…"
        );
        assert_eq!(url.wire(), "https://host.example:8443/a%20b/c?sig=secret&x=1");
        assert_eq!(Url::parse("http://[::1]:80").unwrap().wire(), "http://[::1]/");
        assert!(Url::parse("http://[::1]:80").unwrap().is_loopback());
        assert!(Url::parse("http://127.9.9.9/x").unwrap().is_loopback());
        assert!(!Url::parse("http://127.0.0.1.example/x").unwrap().is_loopback());
        assert!(url.is_same_origin(&url.to("/other").unwrap()));
        assert!(!url.is_same_origin(&url.to("https://host.example/c").unwrap()));
        let usual = Url::parse("https://a:443/").unwrap();
        assert!(usual.is_same_origin(&Url::parse("https://a/").unwrap()) && usual.authority() == "a");
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for text in [
            "ftp://a/b",
            "https://",
            "https:///x",
            "https://a b/",
            "https://a:0/",
            "https://a:99999/",
            "https://[::1/",
            "https://a/#x",
            "https://a\n/",
            "https://user:geheim@a/b",
            "https://[geheim]/",
            "//a/b",
            "https://a:+1/",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(!format!("{error} {:?}", error.hint_text()).contains("geheim"), "{error}");
        }
        let here = Url::parse("https://a/b").unwrap();
        assert!(here.to("//other/x").is_err() && here.to("x").is_err());
    }

    #[test]
    fn percent_signs_come_and_go() {
        assert_eq!(encode("a b/ü~"), "a%20b%2F%C3%BC~");
        assert_eq!(encode_path("a b/ü"), "a%20b/%C3%BC");
        assert_eq!(decode("a%20b%2f").as_deref(), Some("a b/"));
        assert_eq!((decode("%"), decode("%zz"), decode("%ff")), (None, None, None));
    }
}

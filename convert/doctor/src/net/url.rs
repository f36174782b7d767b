//! What the operator names: a place, how to speak with it, and nothing that anybody else should read.

use format_core::{Error, Result};
use std::fmt;
use std::net::IpAddr;

/// Characters of a URL at most.
const LEN: usize = 4096;

/// How an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP without encryption.
    Http,
    /// HTTP over TLS.
    Https,
    /// Any protocol: only the connection counts.
    Tcp,
    /// SSH, which begins with a line of the server.
    Ssh,
    /// NBD, which begins with a magic number of the server.
    Nbd,
}

impl Scheme {
    fn of(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "http" => Self::Http,
            "https" => Self::Https,
            "tcp" => Self::Tcp,
            "ssh" => Self::Ssh,
            "nbd" => Self::Nbd,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Ssh => "ssh",
            Self::Nbd => "nbd",
        }
    }

    fn port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp => None,
            Self::Ssh => Some(22),
            Self::Nbd => Some(10809),
        }
    }
}

/// A place that is to be reached. Its text shows no name, password or query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub(crate) scheme: Scheme,
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// With the query, as it is sent; never shown whole.
    pub(crate) path: String,
    pub(crate) has_login: bool,
}

impl Endpoint {
    /// Understands a URL.
    ///
    /// # Errors
    /// `Usage`; the text does not repeat what might be a password.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::usage(format!("{why} in {:?}", shown(text)))
                .hint("for example https://host:8443/path, tcp://host:443, ssh://host, nbd://host")
        };
        // What is sent in a request line must not end it.
        if text.len() > LEN || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong("a character that no URL has (write names with their ASCII form xn--…)"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("no scheme"))?;
        let scheme = Scheme::of(scheme).ok_or_else(|| wrong("an unknown scheme"))?;
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (login, place) =
            authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
        let (host, port) =
            host_and_port(place).ok_or_else(|| wrong("no host, or no port that is a number"))?;
        let port = port.or(scheme.port()).ok_or_else(|| wrong("no port, which tcp:// needs,"))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, host, port, path, has_login: login.is_some() })
    }

    /// `host:port`, as requests and certificates name it.
    pub(crate) fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.has_login { "***@" } else { "" };
        let (path, query) =
            self.path.split_once('?').map_or((self.path.as_str(), ""), |(path, _)| (path, "?***"));
        let path = if path == "/" && query.is_empty() { "" } else { path };
        write!(f, "{}://{login}{}{path}{query}", self.scheme.name(), self.authority())
    }
}

/// A URL in an error: without what stands before `@` and behind `?`.
fn shown(text: &str) -> String {
    let text = crate::text::line(text.split(['?', '#']).next().unwrap_or_default());
    match text.rsplit_once('@') {
        None => text,
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://***@{host}"),
            None => format!("***@{host}"),
        },
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
pub(crate) fn host_and_port(place: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let is_name = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if host.is_empty() || host.len() > 253 || !(is_name(host) || host.contains(':')) {
        return None;
    }
    let port = port.map(|text| text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+')));
    match port {
        Some(None) => None,
        Some(port) => Some((host.to_ascii_lowercase(), port)),
        None => Some((host.to_ascii_lowercase(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_understood_and_shown_without_secrets() {
        for (text, shown) in [
            ("https://Example.org", "https://example.org:443"),
            ("https://u:p%40w@example.org:8443/a/b?sig=secret#x", "https://***@example.org:8443/a/b?***"),
            ("http://[::1]:8080?token=1", "http://[::1]:8080/?***"),
            ("tcp://10.0.0.1:902", "tcp://10.0.0.1:902"),
            ("ssh://root@esx1", "ssh://***@esx1:22"),
            ("nbd://host", "nbd://host:10809"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_its_secrets_are_not_repeated() {
        for text in [
            "",
            "example.org",
            "ftp://user:hunter2@x/",
            "https://",
            "https://user:hunter2@:443",
            "tcp://host",
            "https://h:0",
            "https://h:99999",
            "https://h:+1",
            "https://ho st/",
            "http://h\r\nX: y",
            "https://[::1",
            "https://[x]/",
            "http://b\u{fc}ro/",
            "https://a_b(c)/",
            "user:hunter2@host",
            "https://h:x?hunter2",
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert_eq!(error.kind(), format_core::ErrorKind::Usage);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}

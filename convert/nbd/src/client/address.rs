//! NBD URIs (`doc/uri.md` of the NetworkBlockDevice project, RFC 3986).

use super::connectors::{TcpConnector, UnixConnector};
use super::tls::TlsSetup;
use super::transport::Connector;
use crate::wire::MAX_STRING;
use format_core::{Error, Result};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

const PORT: u16 = 10_809;
/// The kernel's bound on the path of a socket (unix(7)), without the NUL.
const MAX_PATH: usize = 107;
const FORMS: &str =
    "nbd://HOST[:PORT][/EXPORT], nbds://HOST…, or nbd+unix:///EXPORT?socket=PATH, special characters as %XX";

/// An export of a server. What it shows of itself holds no secrets: an address cannot have any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NbdAddress {
    place: Place,
    export: String,
    tls: Option<Tls>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// What the address says of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tls {
    hostname: Option<String>,
    certificates: Option<PathBuf>,
}

impl NbdAddress {
    /// Whether `text` looks like an address of NBD, be it a good one or not.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| {
            ["nbd", "nbds", "nbd+unix", "nbds+unix"].contains(&scheme.to_ascii_lowercase().as_str())
        })
    }

    /// Reads `nbd://host[:port][/export]`, `nbds://…` (TLS; `?tls-certificates=DIR`, `?tls-hostname=NAME`),
    /// `nbd+unix:///export?socket=PATH` or `nbds+unix://…`.
    ///
    /// # Errors
    /// `Usage`. Messages repeat nothing that could be a password.
    pub fn parse(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("this is no address of NBD"))?;
        if rest.contains('#') {
            return Err(wrong("an address of NBD has no fragment (#)"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (is_unix, has_tls) = match scheme.to_ascii_lowercase().as_str() {
            "nbd" => (false, false),
            "nbds" => (false, true),
            "nbd+unix" => (true, false),
            "nbds+unix" => (true, true),
            _ => return Err(wrong("this is no address of NBD")),
        };
        let query = Query::parse(query, has_tls)?;
        let place = match (is_unix, query.socket) {
            (false, None) => tcp(authority)?,
            (false, Some(_)) => return Err(wrong("socket= belongs to nbd+unix://")),
            (true, _) if !authority.is_empty() => {
                return Err(wrong("nbd+unix:// has no host: three slashes follow the colon"));
            }
            (true, None) => return Err(wrong("nbd+unix:// wants socket=PATH")),
            (true, Some(path)) => Place::Unix(socket(path)?),
        };
        let export = String::from_utf8(decode(path)?).map_err(|_| wrong("the export's name is no UTF-8"))?;
        if export.len() > MAX_STRING || export.contains('\0') {
            return Err(wrong("the name of an export has at most 4096 bytes and no NUL"));
        }
        Ok(Self { place, export, tls: has_tls.then_some(query.tls) })
    }

    /// The name of the export.
    #[must_use]
    pub fn export(&self) -> &str {
        &self.export
    }

    /// Whether it is spoken with inside TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        match &self.place {
            Place::Tcp { host, port } => Arc::new(TcpConnector { host: host.clone(), port: *port }),
            Place::Unix(path) => Arc::new(UnixConnector { path: path.clone() }),
        }
    }

    pub(crate) fn tls(&self) -> Result<Option<TlsSetup>> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let host = match (&tls.hostname, &self.place) {
            (Some(name), _) => name,
            (None, Place::Tcp { host, .. }) => host,
            (None, Place::Unix(_)) => return Err(wrong("nbds+unix:// wants tls-hostname=NAME")),
        };
        TlsSetup::new(host, tls.certificates.as_deref()).map(Some)
    }
}

impl fmt::Display for NbdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls.is_some() { "s" } else { "" };
        let export = crate::listener::escaped(self.export.as_bytes());
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => write!(f, "nbd{s}://[{host}]:{port}/{export}"),
            Place::Tcp { host, port } => {
                write!(f, "nbd{s}://{}:{port}/{export}", crate::listener::escaped(host.as_bytes()))
            }
            Place::Unix(path) => {
                let path = crate::listener::escaped(path.as_os_str().as_encoded_bytes());
                write!(f, "nbd{s}+unix:///{export}?socket={path}")
            }
        }
    }
}

/// What follows the question mark.
#[derive(Default)]
struct Query {
    socket: Option<Vec<u8>>,
    tls: Tls,
}

impl Query {
    fn parse(text: &str, has_tls: bool) -> Result<Self> {
        let mut query = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in text
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
        {
            if seen.contains(&key) {
                return Err(wrong(format!("{key} is said twice")));
            }
            let bytes = decode(value)?;
            match key {
                "socket" => query.socket = Some(bytes),
                _ if key.starts_with("tls-") && !has_tls => {
                    return Err(wrong("tls- parameters belong to nbds:// and nbds+unix://"));
                }
                "tls-hostname" => {
                    let name = String::from_utf8(bytes).ok().filter(|name| !name.is_empty());
                    query.tls.hostname = Some(name.ok_or_else(|| wrong("tls-hostname is no name"))?);
                }
                "tls-certificates" if !bytes.is_empty() => {
                    query.tls.certificates = Some(OsString::from_vec(bytes).into());
                }
                "tls-type" if bytes == b"x509" => {}
                "tls-type" => return Err(wrong("of tls-type, x509 alone is possible")),
                "tls-verify-peer" if bytes == b"1" => {}
                "tls-verify-peer" => return Err(wrong("certificates are always verified")),
                _ => {
                    let key: String = key.chars().take(40).collect();
                    return Err(wrong(format!("unknown parameter {:?}", format_core::printable(&key))));
                }
            }
            seen.push(key);
        }
        Ok(query)
    }
}

fn tcp(authority: &str) -> Result<Place> {
    if authority.contains('@') {
        return Err(wrong("an address of NBD has no user and no password"));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| wrong("a bracket is not closed"))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(wrong("what is in brackets is no IPv6 address"));
            }
            (host.to_owned(), port)
        }
        None => {
            let (host, port) = authority.find(':').map_or((authority, ""), |at| authority.split_at(at));
            let host = String::from_utf8(decode(host)?).map_err(|_| wrong("the host's name is no UTF-8"))?;
            if host.is_empty()
                || host.contains(|c: char| c.is_control() || c.is_whitespace() || ":/[]".contains(c))
            {
                return Err(wrong("this is no host"));
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => PORT,
        Some("") => PORT,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("ports go from 1 to 65535"))?
        }
        _ => return Err(wrong("what follows the host is no port")),
    };
    Ok(Place::Tcp { host, port })
}

fn socket(path: Vec<u8>) -> Result<PathBuf> {
    if path.is_empty() || path.contains(&0) {
        return Err(wrong("the socket has to be a file"));
    }
    if path.len() > MAX_PATH {
        return Err(wrong(format!("the socket's path has {} bytes, possible are {MAX_PATH}", path.len())));
    }
    Ok(OsString::from_vec(path).into())
}

/// Text with `%XX` as bytes (RFC 3986, 2.1). A plus sign is one.
fn decode(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(wrong("two hexadecimal digits follow a percent sign"));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    Ok(bytes)
}

fn wrong(what: impl Into<String>) -> Error {
    Error::usage(what).in_format("nbd").hint(FORMS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use format_core::ErrorKind;

    #[test]
    fn good_addresses_are_shown_in_one_form() {
        for (text, shown) in [
            ("nbd://host", "nbd://host:10809/"),
            ("NBD://host:1/", "nbd://host:1/"),
            ("nbd://example.com//disk", "nbd://example.com:10809//disk"),
            ("nbd://h/hello%20world", "nbd://h:10809/hello%20world"),
            ("nbd://[2001:db8::1]:5/a+b", "nbd://[2001:db8::1]:5/a%2Bb"),
            ("nbd://192.0.2.1:", "nbd://192.0.2.1:10809/"),
            ("nbd+unix:///d?socket=/run/a%20b", "nbd+unix:///d?socket=/run/a%20b"),
            ("nbd+unix://?socket=s", "nbd+unix:///?socket=s"),
            ("nbds://h/?tls-certificates=/etc/pki&tls-verify-peer=1", "nbds://h:10809/"),
            ("nbds+unix:///x?tls-hostname=h&socket=s", "nbds+unix:///x?socket=s"),
        ] {
            assert!(NbdAddress::is_one(text));
            assert_eq!(NbdAddress::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(NbdAddress::parse("nbd://h//d%C3%A4").unwrap().export(), "/dä");
    }

    #[test]
    fn bad_ones_are_refused_and_not_repeated() {
        for text in [
            "disk.raw",
            "http://h/",
            "nbd:h:1",
            "nbd://",
            "nbd:///x",
            "nbd://h:0",
            "nbd://h:70000",
            "nbd://h:+5",
            "nbd://h:5x",
            "nbd://[::1",
            "nbd://[fe80::1%25eth0]",
            "nbd://[h]",
            "nbd://::1",
            "nbd://h/a%2",
            "nbd://h/a%zz",
            "nbd://h/%00",
            "nbd://h/%ff",
            "nbd://h/x#y",
            "nbd://user:hunter2@h/",
            "nbd://h/?socket=x",
            "nbd://h/?x=hunter2",
            "nbd://h/?tls-certificates=/x",
            "nbds://h/?tls-verify-peer=0",
            "nbds://h/?tls-type=anon",
            "nbds://h/?tls-hostname=a&tls-hostname=b",
            "nbd+unix:///x",
            "nbd+unix:///x?socket=",
            "nbd+unix:///x?socket=%00abstract",
            "nbd+unix://host/x?socket=s",
        ] {
            let error = NbdAddress::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        let long = format!("nbd+unix:///?socket={}", "x".repeat(108));
        assert_eq!(NbdAddress::parse(&long).unwrap_err().kind(), ErrorKind::Usage);
    }
}

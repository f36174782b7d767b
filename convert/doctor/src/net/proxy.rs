//! Which proxy a connection takes, and who says so.
//!
//! As curl: the variable of the scheme in small letters, then in capitals, then `ALL_PROXY`; `NO_PROXY` lists what is reached directly: names with all
//! below them, addresses, ranges of addresses (`10.0.0.0/8`), each with a port or without, and `*` for everything. In a CGI script
//! `HTTP_PROXY` would be a header of the request, so it does not count there.

use super::url::{Endpoint, Scheme, host_and_port};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use format_core::{Error, Result};
use std::net::IpAddr;

/// What the operator says about proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// The environment decides.
    #[default]
    Environment,
    /// This one, whatever the environment says; `NO_PROXY` counts all the same.
    Through(String),
    /// None.
    Direct,
}

/// A proxy that speaks HTTP.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(crate) login: Option<String>,
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "http://{}{host}:{}", if self.login.is_some() { "***@" } else { "" }, self.port)
    }
}

/// How an endpoint is reached.
pub(crate) struct Route {
    pub(crate) proxy: Option<Proxy>,
    /// Who says so.
    pub(crate) source: String,
}

/// The route to `to`, by the operator's wish and the environment.
///
/// # Errors
/// `Usage` for a proxy that is none, `Unsupported` for one of a kind that is not spoken.
pub(crate) fn route(to: &Endpoint, wish: &Wish, get: &dyn Fn(&str) -> Option<String>) -> Result<Route> {
    let direct = |source: String| Ok(Route { proxy: None, source });
    if !matches!(to.scheme, Scheme::Http | Scheme::Https) {
        return direct("proxies are for http and https".into());
    }
    let names: &[&str] = match to.scheme {
        Scheme::Https => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        _ if get("REQUEST_METHOD").is_some() => &["http_proxy", "all_proxy", "ALL_PROXY"],
        _ => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let (text, source) = match wish {
        Wish::Direct => return direct("as asked for".into()),
        Wish::Through(text) => (text.clone(), "--proxy".to_owned()),
        Wish::Environment => {
            // A variable that is empty says that there is none.
            let found = names.iter().find_map(|name| get(name).map(|value| (*name, value)));
            match found {
                None => return direct("no proxy is set in the environment".into()),
                Some((name, value)) if value.trim().is_empty() => return direct(format!("{name} is empty")),
                Some((name, value)) => (value, name.to_owned()),
            }
        }
    };
    for name in ["no_proxy", "NO_PROXY"] {
        let Some(list) = get(name) else { continue };
        if let Some(entry) = excepted(&list, &to.host, to.port) {
            return direct(format!("{name} has {:?}", crate::text::line(entry)));
        }
        break;
    }
    Ok(Route { proxy: Some(parse(&text, &source)?), source })
}

fn parse(text: &str, source: &str) -> Result<Proxy> {
    let text = text.trim();
    let rest = match text.split_once("://") {
        None => text,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) => {
            let text = format!("{source} names a proxy of the kind {:?}", crate::text::line(scheme));
            return Err(Error::unsupported(text).hint("name one that speaks plain HTTP: http://PROXY:PORT"));
        }
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (login, place) =
        authority.rsplit_once('@').map_or((None, authority), |(login, place)| (Some(login), place));
    let (host, port) = host_and_port(place).ok_or_else(|| {
        Error::usage(format!("{source} names no proxy"))
            .hint("it has the form http://USER:PASSWORD@PROXY:PORT")
    })?;
    let login = login.map(|login| {
        let (name, password) = login.split_once(':').unwrap_or((login, ""));
        let mut plain = unescaped(name);
        plain.push(b':');
        plain.extend(unescaped(password));
        format!("Basic {}", STANDARD.encode(plain))
    });
    // As curl: the port of proxies.
    Ok(Proxy { host, port: port.unwrap_or(1080), login })
}

/// Bytes of text in which `%41` is `A`.
fn unescaped(text: &str) -> Vec<u8> {
    let (bytes, mut plain, mut at) = (text.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.filter(|_| *byte == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) => {
                plain.push(value);
                at += 3;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    plain
}

/// The entry of `list` that is about `host`.
fn excepted<'l>(list: &'l str, host: &str, port: u16) -> Option<&'l str> {
    let entries = list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    let address = host.parse::<IpAddr>().ok();
    entries.into_iter().find(|entry| {
        if *entry == "*" {
            return true;
        }
        if let (Some(address), Some((base, bits))) = (address, entry.split_once('/')) {
            return is_within(address, base, bits);
        }
        let (name, wanted) = match entry.parse::<IpAddr>() {
            // An address of version 6 without brackets has colons, and no port.
            Ok(alone) => return address == Some(alone),
            Err(_) => match host_and_port(entry.trim_start_matches("*.").trim_start_matches('.')) {
                Some(found) => found,
                None => return false,
            },
        };
        if wanted.is_some_and(|wanted| wanted != port) {
            return false;
        }
        match address {
            Some(address) => name.parse::<IpAddr>().ok() == Some(address),
            None => host == name || host.strip_suffix(&name).is_some_and(|before| before.ends_with('.')),
        }
    })
}

fn is_within(address: IpAddr, base: &str, bits: &str) -> bool {
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let wide = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let ((address, width), (base, base_width)) = (wide(address), wide(base));
    let mask = match bits {
        0 => 0,
        bits if bits <= width => u128::MAX << (128 - bits),
        _ => return false,
    };
    width == base_width && address & mask == base & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, wish: &Wish, variables: &[(&str, &str)]) -> String {
        let get =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match route(&Endpoint::parse(url).unwrap(), wish, &get) {
            Ok(Route { proxy: Some(proxy), source }) => format!("{proxy} {source}"),
            Ok(Route { proxy: None, source }) => format!("direct {source}"),
            Err(error) => format!("error {error}"),
        }
    }

    #[test]
    fn the_scheme_chooses_the_variable_and_the_operator_goes_before_all() {
        let all = [("http_proxy", "http://a:1"), ("HTTPS_PROXY", "b:2"), ("ALL_PROXY", "c:3")];
        let environment = Wish::Environment;
        for (url, wish, variables, is) in [
            ("http://x", &environment, &all[..], "http://a:1 http_proxy"),
            ("https://x", &environment, &all[..], "http://b:2 HTTPS_PROXY"),
            ("https://x", &environment, &all[2..], "http://c:3 ALL_PROXY"),
            (
                "http://x",
                &environment,
                &[("HTTP_PROXY", "d:4"), ("REQUEST_METHOD", "GET")],
                "direct no proxy is set in the environment",
            ),
            (
                "http://x",
                &environment,
                &[("http_proxy", ""), ("ALL_PROXY", "c:3")],
                "direct http_proxy is empty",
            ),
            ("tcp://x:1", &environment, &all[..], "direct proxies are for http and https"),
            ("http://x", &Wish::Direct, &all[..], "direct as asked for"),
            ("http://x", &Wish::Through("http://u:pw@p".into()), &all[..], "http://***@p:1080 --proxy"),
            (
                "http://x",
                &environment,
                &[("http_proxy", "socks5://u:pw@p:1")],
                "error http_proxy names a proxy of the kind \"socks5\"",
            ),
            ("http://x", &environment, &[("http_proxy", "http://u:pw@")], "error http_proxy names no proxy"),
        ] {
            assert_eq!(chosen(url, wish, variables), is, "{url} {variables:?}");
        }
    }

    #[test]
    fn a_login_is_decoded_and_sent_as_basic() {
        let proxy = parse("http://us%65r:p%3Aw%zz@[::1]:3128/", "x").unwrap();
        assert_eq!(proxy.login.as_deref(), Some("Basic dXNlcjpwOncleno="));
        assert_eq!(proxy.to_string(), "http://***@[::1]:3128");
    }

    #[test]
    fn exceptions_are_names_with_all_below_addresses_and_ranges() {
        for (list, host, port, is) in [
            ("*", "x", 1, true),
            ("example.org", "example.org", 1, true),
            ("example.org", "a.example.org", 1, true),
            (".example.org", "a.example.org", 1, true),
            ("*.example.org", "a.example.org", 1, true),
            ("example.org", "badexample.org", 1, false),
            ("example.org:443", "example.org", 443, true),
            ("example.org:443", "example.org", 80, false),
            ("a, b ,c", "b", 1, true),
            ("10.0.0.0/8", "10.9.9.9", 1, true),
            ("10.0.0.0/8", "11.0.0.1", 1, false),
            ("10.0.0.0/8", "10.example", 1, false),
            ("0.0.0.0/0", "1.2.3.4", 1, true),
            ("10.0.0.0/33", "10.0.0.0", 1, false),
            ("fd00::/8", "fd12::1", 1, true),
            ("fd00::/8", "10.0.0.1", 1, false),
            ("::1", "::1", 1, true),
            ("[::1]:80", "::1", 80, true),
            ("127.0.0.1:80", "127.0.0.1", 81, false),
            ("", "x", 1, false),
            ("//,::::,/", "x", 1, false),
        ] {
            assert_eq!(excepted(list, host, port).is_some(), is, "{list:?} {host} {port}");
        }
    }
}

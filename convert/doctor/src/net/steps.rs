//! The steps to one endpoint, until one fails.

use super::proxy::{Proxy, Route};
use super::timed::Timed;
use super::tls::{Shaken, Trust};
use super::url::{Endpoint, Scheme};
use super::{Line, Reached, connect, http, tls};
use format_core::codes;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Bytes of the line with which a server of SSH begins; RFC 4253 allows lines before it.
const BANNER: usize = 4096;

/// Goes as far as it leads.
pub(crate) fn take(endpoint: &Endpoint, route: &Route, trust: &Trust, limit: Duration) -> Reached {
    let mut walk = Walk { endpoint, trust, limit, lines: Vec::new() };
    let reachable = walk.go(route).is_some();
    Reached { url: endpoint.to_string(), reachable, lines: walk.lines }
}

struct Walk<'a> {
    endpoint: &'a Endpoint,
    trust: &'a Trust,
    limit: Duration,
    lines: Vec<Line>,
}

impl Walk<'_> {
    fn push(&mut self, began: Instant, line: Line) {
        let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.lines.push(Line { milliseconds, ..line });
    }

    fn go(&mut self, route: &Route) -> Option<()> {
        let is_web = matches!(self.endpoint.scheme, Scheme::Http | Scheme::Https);
        if is_web {
            let text = match &route.proxy {
                Some(proxy) => format!("{proxy}, from {}", route.source),
                None => format!("none: {}", route.source),
            };
            self.lines.push(Line::ok("proxy", text));
        }
        let Some(proxy) = &route.proxy else {
            let socket = self.connect(&self.endpoint.host, self.endpoint.port)?;
            return self.speak(socket);
        };
        let socket = self.connect(&proxy.host, proxy.port)?;
        match self.endpoint.scheme {
            Scheme::Https => self.through(socket, proxy),
            _ => self.web(
                socket,
                &format!("http://{}{}", self.endpoint.authority(), self.endpoint.path),
                Some(proxy),
            ),
        }
    }

    /// Name and connection; the first address that answers is taken, the others are lines, too.
    fn connect(&mut self, host: &str, port: u16) -> Option<Timed> {
        let began = Instant::now();
        let addresses = match connect::resolve(host, port, self.limit) {
            Ok(list) => list,
            Err(e) => {
                self.push(began, Line::failed("dns", &codes::NET_NAME, format!("{host}: {e}")));
                return None;
            }
        };
        let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        self.push(began, Line::ok("dns", format!("{host} is {}", list.join(", "))));
        let mut taken = None;
        for address in &addresses {
            let began = Instant::now();
            match connect::connect(address, self.limit) {
                Ok(stream) => {
                    self.push(began, Line::ok("tcp", format!("{address} is connected")));
                    taken = taken.or(Some(stream));
                }
                Err(e) => {
                    self.push(began, Line::failed("tcp", &codes::NET_CONNECT, format!("{address}: {e}")))
                }
            }
        }
        // An address of several that does not answer is not the end.
        if taken.is_some() {
            for line in self.lines.iter_mut().filter(|line| line.step == "tcp" && line.code.is_some()) {
                line.verdict = super::Verdict::Warning;
            }
        }
        taken.map(|stream| Timed::new(stream, self.limit))
    }

    /// What comes after the connection, without a proxy.
    fn speak(&mut self, socket: Timed) -> Option<()> {
        match self.endpoint.scheme {
            Scheme::Tcp => Some(()),
            Scheme::Http => {
                let path = self.endpoint.path.clone();
                self.web(socket, &path, None)
            }
            Scheme::Https => self.secure(socket),
            Scheme::Ssh => self.banner(socket),
            Scheme::Nbd => self.magic(socket),
        }
    }

    /// `CONNECT`, then as without a proxy.
    fn through(&mut self, mut socket: Timed, proxy: &Proxy) -> Option<()> {
        let began = Instant::now();
        let place = self.endpoint.authority();
        socket.allow(self.limit);
        let login =
            proxy.login.as_ref().map(|login| format!("Proxy-Authorization: {login}\r\n")).unwrap_or_default();
        let request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{login}\r\n");
        match http::ask(&mut socket, &request) {
            Ok(answer) if (200..300).contains(&answer.status) => {
                self.push(began, Line::ok("connect", format!("the proxy has connected to {place}")));
                self.secure(socket)
            }
            // It answers, and a login is a matter of configuration: the way is there.
            Ok(answer) if answer.status == 407 => {
                let text = format!("407 {}: what lies behind the proxy could not be tried", answer.reason);
                self.push(began, Line::warning("connect", &codes::NET_PROXY_LOGIN, text));
                Some(())
            }
            Ok(answer) => {
                let text =
                    format!("the proxy does not connect to {place}: {} {}", answer.status, answer.reason);
                self.push(began, Line::failed("connect", &codes::NET_PROXY, text));
                None
            }
            Err(e) => {
                self.push(began, Line::failed("connect", &codes::NET_PROXY, format!("the proxy: {e}")));
                None
            }
        }
    }

    fn secure(&mut self, mut socket: Timed) -> Option<()> {
        let began = Instant::now();
        socket.allow(self.limit);
        let Shaken { mut stream, version, cipher, certificate, distrust } =
            match tls::shake(socket, &self.endpoint.host, self.trust) {
                Ok(shaken) => shaken,
                Err(e) => {
                    self.push(began, Line::failed("tls", &codes::NET_TLS, e.to_string()));
                    return None;
                }
            };
        self.push(began, Line::ok("tls", format!("{version}, {cipher}")));
        let line = match &distrust {
            None => Line::ok("certificate", "is trusted"),
            Some(why) => Line::failed("certificate", &codes::NET_CERTIFICATE, why.as_str()),
        };
        self.lines.push(Line { certificate, ..line });
        if distrust.is_some() {
            return None;
        }
        stream.sock.allow(self.limit);
        let path = self.endpoint.path.clone();
        self.web(stream, &path, None)
    }

    /// A request, and any answer to it. Nothing but HEAD is asked for: it changes nothing, and has no body.
    fn web(&mut self, mut stream: impl Read + Write, target: &str, proxy: Option<&Proxy>) -> Option<()> {
        let began = Instant::now();
        let login = proxy.and_then(|proxy| proxy.login.as_ref());
        let login = login.map(|login| format!("Proxy-Authorization: {login}\r\n")).unwrap_or_default();
        let host = self.endpoint.authority();
        let version = env!("CARGO_PKG_VERSION");
        let request = format!(
            "HEAD {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rehome/{version} (doctor)\r\nAccept: */*\r\n{login}Connection: close\r\n\r\n"
        );
        match http::ask(&mut stream, &request) {
            Ok(answer) if proxy.is_some() && matches!(answer.status, 502..=504) => {
                let text = format!("the proxy gets nowhere: {} {}", answer.status, answer.reason);
                self.push(began, Line::failed("http", &codes::NET_PROXY, text));
                None
            }
            Ok(answer) if answer.status == 407 => {
                self.push(
                    began,
                    Line::warning("http", &codes::NET_PROXY_LOGIN, format!("407 {}", answer.reason)),
                );
                Some(())
            }
            Ok(answer) => {
                self.push(began, Line::ok("http", format!("{} {}", answer.status, answer.reason)));
                Some(())
            }
            Err(e) => {
                self.push(began, Line::failed("http", &codes::NET_HTTP, e.to_string()));
                None
            }
        }
    }

    fn banner(&mut self, mut socket: Timed) -> Option<()> {
        let began = Instant::now();
        socket.allow(self.limit);
        let mut said = Vec::new();
        let mut byte = [0];
        let fault = loop {
            match socket.read(&mut byte) {
                Ok(0) => break "the server closes the connection".to_owned(),
                Ok(_) => said.push(byte[0]),
                Err(e) => break e.to_string(),
            }
            if said.ends_with(b"\n") && said.starts_with(b"SSH-") {
                let line = String::from_utf8_lossy(&said).into_owned();
                self.push(began, Line::ok("ssh", line));
                return Some(());
            }
            if said.ends_with(b"\n") {
                said.clear();
            }
            if said.len() > BANNER {
                break "no line that begins with SSH-".to_owned();
            }
        };
        self.push(began, Line::failed("ssh", &codes::NET_CONNECT, format!("this is no SSH server: {fault}")));
        None
    }

    fn magic(&mut self, mut socket: Timed) -> Option<()> {
        let began = Instant::now();
        socket.allow(self.limit);
        let mut said = [0; 16];
        let text = match socket.read_exact(&mut said) {
            Ok(()) if &said == b"NBDMAGICIHAVEOPT" => {
                self.push(began, Line::ok("nbd", "an NBD server, new style"));
                return Some(());
            }
            Ok(()) => "it does not begin with NBDMAGIC and IHAVEOPT".to_owned(),
            Err(e) => e.to_string(),
        };
        self.push(began, Line::failed("nbd", &codes::NET_CONNECT, format!("this is no NBD server: {text}")));
        None
    }
}

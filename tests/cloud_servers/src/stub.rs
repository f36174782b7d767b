//! A server that answers as a test says, strictly or in a hostile way.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Such as `GET`.
    pub method: String,
    /// Path and query, as they were sent.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Ask {
    /// What stands before the query, as it was sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// A part of the query, decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let value = query.split('&').find_map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (key == name).then_some(value)
        })?;
        Some(decode(value))
    }

    /// The value of a header; the name is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// First and last byte of the range that is asked for.
    #[must_use]
    pub fn range(&self) -> Option<(u64, u64)> {
        let (first, last) = self
            .header("range")
            .or_else(|| self.header("x-ms-range"))?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        Some((first.parse().unwrap(), last.parse().unwrap()))
    }
}

/// Text of an address without its percent signs.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What is sent back.
pub enum Reply {
    /// Status, headers, body; the length is added, unless a header says it.
    Plain(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Whatever is written to the connection, which is closed then.
    Raw(Box<dyn FnOnce(&mut TcpStream) + Send>),
}

/// An answer with these headers.
pub fn reply(status: u16, headers: &[(&'static str, &str)], body: impl Into<Vec<u8>>) -> Reply {
    Reply::Plain(
        status,
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body.into(),
    )
}

/// An answer that is written by hand.
pub fn raw(with: impl FnOnce(&mut TcpStream) + Send + 'static) -> Reply {
    Reply::Raw(Box::new(with))
}

/// The range that is asked for of `object`, as a good server gives it.
#[must_use]
pub fn part(ask: &Ask, object: &[u8], etag: &str) -> Reply {
    let Some((first, last)) = ask.range() else { return reply(200, &[("etag", etag)], object) };
    let total = object.len() as u64;
    if first >= total {
        return reply(416, &[("content-range", &format!("bytes */{total}"))], "");
    }
    let last = last.min(total - 1);
    let range = format!("bytes {first}-{last}/{total}");
    reply(206, &[("etag", etag), ("content-range", &range)], &object[first as usize..=last as usize])
}

/// A listening server, until it is dropped.
pub struct Stub {
    address: String,
    asked: Arc<Mutex<Vec<Ask>>>,
    ended: Arc<AtomicBool>,
}

impl Stub {
    /// One that answers like this, on a port of its own.
    pub fn new(answer: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (asked, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, is_over, answer) = (Arc::clone(&asked), Arc::clone(&ended), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || converse(stream.unwrap(), &log, answer.as_ref()));
            }
        });
        Self { address, asked, ended }
    }

    /// The address of a path here.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.address
    }

    /// All that was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

fn converse(mut stream: TcpStream, log: &Mutex<Vec<Ask>>, answer: &(dyn Fn(&Ask) -> Reply + Sync)) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(ask) = take(&mut reader) {
        let is_head = ask.method == "HEAD";
        log.lock().unwrap().push(ask.clone());
        match answer(&ask) {
            Reply::Raw(with) => return with(&mut stream),
            Reply::Plain(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} X\r\n");
                for (name, value) in &headers {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                if !headers.iter().any(|(name, _)| *name == "content-length") {
                    text.push_str(&format!("content-length: {}\r\n", body.len()));
                }
                let mut bytes = format!("{text}\r\n").into_bytes();
                if !is_head {
                    bytes.extend(body);
                }
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
        }
    }
}

fn take(reader: &mut impl BufRead) -> Option<Ask> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len = headers.get("content-length").map_or(0, |len: &String| len.parse().unwrap());
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Ask { method, target, headers, body })
}

/// Bytes that differ from place to place.
#[must_use]
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&(state >> 16).to_le_bytes()[..6]);
    }
    bytes.truncate(len);
    bytes
}

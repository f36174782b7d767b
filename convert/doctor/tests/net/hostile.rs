//! Servers that feed too much, too slowly, or nonsense: each look ends in time.

use crate::servers::{own, reached};
use convert_doctor::net::Wish;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(2);

/// Looks at a server of this kind, and gives what the last step said.
fn last(scheme: &str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let port = own(serve);
    let began = Instant::now();
    let found = reached(&format!("{scheme}://127.0.0.1:{port}/"), Wish::Direct, LIMIT);
    // Name, connection, handshake, answer: each has its limit; the rest is the load of the machine.
    assert!(began.elapsed() < LIMIT * 5, "{scheme}: {:?}", began.elapsed());
    assert!(!found.reachable, "{found:#?}");
    let line = found.lines.last().unwrap();
    format!("{}: {}", line.step, line.text)
}

fn forever(mut stream: TcpStream, bytes: &[u8], pause: Duration) {
    while stream.write_all(bytes).is_ok() {
        std::thread::sleep(pause);
    }
}

#[test]
fn a_head_without_end_is_cut_off() {
    let said = last("http", |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        forever(stream, &b"X: y\r\n".repeat(1000), Duration::ZERO);
    });
    assert!(said.starts_with("http: this is not HTTP") || said.contains("more than"), "{said}");
    let said = last("http", |mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        forever(stream, &[b'y'; 4096], Duration::ZERO);
    });
    assert!(said.contains("more than"), "{said}");
}

#[test]
fn a_byte_now_and_then_does_not_keep_us() {
    for scheme in ["http", "https", "ssh", "nbd"] {
        let said = last(scheme, |stream| forever(stream, b"H", Duration::from_millis(300)));
        assert!(said.contains("in time") || said.contains("not HTTP") || said.contains("tls:"), "{said}");
    }
}

#[test]
fn silence_does_not_keep_us() {
    for scheme in ["http", "https", "ssh", "nbd"] {
        let said = last(scheme, |mut stream| {
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert!(said.contains("no answer in time"), "{said}");
    }
}

#[test]
fn nonsense_instead_of_tls_is_told() {
    for bytes in [
        &b"HTTP/1.1 400 Bad\r\n\r\n"[..],
        b"\x16\x03\x03\xff\xff",
        b"\x15\x03\x01\x00\x02\x02\x46",
        &[0xff; 70_000],
    ] {
        let said = last("https", move |mut stream| {
            let _ = stream.read(&mut [0; 16]);
            let _ = stream.write_all(bytes);
        });
        assert!(said.starts_with("tls: "), "{said}");
    }
}

#[test]
fn text_that_steers_terminals_is_made_visible() {
    let port = own(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-\x1b[2J\x07evil\r\n");
    });
    let found = reached(&format!("ssh://127.0.0.1:{port}"), Wish::Direct, LIMIT);
    assert!(found.reachable && found.lines.last().unwrap().text.contains("\\u{1b}[2J"), "{found:#?}");
}

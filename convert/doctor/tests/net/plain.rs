//! HTTP, with and without a proxy; SSH, NBD, and what is only connected.

use crate::servers::{PLENTY, free_port, head, own, reached, start, step};
use convert_doctor::net::{Verdict, Wish};
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Answers every request with this status.
fn answering(status: &'static str) -> u16 {
    own(move |mut stream| {
        head(&stream);
        let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
    })
}

#[test]
fn a_server_of_python_is_reached_whatever_it_answers() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let text = port.to_string();
    let _server = start(
        "python3",
        "python3",
        &["-m", "http.server", "--bind", "127.0.0.1", &text],
        folder.path(),
        port,
    );
    for (path, status) in [("/", "200"), ("/nothing-here", "404")] {
        let found = reached(&format!("http://127.0.0.1:{port}{path}"), Wish::Direct, PLENTY);
        assert!(found.reachable && step(&found, "http").text.starts_with(status), "{found:#?}");
    }
    for status in ["401 Who are you", "403 Forbidden", "500 Broken", "407 Proxy"] {
        let found = reached(&format!("http://localhost:{}/", answering(status)), Wish::Direct, PLENTY);
        assert!(found.reachable && step(&found, "http").text == status, "{found:#?}");
    }
}

#[test]
fn what_is_not_there_fails_at_its_step() {
    let found = reached(&format!("http://127.0.0.1:{}/", free_port()), Wish::Direct, PLENTY);
    assert!(!found.reachable);
    assert_eq!(
        (step(&found, "tcp").verdict, step(&found, "tcp").code),
        (Verdict::Failed, Some("RH-NET-CONNECT"))
    );
    let found = reached("https://no-such-host.invalid/", Wish::Direct, PLENTY);
    assert!(!found.reachable);
    assert_eq!(step(&found, "dns").code, Some("RH-NET-NAME"));
}

#[test]
fn a_proxy_gets_the_whole_url_and_the_login_and_nobody_sees_the_login() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let port = own(move |mut stream| {
        kept.lock().unwrap().extend(head(&stream));
        let _ = write!(stream, "HTTP/1.1 403 Not allowed\r\n\r\n");
    });
    let proxy = Wish::Through(format!("http://me:hunter2@127.0.0.1:{port}"));
    let found = reached("http://far.invalid:81/x?sig=hunter2", proxy, PLENTY);
    assert!(found.reachable, "{found:#?}");
    assert!(!format!("{found:?}").contains("hunter2"));
    let seen = seen.lock().unwrap().join("\n");
    assert!(
        seen.starts_with("HEAD http://far.invalid:81/x?sig=hunter2 HTTP/1.1\nHost: far.invalid:81\n"),
        "{seen}"
    );
    assert!(seen.contains("Proxy-Authorization: Basic bWU6aHVudGVyMg=="), "{seen}");
}

#[test]
fn a_proxy_that_gets_nowhere_is_a_failure_and_one_that_wants_a_login_is_none() {
    for (status, url, reachable, code) in [
        ("502 Bad Gateway", "http://far.invalid/", false, "RH-NET-PROXY"),
        ("403 Forbidden", "https://far.invalid/", false, "RH-NET-PROXY"),
        ("407 Login", "https://far.invalid/", true, "RH-NET-PROXY-LOGIN"),
        ("407 Login", "http://far.invalid/", true, "RH-NET-PROXY-LOGIN"),
    ] {
        let proxy = Wish::Through(format!("127.0.0.1:{}", answering(status)));
        let found = reached(url, proxy, PLENTY);
        assert_eq!(
            (found.reachable, found.lines.last().unwrap().code),
            (reachable, Some(code)),
            "{found:#?}"
        );
    }
}

/// Debian's tinyproxy judges our requests, in both forms.
#[test]
fn tinyproxy_takes_our_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (port, web) = (free_port(), answering("204 Nothing"));
    let configuration = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 10\nAllow 127.0.0.1\nConnectPort 443\nLogLevel Error\n"
    );
    std::fs::write(folder.path().join("tinyproxy.conf"), configuration).unwrap();
    let _server = start("tinyproxy-bin", "tinyproxy", &["-d", "-c", "tinyproxy.conf"], folder.path(), port);
    let proxy = Wish::Through(format!("http://127.0.0.1:{port}"));
    let found = reached(&format!("http://127.0.0.1:{web}/a"), proxy.clone(), PLENTY);
    assert!(found.reachable && step(&found, "http").text.starts_with("204"), "{found:#?}");
    // It lets CONNECT through to 443 only.
    let found = reached(&format!("https://127.0.0.1:{web}/"), proxy, PLENTY);
    assert!(!found.reachable && step(&found, "connect").text.contains("403"), "{found:#?}");
}

#[test]
fn other_protocols_are_told_by_how_they_begin() {
    let ssh = own(|mut stream| {
        let _ = stream.write_all(b"welcome\r\nSSH-2.0-Test_1\r\n");
    });
    let nbd = own(|mut stream| {
        let _ = stream.write_all(b"NBDMAGICIHAVEOPT\0\x03");
    });
    for (url, step_name, reachable) in [
        (format!("ssh://127.0.0.1:{ssh}"), "ssh", true),
        (format!("nbd://127.0.0.1:{nbd}"), "nbd", true),
        (format!("tcp://127.0.0.1:{ssh}"), "tcp", true),
        (format!("nbd://127.0.0.1:{ssh}"), "nbd", false),
        (format!("ssh://127.0.0.1:{nbd}"), "ssh", false),
    ] {
        let found = reached(&url, Wish::Direct, std::time::Duration::from_secs(3));
        assert_eq!((found.reachable, found.lines.last().unwrap().step), (reachable, step_name), "{found:#?}");
    }
}

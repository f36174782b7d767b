//! Servers that lie, drip, never end, or lead elsewhere.

use super::stub::{Ask, Reply, Stub, noise, part, raw, reply};
use super::{options, secret};
use convert_cloud::HttpStorage;
use format_core::{ErrorKind, Storage};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ETAG: &str = "\"v1\"";

/// A server that answers the first question well, and all others by `later`.
fn turning(later: impl Fn(&Ask, &[u8]) -> Reply + Send + Sync + 'static) -> Stub {
    let (object, count) = (noise(1 << 20), AtomicUsize::new(0));
    Stub::new(move |ask| match count.fetch_add(1, Ordering::SeqCst) {
        0 => part(ask, &object, ETAG),
        _ => later(ask, &object),
    })
}

fn read(server: &Stub) -> (format_core::Error, Duration) {
    let storage = HttpStorage::open(&server.url("/x?sig=geheim"), &options()).unwrap();
    let begun = Instant::now();
    let error = storage.read_exact_at(0x1000, &mut [0; 100_000]).unwrap_err();
    assert!(!format!("{error:?} {:?}", error.hint_text()).contains("geheim"), "{error}");
    (error, begun.elapsed())
}

#[test]
fn an_answer_of_another_range_length_or_kind_is_no_answer() {
    type Lie = fn(&Ask, &[u8]) -> Reply;
    let lies: [(&str, ErrorKind, Lie); 8] = [
        ("another place", ErrorKind::Io, |_, object| {
            reply(206, &[("etag", ETAG), ("content-range", "bytes 0-99999/1048576")], &object[..100_000])
        }),
        ("another end", ErrorKind::Io, |_, object| {
            reply(206, &[("etag", ETAG), ("content-range", "bytes 4096-4999/1048576")], &object[4096..5000])
        }),
        ("no range", ErrorKind::Io, |_, object| reply(206, &[("etag", ETAG)], &object[4096..104_096])),
        ("two ranges", ErrorKind::Io, |_, object| {
            let range = ("content-range", "bytes 4096-104095/1048576");
            reply(206, &[("etag", ETAG), range, range], &object[4096..104_096])
        }),
        ("a short length", ErrorKind::Io, |_, object| {
            reply(206, &[("etag", ETAG), ("content-range", "bytes 4096-104095/1048576")], &object[4096..5000])
        }),
        ("a long length", ErrorKind::Io, |_, _| {
            let head = [
                ("etag", ETAG),
                ("content-range", "bytes 4096-104095/1048576"),
                ("content-length", "18446744073709551615"),
            ];
            reply(206, &head, "x")
        }),
        ("compressed", ErrorKind::Unsupported, |_, object| {
            let head = [
                ("etag", ETAG),
                ("content-range", "bytes 4096-104095/1048576"),
                ("content-encoding", "gzip"),
            ];
            reply(206, &head, &object[4096..104_096])
        }),
        ("all of it", ErrorKind::Io, |_, object| reply(200, &[("etag", ETAG)], object)),
    ];
    for (name, kind, lie) in lies {
        let (error, _) = read(&turning(lie));
        assert_eq!(error.kind(), kind, "{name}: {error}");
    }
}

#[test]
fn an_object_that_changes_on_the_way_is_told() {
    type Change = fn(&Ask, &[u8]) -> Reply;
    let changes: [(&str, Change); 6] = [
        ("another tag", |ask, object| part(ask, object, "\"v2\"")),
        ("no tag", |_, object| {
            reply(206, &[("content-range", "bytes 4096-104095/1048576")], &object[4096..104_096])
        }),
        ("another size", |ask, object| part(ask, &object[..500_000], ETAG)),
        ("all of it, as If-Range has it", |_, object| reply(200, &[("etag", "\"v2\"")], object)),
        ("gone", |_, _| reply(404, &[], "")),
        ("the condition fails", |_, _| reply(412, &[], "")),
    ];
    for (name, change) in changes {
        let (error, _) = read(&turning(change));
        assert_eq!(
            (error.kind(), error.code().id),
            (ErrorKind::Temporary, "RH-SOURCE-CHANGED"),
            "{name}: {error}"
        );
    }
}

#[test]
fn endless_headers_and_bodies_end() {
    type Flood = fn(&Ask, &[u8]) -> Reply;
    let floods: [(&str, Flood); 4] = [
        ("headers", |_, _| {
            raw(|stream| {
                let _ = stream.write_all(b"HTTP/1.1 206 X\r\n");
                while stream
                    .write_all(b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
                    .is_ok()
                {}
            })
        }),
        ("one header", |_, _| {
            raw(|stream| {
                let _ = stream.write_all(b"HTTP/1.1 206 X\r\nx-more: ");
                while stream.write_all(&[b'a'; 1000]).is_ok() {}
            })
        }),
        ("an error's body", |_, _| {
            raw(|stream| {
                let _ = stream.write_all(b"HTTP/1.1 400 X\r\ntransfer-encoding: chunked\r\n\r\n");
                while stream.write_all(b"5\r\naaaaa\r\n").is_ok() {}
            })
        }),
        ("chunks", |_, _| {
            raw(|stream| {
                let _ = stream.write_all(
                    b"HTTP/1.1 206 X\r\netag: \"v1\"\r\ncontent-range: bytes 4096-104095/1048576\r\ntransfer-encoding: chunked\r\n\r\n",
                );
                while stream.write_all(b"5\r\naaaaa\r\n").is_ok() {}
            })
        }),
    ];
    for (name, flood) in floods {
        let (error, took) = read(&turning(flood));
        assert_eq!(error.kind(), ErrorKind::Io, "{name}: {error}");
        assert!(took < Duration::from_secs(8), "{name}: {took:?}");
    }
}

#[test]
fn who_drips_is_left_in_bounded_time() {
    type Drip = fn(&Ask, &[u8]) -> Reply;
    const HEAD: &[u8] = b"HTTP/1.1 206 X\r\netag: \"v1\"\r\ncontent-range: bytes 4096-104095/1048576\r\ncontent-length: 100000\r\n\r\n";
    let drips: [(&str, Drip); 3] = [
        ("silence", |_, _| raw(|_| std::thread::sleep(Duration::from_secs(30)))),
        ("headers", |_, _| {
            raw(|stream| {
                while stream.write_all(b"H").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        }),
        ("body", |_, _| {
            raw(|stream| {
                let _ = stream.write_all(HEAD);
                while stream.write_all(b"a").is_ok() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        }),
    ];
    for (name, drip) in drips {
        let (error, took) = read(&turning(drip));
        assert!(matches!(error.kind(), ErrorKind::Temporary | ErrorKind::Io), "{name}: {error}");
        // Three attempts of three seconds at most, and their pauses.
        assert!(took < Duration::from_secs(14), "{name}: {took:?}");
    }
}

#[test]
fn a_redirect_takes_no_credentials_to_another_host() {
    let folder = tempfile::tempdir().unwrap();
    let mut with = options();
    with.credentials = Some(secret(folder.path(), "user:geheim"));
    // On the same host, they follow.
    let server = Stub::new(|ask| match ask.path() {
        "/old" => reply(302, &[("location", "/new?x=1")], ""),
        _ => part(ask, &noise(4096), ETAG),
    });
    assert_eq!(HttpStorage::open(&server.url("/old"), &with).unwrap().size(), 4096);
    assert!(server.asked().iter().all(|ask| ask.header("authorization").is_some()));

    let other = Arc::new(Stub::new(|ask| part(ask, &noise(4096), ETAG)));
    let elsewhere = other.url("/x");
    let server = Stub::new(move |_| reply(307, &[("location", &elsewhere)], ""));
    let error = HttpStorage::open(&server.url("/old"), &with).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(other.asked().is_empty(), "plain http leads nowhere else");

    for location in ["ftp://127.0.0.1/x", "relative", "//127.0.0.1/x", "http://a b/", "https://127.0.0.1:1/"]
    {
        let server = Stub::new(move |_| reply(301, &[("location", location)], ""));
        assert_eq!(
            HttpStorage::open(&server.url("/x"), &options()).err().unwrap().kind(),
            ErrorKind::Unsupported,
            "{location}"
        );
    }
    let server = Stub::new(|_| reply(301, &[("location", "/x")], ""));
    assert_eq!(HttpStorage::open(&server.url("/x"), &options()).err().unwrap().kind(), ErrorKind::Io);
    assert_eq!(server.asked().len(), 6);
}

#[test]
fn the_first_answer_is_looked_at_as_well() {
    type Lie = fn() -> Reply;
    let lies: [Lie; 6] = [
        || reply(206, &[("content-range", "bytes 0-511/*")], vec![0; 512]),
        || reply(206, &[("content-range", "bytes 0-511/0")], vec![0; 512]),
        || reply(206, &[("content-range", "bytes 0-600/1000")], vec![0; 601]),
        || reply(206, &[("content-range", "bytes 1-512/1000")], vec![0; 512]),
        || reply(206, &[("content-range", "bytes 0-511/1000")], vec![0; 600]),
        || reply(206, &[], vec![0; 512]),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let server = Stub::new(move |_| lie());
        let error = HttpStorage::open(&server.url("/x"), &options()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io, "{number}: {error}");
    }
}

//! Files of web servers: what a good server and a good file come to.

use super::stub::{Reply, Stub, noise, part, raw, reply};
use super::{options, secret};
use convert_cloud::{HttpStorage, Identity};
use format_core::{ErrorKind, Storage};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ETAG: &str = "\"v1\"";

fn serve(object: Vec<u8>) -> Stub {
    Stub::new(move |ask| part(ask, &object, ETAG))
}

#[test]
fn every_byte_comes_as_it_is_in_pieces_and_from_many_threads() {
    let object = noise((20 << 20) + 777);
    let server = serve(object.clone());
    let storage = HttpStorage::open(&server.url("/disk.img?sig=geheim"), &options()).unwrap();
    assert_eq!(storage.size(), object.len() as u64);
    assert_eq!(storage.identity(), Some(Identity { kind: "etag", value: ETAG.into() }));
    let mut whole = vec![0; object.len()];
    storage.read_exact_at(0, &mut whole).unwrap();
    assert!(whole == object);
    std::thread::scope(|scope| {
        for thread in 0..8usize {
            let (storage, object) = (&storage, &object);
            scope.spawn(move || {
                for round in 0..20usize {
                    let at = (thread * 1_234_567 + round * 777_777) % (object.len() - 300_000);
                    let mut buf = vec![0; 1 + (round * 15_013) % 300_000];
                    storage.read_exact_at(at as u64, &mut buf).unwrap();
                    assert!(buf == object[at..at + buf.len()], "{at:#x} {}", buf.len());
                }
            });
        }
    });
    let asked = server.asked();
    let longest =
        asked.iter().map(|ask| ask.range().map_or(u64::MAX, |(first, last)| last - first + 1)).max();
    assert_eq!(longest, Some(8 << 20));
    assert!(
        asked
            .iter()
            .skip(1)
            .all(|ask| ask.header("if-range") == Some(ETAG) && ask.query("sig").as_deref() == Some("geheim"))
    );
    assert_eq!(
        storage.read_exact_at(object.len() as u64 - 1, &mut [0; 2]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    storage.read_exact_at(object.len() as u64, &mut []).unwrap();
}

#[test]
fn small_reads_do_not_ask_each_time() {
    let object = noise(1 << 20);
    let server = serve(object.clone());
    let storage = HttpStorage::open(&server.url("/x"), &options()).unwrap();
    for at in (0..65_536u64).step_by(512) {
        let mut buf = [0; 512];
        storage.read_exact_at(at, &mut buf).unwrap();
        assert_eq!(buf, object[at as usize..at as usize + 512]);
    }
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_file_of_a_few_bytes_and_an_empty_one() {
    let server = serve(b"abc".to_vec());
    let storage = HttpStorage::open(&server.url("/x"), &options()).unwrap();
    let mut buf = [0; 3];
    storage.read_exact_at(0, &mut buf).unwrap();
    assert_eq!((storage.size(), &buf), (3, b"abc"));
    let server = serve(Vec::new());
    assert_eq!(HttpStorage::open(&server.url("/x"), &options()).err().unwrap().kind(), ErrorKind::Corrupt);
}

#[test]
fn user_and_password_come_from_a_file_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Stub::new(|ask| match ask.header("authorization") {
        // user:pässwort
        Some("Basic dXNlcjpww6Rzc3dvcnQ=") => part(ask, &noise(4096), ETAG),
        given => {
            reply(401, &[], format!("<Error><Code>Wrong</Code><Message>{given:?} geheim</Message></Error>"))
        }
    });
    let address = server.url("/folder/vm/vm-flat.vmdk?dcPath=ha-datacenter&dsName=one");
    let mut with = options();
    with.credentials = Some(secret(folder.path(), "user:pässwort\n"));
    assert_eq!(HttpStorage::open(&address, &with).unwrap().size(), 4096);
    with.credentials = Some(secret(folder.path(), "user:falsch\n"));
    let error = HttpStorage::open(&address, &with).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let text = format!("{error} {error:?} {:?}", error.hint_text());
    assert!(text.contains("401") && text.contains("Wrong") && text.contains("vm-flat.vmdk?…"), "{text}");
    for hidden in ["dXNlcj", "falsch", "dsName", "geheim"] {
        assert!(!text.contains(hidden), "{text}");
    }
    with.credentials = Some(secret(folder.path(), "no colon\n"));
    assert_eq!(HttpStorage::open(&address, &with).err().unwrap().kind(), ErrorKind::Usage);
    let inside = address.replace("http://", "http://user:geheim@");
    let error = HttpStorage::open(&inside, &options()).err().unwrap();
    assert!(
        error.hint_text().is_some_and(|hint| hint.contains("--credentials"))
            && !error.to_string().contains("geheim")
    );
}

#[test]
fn what_passes_is_tried_again_and_not_for_ever() {
    let object = noise(4096);
    let failures: [fn() -> Reply; 8] = [
        || reply(429, &[("retry-after", "0")], "slow down"),
        || reply(500, &[], ""),
        || reply(502, &[], ""),
        || reply(503, &[("retry-after", "1")], ""),
        || reply(504, &[], ""),
        // Closed before any answer, in the head, and in the body.
        || raw(|_| {}),
        || raw(|stream| std::io::Write::write_all(stream, b"HTTP/1.1 206 X\r\ncontent-ra").unwrap()),
        || {
            raw(|stream| {
                let head = "HTTP/1.1 206 X\r\ncontent-range: bytes 0-511/4096\r\ncontent-length: 512\r\netag: \"v1\"\r\n\r\nabc";
                std::io::Write::write_all(stream, head.as_bytes()).unwrap();
            })
        },
    ];
    for (number, failure) in failures.into_iter().enumerate() {
        let (count, content) = (Arc::new(AtomicUsize::new(0)), object.clone());
        let counter = Arc::clone(&count);
        let server = Stub::new(move |ask| match counter.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => failure(),
            _ => part(ask, &content, ETAG),
        });
        let begun = Instant::now();
        let storage = HttpStorage::open(&server.url("/x"), &options());
        assert_eq!(storage.unwrap_or_else(|e| panic!("{number}: {e}")).size(), 4096);
        assert_eq!(count.load(Ordering::SeqCst), 3, "{number}");
        // Twice a second was asked for.
        assert!(number != 3 || begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());

        let server = Stub::new(move |_| failure());
        let error = HttpStorage::open(&server.url("/x?sig=geheim"), &options()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Temporary, "{number}: {error}");
        assert_eq!(server.asked().len(), 3, "{number}");
        assert!(!format!("{error:?}").contains("geheim"));
    }
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_long_is() {
    let server = Stub::new(|_| reply(503, &[("retry-after", "3600")], ""));
    let begun = Instant::now();
    assert_eq!(HttpStorage::open(&server.url("/x"), &options()).err().unwrap().kind(), ErrorKind::Temporary);
    assert!(begun.elapsed() < Duration::from_secs(2) && server.asked().len() == 1);
}

#[test]
fn what_does_not_pass_is_not_tried_again() {
    for (status, kind) in [
        (400, ErrorKind::Io),
        (401, ErrorKind::Denied),
        (403, ErrorKind::Denied),
        (404, ErrorKind::SourceMissing),
        (410, ErrorKind::SourceMissing),
        (501, ErrorKind::Io),
    ] {
        let server = Stub::new(move |_| reply(status, &[], "x"));
        assert_eq!(HttpStorage::open(&server.url("/x"), &options()).err().unwrap().kind(), kind, "{status}");
        assert_eq!(server.asked().len(), 1, "{status}");
    }
    let closed = Stub::new(|_| reply(200, &[], "")).url("/x");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(HttpStorage::open(&closed, &options()).err().unwrap().kind(), ErrorKind::Temporary);
}

#[test]
fn a_server_without_ranges_is_refused_with_the_way_out() {
    let server = Stub::new(|_| reply(200, &[("etag", ETAG)], noise(100_000)));
    let error = HttpStorage::open(&server.url("/x"), &options()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint_text().is_some_and(|hint| hint.contains("curl")));
}

#[test]
fn plain_http_goes_to_this_machine_alone() {
    for address in ["http://192.0.2.1/x", "http://example.invalid/x", "http://[2001:db8::1]/x"] {
        let error = HttpStorage::open(address, &options()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied, "{address}");
    }
}

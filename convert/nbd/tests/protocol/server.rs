//! The server with its threads and limits, on real sockets.

use crate::peer::{Memory, about};
use convert_nbd::{Address, Exports, Limits, Listener, Server};
use format_core::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Runs `test` against a server, and the time the server took to end afterwards.
fn with_server(limits: Limits, once: bool, test: impl FnOnce(&Path)) -> (Duration, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("socket");
    let listener = Listener::bind(&Address::Unix(path.clone())).unwrap();
    let mut exports = Exports::default();
    exports.add("", "", Arc::new(Memory::new(vec![7; 8 << 20], false))).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let server =
        Server::new(exports, limits, move |error: &Error| log.lock().unwrap().push(error.to_string()));
    let stop = AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        let running = scope.spawn(|| server.run(&listener, &stop, once));
        // A test that fails must not wait for a server that nobody ends.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&path)));
        let start = Instant::now();
        stop.store(!once || result.is_err(), Ordering::Relaxed);
        result.unwrap();
        running.join().unwrap().unwrap();
        start.elapsed()
    });
    drop(listener);
    assert!(!path.exists());
    let told = told.lock().unwrap().clone();
    (took, told)
}

fn quick() -> Limits {
    let ms = Duration::from_millis;
    Limits { connections: 3, handshake: ms(2000), silence: ms(1000), stall: ms(800) }
}

/// A client in transmission, with simple replies.
fn client(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.read_exact(&mut [0; 18]).unwrap();
    let data = about("", &[]);
    let head =
        [&3u32.to_be_bytes()[..], b"IHAVEOPT", &7u32.to_be_bytes(), &(data.len() as u32).to_be_bytes()];
    stream.write_all(&[&head.concat()[..], &data].concat()).unwrap();
    // INFO with size and flags, and ACK.
    stream.read_exact(&mut [0; 20 + 12 + 20]).unwrap();
    stream
}

fn ask(stream: &mut UnixStream, len: u32) {
    let request = [&0x2560_9513u32.to_be_bytes()[..], &[0; 20], &len.to_be_bytes()].concat();
    stream.write_all(&request).unwrap();
}

fn reads(stream: &mut UnixStream) {
    ask(stream, 4);
    let mut reply = [0; 20];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(reply[16..], [7; 4]);
}

fn is_closed(mut stream: &UnixStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn who_does_not_finish_the_handshake_is_sent_away() {
    let (_, told) = with_server(quick(), false, |path| {
        let silent = UnixStream::connect(path).unwrap();
        assert!(is_closed(&silent));
        // A byte from time to time is no handshake.
        let mut slow = UnixStream::connect(path).unwrap();
        let start = Instant::now();
        while slow.write_all(&[0]).is_ok() {
            std::thread::sleep(Duration::from_millis(100));
            assert!(start.elapsed() < Duration::from_secs(10));
        }
        reads(&mut client(path));
    });
    assert!(told.iter().all(|text| text.contains("too long") || text.contains("starts with")), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[test]
fn who_does_not_read_blocks_nobody_and_goes_in_the_end() {
    let (_, told) = with_server(quick(), false, |path| {
        let mut deaf = client(path);
        (0..4).for_each(|_| ask(&mut deaf, 8 << 20));
        let mut other = client(path);
        reads(&mut other);
        // Silence between requests is fine, half a request is not. A write that got something through before its limit gets another.
        let mut half = client(path);
        half.write_all(&[0x25]).unwrap();
        std::thread::sleep(Duration::from_millis(2500));
        reads(&mut other);
        assert!(is_closed(&half));
        assert!(is_closed(&deaf));
    });
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn there_is_room_for_so_many_and_again_when_one_goes() {
    let (_, told) = with_server(quick(), false, |path| {
        let mut open: Vec<_> = (0..3).map(|_| client(path)).collect();
        assert!(is_closed(&UnixStream::connect(path).unwrap()));
        open.iter_mut().for_each(reads);
        open.pop();
        std::thread::sleep(Duration::from_millis(40));
        reads(&mut client(path));
    });
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_server_that_stops_waits_for_nobody() {
    let mut kept = Vec::new();
    let (took, told) = with_server(Limits::default(), false, |path| {
        kept.push(client(path));
        let mut deaf = client(path);
        (0..4).for_each(|_| ask(&mut deaf, 8 << 20));
        kept.push(deaf);
        kept.push(UnixStream::connect(path).unwrap());
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(told, [] as [String; 0]);
}

#[test]
fn once_is_until_the_last_client_has_gone() {
    with_server(Limits::default(), true, |path| {
        // Looking in is not being served.
        drop(UnixStream::connect(path).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        let (mut first, mut second) = (client(path), client(path));
        drop(first);
        std::thread::sleep(Duration::from_millis(300));
        reads(&mut second);
        first = client(path);
        reads(&mut first);
    });
}

//! Servers to talk to: programs of other projects, and a script that says what a test wants.

use convert_nbd::{ClientLimits, Connector, NbdAddress, Polled, Transport};
use format_core::Result;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub fn limits() -> ClientLimits {
    ClientLimits { backoff: Duration::from_millis(20), ..ClientLimits::default() }
}

/// Limits for servers that stall.
pub fn short() -> ClientLimits {
    ClientLimits {
        connect: Duration::from_secs(1),
        handshake: Duration::from_secs(1),
        silence: Duration::from_secs(1),
        rate: 1 << 20,
        flush: Duration::from_secs(1),
        retries: 0,
        ..limits()
    }
}

/// A program that serves, until it is dropped.
pub struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server and waits for its socket.
pub fn serve(program: &str, socket: &Path, arguments: &[&str]) -> Serving {
    // Not by way of `timeout`: a killed one leaves its child behind.
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the server starts");
    let serving = Serving(child);
    let end = Instant::now() + Duration::from_secs(20);
    while UnixStream::connect(socket).is_err() {
        assert!(Instant::now() < end, "{program} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    serving
}

pub fn qemu_nbd(socket: &Path, arguments: &[&str]) -> Serving {
    let path = socket.to_str().unwrap();
    serve("qemu-nbd", socket, &[&["-t", "-e", "8", "-k", path], arguments].concat())
}

pub fn nbdkit(socket: &Path, arguments: &[&str]) -> Serving {
    let path = socket.to_str().unwrap();
    serve("nbdkit", socket, &[&["-f", "-U", path], arguments].concat())
}

pub fn at(socket: &Path, export: &str) -> NbdAddress {
    NbdAddress::parse(&format!("nbd+unix:///{export}?socket={}", socket.display())).unwrap()
}

/// Runs a program that has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new("timeout").args(["60", program]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Bytes that look random, the same every time.
pub fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Noise with holes: what is served.
pub fn striped(len: usize) -> Vec<u8> {
    let mut bytes = noise(len, 0x5eed);
    for start in (0..len).step_by(1 << 20) {
        let end = len.min(start + (300 << 10));
        bytes[start..end].fill(0);
    }
    bytes
}

/// A raw file with holes where `bytes` has zeros.
pub fn write_sparse(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (at, part) in (0u64..).step_by(4096).zip(bytes.chunks(4096)) {
        if part.iter().any(|byte| *byte != 0) {
            std::os::unix::fs::FileExt::write_all_at(&file, part, at).unwrap();
        }
    }
}

type Script = dyn Fn(&mut Said, usize) + Send + Sync;

/// A server that a test writes: for each connection the script runs in a thread, with the number of the connection.
pub struct Scripted(std::sync::Arc<Script>, Mutex<usize>);

impl Scripted {
    pub fn new(script: impl Fn(&mut Said, usize) + Send + Sync + 'static) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self(std::sync::Arc::new(script), Mutex::new(0)))
    }

    pub fn connections(&self) -> usize {
        *self.1.lock().unwrap()
    }
}

impl Connector for Scripted {
    fn connect(&self, _limit: Duration) -> Result<Box<dyn Transport>> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut count = self.1.lock().unwrap();
        let (script, number) = (self.0.clone(), *count);
        *count += 1;
        std::thread::spawn(move || {
            theirs.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            script(&mut Said::new(theirs), number);
        });
        Ok(Box::new(Polled::new(ours.try_clone().unwrap(), ours, None).unwrap()))
    }

    fn name(&self) -> String {
        "a script".into()
    }
}

/// The server's end of a connection. Who has gone is not talked to: writes fail without a word, and reads give zeros.
pub struct Said {
    stream: UnixStream,
    /// Before each reply of the handshake.
    pub delay: Duration,
}

impl Said {
    pub fn new(stream: UnixStream) -> Self {
        Self { stream, delay: Duration::ZERO }
    }

    pub fn say(&mut self, parts: &[&[u8]]) -> bool {
        self.stream.write_all(&parts.concat()).is_ok()
    }

    pub fn hear(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).ok().map(|()| bytes)
    }

    pub fn greet(&mut self) {
        self.say(&[b"NBDMAGICIHAVEOPT\0\x03"]);
        self.hear(4);
    }

    /// The next option: its number and data.
    pub fn option(&mut self) -> Option<(u32, Vec<u8>)> {
        let head = self.hear(16)?;
        assert_eq!(&head[..8], b"IHAVEOPT");
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
        Some((number(8), self.hear(number(12) as usize)?))
    }

    pub fn reply(&mut self, option: u32, kind: u32, data: &[u8]) -> bool {
        std::thread::sleep(self.delay);
        let len = data.len() as u32;
        let magic = 0x3_e889_0455_65a9u64.to_be_bytes();
        self.say(&[&magic, &option.to_be_bytes(), &kind.to_be_bytes(), &len.to_be_bytes(), data])
    }

    /// The whole handshake of an export of `size` bytes, with structured replies and `base:allocation`.
    pub fn shake(&mut self, size: u64, flags: u16) {
        self.greet();
        while let Some((option, _)) = self.option() {
            match option {
                8 => self.reply(8, 1, b""),
                10 => self.reply(10, 4, b"\0\0\0\x09base:allocation") && self.reply(10, 1, b""),
                7 => {
                    self.reply(7, 3, &facts(size, flags));
                    self.reply(7, 1, b"");
                    return;
                }
                other => self.reply(other, 0x8000_0001, b""),
            };
        }
    }

    /// The next request: command, cookie, offset and length.
    pub fn request(&mut self) -> Option<(u16, [u8; 8], u64, u32)> {
        let head = self.hear(28)?;
        assert_eq!(&head[..4], b"\x25\x60\x95\x13");
        Some((
            u16::from_be_bytes([head[6], head[7]]),
            head[8..16].try_into().unwrap(),
            u64::from_be_bytes(head[16..24].try_into().unwrap()),
            u32::from_be_bytes(head[24..].try_into().unwrap()),
        ))
    }

    pub fn chunk(&mut self, flags: u16, kind: u16, cookie: [u8; 8], data: &[&[u8]]) -> bool {
        let data = data.concat();
        let magic = 0x668e_33efu32.to_be_bytes();
        let len = (data.len() as u32).to_be_bytes();
        self.say(&[&magic, &flags.to_be_bytes(), &kind.to_be_bytes(), &cookie, &len, &data])
    }
}

/// An NBD_INFO_EXPORT; flags of transmission, the lowest is set always.
pub fn facts(size: u64, flags: u16) -> Vec<u8> {
    [&[0, 0][..], &size.to_be_bytes(), &(flags | 1).to_be_bytes()].concat()
}

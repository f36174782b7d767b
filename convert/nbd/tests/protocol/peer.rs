//! A client that says what a test tells it to, and exports to talk about. The numbers are written out: a mistake in the server's own
//! constants has to show.

use convert_nbd::{Export, Exports, converse};
use format_core::{Error, ErrorKind, Extent, ExtentKind, Result};
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub const OPTION: u64 = 0x4948_4156_454f_5054;

/// A disk in memory: blocks of 512 bytes that are zeros are holes. What reads or writes the byte `bad` fails.
pub struct Memory {
    pub bytes: Mutex<Vec<u8>>,
    pub writable: bool,
    pub bad: Option<u64>,
    pub flushed: Mutex<u32>,
}

impl Memory {
    pub fn new(bytes: Vec<u8>, writable: bool) -> Self {
        Self { bytes: Mutex::new(bytes), writable, bad: None, flushed: Mutex::new(0) }
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        let hit = self.bad.is_some_and(|bad| (offset..offset + len).contains(&bad));
        if hit { Err(Error::new(ErrorKind::Io, "a bad sector").context("/secret/path")) } else { Ok(()) }
    }
}

impl Export for Memory {
    fn size(&self) -> u64 {
        self.bytes.lock().unwrap().len() as u64
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        let bytes = self.bytes.lock().unwrap();
        let end = (offset / 512 + 1) * 512;
        let block = &bytes[(offset / 512 * 512) as usize..(end as usize).min(bytes.len())];
        let kind = if block.iter().all(|b| *b == 0) { ExtentKind::Zero } else { ExtentKind::Data };
        Ok(Extent { offset, len: end.min(bytes.len() as u64) - offset, kind })
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.check(offset, buf.len() as u64)?;
        buf.copy_from_slice(&self.bytes.lock().unwrap()[offset as usize..][..buf.len()]);
        Ok(())
    }
    fn is_writable(&self) -> bool {
        self.writable
    }
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check(offset, bytes.len() as u64)?;
        self.bytes.lock().unwrap()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn zero_at(&self, offset: u64, len: u64, fast: bool) -> Result<()> {
        if fast {
            return Err(Error::unsupported("not fast"));
        }
        self.bytes.lock().unwrap()[offset as usize..][..len as usize].fill(0);
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        *self.flushed.lock().unwrap() += 1;
        Ok(())
    }
}

/// The client's end, and the server's thread with what the connection ended in.
pub struct Peer {
    pub stream: UnixStream,
    server: JoinHandle<Result<()>>,
    pub told: Arc<Mutex<Vec<String>>>,
}

/// A reply: its error, the chunks of data and zeros by offset, and the descriptors.
#[derive(Debug, Default, PartialEq)]
pub struct Reply {
    pub errno: u32,
    pub message: String,
    pub failed_at: Option<u64>,
    pub data: Vec<(u64, Vec<u8>)>,
    pub holes: Vec<(u64, u32)>,
    pub status: Vec<(u32, u32)>,
}

impl Peer {
    /// Connects to a server of one export without a name.
    pub fn of(export: Arc<dyn Export>) -> Self {
        let mut exports = Exports::default();
        exports.add("", "", export).unwrap();
        Self::connect(exports)
    }

    pub fn connect(exports: Exports) -> Self {
        let (stream, other) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let server = std::thread::spawn(move || {
            let tell = move |error: &Error| log.lock().unwrap().push(error.to_string());
            let reader = BufReader::new(other.try_clone().unwrap());
            converse(reader, other, &exports, &tell, || Ok(()), || false)
        });
        Self { stream, server, told }
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn hear(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub fn number(&mut self, len: usize) -> u64 {
        self.hear(len).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The greeting, answered with these flags.
    pub fn greet(mut self, flags: u32) -> Self {
        assert_eq!(self.hear(16), b"NBDMAGICIHAVEOPT");
        assert_eq!(self.number(2), 3);
        self.say(&flags.to_be_bytes());
        self
    }

    pub fn option(&mut self, kind: u32, data: &[u8]) {
        let parts =
            [&OPTION.to_be_bytes()[..], &kind.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data];
        self.say(&parts.concat());
    }

    /// The replies to an option up to the last: types and data.
    pub fn answers(&mut self, kind: u32) -> Vec<(u32, Vec<u8>)> {
        let mut answers = Vec::new();
        loop {
            assert_eq!(self.number(8), 0x3_e889_0455_65a9);
            assert_eq!(self.number(4), u64::from(kind));
            let (what, len) = (self.number(4) as u32, self.number(4) as usize);
            answers.push((what, self.hear(len)));
            if what == 1 || what >> 31 == 1 {
                return answers;
            }
        }
    }

    pub fn ask(&mut self, kind: u32, data: &[u8]) -> Vec<(u32, Vec<u8>)> {
        self.option(kind, data);
        self.answers(kind)
    }

    /// Into transmission, with structured replies and `base:allocation`.
    pub fn structured(mut self) -> Self {
        assert_eq!(self.ask(8, b""), [(1, vec![])]);
        let answers = self.ask(10, &contexts("", &["base:allocation"]));
        assert_eq!(answers, [(4, b"\0\0\0\x01base:allocation".to_vec()), (1, vec![])]);
        self.go()
    }

    /// Into transmission with the default export.
    pub fn go(mut self) -> Self {
        assert_eq!(self.ask(7, &about("", &[])).last().unwrap().0, 1);
        self
    }

    pub fn request(&mut self, command: u16, flags: u16, offset: u64, len: u32) {
        let cookie = 0xc00c_1e00_0000_0000 | u64::from(command);
        let parts = [
            &0x2560_9513u32.to_be_bytes()[..],
            &flags.to_be_bytes(),
            &command.to_be_bytes(),
            &cookie.to_be_bytes(),
            &offset.to_be_bytes(),
            &len.to_be_bytes(),
        ];
        self.say(&parts.concat());
    }

    /// The simple reply to a request; the data follow.
    pub fn simple(&mut self, command: u16) -> u32 {
        assert_eq!(self.number(4), 0x6744_6698);
        let errno = self.number(4) as u32;
        assert_eq!(self.number(8), 0xc00c_1e00_0000_0000 | u64::from(command));
        errno
    }

    /// All chunks of a structured reply.
    pub fn reply(&mut self, command: u16) -> Reply {
        let mut reply = Reply::default();
        loop {
            assert_eq!(self.number(4), 0x668e_33ef);
            let (flags, kind) = (self.number(2), self.number(2));
            assert_eq!(self.number(8), 0xc00c_1e00_0000_0000 | u64::from(command));
            let len = self.number(4) as usize;
            match kind {
                0 => assert_eq!((len, flags), (0, 1)),
                1 => {
                    let offset = self.number(8);
                    let data = self.hear(len - 8);
                    assert!(!data.is_empty());
                    reply.data.push((offset, data));
                }
                2 => {
                    assert_eq!(len, 12);
                    let hole = (self.number(8), self.number(4) as u32);
                    reply.holes.push(hole);
                }
                5 => {
                    assert_eq!(self.number(4), 1);
                    reply.status =
                        (0..(len - 4) / 8).map(|_| (self.number(4) as u32, self.number(4) as u32)).collect();
                }
                0x8001 | 0x8002 => {
                    reply.errno = self.number(4) as u32;
                    let text = self.number(2) as usize;
                    reply.message = String::from_utf8(self.hear(text)).unwrap();
                    reply.failed_at = (kind == 0x8002).then(|| self.number(8));
                    assert_eq!(len, text + if kind == 0x8002 { 14 } else { 6 });
                }
                _ => panic!("chunk {kind}"),
            }
            if flags & 1 == 1 {
                return reply;
            }
        }
    }

    pub fn do_it(&mut self, command: u16, flags: u16, offset: u64, len: u32) -> Reply {
        self.request(command, flags, offset, len);
        self.reply(command)
    }

    pub fn write(&mut self, flags: u16, offset: u64, data: &[u8]) -> Reply {
        self.request(1, flags, offset, data.len() as u32);
        self.say(data);
        self.reply(1)
    }

    /// Reads a range, whatever chunks it comes in.
    pub fn read(&mut self, offset: u64, len: u32) -> Vec<u8> {
        let reply = self.do_it(0, 0, offset, len);
        assert_eq!(reply.errno, 0, "{}", reply.message);
        let (mut bytes, mut seen) = (vec![0xaa; len as usize], 0);
        for (at, data) in &reply.data {
            bytes[(at - offset) as usize..][..data.len()].copy_from_slice(data);
            seen += data.len();
        }
        for (at, len) in &reply.holes {
            bytes[(at - offset) as usize..][..*len as usize].fill(0);
            seen += *len as usize;
        }
        assert_eq!(seen, len as usize, "every byte once");
        bytes
    }

    /// Closes the client's end of the way to the server, and gives what the connection ended in there.
    pub fn end(self) -> Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
        self.hung_up()
    }

    /// Waits until the server ends the connection.
    pub fn hung_up(mut self) -> Result<()> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        self.server.join().expect("no panic")
    }

    /// The server has to end the connection for a violation.
    #[track_caller]
    pub fn must_be_sent_away(self) {
        assert_eq!(self.hung_up().unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

/// The data of INFO and GO.
pub fn about(name: &str, wanted: &[u16]) -> Vec<u8> {
    let mut data = [&(name.len() as u32).to_be_bytes()[..], name.as_bytes()].concat();
    data.extend((wanted.len() as u16).to_be_bytes());
    wanted.iter().for_each(|what| data.extend(what.to_be_bytes()));
    data
}

/// The data of the options about metadata contexts.
pub fn contexts(name: &str, queries: &[&str]) -> Vec<u8> {
    let mut data = [&(name.len() as u32).to_be_bytes()[..], name.as_bytes()].concat();
    data.extend((queries.len() as u32).to_be_bytes());
    for query in queries {
        data.extend((query.len() as u32).to_be_bytes());
        data.extend(query.as_bytes());
    }
    data
}

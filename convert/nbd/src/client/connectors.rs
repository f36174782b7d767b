//! Connections over TCP, a unix socket, and the standard input and output of a program.

use super::transport::{Connector, Polled, Transport, wait};
use format_core::{Error, ErrorKind, Result, codes};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How often a full queue of a unix socket is tried.
const TICK: Duration = Duration::from_millis(20);
/// How long a program gets to end by itself after its input was closed.
const GRACE: Duration = Duration::from_secs(2);

/// A server that listens on a port.
pub(crate) struct TcpConnector {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Connector for TcpConnector {
    fn connect(&self, limit: Duration) -> Result<Box<dyn Transport>> {
        let end = Instant::now() + limit;
        let mut failure = None;
        for address in self.addresses(limit)? {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let made = TcpStream::connect_timeout(&address, left).and_then(|stream| {
                stream.set_nodelay(true)?;
                Polled::new(stream.try_clone()?, stream, None)
            });
            match made {
                Ok(transport) => return Ok(Box::new(transport)),
                Err(error) => failure = Some(error),
            }
        }
        let failure = failure.unwrap_or_else(|| io::ErrorKind::TimedOut.into());
        Err(unreachable_server(&self.name(), &failure))
    }

    fn name(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl TcpConnector {
    /// The system's resolver has no time limit of ours, so it gets a thread that nobody waits for.
    fn addresses(&self, limit: Duration) -> Result<Vec<SocketAddr>> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![(address, self.port).into()]);
        }
        let (sender, receiver) = mpsc::channel();
        let (host, port) = (self.host.clone(), self.port);
        let started = std::thread::Builder::new().name("nbd-name".into()).spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(|all| all.take(16).collect::<Vec<_>>());
            // Nobody may wait any more.
            let _ = sender.send(found);
        });
        let found = match started {
            Ok(_) => receiver.recv_timeout(limit).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            Err(error) => Err(error),
        };
        found.map_err(|e| {
            let text = format!("the name {} has no address: {e}", format_core::printable(&self.host));
            Error::new(ErrorKind::Temporary, text).in_format("nbd").with_code(&codes::NET_NAME)
        })
    }
}

fn unreachable_server(name: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ErrorKind::SourceMissing,
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Temporary,
    };
    let text = format!("cannot connect to {}: {error}", format_core::printable(name));
    let code = (kind == ErrorKind::Temporary).then_some(&codes::NET_CONNECT);
    Error::new(kind, text).in_format("nbd").with_code(code)
}

/// A server that listens on a socket file.
pub(crate) struct UnixConnector {
    pub(crate) path: PathBuf,
}

impl Connector for UnixConnector {
    fn connect(&self, limit: Duration) -> Result<Box<dyn Transport>> {
        let made = self.open(limit).and_then(|stream| Polled::new(stream.try_clone()?, stream, None));
        match made {
            Ok(transport) => Ok(Box::new(transport)),
            Err(error) => Err(unreachable_server(&self.name(), &error)),
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl UnixConnector {
    fn open(&self, limit: Duration) -> io::Result<UnixStream> {
        let address = SocketAddrUnix::new(&self.path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let end = Instant::now() + limit;
        loop {
            match connect(&socket, &address) {
                Ok(()) => return Ok(UnixStream::from(socket)),
                // The server's queue is full, and no event tells when there is room.
                Err(Errno::AGAIN) if Instant::now() < end => std::thread::sleep(TICK),
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(Errno::INPROGRESS) => {
                    wait(socket.as_fd(), PollFlags::OUT, Some(end))?;
                    return Ok(UnixStream::from(socket));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A program that speaks NBD on its standard input and output, such as `ssh HOST rehome serve --stdio`; each connection is a process
/// of its own, and ends with it. Its standard error is ours.
pub struct CommandConnector {
    words: Vec<OsString>,
}

impl CommandConnector {
    /// The program and its arguments; no shell is between.
    #[must_use]
    pub fn new(words: Vec<OsString>) -> Self {
        Self { words }
    }
}

/// A child that does not outlive its connection.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(TICK);
        }
        // It may have ended meanwhile.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Connector for CommandConnector {
    fn connect(&self, _limit: Duration) -> Result<Box<dyn Transport>> {
        let failed = |e: &io::Error| {
            let text = format!("cannot start {}: {e}", self.name());
            Error::new(ErrorKind::SourceMissing, text).in_format("nbd")
        };
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(Error::usage("there is no program to start"));
        };
        let started =
            Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|e| failed(&e))?;
        let (output, input) = (child.stdout.take(), child.stdin.take());
        let running = Running(child);
        let (Some(output), Some(input)) = (output, input) else {
            return Err(Error::contract("a program was started without pipes"));
        };
        let transport = Polled::new(output, input, Some(Box::new(running))).map_err(|e| failed(&e))?;
        Ok(Box::new(transport))
    }

    fn name(&self) -> String {
        // Arguments may hold what nobody else is to see.
        self.words.first().map_or_else(String::new, |word| format_core::printable(&word.to_string_lossy()))
    }
}

//! Where clients come in: a unix socket of its owner, or a loopback address.

use crate::stream::Stream;
use format_core::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::fs::{File, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kernel's bound on the path of a socket (unix(7)), without the NUL.
const MAX_PATH: usize = 107;

/// An address to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket file.
    Unix(PathBuf),
    /// A loopback address; port 0 is any that is free.
    Tcp(SocketAddr),
}

impl std::str::FromStr for Address {
    type Err = Error;

    /// Reads `unix:PATH` or `tcp:IP:PORT`.
    fn from_str(text: &str) -> Result<Self> {
        let form = "unix:PATH or tcp:127.0.0.1:PORT";
        match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) => match address.parse::<SocketAddr>() {
                Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
                Ok(address) => {
                    let text = format!("{} can be reached from elsewhere, and there is no TLS", address.ip());
                    Err(Error::usage(text).hint("listen at a unix socket, and forward it: ssh -L"))
                }
                Err(_) => Err(Error::usage(format!("'{address}' is no address with a port")).hint(form)),
            },
            _ => Err(Error::usage(format!("'{text}' is no address to listen at")).hint(form)),
        }
    }
}

/// A socket that clients connect to. A socket file is gone when this is dropped.
pub struct Listener(Kind);

enum Kind {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener, SocketAddr),
}

/// The name of a socket, and which file that was when it was made: another one is not ours to remove.
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id_of(&self.path).is_ok_and(|id| id == self.id) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    path.symlink_metadata().map(|meta| (meta.dev(), meta.ino()))
}

impl Listener {
    /// Listens at `address`. A socket file is made with mode 0600. One that is there is replaced only when it is a socket and nobody
    /// answers on it.
    ///
    /// # Errors
    /// `Usage` for a path that is too long; `Destination` when the place is taken or missing; what the system reports.
    pub fn bind(address: &Address) -> Result<Self> {
        let kind = match address {
            Address::Unix(path) => bind_unix(path).map(|(listener, file)| Kind::Unix(listener, file)),
            Address::Tcp(address) => {
                bind_tcp(*address).map(|(listener, address)| Kind::Tcp(listener, address))
            }
        };
        kind.map(Self)
    }

    /// How a client calls the export `name` here: an NBD URI.
    #[must_use]
    pub fn uri(&self, name: &str) -> String {
        let name = escaped(name.as_bytes());
        match &self.0 {
            Kind::Unix(_, file) => {
                format!("nbd+unix:///{name}?socket={}", escaped(file.path.as_os_str().as_bytes()))
            }
            Kind::Tcp(_, address) => format!("nbd://{address}/{name}"),
        }
    }

    /// The next client, if one comes within `limit`.
    pub(crate) fn accept(&self, limit: Duration) -> io::Result<Option<Stream>> {
        let listener = match &self.0 {
            Kind::Unix(listener, _) => listener.as_fd(),
            Kind::Tcp(listener, _) => listener.as_fd(),
        };
        let limit = Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::from_borrowed_fd(listener, PollFlags::IN)], Some(&limit)) {
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = match &self.0 {
            Kind::Unix(listener, _) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Kind::Tcp(listener, _) => listener.accept().and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
        };
        match stream {
            // The client went away before it was let in.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|e| {
        let taken = matches!(e.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable);
        let error = Error::io(format!("cannot listen at {address}"), e);
        if taken {
            error.with_kind(ErrorKind::Destination).hint("port 0 takes any that is free")
        } else {
            error
        }
    })
}

fn bind_unix(path: &Path) -> Result<(UnixListener, SocketFile)> {
    let path = std::path::absolute(path).map_err(failed(path))?;
    let len = path.as_os_str().len();
    if len > MAX_PATH {
        return Err(Error::usage(format!("the socket's path has {len} bytes, possible are {MAX_PATH}")));
    }
    remove_stale(&path)?;
    // Made where nobody else can open it, and shown when its mode is right. By way of the folder's descriptor, so that the path there
    // is short, too.
    let folder = path.parent().unwrap_or(Path::new("/"));
    let private =
        tempfile::Builder::new().prefix(".rehome-nbd-").tempdir_in(folder).map_err(failed(&path))?;
    let made = File::open(private.path()).and_then(|folder| {
        let inside = PathBuf::from(format!("/proc/self/fd/{}/socket", folder.as_raw_fd()));
        let listener = UnixListener::bind(&inside)?;
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        Ok((listener, id_of(&inside)?))
    });
    let (listener, id) = made.map_err(failed(&path))?;
    // Not a rename: that would replace what came there meanwhile.
    std::fs::hard_link(private.path().join("socket"), &path).map_err(failed(&path))?;
    Ok((listener, SocketFile { path, id }))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    move |e| {
        let place = matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists);
        let error = Error::io(format!("cannot make the socket {}", path.display()), e);
        if place { error.with_kind(ErrorKind::Destination) } else { error }
    }
}

/// Removes the socket of a server that is gone.
fn remove_stale(path: &Path) -> Result<()> {
    let taken = |why: &str| Err(Error::new(ErrorKind::Destination, format!("{} {why}", path.display())));
    let meta = match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed(path))?,
    };
    if !meta.file_type().is_socket() {
        return taken("exists, and is no socket");
    }
    match answers(path) {
        Err(Errno::CONNREFUSED) => {}
        // A server that lets nobody in at the moment is one, too.
        Ok(()) | Err(Errno::AGAIN) => return taken("is the socket of a server that runs"),
        Err(e) => return Err(failed(path)(e.into())),
    }
    let is_same = id_of(path).is_ok_and(|id| id == (meta.dev(), meta.ino()));
    if is_same { std::fs::remove_file(path).map_err(failed(path)) } else { taken("has just been made") }
}

/// Whether somebody listens at `path`, without waiting for it.
fn answers(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

/// Text as it stands in a URI (RFC 3986: unreserved characters and `/` as they are).
pub(crate) fn escaped(text: &[u8]) -> String {
    let mut uri = String::new();
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_taken() {
        for (text, address) in [
            ("unix:/run/x", Address::Unix("/run/x".into())),
            ("unix:a:b", Address::Unix("a:b".into())),
            ("tcp:127.0.0.1:10809", Address::Tcp(([127, 0, 0, 1], 10809).into())),
            ("tcp:[::1]:0", Address::Tcp((std::net::Ipv6Addr::LOCALHOST, 0).into())),
        ] {
            assert_eq!(text.parse::<Address>().unwrap(), address, "{text}");
        }
        for text in [
            "tcp:0.0.0.0:1",
            "tcp:192.0.2.1:1",
            "tcp:[::]:1",
            "tcp:127.0.0.1",
            "tcp:localhost:1",
            "unix:",
            "x",
            "",
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
    }

    #[test]
    fn a_socket_is_its_owners_and_goes_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk a.sock");
        let address = Address::Unix(path.clone());
        let listener = Listener::bind(&address).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(
            listener.uri("a b").ends_with("/disk%20a.sock")
                && listener.uri("a b").starts_with("nbd+unix:///a%20b?socket=/")
        );
        assert_eq!(Listener::bind(&address).err().unwrap().kind(), ErrorKind::Destination, "one answers");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
        drop(listener);
        assert!(!path.exists());
        // Left by a server that was killed.
        drop(UnixListener::bind(&path).unwrap());
        drop(Listener::bind(&address).unwrap());
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(Listener::bind(&address).err().unwrap().kind(), ErrorKind::Destination);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        let missing = Address::Unix(folder.path().join("no/x"));
        assert_eq!(Listener::bind(&missing).err().unwrap().kind(), ErrorKind::Destination);
        let long = Address::Unix(folder.path().join("x".repeat(100)));
        assert_eq!(Listener::bind(&long).err().unwrap().kind(), ErrorKind::Usage);
    }

    #[test]
    fn a_socket_that_was_replaced_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = Listener::bind(&Address::Unix(path.clone())).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another's").unwrap();
        drop(listener);
        assert!(path.exists());
    }
}

//! From a name to a connection.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Addresses of a name that are tried.
const MOST: usize = 8;

/// All addresses of a name. The system's resolver has no time limit, so it runs beside, and is left where it does not come back.
pub(crate) fn resolve(host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let name = host.to_owned();
    std::thread::Builder::new().spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(|all| {
            let mut list: Vec<SocketAddr> = Vec::new();
            for address in all {
                if !list.contains(&address) && list.len() < MOST {
                    list.push(address);
                }
            }
            list
        });
        let _ = sender.send(found);
    })?;
    match receiver.recv_timeout(limit) {
        Ok(Ok(list)) if list.is_empty() => Err(io::Error::other("the name has no address")),
        Ok(found) => found,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the resolver does not answer")),
    }
}

/// A connection to `address`.
pub(crate) fn connect(address: &SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(address, limit)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

//! The server: a thread for each connection, with bounds on their number and on their time.

use crate::Exports;
use crate::handshake::handshake;
use crate::listener::Listener;
use crate::stream::{Pace, Paced, Stream};
use crate::transmission::Transmission;
use format_core::{Error, ErrorKind, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Scope, ScopedJoinHandle, sleep};
use std::time::{Duration, Instant};

/// How often a waiting server looks whether it should end.
const TICK: Duration = Duration::from_millis(100);
/// How long connections get to take the reply they wait for, when the server ends.
const GRACE: Duration = Duration::from_secs(2);
/// After so many failures in a row nobody will be let in any more.
const MAX_FAILURES: u32 = 100;

/// What clients may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; each holds up to 2 MiB.
    pub connections: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// The longest silence in a handshake.
    pub silence: Duration,
    /// How long a client may leave half a request unsent, or a reply unread. Between requests there is no limit.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            handshake: Duration::from_secs(30),
            silence: Duration::from_secs(10),
            stall: Duration::from_secs(300),
        }
    }
}

/// Serves exports to any number of clients.
pub struct Server {
    exports: Exports,
    limits: Limits,
    tell: Box<dyn Fn(&Error) + Send + Sync>,
}

/// A connection and its thread.
struct Open<'scope> {
    stream: Arc<Stream>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl Server {
    /// A server of `exports`. `tell` hears, from any thread, of what exports could not do, and of clients that were sent away; a hostile
    /// client can make that often.
    pub fn new(exports: Exports, limits: Limits, tell: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Self { exports, limits, tell: Box::new(tell) }
    }

    /// Serves until `stop` is set; with `once`, at most until the last client has gone, after one had an export.
    ///
    /// # Errors
    /// The listener is broken. What happens to a connection is no error here.
    pub fn run(&self, listener: &Listener, stop: &AtomicBool, once: bool) -> Result<()> {
        let served = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let mut open: Vec<Open<'_>> = Vec::new();
            let mut failures = 0;
            let result = loop {
                let is_over = once && open.is_empty() && served.load(Ordering::Acquire);
                if is_over || stop.load(Ordering::Relaxed) {
                    break Ok(());
                }
                let stream = listener.accept(TICK);
                // Who went while we waited has made room.
                open.retain(|connection| !connection.thread.is_finished());
                let error = match stream {
                    Ok(None) => continue,
                    Ok(Some(_)) if open.len() >= self.limits.connections => {
                        let text = format!("more than {} connections at a time", self.limits.connections);
                        (self.tell)(&Error::new(ErrorKind::Limit, text));
                        continue;
                    }
                    Ok(Some(stream)) => match self.start(scope, stream, stop, &served) {
                        Ok(connection) => {
                            open.push(connection);
                            failures = 0;
                            continue;
                        }
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
                // Mostly a lack of descriptors or threads, which ends when a client goes.
                let error = Error::io("cannot let a client in", error);
                failures += 1;
                if failures > MAX_FAILURES {
                    break Err(error);
                }
                (self.tell)(&error);
                sleep(TICK);
            };
            close(&open);
            result
        })
    }

    fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        stream: Stream,
        stop: &'env AtomicBool,
        served: &'scope AtomicBool,
    ) -> std::io::Result<Open<'scope>> {
        let stream = Arc::new(stream);
        let own = Arc::clone(&stream);
        let thread = std::thread::Builder::new().name("nbd".into()).spawn_scoped(scope, move || {
            if let Err(error) = self.connection(&own, stop, served) {
                // At the end of the server connections break, and nobody has to know.
                if !stop.load(Ordering::Relaxed) {
                    (self.tell)(&error);
                }
            }
            own.shutdown(Shutdown::Both);
        })?;
        Ok(Open { stream, thread })
    }

    fn connection(&self, stream: &Stream, stop: &AtomicBool, served: &AtomicBool) -> Result<()> {
        let pace = Pace::of_handshake(self.limits.handshake, self.limits.silence);
        let reader = BufReader::new(Paced { stream, pace: &pace });
        let writer = Paced { stream, pace: &pace };
        let ready = || {
            served.store(true, Ordering::Release);
            pace.relax(stream, self.limits.stall)
        };
        converse(reader, writer, &self.exports, &self.tell, ready, || stop.load(Ordering::Relaxed))
    }
}

/// One connection over any pair of streams: the handshake, then `ready`, then requests until the client leaves or `stops`.
///
/// # Errors
/// `Corrupt` when the client broke the protocol or took too long, `Io` when the connection broke; what `ready` reports.
pub fn converse(
    mut reader: impl BufRead,
    mut writer: impl Write,
    exports: &Exports,
    tell: &(dyn Fn(&Error) + Sync),
    ready: impl FnOnce() -> Result<()>,
    stops: impl Fn() -> bool,
) -> Result<()> {
    let Some(session) = handshake(&mut reader, &mut writer, exports)? else { return Ok(()) };
    ready()?;
    Transmission::new(reader, writer, session, tell).run(stops)
}

/// Ends connections: first those that wait for a request, then those whose client does not take its reply.
fn close(open: &[Open<'_>]) {
    open.iter().for_each(|connection| connection.stream.shutdown(Shutdown::Read));
    let end = Instant::now() + GRACE;
    while Instant::now() < end && open.iter().any(|connection| !connection.thread.is_finished()) {
        sleep(Duration::from_millis(5));
    }
    open.iter().for_each(|connection| connection.stream.shutdown(Shutdown::Both));
}

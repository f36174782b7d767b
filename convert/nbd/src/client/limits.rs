//! What a server may cost.

use std::time::Duration;

/// Bounds on time and connections. What is not said here is bounded by constants: a request has at most 512 KiB of data, and lists of a
/// server are cut or refused where they outgrow memory.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Connections at a time, where the server allows more than one. They are opened when workers want them.
    pub connections: usize,
    /// How long it may take until a connection stands.
    pub connect: Duration,
    /// How long the whole handshake may take.
    pub handshake: Duration,
    /// The longest silence while an answer is expected.
    pub silence: Duration,
    /// The slowest rate in bytes a second that is put up with: a request may take `silence` and its bytes at this rate.
    pub rate: u64,
    /// How long the server may take to make durable what was written: all that it has in its memory.
    pub flush: Duration,
    /// How often a read is tried again over a new connection.
    pub retries: u32,
    /// The pause before the first of these; each later one is four times as long.
    pub backoff: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections: 4,
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            rate: 16 << 10,
            flush: Duration::from_secs(900),
            retries: 3,
            backoff: Duration::from_millis(500),
        }
    }
}

impl ClientLimits {
    /// How long a request that moves `bytes` may take.
    pub(crate) fn of_request(&self, bytes: u64) -> Duration {
        self.silence.saturating_add(Duration::from_secs(bytes / self.rate.max(1)))
    }
}

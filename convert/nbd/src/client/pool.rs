//! The connections to an export: lent to one caller each, opened when more callers come, and again when one was lost.

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::facts::Facts;
use super::fault::Fault;
use crate::wire::able;
use format_core::{Error, ErrorKind, Result, codes};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the handshake of a further connection may take. Some servers let one client in and keep others waiting, whatever they
/// promise; then one connection has to do.
const FURTHER: Duration = Duration::from_secs(5);

/// Connections that are alike.
pub(crate) struct Pool {
    pub(crate) endpoint: Endpoint,
    contexts: Vec<String>,
    pub(crate) facts: Facts,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    idle: Vec<Connection>,
    /// Those that are lent, too.
    open: usize,
    most: usize,
    is_opening: bool,
}

/// A connection that is lent; unless it is given back, it is closed.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // Closing may take a moment, and nobody has to wait for that.
        drop(self.connection.take());
        self.pool.lock().open -= 1;
        self.pool.freed.notify_all();
    }
}

impl Lease<'_> {
    fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            let mut state = self.pool.lock();
            state.idle.push(connection);
            // Balances what dropping does.
            state.open += 1;
        }
    }
}

impl Pool {
    /// Makes the first connection.
    pub(crate) fn connect(endpoint: Endpoint, contexts: Vec<String>) -> Result<Self> {
        let first = endpoint.open(&contexts, endpoint.limits.handshake);
        let first = first.map_err(|fault| endpoint.named(fault.into_error()))?;
        let facts = first.facts.clone();
        let most = if facts.can(able::CAN_MULTI_CONN) { endpoint.limits.connections.max(1) } else { 1 };
        let state = State { idle: vec![first], open: 1, most, is_opening: false };
        Ok(Self { endpoint, contexts, facts, state: Mutex::new(state), freed: Condvar::new() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `job`, and tries it again over new connections where one is lost.
    pub(crate) fn run<T>(&self, mut job: impl FnMut(&mut Connection) -> Result<T, Fault>) -> Result<T> {
        let limits = &self.endpoint.limits;
        let mut pause = limits.backoff;
        for _ in 0..limits.retries {
            match self.once(&mut job) {
                Err(Fault::Lost(_)) => {
                    std::thread::sleep(pause);
                    pause = pause.saturating_mul(4);
                    // What was open then is likely to be lost, too.
                    self.close_idle();
                }
                other => return other.map_err(|fault| self.endpoint.named(fault.into_error())),
            }
        }
        self.once(&mut job).map_err(|fault| match fault {
            Fault::Lost(error) => {
                let tries = limits.retries.saturating_add(1);
                let error = error.with_kind(ErrorKind::Temporary).context(format!("after {tries} tries"));
                self.endpoint
                    .named(error.hint("see whether the server runs, then run the same command again"))
            }
            fault => self.endpoint.named(fault.into_error()),
        })
    }

    /// Does `job` once.
    pub(crate) fn once<T>(
        &self,
        job: &mut impl FnMut(&mut Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut lease = self.lease()?;
        let Some(connection) = &mut lease.connection else { return Err(Fault::lost("no connection")) };
        let done = job(connection);
        if matches!(done, Ok(_) | Err(Fault::Answer(_))) {
            lease.give_back();
        }
        done
    }

    fn close_idle(&self) {
        let idle = {
            let mut state = self.lock();
            state.open -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        drop(idle);
        self.freed.notify_all();
    }

    fn lease(&self) -> Result<Lease<'_>, Fault> {
        let mut state = self.lock();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(Lease { pool: self, connection: Some(connection) });
            }
            if state.open < state.most && !state.is_opening {
                state.is_opening = true;
                let is_only = state.open == 0;
                drop(state);
                let opened = self.open(is_only);
                state = self.lock();
                state.is_opening = false;
                self.freed.notify_all();
                match opened {
                    Ok(connection) => {
                        state.open += 1;
                        return Ok(Lease { pool: self, connection: Some(connection) });
                    }
                    Err(Fault::Lost(_)) if state.open > 0 => state.most = state.open,
                    Err(fault) => return Err(fault),
                }
                continue;
            }
            // Whoever has a connection gives it up in bounded time.
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A new connection to the same export as before.
    fn open(&self, is_only: bool) -> Result<Connection, Fault> {
        let limit = self.endpoint.limits.handshake;
        let limit = if is_only { limit } else { limit.min(FURTHER) };
        let connection = self.endpoint.open(&self.contexts, limit)?;
        if connection.facts.is_same(&self.facts) {
            return Ok(connection);
        }
        let (was, is) = (&self.facts, &connection.facts);
        let text = format!(
            "the export changed: it had {:#x} bytes and the flags {:#x}, now {:#x} and {:#x}",
            was.size, was.flags, is.size, is.flags
        );
        let error = Error::new(ErrorKind::Temporary, text).in_format("nbd").with_code(&codes::SOURCE_CHANGED);
        Err(Fault::Final(error))
    }
}

//! A server's export, and how connections to it are made.

use super::address::NbdAddress;
use super::connection::Connection;
use super::fault::Fault;
use super::haggle::Haggle;
use super::limits::ClientLimits;
use super::line::{Clock, Paced};
use super::tls::TlsSetup;
use super::transport::Connector;
use format_core::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

/// Where an export is.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) export: String,
    pub(crate) tls: Option<TlsSetup>,
    pub(crate) limits: ClientLimits,
}

impl Endpoint {
    pub(crate) fn of(address: &NbdAddress, limits: &ClientLimits) -> Result<Self> {
        let (connector, tls) = (address.connector(), address.tls()?);
        Ok(Self { connector, export: address.export().to_owned(), tls, limits: *limits })
    }

    /// A new connection on which nothing was agreed yet; the handshake has to be over within `limit`.
    pub(crate) fn haggle(&self, limit: Duration) -> Result<(Haggle, Arc<Clock>), Fault> {
        let transport = self.connector.connect(limit.min(self.limits.connect)).map_err(|error| {
            if error.kind() == ErrorKind::Temporary { Fault::Lost(error) } else { Fault::Final(error) }
        })?;
        let clock = Clock::new(limit, limit);
        let line = Paced { transport, clock: Arc::clone(&clock) };
        Ok((Haggle::start(line, self.tls.as_ref())?, clock))
    }

    /// A new connection in transmission, with those of the contexts that the server has.
    pub(crate) fn open(&self, contexts: &[String], limit: Duration) -> Result<Connection, Fault> {
        let (haggle, clock) = self.haggle(limit)?;
        let (line, facts) = haggle.go(&self.export, contexts)?;
        Ok(Connection::new(line, clock, facts, self.limits))
    }

    /// Says of an error which server it is about.
    pub(crate) fn named(&self, error: Error) -> Error {
        error.context(format_core::printable(&self.connector.name()))
    }
}

//! The connections.

use crate::url::Url;
use crate::{CloudOptions, TimeLimits};
use format_core::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Proxy};

/// The longest headers that an answer may have together, in bytes.
const MAX_HEADERS: usize = 32 << 10;
/// More than any file of authorities has, in bytes.
const MAX_AUTHORITIES: u64 = 8 << 20;
/// Connections that wait for the next request.
const IDLE_CONNECTIONS: usize = 32;

/// Sends requests over connections that are kept, from any number of threads.
pub(crate) struct Client {
    pub(super) agent: Agent,
    pub(super) limits: TimeLimits,
    insecure: bool,
}

impl Client {
    /// One that goes by the proxy of the environment where that names one.
    pub(crate) fn new(options: &CloudOptions) -> Result<Self> {
        let proxy = if options.environment.is_of_process() { Proxy::try_from_env() } else { None };
        Self::with(options, proxy)
    }

    /// One for the addresses at which a cloud speaks to its own machines: never through a proxy.
    pub(crate) fn nearby(options: &CloudOptions) -> Result<Self> {
        let mut options = options.clone();
        // It is asked whether this is a machine of that cloud; elsewhere nothing answers.
        options.limits.connect = options.limits.connect.min(std::time::Duration::from_secs(2));
        options.limits.headers = options.limits.headers.min(std::time::Duration::from_secs(5));
        options.limits.attempts = options.limits.attempts.min(2);
        options.insecure = true;
        Self::with(&options, None)
    }

    fn with(options: &CloudOptions, proxy: Option<Proxy>) -> Result<Self> {
        let limits = options.limits;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::Specific(Arc::new(authorities(options.ca_file.as_deref())?)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .proxy(proxy)
            .user_agent(concat!("rehome/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEADERS)
            .input_buffer_size(256 << 10)
            .output_buffer_size(128 << 10)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .timeout_resolve(Some(limits.connect))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.idle))
            .timeout_recv_response(Some(limits.headers))
            .timeout_per_read(Some(limits.idle.max(limits.headers)))
            .timeout_per_write(Some(limits.idle))
            .build();
        Ok(Self { agent: config.new_agent(), limits, insecure: options.insecure })
    }

    /// Whether something may be sent there at all.
    pub(super) fn allow(&self, url: &Url) -> Result<()> {
        if url.is_secure() || url.is_loopback() || self.insecure {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Denied,
            format!("{url} is plain http: anybody on the way could read the disk and change what arrives"),
        )
        .hint("give its https address"))
    }
}

/// Those of the system, and those of the file.
fn authorities(more: Option<&Path>) -> Result<Vec<Certificate<'static>>> {
    let system = rustls_native_certs::load_native_certs().certs;
    let mut all: Vec<_> =
        system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
    let Some(path) = more else { return Ok(all) };
    let shown = path.display();
    let failed = |e| Error::io(format!("cannot read the authorities in {shown}"), e);
    let facts = std::fs::metadata(path).map_err(failed)?;
    if !facts.is_file() || facts.len() > MAX_AUTHORITIES {
        return Err(Error::usage(format!(
            "{shown} is no file of certificates of at most {MAX_AUTHORITIES} bytes"
        )));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    let before = all.len();
    for item in parse_pem(&bytes) {
        match item {
            Ok(PemItem::Certificate(certificate)) => all.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(Error::usage(format!("{shown} holds a certificate that is not whole"))),
        }
    }
    if all.len() == before {
        return Err(Error::usage(format!("{shown} holds no certificate (PEM)")));
    }
    Ok(all)
}

//! TLS for a client: certificates are always verified.

use super::fault::Fault;
use super::line::{Line, Paced};
use format_core::{Error, ErrorKind, Result, codes};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::path::Path;
use std::sync::Arc;

/// Files in a folder of certificates, as other NBD programs name them.
const AUTHORITIES: &str = "ca-cert.pem";
const CERTIFICATE: &str = "client-cert.pem";
const KEY: &str = "client-key.pem";

/// Whom a client trusts, who it is, and whom it wants to meet.
#[derive(Clone)]
pub(crate) struct TlsSetup {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl TlsSetup {
    /// Trusts the authorities in `folder`, else those of the system; shows the certificate in `folder` where there is one.
    ///
    /// # Errors
    /// `Usage` for a name that no certificate can have; `SourceMissing`, `Denied`, `Unsupported` for files.
    pub(crate) fn new(server: &str, folder: Option<&Path>) -> Result<Self> {
        let server = ServerName::try_from(server.to_owned())
            .map_err(|_| Error::usage("the server's name is none that a certificate can have"))?;
        let mut roots = RootCertStore::empty();
        let authorities = match folder {
            Some(folder) => certificates(&folder.join(AUTHORITIES))?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        roots.add_parsable_certificates(authorities);
        if roots.is_empty() {
            let text = "there is no authority to verify the server's certificate with";
            return Err(Error::new(ErrorKind::NeedsPerson, text)
                .in_format("nbd")
                .with_code(&codes::NET_CERTIFICATE));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::contract(format!("TLS cannot be set up: {e}")))?
            .with_root_certificates(roots);
        let config = match folder.filter(|folder| folder.join(CERTIFICATE).exists()) {
            None => builder.with_no_client_auth(),
            Some(folder) => {
                let chain = certificates(&folder.join(CERTIFICATE))?;
                let path = folder.join(KEY);
                let key = PrivateKeyDer::from_pem_file(&path).map_err(|e| unreadable(&path, &e))?;
                builder.with_client_auth_cert(chain, key).map_err(|e| {
                    let text = format!("{} and its key do not fit: {e}", path.display());
                    Error::unsupported(text).in_format("nbd")
                })?
            }
        };
        Ok(Self { config: Arc::new(config), server })
    }

    /// Shakes hands.
    pub(crate) fn wrap(&self, mut line: Paced) -> Result<Line, Fault> {
        let mut client =
            ClientConnection::new(Arc::clone(&self.config), self.server.clone()).map_err(|e| failed(&e))?;
        while client.is_handshaking() {
            client.complete_io(&mut line).map_err(|e| Fault::io(&e))?;
        }
        Ok(Line::Tls(Box::new(StreamOwned::new(client, line))))
    }
}

/// What went wrong in TLS. Whom we do not trust we do not try again.
pub(crate) fn failed(error: &rustls::Error) -> Fault {
    use rustls::Error as Tls;
    let (kind, code) = match error {
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented => {
            (ErrorKind::Denied, &codes::NET_CERTIFICATE)
        }
        // The server does not like ours, as a rule.
        Tls::AlertReceived(_) => (ErrorKind::Denied, &codes::NET_TLS),
        _ => (ErrorKind::Temporary, &codes::NET_TLS),
    };
    let text = format!("TLS with the server failed: {}", format_core::printable(&error.to_string()));
    Fault::Final(Error::new(kind, text).in_format("nbd").with_code(code))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).map_err(|e| unreadable(path, &e))?;
    let all: Vec<_> = all.take(1024).collect::<Result<_, _>>().map_err(|e| unreadable(path, &e))?;
    if all.is_empty() {
        return Err(
            Error::unsupported(format!("there is no certificate in {}", path.display())).in_format("nbd")
        );
    }
    Ok(all)
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> Error {
    let kind = match error {
        rustls::pki_types::pem::Error::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            ErrorKind::SourceMissing
        }
        rustls::pki_types::pem::Error::Io(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            ErrorKind::Denied
        }
        _ => ErrorKind::Unsupported,
    };
    Error::new(kind, format!("cannot read {}: {error}", path.display())).in_format("nbd")
}

//! A handshake of TLS, and what the server shows in it.
//!
//! A certificate that is not trusted ends the look only after the handshake, so that version, cipher and certificate can be told;
//! nothing is sent over such a connection.

use super::timed::Timed;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, StreamOwned,
};
use serde::Serialize;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Names of a certificate that are told.
const NAMES: usize = 10;

/// The certificates that this host trusts.
#[derive(Clone)]
pub(crate) struct Trust {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    /// How many there are, and what could not be read.
    pub(crate) told: String,
}

impl Trust {
    /// Those of the system: `SSL_CERT_FILE`, `SSL_CERT_DIR`, else where distributions keep them.
    pub(crate) fn of_system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (taken, refused) = roots.add_parsable_certificates(found.certs);
        let mut told = format!("{taken} authorities are trusted");
        if refused > 0 {
            told.push_str(&format!(", {refused} could not be understood"));
        }
        if let Some(error) = found.errors.first() {
            told.push_str(&format!(", not all could be read: {}", crate::text::line(&error.to_string())));
        }
        Self { roots: Arc::new(roots), provider: Arc::new(rustls::crypto::ring::default_provider()), told }
    }
}

/// What a certificate says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct Certificate {
    /// Whom it names.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Host names and addresses that it is for, ten at most.
    pub names: Vec<String>,
    /// From when it counts, RFC 3339.
    pub not_before: String,
    /// Until when it counts, RFC 3339.
    pub not_after: String,
}

/// What a handshake showed.
pub(crate) struct Shaken {
    pub(crate) stream: StreamOwned<ClientConnection, Timed>,
    pub(crate) version: String,
    pub(crate) cipher: String,
    pub(crate) certificate: Option<Certificate>,
    /// Why the certificate is not trusted.
    pub(crate) distrust: Option<String>,
}

/// Shakes hands as a client that wants `host`.
pub(crate) fn shake(mut socket: Timed, host: &str, trust: &Trust) -> io::Result<Shaken> {
    let wrong = |e: &dyn std::fmt::Display| io::Error::other(e.to_string());
    let name = ServerName::try_from(host.to_owned()).map_err(|e| wrong(&e))?;
    let judge =
        WebPkiServerVerifier::builder_with_provider(Arc::clone(&trust.roots), Arc::clone(&trust.provider))
            .build();
    let witness = Arc::new(Witness {
        judge: judge.ok(),
        provider: Arc::clone(&trust.provider),
        seen: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(Arc::clone(&trust.provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(|e| wrong(&e))?;
    while client.is_handshaking() {
        client.complete_io(&mut socket)?;
    }
    let version = client.protocol_version().and_then(|version| version.as_str().map(plain_version));
    let cipher = client.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str().map(str::to_owned));
    let seen = witness.seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (certificate, mut distrust) = match seen {
        Some((bytes, distrust)) => (told(&bytes), distrust),
        None => (None, Some("the server showed no certificate".into())),
    };
    let signs_itself = certificate.as_ref().is_some_and(|seen| seen.subject == seen.issuer);
    if signs_itself && distrust.as_deref() == Some(UNKNOWN) {
        distrust = Some(format!("{UNKNOWN}: it is signed by itself"));
    }
    Ok(Shaken {
        stream: StreamOwned::new(client, socket),
        version: version.unwrap_or_else(|| "TLS of an unknown version".into()),
        cipher: cipher.unwrap_or_else(|| "unknown cipher".into()),
        certificate,
        distrust,
    })
}

/// `TLSv1_3` as people write it.
fn plain_version(name: &str) -> String {
    name.replace("TLSv", "TLS ").replace('_', ".")
}

/// Remembers what the judge says, and lets the handshake go on.
#[derive(Debug)]
struct Witness {
    /// None where the host trusts nobody.
    judge: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<(Vec<u8>, Option<String>)>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let distrust = match &self.judge {
            None => Some("this host trusts no authority at all".to_owned()),
            Some(judge) => judge
                .verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
                .err()
                .map(|e| reason(&e)),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((end_entity.to_vec(), distrust));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

const UNKNOWN: &str = "no authority that this host trusts has signed it";

/// Why a certificate is refused, as a person would say it.
fn reason(error: &Error) -> String {
    use rustls::CertificateError as C;
    let Error::InvalidCertificate(fault) = error else { return crate::text::line(&error.to_string()) };
    match fault {
        C::Expired | C::ExpiredContext { .. } => "it has expired".into(),
        C::NotValidYet | C::NotValidYetContext { .. } => "it is not valid yet: compare the clocks".into(),
        C::NotValidForName | C::NotValidForNameContext { .. } => "it is for another name".into(),
        C::UnknownIssuer => UNKNOWN.into(),
        // What signs itself says as a rule that it is an authority.
        C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => UNKNOWN.into(),
        C::BadSignature => "a signature in its chain is wrong".into(),
        C::Revoked => "it was revoked".into(),
        other => crate::text::line(&other.to_string()),
    }
}

fn told(bytes: &[u8]) -> Option<Certificate> {
    let certificate = x509_cert::Certificate::from_der(bytes).ok()?;
    let fields = certificate.tbs_certificate();
    let line = |text: String| crate::text::line(&text);
    let time =
        |time: &x509_cert::time::Time| humantime::format_rfc3339_seconds(time.to_system_time()).to_string();
    let mut names = Vec::new();
    if let Ok(Some((_, SubjectAltName(found)))) = fields.get_extension::<SubjectAltName>() {
        for name in found.into_iter().take(NAMES) {
            match name {
                GeneralName::DnsName(name) => names.push(line(name.to_string())),
                GeneralName::IpAddress(bytes) => names.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
    }
    Some(Certificate {
        subject: line(fields.subject().to_string()),
        issuer: line(fields.issuer().to_string()),
        names,
        not_before: time(&fields.validity().not_before),
        not_after: time(&fields.validity().not_after),
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|all| std::net::Ipv6Addr::from(all).to_string())
}

//! Certificates, and redirects from one host to another, between servers of the tests that speak TLS.

use super::stub::{Reply, Stub, noise, part, reply};
use super::{options, secret};
use convert_cloud::{CloudOptions, HttpStorage};
use format_core::{ErrorKind, Storage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A certificate that signs itself, for these names.
fn certify(folder: &Path, names: &str) -> Arc<ServerConfig> {
    let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (key, certificate, names) = (at("key.pem"), at("ca.pem"), format!("subjectAltName={names}"));
    let arguments = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
        "-addext",
        &names,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    let made = Command::new("openssl").args(arguments).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let chain = CertificateDer::pem_file_iter(&certificate).unwrap().map(Result::unwrap).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(
        config
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(&key).unwrap())
            .unwrap(),
    )
}

/// Speaks TLS before a server that does not; gives the port.
fn wrap(stub: &Stub, config: &Arc<ServerConfig>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (behind, config) = (stub.authority().to_owned(), Arc::clone(config));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (behind, config) = (behind.clone(), Arc::clone(&config));
            std::thread::spawn(move || carry(&mut stream.unwrap(), &behind, config));
        }
    });
    port
}

/// One request and its answer; the connection is closed then.
fn carry(stream: &mut TcpStream, behind: &str, config: Arc<ServerConfig>) -> Option<()> {
    let mut tls = ServerConnection::new(config).unwrap();
    let mut session = rustls::Stream::new(&mut tls, stream);
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        session.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let mut back = TcpStream::connect(behind).unwrap();
    back.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    back.write_all(&request).unwrap();
    let mut answer = Vec::new();
    // It keeps the connection open: silence is the end.
    let _ = back.read_to_end(&mut answer);
    session.write_all(&answer).ok()?;
    session.conn.send_close_notify();
    session.flush().ok()
}

fn trusting(folder: &Path) -> CloudOptions {
    CloudOptions { ca_file: Some(folder.join("ca.pem")), ..options() }
}

#[test]
fn only_a_certificate_that_is_trusted_and_for_the_host_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let config = certify(folder.path(), "DNS:localhost");
    let stub = Stub::new(|ask| part(ask, &noise(4096), "\"1\""));
    let port = wrap(&stub, &config);
    let storage =
        HttpStorage::open(&format!("https://localhost:{port}/x"), &trusting(folder.path())).unwrap();
    let mut read = vec![0; 4096];
    storage.read_exact_at(0, &mut read).unwrap();
    assert!(read == noise(4096));
    let before = stub.asked().len();
    for (host, with) in [("localhost", options()), ("127.0.0.1", trusting(folder.path()))] {
        let error = HttpStorage::open(&format!("https://{host}:{port}/x"), &with).err().unwrap();
        assert_eq!(
            (error.kind(), error.code().id),
            (ErrorKind::Denied, "RH-NET-CERTIFICATE"),
            "{host}: {error}"
        );
    }
    assert_eq!(stub.asked().len(), before);
    std::fs::write(folder.path().join("ca.pem"), "nothing").unwrap();
    let error =
        HttpStorage::open(&format!("https://localhost:{port}/x"), &trusting(folder.path())).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn a_redirect_to_another_host_takes_no_credentials_along() {
    let folder = tempfile::tempdir().unwrap();
    let config = certify(folder.path(), "DNS:localhost,IP:127.0.0.1");
    let store = Arc::new(Stub::new(|ask| match ask.header("authorization") {
        None => part(ask, &noise(100_000), "\"1\""),
        Some(_) => reply(400, &[], ""),
    }));
    let elsewhere = format!("https://127.0.0.1:{}/stored?X-Amz-Signature=geheim", wrap(&store, &config));
    let front = Stub::new(move |ask| {
        assert!(ask.header("authorization").is_some());
        reply(302, &[("location", &elsewhere)], "")
    });
    let address = format!("https://localhost:{}/x", wrap(&front, &config));
    let mut with = trusting(folder.path());
    with.credentials = Some(secret(folder.path(), "user:word"));
    let storage = HttpStorage::open(&address, &with).unwrap();
    let mut read = vec![0; 100_000];
    storage.read_exact_at(0, &mut read).unwrap();
    assert!(read == noise(100_000) && store.asked().len() == 2 && front.asked().len() == 2);

    // Nothing that was asked over TLS is asked again without.
    let plain = store.url("/x");
    let front = Stub::new(move |_| reply(302, &[("location", &plain)], ""));
    let address = format!("https://localhost:{}/x", wrap(&front, &config));
    assert_eq!(HttpStorage::open(&address, &with).err().unwrap().kind(), ErrorKind::Unsupported);
    // What refuses behind a redirect is told without the signature of its address.
    let refusing =
        Stub::new(|_| Reply::Plain(403, Vec::new(), b"<Error><Code>AccessDenied</Code></Error>".to_vec()));
    let elsewhere = format!("https://127.0.0.1:{}/stored?X-Amz-Signature=geheim", wrap(&refusing, &config));
    let front = Stub::new(move |_| reply(302, &[("location", &elsewhere)], ""));
    let error =
        HttpStorage::open(&format!("https://localhost:{}/x", wrap(&front, &config)), &with).err().unwrap();
    assert!(error.kind() == ErrorKind::Denied && !format!("{error:?}").contains("geheim"), "{error}");
}

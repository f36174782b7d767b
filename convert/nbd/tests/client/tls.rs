//! TLS: qemu-nbd and nbdkit as peers with certificates that openssl makes; and what a server may not do before it.

use crate::kit::{limits, noise, serve, short};
use convert_nbd::{NbdAddress, NbdDisk};
use format_core::{ErrorKind, Storage};
use std::path::Path;
use std::process::Command;

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An authority, a server called `localhost`, and a client, in the files that NBD programs look for.
fn make_certificates(folder: &Path) {
    let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(folder, &format!("{key} -x509 -days 2 -subj /CN=authority -keyout ca-key.pem -out ca-cert.pem"));
    std::fs::write(folder.join("server.ext"), "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n")
        .unwrap();
    std::fs::write(folder.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for who in ["server", "client"] {
        openssl(folder, &format!("{key} -subj /CN={who} -keyout {who}-key.pem -out {who}.csr"));
        openssl(
            folder,
            &format!(
                "x509 -req -days 2 -in {who}.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -extfile {who}.ext -out {who}-cert.pem"
            ),
        );
    }
}

fn address(socket: &Path, host: &str, certificates: &Path) -> NbdAddress {
    let (socket, certificates) = (socket.display(), certificates.display());
    NbdAddress::parse(&format!(
        "nbds+unix:///?socket={socket}&tls-hostname={host}&tls-certificates={certificates}"
    ))
    .unwrap()
}

#[test]
fn certificates_are_verified_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let pki = folder.path().join("pki");
    std::fs::create_dir(&pki).unwrap();
    make_certificates(&pki);
    let bytes = noise(3 << 20, 7);
    std::fs::write(folder.path().join("disk.raw"), &bytes).unwrap();
    let disk = folder.path().join("disk.raw").display().to_string();
    let names: Vec<String> =
        ["q", "k"].iter().map(|name| folder.path().join(name).display().to_string()).collect();
    let object = format!("tls-creds-x509,id=t,endpoint=server,verify-peer=on,dir={}", pki.display());
    let qemu =
        ["-t", "-r", "-f", "raw", "-e", "4", "-k", &names[0], "--object", &object, "--tls-creds", "t", &disk];
    let certificates = format!("--tls-certificates={}", pki.display());
    let kit =
        ["-f", "-r", "-U", &names[1], "--tls=require", "--tls-verify-peer", &certificates, "file", &disk];
    for (program, socket, arguments) in [("qemu-nbd", &names[0], &qemu[..]), ("nbdkit", &names[1], &kit[..])]
    {
        let socket = Path::new(socket);
        let _server = serve(program, socket, arguments);
        let disk = NbdDisk::connect(&address(socket, "localhost", &pki), &limits()).unwrap();
        let mut read = vec![0; bytes.len()];
        disk.read_exact_at(0, &mut read).unwrap();
        assert!(read == bytes, "{program}");
        NbdDisk::list(&address(socket, "localhost", &pki), &limits()).unwrap();

        let error = NbdDisk::connect(&address(socket, "example.com", &pki), &limits()).err().unwrap();
        assert_eq!((error.kind(), error.code().id), (ErrorKind::Denied, "RH-NET-CERTIFICATE"), "{error}");
        let plain = NbdAddress::parse(&format!("nbd+unix:///?socket={}", socket.display())).unwrap();
        let error = NbdDisk::connect(&plain, &limits()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.hint_text().unwrap().contains("nbds://"));

        // Another authority, and a client without a certificate.
        let other = folder.path().join(format!("other-{program}"));
        std::fs::create_dir(&other).unwrap();
        make_certificates(&other);
        let error = NbdDisk::connect(&address(socket, "localhost", &other), &limits()).err().unwrap();
        assert_eq!((error.kind(), error.code().id), (ErrorKind::Denied, "RH-NET-CERTIFICATE"), "{error}");
        for file in ["client-cert.pem", "client-key.pem"] {
            std::fs::remove_file(other.join(file)).unwrap();
        }
        std::fs::copy(pki.join("ca-cert.pem"), other.join("ca-cert.pem")).unwrap();
        assert!(NbdDisk::connect(&address(socket, "localhost", &other), &short()).is_err());
    }
}

#[test]
fn a_server_without_tls_gets_nothing_from_a_client_that_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let socket = folder.path().join("s");
    let path = socket.display().to_string();
    let _server = serve("nbdkit", &socket, &["-f", "-U", &path, "--tls=off", "memory", "1M"]);
    let error = NbdDisk::connect(&address(&socket, "localhost", folder.path()), &limits()).err().unwrap();
    assert_eq!((error.kind(), error.code().id), (ErrorKind::Denied, "RH-NET-TLS"), "{error}");
    let missing = NbdDisk::connect(&address(&socket, "localhost", &folder.path().join("none")), &limits());
    assert_eq!(missing.err().unwrap().kind(), ErrorKind::SourceMissing);
}

/// What is said in the clear behind the reply to STARTTLS must not count as said inside of TLS.
#[test]
fn nothing_can_be_smuggled_in_before_tls() {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let socket = folder.path().join("s");
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        let mut said = crate::kit::Said::new(listener.accept().unwrap().0);
        said.greet();
        assert_eq!(said.option().unwrap().0, 5);
        said.reply(5, 1, b"");
        // As if structured replies, contexts and the export had been asked for.
        said.reply(8, 1, b"");
        said.reply(10, 1, b"");
        said.reply(7, 3, &crate::kit::facts(1 << 20, 0));
        said.reply(7, 1, b"");
        said.hear(1);
    });
    let error = NbdDisk::connect(&address(&socket, "localhost", folder.path()), &short()).err().unwrap();
    assert_eq!(error.code().id, "RH-NET-TLS", "{error}");
    server.join().unwrap();
}

//! Certificates that OpenSSL made, and servers of OpenSSL that show them.

use crate::servers::{PLENTY, Server, free_port, reached, start, step};
use convert_doctor::net::{Verdict, Wish};
use std::path::Path;
use std::process::Command;

fn openssl(folder: &Path, args: &str) {
    let output =
        Command::new("openssl").args(args.split(' ')).current_dir(folder).output().expect("install openssl");
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority and certificates of it: `good`, `other` (another name), `old` (expired); and `own`, which nobody signed.
fn make(folder: &Path) {
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj /CN=Test-Authority",
    );
    for (name, host, dates) in [
        ("good", "IP:127.0.0.1,DNS:localhost", "-days 9"),
        ("other", "DNS:elsewhere.example", "-days 9"),
        ("old", "IP:127.0.0.1", "-not_before 20200101000000Z -not_after 20200201000000Z"),
    ] {
        openssl(
            folder,
            &format!(
                "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /O=Test/CN={name}"
            ),
        );
        std::fs::write(folder.join("ext"), format!("subjectAltName={host}\nextendedKeyUsage=serverAuth\n"))
            .unwrap();
        if name == "old" {
            sign_with_dates(folder, dates);
        } else {
            openssl(
                folder,
                &format!(
                    "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -out {name}.pem -extfile ext {dates}"
                ),
            );
        }
    }
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout own.key -out own.pem -days 9 -subj /CN=own -addext subjectAltName=IP:127.0.0.1",
    );
}

/// `openssl x509` of Debian 12 cannot set the dates; `openssl ca` can.
fn sign_with_dates(folder: &Path, _: &str) {
    std::fs::create_dir(folder.join("db")).unwrap();
    std::fs::write(folder.join("db/index.txt"), "").unwrap();
    let text = "[ca]\ndefault_ca=a\n[a]\ndatabase=db/index.txt\nnew_certs_dir=db\ncertificate=ca.pem\nprivate_key=ca.key\nrand_serial=yes\n\
                default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\norganizationName=optional\n";
    std::fs::write(folder.join("ca.cnf"), text).unwrap();
    openssl(
        folder,
        "ca -batch -config ca.cnf -in old.csr -out old.pem -notext -extfile ext -startdate 20200101000000Z -enddate 20200201000000Z",
    );
}

/// A web server of Python over TLS up to a version. That of `openssl s_server` answers to GET alone.
const WEB: &str = "\
import http.server, ssl, sys
server = http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2] + '.pem', sys.argv[2] + '.key')
context.maximum_version = getattr(ssl.TLSVersion, sys.argv[3])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";

fn web(folder: &Path, name: &str, version: &str) -> (Server, u16) {
    let port = free_port();
    (start("python3", "python3", &["-c", WEB, &port.to_string(), name, version], folder, port), port)
}

fn openssl_server(folder: &Path, name: &str, more: &[&str]) -> (Server, u16) {
    let port = free_port();
    let (key, pem, text) = (format!("{name}.key"), format!("{name}.pem"), port.to_string());
    let mut args = vec!["s_server", "-accept", &text, "-key", &key, "-cert", &pem, "-www", "-quiet"];
    args.extend(more);
    (start("openssl", "openssl", &args, folder, port), port)
}

/// The authorities are read from the environment: what is in it counts for the whole process, so this is one test, in a process of its own where
/// nextest runs it.
#[test]
fn each_certificate_gets_its_own_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make(folder);
    let run = |url: &str| -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "certificates::look_at_the_url_of_the_environment", "--nocapture"])
            .env("SSL_CERT_FILE", folder.join("ca.pem"))
            .env_remove("SSL_CERT_DIR")
            .env("LOOK_AT", url)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    for (name, version, is, reachable) in [
        ("good", "TLSv1_3", "TLS 1.3", true),
        ("good", "TLSv1_2", "TLS 1.2", true),
        ("other", "", "it is for another name", false),
        ("old", "", "it has expired", false),
        ("own", "", "it is signed by itself", false),
        ("good", "TLSv1_1", "RH-NET-TLS", false),
    ] {
        let (_server, port) = match version {
            "" => openssl_server(folder, name, &[]),
            "TLSv1_1" => openssl_server(folder, name, &old),
            _ => web(folder, name, version),
        };
        let said = run(&format!("https://127.0.0.1:{port}/"));
        assert!(said.contains(is) && said.contains("RESULT "), "{name} {version}: {said}");
        assert_eq!(said.contains("RESULT true"), reachable, "{name} {version}: {said}");
        if name == "old" {
            assert!(said.contains("2020-02-01T00:00:00Z") && said.contains("CN=Test-Authority"), "{said}");
        }
        if name == "other" {
            assert!(said.contains("elsewhere.example"), "{said}");
        }
    }
}

/// The other half of the test above, in a process with an environment of its own.
#[test]
#[ignore = "is run by the test above"]
fn look_at_the_url_of_the_environment() {
    let found = reached(&std::env::var("LOOK_AT").unwrap(), Wish::Direct, PLENTY);
    println!("{found:#?}\nRESULT {}", found.reachable);
    if found.reachable {
        assert_eq!(step(&found, "certificate").verdict, Verdict::Ok);
    }
}

//! Servers for a test: they end with it.

use convert_doctor::net::{self, Reached, Request, Wish};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a step may take in tests that do not wait for it.
pub const PLENTY: Duration = Duration::from_secs(20);

/// A foreign program that serves.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody has at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts `program` of `package` and waits until `port` answers.
pub fn start(package: &str, program: &str, args: &[&str], folder: &Path, port: u16) -> Server {
    let child = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{program} cannot be started, install {package}: {e}"));
    let server = Server(child);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "{program} does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// A server of this test's own: each connection goes to `serve`, in a thread.
pub fn own(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

/// The lines of a request's head.
pub fn head(stream: &TcpStream) -> Vec<String> {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect()
}

/// What is found of one URL.
pub fn reached(url: &str, proxy: Wish, limit: Duration) -> Reached {
    let report = net::reach(&Request { urls: vec![url.to_owned()], proxy, limit }).unwrap();
    assert_eq!(report.reachable, report.endpoints[0].reachable);
    let text = report.text();
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    report.endpoints.into_iter().next().unwrap()
}

/// The text of a step; there must be one.
#[track_caller]
pub fn step<'r>(found: &'r Reached, name: &str) -> &'r net::Line {
    found.lines.iter().find(|line| line.step == name).unwrap_or_else(|| panic!("no {name}: {found:#?}"))
}

//! What a micro-VM says, and what it is told: any bytes as frames and messages. No panic, nothing allocated that was not checked, and
//! what was understood is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use microvm_init::{Answer, Content, Frame, Request, read_frame, write_data, write_message};

fn seeds() -> Vec<(String, Vec<u8>)> {
    let requests = [
        Request::Hello,
        Request::Part { disk: 1, start: 1 << 20, size: 1 << 30 },
        Request::List { fs: 0, path: "/etc".into() },
        Request::Write { fs: 1, path: "/a".into(), how: microvm_init::How::Replace, size: 3 },
        Request::Run { tree: 0, program: "/bin/sh".into(), arguments: vec!["-c".into()], limit: 1000 },
    ];
    let mut all: Vec<_> = requests.iter().map(|request| frame(request)).collect();
    let owner = microvm_init::Owner { mode: 0o644, uid: 0, gid: 0 };
    let meta = microvm_init::Meta { kind: microvm_init::Kind::File, size: 3, owner, inode: 7 };
    all.push(frame(&Answer::Listed(vec![microvm_init::Listed { name: "a".into(), meta }])));
    all.push(frame(&Answer::Done(microvm_init::Reply::Meta(Some(meta)))));
    all.push(frame(&Answer::Failed(microvm_init::Failure::usage("no"))));
    let mut content = frame(&Request::Module { name: "m".into(), size: 5 });
    write_data(&mut content, b"abcde").unwrap();
    all.push(content);
    all.into_iter().enumerate().map(|(number, bytes)| (format!("seed{number}"), bytes)).collect()
}

fn frame<T: serde::Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(&mut bytes, message).unwrap();
    bytes
}

/// What is understood means the same when it is written and read again.
fn again<T: serde::Serialize + serde::de::DeserializeOwned + std::fmt::Debug>(read: &Frame) -> bool {
    let Ok(message) = read.message::<T>() else { return false };
    let bytes = frame(&message);
    let other: T = read_frame(&mut bytes.as_slice()).unwrap().message().unwrap();
    assert_eq!(format!("{message:?}"), format!("{other:?}"));
    true
}

fuzz_target!(init: fuzz::write_seeds(seeds), |input: &[u8]| {
    let mut from = input;
    while let Ok(read) = read_frame(&mut from) {
        again::<Answer>(&read);
        again::<Request>(&read);
        if let Ok(Request::Module { size, .. }) = read.message() {
            let _ = Content::new(&mut from, size).drain();
        }
    }
});

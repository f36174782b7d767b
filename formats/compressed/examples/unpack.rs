//! Measures: `unpack stream|at|discover FILE` unpacks and tells bytes, seconds and a hash.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use format_core::*;
use sha2::Digest;
use std::io::Read;
use std::sync::Arc;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(args[2].as_ref()).unwrap());
    let mut head = vec![0; 65536.min(storage.size() as usize)];
    storage.read_exact_at(0, &mut head).unwrap();
    let format =
        format_compressed::FORMATS.iter().find(|f| (f.probe)(&head, &[]) == Score::Magic).expect("no magic");
    let mut context = LayerContext::new(Arc::new(DenyAll));
    context.access.long_window = args.get(3).is_some_and(|a| a == "long");
    let hash = std::env::var("HASH").is_ok();
    let start = std::time::Instant::now();
    let mut sha = sha2::Sha256::new();
    let mut n = 0u64;
    let mut drain = |mut r: Box<dyn Read>| {
        let mut buf = vec![0; 1 << 20];
        loop {
            let len = r.read(&mut buf).unwrap_or_else(|e| panic!("{e}"));
            if len == 0 {
                break;
            }
            if hash {
                sha.update(&buf[..len]);
            }
            n += len as u64;
        }
    };
    if args[1] == "stream" {
        drain(format.unpack.unwrap()(Box::new(StorageReader::new(storage.clone())), &context).unwrap());
    } else {
        let at = format.unpack_at.and_then(|u| u(&storage, &context).unwrap());
        match at {
            None => {
                println!("{}: none, size {:?}", format.name, (format.unpacked_size)(storage.as_ref()));
                return;
            }
            Some(at) => {
                println!("open {:?} size {:?}", start.elapsed(), (format.unpacked_size)(storage.as_ref()));
                if args[1] == "at4" {
                    let size = at.size();
                    let next = std::sync::atomic::AtomicU64::new(0);
                    std::thread::scope(|s| {
                        let next = &next;
                        let at = &at;
                        for _ in 0..2 {
                            s.spawn(move || {
                                let mut b = vec![0; 4 << 20];
                                loop {
                                    let o = next.fetch_add(4 << 20, std::sync::atomic::Ordering::Relaxed);
                                    if o >= size {
                                        break;
                                    }
                                    let l = (size - o).min(4 << 20) as usize;
                                    at.read_exact_at(o, &mut b[..l]).unwrap();
                                }
                            });
                        }
                    });
                    n = size;
                } else {
                    drain(Box::new(StorageReader::new(at)))
                }
            }
        }
    }
    let hex: String =
        if hash { sha.finalize().iter().map(|b| format!("{b:02x}")).collect() } else { String::new() };
    println!(
        "{} {n} {:.3}s {:.0} MB/s {hex}",
        format.name,
        start.elapsed().as_secs_f64(),
        n as f64 / 1e6 / start.elapsed().as_secs_f64()
    );
}

//! What a bundle has of an image: what the program says of it, and its structures.

use crate::collect::{Basket, Kind, plain_name};
use crate::headers;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the program may think about one image: it may be what is wrong with it.
const LIMIT: Duration = Duration::from_secs(60);
/// Bytes of its answer that are taken.
const ANSWER: u64 = 1 << 20;

pub(crate) fn describe(basket: &mut Basket<'_>, index: usize, path: &Path) {
    let folder = format!("images/{index}-{}", plain_name(path));
    for command in ["info", "map"] {
        let name = format!("{folder}/{command}.json");
        match said(&basket.request().program, command, path) {
            Ok(text) => basket.text(&name, &format!("rehome {command}"), Kind::Json, &text),
            Err(why) => basket.leave(&name, why),
        }
    }
    if let Err(why) = structures(basket, &folder, path) {
        basket.leave(&format!("{folder} (structures)"), why);
    }
}

fn structures(basket: &mut Basket<'_>, folder: &str, path: &Path) -> Result<(), String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| e.to_string())?);
    let kind = file.metadata().map_err(|e| e.to_string())?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err("it is neither a file nor a block device".into());
    }
    let size = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(|e| e.to_string())?;
    let found = headers::of(&file, size).map_err(|e| e.to_string())?;
    for one in found.structures {
        let name = format!("{folder}/{}-at-{:#x}.bin", one.name, one.offset);
        if one.name == "descriptor" {
            // Text, in which somebody may have written anything.
            let text = String::from_utf8_lossy(&one.bytes).into_owned();
            basket.text(&format!("{folder}/descriptor.txt"), "the disk's descriptor", Kind::Text, &text);
            continue;
        }
        basket.structure(&name, &format!("{} of the {} image", one.name, found.format), one.bytes);
    }
    for why in found.left_out {
        basket.leave(folder, why);
    }
    Ok(())
}

/// What the program says of an image, as JSON; also an error is worth having.
fn said(program: &Path, command: &str, path: &Path) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(["--output", "json", "--progress", "none", command])
        .arg("--")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let out = child.stdout.take().ok_or("no pipe")?;
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut out = out;
        let read = out.by_ref().take(ANSWER).read_to_end(&mut text);
        // The rest goes nowhere, so that the program can end.
        let more = std::io::copy(&mut out, &mut std::io::sink()).unwrap_or(0);
        read.map(|_| (text, more))
    });
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if began.elapsed() < LIMIT => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("rehome {command} did not end in {} s", LIMIT.as_secs()));
            }
        }
    }
    let (text, more) = reader.join().map_err(|_| "the reader ended")?.map_err(|e| e.to_string())?;
    if more > 0 {
        return Err(format!("rehome {command} says more than {ANSWER} bytes"));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

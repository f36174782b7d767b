//! Gathering what goes into a bundle, the most telling first, until it is full.

use crate::redact::Redactor;
use crate::{LeftOut, Listing, Packed, Request, images};
use format_core::{Error, ErrorKind, Result};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a log's beginning and of its end that are kept.
const LOG_PART: u64 = 256 << 10;
/// Bytes of a JSON file that is taken whole.
const JSON: u64 = 4 << 20;
/// Jobs of a batch that are taken.
const JOBS: usize = 5000;
/// Bytes that a file takes in an archive besides its own: a header, and the rest of its last block.
const HEADER: u64 = 1024;

/// How a file's text is freed of secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Text,
}

/// The files with their bytes, and what the listing says of them.
pub(crate) struct Collected {
    pub(crate) contents: Vec<Vec<u8>>,
    pub(crate) listing: Listing,
}

/// A bundle that is being filled.
pub(crate) struct Basket<'a> {
    redactor: Redactor,
    request: &'a Request,
    used: u64,
    collected: Collected,
}

pub(crate) fn collect(request: &Request) -> Result<Collected> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let listing = Listing { written: Vec::new(), files: Vec::new(), left_out: Vec::new() };
    let mut basket = Basket {
        redactor: Redactor::new(environment)?,
        request,
        used: 0,
        collected: Collected { contents: Vec::new(), listing },
    };
    let about = serde_json::json!({
        "tool": format!("rehome {}", request.version),
        "made": humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        "job": request.job,
        "state": request.state,
    });
    basket.text("about.json", "version and time", Kind::Json, &about.to_string());
    basket.text("host.json", "what rehome doctor says of this host", Kind::Json, &request.host.to_string());
    if let Some(state) = &request.state {
        state_of(&mut basket, state)?;
    }
    for path in &request.files {
        let name = format!("files/{}", plain_name(path));
        let kind = if path.extension().is_some_and(|end| end == "json") { Kind::Json } else { Kind::Text };
        basket.file(&name, "named by the operator", kind, path);
    }
    for (index, path) in request.images.iter().enumerate() {
        images::describe(&mut basket, index, path);
    }
    Ok(basket.collected)
}

/// The folder of a batch's state: the jobs that did not go well come first.
fn state_of(basket: &mut Basket<'_>, state: &Path) -> Result<()> {
    let missing = |what: String| Error::new(ErrorKind::SourceMissing, what);
    if !state.is_dir() {
        return Err(missing(format!("there is no state of a batch in {}", state.display()))
            .hint("name the folder with --state; it lies below the output of the batch"));
    }
    for (name, what, kind) in [
        ("batch.json", "the batch", Kind::Json),
        ("report.json", "the report of the batch", Kind::Json),
        ("report.txt", "the report of the batch", Kind::Text),
        ("metrics.prom", "counters of the batch", Kind::Text),
    ] {
        let path = state.join(name);
        if path.exists() {
            basket.file(&format!("batch/{name}"), what, kind, &path);
        }
    }
    let jobs = jobs(state, basket.request.job.as_deref())?;
    if let (Some(job), true) = (&basket.request.job, jobs.is_empty()) {
        return Err(
            missing(format!("the batch has no job {job:?}")).hint("rehome batch status lists its jobs")
        );
    }
    for (_, id) in &jobs {
        for (end, what, kind) in [
            ("json", "state of the job", Kind::Json),
            ("outcome.json", "outcome of its last attempt, with plan and report", Kind::Json),
            ("log", "log of all its attempts", Kind::Text),
        ] {
            let path = state.join("jobs").join(format!("{id}.{end}"));
            if path.exists() {
                basket.file(&format!("batch/jobs/{id}.{end}"), what, kind, &path);
            }
        }
    }
    let events = state.join("events.ndjson");
    if events.exists() {
        basket.file("batch/events.ndjson", "events of the batch", Kind::Text, &events);
    }
    Ok(())
}

/// The batch's jobs with their rank: failed ones first, done ones last.
fn jobs(state: &Path, only: Option<&str>) -> Result<Vec<(u8, String)>> {
    let folder = state.join("jobs");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(format!("cannot list {}", folder.display()), e)),
    };
    let mut jobs = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(id) = name.strip_suffix(".json").filter(|id| !id.ends_with(".outcome")) else { continue };
        if only.is_some_and(|only| only != id) {
            continue;
        }
        let text = read(&entry.path(), JSON).map(|(text, _)| text).unwrap_or_default();
        let job: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let rank = match job.get("state").and_then(serde_json::Value::as_str) {
            Some("done") => 2,
            Some("waiting") => 1,
            _ => 0,
        };
        jobs.push((rank, id.to_owned()));
    }
    jobs.sort();
    jobs.truncate(JOBS);
    Ok(jobs)
}

impl Basket<'_> {
    /// Takes a file of the host, without secrets; never one that is behind a link.
    pub(crate) fn file(&mut self, name: &str, what: &str, kind: Kind, path: &Path) {
        let limit = if kind == Kind::Json { JSON } else { 2 * LOG_PART };
        match read(path, limit) {
            Err(why) => self.leave(name, why),
            // Cut JSON is JSON no more.
            Ok((bytes, cut)) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.put_text(name, what, if cut { Kind::Text } else { kind }, &text, cut);
            }
        }
    }

    /// Takes text that was made for the bundle.
    pub(crate) fn text(&mut self, name: &str, what: &str, kind: Kind, text: &str) {
        self.put_text(name, what, kind, text, false);
    }

    fn put_text(&mut self, name: &str, what: &str, kind: Kind, text: &str, cut: bool) {
        let (text, redacted) = match kind {
            Kind::Json => self.redactor.json(text),
            Kind::Text => self.redactor.lines(text),
        };
        self.put(
            Packed { name: name.to_owned(), size: 0, what: what.to_owned(), redacted, cut },
            text.into_bytes(),
        );
    }

    /// Takes structures of an image, byte by byte.
    pub(crate) fn structure(&mut self, name: &str, what: &str, bytes: Vec<u8>) {
        self.put(
            Packed { name: name.to_owned(), size: 0, what: what.to_owned(), redacted: 0, cut: false },
            bytes,
        );
    }

    fn put(&mut self, mut packed: Packed, bytes: Vec<u8>) {
        packed.size = bytes.len() as u64;
        let (name, _) = self.redactor.text(&packed.name);
        packed.name = name;
        let needed = packed.size + HEADER;
        if self.used + needed > self.request.max_size {
            let why = format!(
                "{} bytes do not fit into the {} that are allowed",
                packed.size, self.request.max_size
            );
            self.leave(&packed.name, why);
            return;
        }
        self.used += needed;
        self.collected.contents.push(bytes);
        self.collected.listing.files.push(packed);
    }

    /// Says why something is not in the bundle.
    pub(crate) fn leave(&mut self, name: &str, why: impl Into<String>) {
        let (name, _) = self.redactor.text(name);
        let (why, _) = self.redactor.text(&why.into());
        self.collected.listing.left_out.push(LeftOut { name, why });
    }

    pub(crate) fn request(&self) -> &Request {
        self.request
    }
}

/// A regular file whole, or its beginning and its end, and whether something is missing between them.
fn read(path: &Path, limit: u64) -> std::result::Result<(Vec<u8>, bool), String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| e.to_string())?);
    let found = file.metadata().map_err(|e| e.to_string())?;
    if !found.is_file() {
        return Err("it is no regular file".into());
    }
    let piece = |offset: u64, len: u64| -> std::result::Result<Vec<u8>, String> {
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        // It may have been cut meanwhile.
        let mut have = 0;
        while have < bytes.len() {
            match file.read_at(bytes.get_mut(have..).unwrap_or_default(), offset + have as u64) {
                Ok(0) => break,
                Ok(more) => have += more,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.to_string()),
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    };
    if found.len() <= limit {
        return Ok((piece(0, found.len())?, false));
    }
    let half = limit / 2;
    let mut bytes = whole_lines(piece(0, half)?, true);
    bytes.extend(format!("\n[… {} bytes are left out …]\n", found.len() - 2 * half).bytes());
    bytes.extend(whole_lines(piece(found.len() - half, half)?, false));
    Ok((bytes, true))
}

/// Without the line that was cut: half a secret is no secret that a rule knows.
fn whole_lines(mut bytes: Vec<u8>, is_start: bool) -> Vec<u8> {
    let at = if is_start {
        bytes.iter().rposition(|b| *b == b'\n')
    } else {
        bytes.iter().position(|b| *b == b'\n')
    };
    match (at, is_start) {
        (Some(at), true) => bytes.truncate(at + 1),
        (Some(at), false) => drop(bytes.drain(..=at)),
        (None, _) => bytes.clear(),
    }
    bytes
}

/// The last part of a path, fit for a name in an archive.
pub(crate) fn plain_name(path: &Path) -> String {
    let name = path.file_name().map_or_else(|| "unnamed".into(), |name| name.to_string_lossy().into_owned());
    name.chars().take(80).map(|c| if c.is_alphanumeric() || "._-+".contains(c) { c } else { '_' }).collect()
}

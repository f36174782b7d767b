//! One job of `rehome batch check`: its files, its sources, its guest.

use crate::args::{BatchCheckArgs, ChainArgs, CloudArgs, SshArgs};
use crate::commands::{format_named, key_values};
use convert_batch::worse;
use convert_engine::{Control, measure};
use convert_job_file::{Kind, ResolvedJob};
use format_core::{Error, ErrorKind, ExtentKind, OpenOptions, OpenedImage, Result, open_images};
use serde_json::Value;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What is read of a source to see how fast it is.
const SAMPLE: u64 = 64 << 20;
const PIECE: usize = 1 << 20;
/// The report of a guest with many thousands of edits is smaller.
const MOST_OUTPUT: u64 = 64 << 20;
/// What a target needs besides the data: tables, a bit in a thousand, and the machine's description.
const EXTRA: u64 = 2 << 20;

/// What was seen of a job.
#[derive(Default)]
pub(super) struct Look {
    /// 0 when all is well.
    pub(super) code: u8,
    /// What is wrong, or good to know.
    pub(super) notes: Vec<String>,
    /// Bytes of data in all disks.
    pub(super) data: Option<u64>,
    /// Bytes that the target needs.
    pub(super) needs: Option<u64>,
    /// Whether that is exact.
    pub(super) is_exact: bool,
    /// Bytes that were read as a sample, and how long that took.
    pub(super) sample: (u64, Duration),
}

impl Look {
    fn fail(&mut self, error: &Error) {
        self.note(error.kind().exit_code(), error.to_string());
        self.notes.extend(error.hint_text().map(|hint| format!("hint: {hint}")));
    }

    fn note(&mut self, code: u8, text: String) {
        self.code = worse(self.code, code);
        self.notes.push(text);
    }
}

/// Looks at a job. Only an interruption is an error; what is wrong with the job is in the answer.
pub(super) fn look(job: &ResolvedJob, args: &BatchCheckArgs, control: Control<'_>) -> Result<Look> {
    let mut look = Look::default();
    for (what, path) in needed_files(job) {
        if let Err(error) = readable(path) {
            look.fail(&Error::io(format!("cannot read the {what} {}", path.display()), error));
        }
    }
    if look.code != 0 {
        return Ok(look);
    }
    if let Err(error) = look_at_sources(job, args, control, &mut look) {
        control.check()?;
        look.fail(&error);
        return Ok(look);
    }
    if job.kind == Kind::Migrate {
        dry_run(job, control, &mut look)?;
    }
    Ok(look)
}

fn needed_files(job: &ResolvedJob) -> Vec<(&'static str, &Path)> {
    let job = &job.job;
    let keys = job.key_file.0.iter().chain(&job.credentials_file).map(|path| ("key file", path.as_path()));
    let settings = job.ssh_config.iter().chain(&job.ca_file).map(|path| ("settings", path.as_path()));
    let machine = job.machine.0.iter().map(|path| ("machine file", path.as_path()));
    let drivers = job.virtio_win.iter().map(|path| ("driver disc", path.as_path()));
    let map = job.source_mapfile.iter().map(|path| ("mapfile", path.as_path()));
    keys.chain(settings).chain(machine).chain(drivers).chain(map).collect()
}

fn readable(path: &Path) -> std::io::Result<()> {
    if path.is_dir() { std::fs::read_dir(path).map(|_| ()) } else { std::fs::File::open(path).map(|_| ()) }
}

fn look_at_sources(
    job: &ResolvedJob,
    args: &BatchCheckArgs,
    control: Control<'_>,
    look: &mut Look,
) -> Result<()> {
    let options = options(job)?;
    let (mut data, mut needs) = (0_u64, 0_u64);
    for source in job.sources() {
        for opened in open_images(source, &options)? {
            look.notes.extend(opened.warnings.iter().map(|warning| format!("warning: {}", warning.message)));
            let bytes = data_in(&opened, control)?;
            data = data.saturating_add(bytes);
            let exact = exact_need(job, args, &opened, control)?;
            look.is_exact = exact.is_some();
            needs = needs.saturating_add(exact.unwrap_or(bytes + bytes / 1000 + EXTRA));
            if args.rate.is_none() && look.sample.0 < SAMPLE {
                let (bytes, time) = sample(&opened, control)?;
                look.sample = (look.sample.0 + bytes, look.sample.1 + time);
            }
        }
    }
    look.data = Some(data);
    look.needs = Some(needs);
    Ok(())
}

fn options(job: &ResolvedJob) -> Result<OpenOptions> {
    let wish = &job.job;
    let chain = ChainArgs {
        allow_parent: wish.allow_parent.0.clone(),
        parent: wish.parent.0.clone(),
        ignore_parent: false,
        key_file: wish.key_file.0.clone(),
        ignore_checksum: wish.ignore_checksum == Some(true),
        pick: wish.pick.clone(),
        at: wish.at.clone(),
        long_window: wish.long_window == Some(true),
        spool: wish.spool.clone(),
        ssh: SshArgs {
            ssh_config: wish.ssh_config.clone(),
            ssh_option: wish.ssh_option.0.clone(),
            sudo: wish.sudo == Some(true),
            // It is only looked at here.
            compress: false,
            skip_free: wish.skip_free == Some(true),
        },
        cloud: CloudArgs {
            credentials: wish.credentials_file.clone(),
            ca_file: wish.ca_file.clone(),
            insecure_http: wish.insecure_http == Some(true),
        },
    };
    let mut options = chain.options(wish.format.as_deref())?;
    options.access.snapshot.clone_from(&wish.snapshot);
    Ok(options)
}

fn data_in(opened: &OpenedImage, control: Control<'_>) -> Result<u64> {
    let mut bytes = 0_u64;
    for extent in opened.disk.extents(0, opened.disk.virtual_size()) {
        let extent = extent?;
        if extent.kind == ExtentKind::Data {
            bytes = bytes.saturating_add(extent.len);
        }
        control.check()?;
    }
    Ok(bytes)
}

/// What the image of a conversion will be, where that was asked for: then the disk is read whole.
fn exact_need(
    job: &ResolvedJob,
    args: &BatchCheckArgs,
    opened: &OpenedImage,
    control: Control<'_>,
) -> Result<Option<u64>> {
    let Some(name) = job.job.target_format.as_deref().filter(|_| args.measure && job.kind == Kind::Convert)
    else {
        return Ok(None);
    };
    let pairs: Vec<_> = job.job.options.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
    measure(&opened.disk, format_named(name)?, &key_values(&pairs)?, control)
        .map(|found| Some(found.required))
}

fn sample(opened: &OpenedImage, control: Control<'_>) -> Result<(u64, Duration)> {
    let begun = Instant::now();
    let mut piece = vec![0; PIECE];
    let mut bytes = 0;
    for extent in opened.disk.extents(0, opened.disk.virtual_size()) {
        let extent = extent?;
        let mut at = extent.offset;
        while extent.kind == ExtentKind::Data && at < extent.end() && bytes < SAMPLE {
            let len = (extent.end() - at).min(PIECE as u64);
            // At most a MiB.
            opened.disk.read_exact_at(at, &mut piece[..len as usize])?;
            at += len;
            bytes += len;
            control.check()?;
        }
        if bytes >= SAMPLE {
            break;
        }
    }
    Ok((bytes, begun.elapsed()))
}

/// What the migration itself says it would do.
fn dry_run(job: &ResolvedJob, control: Control<'_>, look: &mut Look) -> Result<()> {
    let Some(arguments) = job.dry_run() else { return Ok(()) };
    let failed = |e| Error::io("cannot start a dry run", e);
    let mut output = tempfile::tempfile().map_err(failed)?;
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["--output", "json", "--progress", "none"])
        .args(crate::sandbox::for_children())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if control.interrupted.load(Ordering::Relaxed) {
            // It writes nothing, so nothing is lost.
            let _ = child.kill();
            let _ = child.wait();
            control.check()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut text = Vec::new();
    output.rewind().map_err(failed)?;
    output.take(MOST_OUTPUT).read_to_end(&mut text).map_err(failed)?;
    let answer: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    let code = code.unwrap_or(ErrorKind::Contract.exit_code());
    understand(&answer, code, look);
    Ok(())
}

fn understand(answer: &Value, code: u8, look: &mut Look) {
    let texts = |pointer: &str| -> Vec<String> {
        let list = answer.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if let Some(error) = answer.pointer("/error") {
        let message = error["message"].as_str().unwrap_or("the dry run failed");
        look.note(code, message.to_owned());
        look.notes.extend(error["hint"].as_str().map(|hint| format!("hint: {hint}")));
        return;
    }
    if let Some(target) = answer.pointer("/choice/target/name").and_then(Value::as_str) {
        look.notes.push(format!("becomes {target}"));
    }
    let obstacles = texts("/obstacles");
    if code != 0 && obstacles.is_empty() {
        look.note(code, format!("the dry run ended with {code}"));
    }
    obstacles.into_iter().for_each(|obstacle| look.note(code, obstacle));
    let warnings = answer.pointer("/warnings").and_then(Value::as_array).cloned().unwrap_or_default();
    let warnings = warnings.iter().filter_map(|warning| warning["message"].as_str());
    look.notes.extend(warnings.map(|text| format!("warning: {text}")));
}

/// The nearest folder above that is there.
pub(super) fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

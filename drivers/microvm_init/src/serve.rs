//! The conversation: one request after the other.

use crate::failing::Result;
use crate::mounts::Mounts;
use crate::run::Log;
use crate::tree::Trees;
use crate::{arrays, boot, devices, edits, files, mapper, programs, run, subvolumes};
use microvm_init::{
    Answer, Content, Failure, Reply, Request, VERSION, WireError, read_frame, write_data, write_message,
};
use std::fs::File;
use std::time::Duration;

/// The largest module that is taken.
const MAX_MODULE: u64 = 64 << 20;

/// What there is in the VM.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) mounts: Mounts,
    pub(crate) trees: Trees,
    /// Names of mappings, in the order in which they were made.
    pub(crate) mappings: Vec<String>,
    /// Arrays as the kernel calls them.
    pub(crate) arrays: Vec<String>,
}

/// The channel, for what answers are made of.
pub(crate) struct Channel(File);

impl Channel {
    /// Sends a piece of content.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(write_data(&mut self.0, bytes)?)
    }

    /// Sends a part of the answer.
    pub(crate) fn answer(&mut self, answer: &Answer) -> Outcome<()> {
        Ok(write_message(&mut self.0, answer)?)
    }

    /// The content behind a request.
    pub(crate) fn content(&mut self, size: u64) -> Content<'_, File> {
        Content::new(&mut self.0, size)
    }
}

/// Why a request was not answered with a reply.
pub(crate) enum Ended {
    /// It failed, and the conversation goes on.
    Failed(Failure),
    /// The channel did.
    Channel(WireError),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<WireError> for Ended {
    fn from(error: WireError) -> Self {
        Self::Channel(error)
    }
}

pub(crate) type Outcome<T> = std::result::Result<T, Ended>;

/// Answers requests; returns why that ended.
pub(crate) fn serve(port: File) -> String {
    let mut channel = Channel(port);
    let mut state = State::default();
    loop {
        let request = match read_frame(&mut channel.0).and_then(|frame| frame.message::<Request>()) {
            Ok(Request::PowerOff) => return "the host has done".to_owned(),
            Ok(request) => request,
            Err(error) => return format!("the channel ended: {error}"),
        };
        let answer = match answer(&mut state, &mut channel, request) {
            Ok(reply) => Answer::Done(reply),
            Err(Ended::Failed(failure)) => Answer::Failed(failure),
            Err(Ended::Channel(error)) => return format!("the channel broke: {error}"),
        };
        if let Err(Ended::Channel(error)) = channel.answer(&answer) {
            return format!("the channel broke: {error}");
        }
    }
}

fn answer(state: &mut State, channel: &mut Channel, request: Request) -> Outcome<Reply> {
    Ok(match request {
        Request::Hello => hello()?,
        Request::Module { name, size } => module(channel, &name, size)?,
        Request::ReadDevice { device, offset, length } => {
            devices::read(channel, &device, offset, length)?;
            Reply::Done
        }
        Request::List { fs, path } => files::list(channel, state.mounts.get(fs)?, &path)?,
        Request::ReadFile { fs, path, limit } => {
            files::read(channel, state.mounts.get(fs)?, &path, limit)?;
            Reply::Done
        }
        Request::Write { fs, path, how, size } => write(state, channel, fs, &path, how, size)?,
        Request::Run { tree, program, arguments, limit } => {
            let mut log = Log::default();
            let root = state.trees.root(tree)?;
            let ended = run::run(root, &program, &arguments, Duration::from_millis(limit), &mut log)?;
            for piece in log.end().chunks(1 << 16) {
                channel.data(piece)?;
            }
            ended
        }
        request => plain(state, request)?,
    })
}

/// Requests whose answer is one message.
fn plain(state: &mut State, request: Request) -> Result<Reply> {
    let done = |()| Reply::Done;
    Ok(match request {
        Request::Part { disk, start, size } => devices::part(disk, start, size)?,
        Request::Map { name, uuid, read_only, lines } => {
            let made = mapper::create(&name, &uuid, read_only, &lines)?;
            state.mappings.push(name);
            Reply::Device(made)
        }
        Request::Personality { member } => Reply::Text(arrays::personality(&member)?.to_owned()),
        Request::Assemble { name, members, read_only } => {
            let (kernel_name, made) = arrays::assemble(&name, &members, read_only)?;
            state.arrays.push(kernel_name);
            Reply::Device(made)
        }
        Request::Mount { device, kind, options, read_only } => {
            Reply::Made(state.mounts.mount(&device, &kind, &options, read_only)?)
        }
        Request::Unmount { fs } => state.mounts.unmount(fs).map(done)?,
        Request::Stat { fs, path } => Reply::Meta(files::stat(state.mounts.get(fs)?, &path)?),
        Request::ReadLink { fs, path } => Reply::Text(files::read_link(state.mounts.get(fs)?, &path)?),
        Request::Fits { fs, path, how, size } => {
            edits::fits(state.mounts.get(fs)?, &path, how, size).map(done)?
        }
        Request::MakeFolder { fs, path, owner } => {
            edits::make_folder(state.mounts.get(fs)?, &path, owner).map(done)?
        }
        Request::MakeLink { fs, path, target } => {
            edits::make_link(state.mounts.get(fs)?, &path, &target).map(done)?
        }
        Request::Rename { fs, from, to } => edits::rename(state.mounts.get(fs)?, &from, &to).map(done)?,
        Request::Remove { fs, path } => edits::remove(state.mounts.get(fs)?, &path).map(done)?,
        Request::Sync { fs } => edits::sync(state.mounts.get(fs)?).map(done)?,
        Request::Trim { fs } => Reply::Number(edits::trim(state.mounts.get(fs)?)?),
        Request::Subvolumes { fs } => Reply::Subvolumes(subvolumes::list(state.mounts.get(fs)?)?),
        Request::Tree { mounts } => Reply::Made(state.trees.make(&state.mounts, &mounts)?),
        Request::Extract { tree, programs } => {
            Reply::Program(programs::extract(&mut state.trees, tree, &programs)?)
        }
        Request::Dissolve { tree } => state.trees.dissolve(tree).map(done)?,
        Request::UnmountAll => Reply::Stopped(unmount_all(state)),
        Request::Stop => Reply::Stopped(stop(state)),
        other => return Err(Failure::usage(format!("{other:?} is out of place"))),
    })
}

fn hello() -> Result<Reply> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Ok(Reply::Hello { version: VERSION, release, disks: devices::disks() })
}

fn module(channel: &mut Channel, name: &str, size: u64) -> Outcome<Reply> {
    let mut content = channel.content(size);
    if size > MAX_MODULE {
        content.drain()?;
        return Err(Failure::usage(format!("the module {name} is too large")).into());
    }
    let mut image = Vec::new();
    loop {
        let piece = content.next_piece()?;
        if piece.is_empty() {
            break;
        }
        image.extend_from_slice(&piece);
    }
    boot::load(name, &image)?;
    Ok(Reply::Done)
}

fn write(
    state: &State,
    channel: &mut Channel,
    fs: u32,
    path: &str,
    how: microvm_init::How,
    size: u64,
) -> Outcome<Reply> {
    let mut content = channel.content(size);
    let done = state.mounts.get(fs).map_err(Ended::from);
    let done = done.and_then(|mounted| edits::write(mounted, path, how, size, &mut content));
    if let Err(Ended::Failed(_)) = done {
        content.drain()?;
    }
    done.map(|()| Reply::Done)
}

/// Takes all apart in the reverse order; returns what could not be.
/// Notes what went wrong.
fn noted(errors: &mut Vec<String>, done: Result<()>) {
    errors.extend(done.err().map(|failure| failure_text(&failure)));
}

/// Checkers stay: their trees are in memory.
fn unmount_all(state: &mut State) -> Vec<String> {
    let mut errors = Vec::new();
    run::kill_all();
    state.mounts.unmount_all(&mut |done| noted(&mut errors, done));
    errors
}

fn stop(state: &mut State) -> Vec<String> {
    let mut errors = Vec::new();
    let mut note = |done: Result<()>| noted(&mut errors, done);
    run::kill_all();
    state.trees.dissolve_all(&mut note);
    state.mounts.unmount_all(&mut note);
    for name in state.mappings.drain(..).rev() {
        note(mapper::remove(&name));
    }
    for name in state.arrays.drain(..).rev() {
        note(arrays::stop(&name));
    }
    errors
}

fn failure_text(failure: &Failure) -> String {
    match failure.kind {
        microvm_init::FailureKind::Os(errno) => {
            format!("{}: {}", failure.text, std::io::Error::from_raw_os_error(errno))
        }
        _ => failure.text.clone(),
    }
}

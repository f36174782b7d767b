//! The messages.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the host wants.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Is anybody there? → [`Reply::Hello`]
    Hello,
    /// A kernel module is to be loaded; its `size` bytes follow as content. → [`Reply::Done`], also when it is there already.
    Module {
        /// Its name, for messages.
        name: String,
        /// Size in bytes.
        size: u64,
    },
    /// The device of a range of a disk. → [`Reply::Part`]
    Part {
        /// The disk's place in the list.
        disk: u32,
        /// Where the range begins, in bytes.
        start: u64,
        /// Its length in bytes.
        size: u64,
    },
    /// Makes a device of the device mapper. → [`Reply::Device`]
    Map {
        /// Its name below `/dev/mapper`.
        name: String,
        /// Its uuid, may be empty.
        uuid: String,
        /// Whether it must not be written.
        read_only: bool,
        /// Its table.
        lines: Vec<Line>,
    },
    /// The personality that an array needs, by the superblock of a member. → [`Reply::Text`]
    Personality {
        /// Path of the member's device.
        member: String,
    },
    /// Starts an md array. → [`Reply::Device`]
    Assemble {
        /// The array's name, below `/dev/md/`.
        name: String,
        /// Paths of the members' devices.
        members: Vec<String>,
        /// Whether it must not be written.
        read_only: bool,
    },
    /// Reads a device. → content, [`Reply::Done`]
    ReadDevice {
        /// Its path.
        device: String,
        /// Where to begin, in bytes.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// Mounts a file system. → [`Reply::Made`]
    Mount {
        /// Path of the device.
        device: String,
        /// What the kernel calls it.
        kind: String,
        /// Options of the file system, with commas between.
        options: String,
        /// Whether it must not be written.
        read_only: bool,
    },
    /// Unmounts. → [`Reply::Done`]
    Unmount {
        /// Which file system.
        fs: u32,
    },
    /// Facts of what a path names. → [`Reply::Meta`]
    Stat {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
    },
    /// Names in a folder with their facts. → [`Answer::Listed`], [`Reply::Done`]
    List {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
    },
    /// Reads a regular file. → content, [`Reply::Done`]
    ReadFile {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
        /// The most bytes that it may have.
        limit: u64,
    },
    /// Reads a symbolic link. → [`Reply::Text`]
    ReadLink {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
    },
    /// Writes a regular file; `size` bytes follow as content. → [`Reply::Done`]
    Write {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
        /// What of the file is written.
        how: How,
        /// Size of the content in bytes.
        size: u64,
    },
    /// Whether [`Request::Write`] could be done, before its content is sent. → [`Reply::Done`]
    Fits {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
        /// What of the file is written.
        how: How,
        /// Size of the content in bytes.
        size: u64,
    },
    /// Makes a folder. → [`Reply::Done`]
    MakeFolder {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
        /// Its owner and permissions.
        owner: Owner,
    },
    /// Makes a symbolic link. → [`Reply::Done`]
    MakeLink {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
        /// Where it points.
        target: String,
    },
    /// Renames. → [`Reply::Done`]
    Rename {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        from: String,
        /// The new one, which must not exist.
        to: String,
    },
    /// Removes a file, a link or an empty folder. → [`Reply::Done`]
    Remove {
        /// Which file system.
        fs: u32,
        /// Absolute path in it.
        path: String,
    },
    /// Writes everything of a file system to its device. → [`Reply::Done`]
    Sync {
        /// Which file system.
        fs: u32,
    },
    /// Tells the device about unused room. → [`Reply::Number`], bytes
    Trim {
        /// Which file system.
        fs: u32,
    },
    /// Subvolumes of a btrfs. → [`Reply::Subvolumes`]
    Subvolumes {
        /// Which file system.
        fs: u32,
    },
    /// Puts file systems together for programs to run in. → [`Reply::Made`]
    Tree {
        /// Mount points, and which file system is there; `/` is the first.
        mounts: Vec<(String, u32)>,
    },
    /// Copies a program and what it needs out of a tree, so that it runs without. → [`Reply::Program`]
    Extract {
        /// Which tree.
        tree: u32,
        /// Where the program may be; the first that exists is taken.
        programs: Vec<String>,
    },
    /// Runs a program in a tree. → content (what it wrote), [`Reply::Ended`]
    Run {
        /// Which tree.
        tree: u32,
        /// Absolute path in it.
        program: String,
        /// Its arguments.
        arguments: Vec<String>,
        /// The longest that it may take, in milliseconds.
        limit: u64,
    },
    /// Takes a tree apart. → [`Reply::Done`]
    Dissolve {
        /// Which tree.
        tree: u32,
    },
    /// Unmounts all. → [`Reply::Stopped`]
    UnmountAll,
    /// Unmounts all, takes mappings and arrays apart. → [`Reply::Stopped`]
    Stop,
    /// Ends the VM. No answer.
    PowerOff,
}

/// A line of a table of the device mapper.
#[derive(Debug, Serialize, Deserialize)]
pub struct Line {
    /// Where it begins, in sectors of 512 bytes.
    pub start: u64,
    /// How long it is, in sectors.
    pub sectors: u64,
    /// The target.
    pub target: String,
    /// Its arguments, which may hold a key.
    pub arguments: Secret,
}

/// A text that is never printed.
#[derive(Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

/// What of a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// All of an existing one.
    Replace,
    /// Its end.
    Append,
    /// A new one.
    Create(Owner),
}

/// Permissions and owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What kind of thing a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// Facts of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Size in bytes.
    pub size: u64,
    /// Permissions and owner.
    pub owner: Owner,
    /// Inode number.
    pub inode: u64,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The name; bytes that are no UTF-8 are shown as U+FFFD.
    pub name: String,
    /// Its facts.
    pub meta: Meta,
}

/// A device that was made or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its path.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// What came of a request.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// The VM is there.
    Hello {
        /// [`crate::VERSION`].
        version: u32,
        /// What the kernel calls its release.
        release: String,
        /// How many disks there are.
        disks: u32,
    },
    /// A device.
    Device(Made),
    /// The device of a range, if there is one; else the whole disk.
    Part {
        /// The partition or disk that has this range.
        exact: Option<Made>,
        /// The whole disk.
        disk: Made,
    },
    /// A file system or tree.
    Made(u32),
    /// Facts, if there is anything.
    Meta(Option<Meta>),
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
    /// Subvolumes by their ids.
    Subvolumes(Vec<(u64, String)>),
    /// A program that was extracted: the tree it is in, and its path there; `None` when there is none.
    Program(Option<(u32, String)>),
    /// A program ended.
    Ended {
        /// Exit status, `None` after a signal.
        status: Option<i32>,
        /// Whether the time limit ended it.
        timed_out: bool,
    },
    /// All was taken apart, but for what is named.
    Stopped(Vec<String>),
}

/// What the VM says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Some of the names in a folder.
    Listed(Vec<Listed>),
    /// The end: it was done.
    Done(Reply),
    /// The end: it was not done.
    Failed(Failure),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// One sentence.
    pub text: String,
}

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The request makes no sense: no such file, or one that exists already.
    Usage,
    /// It does not fit; nothing was changed.
    NoSpace,
    /// Larger than the limit.
    Limit,
    /// Content that cannot be: a link's target that is no UTF-8.
    Corrupt,
    /// The kernel cannot do it.
    Unsupported,
    /// The kernel said so (`errno`).
    Os(i32),
}

impl Failure {
    /// A failure of `kind`.
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The request makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, text)
    }

    /// The kernel refused `what`.
    pub fn os(what: impl fmt::Display, errno: i32) -> Self {
        Self::new(FailureKind::Os(errno), what.to_string())
    }
}

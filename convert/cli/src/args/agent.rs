//! Arguments of what runs at a source's side.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    #[command(subcommand)]
    pub(crate) command: AgentCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum AgentCommand {
    /// Print what this machine is, as JSON.
    Facts {
        /// Disks that are no disks by themselves: loop devices, volumes.
        #[arg(long, value_name = "DEVICE")]
        disk: Vec<PathBuf>,
        /// Print processes, sockets, mounts, modules and users instead.
        #[arg(long)]
        volatile: bool,
    },
    /// Serve a disk, read-only, to the NBD client at standard input and output.
    Serve(AgentServe),
    /// Answer at standard input and output about a disk: hashes, and file systems to be held.
    Session(AgentDisk),
    /// Take snapshots of logical volumes, and remove them when standard input ends.
    Snapshot {
        /// Room for what is written meanwhile, in bytes.
        #[arg(long, value_name = "BYTES")]
        size: Option<u64>,
        /// The volumes.
        #[arg(required = true)]
        volumes: Vec<PathBuf>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct AgentServe {
    #[command(flatten)]
    pub(crate) disk: AgentDisk,
    /// Compress what is sent.
    #[arg(long)]
    pub(crate) compress: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AgentDisk {
    /// The disk.
    pub(crate) disk: PathBuf,
}

//! How sources at addresses are reached.

use clap::Args;
use std::path::PathBuf;

/// For `ssh://` and `capture`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Other machines")]
pub(crate) struct SshArgs {
    /// Configuration of ssh in the place of the user's own.
    #[arg(long, value_name = "FILE")]
    pub(crate) ssh_config: Option<PathBuf>,
    /// An option of ssh, as 'ssh -o' takes it. Repeatable.
    #[arg(long, value_name = "OPTION")]
    pub(crate) ssh_option: Vec<String>,
    /// Become root there by 'sudo -n', where the login is not root's.
    #[arg(long)]
    pub(crate) sudo: bool,
    /// Compress the disk's bytes on their way (zstd, at the other machine's cost), for lines of 1 Gbit/s and less.
    #[arg(long)]
    pub(crate) compress: bool,
    /// Do not move what the file systems of the source say is free (ext2/3/4, XFS, NTFS, FAT, LVM): it reads as zeros then. What
    /// was deleted there is not recovered from the image.
    #[arg(long)]
    pub(crate) skip_free: bool,
}

/// For `https://` and the clouds.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Other machines")]
pub(crate) struct CloudArgs {
    /// The file with the secret for an address, readable by its owner alone: USER:PASSWORD for a web server (ESXi), a shared access
    /// signature or account key for Azure, a bearer token for Google. AWS: its own environment, files and metadata.
    #[arg(long, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,
    /// Certificates (PEM) of authorities that are trusted besides those of the system.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Speak plain http with other hosts, too: whoever is on the way reads and changes all of it.
    #[arg(long)]
    pub(crate) insecure_http: bool,
}

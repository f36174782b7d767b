//! Arguments of the commands that look at single images and make new ones.

use super::{AlsoArgs, ChainArgs, OpenArgs, RescueArgs, SpeedArgs};
use clap::Args;
use clap::builder::ArgPredicate;
use format_core::units::parse_size;
use std::path::{Path, PathBuf};

/// A size as people type it.
pub(super) fn size(text: &str) -> Result<u64, String> {
    // Half a byte is a unit that was forgotten.
    if text.contains('.') && !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Err("a fraction needs a unit, as in 1.5G".into());
    }
    parse_size(text).map_err(|e| match e.hint_text() {
        Some(hint) => format!("{e}: {hint}"),
        None => e.to_string(),
    })
}

/// What stands for the second image where there is only one: a folder can be none.
pub(crate) const NO_IMAGE: &str = ".";

#[derive(Args, Clone, Debug)]
pub(crate) struct ConvertArgs {
    /// The image to read; it is opened read-only. `-` reads a pipe: streamOptimized VMDK flows through, any other image
    /// is put into a temporary file beside the target first.
    pub(crate) source: PathBuf,
    /// The image to write. It is NAME.partial until it is complete; after an interruption the same command goes on with
    /// that. `-` writes to stdout, in a format that can flow: raw, streamOptimized VMDK, fixed VHD. With --out it is one more image to read.
    /// Addresses: s3://BUCKET/KEY in formats that flow (an upload that was interrupted is kept, and the same command goes on with it),
    /// azblob://ACCOUNT/CONTAINER/BLOB or @FILE with a signed address (a page blob, as fixed VHD), ebs://new?size=GIB, NBD exports with -n.
    #[arg(
        required = false,
        required_unless_present = "out",
        default_value_if("out", ArgPredicate::IsPresent, NO_IMAGE)
    )]
    pub(crate) target: PathBuf,
    /// With --out: further images to read.
    #[arg(value_name = "MORE", requires = "out")]
    pub(crate) more: Vec<PathBuf>,
    /// Convert all the images that are named, at once, into the folder DIR, each under its own name with the extension
    /// of the format that -O names. When one fails, the others go on; the exit code is the first failure's.
    #[arg(long, value_name = "DIR", requires = "target_format",
        conflicts_with_all = ["existing", "tar", "mapfile", "source_mapfile", "size"])]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Format of the target; by default what its file name says.
    #[arg(short = 'O', long = "target-format", value_name = "FMT")]
    pub(crate) target_format: Option<String>,
    /// An option of the target format; 'rehome formats' lists them. Repeatable, or several separated by commas.
    #[arg(short = 'o', value_name = "KEY[=VALUE]", value_delimiter = ',')]
    pub(crate) options: Vec<String>,
    /// Give the disk another size: 40G, 512M, or bytes. A larger disk ends in zeros; a smaller one is refused where a
    /// partition would be cut. The backup of a GPT is moved to the new end.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) size: Option<u64>,
    /// Write a tar archive into the pipe: the raw image as NAME, then its manifest and block list, so that 'rehome verify
    /// NAME' can check it where the archive is unpacked. The target is `-`.
    #[arg(long, value_name = "NAME", conflicts_with = "existing")]
    pub(crate) tar: Option<String>,
    /// The target is a block device that exists: it is overwritten in place, as raw disk. What is on it is lost, also
    /// when the run is interrupted. It must not be mounted.
    #[arg(short = 'n', requires = "overwrite_device")]
    pub(crate) existing: bool,
    /// Yes, overwrite the block device that -n names.
    #[arg(long, requires = "existing")]
    pub(crate) overwrite_device: bool,
    /// Show a progress bar even when stderr is no terminal.
    #[arg(short = 'p')]
    pub(crate) progress_bar: bool,
    /// Bring the target, which exists, up to date: read it beside the source and rewrite only what differs. For raw files,
    /// qcow2, VHDX, and with -n --overwrite-device block devices. No guest may run on it.
    #[arg(long, conflicts_with_all = ["options", "size", "force", "restart", "no_digest", "kinds", "tar", "out", "on_read_error", "mapfile", "source_mapfile"])]
    pub(crate) sync: bool,
    /// With --sync: the target was made from this older snapshot (ebs://snap-…, or the address of an Azure disk's snapshot), so only what the
    /// cloud says has changed since is read. The target's manifest has to name that snapshot.
    #[arg(long, value_name = "SNAPSHOT", requires = "sync", conflicts_with = "bitmap")]
    pub(crate) since: Option<String>,
    /// With --sync: only what this dirty bitmap says is read; of an NBD export, or one that a qcow2 file keeps itself. The target has to be
    /// what the disk was when the bitmap began, or at a later time; blocks of it that are not what its manifest says are read as a whole. A
    /// bitmap that is in use, disabled or stale is refused; one of a disk that was made smaller and larger again does not tell all. Begin a new one (or 'qemu-img bitmap --clear') between a run and the next start
    /// of the machine.
    #[arg(long, value_name = "NAME", requires = "sync")]
    pub(crate) bitmap: Option<String>,
    /// Replace the target when it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Discard what an interrupted run left of the target, an upload to S3, too, and copy from the start.
    #[arg(long)]
    pub(crate) restart: bool,
    /// Read the target back when it is complete and compare it with what was written.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Take no digest and write no manifest: nothing can be verified later, and a run that is interrupted starts over.
    #[arg(long, conflicts_with_all = ["verify", "kinds", "tar", "on_read_error", "mapfile", "source_mapfile"])]
    pub(crate) no_digest: bool,
    #[command(flatten)]
    pub(crate) also: AlsoArgs,
    #[command(flatten)]
    pub(crate) rescue: RescueArgs,
    #[command(flatten)]
    pub(crate) speed: SpeedArgs,
}

impl ConvertArgs {
    /// All images that are read: with --out the target is one more of them.
    pub(crate) fn sources(&self) -> Vec<&Path> {
        let mut images = vec![self.source.as_path()];
        if self.out.is_some() {
            images.extend(Some(self.target.as_path()).filter(|second| *second != Path::new(NO_IMAGE)));
            images.extend(self.more.iter().map(PathBuf::as_path));
        }
        images
    }
}

#[derive(Args, Debug)]
pub(crate) struct DeltaArgs {
    /// The image that the new one will be a difference to. The guest must not run on it any more.
    pub(crate) base: PathBuf,
    /// The image that the new one shall read like; it need not have anything to do with BASE.
    pub(crate) top: PathBuf,
    /// The image to write: only what TOP and BASE do not share.
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Format of BASE.
    #[arg(short = 'F', long = "base-format", value_name = "FMT")]
    pub(crate) base_format: Option<String>,
    /// Format of the target; by default what its file name says. qcow2 takes any base, VHD, VHDX and VMDK one of their
    /// own kind.
    #[arg(short = 'O', long = "target-format", value_name = "FMT")]
    pub(crate) target_format: Option<String>,
    /// An option of the target format; 'rehome formats' lists them. Repeatable, or several separated by commas.
    #[arg(short = 'o', value_name = "KEY[=VALUE]", value_delimiter = ',')]
    pub(crate) options: Vec<String>,
    /// Replace the target when it exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Read the target with its base back when it is complete and compare it with TOP.
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) also: AlsoArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The image to write.
    pub(crate) target: PathBuf,
    /// Size of the disk: 40G, 512M, or bytes. With a base its size is the default.
    #[arg(value_parser = size)]
    pub(crate) size: Option<u64>,
    /// Format of the image; by default what its file name says.
    #[arg(short = 'O', long = "target-format", value_name = "FMT")]
    pub(crate) target_format: Option<String>,
    /// An option of the format; 'rehome formats' lists them. Repeatable, or several separated by commas.
    #[arg(short = 'o', value_name = "KEY[=VALUE]", value_delimiter = ',')]
    pub(crate) options: Vec<String>,
    /// The new image is a difference to this one.
    #[arg(short = 'b', long = "base", value_name = "FILE")]
    pub(crate) base: Option<PathBuf>,
    /// Format of the base.
    #[arg(short = 'F', long = "base-format", value_name = "FMT", requires = "base")]
    pub(crate) base_format: Option<String>,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    /// Replace the image when it exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// The image.
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Args, Debug)]
pub(crate) struct MapArgs {
    /// The image.
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
}

#[derive(Args, Debug)]
pub(crate) struct MeasureArgs {
    /// The image that would be converted.
    #[arg(required_unless_present = "size", conflicts_with = "size")]
    pub(crate) image: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Format of the target.
    #[arg(short = 'O', long = "target-format", value_name = "FMT", default_value = "raw")]
    pub(crate) target_format: String,
    /// An option of the target format; 'rehome formats' lists them. Repeatable, or several separated by commas.
    #[arg(short = 'o', value_name = "KEY[=VALUE]", value_delimiter = ',')]
    pub(crate) options: Vec<String>,
    /// Measure for an empty disk of this size instead of an image.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) size: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The image. Its parents are checked too.
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Write what can be read of the disk into a new image NEW, whole and without a parent. What cannot be read becomes
    /// zeros and is listed. The image itself is never changed.
    #[arg(long, value_name = "NEW")]
    pub(crate) repair: Option<PathBuf>,
    /// Format of NEW; by default what its file name says.
    #[arg(short = 'O', long = "target-format", value_name = "FMT", requires = "repair")]
    pub(crate) target_format: Option<String>,
    /// Replace NEW when it exists.
    #[arg(long, requires = "repair")]
    pub(crate) force: bool,
}

//! Arguments of the commands that prove and compare.

use super::{ChainArgs, OpenArgs};
use clap::Args;
use convert_engine::HashKind;
use std::path::PathBuf;

pub(super) const AFTER_DIGEST: &str = "\
The digest passes holes for nothing. The hashes of --also cannot: a terabyte of holes takes blake3 some minutes, sha256
about a quarter and md5 half an hour. They can be interrupted at any time.

Examples:
  rehome digest disk.vhdx
  rehome digest disk.vhdx --also sha256,blake3";

pub(super) const AFTER_VERIFY: &str = "\
Only ranges that hold data are read. A sample looks at some of them: it finds widespread damage soon and proves nothing
about the rest.

Examples:
  rehome verify disk.vhdx
  rehome verify disk.vhdx --also sha256                 the manifest must have it, from convert --also sha256
  rehome verify disk.vhdx --sample 5%
  rehome verify disk.vhdx --sample 5% --seed 17         the same blocks as in an earlier run that said seed 17";

pub(super) const AFTER_DIFF: &str = "\
Two images are compared in sectors of 512 bytes, an image and a manifest in blocks of 4 MiB. Each range is told with its
partition and, in ext2, ext3 and ext4, with the files that own it; for two images on both sides. Journals are replayed
in memory first, as the guest would. --output json has all ranges (the first 262,144).

Examples:
  rehome diff before.vmdk after.vmdk
  rehome diff now.qcow2 copy.vhdx.rehome.json           what changed since the manifest was written";

/// Which hashes of the whole disk are taken in the same pass.
#[derive(Args, Clone, Debug)]
pub(crate) struct AlsoArgs {
    /// Take these hashes of the whole disk too: blake3, sha256, md5, as b3sum, sha256sum and md5sum give for the raw disk.
    /// Every byte counts, holes too: a mostly empty disk of many terabytes takes its time. Repeatable, or several
    /// separated by commas.
    #[arg(long = "also", value_name = "HASH", value_delimiter = ',')]
    pub(crate) kinds: Vec<HashKind>,
}

/// How two images are opened.
#[derive(Args, Debug)]
pub(crate) struct PairArgs {
    /// Format of the first image.
    #[arg(short = 'f', value_name = "FMT")]
    pub(crate) format_a: Option<String>,
    /// Format of the second image.
    #[arg(short = 'F', value_name = "FMT")]
    pub(crate) format_b: Option<String>,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
}

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// One image.
    pub(crate) a: PathBuf,
    /// The other image.
    pub(crate) b: PathBuf,
    #[command(flatten)]
    pub(crate) open: PairArgs,
    /// Sizes must be equal too; otherwise the longer disk may end in zeros.
    #[arg(long, short = 's')]
    pub(crate) strict: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DigestArgs {
    /// The image.
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    #[command(flatten)]
    pub(crate) also: AlsoArgs,
}

/// A share of all blocks, in percent.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(share) if share > 0.0 && share <= 100.0 => Ok(share),
        _ => Err("possible are shares above 0% and up to 100%, as in 5% or 0.1%".into()),
    }
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The image.
    pub(crate) image: PathBuf,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Its manifest; IMAGE.rehome.json by default.
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Compare these hashes of the whole disk too, which the manifest must have: blake3, sha256, md5. They need every byte,
    /// holes too.
    #[arg(long, value_name = "HASH", value_delimiter = ',', conflicts_with = "sample")]
    pub(crate) also: Vec<HashKind>,
    /// Read only a random choice of the 4 MiB blocks that hold data, at least one. The others stay unproven.
    #[arg(long, value_name = "N%", value_parser = percent)]
    pub(crate) sample: Option<f64>,
    /// Choose the blocks that an earlier run chose, by the seed that it printed.
    #[arg(long, value_name = "N", requires = "sample")]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// One image.
    pub(crate) a: PathBuf,
    /// The other image, or a manifest (NAME.rehome.json).
    pub(crate) b: PathBuf,
    #[command(flatten)]
    pub(crate) open: PairArgs,
}

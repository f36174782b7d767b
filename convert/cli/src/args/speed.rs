//! Arguments that keep a run from taking the machine for itself.

use super::images::size;
use clap::Args;

/// How fast and how large a run may be. The priority of its reads and writes is for `ionice` to set.
#[derive(Args, Clone, Debug)]
pub(crate) struct SpeedArgs {
    /// Read at most so much data a second: 50M, 1G, or bytes. Holes cost nothing. To give way to other programs
    /// instead, start rehome with 'ionice -c idle'.
    #[arg(long, value_name = "SIZE", value_parser = rate, help_heading = "Output and speed")]
    pub(crate) rate_limit: Option<u64>,
}

pub(super) fn rate(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("nothing would ever be read".into()),
        rate => Ok(rate),
    }
}

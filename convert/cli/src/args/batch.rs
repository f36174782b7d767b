//! Arguments of `rehome batch`.

use super::batch_run::{BatchReportArgs, BatchRetryArgs, BatchRunArgs, BatchStatusArgs};
use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(crate) struct BatchArgs {
    #[command(subcommand)]
    pub(crate) command: BatchCommand,
}

#[derive(Subcommand, Debug)]
pub(crate) enum BatchCommand {
    /// Run the jobs of a job file, each as a process of its own. The same command again goes on where it stopped.
    #[command(after_help = super::batch_run::AFTER_RUN)]
    Run(BatchRunArgs),
    /// Show where the jobs of a batch stand.
    #[command(after_help = super::batch_run::AFTER_STATUS)]
    Status(BatchStatusArgs),
    /// Set jobs that failed or are held back, so that the next run starts them again.
    Retry(BatchRetryArgs),
    /// Write the report of a batch from its state.
    Report(BatchReportArgs),
}

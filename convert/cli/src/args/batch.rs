//! Arguments of `rehome batch`.

use super::batch_file::{BatchCheckArgs, BatchEmitArgs, BatchPlanArgs};
use super::batch_run::{BatchReportArgs, BatchRetryArgs, BatchRunArgs, BatchStatusArgs};
use clap::{Args, Subcommand};

pub(super) const AFTER_BATCH: &str = "\
A job file, TOML or YAML, says what is moved:
  version = 1
  [batch]
  output = \"/srv/out\"                # must exist; each job gets a folder of its own there
  [defaults]
  to = \"hyperv\"                      # what every job has that does not say otherwise
  network_map = { \"VM Network\" = \"LAN\" }
  [[job]]
  source = \"/backups/web.vmdk\"
  machine = \"/backups/web.vmx\"
  [[job]]
  id = \"db\"
  source = [\"db.vmdk\", \"db_1.vmdk\"]  # relative to the job file's folder
  key_file = \"${KEYS}/db\"             # from the environment; secrets themselves have no place in it
  wave = 1                             # when all of wave 0 have ended

Fields are called like the options of 'rehome migrate' and 'rehome convert', with underlines: 'rehome batch schema' has them all.

Examples:
  rehome batch plan '/backups/*.vmdk' --to hyperv --output-dir /srv/out > jobs.toml
  rehome batch check jobs.toml
  rehome batch run jobs.toml --jobs 4
  rehome batch status --state /srv/out/.rehome-batch
  rehome batch emit slurm jobs.toml > jobs.sh";

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
    /// Write a job file for images, folders of backups, or a list of machines.
    #[command(after_help = super::batch_file::AFTER_PLAN)]
    Plan(BatchPlanArgs),
    /// Look at all jobs before the night: sources, guests, keys, room and time. Nothing is written.
    #[command(after_help = super::batch_file::AFTER_CHECK)]
    Check(BatchCheckArgs),
    /// Write what a batch engine needs to run a job file.
    #[command(after_help = super::batch_file::AFTER_EMIT)]
    Emit(BatchEmitArgs),
    /// Print the JSON Schema of job files.
    Schema,
}

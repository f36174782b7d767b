//! Arguments that run batches and look at them.

use super::batch_file::NotationKind;
use clap::Args;
use std::path::PathBuf;

pub(super) const AFTER_RUN: &str = "\
Every job is a child process: its command, what it said and what it printed are in the state folder, and can be repeated by hand.
  STATE/jobs/ID.json            where the job stands, exit code, error, next step, outputs, digest
  STATE/jobs/ID.log             the commands of all attempts and what they said
  STATE/jobs/ID.outcome.json    what the last attempt printed
  STATE/events.ndjson           what happened when
  STATE/metrics.prom            for Prometheus

The same command again goes on: jobs that are done are left alone, interrupted ones go on at their last checkpoint, and those
that ended with 74 or 75 are tried again. What failed otherwise, or waits for a person, is left until 'rehome batch retry'; or until it
is changed in the job file. SIGTERM and Ctrl-C let all jobs make a checkpoint and end with 75; a second one ends at once.
Nothing has to be repaired after a crash: leases at the destination say who owns a job, and a dead owner is succeeded.

The exit code is the first of these that applies:
  75  a signal ended the batch
  70 65 77 73 69 66 2 1   jobs failed: the worst of their codes, in this order
  75  jobs are left that the same command tries again (74, 75, at work elsewhere)
  78  jobs wait for a person
   0  all jobs are done

Examples:
  rehome batch run jobs.toml --jobs 4 --max-per-source 2 --retries 3
  rehome batch run jobs.toml --max-memory 2G --rate-limit 200M --max-failures 10
  rehome batch run jobs.toml --quiet                    from cron: says nothing when all went well
  rehome batch run jobs.toml --shard env                one job for each task of an array (Kubernetes, Slurm, AWS Batch, SGE)
  rehome batch run jobs.toml --shard 0/2                the first half, on the first of two hosts";

pub(super) const AFTER_STATUS: &str = "\
With --nagios: one line, and as exit code 0 all jobs are done, 1 jobs are left, 2 jobs failed or are held, 3 there is no state to read.

Examples:
  rehome batch status --state /srv/out/.rehome-batch
  rehome batch status --state /srv/out/.rehome-batch --nagios";

/// What is to be run.
#[derive(Args, Debug)]
#[group(required = true, multiple = false, args = ["job_file", "tasks"])]
pub(crate) struct BatchSourceArgs {
    /// The job file.
    #[arg(value_name = "JOBS")]
    pub(crate) job_file: Option<PathBuf>,
    /// How the job file is written; by default what its name says.
    #[arg(long, value_enum)]
    pub(crate) format: Option<NotationKind>,
    /// Run resolved jobs, a JSON object a line, as STATE/tasks.ndjson has them.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub(crate) tasks: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct BatchRunArgs {
    #[command(flatten)]
    pub(crate) source: BatchSourceArgs,
    /// The folder of the outputs, where state and leases go; by default what the job file says, with --tasks the folder that all
    /// outputs share.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// The state folder; by default .rehome-batch in the folder of the outputs.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// How many jobs run at once; by default what the job file says, else 2.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) jobs: Option<u16>,
    /// How many jobs of one source run at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_per_source: Option<u16>,
    /// How many jobs of one destination run at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_per_target: Option<u16>,
    /// Read at most so much data a second, all jobs together.
    #[arg(long, value_name = "SIZE", value_parser = super::speed::rate)]
    pub(crate) rate_limit: Option<u64>,
    /// How often a job is tried again that ended with 74 or 75, with growing waits; by default what the job file says, else 2.
    #[arg(long, value_name = "N")]
    pub(crate) retries: Option<u32>,
    /// The wait before the first of these, in seconds; it doubles with each, up to 5 minutes.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) retry_wait: f64,
    /// Start no more jobs after so many have failed; those that run are finished.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_failures: Option<u32>,
    /// Run a share of the jobs only: I/N from 0, env for the number that the batch engine gives this task, or env/N.
    #[arg(long, value_name = "SHARD")]
    pub(crate) shard: Option<String>,
    /// Take over a job whose owner on another host was silent for so many seconds. Not below 60 where the destination is NFS.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) takeover_after: u32,
    /// Run jobs again that are done and were changed in the job file since, and replace what they made.
    #[arg(long)]
    pub(crate) redo_changed: bool,
    /// Say nothing when all jobs are done.
    #[arg(long, short = 'q')]
    pub(crate) quiet: bool,
    /// Write metrics for Prometheus here, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
    /// Write a summary of at most 4 KiB here, as the termination logs of engines take it.
    #[arg(long, value_name = "FILE")]
    pub(crate) status_file: Option<PathBuf>,
}

/// Which batch.
#[derive(Args, Debug)]
pub(crate) struct BatchStateArgs {
    /// The state folder.
    #[arg(long, value_name = "DIR", default_value = ".rehome-batch")]
    pub(crate) state: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct BatchStatusArgs {
    #[command(flatten)]
    pub(crate) state: BatchStateArgs,
    /// One line for Nagios and its like, with their exit codes.
    #[arg(long)]
    pub(crate) nagios: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BatchRetryArgs {
    #[command(flatten)]
    pub(crate) state: BatchStateArgs,
    /// All jobs that failed or are held.
    #[arg(long, required_unless_present = "ids", conflicts_with = "ids")]
    pub(crate) failed: bool,
    /// These jobs.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct BatchReportArgs {
    #[command(flatten)]
    pub(crate) state: BatchStateArgs,
    /// Sign the report with this key: of SSH, or of minisign (its password, if it has one, in MINISIGN_PASSWORD_FILE).
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("it has to be a number from 0 to 3600".into()),
    }
}

//! Batches: many jobs, overnight, unattended, honest.
//!
//! ```text
//!  tasks ─▶ queue (waves, priorities, limits) ─▶ worker: lease ─▶ child process ─▶ state ─▶ verdict
//!                                                 └─ keeper renews the leases       └─ events, metrics, summary
//! ```
//!
//! Everything that is known is in files of the state folder ([`StateFolder`]), each whole or not there; there is no daemon
//! and no database, and running the same batch again goes on. A job is a child process of the same program. Who may run it
//! says a lease at the destination ([`Leases`]), which the child looks at again before it gives a file its name.
//!
//! Nothing here knows what a job does: a [`Task`] is a command with the names of its outputs.

mod budget;
mod child;
mod deadline;
mod events;
mod job_log;
mod lease;
mod metrics;
mod outcome;
mod queue;
mod retry;
mod run;
mod runner;
mod shard;
mod state;
mod status;
mod task;
#[cfg(test)]
mod testing;
mod time;
mod verdict;

pub use budget::{Budget, Share};
pub use child::{ChildHandle, ChildRunner};
pub use events::Event;
pub use lease::{
    Asked, Busy, HeldLease, Lease, LeaseBody, LeaseStore, Leases, LocalLeases, MemoryLeases, ObjectLeases,
    Owner,
};
pub use metrics::{RunFacts, metrics_text, write_metrics};
pub use queue::{Limits, Next, Queue};
pub use retry::{RetryWish, retry};
pub use run::{Batch, RunOptions, Summary, Watcher};
pub use runner::{Attempt, Ending, Isolation, Runner};
pub use shard::Shard;
pub use state::{
    BatchInfo, BatchState, JobError, JobState, OutputFile, Phase, Progress, StateFolder, outputs_now,
};
pub use status::{Problem, Status, seconds_left, write_status_file};
pub use task::{Task, check_tasks, format_tasks, parse_tasks};
pub use verdict::{exit_code, worse};

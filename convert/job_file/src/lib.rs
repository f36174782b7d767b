//! Job files: what a batch is, as a person writes it down.
//!
//! ```text
//!  jobs.toml ─▶ notation ─▶ values with places ─▶ variables ─▶ Model ─▶ resolve ─▶ ResolvedJob ─▶ command
//!  jobs.yaml ─▶    │                                                      │
//!  folders, CSV ─▶ plan ─▶ jobs.toml                                      └─▶ emit ─▶ Kubernetes, Slurm, AWS Batch
//! ```
//!
//! [`JobFile::read`] and [`JobFile::resolve`] are where to begin. TOML and YAML become the same values, which know where they stand, so
//! every error has file, line and column. Files are strangers' work: what is larger, deeper or more than a job file can be ends early.
//! Nothing here opens an image; what is in a folder of backups is for a callback to say ([`Probe`]).

mod address;
mod decode;
mod emit;
mod fault;
mod job_file;
mod model;
mod node;
mod notation;
mod plan;
mod resolve;
mod secrets;
mod text;
mod variables;

pub use address::ADDRESS_SCHEMES;
pub use emit::{Engine, Site, check_digest, emit};
pub use fault::{Fault, Result};
pub use job_file::{JobFile, VERSION};
pub use model::*;
pub use plan::{Datastores, Found, Plan, PlannedJob, Probe, Wish, name_all, parse_list, plan, write};
pub use resolve::{Resolved, ResolvedJob};
pub use text::{MOST_BYTES, Notation, Place, Text};
pub use variables::Environment;

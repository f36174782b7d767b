//! Reports of jobs and of batches of jobs: data with a schema, pages for people, and signatures.
//!
//! ```text
//!  outcome of a run ──JobReport::from_outcome──▶ JobReport ─┐
//!  rehome map ──allocation──▶ its disks' maps               ├─▶ Report ──to_json──▶ report.json ──sign──▶ report.json.sig
//!  its log ──stages_of_log──▶ its stages       BatchReport ─┘      │                     └──────verify──────┘
//!                                                                  ├─▶ html::job, html::batch    one page, no scripts
//!                                                                  └─▶ text::job, text::batch    60 lines, the first the verdict
//! ```
//!
//! A report is made of what the program printed, so it can be made again from the files that a run left. It names those files
//! with their digests ([`Evidence`]), and so a signature of the report covers them.

mod allocation;
mod batch;
mod document;
mod evidence;
pub mod html;
mod model;
mod outcome;
pub mod signature;
mod stages;
pub mod text;
mod wording;

pub use allocation::{Allocation, Counter, MOST_CELLS, allocation};
pub use batch::{BatchReport, Totals};
pub use document::Report;
pub use evidence::FileState;
pub use model::{
    AdapterReport, Attempt, BootTestReport, ChangeReport, DiskReport, ErrorReport, Evidence, FixupReport,
    GuestReport, JobReport, MachineReport, Proof, StageReport, State, WarningReport,
};
pub use outcome::files_of_outcome;
pub use stages::stages_of_log;

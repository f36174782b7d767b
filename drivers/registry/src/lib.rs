//! Windows registry hives in memory: reading, replay of transaction logs, and editing in place.
//!
//! ```text
//!  primary file ─┬─▶ recover ─▶ Recovered { bytes, replay } ─▶ Hive::open ─▶ key, value, walk
//!  .LOG .LOG1 … ─┘    │ dirty, and no log helps                  │
//!                     ▼                                          ▼
//!                 NeedsPerson            Hive::edit(now) ─▶ set_value, create_key, … ─▶ into_bytes
//! ```
//!
//! A hive is a vector of bytes, taken once and changed where it lies. Opening checks the base block and walks all bins
//! and cells; what a key or a value refers to is checked when it is read; the first edit walks everything there is, since
//! a cell that two owners share must never be given back. No call recurses by what it reads, and none takes longer than
//! the size of the hive asks for.
//!
//! ```
//! # fn run(primary: Vec<u8>, log1: &[u8], log2: &[u8]) -> format_core::Result<Vec<u8>> {
//! use driver_registry::{FileTime, Hive, Log, LogFile, Value, recover};
//!
//! let logs = [Log { file: LogFile::Log1, bytes: log1 }, Log { file: LogFile::Log2, bytes: log2 }];
//! let recovered = recover(primary, &logs)?;
//! let mut hive = Hive::open(recovered.bytes)?;
//! let current = hive.key("Select")?.map(|key| key.value("Current")).transpose()?.flatten();
//! let set = format!("ControlSet{:03}", current.and_then(|value| value.as_u32()).unwrap_or(1));
//! let mut edit = hive.edit(FileTime::from_system(std::time::SystemTime::now()))?;
//! edit.set_value(&format!(r"{set}\Services\vmbus"), "Start", &Value::dword(0))?;
//! edit.delete_key(&format!(r"{set}\Services\vmbus\StartOverride"))?;
//! // Written back together with what `recovered.replay.steps` says about the logs.
//! hive.into_bytes()
//! # }
//! ```
//!
//! Supported and unsupported features, what happens with logs, and the sources of all facts: `SPEC.md` of this folder.

mod base_block;
mod bins;
mod bits;
mod check;
mod data;
mod edit;
mod error;
mod fields;
mod filetime;
mod hive;
mod key_node;
mod layout;
mod log;
mod name;
mod space;
mod subkeys;
mod upcase;
mod value;
mod walk;

pub use check::Census;
pub use edit::Editor;
pub use filetime::FileTime;
pub use hive::{Hive, Key, ValueEntry};
pub use log::{Applied, Dropped, Log, LogFile, LogStep, Recovered, Replay, recover};
pub use name::Name;
pub use value::{Kind, Value};
pub use walk::{Visit, Walk};

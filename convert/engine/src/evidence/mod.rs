//! Evidence: what was read and made of it, in a log that shows when it was changed afterwards.
//!
//! ```text
//!  DIR/evidence.jsonl     {"number":0,"previous":"000…","time":"…Z","event":"begin", …}
//!                         {"number":1,"previous":BLAKE3 of the line above, …}
//!                         …
//!  head                   BLAKE3 of the last line: who notes it elsewhere can tell whether lines are missing at the end
//! ```
//!
//! A run writes `begin`, a `source` for each of its files before and after it was read, `result`s, `attachment`s and `end`. The
//! log is only ever appended to, and every line is durable before the work goes on. [`verify_log`] follows the chain. A log proves
//! that its lines belong together, not who wrote them: the head belongs into a place that the writer does not rule.

mod attachment;
mod command;
mod device;
mod event;
mod fingerprint;
mod host;
mod log;

pub use attachment::{AttachmentKind, recognise};
pub use command::without_secrets;
pub use device::DeviceIdentity;
pub use event::{Event, Moment, SourceKind};
pub use fingerprint::{Fingerprint, fingerprint};
pub use host::Host;
pub use log::{EvidenceLog, LOG_NAME, LogState, verify_log};

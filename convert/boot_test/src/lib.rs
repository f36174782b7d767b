//! Does a converted machine start? Its disks are booted in QEMU, on overlays that are dropped, and what it shows is judged.
//!
//! ```text
//!  BootTest ─▶ choose (target, guest) ─▶ devices ─▶ command line ─▶ QEMU ──serial──▶ console ─┐
//!     │                                                              │ └──QMP──▶ events, screen ├─▶ rules ─▶ Report
//!     └─disks─▶ overlays ─▶ NBD server ◀───────unix socket───────────┘                        ─┘
//! ```
//!
//! [`BootTest::run`] in `run.rs` is the sequence: read it first. What QEMU has for each target is a table in `controllers.rs`, what texts mean is
//! one in `rules.rs`. Where the target's controller cannot be emulated, another stands in that the guest can start from, and the report says so;
//! a guest that lacks the drivers for the real thing fails without a start.
//!
//! Nothing is success but what the guest itself says: a login prompt on the serial console or on a screen that can be read, or systemd's target.
//! Screens are read where they show VGA's text mode or a console with VGA's font; what else they show is left to people, with a picture.
//!
//! Guests are strangers. QEMU runs in its sandbox where it has one, without a way out of its network, for a limited time, and what it
//! writes is bounded.

mod child;
mod choose;
mod command;
mod console;
mod controllers;
mod firmware;
mod frame;
mod qemu;
mod qmp;
mod report;
mod rules;
mod run;
mod text_mode;
mod watch;

pub use qemu::{Accelerator, check_host};
pub use report::{MachineReport, Outcome, REPORT, Report, Verdict};
pub use run::{BootTest, LIMIT, Sight};

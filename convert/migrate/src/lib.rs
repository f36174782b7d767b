//! The stages of a migration: inspect, plan, overlay, fixups, copy, machine, verify, report.

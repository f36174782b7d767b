//! Guest facts, edits, fixups: plan, apply, report.

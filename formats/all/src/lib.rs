//! The one list of all formats. No logic.

use format_core::Format;

/// Every format that this program knows. Help, probing, tables, conformance and fuzz tests iterate it.
pub static FORMATS: &[&Format] = &[
    &format_raw::FORMAT,
    &format_qcow2::FORMAT,
    &format_vmdk::FORMAT,
    &format_vhdx::FORMAT,
    &format_vhd::FORMAT,
    &format_vdi::FORMAT,
    &format_qed::FORMAT,
];

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
    &format_parallels::FORMAT,
    &format_qed::FORMAT,
    &format_qcow1::FORMAT,
    &format_restic::FORMAT,
    &format_borg::FORMAT,
    // Only recognised.
    &format_closed::BUP,
    &format_closed::BORG2,
    &format_closed::DMG,
    &format_closed::BOCHS,
    &format_closed::CLOOP,
    &format_closed::TIB,
    &format_closed::VBK,
    &format_closed::AIV,
    &format_closed::SPF,
    &format_closed::MRIMG,
    &format_closed::MRIMGX,
    &format_closed::GHO,
    &format_closed::WIM,
];

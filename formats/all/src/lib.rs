//! The one list of all formats. No logic.

use format_core::Format;

pub use format_ova::OvaWriter;

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
    // Around other images.
    &format_compressed::GZIP,
    &format_compressed::XZ,
    &format_compressed::ZSTD,
    &format_compressed::LZ4,
    &format_compressed::BZIP2,
    &format_compressed::LZOP,
    // Archives, packages, backups.
    &format_tar::FORMAT,
    &format_tar::GCP,
    &format_ova::FORMAT,
    &format_ova::OVF,
    &format_vma::FORMAT,
    &format_pbs::FORMAT,
    &format_xva::FORMAT,
    &format_partclone::FORMAT,
    &format_ntfsclone::FORMAT,
    &format_clonezilla::FORMAT,
    &format_wsb::FORMAT,
    &format_restic::FORMAT,
    &format_borg::FORMAT,
    &format_ewf::FORMAT,
    &format_mrimgx::FORMAT,
    // Only recognised.
    &format_ewf::EWF2,
    &format_ewf::L01,
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
    &format_closed::GHO,
    &format_closed::WIM,
];

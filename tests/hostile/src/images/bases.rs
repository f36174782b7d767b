//! Small valid images, made byte by byte: the builders that the rooms' own tests have.
// They serve those tests, too, and not all of each is needed here.
#![allow(dead_code, missing_docs)]

#[path = "../../../../formats/vmdk/tests/builder/mod.rs"]
pub(super) mod builder;
#[path = "../../../../formats/clonezilla/tests/room/builder.rs"]
pub(super) mod clonezilla;
#[path = "../../../../formats/vmdk/tests/esx/mod.rs"]
pub(super) mod esx;
#[path = "../../../../formats/ewf/tests/room/builder.rs"]
pub(super) mod ewf;
#[path = "../../../../formats/mrimgx/tests/room/builder.rs"]
pub(super) mod mrimgx;
#[path = "../../../../formats/ntfsclone/tests/room/builder.rs"]
pub(super) mod ntfsclone;
#[path = "../../../../formats/ova/tests/room/builder.rs"]
pub(super) mod ova;
#[path = "../../../../formats/parallels/tests/room/builder.rs"]
pub(super) mod parallels;
#[path = "../../../../formats/partclone/tests/room/builder.rs"]
pub(super) mod partclone;
#[path = "../../../../formats/pbs/tests/room/builder.rs"]
pub(super) mod pbs;
#[path = "../../../../formats/qcow1/tests/room/maker.rs"]
pub(super) mod qcow1;
#[path = "../../../../formats/qed/tests/room/maker.rs"]
pub(super) mod qed;
#[path = "../../../../formats/restic/tests/room/builder.rs"]
pub(super) mod restic;
#[path = "../../../../formats/tar/tests/room/builder.rs"]
pub(super) mod tar;
#[path = "../../../../formats/vdi/tests/room/builder.rs"]
pub(super) mod vdi;
#[path = "../../../../formats/vhd/tests/room/maker.rs"]
pub(super) mod vhd;
#[path = "../../../../formats/vhdx/tests/room/maker.rs"]
pub(super) mod vhdx;
#[path = "../../../../formats/vma/tests/room/builder.rs"]
pub(super) mod vma;
#[path = "../../../../formats/xva/tests/room/builder.rs"]
pub(super) mod xva;

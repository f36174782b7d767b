//! The differences that are known, and who proves that we are right.

use crate::readers::Reader;

/// What differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The other reader's disk has another size.
    Size,
    /// The other reader's bytes are others.
    Bytes,
    /// The other reader reads what we refuse.
    Refused,
    /// The other reader does not end within its time.
    Endless,
    /// The other reader panics.
    Panics,
}

/// The third reader that agrees with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// qemu-img converts the image to the bytes that we read.
    Qemu,
    /// As [`Proof::Qemu`], after qemu-img replayed the log of a copy.
    QemuReplayed,
    /// The hash that is recorded in the collection's list is that of our bytes.
    Recorded,
    /// qemu-img refuses the image, too.
    QemuRefuses,
}

/// A difference that is known.
#[derive(Debug)]
pub struct Known {
    pub file: &'static str,
    pub reader: Reader,
    pub difference: Difference,
    pub reason: &'static str,
    pub proof: Proof,
}

/// All of them. `README.md` has the same list for people.
pub const KNOWN: &[Known] = &[
    Known {
        file: "chain vmdk zeroed_grain=on",
        reader: Reader::VmdkCore,
        difference: Difference::Bytes,
        reason: "the parent shows through grains that are zero explicitly",
        proof: Proof::Qemu,
    },
    Known {
        file: "virtualbox/vbox-VMDK-sparse.vmdk.gz",
        reader: Reader::VmdkCore,
        difference: Difference::Size,
        reason: "the size is rounded up to whole grains",
        proof: Proof::Recorded,
    },
    Known {
        file: "vhdx/dirty-log-12.vhdx",
        reader: Reader::VhdxCore,
        difference: Difference::Bytes,
        reason: NEWEST,
        proof: Proof::QemuReplayed,
    },
    Known {
        file: "vhdx/dirty-log-43.vhdx",
        reader: Reader::VhdxCore,
        difference: Difference::Bytes,
        reason: NEWEST,
        proof: Proof::QemuReplayed,
    },
    Known {
        file: "qcow2/luks.qcow2",
        reader: Reader::Qcow2Rs,
        difference: Difference::Refused,
        reason: CIPHERTEXT,
        proof: Proof::QemuRefuses,
    },
    Known {
        file: "qcow2/luks.qcow2",
        reader: Reader::Imago,
        difference: Difference::Refused,
        reason: CIPHERTEXT,
        proof: Proof::QemuRefuses,
    },
    Known {
        file: "qemu qcow2 cluster_size=512",
        reader: Reader::Qcow2Rs,
        difference: Difference::Panics,
        reason: SMALL,
        proof: Proof::Qemu,
    },
    Known {
        file: "ours qcow2 cluster_size=512",
        reader: Reader::Qcow2Rs,
        difference: Difference::Panics,
        reason: SMALL,
        proof: Proof::Qemu,
    },
    Known {
        file: "ours qcow2 refcount_bits=64,cluster_size=512",
        reader: Reader::Qcow2Rs,
        difference: Difference::Panics,
        reason: SMALL,
        proof: Proof::Qemu,
    },
];

const NEWEST: &str = "the newest writes, which are only in the log, read as zeros";
const CIPHERTEXT: &str = "ciphertext is handed out as the disk's bytes";
const SMALL: &str = "a number of bits is computed below 0; where such sums wrap, opening never ends";

//! The bytes by which the formats are told; where they come from is in `SPEC.md`.

/// UDIF: how far before the end of the file the trailer begins, which is its length.
pub(crate) const KOLY_LEN: usize = 512;

/// UDIF: signature, version 4, header size 512; big endian.
pub(crate) const KOLY: &[u8] = b"koly\0\0\0\x04\0\0\x02\0";

/// Bochs: the text at the start, with its end.
pub(crate) const BOCHS: &[u8] = b"Bochs Virtual HD Image\0";

/// cloop and uzip: a shell script that would mount the image. A letter, a digit and [`CLOOP_END`] follow.
pub(crate) const CLOOP_START: &[u8] = b"#!/bin/sh\n#";
pub(crate) const CLOOP_END: &[u8] = b".0 Format\n";

/// Acronis True Image: the first versions, and those from 2013 on (with the header's length, 32 or 36).
pub(crate) const TIB: [&[u8]; 3] =
    [b"\xb4\x6e\x68\x44", b"\xce\x24\xb9\xa2\x20\0", b"\xce\x24\xb9\xa2\x24\0"];

/// Veeam: behind the format version, a byte and three zeros.
pub(crate) const VBK_VERSION_REST: &[u8] = b"\0\0\0";
/// Veeam: "initialized" is 1, the digest's name has three letters.
pub(crate) const VBK_DIGEST: &[u8] = b"\x01\0\0\0\x03\0\0\0md5\0";

/// Macrium Reflect 6 to 8: a text among the last bytes of the file.
pub(crate) const MRIMG: &[u8] = b"__79241006_2651_11D4_";
pub(crate) const MRIMG_TAIL: usize = 64;

/// Ghost: the first and the further files of an image.
pub(crate) const GHO: [&[u8]; 2] = [b"\xfe\xef\x01", b"\xfe\xef\x09"];

/// WIM, and the pipable kind that wimlib makes.
pub(crate) const WIM: [&[u8]; 2] = [b"MSWIM\0\0\0", b"WLPWM\0\0\0"];

/// bup: a Git repository's folder of packs, and what bup alone puts there.
pub(crate) const GIT_PACKS: &str = "objects/pack";
pub(crate) const BUP_BLOOM: &str = "objects/pack/bup.bloom";
pub(crate) const BUP_INDEX: &str = "bupindex";
/// bup: one index over many packs; Git calls its own without a name before the dot.
pub(crate) const BUP_MIDX: (&str, &str) = ("midx-", ".midx");

/// Borg 2: what a repository says about itself, and the text that is in it.
pub(crate) const BORG2_README: &str = "config/readme";
pub(crate) const BORG2_TEXT: &[u8] = b"Borg";
/// Borg 2: the repository's version and ID.
pub(crate) const BORG2_FILES: [&str; 2] = ["config/version", "config/id"];

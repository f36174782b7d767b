//! LUKS versions 1 and 2: from a header and a passphrase to the encrypted content as a volume, without a device mapper.
//!
//! ```text
//!  Volume ─probe─▶ Header ─unlock, passphrases─▶ keyslot ─KDF─▶ its key ─▶ stripes ─merge─▶ volume key
//!                                                                                           │ digest
//!                                           Volume (plain text) ◀── Unlocked ◀──────────────┘
//!                                    Mapping (target `crypt`) ◀────────┘
//! ```
//!
//! The header and the keyslots are never written. What is written to the content is encrypted on its way to the volume
//! below, in whole sectors of the encryption.

mod cipher;
mod content;
mod hash;
mod header;
mod json;
mod kdf;
mod luks1;
mod luks2;
mod mapping;
mod memory;
mod passphrase;
mod unlock;

pub use header::{Header, Keyslot, probe};
pub use passphrase::{MAX_PASSPHRASE, Passphrase};
pub use unlock::{Unlocked, unlock};

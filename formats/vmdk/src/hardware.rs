//! What a descriptor says about the machine that the disk was made for. Readers do not need it; a copy that takes the disk's place keeps it.

use format_core::Details;

/// The controllers that a descriptor can name (`ddb.adapterType`).
pub(crate) const ADAPTER_TYPES: [&str; 5] = ["lsilogic", "buslogic", "ide", "legacyESX", "pvscsi"];
/// The largest `ddb.virtualHWVersion` that is taken for one.
pub(crate) const MAX_HW_VERSION: u32 = 99;

/// Controller and version of the virtual hardware, where the descriptor has values that VMware knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hardware {
    adapter_type: Option<&'static str>,
    version: Option<u32>,
}

/// The controller of this name, in VMware's spelling.
pub(crate) fn adapter_type(named: &str) -> Option<&'static str> {
    ADAPTER_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(named))
}

impl Hardware {
    /// Takes the value of `key` (in lower case) if it is one of those.
    pub(crate) fn take(&mut self, key: &str, value: &str) {
        match key {
            "ddb.adaptertype" => self.adapter_type = adapter_type(value),
            "ddb.virtualhwversion" => {
                self.version = value.parse().ok().filter(|version| (1..=MAX_HW_VERSION).contains(version));
            }
            _ => {}
        }
    }

    pub(crate) fn describe(&self, details: &mut Details) {
        if let Some(adapter_type) = self.adapter_type {
            details.insert("adapter-type".into(), adapter_type.into());
        }
        if let Some(version) = self.version {
            details.insert("hw-version".into(), version.into());
        }
    }
}

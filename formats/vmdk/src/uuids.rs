//! VirtualBox's UUIDs in a descriptor: the only names that its disks have for each other.

use crate::error::VmdkError;
use format_core::{Details, Layer, Warning};
use uuid::Uuid;

/// Where `details` say a disk's UUID.
const IMAGE: &str = "uuid";
/// Where `details` say the UUID of a disk's state.
const MODIFICATION: &str = "modification-uuid";

/// How VirtualBox tells disks and their states apart, as far as the descriptor says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uuids {
    pub(crate) image: Option<Uuid>,
    pub(crate) modification: Option<Uuid>,
    pub(crate) parent: Option<Uuid>,
    /// The parent's modification when this disk became a difference to it.
    pub(crate) parent_modification: Option<Uuid>,
}

/// The parent's UUID; zeros in any number say that there is none.
pub(crate) fn parse_parent(key: &'static str, value: &str) -> Result<Option<Uuid>, VmdkError> {
    if value.chars().all(|c| matches!(c, '0' | '-' | '{' | '}')) {
        return Ok(None);
    }
    let bad = |_| VmdkError::Value { key, value: value.chars().take(200).collect() };
    Uuid::try_parse(value).map(Some).map_err(bad)
}

impl Uuids {
    /// Takes the value of `key` (in lower case) if it is one of those that are only compared.
    pub(crate) fn take(&mut self, key: &str, value: &str) {
        let slot = match key {
            "ddb.uuid.image" => &mut self.image,
            "ddb.uuid.modification" => &mut self.modification,
            "ddb.uuid.parentmodification" => &mut self.parent_modification,
            _ => return,
        };
        *slot = Uuid::try_parse(value).ok().filter(|uuid| !uuid.is_nil());
    }

    pub(crate) fn describe(&self, details: &mut Details) {
        let named = [
            (IMAGE, self.image),
            (MODIFICATION, self.modification),
            ("parent-uuid", self.parent),
            ("parent-modification-uuid", self.parent_modification),
        ];
        for (key, uuid) in named {
            if let Some(uuid) = uuid {
                details.insert(key.into(), uuid.to_string().into());
            }
        }
    }

    /// What these say against the image that was taken for the parent.
    pub(crate) fn remark_on(&self, parent: &dyn Layer) -> Option<Warning> {
        let details = parent.details();
        let found = |key: &str| details.get(key).and_then(|uuid| Uuid::try_parse(uuid.as_str()?).ok());
        let differs = |wanted: Option<Uuid>, key: &str| {
            let (wanted, found) = (wanted?, found(key)?);
            (wanted != found).then_some((wanted, found))
        };
        if let Some((wanted, found)) = differs(self.parent, IMAGE) {
            let message = format!("the disk is a difference to the disk {wanted}, its parent is {found}");
            return Some(Warning::new("vmdk-parent-uuid", message));
        }
        let (wanted, found) = differs(self.parent_modification, MODIFICATION)?;
        let message = format!(
            "the parent was written after the disk became a difference to it (modification {wanted} then, {found} \
             now): grains of the two may not belong together"
        );
        Some(Warning::new("vmdk-parent-modified", message))
    }
}

//! The boot configuration data: a hive in which objects (boot manager, loaders, settings) have elements by number.
//!
//! Sources: Microsoft, "Boot Configuration Data" (`BcdLibraryElementTypes`, `BcdBootMgrElementTypes`,
//! `BcdOSLoaderElementTypes`) for the numbers; where an object and its elements lie in the hive is as virt-v2v,
//! pbcdedit and BCD-SYS read and write it: the type of an object in `Description\Type`, an element in the value
//! `Element` of a key named by its number in hex. Switches are one byte and numbers eight bytes of `REG_BINARY`,
//! references are `REG_SZ`, lists of them `REG_MULTI_SZ`.
//!
//! What an object inherits from others is not followed: what is looked at here, Windows' own tools write into the
//! object itself.

mod device;
mod guid;
mod mend;
#[cfg(test)]
pub(crate) mod phony_store;
mod places;

use driver_core::Draft;
use driver_registry::Value;
use format_core::Result;

#[cfg(test)]
use device::element;
use device::{Device, Place};
#[cfg(test)]
use guid::Guid;
pub(crate) use mend::mend;
#[cfg(test)]
use places::letter_data;
use places::{find, has_letter, place_of};

/// The boot manager.
pub(crate) const BOOT_MANAGER: &str = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}";
/// Where and how fast the emergency console speaks.
pub(crate) const EMS_SETTINGS: &str = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}";

/// Object type: a loader of Windows.
const LOADER: u32 = 0x1020_0003;
/// Object type: settings that loaders inherit.
const LOADER_SETTINGS: u32 = 0x2020_0003;

/// All objects: the device that the program itself lies on.
const DEVICE: u32 = 0x1100_0001;
/// All objects: automatic repair after starts that failed.
pub(crate) const RECOVERY_ENABLED: u32 = 0x1600_0009;
/// All objects: the emergency console before Windows starts.
pub(crate) const BOOT_EMS: u32 = 0x1600_0020;
/// All objects: the number of the console's serial port.
pub(crate) const EMS_PORT: u32 = 0x1500_0022;
/// All objects: bits a second on it.
pub(crate) const EMS_BAUD_RATE: u32 = 0x1500_0023;
/// All objects: no graphics before Windows starts.
pub(crate) const GRAPHICS_MODE_DISABLED: u32 = 0x1600_0046;
/// Boot manager: the entries of its menu.
const DISPLAY_ORDER: u32 = 0x2400_0001;
/// Boot manager: the entries of the next start only.
pub(crate) const BOOT_SEQUENCE: u32 = 0x2400_0002;
/// Boot manager: the entry that is started.
pub(crate) const DEFAULT: u32 = 0x2300_0003;
/// Boot manager: the next start goes on from a hibernation.
pub(crate) const ATTEMPT_RESUME: u32 = 0x2600_0005;
/// Loader: the device that Windows lies on.
const OS_DEVICE: u32 = 0x2100_0001;
/// Loader: the folder of Windows on it.
const SYSTEM_ROOT: u32 = 0x2200_0002;
/// Loader: the emergency console in Windows.
pub(crate) const EMS: u32 = 0x2600_00b0;
/// Loader: what counts as a failed start. 1 is nothing.
pub(crate) const BOOT_STATUS_POLICY: u32 = 0x2500_00e0;

/// The name of an element's only value.
pub(crate) const ELEMENT: &str = "Element";

/// Key of an object.
fn object_key(object: &str) -> String {
    format!(r"BCD\Objects\{object}")
}

/// Key of an element.
pub(crate) fn element_key(object: &str, element: u32) -> String {
    format!(r"{}\Elements\{element:08x}", object_key(object))
}

/// A switch as it is stored.
pub(crate) fn switch(on: bool) -> Value {
    Value::binary([u8::from(on)])
}

/// A number as it is stored.
pub(crate) fn number(number: u64) -> Value {
    Value::binary(number.to_le_bytes())
}

/// The guest's boot configuration, with what is planned for it.
pub(crate) struct Store<'a, 't>(pub(crate) &'a Draft<'t>);

impl Store<'_, '_> {
    /// Whether there is an object of this name.
    pub(crate) fn has(&self, object: &str) -> Result<bool> {
        self.0.has_key(&object_key(object))
    }

    fn kind(&self, object: &str) -> Result<Option<u32>> {
        let value = self.0.value(&format!(r"{}\Description", object_key(object)), "Type")?;
        Ok(value.as_ref().and_then(Value::as_u32))
    }

    fn of_kind(&self, kinds: &[u32]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for object in self.0.subkeys(r"BCD\Objects")? {
            if self.kind(&object)?.is_some_and(|kind| kinds.contains(&kind)) {
                found.push(object);
            }
        }
        Ok(found)
    }

    /// Whatever starts a Windows: that of the disks, a recovery environment.
    pub(crate) fn loaders(&self) -> Result<Vec<String>> {
        self.of_kind(&[LOADER])
    }

    /// The loaders, and the settings that they inherit.
    pub(crate) fn loaders_and_settings(&self) -> Result<Vec<String>> {
        self.of_kind(&[LOADER, LOADER_SETTINGS])
    }

    /// The loader that is started when nobody chooses: the default one, else the first of the menu.
    pub(crate) fn default_loader(&self) -> Result<Option<String>> {
        let default = self.text(BOOT_MANAGER, DEFAULT)?;
        let menu = self.list(BOOT_MANAGER, DISPLAY_ORDER)?;
        for object in default.into_iter().chain(menu) {
            if self.kind(&object)? == Some(LOADER) {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    fn value(&self, object: &str, element: u32) -> Result<Option<Value>> {
        self.0.value(&element_key(object, element), ELEMENT)
    }

    /// An element that is a text.
    pub(crate) fn text(&self, object: &str, element: u32) -> Result<Option<String>> {
        Ok(self.value(object, element)?.as_ref().and_then(Value::as_str))
    }

    /// An element that is a list of objects; empty when there is none.
    pub(crate) fn list(&self, object: &str, element: u32) -> Result<Vec<String>> {
        Ok(self.value(object, element)?.as_ref().and_then(Value::as_multi_str).unwrap_or_default())
    }

    /// Whether a switch is there and on.
    pub(crate) fn is_on(&self, object: &str, element: u32) -> Result<bool> {
        Ok(self
            .value(object, element)?
            .is_some_and(|value| value.data.first().is_some_and(|byte| *byte != 0)))
    }

    /// The data of an element that names a device.
    pub(crate) fn device_data(&self, object: &str, element: u32) -> Result<Option<Vec<u8>>> {
        Ok(self.value(object, element)?.map(|value| value.data))
    }

    /// Whether only one loader starts a Windows from a partition.
    pub(crate) fn has_one_system(&self) -> Result<bool> {
        let mut systems = 0;
        for loader in self.loaders()? {
            let data = self.device_data(&loader, OS_DEVICE)?;
            systems +=
                u32::from(data.is_some_and(|data| matches!(Device::parse(&data), Device::Partition(_))));
        }
        Ok(systems == 1)
    }
}

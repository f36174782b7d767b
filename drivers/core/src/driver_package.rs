//! Windows driver packages as their INF files declare them: data for whoever puts one into a guest.
//!
//! Nothing in here is known by heart: identifiers, start types and parameters are what the INF says for one version of
//! Windows and one processor.

use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// A driver package, as far as one guest is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverPackage {
    /// Name of the INF file, in the spelling of the disc or folder: `viostor.inf`.
    pub inf: String,
    /// The INF's folder on the disc or below the folder that was given, for people: `viostor/2k19/amd64`.
    pub source: String,
    /// Who provides it: `Red Hat, Inc.`
    pub provider: String,
    /// Setup class: `SCSIAdapter`. Empty where the INF names none.
    pub class: String,
    /// Setup class, lower case and in braces: `{4d36e97b-e325-11ce-bfc1-08002be10318}`. Empty where the INF names none.
    pub class_guid: String,
    /// Date of the driver; all zeros where the INF has none, as in Windows.
    pub date: DriverDate,
    /// Version of the driver, most significant part first; all zeros where the INF has none.
    pub version: [u16; 4],
    /// File name of the catalog that the INF names for this processor. Whether it is there: [`DriverPackage::files`].
    pub catalog: Option<String>,
    /// Services that the chosen sections add, each once.
    pub services: Vec<DriverService>,
    /// Devices that the package drives on this guest, in the INF's order.
    pub devices: Vec<DriverDevice>,
    /// The INF itself first, then the catalog, then what the chosen sections copy.
    pub files: Vec<PackageFile>,
    /// What the INF declares and nobody here could follow, a sentence each: sections of other INF files, entries of
    /// unknown kinds, files that are missing.
    pub notes: Vec<String>,
}

impl DriverPackage {
    /// The service of that name, in any case.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&DriverService> {
        self.services.iter().find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// The file that is installed under this name, or has it in the package, in any case.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&PackageFile> {
        let installed =
            |file: &&PackageFile| file.target.as_ref().is_some_and(|it| it.name.eq_ignore_ascii_case(name));
        let own = |file: &&PackageFile| file.name.eq_ignore_ascii_case(name);
        self.files.iter().find(installed).or_else(|| self.files.iter().find(own))
    }
}

/// A day, as in `DriverVer`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DriverDate {
    /// Such as 2023.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A service that an INF adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverService {
    /// Key below `Services`.
    pub name: String,
    /// For people; where the INF has one.
    pub display_name: Option<String>,
    /// `Type`: 1 is a kernel driver.
    pub service_type: u32,
    /// `Start`: 0 boot, 1 system, 2 automatic, 3 on demand, 4 disabled.
    pub start: u32,
    /// `ErrorControl`.
    pub error_control: u32,
    /// `Group`.
    pub load_order_group: Option<String>,
    /// `DependOnService`, and groups with `+` in front.
    pub dependencies: Vec<String>,
    /// File name: `viostor.sys`.
    pub binary: String,
    /// Where the binary lies, as a DIRID: 12 is `System32\drivers`, 13 the package's own folder in the driver store.
    pub binary_dirid: Option<u32>,
    /// Values below the service's key.
    pub values: Vec<ServiceValue>,
}

/// A value of the registry, below the key of a service or of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceValue {
    /// Key below that key: `Parameters\PnpInterface`. Empty for the key itself.
    pub key: String,
    /// Empty for the key's unnamed value.
    pub name: String,
    /// What is written.
    pub value: ServiceData,
    /// What becomes of a value that is there already.
    pub mode: WriteMode,
}

/// Content of a [`ServiceValue`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ServiceData {
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_SZ`, without the terminator.
    String(String),
    /// `REG_EXPAND_SZ`, without the terminator.
    ExpandString(String),
    /// `REG_MULTI_SZ`, without terminators.
    MultiString(Vec<String>),
    /// `REG_BINARY`.
    Binary(Vec<u8>),
    /// No value: the key is made and left empty. The name means nothing.
    Key,
}

/// What becomes of a value that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WriteMode {
    /// It is replaced.
    Set,
    /// It stays.
    Keep,
    /// The strings are added to it; of `REG_MULTI_SZ` only.
    Append,
    /// It is replaced, and nothing is written where there is none.
    ReplaceOnly,
}

/// A device that a package drives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DriverDevice {
    /// As the INF spells it: `PCI\VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00`.
    pub hardware_id: String,
    /// Whether the INF lists it behind the first identifier of its line: Windows ranks such a match lower.
    pub is_compatible_id: bool,
    /// For people.
    pub description: String,
    /// The device's function driver, a name in [`DriverPackage::services`]. `None` for a device without one, or with
    /// one that an INF of Windows adds.
    pub service: Option<String>,
    /// Values below the device's hardware key.
    pub values: Vec<ServiceValue>,
}

/// A file of a package.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct PackageFile {
    /// Path below the INF's folder, with `\`: `viostor.sys`, `x64\filter.sys`.
    pub name: String,
    /// Where an installation puts it. `None` for the INF and the catalog.
    pub target: Option<FileTarget>,
    /// All of it.
    #[serde(skip)]
    pub content: Arc<[u8]>,
}

impl fmt::Debug for PackageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.content.len())
    }
}

/// Where a file of a package is installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileTarget {
    /// Folder: 11 `System32`, 12 `System32\drivers`, 13 the package's own folder in the driver store. `None` where the
    /// INF does not say.
    pub dirid: Option<u32>,
    /// Below that folder, with `\`; mostly empty.
    pub folder: String,
    /// Its name there.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, installed: Option<&str>) -> PackageFile {
        let target = installed.map(|name| FileTarget {
            dirid: Some(12),
            folder: String::new(),
            name: name.to_owned(),
        });
        PackageFile { name: name.to_owned(), target, content: Arc::from(vec![7; 1000]) }
    }

    #[test]
    fn a_file_is_found_by_its_name_in_the_guest_before_its_name_in_the_package() {
        let package = DriverPackage {
            inf: "a.inf".into(),
            source: String::new(),
            provider: String::new(),
            class: String::new(),
            class_guid: String::new(),
            date: DriverDate::default(),
            version: [0; 4],
            catalog: None,
            services: Vec::new(),
            devices: Vec::new(),
            files: vec![file("a.inf", None), file("a.sys", Some("old.sys")), file("b.sys", Some("A.sys"))],
            notes: Vec::new(),
        };
        assert_eq!(package.file("a.SYS").map(|file| file.name.as_str()), Some("b.sys"));
        assert_eq!(package.file("B.sys").map(|file| file.name.as_str()), Some("b.sys"));
        assert_eq!(package.file("A.inf").map(|file| file.name.as_str()), Some("a.inf"));
        assert!(package.file("c.sys").is_none());
        let text = format!("{package:?}");
        assert!(text.contains("a.sys (1000 bytes)") && !text.contains("7, 7"), "{text}");
    }
}

//! Packages in a folder, archived and summed up by other programs; and the formats inside of them.

use format_core::{
    Disk, Error, Extent, Format, Layer, OpenOptions, OpenedImage, Result, Score, Storage, open_images,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Raw disks and gzip, as far as these tests need them: rooms do not see each other.
static RAW: Format = Format {
    name: "raw",
    extensions: &["raw", "img"],
    probe: |_, _| Score::Possible,
    open_layer: Some(|storage, _| Ok(Box::new(Raw(storage)))),
    ..Format::NONE
};
static GZIP: Format = Format {
    name: "gzip",
    extensions: &["gz"],
    probe: |head, _| if head.starts_with(&[0x1f, 0x8b]) { Score::Magic } else { Score::No },
    unpack: Some(|reader, _| Ok(Box::new(flate2::read::MultiGzDecoder::new(reader)))),
    ..Format::NONE
};
/// An image that names another file.
static POINTER: Format = Format {
    name: "pointer",
    extensions: &["vmdk"],
    probe: |head, _| if head.starts_with(b"KDMV") { Score::Magic } else { Score::No },
    open_layer: Some(|storage, context| {
        let mut bytes = vec![0; storage.size() as usize];
        storage.read_exact_at(0, &mut bytes)?;
        match bytes.strip_prefix(b"KDMV->") {
            Some(name) => {
                Ok(Box::new(Raw(Arc::new(context.gate.open(std::str::from_utf8(name).unwrap())?.storage))))
            }
            None => Ok(Box::new(Raw(storage))),
        }
    }),
    ..Format::NONE
};
static FORMATS: &[&Format] = &[&RAW, &GZIP, &POINTER, &format_ova::FORMAT, &format_ova::OVF];

struct Raw(Arc<dyn Storage>);

impl Layer for Raw {
    fn format(&self) -> &'static str {
        "raw"
    }
    fn virtual_size(&self) -> u64 {
        self.0.size()
    }
    fn chunk_size(&self) -> u64 {
        1
    }
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        self.0.data_at(offset)
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset, buf)
    }
}

pub(crate) fn options() -> OpenOptions {
    OpenOptions::new(FORMATS, None)
}

pub(crate) fn open(path: &Path) -> Result<Vec<OpenedImage>> {
    open_images(path, &options())
}

pub(crate) fn refused(path: &Path) -> Error {
    match open(path) {
        Ok(_) => panic!("the package was opened"),
        Err(error) => error,
    }
}

pub(crate) fn bytes_of(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![7; disk.virtual_size() as usize];
    disk.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

/// Bytes that differ everywhere.
pub(crate) fn content(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(&mut next).take(len).collect()
}

/// Runs a program, which has to be there and to succeed.
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output =
        output.unwrap_or_else(|e| panic!("{program} is missing ({e}): install it, see tests/packages.sh"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An envelope: elements of the References, of the DiskSection, and devices.
pub(crate) fn envelope(files: &str, disks: &str, items: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- made by a test -->
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
    xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References>{files}</References>
  <DiskSection><Info>&lt;disks &#38; more&gt;</Info>{disks}</DiskSection>
  <VirtualSystem ovf:id="vm"><Info>x</Info><VirtualHardwareSection>{items}</VirtualHardwareSection></VirtualSystem>
</Envelope>
"#
    )
}

/// Devices of two controllers, where the disk `first` hangs at the first place of the first.
pub(crate) fn items(first: &str, second: &str) -> String {
    let controller = |id: u32, address: u32| {
        format!(
            "<Item><rasd:Address>{address}</rasd:Address><rasd:InstanceID>{id}</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>"
        )
    };
    let disk = |disk: &str, id: u32, parent: u32, place: u32| {
        format!(
            "<Item><rasd:AddressOnParent>{place}</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/{disk}</rasd:HostResource>\
             <rasd:InstanceID>{id}</rasd:InstanceID><rasd:Parent>{parent}</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>"
        )
    };
    [controller(3, 1), controller(4, 0), disk(second, 5, 3, 0), disk(first, 6, 4, 1)].concat()
}

/// A folder with a package.
pub(crate) struct Package(pub(crate) tempfile::TempDir);

impl Package {
    pub(crate) fn new(envelope: &str) -> Self {
        let package = Self(tempfile::tempdir().unwrap());
        package.add("vm.ovf", envelope.as_bytes());
        package
    }

    /// Two raw disks and a blank one, in another order than the machine has them.
    pub(crate) fn usual() -> Self {
        let files = r#"<File ovf:id="f1" ovf:href="a.img" ovf:size="5000"/><File ovf:id="f2" ovf:href="b c.img" ovf:size="6000"/>"#;
        let disks = r#"<Disk ovf:diskId="d1" ovf:capacity="5000" ovf:fileRef="f1"/>
            <Disk ovf:diskId="d2" ovf:capacity="6000" ovf:capacityAllocationUnits="byte" ovf:fileRef="f2"/>
            <Disk ovf:diskId="blank" ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^20"/>"#;
        let package = Self::new(&envelope(files, disks, &items("d2", "d1")));
        package.add("a.img", &content(1, 5000));
        package.add("b c.img", &content(2, 6000));
        package
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn ovf(&self) -> PathBuf {
        self.path().join("vm.ovf")
    }

    pub(crate) fn add(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    /// The manifest that the program `sum` makes of these files.
    pub(crate) fn sum(&self, sum: &str, label: &str, files: &[&str]) {
        let lines = run(self.path(), sum, files);
        let line =
            |line: &str| line.split_once("  ").map(|(digits, name)| format!("{label}({name})= {digits}\n"));
        let text: String = lines.lines().filter_map(line).collect();
        self.add("vm.mf", text.as_bytes());
    }

    /// The archive of these files, made by GNU tar.
    pub(crate) fn archive(&self, members: &[&str]) -> PathBuf {
        self.archive_with(&["--format=ustar"], members)
    }

    pub(crate) fn archive_with(&self, options: &[&str], members: &[&str]) -> PathBuf {
        run(self.path(), "tar", &[&["-cf", "vm.ova"], options, &["--"], members].concat());
        self.path().join("vm.ova")
    }
}

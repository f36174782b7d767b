//! Folders of a backup, and a format for the images in them.

use format_core::{
    Error, Extent, ExtentKind, Format, Layer, LayerContext, OpenOptions, OpenedImage, Result, Score, Storage,
    check_guest_range, open_image, open_images,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Stands for VHDX: eight bytes of magic, then the disk.
pub static IMAGE: Format = Format {
    name: "image",
    extensions: &["vhdx", "vhd"],
    probe: |head, _| if head.starts_with(b"an image") { Score::Magic } else { Score::No },
    open_layer: Some(open_layer),
    ..Format::NONE
};

pub static FORMATS: &[&Format] = &[&format_wsb::FORMAT, &IMAGE];

struct Plain(Arc<dyn Storage>);

fn open_layer(storage: Arc<dyn Storage>, _: &LayerContext) -> Result<Box<dyn Layer>> {
    if storage.size() < 8 {
        return Err(Error::corrupt("too short"));
    }
    Ok(Box::new(Plain(storage)))
}

impl Layer for Plain {
    fn format(&self) -> &'static str {
        "image"
    }

    fn virtual_size(&self) -> u64 {
        self.0.size() - 8
    }

    fn chunk_size(&self) -> u64 {
        1
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        check_guest_range(self.virtual_size(), offset, 1)?;
        Ok(Extent { offset, len: self.virtual_size() - offset, kind: ExtentKind::Data })
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(offset + 8, buf)
    }
}

pub const SYSTEM: &str = "06fedb78-0000-0000-0000-100000000000.vhdx";
pub const WINDOWS: &str = "06fedb78-0000-0000-0000-501f00000000.vhdx";
pub const DATA: &str = "9b9cfbc3-369e-11e9-a17c-806e6f6e6963.vhdx";

/// A point in time with images of these names in the folder of `host`, which is returned.
pub fn backup(root: &Path, host: &str, name: &str, volumes: &[&str]) -> PathBuf {
    let host = root.join("WindowsImageBackup").join(host);
    let folder = host.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(host.join("Catalog")).unwrap();
    std::fs::write(host.join("Catalog/GlobalCatalog"), b"catalog").unwrap();
    std::fs::write(host.join("MediaId"), b"id").unwrap();
    std::fs::write(folder.join("BackupSpecs.xml"), b"<BackupSpecs/>").unwrap();
    std::fs::write(folder.join("cd113385-65ff-4ea2-8ced-5630f6feca8f_Components.xml"), b"<x/>").unwrap();
    for volume in volumes {
        std::fs::write(folder.join(volume), format!("an image{name} {volume}")).unwrap();
    }
    host
}

pub fn options() -> OpenOptions {
    OpenOptions::new(FORMATS, None)
}

pub fn open_all(path: &Path) -> Result<Vec<OpenedImage>> {
    open_images(path, &options())
}

pub fn open_one(path: &Path, options: &OpenOptions) -> Result<OpenedImage> {
    open_image(path, options)
}

pub fn text(image: &OpenedImage) -> String {
    let mut bytes = vec![0; image.disk.virtual_size() as usize];
    image.disk.read_exact_at(0, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

//! An image as a container of its one disk: so its hashes are compared beside a copy, and what is missing is told.

use crate::image::Image;
use crate::parse::Hashes;
use crate::read::EwfLayer;
use crate::scan::scan;
use crate::verify;
use format_core::{
    CheckReport, Container, Details, Disk, DiskEntry, Error, Finding, InnerImage, LayerContext, Origin,
    Result, SourceProof, Tick, Warning,
};
use std::sync::Arc;

struct EwfContainer {
    image: Arc<Image>,
    disks: [DiskEntry; 1],
}

pub(crate) fn open(origin: Origin, context: &LayerContext) -> Result<Box<dyn Container>> {
    let Origin::File(storage) = origin else {
        return Err(Error::usage("an EWF image is a file").hint("name its first segment, which ends in .E01"));
    };
    let image = Arc::new(scan(storage, context)?);
    let disk = DiskEntry { name: "disk".to_owned(), virtual_size: Some(image.volume.virtual_size()) };
    Ok(Box::new(EwfContainer { image, disks: [disk] }))
}

impl Container for EwfContainer {
    fn format(&self) -> &'static str {
        crate::FORMAT.name
    }

    fn disks(&self) -> &[DiskEntry] {
        &self.disks
    }

    fn open_disk(&self, _: usize) -> Result<InnerImage> {
        let layer = EwfLayer::new(Arc::clone(&self.image));
        Ok(InnerImage::plain(Disk::new(vec![Arc::new(layer)])?))
    }

    fn details(&self) -> Details {
        self.image.details()
    }

    fn warnings(&self) -> &[Warning] {
        &self.image.warnings
    }

    fn completeness(&self) -> Result<Vec<Finding>> {
        let finding = |(severity, message)| Finding { severity, message, at: None };
        Ok(verify::completeness(&self.image).into_iter().map(finding).collect())
    }

    fn check(&self, tick: Tick<'_>) -> Result<CheckReport> {
        verify::check(&self.image, tick)
    }

    fn proof(&self, _: usize) -> Option<SourceProof> {
        let image = Arc::clone(&self.image);
        (image.hashes != Hashes::default())
            .then(|| Box::new(move |tick: Tick<'_>| verify::prove(&image, tick)) as SourceProof)
    }
}

//! `rehome info`

use crate::args::InfoArgs;
use crate::container::{ContainerFacts, plain};
use crate::output::{Printer, safe};
use format_core::units::format_size;
use format_core::{ChainLink, Details, Layer, OpenedImage, Result, Warning, open_images};
use serde::Serialize;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Outcome {
    #[serde(flatten)]
    image: Image,
    /// The image and its parents, top first.
    chain: Vec<Image>,
    /// What the disk lies in, where that holds several or more than a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<ContainerFacts>,
    warnings: Vec<Warning>,
}

/// One image of the chain, with the keys of `qemu-img info --output json`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    filename: String,
    format: &'static str,
    virtual_size: u64,
    actual_size: u64,
    file_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    full_backing_filename: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backing_filename_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_identity: Option<String>,
    encrypted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format_specific: Option<FormatSpecific>,
}

#[derive(Clone, Serialize)]
struct FormatSpecific {
    #[serde(rename = "type")]
    kind: &'static str,
    data: Details,
}

impl Image {
    fn new(link: &ChainLink, layer: &dyn Layer, parent: Option<&ChainLink>) -> Self {
        let mut data = layer.details();
        let snapshots =
            data.remove("snapshots").filter(|list| list.as_array().is_some_and(|list| !list.is_empty()));
        let named = layer.parent();
        Self {
            filename: link.path.display().to_string(),
            format: link.format.name,
            virtual_size: link.virtual_size,
            actual_size: link.allocated_size + link.parts.iter().map(|part| part.allocated_size).sum::<u64>(),
            file_size: link.file_size + link.parts.iter().map(|part| part.file_size).sum::<u64>(),
            cluster_size: Some(link.chunk_size).filter(|&size| size > 1),
            backing_filename: named.and_then(|parent| parent.names.first().cloned()),
            full_backing_filename: parent.map(|parent| parent.path.display().to_string()),
            backing_filename_format: parent.map(|parent| parent.format.name.into()),
            identity: layer.identity().map(str::to_owned),
            parent_identity: named.and_then(|parent| parent.identity.clone()),
            encrypted: data.contains_key("encrypt"),
            files: link.parts.iter().map(|part| part.path.display().to_string()).collect(),
            snapshots,
            format_specific: (!data.is_empty()).then_some(FormatSpecific { kind: link.format.name, data }),
        }
    }
}

pub(crate) fn run(args: &InfoArgs, printer: &Printer) -> Result<ExitCode> {
    let opened = open_images(&args.image, &args.open.options()?)?;
    let Some(first) = opened.first() else {
        return Err(format_core::Error::contract("an image without files"));
    };
    let container = ContainerFacts::of(&opened)?;
    let chain = images(first);
    let Some(image) = chain.first().cloned() else {
        return Err(format_core::Error::contract("an image without files"));
    };
    let outcome = Outcome { image, chain, container, warnings: first.warnings.clone() };
    printer.result(&outcome, human)?;
    printer.warnings(&outcome.warnings);
    Ok(ExitCode::SUCCESS)
}

fn images(opened: &OpenedImage) -> Vec<Image> {
    let links = opened.chain.iter().zip(opened.disk.layers());
    let parents = opened.chain.iter().skip(1).map(Some).chain([None]);
    links.zip(parents).map(|((link, layer), parent)| Image::new(link, layer.as_ref(), parent)).collect()
}

fn human(o: &Outcome) -> String {
    if let Some(container) = &o.container {
        let image = &o.image;
        let sizes = format!("{} (file of {})", format_size(image.actual_size), format_size(image.file_size));
        let named =
            format!("image: {}\nfile format: {}\ndisk size: {sizes}\n", safe(&image.filename), image.format);
        return named + &container.lines();
    }
    o.chain.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(image: &Image) -> String {
    let mut lines = vec![
        format!("image: {}", safe(&image.filename)),
        format!("file format: {}", image.format),
        format!("virtual size: {} ({} bytes)", format_size(image.virtual_size), image.virtual_size),
        format!("disk size: {} (file of {})", format_size(image.actual_size), format_size(image.file_size)),
    ];
    let mut optional = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("{name}: {}", safe(&value))));
    };
    optional("cluster_size", image.cluster_size.map(|size| size.to_string()));
    optional("encrypted", image.encrypted.then(|| "yes".into()));
    optional("backing file", image.backing_filename.clone());
    optional("backing file found", image.full_backing_filename.clone());
    optional("backing file format", image.backing_filename_format.clone());
    optional("identity", image.identity.clone());
    optional("parent identity", image.parent_identity.clone());
    lines.extend(image.files.iter().map(|file| format!("further file: {}", safe(file))));
    if let Some(Value::Array(snapshots)) = &image.snapshots {
        lines.push("snapshots:".into());
        lines.extend(snapshots.iter().map(|snapshot| format!("    {}", safe(&plain(snapshot)))));
    }
    if let Some(specific) = &image.format_specific {
        lines.push("format specific information:".into());
        lines.extend(
            specific.data.iter().map(|(key, value)| format!("    {}: {}", safe(key), safe(&plain(value)))),
        );
    }
    lines.join("\n") + "\n"
}

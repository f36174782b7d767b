//! Arguments of the command that serves disks.

use super::OpenArgs;
use clap::Args;
use convert_nbd::Address;
use std::path::PathBuf;

fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|e: format_core::Error| match e.hint_text() {
        Some(hint) => format!("{e}: {hint}"),
        None => e.to_string(),
    })
}

#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The images to serve, each as an export of its own. They are opened read-only.
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) open: OpenArgs,
    /// Let clients write. What they write goes into an overlay in memory and, where it grows, into an unnamed temporary file; it is
    /// dropped at the end. The images are not changed.
    #[arg(long)]
    pub(crate) overlay: bool,
    /// Where clients connect: unix:PATH, a socket that only its owner can open, or tcp:127.0.0.1:PORT, which everyone on this host
    /// can; port 0 is any that is free. By default a socket in a new folder of its own.
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) listen: Option<Address>,
    /// The name of the export, once for each image in their order. By default a single image has none, and several have their file
    /// names. A client that asks for no name gets the first.
    #[arg(long, value_name = "NAME")]
    pub(crate) export: Vec<String>,
    /// End when the last client has gone.
    #[arg(long)]
    pub(crate) once: bool,
}

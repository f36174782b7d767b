//! What a command reads.

use super::Why;
use crate::args::{ChainArgs, Command, OpenArgs, WhereArgs};
use crate::commands::convert::is_pipe;
use convert_sandbox::Rules;
use std::path::{Path, PathBuf};

/// Where the chunks of a Proxmox Backup Server's datastore lie, above its backups.
const CHUNKS: &str = ".chunks";
/// Folders above a backup that can be its datastore: type, machine and time, and the namespaces.
const ABOVE: usize = 24;

pub(super) struct Inputs<'a> {
    /// With what lies beside them.
    pub(super) images: Vec<&'a Path>,
    /// Without.
    files: Vec<&'a Path>,
    chain: Option<&'a ChainArgs>,
}

impl Inputs<'_> {
    pub(super) fn allow(&self, rules: &mut Rules) {
        for image in self.images.iter().filter(|image| !is_pipe(image) && !crate::remotes::is_address(image))
        {
            rules.read_image(image);
            if let Some(datastore) = datastore_of(image) {
                rules.read(&datastore);
            }
        }
        for file in &self.files {
            rules.read(file);
        }
        let Some(chain) = self.chain else { return };
        for folder in &chain.allow_parent {
            rules.read(folder);
        }
        for parent in &chain.parent {
            rules.read_image(parent);
        }
        for key in &chain.key_file {
            rules.read(key);
        }
        if let Some(folder) = &chain.spool {
            rules.write_temporary(folder);
        }
    }
}

impl Inputs<'_> {
    /// Files with secrets, certificates and addresses, also of the address `target` that is written to.
    pub(super) fn secrets(&self, target: Option<&Path>) -> impl Iterator<Item = PathBuf> {
        let all: Vec<&Path> = self.images.iter().copied().chain(target).collect();
        let cloud = self.chain.map(|chain| &chain.cloud);
        let of_cloud = cloud.into_iter().flat_map(|cloud| cloud.credentials.iter().chain(&cloud.ca_file));
        let texts = all.iter().filter_map(|path| path.to_str());
        let of_addresses = texts.filter_map(crate::remotes::file_with_address).map(Path::to_owned);
        let tls = all.iter().filter_map(|path| {
            let (_, folder) = path.to_str()?.split_once("tls-certificates=")?;
            Some(PathBuf::from(folder.split('&').next()?))
        });
        of_cloud.cloned().chain(of_addresses).chain(tls).collect::<Vec<_>>().into_iter()
    }
}

/// What `command` reads, or why nobody says so.
pub(super) fn of(command: &Command) -> Result<Inputs<'_>, Why> {
    let chained = |images, chain| Ok(Inputs { images, files: Vec::new(), chain: Some(chain) });
    let opened = |images, open| Ok(with(images, open));
    match command {
        Command::Inspect(args) => opened(paths(&args.images), &args.open),
        Command::Convert(args) | Command::Flatten(args) => {
            let files = args.rescue.source_mapfile.as_deref().into_iter().collect();
            Ok(Inputs { files, ..with(args.sources(), &args.open) })
        }
        Command::Migrate(args) => {
            let virtio = args.virtio_win.as_deref();
            let files = args.machine.iter().map(PathBuf::as_path).chain(virtio).collect();
            Ok(Inputs { files, ..with(paths(&args.sources), &args.open) })
        }
        Command::BootTest(args) => {
            Ok(Inputs { files: paths(&args.machine), ..with(paths(&args.images), &args.open) })
        }
        Command::Delta(args) => opened(vec![args.base.as_path(), args.top.as_path()], &args.open),
        Command::Create(args) => chained(args.base.as_deref().into_iter().collect(), &args.chain),
        Command::Info(args) => opened(vec![args.image.as_path()], &args.open),
        Command::Chain(args) => chained(vec![args.image.as_path()], &args.chain),
        Command::Consolidate(args) => chained(vec![args.top.as_path()], &args.chain),
        Command::Map(args) => opened(vec![args.image.as_path()], &args.open),
        Command::Measure(args) => opened(args.image.as_deref().into_iter().collect(), &args.open),
        Command::Check(args) => opened(vec![args.image.as_path()], &args.open),
        // Its list of blocks lies beside the manifest.
        Command::Verify(args) => opened(
            std::iter::once(args.image.as_path()).chain(args.manifest.as_deref()).collect(),
            &args.open,
        ),
        Command::Compare(args) => chained(vec![args.a.as_path(), args.b.as_path()], &args.open.chain),
        Command::Diff(args) => chained(vec![args.a.as_path(), args.b.as_path()], &args.open.chain),
        Command::Digest(args) => opened(vec![args.image.as_path()], &args.open),
        Command::Serve(args) => opened(paths(&args.images), &args.open),
        Command::Ls(args) => Ok(looked_into(&args.place)),
        Command::Cat(args) => Ok(looked_into(&args.place)),
        Command::CpOut(args) => Ok(looked_into(&args.place)),
        Command::Capture(_) | Command::Cutover(_) => {
            Err("ssh has keys and settings of its own, and needs the network")
        }
        // What it may read is settled in its own rules.
        Command::Agent(_) => Ok(Inputs { images: Vec::new(), files: Vec::new(), chain: None }),
        Command::Batch(_) => Err("the files of a batch stand in its job file"),
        Command::Mount(_) => Err("a sandbox takes away what mounts and unmounts"),
        Command::SupportBundle(_) => Err("images are read by children, each in a sandbox of its own"),
        Command::Destination(_) | Command::Doctor(_) => Err("it is about the host itself"),
        Command::Report(_) => Err("it reads no image, and signs with programs and keys of the operator"),
        Command::Formats | Command::Explain(_) | Command::Completions(_) => Err("it reads no files"),
    }
}

fn with<'a>(images: Vec<&'a Path>, open: &'a OpenArgs) -> Inputs<'a> {
    Inputs { images, files: Vec::new(), chain: Some(&open.chain) }
}

fn paths(list: &[PathBuf]) -> Vec<&Path> {
    list.iter().map(PathBuf::as_path).collect()
}

fn looked_into(place: &WhereArgs) -> Inputs<'_> {
    let images = std::iter::once(&place.image).chain(&place.disk).map(PathBuf::as_path).collect();
    with(images, &place.open)
}

/// The folder above a backup in which its chunks are, also where they are elsewhere by a link: the run says so then.
fn datastore_of(path: &Path) -> Option<PathBuf> {
    let path = path.canonicalize().ok()?;
    let is_datastore = |folder: &&Path| folder.join(CHUNKS).symlink_metadata().is_ok();
    path.ancestors().take(ABOVE).find(is_datastore).map(Path::to_owned)
}

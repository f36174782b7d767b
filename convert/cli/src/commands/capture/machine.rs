//! The machine whose disks are captured: this one, or one over SSH.

use super::{as_image, local};
use crate::args::CaptureArgs;
use crate::remotes::own_program;
use convert_capture::{
    FarProgram, MachineFacts, PhysicalDisk, Roots, Side, Ssh, SshPlace, VolatileFacts, open_ssh_disk,
    volatile_facts,
};
use convert_nbd::ClientLimits;
use format_core::{Error, OpenedImage, Remote, Result, Warning};
use std::path::PathBuf;
use std::sync::Arc;

pub(in crate::commands) enum Machine {
    Here { disks: Vec<PathBuf> },
    Far { ssh: Ssh, program: Arc<FarProgram>, disks: Vec<PathBuf> },
}

impl Machine {
    pub(in crate::commands) fn reach(args: &CaptureArgs) -> Result<Self> {
        let far: Vec<_> = args.sources.iter().filter(|source| crate::remotes::needs_ssh(source)).collect();
        let [address] = far.as_slice() else {
            if !far.is_empty() {
                return Err(Error::usage("one machine is captured at a time")
                    .hint("name its disks with --disk; for many machines see 'rehome batch'"));
            }
            let disks = args.sources.iter().chain(&args.disk).cloned().collect();
            return Ok(Self::Here { disks });
        };
        if args.sources.len() > 1 {
            return Err(Error::usage(
                "a machine over SSH and disks of this one are captured one after the other",
            ));
        }
        let (place, disk) = SshPlace::parse(&address.to_string_lossy())?;
        let ssh = Ssh::new(place, args.ssh.options());
        let program = Arc::new(FarProgram::find(&ssh, &own_program()?)?);
        let disks = disk.map(PathBuf::from).into_iter().chain(args.disk.iter().cloned()).collect();
        Ok(Self::Far { ssh, program, disks })
    }

    pub(in crate::commands) fn name(&self) -> String {
        match self {
            Self::Here { .. } => "this machine".into(),
            Self::Far { ssh, .. } => ssh.place().address(""),
        }
    }

    pub(in crate::commands) fn facts(&self) -> Result<MachineFacts> {
        let facts = match self {
            Self::Here { disks } => MachineFacts::read(&Roots::default(), disks)?,
            Self::Far { program, disks, .. } => {
                let disks: Vec<_> = disks.iter().map(|disk| disk.to_string_lossy()).collect();
                let mut arguments = vec!["agent", "facts"];
                for disk in &disks {
                    arguments.extend(["--disk", disk]);
                }
                MachineFacts::from_json(&program.run(&arguments)?)?
            }
        };
        if facts.disks.is_empty() {
            return Err(Error::usage("the machine has no disk that is one by itself")
                .hint("name what to copy with --disk: a loop device, a volume"));
        }
        Ok(facts)
    }

    pub(in crate::commands) fn volatile(&self) -> Result<VolatileFacts> {
        match self {
            Self::Here { .. } => Ok(volatile_facts(&Roots::default())),
            Self::Far { program, .. } => {
                let json = program.run(&["agent", "facts", "--volatile"])?;
                serde_json::from_slice(&json)
                    .map_err(|e| Error::corrupt("what runs there cannot be read").with_source(e))
            }
        }
    }

    /// The disk as an image, and its side.
    pub(in crate::commands) fn open(
        &self,
        disk: &PhysicalDisk,
        skip_free: bool,
    ) -> Result<(OpenedImage, Arc<dyn Side>)> {
        let Self::Far { ssh, program, .. } = self else {
            return local(&disk.path, disk.identity(), skip_free);
        };
        let (bytes, side) = open_ssh_disk(program, &disk.path, skip_free, &ClientLimits::default())?;
        let warnings: Vec<_> =
            side.hello().notes.iter().map(|note| Warning::new("source-note", note.clone())).collect();
        let whole = crate::commands::agent::whole(Arc::new(bytes))?;
        let address = ssh.place().address(&disk.path);
        Ok((as_image(&address, whole, Arc::clone(&side) as Arc<dyn Remote>, warnings)?, side))
    }
}

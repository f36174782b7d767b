//! The machine whose disks are captured: this one, or one over SSH.

use super::{as_image, local};
use crate::args::CaptureArgs;
use crate::remotes::own_program;
use convert_capture::{
    FarProgram, FarSnapshots, LvmSnapshots, MachineFacts, PhysicalDisk, Roots, Side, SnapshotSide, Snapshots,
    Ssh, SshPlace, VolatileFacts, open_ssh_disk, volatile_facts,
};
use convert_nbd::ClientLimits;
use format_core::{Error, OpenedImage, Remote, Result, Warning};
use std::path::PathBuf;
use std::sync::Arc;

/// Snapshots, and which of them is that of the disk.
pub(in crate::commands) type OfDisk<'a> = (&'a Arc<dyn Snapshots>, usize);

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
            Self::Here { disks } => {
                let mut facts = MachineFacts::read(&Roots::default(), disks)?;
                facts.ask_health();
                facts
            }
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

    /// Snapshots of the named disks, which have to be logical volumes, in their order.
    pub(super) fn snapshots(&self, size: Option<u64>) -> Result<Arc<dyn Snapshots>> {
        let (Self::Here { disks } | Self::Far { disks, .. }) = self;
        if disks.is_empty() {
            return Err(Error::usage("--lvm-snapshot is for logical volumes, and none is named")
                .hint("name them with --disk /dev/VG/LV; whole disks are held with --freeze"));
        }
        Ok(match self {
            Self::Here { disks } => Arc::new(LvmSnapshots::take(disks, size)?),
            Self::Far { program, disks, .. } => Arc::new(FarSnapshots::take(program, disks, size)?),
        })
    }

    /// The disk as an image, and its side. Where there are snapshots, that of the disk is read, the one with this number.
    pub(in crate::commands) fn open(
        &self,
        disk: &PhysicalDisk,
        snapshot: Option<OfDisk<'_>>,
        skip_free: bool,
    ) -> Result<(OpenedImage, Arc<dyn Side>)> {
        let taken =
            |(set, index): (&Arc<dyn Snapshots>, usize)| set.all().get(index).map(|one| one.path.clone());
        let device = snapshot.map_or_else(|| Some(disk.path.clone()), taken);
        let device = device.ok_or_else(|| Error::contract("a disk without its snapshot"))?;
        let (bytes, mut side, notes, address) = match self {
            Self::Here { .. } => {
                let (whole, side, notes) = local(&device, disk.identity(), skip_free)?;
                (whole, side, notes, disk.path.clone())
            }
            Self::Far { ssh, program, .. } => {
                let (bytes, side) = open_ssh_disk(program, &device, skip_free, &ClientLimits::default())?;
                let notes = side.hello().notes.clone();
                let whole = crate::commands::agent::whole(Arc::new(bytes))?;
                (whole, side as Arc<dyn Side>, notes, ssh.place().address(&disk.path))
            }
        };
        if let Some((set, _)) = snapshot {
            side = Arc::new(SnapshotSide::new(side, Arc::clone(set), disk.identity()));
        }
        let warnings = notes.into_iter().map(|note| Warning::new("source-note", note)).collect();
        Ok((as_image(&address, bytes, Arc::clone(&side) as Arc<dyn Remote>, warnings)?, side))
    }
}

//! Arguments of the commands about job files.

use super::{Platform, images::size};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

pub(super) const AFTER_PLAN: &str = "\
The formats of sources are written down as they are found, so that nothing is guessed later. Parts and parents of other images get no job.
With --to, disks called web.vmdk, web_1.vmdk, web_2.vmdk are one machine's, and web.vmx, web.ovf or web.xml beside them is its description.

A list has a header. Known are id, source, to, network (LAN1=LAN;LAN2=DMZ), machine, format, firmware, wave, priority, output, title,
key_file; of RVTools also VM, Path, Disk Path, Annotation. Rows with the same id are disks of one machine.

Examples:
  rehome batch plan '/backups/*.vmdk' --to hyperv > jobs.toml
  rehome batch plan /mnt/pbs /mnt/esx --to proxmox --output-dir /srv/out > jobs.toml
  rehome batch plan /images -O qcow2 > jobs.toml          copies, no changes to guests
  rehome batch plan --csv vms.csv --datastore ds1=/mnt/ds1 --to kvm > jobs.toml";

pub(super) const AFTER_CHECK: &str = "\
What is looked at:
  sources                   they can be opened, with parents and keys
  guests                    what 'rehome migrate --dry-run' says: can the guest be made ready
  room                      what the targets need on each file system, and what is free there
  time                      data by the rate at which a sample of each source was read, or 200 MB/s where that is too little to tell

By default the room of a migration is what its disks hold, a little more than that is taken; of a conversion too. With
--measure every source of a conversion is read whole, and its room is exact.

Exit codes: 0 all well, else the worst of all jobs, in this order: 70, 2, 77, 73, 69, 66, 65, 78, 74, 75. 75 alone: room is missing.

Examples:
  rehome batch check jobs.toml
  rehome batch check jobs.yaml --output json | jq '.jobs[] | select(.exit_code != 0)'";

pub(super) const AFTER_EMIT: &str = "\
One task for each job, one array for each wave. Tasks find their job by number: after a change of the job file, write the specification
again; a task of another text of the job file refuses to run.
  kubernetes   an Indexed Job for each wave, YAML for kubectl apply. Claims of volumes are named with --mount, and lie at the same paths
               in the pods as here. The job file goes along as a ConfigMap where no volume holds it.
  slurm        a script that submits itself: bash jobs.sh. Paths are the same on all nodes.
  awsbatch     requests for register-job-definition and submit-job, JSON. File systems (EFS) are named with --mount.
Variables of the job file are written down with the values that they have now.

Examples:
  rehome batch emit kubernetes jobs.toml --image REGISTRY/rehome:1 --mount images=/srv/images > jobs.yaml
  rehome batch emit slurm jobs.toml --queue night --time 480 > jobs.sh && bash jobs.sh
  rehome batch emit awsbatch /srv/jobs.toml --image REGISTRY/rehome:1 --queue spot --mount fs-0123456789abcdef0=/srv > jobs.json";

/// A notation of job files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NotationKind {
    /// TOML.
    Toml,
    /// YAML, and so JSON.
    Yaml,
}

/// A job file.
#[derive(Args, Clone, Debug)]
pub(crate) struct JobFileArgs {
    /// The job file. `-` is stdin.
    #[arg(value_name = "JOBS")]
    pub(crate) job_file: PathBuf,
    /// How it is written; by default what its name says.
    #[arg(long, value_enum)]
    pub(crate) format: Option<NotationKind>,
}

#[derive(Args, Debug)]
pub(crate) struct BatchPlanArgs {
    /// Images, folders, and patterns of them (`*`, `?`, `[a-z]`, `**`). Folders are searched.
    #[arg(value_name = "SOURCE", required_unless_present = "csv")]
    pub(crate) sources: Vec<String>,
    /// The hypervisor that machines move to.
    #[arg(long, value_enum, required_unless_present = "target_format")]
    pub(crate) to: Option<Platform>,
    /// Do not move machines, but convert images into this format.
    #[arg(short = 'O', long, value_name = "FMT", conflicts_with = "to")]
    pub(crate) target_format: Option<String>,
    /// The folder of all outputs.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
    /// A list of machines with a header. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Vec<PathBuf>,
    /// Where what the list calls [NAME] is here. Repeatable.
    #[arg(long, value_name = "NAME=DIR", value_parser = named_folder)]
    pub(crate) datastore: Vec<(String, PathBuf)>,
}

#[derive(Args, Debug)]
pub(crate) struct BatchCheckArgs {
    #[command(flatten)]
    pub(crate) file: JobFileArgs,
    /// How many jobs are looked at at once.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,
    /// Read the sources of conversions whole, to tell exactly what their targets need.
    #[arg(long)]
    pub(crate) measure: bool,
    /// Take this rate for the time, in place of one that is sampled.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) rate: Option<u64>,
}

/// A batch engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// Indexed Jobs.
    Kubernetes,
    /// Job arrays of Slurm.
    Slurm,
    /// Array jobs of AWS Batch.
    Awsbatch,
}

#[derive(Args, Debug)]
pub(crate) struct BatchEmitArgs {
    /// The engine.
    #[arg(value_enum)]
    pub(crate) engine: EngineKind,
    #[command(flatten)]
    pub(crate) file: JobFileArgs,
    /// The image of the containers.
    #[arg(long, value_name = "IMAGE", default_value = "rehome:latest")]
    pub(crate) image: String,
    /// A volume and where it lies in containers: the name of a claim, or the id of an EFS file system. Repeatable.
    #[arg(long, value_name = "NAME=DIR", value_parser = named_folder)]
    pub(crate) mount: Vec<(String, PathBuf)>,
    /// The folder of the batch's state, for all tasks the same.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// How many tasks run at once; by default what the job file says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) parallel: Option<u32>,
    /// CPUs of a task.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) cpus: u32,
    /// Memory of a task, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=1_048_576))]
    pub(crate) memory: u32,
    /// Minutes after which a task is asked to stop; it goes on later where it was.
    #[arg(long, value_name = "MIN", value_parser = clap::value_parser!(u32).range(5..=525_600))]
    pub(crate) time: Option<u32>,
    /// The partition of Slurm, the job queue of AWS, the namespace of Kubernetes.
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Slurm: the program on the nodes. By default this one, by its path here.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Slurm: tasks in one array at most; below what the site has as MaxArraySize.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) array: u32,
}

fn named_folder(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, folder)) if !name.is_empty() && !folder.is_empty() => {
            Ok((name.to_owned(), folder.into()))
        }
        _ => Err("wanted is NAME=DIR".into()),
    }
}

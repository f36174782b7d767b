//! Arguments of `doctor`, `explain` and `support-bundle`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(crate) const AFTER_DOCTOR: &str = "\
Looks and changes nothing. Exit codes: 0, also where something that is not required is missing; 69 when something is missing that
--require names, or that --dir needs; with 'net' 75 when an endpoint is not reached.

Examples:
  rehome doctor                                         what this host can do, and what rehome does without it
  rehome doctor --dir /srv/vm                           and what the file system of that folder can do
  rehome doctor --require boot-test,mount --output json for scripts
  rehome doctor net https://vcenter.example:443 tcp://esx1.example:902 --log net.txt";

pub(crate) const AFTER_NET: &str = "\
A line for each step: proxy, name, connection, CONNECT, TLS, certificate, answer. Any answer of HTTP means that the endpoint is reached, also 401,
403, 404, and 407 of a proxy; only a connection that does not come about is a failure. Nothing is sent but HEAD, and never a login to the
endpoint. A certificate that is not trusted counts as a failure; the authorities are the system's, or those in SSL_CERT_FILE.
The proxy is that of https_proxy, http_proxy, all_proxy (in capitals, too), but for what no_proxy lists: names with all below them,
addresses, ranges (10.0.0.0/8), each with a port or without, *.

Examples:
  rehome doctor net https://s3.eu-central-1.amazonaws.com
  rehome doctor net https://vcenter.example --proxy http://proxy.example:3128 --log net.txt
  rehome doctor net ssh://esx1.example nbd://backup.example tcp://10.0.0.7:902 --output json";

pub(crate) const AFTER_EXPLAIN: &str = "\
Codes of errors stand in the JSON of a failed run, in logs and reports of batches; those of warnings in brackets behind their text.

Examples:
  rehome explain RH-KEY-MISSING
  rehome explain vhdx-log-replayed
  rehome explain 75                                     the codes with which a run ends so
  rehome explain -403                                   numbers of ActiveImage Protector
  rehome explain --output json                          all of them";

pub(crate) const AFTER_SUPPORT: &str = "\
Holds versions, host facts, state, plan, report, logs and events of a batch's jobs, and of images what the format is made of: header and tables. Never
content of the guest: no sector of its disk, no line of its files. Secrets are replaced by ***. LISTING.txt, the first file, says what is inside
and what was left out; --list prints it and writes nothing. Read it before you send the bundle.

Examples:
  rehome support-bundle --state vm/.rehome-batch        all jobs, the failed ones first
  rehome support-bundle web-07 --state vm/.rehome-batch --image web-07.vmdk
  rehome support-bundle --image broken.qcow2 --file vm/web.report.json -o bundle.tar.gz
  rehome support-bundle --state vm/.rehome-batch --list
  rehome support-bundle --state vm/.rehome-batch --split 10M; cat rehome-support.tar.gz.0* | tar -tz";

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DoctorArgs {
    /// A folder in which images are to be written: what its file system can do.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// What must be there: the exit code is 69 when it is not.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ABILITY")]
    pub(crate) require: Vec<RequiredAbility>,
    #[command(subcommand)]
    pub(crate) part: Option<DoctorPart>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum DoctorPart {
    /// Try to reach endpoints, step by step.
    #[command(after_help = AFTER_NET)]
    Net(DoctorNetArgs),
}

#[derive(Args, Debug)]
pub(crate) struct DoctorNetArgs {
    /// http://, https://, tcp://HOST:PORT, ssh://HOST or nbd://HOST.
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// Take this proxy for http and https, not that of the environment: http://PROXY:PORT; `none` for none.
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Seconds that each step may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) timeout: u64,
    /// Also write what is found into FILE, with time, version and host: to send to whoever runs the network.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RequiredAbility {
    /// QEMU.
    BootTest,
    /// UEFI for QEMU.
    Uefi,
    /// Hardware virtualisation.
    Kvm,
    /// FUSE, for `rehome mount`.
    Mount,
    /// QEMU and a kernel with modules.
    #[value(name = "microvm")]
    MicroVm,
    /// Borg.
    Borg,
    /// ssh.
    Ssh,
}

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// A code of an error or a warning, an exit code, or a number of another product; all without it.
    #[arg(value_name = "CODE", allow_negative_numbers = true)]
    pub(crate) code: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct SupportArgs {
    /// Only this job of the batch.
    #[arg(value_name = "JOB", requires = "state")]
    pub(crate) job: Option<String>,
    /// The folder of a batch's state.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// An image whose header and tables are wanted. Repeatable.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Vec<PathBuf>,
    /// Another report or log. Repeatable.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// The bundle.
    #[arg(short = 'o', long = "out", value_name = "FILE", default_value = "rehome-support.tar.gz")]
    pub(crate) out: PathBuf,
    /// Bytes of content at most, before it is packed.
    #[arg(long, value_name = "SIZE", default_value = "20M", value_parser = super::images::size)]
    pub(crate) max_size: u64,
    /// Cut the bundle into parts of this size: FILE.001, FILE.002, …
    #[arg(long, value_name = "SIZE", value_parser = super::images::size)]
    pub(crate) split: Option<u64>,
    /// Replace an earlier bundle.
    #[arg(long)]
    pub(crate) force: bool,
    /// Only say what would be inside.
    #[arg(long)]
    pub(crate) list: bool,
}

//! Arguments of `rehome report`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use std::path::PathBuf;

pub(super) const AFTER_REPORT: &str = "\
Examples:
  rehome report show batch/report.json                  one page of text, the verdict first
  rehome report show vm/web.report.json --format html -o web.html
  rehome report sign batch/report.json --key ~/.ssh/id_ed25519
  rehome report verify batch/report.json --signers allowed_signers
  rehome report schema > report.schema.json";

const AFTER_SHOW: &str = "\
REPORT is a report of a batch or of a job, or what a run printed or saved: NAME.report.json of a migration, or the output of
'rehome --output json convert'. Of such an outcome a report is made first, which names its manifests with their digests.
The page needs nothing besides itself, runs no scripts, and fits phones, desks and paper.

Examples:
  rehome report show batch/report.json
  rehome report show batch/report.json --format html -o batch.html
  rehome report show vm/web.report.json --format json -o vm/web.job.json
With the disks' maps and the speed over time:
  rehome map web.vmdk --output json > before.json; rehome map vm/web.vhdx --output json > after.json
  rehome report show vm/web.report.json --map-before before.json --map-after after.json --log web.log --format html -o web.html";

const AFTER_SIGN: &str = "\
With an SSH key, the system's ssh-keygen signs: the key can be in an agent or in hardware (name its .pub file). With a minisign key,
minisign signs, and reads the key's password from stdin. The signature is written beside the report: REPORT.sig or REPORT.minisig.
It covers the report and, by their digests, the files that the report names.

Examples:
  rehome report sign report.json --key ~/.ssh/id_ed25519
  rehome report sign report.json --key ~/.ssh/id_ed25519_sk.pub
  rehome report sign report.json --key ~/.minisign/minisign.key
By hand, the same:
  ssh-keygen -Y sign -n rehome-report -f ~/.ssh/id_ed25519 report.json";

const AFTER_VERIFY: &str = "\
Say whose signature counts: whoever changes a report can sign it again with a key of his own. With --any-signer a good signature shows only
that the report is unchanged since the key that is told signed it.
Every file that the report names is compared with its digest, too.

Exit codes: 0 everything that was asked holds, 1 it does not, 2 nobody said whose signature counts, or a minisign signature without its key.

Examples:
  rehome report verify report.json --signers allowed_signers
  rehome report verify report.json --public-key operator.pub
  rehome report verify report.json --signature report.json.minisig --public-key minisign.pub
  rehome report verify report.json --any-signer
By hand, the same without the files that the report names:
  ssh-keygen -Y verify -n rehome-report -f allowed_signers -I NAME -s report.json.sig < report.json";

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    pub(crate) action: ReportAction,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ReportAction {
    /// Show a report as text, as a page for browsers, or as JSON.
    #[command(after_help = AFTER_SHOW)]
    Show(ShowReportArgs),
    /// Sign a report with an SSH or minisign key.
    #[command(after_help = AFTER_SIGN)]
    Sign(SignReportArgs),
    /// Check the signature of a report, and every file that it names.
    #[command(after_help = AFTER_VERIFY)]
    Verify(VerifyReportArgs),
    /// Print the JSON Schema of reports.
    Schema,
}

#[derive(Args, Debug)]
pub(crate) struct ShowReportArgs {
    /// A report, or the outcome of a run as JSON.
    pub(crate) report: PathBuf,
    /// What to make of it; text where nothing is named, JSON with --output json.
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,
    /// Write it to this file instead of stdout.
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace that file.
    #[arg(long, requires = "out")]
    pub(crate) force: bool,
    /// Of one job: its stderr with --progress json, for the speed over time.
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Of one job: what 'rehome map --output json' printed for the source of its first disk; repeat for the others, in order.
    #[arg(long, value_name = "FILE")]
    pub(crate) map_before: Vec<PathBuf>,
    /// The same for the images that were written.
    #[arg(long, value_name = "FILE")]
    pub(crate) map_after: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct SignReportArgs {
    /// The report; a page or a text can be signed, too, but names no files.
    pub(crate) report: PathBuf,
    /// An SSH key, or the .pub file of one that an agent has, or a minisign key.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: PathBuf,
    /// Replace a signature.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("whose").required(true).args(["signers", "public_key", "any_signer"])))]
pub(crate) struct VerifyReportArgs {
    /// The report.
    pub(crate) report: PathBuf,
    /// Its signature; by default the one beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
    /// Whose signature counts: a list as OpenSSH has it (allowed_signers).
    #[arg(long, value_name = "FILE")]
    pub(crate) signers: Option<PathBuf>,
    /// The public key that counts, of SSH or minisign.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// Whoever signed it: shows that the report is unchanged since then, and with which key that was.
    #[arg(long)]
    pub(crate) any_signer: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A page for browsers.
    Html,
    /// One page of text.
    Text,
    /// The report itself.
    Json,
}

//! What is left to the running Windows: batch files that other fixups plan, in the order of their names.

use crate::in_the_way::at_most_ours;
use driver_core::{DirEntry, Draft, FileKind, Ownership};
use format_core::Result;

/// The folder of everything that is for the first start. Nobody but the system and administrators may write there: what
/// lies in it is run by the system.
pub(crate) const FOLDER: &str = "/Windows/rehome";
/// The same as the guest calls it, for batch files.
pub(crate) const FOLDER_IN_GUEST: &str = r"%SystemRoot%\rehome";
/// The folder of the steps.
const STEPS: &str = "/Windows/rehome/firstboot";

/// For the system and administrators alone.
const PRIVATE: Ownership = Ownership { mode: 0o700, uid: 0, gid: 0 };

/// Exit code of a step that wants to run again at the next start.
pub(crate) const AGAIN: u32 = 249;
/// Exit code of a step that is done and wants Windows to restart.
pub(crate) const RESTART: u32 = 250;
/// Exit code of a step that wants Windows to restart, and then to run again; the steps behind it wait for that, too.
pub(crate) const RESTART_AND_AGAIN: u32 = 251;

/// Plans the step `name`, such as `20-static-ip-1`: letters, digits and `-` only. Steps run in the order of their names.
///
/// # Errors
/// As [`Draft::write`].
pub(crate) fn plan_step(draft: &mut Draft<'_>, name: &str, script: &str, reason: &str) -> Result<()> {
    plan_file(draft, &format!("{STEPS}/{name}.cmd"), crlf(script), reason)
}

/// Plans a file in [`FOLDER`], with the folders above it.
///
/// # Errors
/// As [`Draft::write`]; `NeedsPerson` when something else is in the way.
pub(crate) fn plan_file(
    draft: &mut Draft<'_>,
    path: &str,
    content: impl Into<Vec<u8>>,
    reason: &str,
) -> Result<()> {
    at_most_ours(draft, path)?;
    draft.create_folder(FOLDER, PRIVATE, "for the system and administrators alone")?;
    draft.write(path, content, reason)
}

/// Beginnings of the names that this program gives its steps.
const OURS: [&str; 2] = ["10-drivers", "20-static-ip"];

/// The names of the steps that are planned or there already.
///
/// # Errors
/// As [`Draft::read_dir`].
pub(super) fn steps(draft: &Draft<'_>) -> Result<Vec<String>> {
    Ok(draft.read_dir(STEPS)?.into_iter().filter_map(step_name).collect())
}

/// Steps that lie in the guest already and that this program never made: the system would run them.
///
/// # Errors
/// As [`driver_core::GuestTree::read_dir`].
pub(super) fn strangers(draft: &Draft<'_>) -> Result<Vec<String>> {
    let is_ours = |name: &String| OURS.iter().any(|own| name.to_ascii_lowercase().starts_with(own));
    let there = draft.tree().read_dir(STEPS)?.into_iter().filter_map(step_name);
    Ok(there.filter(|name| !is_ours(name)).collect())
}

fn step_name(entry: DirEntry) -> Option<String> {
    let is_step = entry.kind == FileKind::File && entry.name.to_ascii_lowercase().ends_with(".cmd");
    is_step.then_some(entry.name)
}

/// With the line ends that cmd.exe needs to find labels (`goto` and `call` miss some in files with bare line feeds).
pub(super) fn crlf(script: &str) -> Vec<u8> {
    script.lines().flat_map(|line| line.bytes().chain(*b"\r\n")).collect()
}

/// Text from the guest for a remark in a batch file: what means something to cmd.exe is left out.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.'))
        .take(40)
        .collect()
}

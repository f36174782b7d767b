//! Man pages from the command line's own description.

use crate::about;
use std::path::Path;

/// Writes a page for the command and one for each subcommand into `dir`. Returns how many there are.
///
/// # Errors
/// What the file system says.
pub fn write(command: clap::Command, dir: &Path) -> Result<usize, String> {
    std::fs::create_dir_all(dir).map_err(about(dir))?;
    // The help command would become a page that says nothing.
    let command = command.disable_help_subcommand(true);
    let pages = 1 + command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).count();
    clap_mangen::generate_to(command, dir).map_err(about(dir))?;
    Ok(pages)
}

//! Images that attack: every attack for every format it applies to, with what rehome must answer.
//!
//! A [`Case`] is a folder of small (or sparse) files and the runs that are tried on them. `cargo xtask make-hostile DIR`
//! writes them all; `tests/harness.rs` runs each under a limit of memory and time.

pub mod case;
pub mod guests;
pub mod images;
pub mod names;

pub use case::{Case, Content, Run};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

/// All cases, in the order of their names.
#[must_use]
pub fn all() -> Vec<Case> {
    let mut cases = images::all();
    cases.extend(guests::all());
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// The cases whose names begin with `family` and a slash.
#[must_use]
pub fn of(family: &str) -> Vec<Case> {
    if let Some(cases) = images::family(family) {
        return cases;
    }
    let begins = |case: &Case| case.name.split('/').next() == Some(family);
    guests::all().into_iter().filter(begins).collect()
}

/// Writes cases below a folder, a folder each, and `INDEX.txt`: for each what it attacks, and each run with the exit
/// codes that are right.
///
/// # Errors
/// As the system says.
pub fn write(cases: &[Case], folder: &Path) -> io::Result<()> {
    let mut index = String::new();
    for case in cases {
        case.write(&folder.join(&case.name))?;
        let _ = writeln!(index, "{}\n    {}", case.name, case.about);
        for run in &case.runs {
            let codes: Vec<String> = run.codes.iter().map(ToString::to_string).collect();
            let args: Vec<String> = run.args.iter().map(|arg| arg.escape_debug().to_string()).collect();
            let says = run.says.map(|text| format!("  says: {text}")).unwrap_or_default();
            let _ = writeln!(index, "    exit {:<9} rehome {}{says}", codes.join("|"), args.join(" "));
        }
    }
    std::fs::write(folder.join("INDEX.txt"), index)
}

/// The binary, from `REHOME` or the target folder that this test was built into.
///
/// # Panics
/// When the system does not tell where the test lies.
#[must_use]
#[allow(clippy::expect_used, reason = "test support")]
pub fn rehome() -> PathBuf {
    std::env::var_os("REHOME").map_or_else(
        || {
            let own = std::env::current_exe().expect("this test has a file");
            own.ancestors().nth(2).expect("target/debug").join("rehome")
        },
        PathBuf::from,
    )
}

//! `cargo xtask`: chores of the project.

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use xtask::{man, project_root, readme, rules};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the project")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Write the man pages of rehome and of each subcommand into DIR, which is created
    Man {
        /// Folder for the pages
        dir: PathBuf,
    },
    /// Write the generated tables into README.md
    Readme {
        /// Change nothing, fail when a table is stale
        #[arg(long)]
        check: bool,
    },
    /// Write images that attack, and INDEX.txt with what each attacks and what rehome must answer, into DIR, which is created
    MakeHostile {
        /// Folder for the images
        dir: PathBuf,
    },
    /// Check the house rules; each violation is a line PATH:LINE: RULE
    Rules,
}

fn main() -> ExitCode {
    let root = project_root();
    let outcome = match Cli::parse().chore {
        Chore::Man { dir } => man::write(rehome_cli::command(), &dir).map(|pages| println!("{pages} pages")),
        Chore::Readme { check: true } => readme::check(&root),
        Chore::Readme { check: false } => readme::write(&root),
        Chore::MakeHostile { dir } => {
            let cases = hostile::all();
            std::fs::create_dir_all(&dir)
                .and_then(|()| hostile::write(&cases, &dir))
                .map(|()| println!("{} cases", cases.len()))
                .map_err(|error| format!("{}: {error}", dir.display()))
        }
        Chore::Rules => rules::check(&root).and_then(|violations| {
            violations.iter().for_each(|violation| println!("{violation}"));
            if violations.is_empty() { Ok(()) } else { Err(format!("{} violations", violations.len())) }
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

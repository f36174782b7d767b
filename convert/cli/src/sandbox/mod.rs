//! What each command may do, as it follows from its arguments; set before anything of an image is read.

mod inputs;
mod outputs;

use crate::args::{AgentCommand, BatchCommand, Cli, Command};
use convert_sandbox::{Rules, Sandbox, settle};
use format_all::FORMATS;
use format_core::{Fence, Score, SourceFolder};
use std::path::{Path, PathBuf};

/// Why a command goes without a sandbox.
type Why = &'static str;

/// Confines this process to what its command needs.
pub(crate) fn enter(cli: &Cli) {
    settle(match cli.no_sandbox {
        true => Sandbox::switched_off(),
        false => rules(cli).map_or_else(Sandbox::off, |rules| rules.enforce()),
    });
}

/// What stands before the command's name when this program is started as a child.
pub(crate) fn for_children() -> Option<&'static str> {
    convert_sandbox::state().switched_off.then_some("--no-sandbox")
}

fn rules(cli: &Cli) -> Result<Rules, Why> {
    let mut rules = Rules::new();
    if let Command::Batch(args) = &cli.command {
        batch(&args.command, &mut rules)?;
        return Ok(rules);
    }
    if let Command::Agent(args) = &cli.command {
        if matches!(args.command, AgentCommand::Snapshot { .. }) {
            return Err("LVM changes the host, and loads modules of its kernel");
        }
        rules
            .run_programs(&["fsfreeze", "sh", "smartctl"])
            .with_all_files("file systems that are held can be anywhere");
        return Ok(rules);
    }
    let inputs = inputs::of(&cli.command)?;
    inputs.allow(&mut rules);
    if inputs.images.iter().any(|path| crate::remotes::needs_ssh(path)) {
        return Err("ssh has keys and settings of its own, and needs the network");
    }
    let machines: &[PathBuf] = if let Command::Migrate(args) = &cli.command { &args.machine } else { &[] };
    let is_ec2 = |path: &PathBuf| path.to_string_lossy().starts_with(crate::remotes::EC2);
    let target = outputs::address(&cli.command);
    let is_far = inputs.images.iter().copied().chain(target).any(crate::remotes::is_address);
    if is_far || machines.iter().any(is_ec2) {
        rules.reach();
        credentials(&mut rules, inputs.secrets(target));
    }
    if inputs.images.iter().any(|path| is_borg(path)) {
        borg(&mut rules)?;
    }
    outputs::allow(&cli.command, &mut rules);
    // Images that cannot be read at any place, changes of a guest and what talks to a child go through files there.
    rules.write_temporary(&std::env::temp_dir());
    if let Some(lease) = std::env::var_os(Fence::LEASE) {
        rules.write_file(Path::new(&lease));
    }
    if let Some(folder) = &cli.evidence {
        // Who ran it is part of the evidence.
        rules.write_folder(folder).read(Path::new("/etc/passwd"));
        cli.attach.iter().for_each(|file| {
            rules.read(file);
        });
    }
    Ok(rules)
}

/// What clouds read to know who asks, and the files that hold addresses.
fn credentials(rules: &mut Rules, secrets: impl Iterator<Item = PathBuf>) {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let variables = [
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ];
    let named = variables.iter().filter_map(|name| std::env::var_os(name).map(PathBuf::from));
    for path in home.iter().map(|home| home.join(".aws")).chain(named).chain(secrets) {
        rules.read(&path);
    }
}

/// The files of a batch stand in its job file, which is read later.
fn batch(command: &BatchCommand, rules: &mut Rules) -> Result<(), Why> {
    match command {
        BatchCommand::Run(_) => Err("each job is a process in a sandbox of its own"),
        _ => {
            rules
                .run_programs(&[])
                .with_all_files("which files are needed stands in the job file or the batch's state");
            Ok(())
        }
    }
}

/// A repository of Borg is read by a program.
fn is_borg(path: &Path) -> bool {
    let Some(format) = FORMATS.iter().find(|format| format.is_called("borg")) else { return false };
    let claims = |folder| (format.probe_folder)(&folder) == Score::Magic;
    path.is_dir() && SourceFolder::open(path).is_ok_and(claims)
}

fn borg(rules: &mut Rules) -> Result<(), Why> {
    if std::env::var_os("BORG_PASSCOMMAND").is_some() {
        return Err("BORG_PASSCOMMAND is a program of the operator, which may need anything");
    }
    rules.run_programs(&["borg"]);
    // Keys that are not in their repositories.
    let home = |name: &str, below: &str| Some(PathBuf::from(std::env::var_os(name)?).join(below));
    let keys = [
        home("BORG_KEYS_DIR", ""),
        home("BORG_CONFIG_DIR", ""),
        home("BORG_BASE_DIR", ".config/borg"),
        home("XDG_CONFIG_HOME", "borg"),
        home("HOME", ".config/borg"),
    ];
    keys.into_iter().flatten().for_each(|folder| {
        rules.read(&folder);
    });
    // What Python starts with in Debian.
    for entry in std::fs::read_dir("/etc").into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(b"python") {
            rules.read(&entry.path());
        }
    }
    Ok(())
}

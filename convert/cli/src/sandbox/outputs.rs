//! What a command writes, where it listens, and which programs it starts.

use crate::args::{Command, ConvertArgs, EditorArgs, EditorKind, MigrateArgs};
use crate::commands::convert::is_pipe;
use crate::remotes::is_address;
use convert_nbd::Address;
use convert_sandbox::{Peers, Rules};
use std::path::{Path, PathBuf};

/// The programs that start a machine of QEMU.
const MACHINE: [&str; 3] = ["qemu-system-x86_64", "setsid", "setpriv"];
/// Where the kernels of hosts and their modules lie; /usr is allowed already.
const KERNELS: [&str; 2] = ["/boot", "/lib/modules"];

pub(super) fn allow(command: &Command, rules: &mut Rules) {
    match command {
        Command::Convert(args) | Command::Flatten(args) => conversion(args, rules),
        Command::Migrate(args) => migration(args, rules),
        Command::Inspect(args) => editor(&args.editor, rules),
        Command::BootTest(args) => {
            machine(rules);
            rules.write_folder(args.out.as_deref().unwrap_or(Path::new("")));
        }
        Command::Delta(args) => {
            rules.write_file(&args.target);
        }
        Command::Create(args) => {
            rules.write_file(&args.target);
        }
        Command::Consolidate(args) => {
            rules.write_file(&args.top);
            if let Some(folder) = &args.keep_old {
                rules.write_folder(folder);
            }
        }
        Command::Check(args) => args.repair.iter().for_each(|new| {
            rules.write_file(new);
        }),
        Command::CpOut(args) if args.dest.is_dir() => {
            rules.write_folder(&args.dest);
        }
        Command::CpOut(args) => {
            rules.write_file(&args.dest);
        }
        Command::Serve(args) => match &args.listen {
            None => {
                rules.listen(Peers::AtSocket);
            }
            Some(Address::Unix(path)) => {
                rules.listen(Peers::AtSocket).write_file(path);
            }
            Some(Address::Tcp(address)) => {
                rules.listen(Peers::AtPort(address.port()));
            }
        },
        _ => {}
    }
}

/// The address that is written to, where it is one.
pub(super) fn address(command: &Command) -> Option<&Path> {
    match command {
        Command::Convert(args) | Command::Flatten(args) if args.out.is_none() => {
            Some(args.target.as_path()).filter(|target| is_address(target))
        }
        _ => None,
    }
}

fn conversion(args: &ConvertArgs, rules: &mut Rules) {
    match &args.out {
        Some(out) => {
            rules.write_folder(out);
        }
        None if !is_pipe(&args.target) && !is_address(&args.target) => {
            rules.write_file(&args.target);
        }
        None => {}
    }
    if let Some(mapfile) = &args.rescue.mapfile {
        rules.write_file(mapfile);
    }
}

fn migration(args: &MigrateArgs, rules: &mut Rules) {
    // Temporary files lie beside the folder, which may not be there yet.
    rules.write_file(&args.out);
    rules.write_folder(&args.out);
    if let Some(file) = &args.collect_feedback {
        rules.write_file(file);
    }
    editor(&args.editor, rules);
    if args.boot.boot_test {
        machine(rules);
    }
}

fn editor(args: &EditorArgs, rules: &mut Rules) {
    if args.editor == EditorKind::Native {
        return;
    }
    machine(rules);
    let own = args.kernel.iter().chain(&args.kernel_modules).map(PathBuf::as_path);
    KERNELS.iter().map(Path::new).chain(own).for_each(|path| {
        rules.read(path);
    });
}

fn machine(rules: &mut Rules) {
    rules.run_programs(&MACHINE).use_device(Path::new("/dev/kvm"));
}

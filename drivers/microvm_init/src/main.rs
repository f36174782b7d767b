//! The first and only program of the micro-VM: it loads the modules that reach the host, and then does what the host says until the
//! host says that it is over, or is gone.

mod arrays;
mod boot;
mod devices;
mod edits;
mod failing;
mod files;
mod identify;
mod ioctl;
mod mapper;
mod mounts;
mod place;
mod programs;
mod run;
mod serve;
mod subvolumes;
mod tree;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    // A program of the guest is started through this one, which goes to the guest's tree and becomes the program.
    if arguments.next().is_some_and(|name| name == run::STARTER) {
        let error = run::become_program(arguments);
        eprintln!("{error}");
        return ExitCode::from(127);
    }
    let why = match boot::boot() {
        Ok(port) => serve::serve(port),
        Err(error) => error.text,
    };
    // The console is what the host looks at when the channel ends.
    eprintln!("rehome: {why}");
    boot::end();
    ExitCode::FAILURE
}

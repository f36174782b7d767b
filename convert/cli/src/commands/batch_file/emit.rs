//! `rehome batch emit`

use super::read;
use crate::args::{BatchEmitArgs, EngineKind, OutputKind};
use crate::output::{Printer, to_stdout};
use convert_job_file::{Engine, Site, emit};
use format_core::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn run(args: &BatchEmitArgs) -> Result<ExitCode> {
    // What is written is the engine's, and has no second form.
    let printer = Printer::new(OutputKind::Human);
    if args.file.job_file == Path::new("-") {
        return Err(Error::usage("tasks read the job file by its path, and stdin has none")
            .hint("put it into a file"));
    }
    let (file, resolved) = read(&args.file, &printer)?;
    let job_file = full(&args.file.job_file)?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|e| Error::io("cannot tell where this program is", e))?,
    };
    let site = Site {
        state: args.state.as_deref().map(full).transpose()?,
        image: args.image.clone(),
        mounts: args.mount.clone(),
        parallel: args.parallel,
        cpus: args.cpus,
        memory: args.memory,
        minutes: args.time,
        queue: args.queue.clone(),
        program,
        array: args.array,
        ..Site::new(job_file)
    };
    let engine = match args.engine {
        EngineKind::Kubernetes => Engine::Kubernetes,
        EngineKind::Slurm => Engine::Slurm,
        EngineKind::Awsbatch => Engine::AwsBatch,
    };
    to_stdout(&emit(engine, &file, &resolved, &site)?)?;
    Ok(ExitCode::SUCCESS)
}

fn full(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format!("{} has no full path", path.display()), e))
}

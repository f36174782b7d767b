//! `rehome consolidate`

use crate::args::ConsolidateArgs;
use crate::commands::key_values;
use crate::output::{Printer, counted, safe};
use convert_engine::{
    ConsolidatePlan, ConsolidateRequest, Control, KeptPoint, PlannedFile, consolidate, plan_consolidation,
};
use format_core::units::format_size;
use format_core::{Error, Result, Warning};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Instant;

#[derive(Serialize)]
struct Outcome {
    top: String,
    keep: u16,
    /// `nothing-to-do`, `planned`, `done`.
    result: &'static str,
    /// Whether a run that was interrupted was finished.
    continued: bool,
    plan: Option<ConsolidatePlan>,
    /// The points that there are now, top first, with the digests that were the same before and after.
    points: Vec<KeptPoint>,
    freed_bytes: u64,
    seconds: f64,
    warnings: Vec<Warning>,
}

pub(crate) fn run(args: &ConsolidateArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let started = Instant::now();
    refuse_half_chains(args)?;
    let (open, options) = (args.chain.options(args.format.as_deref())?, key_values(&args.options)?);
    let request = ConsolidateRequest {
        top: &args.top,
        keep: args.keep.into(),
        open: &open,
        options: &options,
        keep_old: args.keep_old.as_deref(),
    };
    let mut outcome = Outcome {
        top: args.top.display().to_string(),
        keep: args.keep,
        result: "nothing-to-do",
        continued: false,
        plan: None,
        points: Vec::new(),
        freed_bytes: 0,
        seconds: 0.0,
        warnings: Vec::new(),
    };
    if args.dry_run {
        (outcome.plan, outcome.warnings) = plan_consolidation(&request, control)?;
        outcome.result = if outcome.plan.is_some() { "planned" } else { outcome.result };
    } else {
        let done = consolidate(&request, control)?;
        outcome.result = if done.kept.is_empty() { outcome.result } else { "done" };
        (outcome.plan, outcome.points, outcome.warnings) = (done.plan, done.kept, done.warnings);
        (outcome.continued, outcome.freed_bytes) = (done.continued, done.freed_bytes);
    }
    outcome.seconds = started.elapsed().as_secs_f64();
    printer.warnings(&outcome.warnings);
    printer.result(&outcome, human)?;
    Ok(ExitCode::SUCCESS)
}

/// What is merged must be all of the chain, as it is.
fn refuse_half_chains(args: &ConsolidateArgs) -> Result<()> {
    let chain = &args.chain;
    let refused = [
        (chain.ignore_parent, "--ignore-parent"),
        (chain.ignore_checksum, "--ignore-checksum"),
        (chain.pick.is_some(), "--pick"),
        (chain.at.is_some(), "--at"),
        (!chain.key_file.is_empty(), "--key-file"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, option)) => {
            Err(Error::usage(format!("images are replaced and removed: {option} is not taken here")))
        }
        None => Ok(()),
    }
}

fn human(o: &Outcome) -> String {
    match (o.result, &o.plan) {
        ("planned", Some(plan)) => planned(o, plan),
        ("done", plan) => done(o, plan.as_ref()),
        _ => format!(
            "nothing to do: the chain of {} has no more than {}\n",
            safe(&o.top),
            counted(o.keep.into(), "image")
        ),
    }
}

fn planned(o: &Outcome, plan: &ConsolidatePlan) -> String {
    let mut text = format!(
        "{}, of which {} would remain\n",
        counted(plan.images as u64, "image"),
        counted(o.keep.into(), "point")
    );
    for path in &plan.kept {
        let becomes = if *path == plan.full { "  becomes a full image" } else { "" };
        text.push_str(&format!("  keep    {}{becomes}\n", safe(path)));
    }
    for file in [&plan.replaced].into_iter().chain(&plan.removed) {
        let PlannedFile { path, allocated_size, .. } = file;
        let word = if *path == plan.full { "replace" } else { "remove " };
        text.push_str(&format!("  {word} {}  {}\n", safe(path), format_size(*allocated_size)));
    }
    for path in &plan.left {
        text.push_str(&format!("  leave   {}  lies in another folder\n", safe(path)));
    }
    let goes: u64 = plan.removed.iter().chain([&plan.replaced]).map(|file| file.allocated_size).sum();
    let word = if plan.needed_bytes <= plan.free_bytes { "are free" } else { "are free: too little" };
    text.push_str(&format!(
        "the full image ({}) holds {} of data and needs up to {}, {} {word}; {} go\n",
        plan.format,
        format_size(plan.data_bytes),
        format_size(plan.needed_bytes),
        format_size(plan.free_bytes),
        format_size(goes)
    ));
    text
}

fn done(o: &Outcome, plan: Option<&ConsolidatePlan>) -> String {
    let mut text = match plan {
        Some(plan) => format!(
            "{} is a full image now ({}, {} of data), {} became {} in {:.1} s, {} freed\n",
            safe(&plan.full),
            plan.format,
            format_size(plan.data_bytes),
            counted(plan.images as u64, "image"),
            o.points.len(),
            o.seconds,
            format_size(o.freed_bytes)
        ),
        None => format!("the interrupted run was finished, {} freed\n", format_size(o.freed_bytes)),
    };
    for point in &o.points {
        let digest = point.digest.as_deref().unwrap_or("proven before");
        text.push_str(&format!("  {digest}  {}\n", safe(&point.path)));
    }
    text
}

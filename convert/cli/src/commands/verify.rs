//! `rehome verify`

use crate::args::VerifyArgs;
use crate::output::{Printer, counted, more};
use convert_engine::{
    Control, Sample, SampleFacts, Verification, manifest_path, verify_image, verify_sample,
};
use format_core::units::format_size;
use format_core::{Result, open_image};
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;

/// Ranges that people are shown.
const SHOWN: usize = 10;

pub(crate) fn run(args: &VerifyArgs, printer: &Printer, control: Control<'_>) -> Result<ExitCode> {
    let opened = open_image(&args.image, &args.open.options()?)?;
    printer.warnings(&opened.warnings);
    let manifest = args.manifest.clone().unwrap_or_else(|| manifest_path(&args.image));
    let found = match args.sample {
        None => verify_image(&opened.disk, &manifest, &args.also, control)?,
        Some(percent) => {
            let seed = args.seed.unwrap_or_else(random_seed);
            verify_sample(&opened.disk, &manifest, Sample { percent, seed }, control)?
        }
    };
    printer.result(&found, human)?;
    Ok(ExitCode::from(u8::from(!found.ok)))
}

/// A number that differs from run to run, short enough to be typed. The standard library's hash keys come from the system.
fn random_seed() -> u64 {
    RandomState::new().hash_one(std::process::id()) >> 32
}

fn human(found: &Verification) -> String {
    let mut text = match (found.ok, &found.sample) {
        (true, None) => format!(
            "verified: all {} of the disk, digest {}\n",
            format_size(found.found_size),
            found.found.as_deref().unwrap_or_default()
        ),
        (true, Some(sample)) => format!(
            "verified: {}\n  holes are where they belong; all other blocks are unproven\n",
            share(sample)
        ),
        (false, _) => different(found),
    };
    if found.ok && found.unreadable_bytes > 0 {
        text.push_str(&format!(
            "but {} of it are zeros because the source could not be read there: the manifest lists them\n",
            format_size(found.unreadable_bytes)
        ));
    }
    for (kind, check) in &found.hashes {
        let verdict = if check.found == check.expected { "" } else { "  NOT what the manifest says" };
        text.push_str(&format!("{kind:<8} {}{verdict}\n", check.found));
    }
    text
}

/// What a sample covered.
fn share(sample: &SampleFacts) -> String {
    let (checked, all) = (sample.checked_blocks, sample.data_blocks);
    let percent = if all == 0 { 100.0 } else { checked as f64 * 100.0 / all as f64 };
    format!("{checked} of {} of data ({percent:.3} %), seed {}", counted(all, "4 MiB block"), sample.seed)
}

fn different(found: &Verification) -> String {
    let mut text = String::from("NOT what the manifest says\n");
    if let Some(digest) = &found.found {
        text.push_str(&format!("  expected {}\n  found    {digest}\n", found.expected));
    }
    if found.expected_size != found.found_size {
        text.push_str(&format!("  size {} instead of {} bytes\n", found.found_size, found.expected_size));
    }
    if let Some(sample) = &found.sample {
        text.push_str(&format!("  looked at {}; all other blocks are unproven\n", share(sample)));
    }
    if let Some(at) = found.first_difference {
        text.push_str(&format!(
            "  {} of 4 MiB, the first at {at:#x}\n",
            counted(found.differing_blocks, "differing block")
        ));
        for range in found.differing.ranges.iter().take(SHOWN) {
            text.push_str(&format!("    {:#x}  {}\n", range.offset, format_size(range.len)));
        }
        text.push_str(&more(found.differing.count, SHOWN));
    }
    text
}

//! Every writable format × every fault × many moments: what a later run makes of it reads like an uninterrupted copy.

use crate::bench::{Bench, CASES, Case};
use crate::machine::{Fault, Machine};
use conformance::Noise;
use format_core::ErrorKind;

/// Moments of each fault; `./test.sh full` tries more.
fn moments() -> u64 {
    if std::env::var_os("REHOME_TEST_FULL").is_some() { 40 } else { 10 }
}

#[derive(Debug, Default)]
struct Counts {
    faults: u64,
    resumed: u64,
}

fn check_case(case: &Case) {
    let bench = Bench::new(case);
    let steps = bench.steps_of_a_whole_run();
    let (mut faults, mut resumed) = (0, 0);
    let moments = moments();
    for fault in Fault::ALL {
        let mut counts = Counts::default();
        for number in 0..moments {
            let seed = number << 8 | fault as u64;
            let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let moment = noise.below(if fault == Fault::SourceError { bench.reads } else { steps });
            let what = format!("{case:?}, {fault:?} at {moment} of {steps}, seed {seed}");
            one(&bench, fault, moment, &mut noise, &what, &mut counts);
            if number % 10 == 9 {
                bench.check_by_qemu(&what);
            }
            bench.clear();
        }
        eprintln!("{case:?} {fault:?}: {counts:?}");
        faults += counts.faults;
        resumed += counts.resumed;
    }
    // How many depends on the threads, and a signal in the last steps is not noticed; that many are makes this a test.
    assert!(
        faults >= 2 * moments && resumed >= moments / 2,
        "{case:?}: {faults} faults, {resumed} runs went on"
    );
}

fn one(bench: &Bench, fault: Fault, moment: u64, noise: &mut Noise, what: &str, counts: &mut Counts) {
    let machine = Machine::new(fault, moment, bench.folder());
    match bench.run(Some(&machine), moment) {
        // The other worker came first, or the run was at its end.
        Ok(_) => {}
        Err(error) => {
            counts.faults += 1;
            assert!(!bench.target().exists(), "{what}: {error}");
            let kind = match fault {
                Fault::Kill | Fault::PowerCut => ErrorKind::Contract,
                Fault::Signal | Fault::NoSpace => ErrorKind::Temporary,
                Fault::TargetError | Fault::SourceError => ErrorKind::Io,
            };
            assert_eq!(error.kind(), kind, "{what}: {error}");
            if machine.is_dead() {
                machine.start_again(noise);
            }
            if noise.below(2) == 0 {
                killed_again(bench, noise, what);
            }
            let done = bench.run(None, 0).unwrap_or_else(|error| panic!("{what}: {error}"));
            counts.resumed += u64::from(done.resumed_from.is_some());
            for warning in done.warnings {
                let text = &warning.message;
                let too_early = text.contains("left no journal") || text.contains("has no checkpoint");
                let torn_in_its_first_record = fault == Fault::PowerCut && text.contains("is no journal");
                // Of several files, some had their names already, or the note of whose they are was torn.
                let of_several =
                    text.contains("were made durable") || text.contains("the interrupted run left");
                assert!(too_early || torn_in_its_first_record || of_several, "{what}: {text}");
            }
        }
    }
    bench.check(what);
}

/// The run that goes on is killed too.
fn killed_again(bench: &Bench, noise: &mut Noise, what: &str) {
    let machine = Machine::new(Fault::Kill, noise.below(60), bench.folder());
    let ended = bench.run(Some(&machine), 0);
    assert!(ended.is_ok() || machine.is_dead(), "{what}: {ended:?}");
    if machine.is_dead() {
        assert!(!bench.target().exists(), "{what}");
        machine.start_again(noise);
    }
}

macro_rules! cases {
    ($($name:ident),*) => {
        #[test]
        fn every_case_has_its_test() {
            let named: Vec<_> = CASES.iter().map(|case| case.name).collect();
            assert_eq!(named, [$(stringify!($name)),*]);
            let formats = format_all::FORMATS.iter().filter(|format| format.create.is_some());
            for format in formats {
                // Archives have no checkpoints: a run starts over.
                if ["tar", "gcp"].contains(&format.name) {
                    assert!(format.resume.is_none(), "{}", format.name);
                    continue;
                }
                assert!(format.resume.is_some(), "{}", format.name);
                assert!(CASES.iter().any(|case| case.format == format.name), "{}", format.name);
            }
        }
        $(
            #[test]
            fn $name() {
                check_case(CASES.iter().find(|case| case.name == stringify!($name)).unwrap());
            }
        )*
    };
}

cases!(
    raw,
    qcow2,
    qcow2_zlib,
    qcow2_zstd,
    qcow2_extended,
    qcow2_small,
    vmdk_sparse,
    vmdk_split,
    vmdk_stream,
    vmdk_flat,
    vhd,
    vhd_fixed,
    vhdx,
    vhdx_fixed,
    vdi,
    vdi_fixed,
    gzip,
    zstd
);

#!/usr/bin/env bash
# Passes every test on a fresh Debian 12: installs what the tests need, then checks, builds, tests, fuzzes, boots, and runs a fleet.
#
#   ./test.sh            what every change must pass
#   ./test.sh quick      without fuzzing, booting and the fleet
#   ./test.sh full       cargo-deny, more moments of interruption, every guest on every controller, those that are edited in a machine of their own, too (two hours), and a minute of
#                        fuzzing for each target
set -euo pipefail
cd "$(dirname "$0")"

# Nobody edits between these builds.
export CARGO_INCREMENTAL=0
what=${1:-all}
case $what in
    all | quick | full) ;;
    *) sed -n 's/^#   //p' "$0" >&2; exit 2 ;;
esac
stage() { printf '\n== %s  (%d s)\n' "$1" "$SECONDS"; }

stage "packages"
tests/packages.sh test
command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest

stage "format and lints"
cargo fmt --all --check
cargo clippy --workspace --all-targets --quiet -- -D warnings

if [ "$what" = full ]; then
    stage "licences, versions and sources of what is built in"
    command -v cargo-deny >/dev/null || cargo install --debug --locked cargo-deny
    cargo deny check licenses bans sources
fi

stage "documentation"
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

# All at once: building less than the workspace has other features of the libraries, and builds them again.
stage "build"
cargo build --quiet --workspace --all-targets

stage "tests"
if [ "$what" = full ]; then export REHOME_TEST_FULL=1; fi
cargo nextest run --workspace --no-fail-fast
target/debug/xtask readme --check

if [ "$what" != quick ]; then
    # The fleet waits most of its time; fuzzing waits for nobody.
    stage "fuzzing, and a fleet on Slurm"
    tests/fleet/slurm/run.sh target/debug/rehome >target/fleet.log 2>&1 &
    fleet=$!
    fuzzed=0
    if [ "$what" = full ]; then nice tests/fuzz/run.sh 60; else nice tests/fuzz/run.sh 4; fi || fuzzed=$?
    wait "$fleet" || { cat target/fleet.log; exit 1; }
    tail -n 3 target/fleet.log
    ((fuzzed == 0)) || exit "$fuzzed"

    stage "guests that boot"
    if [ "$what" = full ]; then
        tests/guests/run.sh target/debug/rehome --all
    else
        tests/guests/run.sh target/debug/rehome --group plain
    fi
fi

stage "all passed"

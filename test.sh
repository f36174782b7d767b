#!/usr/bin/env bash
# Passes every test on a fresh Debian 12: installs what the tests need, then checks, builds, tests, fuzzes, boots, and runs a fleet.
#
#   ./test.sh            what every change must pass
#   ./test.sh quick      without fuzzing, booting and the fleet
#   ./test.sh full       all hostile disks, every guest on every controller, those that are edited in a machine of their own, too (two hours), and a minute of
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

stage "documentation"
RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --quiet

# All at once: building less than the workspace has other features of the libraries, and builds them again.
stage "build"
cargo build --quiet --workspace --all-targets

stage "tests"
more=()
if [ "$what" = full ]; then more=(--ignore-default-filter) && export REHOME_TEST_FULL=1; fi
cargo nextest run --workspace --no-fail-fast "${more[@]}"
target/debug/xtask readme --check

if [ "$what" != quick ]; then
    stage "fuzzing"
    if [ "$what" = full ]; then tests/fuzz/run.sh 60; else tests/fuzz/run.sh 4; fi

    stage "guests that boot"
    if [ "$what" = full ]; then
        tests/guests/run.sh target/debug/rehome --all
    else
        tests/guests/run.sh target/debug/rehome --group plain
    fi

    stage "a fleet on Slurm"
    tests/fleet/slurm/run.sh target/debug/rehome
fi

stage "all passed"
